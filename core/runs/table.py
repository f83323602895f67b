"""Curves as they are gathered: numbers by name and step, chunk after chunk, the later one winning.

Turns rows and columns of whatever was logged into numbers; which of them count core.runs.points
says. Knows nothing of files.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.runs.names import LONGEST, STEPS, canonical, is_usual, settled, step_column
from core.runs.points import (
    Floats,
    Integers,
    Piece,
    Points,
    Turn,
    last_numbers,
    measured,
    outlived,
    turns,
)
from core.runs.records import EVAL, Series
from core.runs.tail import check

WRAPPERS = "data", "metrics", "logs"
"""Names under which loggers put all that they log (verl: "data")."""
NAMED_BY = "tag", "key", "metric"
"""Columns that name the curve of which the same row has a "value" (tbparse, MLflow)."""
ABSENT = frozenset({"", "null", "none", "n/a", "na", "-", "no log"})
"""What a cell says that holds nothing, in lower case."""
PIECE = 1 << 20
"""Bytes that are parsed in one call."""
MOST = float(2**53)
"""A step beyond this is no count."""
MOST_CURVES = 10_000
MOST_POINTS = 20_000_000
"""Of one log; what is beyond is said and left out, since no log of a training has as much."""
MANY_SHAPES = 256
"""Rows of a log have a few shapes (names of cells); after so many it is asked whether to go on."""
DEEPEST = 16
"""Rows inside rows."""
_FLOATS = msgspec.json.Decoder(list[float])


class Table:
    """The curves of one log.

    Points are kept in the order in which they were logged, so that a log read in pieces and a log
    read at once give the same. A log that goes back to an earlier step is of a run that was
    resumed, or of another stage: what it had logged from there on before does not count.
    """

    def __init__(self) -> None:
        self._stepped: dict[str, Points] = {}
        self._counted: dict[str, Points] = {}
        """Of rows that say no step, over the number of their row."""
        self._purges: list[tuple[int, int]] = []
        self._wrong: Counter[str] = Counter()
        self._rows = 0
        self._names: dict[str, str] = {}
        """TRL's name of a curve, by the name that it was logged under."""
        self._points = 0
        self._beyond = False
        """Whether there was more than is kept of a log."""
        self._unstepped = 0
        self.lost = 0
        """Rows that say nothing usable."""
        self.notes: tuple[str, ...] = ()
        """What else is to be said of the log, behind its name."""

    @property
    def unsure(self) -> bool:
        """Return whether the log says no steps itself."""
        return bool(self.notes) or not self._stepped

    def add_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in rows of names and values, in the order in which they were logged."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, row in enumerate(rows):
            groups.setdefault(tuple(row), []).append(place)
        if any(dict in map(type, rows[places[0]].values()) for places in groups.values()):
            self.add_rows([dict(_flat(row)) for row in rows])
            return
        if any(map(_named_by, groups)):
            self.add_rows([_by_name(row) for row in rows])
            return
        stepped: dict[str, list[Piece]] = defaultdict(list)
        counted: dict[str, list[Piece]] = defaultdict(list)
        for number, (names, places) in enumerate(groups.items(), 1):
            if number % MANY_SHAPES == 0:
                check()
            some = rows if len(groups) == 1 else [rows[place] for place in places]
            columns = [list(map(itemgetter(name), some)) for name in names]
            at = self._rows + np.array(places)
            has_steps = self._gather(names, columns, at, stepped, counted)
            if not has_steps and any(is_usual(canonical(name)) for name in names):
                self._unstepped += len(places)
        self._take(stepped, counted, len(rows))

    def add_columns(self, names: tuple[str, ...], columns: Sequence[Sequence[Any]]) -> None:
        """Take in rows that all have the same names, given by column."""
        if _named_by(names):
            self.add_rows(
                [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            )
            return
        count = len(columns[0]) if columns else 0
        stepped: dict[str, list[Piece]] = defaultdict(list)
        counted: dict[str, list[Piece]] = defaultdict(list)
        self._gather(names, columns, self._rows + np.arange(count), stepped, counted)
        self._take(stepped, counted, count)

    def add_points(self, pieces: Mapping[str, list[Piece]], count: int) -> None:
        """Take in points by the names that they were logged under, of ``count`` rows."""
        moved = {
            name: [(places + self._rows, steps, values) for places, steps, values in some]
            for name, some in pieces.items()
        }
        self._take(moved, {}, count)

    def purge(self, place: int, step: int) -> None:
        """Take back what was logged from a step on before a place among the next rows."""
        self._purges.append((self._rows + place, step))

    def series(self) -> dict[str, Series]:
        """Return the curves; of several values at one step the number that was logged last."""
        chosen = self._stepped or self._counted
        if not self._stepped and not any(map(is_usual, chosen)):
            return {}  # rows of numbers, but no log
        whole = {name: points.whole() for name, points in chosen.items()}
        full = all(points.finite for points in chosen.values())
        kept, turned = {} if full else measured(whole), self._turns()
        made = {}
        for name, (places, steps, values) in whole.items():
            counts = kept.get(name)
            if turned:
                valid = outlived(turned, places, steps)
                counts = valid if counts is None else counts & valid
            if counts is not None:
                steps, values = steps[counts], values[counts]
            if not (counts is None and chosen[name].rises):
                steps, values = last_numbers(steps, values)
            if not chosen[name].finite:
                values = np.where(np.isinf(values), np.nan, values)
            if len(steps):
                made[name] = Series(steps, values)
        return named(made)

    def _turns(self) -> list[Turn] | None:
        """Return where the log goes back; None if it is in no order."""
        usual = {name: it for name, it in self._stepped.items() if is_usual(name)} or self._stepped
        training = [it for name, it in usual.items() if not name.startswith(EVAL)]
        if not self._purges and not any(points.returns for points in training):
            return []
        return turns(training, self._purges)

    def _twice(self) -> int:
        """Return at how many steps a usual curve has different numbers."""
        found = set[int]()
        for name, points in (self._stepped or self._counted).items():
            if is_usual(name) and not points.rises:
                _, steps, values = points.whole()
                order = np.lexsort((values, steps))
                steps, values = steps[order], values[order]
                again = (steps[1:] == steps[:-1]) & (values[1:] > values[:-1])
                found.update(steps[1:][again].tolist())
        return len(found)

    def problems(self, where: str) -> list[str]:
        """Say what was left out, and why; ``where``: the file, in words."""
        said = []
        lost = self.lost + (self._unstepped if self._stepped else 0)
        known = self._stepped or self._counted
        wrong = sum(n for name, n in self._wrong.items() if name in known or is_usual(name))
        if lost or wrong:
            what = [_count(lost, "row")] * bool(lost) + [_count(wrong, "value")] * bool(wrong)
            said.append(
                f"{' and '.join(what)} of {where} could not be read as numbers over steps and "
                f"{'is' if lost + wrong == 1 else 'are'} left out."
            )
        said += [f"{where} {note}" for note in self.notes]
        if self._beyond:
            said.append(
                f"{where} has more than {MOST_CURVES:,} curves or {MOST_POINTS:,} numbers, or "
                f"names of more than {LONGEST} letters: the rest is left out."
            )
        if self._counted and not self._stepped:
            said.append(f"{where} says no steps, so its rows are counted instead.")
        turned = self._turns()
        if twice := self._twice() if turned == [] else 0:
            said.append(
                f"{where} has different numbers for one step at {_count(twice, 'step')}: the last "
                f"ones count."
            )
        if turned is None:
            said.append(
                f"The rows of {where} are not in the order of their steps: they are sorted."
            )
            turned = []
        anew = [turn for turn in turned if turn.anew]
        if anew:
            last = anew[-1]
            said.append(
                f"{where} begins anew{_times(anew)} at step {last.step:,} after step "
                f"{last.before:,}, as another stage or run does: only what follows is shown."
            )
        if back := [turn for turn in turned if not anew or turn.place > anew[-1].place]:
            last = back[-1]
            said.append(
                f"{where} goes back{_times(back)} from step {last.before:,} to {last.step:,}, as a "
                f"resumed run does: what was logged from there on before is left out."
            )
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
        steps, good = places + 1, None
        if at is not None:
            raw, _, _ = numbers(_steps(columns[at]))
            fine = (raw >= 0) & (raw <= MOST) & (raw == np.floor(raw))
            good = None if fine.all() else fine
            self.lost += int(len(fine) - fine.sum())
            steps = np.where(fine, raw, 0).astype(np.int64)
        for index, name in enumerate(names):
            if index == at or not name:
                continue
            name = self._name(name)
            if not name:
                continue
            values, there, wrong = numbers(columns[index])
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
        for source, curves in (stepped, self._stepped), (counted, self._counted):
            for logged, pieces in source.items():
                self._points += sum(len(steps) for _, steps, _ in pieces)
                if self._points > MOST_POINTS:
                    self._beyond = True
                elif name := self._name(logged):
                    curves.setdefault(name, Points()).add(pieces)
        self._rows += rows

    def _name(self, logged: str) -> str:
        """Return TRL's name of a curve; "" if there are too many already."""
        known = self._names.get(logged)
        if known is None:
            if len(self._names) >= MOST_CURVES or len(logged) > LONGEST:
                self._beyond = True
                return ""
            known = self._names[logged] = canonical(logged)
        return known


def _flat(
    row: Mapping[str, Any], before: str = "", depth: int = DEEPEST
) -> Iterator[tuple[str, Any]]:
    """Yield the cells of a row, those of the rows inside it too."""
    for name, cell in row.items():
        if isinstance(cell, dict) and depth:
            yield from _flat(cell, before if name in WRAPPERS else f"{before}{name}/", depth - 1)
        else:
            yield before + name, cell


def _named_by(names: Iterable[str]) -> str:
    """Return which of a row's names is of the cell that names its value's curve; "" for none."""
    known = {name.strip().lower(): name for name in names}
    return next((known[by] for by in NAMED_BY if by in known and "value" in known), "")


def _by_name(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its value by the name of the value's curve."""
    if not (by := _named_by(row)):
        return dict(row)
    kept = {name: cell for name, cell in row.items() if name.strip().lower() in STEPS}
    value = next(cell for name, cell in row.items() if name.strip().lower() == "value")
    return kept | {str(row[by]): value}


def _steps(column: Sequence[Any]) -> Sequence[Any]:
    """Return a column of steps, without what parts thousands ("1,000"), and without the last step
    of all where it follows each ("3/80")."""
    if column and isinstance(column[0], str) and set("/,") & set().union(*map(str, column)):
        return [str(cell).partition("/")[0].replace(",", "") for cell in column]
    return column


def named(series: Mapping[str, Series]) -> dict[str, Series]:
    """Return curves by TRL's names, now that all are known that were logged together."""
    names = settled(series.keys())
    return {names.get(name, name): curve for name, curve in series.items()}


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
            *last_numbers(
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
    except (OverflowError, UnicodeEncodeError, msgspec.DecodeError):
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


def _times(turned: Sequence[Turn]) -> str:
    return f" {len(turned)} times, last" if len(turned) > 1 else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
