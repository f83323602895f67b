"""Panning and zooming a tree of 10,000 nodes, and gaps of the GUI thread while it grows.

"Painting" is one canvas of 1200 x 800 pixels: it fits the tree, then pans along the best path at
ten zooms, from the whole tree to twice the usual size. "Growing" is the search view behind the real
bridge; a scripted engine sends the same tree in steps of 25 nodes, as fast as a search
may at most, while a precise 8 ms timer measures the gaps between two ticks of the GUI thread. Wall
time depends on what else the machine does, so the thread's own time stands beside it.
"""

import os
import statistics
import threading
import time
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QObject, Qt, QTimer, Slot
from PySide6.QtWidgets import QApplication

from app.engine_client import EngineClient
from app.inspect.answers import StateAnswers
from app.search.canvas import TreeCanvas
from app.search.pane import SearchPane
from app.search.view import SearchView
from app.search.viewpoint import ROW, Viewpoint
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import Grown, Search, Searched
from core.search.grown import Growth
from core.text import Prompt
from tests.app.fake_engine import INFO
from tests.app.fake_search import random_growths

NODES, EACH = 10_000, 25
PROMPT = Prompt.of("Summarise this post in one sentence.")
ZOOMS = 0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0
PANS = 25
PAUSE = 0.004
"""Seconds between two steps of the scripted search: 6,000 nodes a second."""


def painting(application: QApplication) -> dict[str, Any]:
    """Milliseconds of each repainting, all and by zoom."""
    canvas = TreeCanvas()
    canvas.resize(1200, 800)
    for growth in random_growths(NODES, EACH):
        canvas.picture.take(growth)
    canvas.set_colours(0.1, ColourScale(0.2))
    canvas.show()
    canvas.refresh()
    placed = canvas.picture.placed
    assert placed is not None
    application.processEvents()
    wall: dict[str, list[float]] = {}
    own: list[float] = []
    way = canvas.picture.tree.path(int(canvas.picture.best_leaf()))

    def paint(name: str) -> None:
        begin = time.thread_time()
        canvas.update()
        application.processEvents()
        own.append(1000 * (time.thread_time() - begin))
        wall.setdefault(name, []).append(canvas.paint_ms)

    for _ in range(PANS):
        canvas.fit()
        paint("whole tree")
    for zoom in ZOOMS:
        for pan in range(PANS):
            entry = int(way[len(way) * pan // PANS])
            left = float(placed.x[entry]) - 600 / zoom
            top = float(placed.row[entry]) * ROW - 400 / zoom
            canvas.look_from(Viewpoint(zoom, left, top))
            paint(f"zoom {zoom:g}")
    canvas.close()
    canvas.deleteLater()
    every = sorted(ms for times in wall.values() for ms in times)
    return {
        "median": statistics.median(every),
        "p95": every[int(0.95 * len(every))],
        "longest": every[-1],
        "median of the thread's own time": statistics.median(own),
        "medians": {name: statistics.median(times) for name, times in wall.items()},
    }


class Script:
    """An engine that only grows one tree, on a thread of its own."""

    def __init__(self, emit: Any, growths: list[Growth]) -> None:
        self._emit, self._growths = emit, growths
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._grow, daemon=True)
        self._request: Search | None = None

    def start(self) -> None:
        """The search starts the thread."""

    def submit(self, request: Any) -> None:
        self._request = request
        self._thread.start()

    def cancel(self, kind: Any = None, topic: str = "") -> None:
        self._stop.set()

    def close(self, timeout: float = 5.0) -> bool:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _grow(self) -> None:
        assert self._request is not None
        id, pane = self._request.id, self._request.pane
        for growth in self._growths:
            if self._stop.wait(PAUSE):
                return
            self._emit(Grown(id, pane, growth))
        self._emit(Searched(id, pane, len(self._growths), NODES, 1.0, "tree"))


class Watch(QObject):
    """Lives on the GUI thread and ticks."""

    def __init__(self, pane: SearchPane) -> None:
        super().__init__()
        self.pane = pane
        self.gaps: list[float] = []
        self.own: list[float] = []
        self.last, self.last_own = time.perf_counter(), time.thread_time()
        self.timer = QTimer(self)
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(8)
        self.timer.timeout.connect(self.tick)
        self.timer.start()

    @Slot()
    def tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(1000 * (now - self.last))
        own = time.thread_time()
        self.own.append(1000 * (own - self.last_own))
        self.last, self.last_own = now, own
        if self.pane.state == "done":
            self.timer.stop()
            QApplication.quit()


def growing(application: QApplication) -> dict[str, Any]:
    """Milliseconds between two ticks while the tree grows to its full size."""
    growths = random_growths(NODES, EACH)  # made before anything is measured
    bridge = EngineClient(lambda emit: Script(emit, growths))
    view = SearchView(bridge, StateAnswers(), lambda: PROMPT)
    view.set_pair(INFO)
    view.resize(1440, 900)
    view.show()
    application.processEvents()
    pane = view.trees.panes["left"]
    watch = Watch(pane)
    begin = time.perf_counter()
    view.grow()
    application.exec()
    seconds = time.perf_counter() - begin
    bridge.close()
    nodes = len(pane.tree)
    view.close()
    view.deleteLater()
    ordered = sorted(watch.gaps)
    return {
        "nodes": nodes,
        "seconds": seconds,
        "median": statistics.median(ordered),
        "p99": ordered[int(0.99 * (len(ordered) - 1))],
        "longest": ordered[-1],
        "longest of the thread's own time": max(watch.own),
    }


def measure() -> dict[str, Any]:
    """Milliseconds: painting, and gaps while growing."""
    application = QApplication.instance() or QApplication([])
    assert isinstance(application, QApplication)
    painted = painting(application)
    grown = growing(application)
    return {
        "nodes": NODES,
        "painting": painted,
        "gaps while growing": grown,
        "asked": {"median painting": 16, "longest gap": 50},
        "reached": painted["median"] <= 16 and grown["longest"] <= 50,
    }
