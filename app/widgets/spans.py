"""Follows where tokens lie in a text that is being edited, and which of their colours still hold.

``TokenSpans`` is what a scoring says of one text, in code points. ``LiveSpans`` follows it through
edits in the UTF-16 units that Qt counts in: a token that an edit touches loses its colour, a later
one has a stale colour (its context changed), and an earlier one is as it was, because rewards
depend on the prefix alone. Knows NumPy; knows nothing of Qt, models or colours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from app.widgets.colour_scale import NO_COLOUR
from core.present.units import shared_units

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Freshness(IntEnum):
    """How far a token's colour is still true of the text on the screen."""

    FRESH = 0
    STALE = 1
    """The token is there, but what stands before it has changed."""
    TOUCHED = 2
    """The edit went through the token: its colour says nothing any more."""


@dataclass(frozen=True, eq=False)
class TokenSpans:
    """The tokens of ``text`` and the colour class of each; n tokens in text order.

    ``starts`` and ``ends`` are code-point offsets, [n]. Byte-level parts of one character all have
    that character's span. ``colours`` are classes of a ColourScale, NO_COLOUR for unknown.
    ``stale`` says that all of them are of an older state and must look so.

    Raises:
        ValueError: the arrays differ in length.
    """

    text: str
    starts: Ints
    ends: Ints
    colours: NDArray[np.int16]
    stale: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", np.asarray(self.starts, dtype=np.int64))
        object.__setattr__(self, "ends", np.asarray(self.ends, dtype=np.int64))
        object.__setattr__(self, "colours", np.asarray(self.colours, dtype=np.int16))
        if not len(self.starts) == len(self.ends) == len(self.colours):
            raise ValueError("every token needs a start, an end and a colour")

    def __len__(self) -> int:
        return len(self.starts)


def utf16(text: str) -> NDArray[np.uint16]:
    """Return the text as the UTF-16 units that Qt counts positions in."""
    return np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype=np.uint16)


def utf16_offsets(text: str) -> Ints:
    """Return the UTF-16 position of every code point and of the end, [len(text) + 1]."""
    if text.isascii():
        return np.arange(len(text) + 1)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return np.concatenate([[0], np.cumsum(1 + (points > 0xFFFF))])


def right_to_left(units: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return which units, [n], belong to right-to-left scripts or turn the direction."""
    if not len(units) or units.max() < 0x0590:
        return np.zeros(len(units), dtype=bool)
    # Hebrew to Arabic; presentation forms; direction marks; the high surrogates of such scripts.
    found = ((units >= 0x0590) & (units <= 0x08FF)) | ((units >= 0xFB1D) & (units <= 0xFEFC))
    found |= ((units >= 0x200E) & (units <= 0x200F)) | ((units >= 0x202A) & (units <= 0x202E))
    found |= (units >= 0x2066) & (units <= 0x2069)
    found |= (units == 0xD802) | (units == 0xD803) | (units == 0xD83A) | (units == 0xD83B)
    marked: NDArray[np.bool_] = found
    return marked


def changed_range(
    old: NDArray[np.uint16], new: NDArray[np.uint16], window: tuple[int, int, int] | None = None
) -> tuple[int, int, int]:
    """Return the smallest (position, removed, added) that makes ``old`` into ``new``, in UTF-16
    units.

    ``window`` is a (position, removed, added) known to contain the change: it decides which of
    several equal letters was typed. Surrogate pairs are never cut.
    """
    first, removed, added = window or (0, len(old), len(new))
    if (
        first < 0 or first + removed > len(old) or len(old) - removed + added != len(new)
    ):  # Qt sometimes counts the last paragraph's separator, which no text holds
        first, removed, added = 0, len(old), len(new)
    a, b = old[first : first + removed], new[first : first + added]
    shorter = min(len(a), len(b))
    differ = np.flatnonzero(a[:shorter] != b[:shorter])
    prefix = int(differ[0]) if len(differ) else shorter
    rest = shorter - prefix
    differ = np.flatnonzero(a[len(a) - rest :][::-1] != b[len(b) - rest :][::-1])
    suffix = int(differ[0]) if len(differ) else rest
    if prefix and 0xD800 <= a[prefix - 1] < 0xDC00:
        prefix -= 1
    if suffix and 0xDC00 <= a[len(a) - suffix] < 0xE000:
        suffix -= 1
    return first + prefix, len(a) - prefix - suffix, len(b) - prefix - suffix


class LiveSpans:
    """Units of tokens in UTF-16 positions, moved along with edits.

    A unit is one token, or the tokens that share a character. ``starts``, ``ends``, ``first`` (the
    unit's first token), ``colours`` and ``freshness`` are arrays of one row per unit; edits replace
    them, so a caller may hold on to what it got.
    """

    def __init__(self, spans: TokenSpans, inside: Callable[[int], bool] | None = None) -> None:
        """Take the units of ``spans``.

        ``inside(position)`` says that a UTF-16 position is inside one visible character: the
        tokens on both sides of it are then one unit.
        """
        self.tokens = len(spans)
        offsets = utf16_offsets(spans.text)
        starts, ends = offsets[spans.starts], offsets[spans.ends]
        unit = shared_units(starts, ends)
        if inside is not None and len(starts):
            joined = np.fromiter((inside(int(p)) for p in starts), dtype=bool, count=len(starts))
            joined[0] = False
            steps = np.diff(unit, prepend=0)
            steps[joined] = 0
            unit = np.cumsum(steps)
        self.unit = unit
        """The unit of every token."""
        self.first = np.flatnonzero(np.diff(unit, prepend=-1))
        self.starts = starts[self.first]
        self.ends = (
            np.maximum.reduceat(ends, self.first) if len(self.first) else np.zeros(0, np.int64)
        )
        self.colours = spans.colours[self.first]
        state = Freshness.STALE if spans.stale else Freshness.FRESH
        self.freshness = np.full(len(self.first), state, dtype=np.uint8)
        self._rows = np.arange(len(self.first))

    def __len__(self) -> int:
        return len(self.starts)

    def edit(self, position: int, removed: int, added: int) -> None:
        """Follow a change of the text: ``removed`` units at ``position`` became ``added``."""
        if not (removed or added) or not len(self.starts):
            return
        stop, delta = position + removed, added - removed
        starts, ends = self.starts, self.ends
        later = starts >= stop
        touched = (ends > position) & ~later
        # A token that ends right where text came in may be merged with it by the tokenizer.
        adjoining = (ends == position) & (starts < position)
        moved = later | adjoining
        freshness = self.freshness.copy()
        freshness[moved] = np.maximum(freshness[moved], Freshness.STALE)
        freshness[touched] = Freshness.TOUCHED
        colours = np.where(touched, NO_COLOUR, self.colours).astype(np.int16)
        inside = touched & (starts > position)
        new_starts = np.where(later, starts + delta, np.where(inside, position + added, starts))
        cut = touched & (ends < stop)
        new_ends = np.where(later | touched, ends + delta, ends)
        new_ends = np.where(cut, position, new_ends)
        keep = ~(touched & (starts >= position) & (ends <= stop))
        self.starts, self.ends = new_starts[keep], new_ends[keep]
        self.first, self.colours = self.first[keep], colours[keep]
        self.freshness, self._rows = freshness[keep], self._rows[keep]

    def at(self, position: int) -> int:
        """Return the row of the unit that holds a UTF-16 position, or -1."""
        row = int(np.searchsorted(self.starts, position, side="right")) - 1
        return row if row >= 0 and position < self.ends[row] else -1

    def token(self, row: int) -> int:
        """Return the first token of a row's unit; -1 for row -1."""
        return int(self.first[row]) if row >= 0 else -1

    def row(self, token: int) -> int:
        """Return the row that shows a token, or -1 where an edit removed it."""
        if not 0 <= token < self.tokens:
            return -1
        unit = self.unit[token]
        row = int(np.searchsorted(self._rows, unit))
        return row if row < len(self._rows) and self._rows[row] == unit else -1
