"""Draws one chart over steps: curves of several runs, a crosshair, the step that is looked at.

The wheel zooms, dragging moves, a click or a drag along the axis asks for a step. Importing this
module imports pyqtgraph. Knows lines to draw; knows nothing of runs or of other charts.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal, Slot
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.curves.charts import STOP_ROLE, ChartKind, source_words
from app.curves.lines import CurveLine, DrawnLine, on_axis
from app.curves.styles import CURVE_STYLES, hue, line_sample, mark
from app.widgets.drawing import translucent
from app.widgets.layouts import as_tip, fill
from app.widgets.plots import dress, pen, prepare
from core.runs.explain import best_step
from core.runs.records import HELD_OUT, Series

LEFT_WIDTH = 62
"""Width in pixels of every chart's left axis, so that equal steps lie under each other."""
REFERENCE_LINES = {"rewards": 0.0, "margin": 0.0, "accuracy": 0.5}
ZOOM = 1.25
# With its usual limit pyqtgraph drops the last move of a quick hand, and the crosshair lags behind;
# Qt itself merges moves that come too fast.
pg.setConfigOption("mouseRateLimit", -1)


class StepAxis(pg.AxisItem):  # type: ignore[misc, unused-ignore]
    """An axis of steps; dragging along it asks for steps instead of moving the chart."""

    def __init__(self, chart: "Chart") -> None:
        super().__init__("bottom")
        self._chart = chart

    def logTickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """Return plain numbers, of each decade only 1, 2 and 5: more would run into each other."""
        steps = [10**value for value in values]
        return [f"{step:,.0f}" if f"{step:.0e}"[0] in "125" else "" for step in steps]

    def mouseDragEvent(self, event: Any) -> None:
        event.accept()
        self._chart.want_step_at(event.scenePos())

    def mouseClickEvent(self, event: Any) -> None:
        event.accept()
        self._chart.want_step_at(event.scenePos())


class Chart(QFrame):
    """A chart of one kind, for all visible runs."""

    hovered = Signal(object)
    """The step under the mouse or the keys; None for none."""
    step_wanted = Signal(int)
    range_moved = Signal(float, float)
    """The user moved or zoomed the steps that are shown."""
    log_changed = Signal()
    fit_wanted = Signal()

    def __init__(self, kind: ChartKind, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = kind
        self.lines: tuple[CurveLine, ...] = ()
        self.zoomed = False
        """Whether the user has chosen what to look at: new data do not change it."""
        self.dark = self.log_x = self._quiet = False
        self.crossed: int | None = None
        self.drawn: list[DrawnLine] = []
        self.best_lines: list[Any] = []
        self.title, self.key = QLabel(kind.title), QLabel()
        self.log = QToolButton(self)
        axis = StepAxis(self)
        self.plot = pg.PlotWidget(enableMenu=False, axisItems={"bottom": axis})
        self.item: Any = self.plot.getPlotItem()
        self.view: Any = self.item.getViewBox()
        self.crosshair = pg.InfiniteLine(angle=90)
        self.step_line = pg.InfiniteLine(angle=90, movable=True)
        self._level = pg.InfiniteLine(REFERENCE_LINES.get(kind.key, 0.0), angle=0)
        self._lay_out()
        self._connect()
        self.set_dark(False)

    def _lay_out(self) -> None:
        self.setObjectName("card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(f"{self.kind.title} over steps")
        self.setToolTip("")
        self.title.setObjectName("heading")
        self.title.setToolTip(as_tip(self.kind.tip))
        self.key.setObjectName("muted")
        self.key.setWordWrap(True)
        self.key.setTextFormat(Qt.TextFormat.RichText)
        self.log.setText("log y")
        self.log.setCheckable(True)
        self.log.setAutoRaise(True)
        self.log.setToolTip("A logarithmic scale of values")
        self.log.setAccessibleName(f"Logarithmic values of {self.kind.title}")
        self.log.setVisible(self.kind.log)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for widget in (self.plot, self.plot.viewport()):
            widget.setAcceptDrops(False)  # what is dropped is the window's
        prepare(self.item, ("left", "bottom"))
        self.item.getAxis("left").setWidth(LEFT_WIDTH)
        for item, depth in ((self._level, -1), (self.crosshair, 8), (self.step_line, 9)):
            item.setZValue(depth)
            item.hide()
            self.item.addItem(item, ignoreBounds=True)
        self._level.setVisible(self.kind.key in REFERENCE_LINES)
        head = fill(QHBoxLayout(), self.title, margins=(8, 3, 4, 0))
        head.addSpacing(10)
        fill(head, (self.key, 1), self.log)
        fill(QVBoxLayout(self), head, (self.plot, 1), margins=(2, 1, 4, 2), spacing=1)
        self.setMinimumSize(240, 180)

    def _connect(self) -> None:
        self.plot.scene().sigMouseMoved.connect(self._mouse_moved)
        self.plot.scene().sigMouseClicked.connect(self._mouse_clicked)
        self.step_line.sigDragged.connect(self._step_dragged)
        self.view.sigRangeChangedManually.connect(self._moved_by_hand)
        self.view.sigXRangeChanged.connect(self._steps_changed)
        self.view.sigRangeChanged.connect(self._thin)
        self.view.sigResized.connect(self._thin)
        self.log.toggled.connect(self._log_toggled)
        self.plot.viewport().installEventFilter(self)

    # --- what is shown ----------------------------------------------------------------------

    def show_lines(self, lines: Sequence[CurveLine], log_x: bool) -> None:
        """Draw these curves, and no others."""
        self.lines = tuple(lines)
        self.log_x = log_x
        self.item.getAxis("bottom").setLogMode(x=log_x, y=False)
        self.item.getAxis("left").setLogMode(x=False, y=self.log.isChecked())
        while len(self.drawn) < len(self.lines):
            self.drawn.append(DrawnLine(self.item))
        for drawn in self.drawn[len(self.lines) :]:
            drawn.clear()
        for drawn, line in zip(self.drawn, self.lines, strict=False):
            drawn.show(line, log_x, self.log.isChecked(), self.dark)
        self._show_key()
        self._show_best()
        self._thin()

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Return (left, right, low, high) of all curves, along the axes; None if there are none."""
        found = [b for drawn in self.drawn if (b := drawn.bounds) is not None]
        if not found:
            return None
        left, right, low, high = np.array(found).T
        return float(left.min()), float(right.max()), float(low.min()), float(high.max())

    def fit(self, left: float, right: float) -> None:
        """Show these steps (along the axis) and all values."""
        self.zoomed = False
        bounds = self.bounds()
        low, high = (bounds[2], bounds[3]) if bounds is not None else (0.0, 1.0)
        if self._level.isVisible() and self.kind.key != "accuracy":
            low, high = min(low, 0.0), max(high, 0.0)
        room = 0.06 * (high - low) or max(0.06 * abs(high), 1e-3)
        self._quiet = True
        self.view.setRange(
            xRange=(left, right), yRange=(low - room, high + room), padding=0, disableAutoRange=True
        )
        self._quiet = False

    def set_range(self, left: float, right: float) -> None:
        """Show these steps (along the axis); the values stay."""
        self._quiet = True
        self.view.setXRange(left, right, padding=0)
        self._quiet = False

    def cross(self, step: int | None) -> None:
        """Put the crosshair at a step."""
        self.crossed = step
        self._put(self.crosshair, step)

    def set_step(self, step: int | None) -> None:
        """Mark the step that is looked at elsewhere."""
        self._put(self.step_line, step)

    def _put(self, line: Any, step: int | None) -> None:
        place = np.nan if step is None else float(on_axis(np.array([step + 0.0]), self.log_x)[0])
        line.setVisible(bool(np.isfinite(place)))
        if np.isfinite(place):
            line.setValue(place)

    def set_dark(self, dark: bool) -> None:
        """Light or dark; runs keep their hues."""
        self.dark = dark
        c = theme.colours(dark)
        faint = translucent(c.muted, 130)
        titles = {"left": self.kind.axis, "bottom": "step"}
        dress(self.plot, titles, QColor(c.card), QColor(c.text), faint)
        self.item.getAxis("left").setGrid(36)
        self._level.setPen(pen(faint))
        self.crosshair.setPen(pen(faint, style=Qt.PenStyle.DashLine))
        self.step_line.setPen(pen(c.accent, theme.PEN))
        self.step_line.setHoverPen(pen(c.accent, theme.THICK))
        self.show_lines(self.lines, self.log_x)

    def _show_key(self) -> None:
        """Write which line and mark is which: the hue says only the run."""
        sources: dict[int, set[str]] = {}
        for line in self.lines:
            sources.setdefault(line.curve.place, set()).add(line.curve.source)
        parts = []
        for place, found in sorted(sources.items()):
            style = CURVE_STYLES[place]
            sign = line_sample(style, self.dark) if "" in found else ""
            sign += style.mark_sign if found - {""} else ""
            label = escape(self.kind.roles[place].label.replace(" ", "\u00a0"))
            parts.append(f"{sign}\u00a0{label}")
        every = {(c.source, c.rank) for c in (line.curve for line in self.lines) if c.source}
        marks = [
            f"{mark(CURVE_STYLES[0], source, rank)[1]}\u00a0{escape(source_words(source))}"
            for source, rank in sorted(every)
        ]
        if marks:
            parts.append("(" + ",\u00a0".join(marks) + ")")
        self.key.setText("\u00a0\u00a0\u00a0 ".join(parts))
        self.key.setToolTip(as_tip(self.kind.tip))

    def _show_best(self) -> None:
        """Draw a line at each run's step of best held-out localisation."""
        for item in self.best_lines:
            self.item.removeItem(item)
        self.best_lines.clear()
        if self.kind.key != "localisation":
            return
        for line in self.lines:
            if line.curve.place != STOP_ROLE or line.curve.source != HELD_OUT:
                continue
            curve = line.curve
            best = best_step(Series(curve.steps.astype(np.int64), curve.values))
            place = np.nan if best is None else on_axis(np.array([best + 0.0]), self.log_x)[0]
            if not np.isfinite(place):
                continue
            colour = hue(line.hue, self.dark)
            best_line = pg.InfiniteLine(
                float(place),
                angle=90,
                pen=pen(colour, style=Qt.PenStyle.DotLine),
                label=f"best: {best:,}",
                labelOpts={"position": 0.08 + 0.1 * len(self.best_lines), "color": colour},
            )
            self.item.addItem(best_line, ignoreBounds=True)
            self.best_lines.append(best_line)

    # --- moving -----------------------------------------------------------------------------

    @Slot()
    def _moved_by_hand(self) -> None:
        self.zoomed = True

    def _steps_changed(self, *_: object) -> None:
        if not self._quiet:
            self.range_moved.emit(*self.view.viewRange()[0])

    def _thin(self, *_: object) -> None:
        """Thin every curve to what is shown now."""
        (left, right), (low, high) = self.view.viewRange()
        shown = QRectF(left, low, right - left, high - low)
        pixels = max(int(self.view.width()), 1)
        for drawn in self.drawn:
            drawn.thin_to(shown, pixels)

    @Slot()
    def _log_toggled(self) -> None:
        self.log_changed.emit()

    # --- mouse and keys ---------------------------------------------------------------------

    def step_at(self, scene: QPointF) -> int:
        """Return the step at a point of the scene."""
        place = float(self.view.mapSceneToView(scene).x())
        return max(round(10**place if self.log_x else place), 0)

    def want_step_at(self, scene: QPointF) -> None:
        """Ask for the step at a point of the scene."""
        self.step_wanted.emit(self.step_at(scene))

    def _mouse_moved(self, scene: QPointF) -> None:
        inside = self.view.sceneBoundingRect().contains(scene)
        self.hovered.emit(self.step_at(scene) if inside else None)

    def _mouse_clicked(self, event: Any) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        inside = self.view.sceneBoundingRect().contains(event.scenePos())
        if inside and event.button() == Qt.MouseButton.LeftButton:
            self.want_step_at(event.scenePos())

    def _step_dragged(self, line: Any) -> None:
        place = float(line.value())
        self.step_wanted.emit(max(round(10**place if self.log_x else place), 0))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self.hovered.emit(None)
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk the crosshair by ←, →, Home, End; Enter asks for its step; +, −, 0 zoom."""
        key, keys = event.key(), Qt.Key
        if key in (keys.Key_Left, keys.Key_Right, keys.Key_Home, keys.Key_End):
            self._walk(key)
        elif key in (keys.Key_Plus, keys.Key_Equal, keys.Key_Minus):
            self._zoom(ZOOM if key == keys.Key_Minus else 1 / ZOOM)
        elif key == keys.Key_0:
            self.fit_wanted.emit()
        elif key in (keys.Key_Return, keys.Key_Enter) and self.crossed is not None:
            self.step_wanted.emit(self.crossed)
        else:
            super().keyPressEvent(event)

    def _walk(self, key: int) -> None:
        if not self.lines:
            return
        steps = np.unique(np.concatenate([line.curve.steps for line in self.lines]))
        at = steps[-1] if self.crossed is None else self.crossed
        if key == Qt.Key.Key_Left:
            place = int(np.searchsorted(steps, at)) - 1
        elif key == Qt.Key.Key_Right:
            place = int(np.searchsorted(steps, at, side="right"))
        else:
            place = 0 if key == Qt.Key.Key_Home else len(steps) - 1
        self.hovered.emit(int(steps[min(max(place, 0), len(steps) - 1)]))

    def _zoom(self, factor: float) -> None:
        """Zoom the steps around the crosshair, or the middle."""
        left, right = self.view.viewRange()[0]
        middle = (left + right) / 2
        if self.crosshair.isVisible() and left < self.crosshair.value() < right:
            middle = float(self.crosshair.value())
        self.zoomed = True
        self.view.setXRange(
            middle - factor * (middle - left), middle + factor * (right - middle), padding=0
        )

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._mark_focus(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._mark_focus(False)

    def _mark_focus(self, on: bool) -> None:
        theme.restyle(self, "active", "true" if on else "false")
