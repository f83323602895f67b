"""One comma, one sentence, one line more or less, and the words as they were."""

import re
from collections.abc import Callable
from itertools import pairwise

from core.learned.rewriting.edit import Edit, capital, sentence_at, sentences

SUBJECT_FIRST = frozenset(
    "A All An He Her His I It Its Many Most My Our She Some That The Their There These They This "
    "Those We You Your".split()
)
"""Words that begin a sentence with its subject."""
SUBORDINATE = re.compile(
    r"\b(?:although|as|because|either|if|once|since|that|though|unless|until|when|whether|while|who)\b"
)
SUBJECT = "|".join(sorted({it.lower() for it in SUBJECT_FIRST} | {"I"}))
OPENING = (
    r"(?:After|At|Before|By|During|For|From|In|On|Since|Until) (?:[\w’'-]+ )?[\w’'-]+"
    r"|Afterwards|Eventually|Later|Now|Often|Sometimes|Soon|Then|Today|Tomorrow|Usually|Yesterday"
)
OPTIONAL = (
    re.compile(r"(?<=\w),(?= (?:but|so|because|yet|while|although|though) [a-z])"),
    re.compile(r"(?<=\w),(?= and (?:he|it|she|they|we|I|you|there) [a-z]+)"),
    re.compile(rf"(?:(?<=^)|(?<=[.!?] )|(?<=\n))(?:{OPENING})(?P<comma>,)(?= (?:{SUBJECT}) )"),
    re.compile(r"(?<=\w),(?= (?:and|or) [\w’'-]+(?: [\w’'-]+)?[.!?])"),
)
"""Commas that may as well be left out: before a clause, behind an opening, in a list."""
CLAUSE = re.compile(
    r"(?<=[a-z])(?= (?:but|and) (?:he|it|she|they|we) (?:\w+ed|are|can|could|did|do|does|felt|"
    r"found|gave|got|had|has|have|is|knew|left|made|must|said|saw|should|took|was|went|were|will|"
    r"would)\b)"
)
"""Where a clause begins before which a comma may as well stand."""
LISTED = re.compile(r"[ \t]*(?:[-*•>|#`]|\d+[.)]|$)| {4}|\t")
"""Beginnings of lines that are no running text."""
BREAK = re.compile(r"(?<=,)[ \t]*\n\s*(?=[a-z])|(?<=[.!?:;])[ \t]*\n\s*(?=[^\W\d_]|[\"“‘'])")
"""Line breaks between running text, for which a space may stand."""


def without_comma(text: str) -> Edit | None:
    """Return the place of a comma that may as well be left out."""
    for pattern in OPTIONAL:
        if found := pattern.search(text):
            start, stop = found.span("comma" if "comma" in pattern.groupindex else 0)
            return Edit(start, stop, "")
    return None


def with_comma(text: str) -> Edit | None:
    """Return the place of a comma that may as well stand there: before a clause of its own."""
    for found in CLAUSE.finditer(text):
        start, _ = sentence_at(text, found.start() - 1)
        before = text[start : found.start()]
        if before.split(" ")[0] in SUBJECT_FIRST and not SUBORDINATE.search(before):
            return Edit(found.start(), found.start(), ",")
    return None


def sentences_joined(text: str) -> Edit | None:
    """Return the place between two sentences that may be one: ". The" becomes ", and the"."""
    every = list(sentences(text))
    for (start, stop), (begin, end) in pairwise(every):
        each = text[start:stop], text[begin:end]
        first, word = (it.split(" ")[0] for it in each)
        plain = all(re.search(r"[^.]\.$", it) and len(it.split()) > 2 for it in each)
        if plain and text[stop:begin] == " " and {first, word} <= SUBJECT_FIRST:
            lower = word if word == "I" else word.lower()
            return Edit(stop - 1, begin + len(word), f", and {lower}")
    return None


def sentence_split(text: str) -> Edit | None:
    """Return the place in a sentence that may be two: ", and it" becomes ". It"."""
    pattern = r"(?<=\w), and (he|it|she|they|we|I|you|there)(?= (?!(?:and|or)\b)[a-z]+ \w)"
    for found in re.finditer(pattern, text):
        start, stop = sentence_at(text, found.start())
        before = text[start : found.start()]
        opens = before.split(" ")[0] in SUBJECT_FIRST and len(before.split()) > 2
        if opens and not SUBORDINATE.search(before) and text[start:stop].endswith("."):
            return Edit(*found.span(), f". {capital(found[1])}")
    return None


def lines_joined(text: str) -> Edit | None:
    """Return the place of a line break that a space may stand for, between running text."""
    if "```" in text:
        return None
    for found in BREAK.finditer(text):
        above = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        below = text[found.end() :].partition("\n")[0]
        indented = text[found.start() : found.end()].rpartition("\n")[2]
        if not LISTED.match(above) and not LISTED.match(indented + below):
            return Edit(*found.span(), " ")
    return None


Rewrite = Callable[[str], Edit | None]
PROPERTIES: dict[str, dict[int, Rewrite]] = {
    "commas": {1: without_comma, -1: with_comma},
    "sentences": {1: sentences_joined, -1: sentence_split},
    "lines": {1: lines_joined},
}
"""Of properties of whole responses: what makes it less, at 1, and what makes it more, at −1."""
