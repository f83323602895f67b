"""Brings what the watcher's thread reads of runs on disk to the GUI thread.

The watcher calls back on a thread of its own; queued signals bring its records over. Knows records
and paths; knows nothing of formats or widgets.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QObject, Qt, Signal, Slot

from core.runs.records import RunLog

PATIENCE = 2.0
"""Seconds that closing waits for the watcher."""


class WatcherLike(Protocol):
    """A watcher of runs (core.runs.watch.Watcher, or a scripted one)."""

    def start(self) -> None: ...
    def watch(self, path: Path) -> None: ...
    def forget(self, path: Path) -> None: ...
    def close(self, timeout: float = 5.0) -> bool: ...


Emit = Callable[[RunLog], None]
EmitFailed = Callable[[Path, str], None]
MakeWatcher = Callable[[Emit, EmitFailed], WatcherLike]


def real_watcher(emit: Emit, emit_failed: EmitFailed) -> WatcherLike:
    """Return the watcher of core."""
    from core.runs.watch import Watcher

    return Watcher(emit, emit_failed)


class RunFollower(QObject):
    """The follower of runs, on the GUI thread for as long as the training view lives."""

    read = Signal(object)
    """The RunLog of a followed path, as it is now."""
    failed = Signal(object, str)
    """A followed path (Path), and why it cannot be read."""
    _came = Signal(object)
    _went_wrong = Signal(object, str)

    def __init__(
        self, make_watcher: MakeWatcher = real_watcher, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._make = make_watcher
        self._watcher: WatcherLike | None = None
        self._closed = False
        self._came.connect(self._pass_on, Qt.ConnectionType.QueuedConnection)
        self._went_wrong.connect(self._pass_failure, Qt.ConnectionType.QueuedConnection)

    def watch(self, path: Path) -> None:
        """Read a path now, and again whenever it changes."""
        if self._closed:
            return
        if self._watcher is None:
            self._watcher = self._make(self._came.emit, self._went_wrong.emit)
            self._watcher.start()
        self._watcher.watch(path)

    def forget(self, path: Path) -> None:
        """Stop following a path; what was read of it may still arrive."""
        if self._watcher is not None:
            self._watcher.forget(path)

    def close(self) -> None:
        """End the watcher; no signal follows. May be called again."""
        self._closed = True
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close(PATIENCE)

    @Slot(object)
    def _pass_on(self, run: RunLog) -> None:
        if not self._closed:
            self.read.emit(run)

    @Slot(object, str)
    def _pass_failure(self, path: Path, sentence: str) -> None:
        if not self._closed:
            self.failed.emit(path, sentence)
