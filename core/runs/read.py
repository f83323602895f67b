"""A training run as it lies on disk: a folder, or a log in any of the usual formats.

One way to read serves both once and live: a ``Run`` looks again as often as it is asked to, and
reads only what has changed. Never unpickles anything. Knows nothing of threads.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.checkpoints.runs import STEP
from core.errors import UserFacingError
from core.runs.curves import Curves
from core.runs.readers.events import Events
from core.runs.readers.lines import Lines, looks_like_log, looks_like_text
from core.runs.readers.states import STATE, States, parse
from core.runs.records import ABOUT, EVALUATION, HELD_OUT, RunLog, Series
from core.runs.saved import Saved, folders
from core.runs.table import Table, agree, merged
from core.runs.tail import Signature, signature, trouble

EVENTS = "events.out.tfevents.*"
EVENT_FOLDERS = ".", "runs/*", "logs", "logs/*"
"""Where trainers put event files in a run's folder; transformers: runs/TIME_HOST."""
LINES = ".jsonl", ".ndjson", ".csv"
_PLAIN = re.compile(r"out(put)?|runs?|logs?|results|training|(dpo-|sft-)?checkpoints")
"""Folders whose name says little: the one above is named too."""
CHOOSE = (
    "choose a run's folder, a trainer_state.json, a TensorBoard event file, or a log in JSON Lines "
    "or CSV"
)


def read_runs(path: Path) -> tuple[RunLog, ...]:
    """The runs at ``path``: a run's folder, a trainer state, an event file, a JSON Lines or CSV
    log. More than one only where one CSV file holds several.

    Raises:
        UserFacingError: there is no log.
    """
    run = Run(path)
    run.refresh()
    return run.logs()


def read_run(path: Path) -> RunLog:
    """The one run at ``path``.

    Raises:
        UserFacingError: there is none, or more than one.
    """
    logs = read_runs(path)
    if len(logs) > 1:
        raise UserFacingError(f"{path} holds {len(logs)} runs: choose a log of one run.")
    return logs[0]


class Run:
    """What lies at a path, looked at as often as it is asked to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = path.expanduser().absolute()
        self._is_folder = False
        self._states, self._events, self._saved = States(), Events(), Saved()
        self._lines: dict[Path, Lines] = {}
        self._data: dict[Path, Signature | None] = {}
        """Files of rows in the folder that are no logs."""
        self._about, self._evaluation = Facts(), Facts()

    def refresh(self) -> bool:
        """Look again; whether anything is different."""
        place = self._place
        self._is_folder = place.is_dir() or (self._is_folder and not place.is_file())
        changed = [False]
        if self._is_folder and not STEP.fullmatch(place.name):
            states = [place / STATE, *(folder / STATE for folder in folders(place))]
            changed = [
                self._states.refresh(states),
                self._events.refresh(self._event_files()),
                *(lines.refresh() for lines in self._logs_among(_files(place))),
                self._look_beside(place),
            ]
        elif self._is_folder or place.suffix == ".json":
            state = place / STATE if self._is_folder else place
            changed = [self._states.refresh([state])]
            if state.name == STATE:
                home = state.parent
                home = home.parent if STEP.fullmatch(home.name) else home
                changed.append(self._look_beside(home))
        elif "tfevents" in place.name:
            changed = [self._events.refresh([place])]
        if not self._is_folder and self._states.curves is None and self._events.curves is None:
            if place not in self._lines and looks_like_text(place):
                self._lines[place] = Lines(place)
            changed += [lines.refresh() for lines in self._lines.values()]
        return any(changed)

    def logs(self) -> tuple[RunLog, ...]:
        """What is known of each run.

        Raises:
            UserFacingError: there is no log.
        """
        newest = self._newest()
        sources = [self._states.curves, self._events.curves]
        sources += [lines.curves[0] for lines in newest if len(lines.curves) == 1]
        curves = _joined([source for source in sources if source is not None])
        several = [lines.curves for lines in newest if len(lines.curves) > 1]
        if several and curves is None:
            return tuple(self._log(one) for one in several[0])
        if curves is None:
            if not self._saved.checkpoints and self._evaluation.table is None:
                raise UserFacingError(self._why_nothing())
            curves = Curves("checkpoints", {}).saying(
                f"There is no training log in {self.path}, so its curves are missing."
            )
        return (self._log(curves),)

    def _event_files(self) -> Iterator[Path]:
        for folder in EVENT_FOLDERS:
            yield from self._place.glob(f"{folder}/{EVENTS}")

    def _logs_among(self, files: Iterable[Path]) -> list[Lines]:
        """The logs among the folder's files; data may lie beside them."""
        for path in files:
            if path.suffix.lower() in LINES and path not in self._lines:
                mark = signature(path)
                if self._data.get(path) != mark:
                    self._data[path] = mark
                    if looks_like_log(path):
                        self._lines[path] = Lines(path)
        return list(self._lines.values())

    def _newest(self) -> list[Lines]:
        def age(path: Path) -> int:
            mark = signature(path)
            return mark[1] if mark else 0

        return [self._lines[path] for path in sorted(self._lines, key=age, reverse=True)]

    def _look_beside(self, home: Path) -> bool:
        """Look at what else is in a run's folder; whether anything is different."""
        saved = [path for path in folders(home) if path not in self._states.strangers]
        return any(
            [
                self._saved.refresh(saved),
                self._about.refresh(home / ABOUT),
                self._evaluation.refresh(home / EVALUATION),
            ]
        )

    def _log(self, curves: Curves) -> RunLog:
        about, evaluation = self._about.table or {}, self._evaluation.table or {}
        held_out, problems = _held_out(evaluation)
        said = [*self._saved.problems, *self._about.problems, *self._evaluation.problems]
        return RunLog(
            self.path,
            curves.run or _name(self._place),
            curves.kind,
            {**curves.series, **held_out},
            self._saved.checkpoints,
            _beta(about) or _beta(evaluation),
            about,
            (*curves.problems, *said, *problems),
        )

    def _why_nothing(self) -> str:
        place = self._place
        try:
            empty = not (any(place.iterdir()) if place.is_dir() else _first_byte(place))
        except (FileNotFoundError, NotADirectoryError):
            return f"There is no {self.path}: check the path, or {CHOOSE}."
        except OSError as error:
            return trouble(self.path, error)
        if self._is_folder and STEP.fullmatch(place.name):
            return f"There is no training log in {self.path}: choose the run's folder around it."
        if empty or self._states.broken:
            return (
                f"There is no training log in {self.path} yet, or it is damaged or only half of "
                f"one: wait until there is one if it is being written, or {CHOOSE}."
            )
        return f"There is no training log in {self.path}: {CHOOSE}."


class Facts:
    """A small JSON file with an object; what is half written takes nothing away."""

    def __init__(self) -> None:
        self.table: Mapping[str, Any] | None = None
        self.problems: tuple[str, ...] = ()
        self._seen: Signature | None = None

    def refresh(self, path: Path) -> bool:
        """Look at the file; whether anything is different."""
        mark = signature(path)
        if mark == self._seen:
            return False
        self._seen, before = mark, (self.table, self.problems)
        if mark is None:
            self.problems = (trouble(path, FileNotFoundError()),) if self.table is not None else ()
        else:
            try:
                found = parse(path.read_bytes())
            except OSError:
                found = None
            if isinstance(found, dict):
                self.table, self.problems = found, ()
            elif self.table is None:
                self.problems = (f"{path} is empty or cut short and is left out.",)
        return (self.table, self.problems) != before


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _joined(sources: list[Curves]) -> Curves | None:
    """The first log, and what the others have logged since; those of another run are left out."""
    if not sources:
        return None
    first, series = sources[0], dict(sources[0].series)
    problems = list(first.problems)
    for other in sources[1:]:
        if not agree(series, other.series, within=1e-2):  # some loggers round
            problems.append(
                f"The {other.kind} there does not agree with the {first.kind}, as if it were of "
                f"another run, and is left out."
            )
            continue
        since = {name: _after(curve, series.get(name)) for name, curve in other.series.items()}
        series = merged(series, {name: curve for name, curve in since.items() if len(curve.steps)})
        problems += other.problems
    return replace(first, series=series, problems=tuple(problems))


def _after(curve: Series, known: Series | None) -> Series:
    """The part of a curve behind the end of what is known of it."""
    if known is None:
        return curve
    start = int(np.searchsorted(curve.steps, known.steps[-1], side="right"))
    return Series(curve.steps[start:], curve.values[start:])


def _held_out(evaluation: Mapping[str, Any]) -> tuple[dict[str, Series], list[str]]:
    """The curves of evaluation.json."""
    rows = evaluation.get("steps")
    if not isinstance(rows, list):
        return {}, []
    table = Table()
    good = [row for row in rows if isinstance(row, dict)]
    table.lost += len(rows) - len(good)
    table.add_rows(good)
    series = {HELD_OUT + name: curve for name, curve in table.series().items()}
    return series, table.problems(EVALUATION)


def _beta(table: Mapping[str, Any]) -> float | None:
    value = table.get("beta")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) and value > 0 else None
    return None


def _name(place: Path) -> str:
    """What people call the run."""
    if place.name == STATE or "tfevents" in place.name:
        place = place.parent
    if STEP.fullmatch(place.name):
        place = place.parent
    name = place.name if place.is_dir() else place.stem
    return f"{place.parent.name}/{name}" if _PLAIN.fullmatch(name) and place.parent.name else name


def _first_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)
