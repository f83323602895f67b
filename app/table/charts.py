"""Charts of scored pairs: a histogram, a scatter, the calibration. Dragging in one chooses rows.

Of many points a scatter shows how many lie where, as a picture. Importing this module imports
pyqtgraph. Knows arrays and columns' titles; knows nothing of tables.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt, Signal, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QGraphicsRectItem, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.widgets.boxes import ComboBox
from app.widgets.drawing import mix, translucent
from app.widgets.layouts import fill, label
from app.widgets.plots import dress, prepare
from core.dataset.derived import Array
from core.dataset.figures import Calibration, histogram
from core.dataset.look import Band
from core.dataset.table import Column

BARS = 48
FEWEST = 8
MANY = 4000
"""Points from which on a scatter counts them in small fields."""
FIELDS = 120, 90
TAIL = 0.25
"""Per cent of the values that may lie beyond either end of an axis; they are drawn at the end."""
NEAR = 8
"""Pixels from a point within which a click is meant for it."""


class BrushBox(pg.ViewBox):  # type: ignore[misc, unused-ignore]
    """The inside of a plot in which dragging chooses a stretch, and a click is a click."""

    brushed = Signal(object, bool)
    """What has been dragged over, as a QRectF of the axes, and whether that has ended."""
    clicked = Signal(object)
    """The place of a click, in the axes."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setMouseEnabled(False, False)

    def mouseDragEvent(self, ev: Any, axis: int | None = None) -> None:
        if ev.button() != Qt.MouseButton.LeftButton:
            ev.ignore()
            return
        ev.accept()
        # Of the scene: an axis passes on what was dragged along it, in places of its own.
        one, other = map(self.mapSceneToView, (ev.buttonDownScenePos(), ev.scenePos()))
        self.brushed.emit(QRectF(one, other).normalized(), ev.isFinish())

    def mouseClickEvent(self, ev: Any) -> None:
        ev.accept()
        self.clicked.emit(self.mapSceneToView(ev.scenePos()))

    def wheelEvent(self, ev: Any, axis: int | None = None) -> None:
        ev.ignore()


class BrushedPlot(QWidget):
    """A plot with boxes that choose its columns, and a stretch that is chosen in it."""

    bands_chosen = Signal(object)
    """The Bands that have been dragged over, a tuple; empty for none."""
    columns_chosen = Signal()

    def __init__(self, name: str, boxes: Sequence[str]) -> None:
        super().__init__()
        self.box = BrushBox()
        self.plot = pg.PlotWidget(viewBox=self.box, enableMenu=False)
        self.item: Any = self.plot.getPlotItem()
        self.choices = [ComboBox() for _ in boxes]
        self._columns: tuple[Column, ...] = ()
        self._dark = False
        self.ends: dict[str, tuple[float, float]] = {}
        """Where the axis of each column ends; values beyond are drawn there."""
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for widget in (self.plot, self.plot.viewport()):
            widget.setAcceptDrops(False)  # what is dropped is the window's
        self.plot.setAccessibleName(name)
        prepare(self.item, ("left", "bottom"))
        head = fill(QHBoxLayout(), margins=(4, 2, 4, 0), spacing=6)
        for said, choice in zip(boxes, self.choices, strict=True):
            if said:
                head.addWidget(label(said, "muted"))
            choice.setAccessibleName(f"{name}: {said or 'column'}")
            choice.activated.connect(self._choose)
            head.addWidget(choice, 1)
        head.addStretch(1)
        fill(QVBoxLayout(self), head, (self.plot, 1), margins=(0, 0, 0, 0), spacing=0)

    def offer(self, columns: Sequence[Column], chosen: Sequence[str]) -> None:
        """Offer columns of numbers; ``chosen``: one for each box."""
        self._columns = tuple(columns)
        names = [it.name for it in columns]
        for choice, name in zip(self.choices, chosen, strict=True):
            choice.clear()
            choice.addItems([it.title for it in columns])
            choice.setCurrentIndex(max(0, names.index(name) if name in names else 0))

    def columns(self) -> list[str]:
        """Return the names of the columns that are drawn."""
        places = [choice.currentIndex() for choice in self.choices]
        return [self._columns[it].name for it in places if 0 <= it < len(self._columns)]

    def set_dark(self, dark: bool) -> None:
        """Draw on a light ground, or on a dark one."""
        self._dark = dark
        self._dress()

    def _dress(self, counted: str = "") -> None:
        """Colour the axes; what they are of stands in the boxes, but for what is counted."""
        c = theme.colours(self._dark)
        faint = translucent(c.muted, 130)
        names = {"left": counted, "bottom": ""}
        dress(self.plot, names, QColor(c.surface), QColor(c.text), faint)

    def band(self, name: str, low: float, high: float) -> Band:
        """Return a stretch of a column; who chooses the axis's end means all beyond it too."""
        left, right = self.ends[name]
        return Band(name, -math.inf if low <= left else low, math.inf if high >= right else high)

    def within(self, name: str, values: Array) -> Array:
        """Return values with those beyond the axis at its ends; sets where it ends."""
        known = values[np.isfinite(values)]
        low, high = (0.0, 1.0)
        if len(known):
            low, high = map(float, np.percentile(known, (TAIL, 100 - TAIL)))
            if name != "preference" and np.ptp(known) <= 1.6 * (high - low):
                low, high = float(known.min()), float(known.max())
        if name in ("preference", "alike"):
            low, high = 0.0, 1.0
        if low == high:
            low, high = low - 0.5, high + 0.5
        self.ends[name] = low, high
        return np.clip(values, low, high)

    @Slot()
    def _choose(self) -> None:
        self.bands_chosen.emit(())
        self.columns_chosen.emit()


class Histogram(BrushedPlot):
    """How often values of a column lie where."""

    def __init__(self) -> None:
        super().__init__("Histogram", ("",))
        self.box.brushed.connect(self._brush)
        self.box.clicked.connect(self._click)
        self.bars = pg.BarGraphItem(x0=[0], x1=[0], height=[0])
        self.stretch = pg.LinearRegionItem(movable=False)
        self.stretch.hide()
        self.item.addItem(self.bars)
        self.item.addItem(self.stretch)
        self.edges: Array = np.zeros(0)
        self.counts: Any = np.zeros(0, np.int64)

    def show_values(self, values: Array, bands: Sequence[Band]) -> None:
        """Draw how the values of the chosen column lie; ``bands``: what is chosen of them."""
        if not self.columns():
            return
        (name,) = self.columns()
        drawn = self.within(name, values)
        low, high = self.ends[name]
        self.edges = edges_of(drawn, low, high)
        self.counts = histogram(drawn, self.edges)
        self.ends[name] = float(self.edges[0]), float(self.edges[-1])
        c = theme.colours(self._dark)
        self._dress("rows")
        own = next((it for it in bands if it.name == name), None)
        middle = (self.edges[:-1] + self.edges[1:]) / 2
        plain = mix(QColor(c.surface), QColor(c.accent), 0.55)
        inside = [own is None or own.low <= x <= own.high for x in middle]
        brushes = [QColor(c.accent) if own is not None and it else plain for it in inside]
        self.bars.setOpts(
            x0=self.edges[:-1], x1=self.edges[1:], y0=0, height=self.counts, brushes=brushes,
            pen=pg.mkPen(c.surface, width=0.5),
        )  # fmt: skip
        self._mark(own)
        top = max(1, int(self.counts.max(initial=0)))
        self.box.setRange(
            xRange=(self.edges[0], self.edges[-1]), yRange=(0, 1.05 * top), padding=0.01
        )

    def _mark(self, band: Band | None) -> None:
        self.stretch.setVisible(band is not None)
        if band is not None:
            low, high = max(band.low, self.edges[0]), min(band.high, self.edges[-1])
            self._show_stretch(low, high)

    def _show_stretch(self, low: float, high: float) -> None:
        c = theme.colours(self._dark)
        self.stretch.setBrush(translucent(c.accent, 36))
        for line in self.stretch.lines:
            line.setPen(pg.mkPen(c.accent))
        self.stretch.setRegion((low, high))
        self.stretch.show()

    @Slot(object, bool)
    def _brush(self, over: QRectF, ended: bool) -> None:
        if not len(self.edges):
            return
        low, high = over.left(), over.right()
        self._show_stretch(low, high)
        if ended:
            (name,) = self.columns()
            self.bands_chosen.emit((self.band(name, low, high),))

    @Slot(object)
    def _click(self, place: Any) -> None:
        self.bands_chosen.emit(())


def edges_of(values: Array, low: float, high: float, bars: int = BARS) -> Array:
    """Return the edges of at most so many bars: of whole numbers each holds as many of these."""
    known = values[~np.isnan(values)]
    whole = bool(len(known)) and bool(np.all(known == np.round(known)))
    if whole:
        step = max(1, math.ceil((high - low + 1) / bars))
        return np.arange(math.floor(low), math.ceil(high) + step + 0.5, step) - 0.5
    enough = math.ceil(2 * len(known) ** (1 / 3))  # Rice's rule
    return np.linspace(low, high, min(bars, max(FEWEST, enough)) + 1)


class Scatter(BrushedPlot):
    """Two columns of each row against each other."""

    row_chosen = Signal(int)
    """The place of the row whose point was clicked."""

    def __init__(self) -> None:
        super().__init__("Scatter", ("", "over"))
        self.box.brushed.connect(self._brush)
        self.box.clicked.connect(self._click)
        self.points = pg.ScatterPlotItem(size=5, pxMode=True)
        self.fields = pg.ImageItem()
        self.zero = pg.InfiniteLine(0, angle=0)
        self.frame = QGraphicsRectItem()
        for part in (self.fields, self.points, self.zero):
            self.item.addItem(part)
        self.box.addItem(self.frame, ignoreBounds=True)
        self.frame.hide()
        self._x = self._y = np.zeros(0)
        self._rows: Any = np.zeros(0, np.int64)
        self.points.sigClicked.connect(self._point_clicked)

    def show_values(self, y: Array, x: Array, rows: Any, bands: Sequence[Band]) -> None:
        """Draw rows by two columns; ``rows``: their places in the file."""
        if len(self.columns()) < 2:
            return
        down, along = self.columns()
        known = ~(np.isnan(x) | np.isnan(y))
        self._x, self._y = self.within(along, x)[known], self.within(down, y)[known]
        self._rows = rows[known]
        c = theme.colours(self._dark)
        self._dress()
        left, right, low, high = (*self.ends[along], *self.ends[down])
        many = len(self._x) > MANY
        self.points.setVisible(not many)
        self.fields.setVisible(many)
        if many:
            wide = edges_of(self._x, left, right, FIELDS[0])
            tall = edges_of(self._y, low, high, FIELDS[1])
            left, right, low, high = map(float, (wide[0], wide[-1], tall[0], tall[-1]))
            counts, _, _ = np.histogram2d(self._x, self._y, bins=(wide, tall))
            shade = np.log1p(counts)
            steps = [mix(QColor(c.surface), QColor(c.accent), 0.12 + 0.88 * s) for s in
                     np.linspace(0, 1, 255)]  # fmt: skip
            table = np.array([QColor(c.surface).getRgb(), *(it.getRgb() for it in steps)], np.uint8)
            self.fields.setImage(shade, levels=(0, max(1.0, float(shade.max()))), lut=table)
            self.fields.setRect(QRectF(left, low, right - left, high - low))
            self.points.clear()
        else:
            colour = translucent(c.accent, 150)
            self.points.setData(self._x, self._y, pen=None, brush=pg.mkBrush(colour))
        self.zero.setPen(pg.mkPen(translucent(c.muted, 150)))
        self.zero.setVisible(low < 0 < high)
        self._mark({it.name: it for it in bands}, along, down)
        self.box.setRange(xRange=(left, right), yRange=(low, high), padding=0.03)

    def _mark(self, bands: dict[str, Band], along: str, down: str) -> None:
        there = along in bands and down in bands and along != down
        self.frame.setVisible(there)
        if there:
            (left, right), (low, high) = self.ends[along], self.ends[down]
            x, y = bands[along], bands[down]
            left, right = max(left, x.low), min(right, x.high)
            low, high = max(low, y.low), min(high, y.high)
            self._show_frame(QRectF(left, low, right - left, high - low))

    def _show_frame(self, over: QRectF) -> None:
        c = theme.colours(self._dark)
        self.frame.setPen(pg.mkPen(c.accent))
        self.frame.setBrush(translucent(c.accent, 30))
        self.frame.setRect(over)
        self.frame.show()

    @Slot(object, bool)
    def _brush(self, over: QRectF, ended: bool) -> None:
        if len(self.columns()) < 2 or not self.ends:
            return
        self._show_frame(over)
        if ended:
            down, along = self.columns()
            bands = (
                self.band(along, over.left(), over.right()),
                self.band(down, over.top(), over.bottom()),
            )
            self.bands_chosen.emit(bands)

    @Slot(object, object, object)
    def _point_clicked(self, item: Any, points: Any, ev: Any) -> None:
        """Take a click that the points have kept from the box."""
        self._click(self.box.mapSceneToView(ev.scenePos()))

    @Slot(object)
    def _click(self, place: Any) -> None:
        """Choose the row at a point that is near enough, else let go of what is chosen."""
        wide, high = self.box.viewPixelSize()
        if len(self._x) and wide and high:
            away = np.hypot((self._x - place.x()) / wide, (self._y - place.y()) / high)
            nearest = int(away.argmin())
            if away[nearest] <= NEAR:
                self.row_chosen.emit(int(self._rows[nearest]))
                return
        self.bands_chosen.emit(())


class CalibrationChart(QWidget):
    """How often the policy is right, by how sure it is: on the line, it is as right as sure."""

    def __init__(self) -> None:
        super().__init__()
        self.plot = pg.PlotWidget(enableMenu=False)
        self.item: Any = self.plot.getPlotItem()
        self.note = QLabel()
        self.note.setObjectName("muted")
        self.note.setWordWrap(True)
        self._dark = False
        prepare(self.item, ("left", "bottom"))
        self.item.getViewBox().setMouseEnabled(False, False)
        for widget in (self.plot, self.plot.viewport()):
            widget.setAcceptDrops(False)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.plot.setAccessibleName("Calibration: accuracy over confidence")
        self.line = pg.PlotCurveItem(x=[0.5, 1.0], y=[0.5, 1.0])
        self.intervals = pg.ErrorBarItem(x=np.zeros(0), y=np.zeros(0), beam=0.008)
        self.points = pg.ScatterPlotItem(size=7, pxMode=True)
        for part in (self.line, self.intervals, self.points):
            self.item.addItem(part)
        self.item.getViewBox().setRange(xRange=(0.5, 1.0), yRange=(0.0, 1.0), padding=0.02)
        note = fill(QHBoxLayout(), (self.note, 1), margins=(6, 4, 6, 0))
        fill(QVBoxLayout(self), note, (self.plot, 1), margins=(0, 0, 0, 0), spacing=0)

    def set_dark(self, dark: bool) -> None:
        """Draw on a light ground, or on a dark one."""
        self._dark = dark
        c = theme.colours(dark)
        faint = translucent(c.muted, 130)
        names = {"left": "accuracy", "bottom": "confidence σ(|m|)"}
        dress(self.plot, names, QColor(c.surface), QColor(c.text), faint)
        self.line.setPen(pg.mkPen(faint, width=1, style=Qt.PenStyle.DashLine))
        self.intervals.setOpts(pen=pg.mkPen(c.accent, width=1.2))
        self.points.setPen(None)
        self.points.setBrush(pg.mkBrush(c.accent))

    def show_calibration(self, found: Calibration | None, why: str) -> None:
        """Draw a calibration; ``why``: what there is to say where there is none."""
        bins = found.bins if found is not None else ()
        x = np.array([it.confidence for it in bins])
        y = np.array([it.accuracy.value for it in bins])
        low, high = (np.array(ends) for ends in (
            [it.accuracy.low for it in bins], [it.accuracy.high for it in bins]
        ))  # fmt: skip
        self.intervals.setOpts(x=x, y=y, top=high - y, bottom=y - low)
        self.points.setData(x, y)
        if found is not None and not math.isnan(found.error):
            why = f"{why} Expected calibration error {found.error:.3f}; bars: 95% (Wilson)".strip()
        self.note.setText(why)
        least = min([0.5, *low.tolist()])
        self.item.getViewBox().setRange(xRange=(0.5, 1.0), yRange=(least, 1.0), padding=0.02)
