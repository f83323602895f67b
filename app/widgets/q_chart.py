"""The chart of the Q-function over one response: Q, V, advantage and raw reward as lines.

All in the raw-logit gauge, and it says so. Importing this module imports pyqtgraph, which takes a
while; do so after the window is shown. Knows a gauge's arrays and labels; knows nothing of
editors or models.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app.widgets.colour_scale import DARK_SURFACE, DARK_TEXT, LIGHT_SURFACE, LIGHT_TEXT
from core.gauge import Gauge

Style = Qt.PenStyle
ROOMY = 170
"""A chart less high, in pixels, has no titles at its axes."""


@dataclass(frozen=True)
class Line:
    """One quantity: the gauge's array, and how it is drawn on light and on dark."""

    key: str
    name: str
    sign: str
    style: Style
    light: str
    dark: str

    def colour(self, dark: bool) -> str:
        return self.dark if dark else self.light


LINES = (
    # Told apart by dashes too, and unlike the colours of A, B and a reward's sign.
    Line("q", "Q", "—", Style.SolidLine, "#6a3d9a", "#b79cf0"),
    Line("v", "V", "- -", Style.DashLine, "#555b68", "#a9b0be"),
    Line("advantage", "Q − V", "···", Style.DotLine, "#00708f", "#56c5e0"),
    Line("raw", "r raw", "-·-", Style.DashDotLine, "#b0306a", "#ff8fc0"),
)


class QChart(QWidget):
    """The Q-function along one response, linked with the editors by token index."""

    hovered = Signal(str, int)
    """The side and token under the mouse changed; ("", -1) for none."""
    clicked = Signal(str, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side = ""
        self._gauge: Gauge | None = None
        self._labels: tuple[str, ...] = ()
        self._marked = self._under_mouse = -1
        self._dark = self._zoomed = False
        self.plot = pg.PlotWidget(enableMenu=False)
        self._item: Any = self.plot.getPlotItem()
        self._view: Any = self._item.getViewBox()
        self._lines: dict[str, Any] = {}
        self.key = QLabel()
        self._lay_out()
        self.set_theme(False)
        self.clear()

    def _lay_out(self) -> None:
        self._item.hideButtons()
        for name in ("left", "bottom"):
            axis = self._item.getAxis(name)
            axis.enableAutoSIPrefix(False)
            axis.setStyle(maxTickLevel=0)  # finer ticks' faint lines take longer than the rest
        self._view.setMouseEnabled(x=True, y=False)
        self._view.disableAutoRange()
        for line in LINES:
            self._lines[line.key] = pg.PlotDataItem(connect="finite")
            self._item.addItem(self._lines[line.key])
        self._zero = pg.InfiniteLine(0, angle=0)
        self._mark = pg.InfiniteLine(angle=90)
        self._dots = pg.ScatterPlotItem(size=8)
        self._note = pg.TextItem(anchor=(0, 0))
        for item, depth in ((self._zero, -1), (self._mark, 5), (self._dots, 6), (self._note, 7)):
            item.setZValue(depth)
            self._item.addItem(item, ignoreBounds=True)
        self.plot.scene().sigMouseMoved.connect(self._mouse_moved)
        self.plot.scene().sigMouseClicked.connect(self._mouse_clicked)
        self._view.sigRangeChangedManually.connect(self._note_zoom)
        self.plot.viewport().installEventFilter(self)
        self.reset = QToolButton()
        self.reset.setText("Fit")
        self.reset.setToolTip("Show all tokens (the wheel zooms, dragging moves)")
        self.reset.clicked.connect(self.fit)
        self.key.setWordWrap(True)
        self.key.setToolTip(
            "Q, V and the raw reward are fixed up to a constant per state; the policy's raw "
            "logits choose it. The advantage Q − V does not depend on that choice. The Bellman "
            "residual is what rounding leaves of r raw = r + V(s) − V(s′)."
        )
        self.setAccessibleName("Chart of Q, V, advantage and raw reward per token")
        self.header = QHBoxLayout()
        self.header.setContentsMargins(8, 2, 4, 0)
        self.header.addWidget(self.key, 1)
        self.header.addWidget(self.reset)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(self.header)
        column.addWidget(self.plot, 1)

    # --- what is shown ----------------------------------------------------------------------

    def show_gauge(self, side: str, gauge: Gauge, labels: tuple[str, ...]) -> None:
        """Show one response; the view follows unless the user has zoomed."""
        if side != self._side or len(gauge) <= self._marked:
            self._marked = -1
        self._side, self._gauge, self._labels = side, gauge, labels
        x = np.arange(len(gauge), dtype=np.float64)
        for line in LINES:
            self._lines[line.key].setData(x, self._values(line))
        self._describe()
        if not self._zoomed:
            self.fit()
        self._show_mark()

    def clear(self) -> None:
        """There is nothing to show."""
        self._side, self._gauge, self._labels, self._marked = "", None, (), -1
        for item in self._lines.values():
            item.setData([], [])
        self._describe()
        self._show_mark()

    def highlight(self, side: str, index: int) -> None:
        """Mark one token of the response that is shown; anything else for none."""
        there = side == self._side and self._gauge is not None and 0 <= index < len(self._gauge)
        self._marked = index if there else -1
        self._show_mark()

    def fit(self) -> None:
        """Show all tokens and values, and follow new ones again."""
        self._zoomed = False
        if self._gauge is None:
            return
        values = np.concatenate([*map(self._values, LINES), [0.0]])
        values = values[np.isfinite(values)]
        low, high = float(values.min()), float(values.max())
        room = 0.1 * (high - low or 1.0)
        longest = max(len(self._gauge), 8)
        self._view.setLimits(xMin=-2, xMax=longest + 1, minXRange=4)
        self._view.setRange(
            xRange=(-0.7, longest - 0.3),
            yRange=(low - room, high + room),
            padding=0,
            disableAutoRange=True,
        )
        self._show_mark()

    def set_theme(self, dark: bool) -> None:
        """Light or dark; the lines keep their dashes and hues."""
        self._dark = dark
        surface = QColor(*(DARK_SURFACE if dark else LIGHT_SURFACE))
        text = QColor(*(DARK_TEXT if dark else LIGHT_TEXT))
        faint = QColor(text)
        faint.setAlpha(120)
        self.plot.setBackground(surface)
        for name in ("left", "bottom"):
            axis = self._item.getAxis(name)
            axis.setPen(faint)
            axis.setTextPen(text)
        self._item.getAxis("left").setGrid(28)
        self._item.setLabel("left", "β·nats", color=text.name())
        self._item.setLabel("bottom", "token of the response", color=text.name())
        self._zero.setPen(QPen(faint, 0))
        self._mark.setPen(pg.mkPen(faint, width=1.5))
        for line in LINES:
            pen = pg.mkPen(line.colour(dark), width=2, style=line.style)
            self._lines[line.key].setPen(pen)
        self._note.setColor(text)
        self._note.fill = pg.mkBrush(surface)
        self._note.border = pg.mkPen(faint)
        self._show_titles()
        self._describe()
        self._show_mark()

    def _show_titles(self) -> None:
        for name in ("left", "bottom"):
            self._item.getAxis(name).showLabel(self.height() >= ROOMY)

    def _values(self, line: Line) -> NDArray[np.float64]:
        values: NDArray[np.float64] = getattr(self._gauge, line.key)
        return values

    def _describe(self) -> None:
        """The legend, and what checks it."""
        if self._gauge is None:
            self.key.setText("The Q-function appears here once a response is scored.")
            return
        names = " &nbsp; ".join(
            f'<b style="color:{line.colour(self._dark)}">{line.sign} {line.name}</b>'
            for line in LINES
        )
        worst = f"{self._gauge.worst_residual:.0e}".replace("-", "\u2212").replace("0e+00", "0")
        self.key.setText(
            f"<b>{self._side}</b> &nbsp; {names} &nbsp; raw-logit gauge · largest Bellman "
            f"residual {worst}"
        )

    def _show_mark(self) -> None:
        """The line, dots and note of the marked token."""
        index, gauge = self._marked, self._gauge
        shown = gauge is not None and index >= 0
        for item in (self._mark, self._dots, self._note):
            item.setVisible(shown)
        if gauge is None or not shown:
            return
        values = [float(self._values(line)[index]) for line in LINES]
        self._mark.setValue(index)
        self._dots.setData(
            [index] * len(LINES),
            values,
            brush=[pg.mkBrush(line.colour(self._dark)) for line in LINES],
            pen=None,
        )
        label = self._labels[index] if self._labels else f"token {index}"
        numbers = "   ".join(
            f"{line.name} {value:+.3f}".replace("-", "\u2212")
            for line, value in zip(LINES, values, strict=True)
        )
        self._note.setText(f"{self._side}  {label}   {numbers}")
        (left, right), (_, top) = self._view.viewRange()
        self._note.setAnchor((1, 0) if index > (left + right) / 2 else (0, 0))
        self._note.setPos(index, top)

    # --- mouse ------------------------------------------------------------------------------

    def _token_at(self, scene: QPointF) -> int:
        """The token whose column holds a point of the scene, or -1."""
        if self._gauge is None or not self._view.sceneBoundingRect().contains(scene):
            return -1
        index = int(np.floor(self._view.mapSceneToView(scene).x() + 0.5))
        return index if 0 <= index < len(self._gauge) else -1

    def _say_hover(self, index: int) -> None:
        if index != self._under_mouse:
            self._under_mouse = index
            self.highlight(self._side, index)
            self.hovered.emit(self._side if index >= 0 else "", index)

    def _mouse_moved(self, scene: QPointF) -> None:
        self._say_hover(self._token_at(scene))

    def _mouse_clicked(self, event: Any) -> None:
        index = self._token_at(event.scenePos())
        if event.button() == Qt.MouseButton.LeftButton and index >= 0:
            self.clicked.emit(self._side, index)

    def _note_zoom(self) -> None:
        self._zoomed = True
        self._show_mark()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._say_hover(-1)
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if (event.size().height() >= ROOMY) != (event.oldSize().height() >= ROOMY):
            self._show_titles()
