"""Curves as they are gathered: numbers by name and step, chunk after chunk, the later one winning.

Turns rows and columns of whatever was logged into numbers. Knows nothing of files.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.runs.names import canonical, is_usual, step_column
from core.runs.records import Series

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Piece = tuple[Integers, Integers, Floats]
"""Some points of a curve: their places in the log, steps, values."""
ABSENT = frozenset({"", "null", "none", "n/a", "na", "-"})
"""What a cell says that holds nothing, in lower case."""
PIECE = 1 << 20
"""Bytes that are parsed in one call."""
MOST = float(2**53)
"""A step beyond this is no count."""
_FLOATS = msgspec.json.Decoder(list[float])


class Table:
    """The curves of one log.

    Chunks are kept in the order in which they were logged, so that a log read in pieces and a log
    read at once give the same.
    """

    def __init__(self) -> None:
        self._chunks: dict[str, list[tuple[Integers, Floats]]] = {}
        self._counted: dict[str, list[tuple[Integers, Floats]]] = {}
        """Points of rows that say no step, over the number of their row."""
        self._wrong: Counter[str] = Counter()
        self._rows = 0
        self._unstepped = 0
        self.lost = 0
        """Rows that say nothing usable."""

    def add_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in rows of names and values, in the order in which they were logged."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, row in enumerate(rows):
            groups.setdefault(tuple(row), []).append(place)
        stepped: dict[str, list[Piece]] = defaultdict(list)
        counted: dict[str, list[Piece]] = defaultdict(list)
        for names, places in groups.items():
            some = rows if len(groups) == 1 else [rows[place] for place in places]
            columns = [list(map(itemgetter(name), some)) for name in names]
            has_steps = self._gather(names, columns, np.array(places), stepped, counted)
            if not has_steps and any(is_usual(canonical(name)) for name in names):
                self._unstepped += len(places)
        self._take(stepped, counted, len(rows))

    def add_columns(self, names: tuple[str, ...], columns: Sequence[Sequence[Any]]) -> None:
        """Take in rows that all have the same names, given by column."""
        count = len(columns[0]) if columns else 0
        stepped: dict[str, list[Piece]] = defaultdict(list)
        counted: dict[str, list[Piece]] = defaultdict(list)
        self._gather(names, columns, np.arange(count), stepped, counted)
        self._take(stepped, counted, count)

    def add_points(self, pieces: Mapping[str, list[Piece]]) -> None:
        """Take in points by the names that they were logged under."""
        self._take(pieces, {}, 0)

    def series(self) -> dict[str, Series]:
        """Return the curves; of several values at one step the one logged last."""
        chosen = self._chunks or self._counted
        if not self._chunks and not any(map(is_usual, chosen)):
            return {}  # rows of numbers, but no log
        for name, chunks in chosen.items():
            steps, values = chunks[0]
            if len(chunks) > 1:
                steps = np.concatenate([chunk[0] for chunk in chunks])
                values = np.concatenate([chunk[1] for chunk in chunks])
            chosen[name] = [_last_of_each_step(steps, values)]
        return {name: Series(*chunks[0]) for name, chunks in chosen.items()}

    def problems(self, where: str) -> list[str]:
        """Say what was left out, and why; ``where``: the file, in words."""
        said = []
        lost = self.lost + (self._unstepped if self._chunks else 0)
        known = self._chunks or self._counted
        wrong = sum(n for name, n in self._wrong.items() if name in known or is_usual(name))
        if lost or wrong:
            what = [_count(lost, "row")] * bool(lost) + [_count(wrong, "value")] * bool(wrong)
            said.append(
                f"{' and '.join(what)} of {where} could not be read as numbers over steps and "
                f"{'is' if lost + wrong == 1 else 'are'} left out."
            )
        if self._counted and not self._chunks:
            said.append(f"{where} says no steps, so its rows are counted instead.")
        return said

    def _gather(
        self,
        names: tuple[str, ...],
        columns: Sequence[Sequence[Any]],
        places: Integers,
        stepped: dict[str, list[Piece]],
        counted: dict[str, list[Piece]],
    ) -> bool:
        """Put points of rows with the same names into ``stepped``, or ``counted`` if no name is the
        step's; return whether one is."""
        at = step_column(names)
        if not len(places):
            return at is not None
        into = counted if at is None else stepped
        steps, good = self._rows + places + 1, None
        if at is not None:
            raw, _, _ = numbers(columns[at])
            fine = (raw >= 0) & (raw <= MOST) & (raw == np.floor(raw))
            good = None if fine.all() else fine
            self.lost += int(len(fine) - fine.sum())
            steps = np.where(fine, raw, 0).astype(np.int64)
        for index, name in enumerate(names):
            if index == at:
                continue
            values, there, wrong = numbers(columns[index])
            name = canonical(name)
            if wrong:
                self._wrong[name] += wrong
            if good is not None:
                there = good if there is None else good & there
            if there is None:
                into[name].append((places, steps, values))
            elif there.any():
                into[name].append((places[there], steps[there], values[there]))
        return at is not None

    def _take(
        self, stepped: Mapping[str, list[Piece]], counted: Mapping[str, list[Piece]], rows: int
    ) -> None:
        self._rows += rows
        for source, chunks in (stepped, self._chunks), (counted, self._counted):
            for name, pieces in source.items():
                chunks.setdefault(canonical(name), []).append(_in_order(pieces))


def _in_order(pieces: list[Piece]) -> tuple[Integers, Floats]:
    """Return the points of several pieces in the order in which they were logged."""
    _, steps, values = pieces[0]
    if len(pieces) > 1:
        order = np.argsort(np.concatenate([piece[0] for piece in pieces]), kind="stable")
        steps = np.concatenate([piece[1] for piece in pieces])[order]
        values = np.concatenate([piece[2] for piece in pieces])[order]
    return steps, np.where(np.isinf(values), np.nan, values)


def _last_of_each_step(steps: Integers, values: Floats) -> tuple[Integers, Floats]:
    if bool((steps[1:] > steps[:-1]).all()):
        return steps, values
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    last = np.append(steps[1:] != steps[:-1], True)
    return steps[last], values[last]


def merged(*logs: Mapping[str, Series]) -> dict[str, Series]:
    """Lay curves over each other: where several have a step, the last one is right."""
    found: dict[str, list[Series]] = {}
    for log in logs:
        for name, series in log.items():
            found.setdefault(name, []).append(series)
    return {
        name: several[0]
        if len(several) == 1
        else Series(
            *_last_of_each_step(
                np.concatenate([series.steps for series in several]),
                np.concatenate([series.values for series in several]),
            )
        )
        for name, several in found.items()
    }


def agree(one: Mapping[str, Series], other: Mapping[str, Series], within: float = 1e-4) -> bool:
    """Return whether two logs say the same, up to a relative ``within``, where both have a step."""
    for name in one.keys() & other.keys():
        if is_usual(name):
            a, b = one[name], other[name]
            left = np.minimum(np.searchsorted(a.steps, b.steps), len(a.steps) - 1)
            both = a.steps[left] == b.steps
            mine, theirs = a.values[left[both]], b.values[both]
            if not np.allclose(mine, theirs, within, within / 100, equal_nan=True):
                return False
    return True


def last_step(log: Mapping[str, Series]) -> int:
    """Return the last step of any curve; −1 if there is none."""
    return max((int(series.steps[-1]) for series in log.values() if len(series.steps)), default=-1)


def numbers(column: Sequence[Any]) -> tuple[Floats, NDArray[np.bool_] | None, int]:
    """Return a column as numbers, which cells hold one (None: all), how many hold something else.

    What is no finite number (NaN, Infinity, as a literal or in words) is there, as NaN or ±inf.
    """
    kinds = set(map(type, column))
    try:
        if kinds <= {float, int}:
            return np.array(column, dtype=np.float64), None, 0
        if kinds <= {float, int, type(None)}:
            there = np.fromiter((cell is not None for cell in column), bool, len(column))
            return np.array(column, dtype=np.float64), there, 0
        if kinds == {str}:
            return _written(column)
    except (OverflowError, msgspec.DecodeError):
        pass
    return _one_by_one(column)


def _written(column: Sequence[str]) -> tuple[Floats, NDArray[np.bool_] | None, int]:
    """Read a column of text; raise DecodeError where a cell holds anything but a plain number."""
    filled = [cell for cell in column if cell]
    found = _FLOATS.decode("[" + ",".join(filled) + "]")
    if len(found) != len(filled):
        raise msgspec.DecodeError("a cell with a comma")
    if len(filled) == len(column):
        return np.array(found), None, 0
    there = np.fromiter(map(bool, column), bool, len(column))
    values = np.full(len(column), np.nan)
    values[there] = found
    return values, there, 0


def _one_by_one(column: Iterable[Any]) -> tuple[Floats, NDArray[np.bool_] | None, int]:
    values, there, wrong = [], [], 0
    for cell in column:
        number = float("nan")
        absent = cell is None or (isinstance(cell, str) and cell.strip().lower() in ABSENT)
        good = not absent and isinstance(cell, str | int | float) and not isinstance(cell, bool)
        if good:
            try:
                number = float(cell)
            except ValueError:
                good = False
            except OverflowError:
                number = float("inf")
        values.append(number)
        there.append(good)
        wrong += not good and not absent
    return np.array(values, dtype=np.float64), np.array(there, dtype=bool), wrong


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
