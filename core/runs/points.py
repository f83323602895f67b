"""The points of curves as they were logged, and which of them count.

A log that goes back to an earlier step is of a run that was resumed, or of another stage: what it
had logged from that step on before was lost, and does not count. Knows arrays; knows nothing of
files or of how rows are written.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.runs.names import USUAL, evaluation_set
from core.runs.records import EVAL

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Piece = tuple[Integers, Integers, Floats]
"""Some points of a curve: their places in the log, steps, values."""
FEW = 4
"""A log with a turn in more than one of so many rows is in no order at all."""


@dataclass(slots=True)
class Points:
    """The points of one curve in the order in which they were logged."""

    pieces: list[Piece] = field(default_factory=list)
    last: int = -1
    """The last step."""
    rises: bool = True
    """Whether each step is beyond the one before it."""
    returns: bool = False
    """Whether some step is before the one before it."""
    finite: bool = True
    """Whether no value is NaN or infinite."""

    def add(self, pieces: Collection[Piece]) -> None:
        """Add points that were logged after all that are there."""
        places, steps, values = _joined(pieces)
        if len(pieces) > 1:
            order = np.argsort(places, kind="stable")
            places, steps, values = places[order], steps[order], values[order]
        if not len(steps):
            return
        rises = bool((steps[1:] > steps[:-1]).all())
        self.returns |= steps[0] < self.last or not (rises or (steps[1:] >= steps[:-1]).all())
        self.rises = self.rises and rises and bool(steps[0] > self.last)
        self.last = int(steps[-1])
        self.finite = self.finite and bool(np.isfinite(values).all())
        self.pieces.append((places, steps, values))

    def whole(self) -> Piece:
        """Return all points."""
        if len(self.pieces) > 1:
            self.pieces = [_joined(self.pieces)]
        return self.pieces[0]


def _joined(pieces: Collection[Piece]) -> Piece:
    if len(pieces) == 1:
        return next(iter(pieces))
    places, steps, values = zip(*pieces, strict=True)
    return np.concatenate(places), np.concatenate(steps), np.concatenate(values)


@dataclass(frozen=True, slots=True)
class Turn:
    """A place in a log at which it goes back: to which step, and how far it had come.

    ``lost``: the first step that does not count of what came before; ``anew``: nothing of that
    counts.
    """

    place: int
    step: int
    lost: int
    before: int
    anew: bool


def first_lost(steps: Integers) -> int:
    """Return the first step that a run lost which was resumed and logged ``steps`` then.

    It logs every so many steps, and was resumed that many before the first of them at the latest.
    """
    begin = int(steps[0])
    if len(steps) > 2 and 0 < steps[1] - begin == steps[2] - steps[1]:
        return begin - int(steps[1] - begin) + 1
    return begin


def turns(curves: Iterable[Points], purges: Collection[tuple[int, int]] = ()) -> list[Turn] | None:
    """Return where a log goes back; None if it does so all the time, being in no order.

    Args:
        curves: those of the training; others may be measured later than they are logged.
        purges: places and steps at which the log itself says that it goes back.
    """
    known = [_numbers(points.whole()) for points in curves if points.pieces]
    jumps = {place: (step, step) for place, step in purges}
    for places, steps, _ in known:
        for at in (np.flatnonzero(steps[1:] < steps[:-1]) + 1).tolist():
            jump, place = (int(steps[at]), first_lost(steps[at : at + 3])), int(places[at])
            jumps[place] = min(jump, jumps.get(place, jump))
    if not jumps or not known:
        return []
    places, steps, _ = _joined(known)
    order = np.argsort(places, kind="stable")
    places, steps = places[order], steps[order]
    if FEW * (len(jumps) - len(purges)) > len(np.unique(places)):
        return None
    found, start = [], 0
    for place, (step, lost) in sorted(jumps.items()):
        end = int(np.searchsorted(places, place))
        attempt = steps[start:end]
        if len(attempt) and attempt.max() >= step:
            anew = bool(lost <= steps[:end].min())
            found.append(Turn(place, step, lost, int(attempt.max()), anew))
            start = end
    return found


def _numbers(piece: Piece) -> Piece:
    """Return the points that are not NaN, which may be of rows that say nothing of the curve."""
    there = ~np.isnan(piece[2])
    return piece[0][there], piece[1][there], piece[2][there]


def outlived(turned: list[Turn], places: Integers, steps: Integers) -> Booleans:
    """Return which points no later turn has taken back."""
    least = np.minimum.accumulate([turn.lost for turn in reversed(turned)])[::-1]
    limits = np.append(least, np.iinfo(np.int64).max)
    after = np.searchsorted([turn.place for turn in turned], places, side="right")
    found: Booleans = steps < limits[after]
    return found


def measured(curves: Mapping[str, Piece]) -> dict[str, Booleans]:
    """Return of curves with gaps, by canonical name, which points are of rows that measure them.

    A table of all rows has a NaN wherever a row says nothing of a column: a row of an evaluation in
    all columns of the training. A run that has diverged has NaN too, but then in a row in which
    nothing else is measured, or other curves of the training are.
    """
    size = 1 + max(int(places[-1]) for places, _, _ in curves.values())
    rows: dict[str, Booleans] = {}
    for name, (places, _, values) in curves.items():
        if name.removeprefix(EVAL + evaluation_set(name)).strip("/") in USUAL:
            at = rows.setdefault(_group(name), np.zeros(size, dtype=bool))
            at[places[~np.isnan(values)]] = True
    anything = np.logical_or.reduce([np.zeros(size, dtype=bool), *rows.values()])
    found = {}
    for name, (places, _, values) in curves.items():
        own = rows.get(_group(name), np.zeros(size, dtype=bool))
        found[name] = ~np.isnan(values) | own[places] | ~anything[places]
    return found


def _group(name: str) -> str:
    """Return what is measured in one go: the training, or the set of an evaluation."""
    return EVAL + evaluation_set(name) if name.startswith(EVAL) else ""


def last_numbers(steps: Integers, values: Floats) -> tuple[Integers, Floats]:
    """Return points by step: of several at one the number that comes last, NaN if all are NaN."""
    if bool((steps[1:] > steps[:-1]).all()):
        return steps, values
    order = np.lexsort((np.arange(len(steps)), ~np.isnan(values), steps))
    steps, values = steps[order], values[order]
    last = np.append(steps[1:] != steps[:-1], True)
    return steps[last], values[last]
