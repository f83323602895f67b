"""Places everything of a grown tree: left to right as text, the likeliest branch straight on.

Every token is a box as wide as its letters, so that a row reads as a sentence. The first child of a
box (the one of the highest ``order``) continues its row; each other child begins below, as far up
as nothing is in the way (as in Reingold and Tilford's tidy trees). A long unbranched run of tokens
folds into one box; what hangs below a collapsed box is hidden. Boxes are pure data: x to the right,
rows downward. Only the part of the picture that a change can move is worked out anew. Knows NumPy;
knows nothing of Qt, models or rewards.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

GAP = 16.0
"""Width between a box and its children."""
PAD = 6.0
"""Width on each side of the letters in a box."""
NARROWEST = 10.0
LONGEST_RUN = 260.0
"""Widest box of a folded run; of a longer one the middle letters are cut out."""
ALIGNED = 64.0
"""Siblings' children begin at one x where that moves them by no more than this."""
FOLD = 4
"""Least tokens of a run that is folded."""

Contour = tuple[float, int, Any]
"""The lower contour of a part of the tree: (from this x on, this many rows, what follows)."""


@dataclass(frozen=True, eq=False, slots=True)
class Placed:
    """The places of the n entries of a tree. Arrays are never changed after they are given out."""

    x: Floats
    """Left edge, [n]. A token of a folded run has its share of the run's box."""
    width: Floats
    row: Ints
    shown: Flags
    """False below a collapsed entry; nothing else is true of such entries."""
    head: Ints
    """The first token of the run that an entry is in: itself where it stands alone, [n]."""
    run: Ints
    """Number of tokens in the entry's box, [n]."""
    above: Ints
    """The head of the box that the entry's box hangs on, [n]; 0 for the start's own."""
    last: Ints
    """The last token of the box that an entry is the head of, [n]."""
    box: Floats
    """Width of the box that an entry is the head of, [n]."""
    inside: Ints
    """Number of entries hidden below, [n]; 0 where nothing is collapsed."""
    right: float
    rows: int


def sum_to_top(values: NDArray[Any], up: Ints) -> NDArray[Any]:
    """Return sums of values from each entry to the top of its chain, [n]; ``up`` of a top is
    itself.

    By doubling: as many passes as the longest chain has bits. A top's own value must be 0.
    """
    total, hop = values.copy(), up
    while True:
        total += total[hop]
        further = hop[hop]
        if np.array_equal(further, hop):
            return total
        hop = further


def tops(up: Ints) -> Ints:
    """Return the top of each entry's chain, [n]."""
    while not np.array_equal(further := up[up], up):
        up = further
    return up


class Layout:
    """A layout that remembers what it worked out: a tree that has grown a little is fast."""

    def __init__(self) -> None:
        self._contours: dict[int, Contour] = {}
        self._end: dict[int, float] = {}
        self._before: tuple[NDArray[Any], ...] | None = None
        self._offset = np.zeros(0, dtype=np.int64)

    def place(
        self,
        parent: Ints,
        order: Floats,
        letters: Floats,
        kind: Ints,
        collapsed: Iterable[int] = (),
        unfolded: Iterable[int] = (),
    ) -> Placed:
        """Return where n entries lie; entry 0 is the start, every other comes after its ``parent``.

        ``letters``: the width of each token's text. Only neighbours of one ``kind`` fold into one
        run. ``unfolded``: heads of runs that are to stay apart.
        """
        n = len(parent)
        up = np.maximum(parent, 0)
        closed = np.zeros(n, dtype=bool)
        closed[[i for i in collapsed if i < n]] = True
        under = closed[up].astype(np.int64)
        under[0] = 0
        shown = sum_to_top(under, up) == 0
        join, head, run = _runs(up, shown, kind, unfolded)
        width, before = _widths(letters, join, head, run, up)
        box = np.zeros(n)
        np.add.at(box, head[shown], width[shown])
        above = head[up]
        above[0] = 0
        step = np.where(np.arange(n) == head, _reach(box, head, run, above)[above] + GAP, 0.0)
        step[0] = 0.0
        x = sum_to_top(step, np.where(shown, above, 0))
        self._settle(x, box, order, np.where(shown & (head == np.arange(n)), above, -1))
        row = sum_to_top(self._offset, above)[head]
        x = x[head] + before
        hidden_under = tops(np.where(shown, np.arange(n), up))
        inside = np.bincount(hidden_under[~shown], minlength=n)
        right = float((x + width)[shown].max(initial=0.0))
        rows = int(row[shown].max(initial=-1)) + 1
        last = np.arange(n)
        last[head[shown]] = np.flatnonzero(shown)  # ascending, so the last one stays
        return Placed(x, width, row, shown, head, run, above[head], last, box, inside, right, rows)

    def _settle(self, x: Floats, box: Floats, order: Floats, above: Ints) -> None:
        """Find the rows of boxes that have changed, or below which something has."""
        n = len(x)
        heads = above >= 0
        stale = np.zeros(n, dtype=bool)
        self._offset = np.append(self._offset, np.zeros(n - len(self._offset), dtype=np.int64))
        now = (x, box, order, above)
        if self._before is None:
            stale[:] = heads
        else:
            old = len(self._before[0])
            changed = np.ones(n, dtype=bool)
            changed[:old] = np.any(
                [~_same(new[:old], was) for new, was in zip(now, self._before, strict=True)],
                axis=0,
            )
            stale |= changed & heads
            stale[above[changed & heads]] = True
            was_above = self._before[3][changed[:old]]
            stale[was_above[was_above >= 0]] = True
            stale &= heads
        self._before = tuple(values.copy() for values in now)
        if not stale.any():
            return
        kids = np.flatnonzero(heads)[1:]
        kids = kids[np.lexsort((kids, -np.nan_to_num(order[kids], nan=-np.inf), above[kids]))]
        first = np.searchsorted(above[kids], np.arange(n + 1)).tolist()
        in_order, pending = kids.tolist(), stale.tolist()
        above_list, x_list, box_list = above.tolist(), x.tolist(), box.tolist()
        for head in range(n - 1, -1, -1):
            if pending[head]:
                mine = in_order[first[head] : first[head + 1]]
                self._stack(head, mine, x_list[head], x_list[head] + box_list[head] + GAP)
                pending[above_list[head]] = True

    def _stack(self, head: int, kids: list[int], left: float, right: float) -> None:
        """Place a box's children below each other, and note how far down that reaches."""
        if head == 0:
            self._offset[0] = 0
        if not kids:
            self._contours[head] = (left, 1, (right, 0, None))
            self._end[head] = right
            return
        contour, end = self._contours[kids[0]], self._end[kids[0]]
        self._offset[kids[0]] = 0
        for kid in kids[1:]:
            down, contour = _below(contour, self._contours[kid], self._end[kid])
            self._offset[kid] = down
            end = max(end, self._end[kid])
        self._end[head] = end
        # Neighbours that reach equally far down are one.
        self._contours[head] = (left, 1, contour[2]) if contour[1] == 1 else (left, 1, contour)


def _below(contour: Contour, other: Contour, end: float) -> tuple[int, Contour]:
    """Return how many rows down ``other`` must go to be free of ``contour``, and both as one.

    ``other`` ends at x ``end``.
    """
    down, rest, bottom = 0, contour, 0
    while rest is not None and rest[0] < end:
        bottom = rest[1]
        down = max(down, bottom)
        rest = rest[2]
    if rest is not None and rest[0] > end:
        rest = (end, bottom, rest)
    elif rest is None:
        rest = (end, 0, None)
    cells = []
    cell = other
    while cell is not None and cell[0] < end:
        cells.append(cell)
        cell = cell[2]
    for start, reach, _ in reversed(cells):
        follows = rest[2] if rest is not None and rest[1] == reach + down else rest
        rest = (start, reach + down, follows)
    assert rest is not None
    return down, rest


def _same(a: NDArray[Any], b: NDArray[Any]) -> Flags:
    equal: Flags = (a == b) | ((a != a) & (b != b))
    return equal


def _runs(up: Ints, shown: Flags, kind: Ints, unfolded: Iterable[int]) -> tuple[Flags, Ints, Ints]:
    """Return which entries join their parent's box, each one's box's head, and its token count."""
    n = len(up)
    own = np.arange(n)
    count = np.bincount(up[1:][shown[1:]], minlength=n)
    join = shown & (up > 0) & (count[up] == 1) & (kind == kind[up])
    head = tops(np.where(join, up, own))
    run = np.bincount(head[shown], minlength=n)
    apart = run < FOLD
    apart[[i for i in unfolded if i < n]] = True
    loose = apart[head]
    head = np.where(loose, own, head)
    return join & ~loose, head, np.where(loose, 1, run[head])


def _reach(box: Floats, head: Ints, run: Ints, above: Ints) -> Floats:
    """Return how far right of its left edge each box's children begin, less the gap, [n].

    Siblings' children begin at one x, so that a short branch has room below a long one's row. A
    sibling that is very wide, or a folded run, holds up nobody.
    """
    single = np.flatnonzero((np.arange(len(box)) == head) & (run == 1))[1:]
    widest = np.zeros(len(box))
    np.maximum.at(widest, above[single], box[single])
    alike = np.minimum(widest[above], box + ALIGNED)
    alike[0] = 0.0
    reach: Floats = np.maximum(box, alike)
    return reach


def _widths(letters: Floats, join: Flags, head: Ints, run: Ints, up: Ints) -> tuple[Floats, Floats]:
    """Return each entry's width, and how far from the left edge of its box it begins."""
    n = len(letters)
    total = np.zeros(n)
    bare = np.maximum(letters, 1.0)
    np.add.at(total, head, bare)
    total = total[head]
    box = np.maximum(np.where(run > 1, np.minimum(total, LONGEST_RUN), bare) + 2 * PAD, NARROWEST)
    width = np.where(run > 1, bare * box / total, box)
    before = sum_to_top(np.where(join, width[up], 0.0), np.where(join, up, np.arange(n)))
    return width, before
