"""Where a text is changed and to what; its sentences; words that all rewriting asks for.

Each rewriting returns the one place of a text that is to be changed, or None: it gives up wherever
it is not sure that what comes of it is good English that says the same.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Edit(NamedTuple):
    """``text[start:stop]`` is to become ``after``."""

    start: int
    stop: int
    after: str

    def of(self, text: str) -> str:
        """Return a text with this changed."""
        return text[: self.start] + self.after + text[self.stop :]


SENTENCE = re.compile(r"[^\n]+?(?:[.!?]+(?=\s|$)|(?=\n)|$)")
ABBREVIATED = re.compile(r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|No)|\.[A-Za-z])\.$")
THE = frozenset("the a an this that these those".split())
OWNED = frozenset("my your his her its our their".split())
COUNTED = frozenset("some many most all both several few every each two three four five".split())
DETERMINERS = THE | OWNED | COUNTED
PREPOSITIONS = frozenset(
    "about above across after against along among around at before behind below beneath beside "
    "between beyond by despite during for from in inside into like near of off on onto outside "
    "over past since through throughout to toward towards under until up upon with within "
    "without".split()
)
JOINS = frozenset(
    "although because how if once since so that though unless until what whatever when whenever "
    "where wherever whether which while why".split()
)
"""What a clause begins with, and its subject follows."""


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence of a text begins and ends, its last mark counted in; a line is one
    at most."""
    begin = None
    for match in SENTENCE.finditer(text):
        start = match.start() + len(match[0]) - len(match[0].lstrip())
        begin = start if begin is None else begin
        if ABBREVIATED.search(match[0]) and text[match.end() : match.end() + 1] == " ":
            continue
        if begin < match.end():
            yield begin, match.end()
        begin = None


def sentence_at(text: str, at: int) -> tuple[int, int]:
    """Return where the sentence begins and ends in which a place lies."""
    for start, stop in sentences(text):
        if start <= at < stop:
            return start, stop
    return at, at


def capital(text: str) -> str:
    """Return a text with a capital first."""
    return text[:1].upper() + text[1:]
