"""The third person for the first or the second: "They were late." for "I was late."

All of a sentence is turned, so that it agrees; "they" takes the verbs of "you" and "we".
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from core.learned.rewriting.edit import DETERMINERS, JOINS, PREPOSITIONS, Edit, capital, sentence_at
from core.learned.words import BE

FIRST = {
    "i": "they", "i'm": "they're", "i'd": "they'd", "i'll": "they'll", "i've": "they've",
    "me": "them", "my": "their", "mine": "theirs", "myself": "themselves",
    "we": "they", "we're": "they're", "we'd": "they'd", "we'll": "they'll", "we've": "they've",
    "us": "them", "our": "their", "ours": "theirs", "ourselves": "themselves",
}  # fmt: skip
SECOND = {
    "you": "they", "you're": "they're", "you'd": "they'd", "you'll": "they'll",
    "you've": "they've", "your": "their", "yours": "theirs", "yourself": "themselves",
    "yourselves": "themselves",
}  # fmt: skip
AGREEING = {"am": "are", "was": "were", "wasn't": "weren't"}
HELPERS = frozenset(
    "am are aren't can can't could couldn't did didn't do don't had hadn't have haven't may might "
    "must shall should shouldn't was wasn't were weren't will won't would wouldn't".split()
)
"""Verbs that stand before their subject in a question."""
ADVERBS = frozenset(
    "actually also already always even ever just never now often once only probably rarely really "
    "seldom simply sometimes still then usually".split()
)
QUOTES = "\"'“‘(*_"
POLITE = frozenset("thank bless excuse pardon".split())
"""Verbs that make a set phrase with "you"."""
GROUPS = frozenset("all both folks guys lot two three".split())
"""What makes many of a "you" before it."""
OR = frozenset("and as or than".split())
"""Words behind which "you" may be a subject or an object."""


class _Word(NamedTuple):
    start: int
    stop: int
    low: str
    before: str
    """The word before it, in lower case, "" if a mark stands between."""
    behind: str


def to_third(text: str, at: int) -> Edit | None:
    """Return the sentence at a place with "they" for the first or the second person, whichever the
    word there is of; None where the rest of it would not agree."""
    start, stop = sentence_at(text, at)
    sentence = text[start:stop]
    words = list(_words(sentence))
    chosen = next((it.low for it in words if it.start <= at - start < it.stop), "")
    own = next((table for table in (FIRST, SECOND) if chosen in table), None)
    if own is None:
        return None
    changed: dict[int, str] = {}
    for i, word in enumerate(words):
        if word.low not in own:
            continue
        written = sentence[word.start : word.stop]
        if len(written) > 1 and written.isupper():
            return None
        other = _third(words, i, sentence)
        if not other:
            return None
        opens = not sentence[: word.start].strip() or sentence[word.start - 1] in QUOTES
        upper = written[0].isupper() and (opens or word.low[0] != "i")
        changed[i] = capital(other) if upper else other
        if word.low == "i":
            for place in _verbs(words, i):
                verb = sentence[words[place].start : words[place].stop]
                agreed = AGREEING[words[place].low]
                changed[place] = capital(agreed) if verb[0].isupper() else agreed
    if own is FIRST and _disagrees(words, changed):
        return None
    made = sentence
    for i in sorted(changed, reverse=True):
        made = made[: words[i].start] + changed[i] + made[words[i].stop :]
    return Edit(start, stop, made)


def _words(sentence: str) -> Iterator[_Word]:
    """Yield the words of a sentence, each with its neighbours."""
    found = list(re.finditer(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d[\d.,]*", sentence))

    def low(i: int) -> str:
        return found[i][0].casefold().replace("’", "'")

    def touch(i: int) -> bool:
        return 0 < i < len(found) and sentence[found[i - 1].end() : found[i].start()] == " "

    for i, it in enumerate(found):
        before = low(i - 1) if touch(i) else ""
        behind = low(i + 1) if touch(i + 1) else ""
        yield _Word(it.start(), it.end(), low(i), before, behind)


def _third(words: list[_Word], i: int, sentence: str) -> str:
    """Return what stands for a word of the first or second person, "" where that is not sure."""
    it = words[i]
    if it.low == "i":
        alone = not it.behind and it.before not in HELPERS | OR
        numbered = sentence[it.stop : it.stop + 1] == "." and it.stop < len(sentence) - 1
        return "" if alone or numbered else FIRST["i"]
    if it.low in ("mine", "yours"):
        owned = it.before in BE | {"and", "as", "like", "of", "than", "to"}
        return (FIRST | SECOND)[it.low] if owned and not it.behind else ""
    if it.low == "you're" and it.behind == "welcome":
        return ""
    if it.low.endswith(("self", "selves")) and not {"i", "we", "you"} & {it.low for it in words}:
        return ""  # "Ask yourself": the one who is asked is not said
    return _you(it) if it.low == "you" else (FIRST | SECOND)[it.low]


def _you(it: _Word) -> str:
    """Return "they" or "them" for "you", "" where it is not sure which, or it is a set phrase."""
    if it.before in POLITE or it.behind in GROUPS:
        return ""
    if not it.before and it.behind in ("know", "see"):
        return ""
    if it.before in PREPOSITIONS - {"after", "before", "like", "since", "until"}:
        return "" if it.behind in HELPERS else "them"
    if not it.behind:
        return "" if it.before in HELPERS | JOINS | OR | {""} else "them"
    if it.before in HELPERS | JOINS or not it.before:
        return "they"
    if it.behind in HELPERS | ADVERBS:
        return "they"
    given = it.behind in PREPOSITIONS | DETERMINERS
    return "them" if given and it.before not in OR else ""


def _verbs(words: list[_Word], i: int) -> Iterator[int]:
    """Yield the verbs that change with an "I": the one behind it, or before it in a question."""
    behind = i + 1
    while behind < len(words) and words[behind].before and words[behind].low in ADVERBS:
        behind += 1
    if behind < len(words) and words[behind].before and words[behind].low in AGREEING:
        yield behind
    elif i and words[i].before in AGREEING:
        yield i - 1


def _disagrees(words: list[_Word], changed: dict[int, str]) -> bool:
    """Return whether a verb is left that may be of the first person singular."""
    singular = any(it.low in ("i", "i'm", "i'd", "i'll", "i've") for it in words)
    for i, it in enumerate(words):
        if i in changed or it.low not in AGREEING:
            continue
        joined = it.before in ADVERBS | {"and", "but", "or", "who", "then", ""}
        if it.low == "am" or (singular and joined):
            return True
    return False
