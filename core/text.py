"""Text, tokens and the spans between them: what is shown is what is scored.

Pure data and pure functions; knows nothing of tokenizers (core.codec makes the tokens) or models.
Offsets count code points of a Python string.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Unit = Literal["token", "word", "sentence", "line"]
UNITS: tuple[Unit, ...] = ("token", "word", "sentence", "line")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; ``role`` is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the response answers: the turns before it."""

    messages: tuple[Message, ...]

    @classmethod
    def of(cls, user: str, system: str | None = None) -> "Prompt":
        """A prompt of one user turn, after a system turn if one is given."""
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
    """True where the tokenizer, given this text, would put another token."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which tokens of B are the same as in A, and which were edited."""

    pairs: tuple[tuple[int, int], ...]
    """(index in A, index in B) of equal tokens, ascending in both."""
    edited_a: tuple[range, ...]
    edited_b: tuple[range, ...]


def align(a: Tokens, b: Tokens) -> Alignment:
    """Align two responses by their token ids.

    The shared beginning and end are matched first; what is left between them, usually an edit of
    a few tokens, is matched by its longest common runs.
    """
    prefix = shared_prefix(a.ids, b.ids)
    suffix = shared_prefix(a.ids[prefix:][::-1], b.ids[prefix:][::-1])
    stop_a, stop_b = len(a) - suffix, len(b) - suffix
    matcher = SequenceMatcher(None, a.ids[prefix:stop_a], b.ids[prefix:stop_b], autojunk=False)
    pairs = [(i, i) for i in range(prefix)]
    edited_a, edited_b = [], []
    for kind, i, i_stop, j, j_stop in matcher.get_opcodes():
        if kind == "equal":
            pairs += zip(
                range(prefix + i, prefix + i_stop), range(prefix + j, prefix + j_stop), strict=True
            )
        else:
            edited_a.append(range(prefix + i, prefix + i_stop))
            edited_b.append(range(prefix + j, prefix + j_stop))
    pairs += zip(range(stop_a, len(a)), range(stop_b, len(b)), strict=True)
    return Alignment(tuple(pairs), tuple(edited_a), tuple(edited_b))


def shared_prefix(a: str | tuple[int, ...], b: str | tuple[int, ...]) -> int:
    """Length of the longest common beginning; by halving, so that long texts are quick."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


_BREAKS: dict[Unit, re.Pattern[str]] = {
    "word": re.compile(r"\s+"),
    "line": re.compile(r"\n+"),
    "sentence": re.compile(r"(?<=[.!?…。！？])[\"'”’)\]]*\s+|(?<=[。！？])|\n+"),
}


def units(tokens: Tokens, kind: Unit) -> tuple[int, ...]:
    """The number of the unit that each token belongs to, ascending from 0.

    A token belongs where its first character that is not white space lies; one of nothing but
    white space goes with what follows it. Words are split at white space and keep their
    punctuation.
    """
    if kind == "token":
        return tuple(range(len(tokens)))
    text = tokens.text
    ends = [m.end() for m in _BREAKS[kind].finditer(text) if 0 < m.end() < len(text)]
    blank = re.compile(r"\s*")
    found: list[int] = []
    unit = 0
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        gap = blank.match(text, start, end)
        first = gap.end() if gap else start
        while unit < len(ends) and ends[unit] <= first:
            unit += 1
        found.append(unit)
    return _dense(found)


def _dense(numbers: list[int]) -> tuple[int, ...]:
    """The same groups, numbered 0, 1, 2, ... without holes."""
    seen: dict[int, int] = {}
    return tuple(seen.setdefault(number, len(seen)) for number in numbers)
