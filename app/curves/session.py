"""Holds the open runs: their colours, which are shown, and what is remembered of them.

Plain records; knows nothing of widgets or files.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from core.runs.records import RunLog

LIVE_SECONDS = 75.0
"""Seconds within which a log must have grown to count as being written."""
LAST_WORDS_SECONDS = 10.0
"""Seconds after the end of a training in which what is still written does not make it live."""


@dataclass(slots=True)
class OpenRun:
    """A run in the list.

    ``source``: the path that was opened, which may hold several runs; ``hue``: its number among the
    hues; ``beta``: the user's, where the log says none; ``grew_at``: when its log was last seen to
    grow; ``ended_at``: when its training is known to have ended; ``problem``: of the last reading,
    "" for none.
    """

    source: Path
    hue: int
    log: RunLog
    visible: bool = True
    beta: float | None = None
    grew_at: float | None = None
    ended_at: float | None = None
    problem: str = ""

    @property
    def key(self) -> str:
        """Return what the run is known by."""
        return run_key(self.source, self.log.name)

    @property
    def name(self) -> str:
        """Return the log's name."""
        return self.log.name

    def known_beta(self) -> float | None:
        """Return the log's beta, else the user's; None where neither is known."""
        return self.log.beta if self.log.beta is not None else self.beta

    def problems(self) -> tuple[str, ...]:
        """Return what went wrong at the last reading, and what the log's reader says of it."""
        return (self.problem, *self.log.problems) if self.problem else self.log.problems


@dataclass(frozen=True, slots=True)
class RememberedRun:
    """The choices about a run that are remembered between sessions."""

    source: str
    name: str
    visible: bool
    beta: float | None


def run_key(source: Path, name: str) -> str:
    """Return what a run is known by."""
    return f"{source}\n{name}"


class Session:
    """The open runs, in the order in which they were opened."""

    def __init__(self) -> None:
        self.runs: list[OpenRun] = []
        self._recalled: dict[str, RememberedRun] = {}
        self._removed: set[str] = set()
        """Keys of removed runs of paths that are still open: a new reading must not add them."""

    def take(self, log: RunLog, now: float) -> None:
        """Take a run as it is now, new or known, unless it was removed."""
        key = run_key(log.path, log.name)
        if key in self._removed:
            return
        run = self.find(key)
        if run is None:
            run = OpenRun(log.path, self._free_hue(), log)
            if (old := self._recalled.get(key)) is not None:
                run.visible, run.beta = old.visible, old.beta
            self.runs.append(run)
        elif _size(log) != _size(run.log):
            last_words = run.ended_at is not None and now - run.ended_at < LAST_WORDS_SECONDS
            run.grew_at = None if last_words else now
        run.log, run.problem = log, ""

    def remove(self, run: OpenRun) -> bool:
        """Take a run out; return True if its path has no other one."""
        self.runs.remove(run)
        self._removed.add(run.key)
        if self.of(run.source):
            return False
        self._removed -= {key for key in self._removed if key.startswith(f"{run.source}\n")}
        return True

    def bring_back(self, source: Path) -> bool:
        """Let a path's removed runs come back with its next reading; return whether there are
        any."""
        gone = {key for key in self._removed if key.startswith(f"{source}\n")}
        self._removed -= gone
        return bool(gone)

    def find(self, key: str) -> OpenRun | None:
        """Return the open run with a key, if there is one."""
        return next((run for run in self.runs if run.key == key), None)

    def of(self, source: Path) -> list[OpenRun]:
        """Return the open runs of a path."""
        return [run for run in self.runs if run.source == source]

    def visible(self) -> list[OpenRun]:
        """Return the runs whose curves are shown."""
        return [run for run in self.runs if run.visible]

    def live(self, now: float) -> set[str]:
        """Return the keys of the runs whose logs grow."""
        return {
            run.key
            for run in self.runs
            if run.grew_at is not None and now - run.grew_at < LIVE_SECONDS
        }

    def mark_ended(self, source: Path, now: float) -> None:
        """Note that a path's runs were ended: what is written in the next moments is their end."""
        for run in self.of(source):
            run.grew_at, run.ended_at = None, now

    def _free_hue(self) -> int:
        taken = {run.hue for run in self.runs}
        return next(place for place in range(len(taken) + 1) if place not in taken)

    # --- memory -----------------------------------------------------------------------------

    def remembered(self) -> str:
        """Return all open runs as a string for the settings."""
        return json.dumps(
            [asdict(RememberedRun(str(r.source), r.name, r.visible, r.beta)) for r in self.runs]
        )

    def recall(self, found: list[RememberedRun]) -> list[Path]:
        """Take the runs that ``remembered`` gave; return the paths to open."""
        found = [replace(m, beta=m.beta if _is_beta(m.beta) else None) for m in found]
        self._recalled = {run_key(Path(m.source), m.name): m for m in found}
        return list(dict.fromkeys(Path(m.source) for m in found))


def _is_beta(value: float | None) -> bool:
    return value is not None and 0 < value < math.inf


def _size(log: RunLog) -> tuple[int, int]:
    return log.last_step, sum(len(series.steps) for series in log.series.values())
