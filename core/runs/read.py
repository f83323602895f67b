"""A training run as it lies on disk: a folder, or a log in any format that has a reader.

One way to read serves both once and live: a ``Run`` looks again as often as it is asked to, and
reads only what has changed. Never unpickles anything. Knows no format, and nothing of threads.
"""

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.checkpoints.loss import training_loss
from core.checkpoints.provenance import measured_beta, read_provenance
from core.checkpoints.saved import Saved, folders
from core.errors import UserFacingError
from core.files import ENTRIES, entries, is_possible, open_file
from core.progress import Stop, never
from core.provenance import UNKNOWN, Provenance
from core.runs.json_file import JsonFile
from core.runs.losses import beta_of, loss_of
from core.runs.names import evaluation_sets
from core.runs.reader import Curves, Found, formats
from core.runs.records import ABOUT, EVALUATION, HELD_OUT, STATE, STEP, RunLog, Series
from core.runs.table import Table, agree, merged
from core.runs.tail import STOP, trouble

_PLAIN = re.compile(r"out(put)?|runs?|logs?|results|training|(dpo-|sft-)?checkpoints")
"""Folders whose name says little: the one above is named too."""
CHOOSE = (
    "choose a run's folder, a trainer_state.json, a TensorBoard event file, a log in JSON Lines or "
    "CSV, or what the trainer printed"
)


def read_runs(path: Path) -> tuple[RunLog, ...]:
    """Return the runs at ``path``, a run's folder or a log.

    More than one only where one file holds several.

    Raises:
        UserFacingError: there is no log.
    """
    run = Run(path)
    run.refresh()
    return run.logs()


def read_run(path: Path) -> RunLog:
    """Return the one run at ``path``.

    Raises:
        UserFacingError: there is none, or more than one.
    """
    logs = read_runs(path)
    if len(logs) > 1:
        raise UserFacingError(f"{path} holds {len(logs)} runs: choose a log of one run.")
    return logs[0]


class Run:
    """What lies at a path, looked at as often as it is asked to."""

    def __init__(self, path: Path, stop: Stop = never) -> None:
        """``stop()``: whether a look that is under way is no longer wanted, or not yet."""
        self.path = path
        self._stop = stop
        self._place = _place(path)
        self._is_folder = False
        self._readers = [format.make() for format in formats()]
        self._found = [Found() for _ in self._readers]
        self._saved = Saved()
        self._about, self._evaluation = JsonFile(), JsonFile()
        self._known: tuple[object, Provenance] = None, UNKNOWN
        """What files say of the training, and what of the run was there when they were read."""
        self._changed = False

    def refresh(self) -> bool:
        """Look again; return whether anything is different.

        Raises:
            UserFacingError: the path can be none.
            Cancelled: soon after ``stop()`` has turned true; the next look goes on from there.
        """
        place = self._place
        if not is_possible(place):
            raise UserFacingError(f"{str(self.path)!r} is no possible path: {CHOOSE}.")
        self._is_folder = place.is_dir() or (self._is_folder and not place.is_file())
        token = STOP.set(self._stop)
        try:
            for number, reader in enumerate(self._readers):
                found = reader.look(place)
                self._changed |= found is not self._found[number]
                self._found[number] = found
                if found.curves and not self._is_folder:
                    break  # a file is of one format
        finally:
            STOP.reset(token)
        home = self._home()
        changed = (home is not None and self._look_beside(home)) or self._changed
        self._changed = False
        return changed

    def logs(self) -> tuple[RunLog, ...]:
        """Return what is known of each run.

        Raises:
            UserFacingError: there is no log.
        """
        curves = _joined([curves for found in self._found for curves in found.curves])
        several = next((found.several for found in self._found if found.several), ())
        if several and curves is None:
            return tuple(self._log(one) for one in several)
        if curves is None:
            if not self._saved.checkpoints and self._evaluation.table is None:
                raise UserFacingError(self._why_nothing())
            curves = Curves("checkpoints", {}).saying(
                f"There is no training log in {self.path}, so its curves are missing."
            )
        return (self._log(curves),)

    def _home(self) -> Path | None:
        """Return the run's folder; None where a log lies alone, whatever is beside it."""
        if not self._is_folder and self._place.name != STATE:
            return None
        folder = self._place if self._is_folder else self._place.parent
        return folder.parent if STEP.fullmatch(folder.name) else folder

    def _look_beside(self, home: Path) -> bool:
        """Look at what else is in a run's folder; return whether anything is different."""
        strangers = frozenset[Path]().union(*(found.strangers for found in self._found))
        return any(
            [
                self._saved.refresh([path for path in folders(home) if path not in strangers]),
                self._about.refresh(home / ABOUT),
                self._evaluation.refresh(home / EVALUATION),
            ]
        )

    def _provenance(self) -> Provenance:
        """Return what the files of the run's folder say of the training; checkpoints bring more."""
        home = self._home()
        there = home, len(self._saved.checkpoints), self._about.table is None
        if home is not None and there != self._known[0]:
            with contextlib.suppress(UserFacingError):  # said of ABOUT already
                self._known = there, read_provenance(home)
        return self._known[1]

    def _log(self, curves: Curves) -> RunLog:
        known = self._provenance()
        objective = training_loss(known)
        about, evaluation = self._about.table or {}, self._evaluation.table or {}
        held_out, problems = _held_out(evaluation)
        said = [*self._saved.problems, *self._about.problems, *self._evaluation.problems]
        said += known.notes
        if known.losses and not objective.losses:
            names = ", ".join(name for name, _ in known.losses)
            said.append(f"The loss {names} by {known.sources['losses']} is none that Qscope knows.")
        beta = _beta(about) or _beta(evaluation) or known.beta
        if beta is None and (beta := _measured(curves.series)):
            said.append(f"No file says β; by the log's own rewards and log-probs it is {beta:g}.")
        sets = ", ".join(evaluation_sets(curves.series))
        return RunLog(
            self.path,
            curves.run or _name(self._place),
            curves.kind,
            {**curves.series, **held_out},
            self._saved.checkpoints,
            beta,
            about,
            (*curves.problems, *said, *problems),
            objective if objective.losses else loss_of(curves.series),
            (f"Evaluation sets with curves of their own: {sets}.",) if sets else (),
        )

    def _why_nothing(self) -> str:
        place = self._place
        try:
            begin = b"" if place.is_dir() else _first_bytes(place)
            empty = not (entries(place) if place.is_dir() else begin)
        except (FileNotFoundError, NotADirectoryError):
            return f"There is no {self.path}: check the path, or {CHOOSE}."
        except OSError as error:
            return trouble(self.path, error)
        if self._is_folder and STEP.fullmatch(place.name):
            return f"There is no training log in {self.path}: choose the run's folder around it."
        if begin in (b"\xff\xfe", b"\xfe\xff"):
            return f"{self.path} is text in UTF-16: save it as UTF-8, and open that."
        if empty or any(found.broken for found in self._found):
            return (
                f"There is no training log in {self.path} yet, or it is damaged or only half of "
                f"one: wait until there is one if it is being written, or {CHOOSE}."
            )
        if place.is_dir() and len(entries(place)) == ENTRIES:
            return (
                f"{self.path} holds more than {ENTRIES:,} files, and there is no training log in "
                f"those that were looked at: choose the log itself."
            )
        return f"There is no training log in {self.path}: {CHOOSE}."


def _joined(sources: list[Curves]) -> Curves | None:
    """Return the first log with what the others have logged since, but for those of another run."""
    if not sources:
        return None
    first, series = sources[0], dict(sources[0].series)
    problems = list(first.problems)
    for other in sources[1:]:
        if other.unsure and not first.unsure:
            continue  # its numbers are those of the first, at steps that may be others
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
    """Return the part of a curve behind the end of what is known of it."""
    if known is None:
        return curve
    start = int(np.searchsorted(curve.steps, known.steps[-1], side="right"))
    return Series(curve.steps[start:], curve.values[start:])


def _held_out(evaluation: Mapping[str, Any]) -> tuple[dict[str, Series], list[str]]:
    """Return the curves of evaluation.json, and what of it could not be read."""
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
        with contextlib.suppress(OverflowError):  # a whole number of hundreds of digits
            return float(value) if math.isfinite(value) and value > 0 else None
    return None


def _measured(series: Mapping[str, Series]) -> float | None:
    """Return the beta that a log's own curves tell; None where they do not."""
    rows: dict[int, dict[str, float]] = {}
    if any("ref" in name for name in series):
        for name, curve in series.items():
            for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
                rows.setdefault(step, {})[name] = value
    return measured_beta(rows.values()) or beta_of(series)


def _name(place: Path) -> str:
    """Return what people call the run."""
    if place.name == STATE or "tfevents" in place.name:
        place = place.parent
    if STEP.fullmatch(place.name):
        place = place.parent
    name = place.name if place.is_dir() else place.stem
    return f"{place.parent.name}/{name}" if _PLAIN.fullmatch(name) and place.parent.name else name


def _first_bytes(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read(2)


def _place(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # the home of a user that there is not
        return path.absolute()
