"""Text, tokens and the spans between them: what is shown is what is scored.

Pure data and pure functions; knows nothing of tokenizers (core.codec makes the tokens) or models.
Offsets count code points of a Python string.
"""

import json
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

Unit = Literal["token", "word", "sentence", "line"]
UNITS: tuple[Unit, ...] = ("token", "word", "sentence", "line")

Match = tuple[int, int, int]
"""A stretch of what is equal: where it starts in A and in B, and its length."""

KEPT = 16
"""Responses whose words and units are kept: what is shown asks for the same ones many times."""

FEW_EDITS = 60
"""Edits up to which the fewest are looked for: that takes time as the square of their number."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; ``role`` is "system", "user", "assistant" or "tool"."""

    role: str
    content: str
    more: str = ""
    """What else a chat template is told of the turn (tool calls, reasoning): a JSON object."""

    def row(self) -> dict[str, Any]:
        """Return the turn as chat templates and trainers take it."""
        return {"role": self.role, "content": self.content, **json.loads(self.more or "{}")}


@dataclass(frozen=True, slots=True)
class Prompt:
    """The turns of a conversation before the response."""

    messages: tuple[Message, ...]
    settings: str = ""
    """What a chat template is told besides the turns (tools, its own switches): a JSON object."""

    @classmethod
    def of(cls, user: str, system: str | None = None) -> "Prompt":
        """Return a prompt of one user turn, after a system turn if one is given."""
        before = (Message("system", system),) if system else ()
        return cls((*before, Message("user", user)))


@dataclass(frozen=True, slots=True)
class Tokens:
    """A response's text and its n tokens.

    Token i covers ``text[starts[i]:ends[i]]``. The byte-level parts of one character all carry
    that character's span, so spans never cut a character; apart from that they follow each other
    without gaps.
    """

    text: str
    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    pieces: tuple[bytes, ...]
    """The bytes that each token stands for."""
    forced: tuple[bool, ...]
    """True where the tokenizer would split this text into another token."""
    opening: int = 0
    """How many of the first are not the text's: the template writes them, and they are scored."""
    context: tuple[int, ...] = ()
    """The ids before these, as the models read them."""
    closing: tuple[int, ...] = ()
    """The ids after these that are scored: the closing token, and what is rendered behind it."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Alignment:
    """The tokens that two responses A and B share, and what differs, in whole words."""

    pairs: tuple[tuple[int, int], ...]
    """(index in A, index in B) of equal tokens, ascending in both."""
    edited_a: tuple[range, ...]
    edited_b: tuple[range, ...]


@lru_cache(KEPT)
def align(a: Tokens, b: Tokens) -> Alignment:
    """Return how two responses are aligned: by words, numbers and marks whose tokens are equal.

    No token of a word that differs is paired, so that "$53K" and "$250K" do not share a 5. If few
    edits turn one into the other, the alignment has the fewest; otherwise it is made of the longest
    common stretches.
    """
    words_a, words_b = words(a), words(b)
    ids_a = [a.ids[word.start : word.stop] for word in words_a]
    ids_b = [b.ids[word.start : word.stop] for word in words_b]
    pairs: list[tuple[int, int]] = []
    for i, j, size in _equal_runs(ids_a, ids_b):
        for here, there in zip(words_a[i : i + size], words_b[j : j + size], strict=True):
            pairs += zip(here, there, strict=True)
    edited_a, edited_b = [], []
    done_a = done_b = 0
    for start_a, start_b in (*pairs, (len(a), len(b))):
        if done_a < start_a or done_b < start_b:
            edited_a.append(range(done_a, start_a))
            edited_b.append(range(done_b, start_b))
        done_a, done_b = start_a + 1, start_b + 1
    return Alignment(tuple(pairs), tuple(edited_a), tuple(edited_b))


# Scripts that put no space between words are cut as well as can be told without a dictionary: an
# ideograph by itself, a run of hiragana or of katakana, a cluster of Thai, Lao, Burmese or Khmer
# letters that is never divided (a consonant with the vowels and signs around it).
_IDEOGRAPH = r"\u3007\u3021-\u3029\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HIRAGANA, _KATAKANA = r"\u3041-\u3096\u309d-\u309f", r"\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff"
_BEFORE = r"\u0e40-\u0e44\u0ec0-\u0ec4"  # vowels that stand before their consonant
_LETTER = r"\u0e01-\u0e2e\u0e81-\u0eae\u0edc-\u0edf\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3"
_JOINS = r"\u1039\u17d2"  # the next letter stands below this one
_SIGNS = "".join(
    chr(code)
    for code in (*range(0x0E00, 0x10A0), *range(0x1780, 0x1800))
    if unicodedata.category(chr(code)) in ("Mn", "Mc")
)
_AFTER = rf"\u0e2f-\u0e33\u0e45\u0e46\u0eaf-\u0eb3\u0ebd\u0ec6{_SIGNS}"
_GOES_ON = r"\u3005\u303b\u3099-\u309c\u30fc\uff9e\uff9f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_UNSPACED = (
    rf"[{_IDEOGRAPH}][{_GOES_ON}]*|[{_HIRAGANA}][{_HIRAGANA}{_GOES_ON}]*"
    rf"|[{_KATAKANA}\uff66-\uff9d][{_KATAKANA}\uff66-\uff9d{_GOES_ON}]*"
    rf"|[{_BEFORE}]*[{_LETTER}](?:[{_JOINS}][{_LETTER}]|[{_AFTER}])*|[{_BEFORE}]+"
)
_DENSE_LETTER = rf"{_IDEOGRAPH}{_HIRAGANA}{_KATAKANA}\uff66-\uff9d{_BEFORE}{_LETTER}"

# Marks, which are no part of a word, and scripts that put no space between words.
_MARK = (
    r"!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2018\u201a-\u206f\u20a0-\u20cf"
    r"\u3000-\u303f\uff01-\uff0f"
)
_DENSE = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u309f\u3400-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
_EDITED_WORD = re.compile(
    rf"(?:(?<!\w)[-−+])?[$€£¥₹₩]?\d(?:[\d.,:/'’]*\d)?[^\s{_MARK}{_DENSE}]*[%‰°€]?"  # −$1,050.5K
    rf"|[^\s{_MARK}{_DENSE}]+(?:['’-][^\s{_MARK}{_DENSE}]+)*"  # isn't, son-in-law
    rf"|{_UNSPACED}|\S"
)


@lru_cache(KEPT)
def words(tokens: Tokens) -> tuple[range, ...]:
    """Return the tokens of each word, number or mark; words that a token joins are one."""
    matches = list(_EDITED_WORD.finditer(tokens.text))
    begins, ends = [match.start() for match in matches], [match.end() for match in matches]
    cuts = list(range(tokens.opening))
    reach = -1
    for index in range(tokens.opening, len(tokens)):
        first = bisect_right(ends, tokens.starts[index])  # white space goes with what follows
        if first > reach:
            cuts.append(index)
        reach = max(reach, first, bisect_left(begins, tokens.ends[index]) - 1)
    return tuple(range(*cut) for cut in pairwise([*cuts, len(tokens)]))


def _equal_runs(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[Match]:
    """Return stretches that both sequences have, ascending in both."""
    if a == b:
        return [(0, 0, len(a))]
    found = _fewest_edits(a, b)
    if found is None:
        from difflib import SequenceMatcher

        blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
        found = [(block.a, block.b, block.size) for block in blocks]
    return found


def _fewest_edits(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[Match] | None:
    """Return what the fewest edits from a to b leave alone; None if more than ``FEW_EDITS``.

    Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): each round goes, along each
    diagonal k = i - j, as far as one more edit allows.
    """
    if abs(len(a) - len(b)) > FEW_EDITS:
        return None
    furthest: dict[int, tuple[int, list[Match]]] = {1: (0, [])}
    for edits in range(FEW_EDITS + 1):
        for k in range(-edits, edits + 1, 2):
            inserts = k == -edits or (k < edits and furthest[k - 1][0] < furthest[k + 1][0])
            start, runs = furthest[k + 1] if inserts else furthest[k - 1]
            start += not inserts
            i = start
            while i < len(a) and i - k < len(b) and a[i] == b[i - k]:
                i += 1
            furthest[k] = i, [*runs, (start, start - k, i - start)] if i > start else runs
            if i >= len(a) and i - k >= len(b):
                return furthest[k][1]
    return None


def shared_prefix(a: str | tuple[int, ...], b: str | tuple[int, ...]) -> int:
    """Return the length of the longest common prefix, found by halving: quick for long texts."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


# Where a unit ends. White space goes with what follows it, as in the tokens of most vocabularies.
_LINE = r"(?<!\s)(?=\s*\n)"
_OPENING = r"(\[{<«‘“‹「『（【〈《〔［｛〖$€£¥₹₩＄￥#@"  # marks that go with what follows them
_BREAKS: dict[Unit, re.Pattern[str]] = {
    "word": re.compile(
        rf"[^\s\w]*(?:(?:{_UNSPACED})[^\s\w{_OPENING}]*"
        rf"|[^\W{_DENSE_LETTER}]"
        rf"(?:[^\s{_DENSE_LETTER}{_OPENING}]+|[{_OPENING}]+(?![{_DENSE_LETTER}{_OPENING}]))*)"
        r"|[^\s\w]+"
    ),
    "sentence": re.compile(r"[.!?…][\"'”’»)\]]*(?=\s)|[。！？][\"'”’」』）)\]]*|" + _LINE),
    "line": re.compile(_LINE),
}


@lru_cache(KEPT)
def units(tokens: Tokens, kind: Unit) -> tuple[int, ...]:
    """Return the number of the unit that each token belongs to, ascending from 0.

    A token belongs to the unit of its first character that is not white space; a token of white
    space alone goes with what follows it, or at the end with what came before. Words are split at
    white space, and where scripts put none; they keep their punctuation.
    """
    if kind == "token":
        return tuple(range(len(tokens)))
    written = len(tokens.text.rstrip())
    breaks = [m.end() for m in _BREAKS[kind].finditer(tokens.text) if m.end() < written]
    return _dense([bisect_right(breaks, start) for start in tokens.starts])


def spans(text: str, kind: Unit) -> list[tuple[int, int]]:
    """Return where the words, sentences or lines of a text begin and end, without gaps."""
    written = len(text.rstrip())
    cuts = [m.end() for m in _BREAKS[kind].finditer(text) if 0 < m.end() < written]
    return list(pairwise([0, *cuts, len(text)]))


def _dense(numbers: list[int]) -> tuple[int, ...]:
    """Return the same groups numbered 0, 1, 2, ... without gaps."""
    seen: dict[int, int] = {}
    return tuple(seen.setdefault(number, len(seen)) for number in numbers)
