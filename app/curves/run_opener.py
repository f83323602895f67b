"""Opening runs and following them: which paths are open, read, waited for, and remembered.

Takes what the watcher reads into the session. Knows paths and records of runs; knows nothing of
widgets or of formats.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.curves.run_follower import MakeWatcher, RunFollower
from app.curves.session import LIVE_SECONDS, RememberedRun, Session
from app.settings import Settings, is_path
from core.runs.records import RunLog

RECENT = 8
MOST_RECALLED = 50
LIVE_LOOK_MS = 5000


class RunOpener(QObject):
    """Fills a session with the runs of the paths that are opened."""

    changed = Signal()
    """Other runs are open or shown, or they have grown, or another one is waited for."""
    curves_changed = Signal()
    """There is something else to draw."""
    live_changed = Signal()
    """Runs may have stopped growing."""
    problem = Signal(str)
    remark = Signal(str)
    """Something to know that is no fault."""

    def __init__(self, session: Session, make_watcher: MakeWatcher, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._following = RunFollower(make_watcher, self)
        self._waiting: list[Path] = []
        self._begun: set[Path] = set()
        self._recalled: set[Path] = set()
        self._missing: list[Path] = []
        self.recent: list[str] = []
        """Paths that were opened, the last one first."""
        self._live_look = QTimer(self)
        self._live_look.setSingleShot(True)
        self._live_look.timeout.connect(self._look_for_live)
        self._following.read.connect(self._read)
        self._following.failed.connect(self._failed)

    def open(self, paths: Sequence[Path], begun: bool = False) -> None:
        """Open runs' folders or logs, and follow them. ``begun``: they have just begun, and may
        have no log yet."""
        for path in paths:
            path = path.expanduser().absolute()
            if path in self._waiting:
                continue
            if self._session.of(path):
                if not self._session.bring_back(path):
                    continue
                self._following.forget(path)  # and read anew
            self._waiting.append(path)
            if begun:
                self._begun.add(path)
            self._following.watch(path)
        self.changed.emit()

    def reading(self) -> Path | None:
        """Return the first path that has been opened and not been read yet."""
        return self._waiting[0] if self._waiting else None

    def live(self) -> set[str]:
        """Return the keys of the runs that grow, and look again later whether they still do."""
        live = self._session.live(time.monotonic())
        if live and not self._live_look.isActive():
            self._live_look.start(min(LIVE_LOOK_MS, int(1000 * LIVE_SECONDS)))
        return live

    @Slot()
    def _look_for_live(self) -> None:
        self.live_changed.emit()

    def mark_ended(self, path: Path) -> None:
        """Note that what was being trained at a path has ended."""
        self._session.mark_ended(path.expanduser().absolute(), time.monotonic())
        self.live_changed.emit()

    @Slot(str)
    def remove(self, key: str) -> None:
        """Take a run out of the list; its path is followed no more once it has no other run."""
        run = self._session.find(key)
        if run is None:
            return
        if self._session.remove(run):
            self._following.forget(run.source)
        self.changed.emit()
        self.curves_changed.emit()

    @Slot(str, bool)
    def set_visible(self, key: str, on: bool) -> None:
        """Draw a run or do not."""
        if (run := self._session.find(key)) is not None:
            run.visible = on
            self.curves_changed.emit()
            self.changed.emit()

    @Slot(str, float)
    def set_beta(self, key: str, beta: float) -> None:
        """Take the user's beta for a run whose log says none; 0 takes it back."""
        if (run := self._session.find(key)) is not None:
            run.beta = beta or None
            self.curves_changed.emit()

    def close(self) -> None:
        """End the watcher and the timer; the session keeps what it has."""
        self._following.close()
        self._live_look.stop()

    # --- what the watcher says ----------------------------------------------------------------

    @Slot(object)
    def _read(self, log: RunLog) -> None:
        source = log.path
        known = self._session.of(source)
        if source not in self._waiting and not known:
            return  # it was removed meanwhile
        self._arrived(source)
        if not known and source not in self._recalled:
            others = [path for path in self.recent if path != str(source)]
            self.recent = [str(source), *others][:RECENT]
        self._session.take(log, time.monotonic())
        self.changed.emit()
        self.curves_changed.emit()

    @Slot(object, str)
    def _failed(self, source: Path, sentence: str) -> None:
        if source in self._begun:
            return
        self._arrived(source)
        if known := self._session.of(source):
            for run in known:
                run.problem = sentence
        else:
            self._following.forget(source)
            if source in self._recalled:
                self._missing.append(source)
                self.remark.emit(missing_words(self._missing))
            else:
                self.problem.emit(sentence)
        self.changed.emit()

    def _arrived(self, source: Path) -> None:
        self._begun.discard(source)
        if source in self._waiting:
            self._waiting.remove(source)

    # --- what is remembered -------------------------------------------------------------------

    def remember(self, settings: Settings) -> None:
        """Remember which runs are open and which were."""
        settings.put("training runs", self._session.remembered())
        settings.put("training recent", json.dumps(self.recent))

    def recall(self, settings: Settings) -> None:
        """Open the runs of last time again."""
        recent = settings.record("training recent", list[str], [])
        self.recent = [path for path in recent if is_path(path)][:RECENT]
        runs = settings.record("training runs", list[RememberedRun], [])
        paths = self._session.recall([run for run in runs if is_path(run.source)][:MOST_RECALLED])
        self._recalled = set(paths)
        self.open(paths)


def missing_words(paths: Sequence[Path]) -> str:
    """Return one sentence on runs of last time that are not there any more."""
    names = ", ".join(str(path) for path in paths)
    if len(paths) == 1:
        return f"A run of last time cannot be opened any more: {names}."
    return f"{len(paths)} runs of last time cannot be opened any more: {names}."
