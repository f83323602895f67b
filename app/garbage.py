"""Has Python's garbage collected on the GUI thread, and on no other.

Python collects cycles on whichever thread happens to allocate, and widgets, menus and items are in
some of them. Qt's objects must go on the thread that they live on: those that went on the engine's
left pointers in Qt's lists, which were followed later (seen as crashes in
QApplication.setStyleSheet and QStackedWidget.setCurrentWidget). So nothing is collected by itself
while a ``Collector`` is there; a timer collects what Python would have. Knows Python's collector
and Qt's event loop; knows nothing of what is collected.
"""

import gc
import threading
import time
from collections import deque

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal, Slot

LOOK_MS = 100
"""Between two looks whether there is something to collect."""
SHARE = 0.01
"""Of the time at most that full collections take; the young are collected whenever it is due."""
PATIENCE = 2.0
"""Seconds that another thread waits for the garbage to be gone, before it goes on without."""
FULL = 2
"""The oldest generation."""


class Collector(QObject):
    """Collects on the thread that makes it, until ``end``; there is one of an application."""

    _wanted = Signal()

    def __init__(self, application: QCoreApplication) -> None:
        super().__init__(application)
        self._thread = threading.get_ident()
        self._waiting: deque[threading.Event] = deque()
        self._next_full = 0.0
        self._wanted.connect(self._collect_all, Qt.ConnectionType.QueuedConnection)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(LOOK_MS)
        gc.disable()

    def end(self) -> None:
        """Let Python collect by itself again; may be called again."""
        self._timer.stop()
        gc.enable()
        self._collect_all()

    def collect(self) -> None:
        """Have all garbage collected; returns when it is, or soon. For any thread."""
        if threading.get_ident() == self._thread:
            gc.collect()
            return
        done = threading.Event()
        self._waiting.append(done)
        self._wanted.emit()
        done.wait(PATIENCE)

    @Slot()
    def _collect_all(self) -> None:
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if waiting:
            gc.collect()
        for done in waiting:
            done.set()

    @Slot()
    def _look(self) -> None:
        """Collect what Python would by its thresholds, which the engine changes while it loads."""
        made, limits = gc.get_count(), gc.get_threshold()
        if not limits[0] or made[0] <= limits[0]:
            return
        old = limits[FULL] and made[FULL] > limits[FULL]
        if old and time.perf_counter() >= self._next_full:
            began = time.perf_counter()
            gc.collect(FULL)
            ended = time.perf_counter()
            self._next_full = ended + (ended - began) / SHARE
        else:
            gc.collect(int(made[1] > limits[1]))


def collect() -> None:
    """Have all garbage collected on the thread where it may be; for any thread."""
    application = QCoreApplication.instance()
    collector = application.findChild(Collector) if application is not None else None
    if collector is not None:
        collector.collect()
    else:
        gc.collect()
