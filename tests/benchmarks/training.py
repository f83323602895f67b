"""Panning the training view's charts over 100,000 steps of two runs, against plain pyqtgraph.

"Painting" is the reward chart alone, 1200 x 400 pixels: chosen, rejected and −β KL of two runs,
each smoothed with its raw points behind it (twelve curves), panned at several zooms. The rival
paints the same twelve curves by pyqtgraph as it comes, without downsampling, and pans as far. "All
charts" is the whole view of 1440 x 900 with everything that shows in it. "Opening" is from two
records to all charts painted. Milliseconds are of the thread's own time, whatever else the machine
does; the reward chart's wall time stands beside it.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pyqtgraph as pg
from PySide6.QtWidgets import QApplication

from app.curves.view import TrainingView
from core.runs.records import KL, RunLog, Series

STEPS = 100_000
PANS = 20
ZOOMS = 1.0, 0.3, 0.05
SMOOTHING = 60


def made_run(name: str, seed: int) -> RunLog:
    """Every usual curve, with noise."""
    rng = np.random.default_rng(seed)
    steps = np.arange(1, STEPS + 1)
    way = 1 - np.exp(-5 * steps / STEPS)
    chosen = -2 * way + 0.5 * rng.normal(size=STEPS)
    rejected = -6 * way + 0.5 * rng.normal(size=STEPS)
    values = {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected,
        "rewards/accuracies": np.clip(0.5 + 0.4 * way + 0.1 * rng.normal(size=STEPS), 0, 1),
        "loss": 0.69 * (1 - 0.8 * way) * np.exp(0.2 * rng.normal(size=STEPS)),
        "logps/chosen": -40 + 10 * chosen,
        "logps/rejected": -60 + 10 * rejected,
        KL: 18 * way * np.exp(0.1 * rng.normal(size=STEPS)),
    }
    series = {key: Series(steps, found) for key, found in values.items()}
    return RunLog(Path("/runs") / name, name, "made by hand", series, beta=0.1)


def pans() -> list[tuple[float, float]]:
    """The ranges of steps that are looked at, one after the other."""
    found = []
    for zoom in ZOOMS:
        width = zoom * STEPS
        for place in range(PANS):
            left = (STEPS - width) * place / PANS + 0.002 * width * place
            found.append((left, left + width))
    return found


def paint_times(widgets: list[Any], move: Any, clock: Any = time.thread_time) -> list[float]:
    """Milliseconds of the thread's own time from each move to everything painted."""
    times = []
    for left, right in pans():
        begin = clock()
        move(left, right)
        for widget in widgets:
            widget.viewport().repaint()
        times.append(1000 * (clock() - begin))
    return times


def opened(application: QApplication) -> tuple[TrainingView, float]:
    """The view with two runs, smoothed, and the seconds that opening them took."""
    view = TrainingView(lambda *_: "")
    view.resize(1440, 900)
    view.charts.smoothing.setValue(SMOOTHING)
    view.show()
    application.processEvents()
    runs = [made_run("one", 1), made_run("another", 2)]
    begin = time.thread_time()
    for run in runs:
        view.session.take(run, 0.0)
    view._show_runs()
    view.charts.redraw()
    application.processEvents()
    return view, time.thread_time() - begin


def rival(view: TrainingView) -> list[float]:
    """The same curves in a plain plot of the same size."""
    plot = pg.PlotWidget()
    plot.resize(1200, 400)
    for drawn in view.charts.grid.charts["rewards"].drawn:
        line = drawn.line
        assert line is not None
        for values, pen in ((line.curve.values, drawn.raw), (line.values, drawn.main)):
            plot.plot(line.curve.steps, values, pen=pen.opts["pen"])
    plot.show()
    plot.getPlotItem().getViewBox().disableAutoRange()
    QApplication.processEvents()
    times = paint_times([plot], lambda left, right: plot.setXRange(left, right, padding=0))
    plot.close()
    plot.deleteLater()
    return times


def measure() -> dict[str, Any]:
    """Milliseconds a pan, and its ratio to plain pyqtgraph."""
    application = QApplication.instance() or QApplication([])
    assert isinstance(application, QApplication)
    view, seconds = opened(application)
    chart = view.charts.grid.charts["rewards"]
    charts = [shown.plot for shown in view.charts.grid.shown_charts()]
    everything = paint_times(
        charts, lambda left, right: chart.view.setXRange(left, right, padding=0)
    )
    begin = time.thread_time()
    view.charts.smoothing.setValue(SMOOTHING + 5)
    view.charts.redraw()
    application.processEvents()
    smoothed = 1000 * (time.thread_time() - begin)
    for key, action in view.charts.toggles.items():
        action.setChecked(key == "rewards")
    chart.plot.setFixedSize(1200, 400)
    application.processEvents()
    alone = paint_times(
        [chart.plot], lambda left, right: chart.view.setXRange(left, right, padding=0)
    )
    wall = paint_times(
        [chart.plot],
        lambda left, right: chart.view.setXRange(left, right, padding=0),
        time.perf_counter,
    )
    plain = rival(view)
    view.close_runs()
    view.close()
    view.deleteLater()
    median = statistics.median(alone)
    return {
        "steps": STEPS,
        "runs": 2,
        "pan, ms": {
            "reward chart": median,
            "reward chart, longest": max(alone),
            "reward chart, wall time": statistics.median(wall),
            "by zoom": {
                f"{zoom:g}": statistics.median(alone[i * PANS : (i + 1) * PANS])
                for i, zoom in enumerate(ZOOMS)
            },
            "all charts": statistics.median(everything),
            "plain pyqtgraph": statistics.median(plain),
        },
        "ratio": median / statistics.median(plain),
        "smoothing changed, all charts, ms": smoothed,
        "opening, seconds": seconds,
        "asked": {"reward chart, ms": 16, "opening, seconds": 1.0},
        "reached": median <= 16 and seconds <= 1.0,
    }
