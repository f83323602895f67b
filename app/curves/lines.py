"""Draws one curve in a chart: its line, its raw points behind it, its marks, thinned to the pixels.

Few pens, no point handled on its own, and dashes only where they can be seen: a curve with more
points than pixels is a thin solid line with a mark here and there. Importing this module imports
pyqtgraph. Knows arrays, hues and styles; knows nothing of runs.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor

from app import theme
from app.curves.charts import Curve, Floats
from app.curves.smoothing import thin
from app.curves.styles import CURVE_STYLES, mark, shade
from app.widgets.plots import pen
from core.runs.records import EVAL

MARK_EVERY = 90
"""Pixels from one mark to the next on a curve that is too dense for dashes."""
MARK_SIZE = 6
FAINT = 0.3
"""The share of its colour that a curve's raw points have behind the smoothed ones."""


@dataclass(frozen=True, eq=False, slots=True)
class CurveLine:
    """A curve of a run as it is to be drawn.

    ``hue``: the run's number among the hues; ``values``: the curve's own or smoothed ones.
    """

    run: str
    hue: int
    curve: Curve
    values: Floats


def on_axis(values: Floats, log: bool) -> Floats:
    """Return where values lie along an axis; NaN for those at or below 0 on a logarithmic one."""
    if not log:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(values > 0, np.log10(values), np.nan)
    return found


class Stroke(pg.PlotCurveItem):  # type: ignore[misc, unused-ignore]
    """A curve whose bounds are the whole view: measuring it would take as long as drawing it."""

    place = QRectF()

    def boundingRect(self) -> QRectF:
        return self.place


class Marks(pg.ScatterPlotItem):  # type: ignore[misc, unused-ignore]
    """Marks whose bounds are the whole view."""

    place = QRectF()

    def boundingRect(self) -> QRectF:
        return self.place


class DrawnLine:
    """The items of one line in a plot; they can be given another line."""

    def __init__(self, plot: Any) -> None:
        self.raw = Stroke(connect="finite")
        self.main = Stroke(connect="finite")
        self.marks = Marks(pxMode=True)
        for item, depth in ((self.raw, 1), (self.main, 2), (self.marks, 3)):
            item.setZValue(depth)
            plot.addItem(item, ignoreBounds=True)
        self.line: CurveLine | None = None
        self._x = self._y = self._raw_y = np.zeros(0)
        self._shade, self._dense = QColor(), True
        self.bounds: tuple[float, float, float, float] | None = None
        """(left, right, low, high) of all that is finite; None if nothing is."""

    def show(self, line: CurveLine, log_x: bool, log_y: bool, dark: bool) -> None:
        """Take a line; ``thin_to`` then draws it."""
        self.line = line
        x = on_axis(line.curve.steps, log_x)
        # Steps are not below 0: what has no place on a logarithmic axis is at the start.
        first = int(np.argmax(np.isfinite(x))) if log_x else 0
        self._x = x[first:]
        self._y = on_axis(line.values, log_y)[first:]
        smoothed = line.values is not line.curve.values
        self._raw_y = on_axis(line.curve.values, log_y)[first:] if smoothed else np.zeros(0)
        self.bounds = self._find_bounds()
        style = CURVE_STYLES[line.curve.place]
        self._shade = shade(line.hue, style, dark)
        # Mixed, not translucent: blending takes several times as long.
        self.raw.setPen(pen(shade(line.hue, replace(style, strength=FAINT), dark)))
        self.marks.setSymbol(mark(style, line.curve.source, line.curve.rank)[0])
        self.marks.setSize(MARK_SIZE)
        self.marks.setPen(pen(self._shade, 1.5))
        hollow = line.curve.source.startswith(EVAL)
        self.marks.setBrush(pg.mkBrush(None) if hollow else pg.mkBrush(self._shade))
        self._dress(dense=False)

    def thin_to(self, view: QRectF, pixels: int) -> None:
        """Draw what lies in a part of the plot that is ``pixels`` wide."""
        if self.line is None:
            return
        left, right = view.left(), view.right()
        for item in (self.raw, self.main, self.marks):
            item.prepareGeometryChange()
            item.place = view
        x, y = thin(self._x, self._y, left, right, pixels)
        dense = len(x) > pixels
        if dense != self._dense:
            self._dress(dense)
        self.main.setData(x, y, antialias=not dense)
        if len(self._raw_y):
            self.raw.setData(*thin(self._x, self._raw_y, left, right, pixels), antialias=False)
        elif self.raw.xData is not None and len(self.raw.xData):
            self.raw.setData([], [])
        if dense:
            every = max(1, round(len(x) * MARK_EVERY / max(pixels, 1)))
            # So that the marks of different curves do not cover each other.
            first = every * (1 + self.line.curve.place) // (1 + len(CURVE_STYLES))
            x, y = x[first::every], y[first::every]
        elif not self.line.curve.source:
            x, y = x[:0], y[:0]
        there = np.isfinite(y)
        if there.any() or len(self.marks.data):
            self.marks.setData(x[there], y[there])

    def _find_bounds(self) -> tuple[float, float, float, float] | None:
        # fmin and fmax leave NaN out.
        both = [y for y in (self._y, self._raw_y) if len(y)]
        if not both:
            return None
        low = min(float(np.fmin.reduce(y)) for y in both)
        high = max(float(np.fmax.reduce(y)) for y in both)
        if not (np.isfinite(low) and np.isfinite(high)):
            return None
        return float(self._x[0]), float(self._x[-1]), low, high

    def clear(self) -> None:
        """Draw nothing."""
        self.line = self.bounds = None
        self._x = self._y = self._raw_y = np.zeros(0)
        self.raw.setData([], [])
        self.main.setData([], [])
        self.marks.clear()

    def _dress(self, dense: bool) -> None:
        """Choose the pen: solid where points outnumber pixels, since dashes cost much there."""
        self._dense = dense
        assert self.line is not None
        held_out = bool(self.line.curve.source)
        dash = Qt.PenStyle.SolidLine if dense else CURVE_STYLES[self.line.curve.place].dash
        wide = theme.HAIR if dense or held_out else theme.PEN
        self.main.setPen(pen(self._shade, wide, dash))
