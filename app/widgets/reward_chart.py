"""The chart under the editors: reward of each token as bars, and the running sum as a line.

Bars and sums of both responses share one plot. A sum soon outgrows the single rewards, so it is
drawn smaller by a round factor, and the right-hand axis counts in its units: the zero is one line
for both. Importing this module imports pyqtgraph, which takes a while; do so after the window is
shown. Knows arrays and labels; knows nothing of tokens, editors or models.
"""

from typing import Any, Literal

import numpy as np
import pyqtgraph as pg
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app.widgets.colour_scale import DARK_SURFACE, DARK_TEXT, LIGHT_SURFACE, LIGHT_TEXT, fit_limit

Side = Literal["A", "B"]
SIDES: tuple[Side, Side] = ("A", "B")
COLOURS = {
    # Orange and bluish green of Okabe and Ito: told apart by colour-blind readers, and unlike
    # the blue and red that mean a reward's sign. Darker on white, for contrast.
    False: {"A": "#c87f00", "B": "#00805d"},
    True: {"A": "#f0a830", "B": "#2fc79b"},
}
ROOMY = 170
"""A chart less high, in pixels, has no titles at its axes: the line above it says the same."""
EMPTY = "The rewards of A and B appear here once they are scored."


class RewardChart(QWidget):
    """Rewards and running sums of A and B, linked with the editors by token index."""

    hovered = Signal(str, int)
    """The side and token under the mouse changed; ("", -1) for none."""
    clicked = Signal(str, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rewards: dict[Side, NDArray[np.float64]] = {s: np.zeros(0) for s in SIDES}
        self._labels: dict[Side, tuple[str, ...]] = dict.fromkeys(SIDES, ())
        self._marked: tuple[Side, int] | None = None
        self._under_mouse: tuple[str, int] = ("", -1)
        self._dark = False
        self._shrink = 1.0
        self._zoomed = False
        self.plot = pg.PlotWidget(enableMenu=False)
        self._item: Any = self.plot.getPlotItem()
        self._view: Any = self._item.getViewBox()
        self._bars: dict[Side, Any] = {}
        self._lines: dict[Side, Any] = {}
        self._key = QLabel()
        self._empty = QLabel(EMPTY, self.plot)
        self._lay_out()
        self.set_theme(False)
        self._refresh()

    def _lay_out(self) -> None:
        self._item.hideButtons()
        self._item.showAxis("right")
        for name in ("left", "right", "bottom"):
            axis = self._item.getAxis(name)
            axis.enableAutoSIPrefix(False)
            # Of the finer ticks' faint lines each takes as long to draw as all bars together.
            axis.setStyle(maxTickLevel=0)
        self._view.setMouseEnabled(x=True, y=False)
        self._view.disableAutoRange()
        for side in SIDES:
            self._bars[side] = pg.BarGraphItem(x0=[], y0=[], width=0.4, height=[])
            self._lines[side] = pg.PlotDataItem(connect="finite")
            self._item.addItem(self._bars[side])
            self._item.addItem(self._lines[side])
        self._zero = pg.InfiniteLine(0, angle=0)
        self._mark = pg.InfiniteLine(angle=90)
        self._dot = pg.ScatterPlotItem(size=10)
        self._note = pg.TextItem(anchor=(0, 0))
        for item, depth in ((self._zero, -1), (self._mark, 5), (self._dot, 6), (self._note, 7)):
            item.setZValue(depth)
            self._item.addItem(item, ignoreBounds=True)
        self.plot.scene().sigMouseMoved.connect(self._mouse_moved)
        self.plot.scene().sigMouseClicked.connect(self._mouse_clicked)
        self._view.sigRangeChangedManually.connect(self._note_zoom)
        self.plot.viewport().installEventFilter(self)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.reset = QToolButton()
        self.reset.setText("Fit")
        self.reset.setToolTip("Show all tokens (the wheel zooms, dragging moves)")
        self.reset.clicked.connect(self.fit)
        self.setAccessibleName("Chart of rewards per token and their running sum")
        self.header = QHBoxLayout()
        self.header.setContentsMargins(8, 2, 4, 0)
        self.header.addWidget(self._key, 1)
        self.header.addWidget(self.reset)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(self.header)
        column.addWidget(self.plot, 1)

    # --- what is shown ----------------------------------------------------------------------

    def set_series(self, side: Side, rewards: ArrayLike, labels: tuple[str, ...] = ()) -> None:
        """Show one side's rewards, [n] in nats times beta, and the tokens' labels, [n] or none.

        An empty array takes the side away. The view follows unless the user has zoomed.
        """
        values = np.asarray(rewards, dtype=np.float64)
        if labels and len(labels) != len(values):
            raise ValueError("every reward needs a label, or none has one")
        self._rewards[side], self._labels[side] = values, tuple(labels)
        if self._marked is not None and self._marked[0] == side:
            self._marked = None
        self._refresh()
        if not self._zoomed:
            self.fit()

    def clear(self) -> None:
        """Show that there is nothing to show."""
        for side in SIDES:
            self.set_series(side, [])

    def highlight(self, side: str, index: int) -> None:
        """Mark one token's bar and its point of the sum; index -1 for none."""
        mark: tuple[Side, int] | None = None
        for known in SIDES:
            if side == known and 0 <= index < len(self._rewards[known]):
                mark = (known, index)
        self._marked = mark
        self._show_mark()

    def fit(self) -> None:
        """Show all tokens and values, and follow new ones again."""
        self._zoomed = False
        longest = max(len(self._rewards[side]) for side in SIDES)
        values = [self._rewards[side] for side in SIDES]
        scaled = [np.cumsum(np.nan_to_num(v)) / self._shrink for v in values]
        both = np.concatenate([*values, *scaled, [0.0]])
        both = both[np.isfinite(both)]
        low, high = float(both.min()), float(both.max())
        room = 0.12 * (high - low or 1.0)
        self._view.setLimits(xMin=-2, xMax=max(longest, 8) + 1, minXRange=4)
        self._view.setRange(
            xRange=(-0.7, max(longest, 8) - 0.3),
            yRange=(low - room, high + room),
            padding=0,
            disableAutoRange=True,
        )
        self._show_mark()

    def set_theme(self, dark: bool) -> None:
        """Light or dark; the colours of A and B keep their hues."""
        self._dark = dark
        surface = QColor(*(DARK_SURFACE if dark else LIGHT_SURFACE))
        text = QColor(*(DARK_TEXT if dark else LIGHT_TEXT))
        self.plot.setBackground(surface)
        faint = QColor(text)
        faint.setAlpha(120)
        for name in ("left", "right", "bottom"):
            axis = self._item.getAxis(name)
            axis.setPen(faint)
            axis.setTextPen(text)
        self._item.getAxis("left").setGrid(28)
        self._item.setLabel("left", "reward β·log(π/π_ref)", color=text.name())
        self._item.setLabel("right", "running sum Σr", color=text.name())
        self._item.setLabel("bottom", "token of the response", color=text.name())
        self._zero.setPen(QPen(faint, 0))
        for side in SIDES:
            colour = QColor(COLOURS[dark][side])
            self._bars[side].setOpts(brush=colour, pen=None)
            style = Qt.PenStyle.SolidLine if side == "A" else Qt.PenStyle.DashLine
            self._lines[side].setPen(pg.mkPen(colour, width=2, style=style))
        self._note.setColor(text)
        self._note.fill = pg.mkBrush(surface)
        self._note.border = pg.mkPen(faint)
        a, b = (COLOURS[dark][side] for side in SIDES)
        self._key.setText(
            f'<b style="color:{a}">■ A</b> reward, <b style="color:{a}">—</b> its running sum '
            f'&nbsp;&nbsp; <b style="color:{b}">■ B</b> reward, '
            f'<b style="color:{b}">- -</b> its running sum &nbsp;&nbsp; in nats × β'
        )
        self._empty.setStyleSheet(f"color: {text.name()}; background: transparent;")
        self._show_axes()
        self._show_mark()

    def _refresh(self) -> None:
        """Give the items their numbers: one item for all bars of a side."""
        values = [self._rewards[side] for side in SIDES]
        sums = [np.cumsum(np.nan_to_num(v)) for v in values]
        bar = max((float(np.nanmax(np.abs(v), initial=0.0)) for v in values), default=0.0)
        top = max((float(np.max(np.abs(s), initial=0.0)) for s in sums), default=0.0)
        ratio = top / bar if bar else 1.0
        # A round factor, so that the right-hand axis has round numbers where the left one has.
        self._shrink = max(1.0, fit_limit([ratio])) if ratio > 1.5 else 1.0
        self._item.getAxis("right").setScale(self._shrink)
        alone = sum(len(v) > 0 for v in values) < 2
        for side, v, total in zip(SIDES, values, sums, strict=True):
            x = np.arange(len(v), dtype=np.float64)
            width = 0.8 if alone else 0.4
            left = x - 0.4 if alone or side == "A" else x
            self._bars[side].setOpts(
                x0=left, y0=np.zeros(len(v)), width=width, height=np.nan_to_num(v)
            )
            self._lines[side].setData(x, total / self._shrink)
        self._show_axes()
        self._show_mark()

    def _show_axes(self) -> None:
        """Axes where there is something to measure, and a sentence where there is not."""
        empty = all(len(self._rewards[side]) == 0 for side in SIDES)
        self._empty.setVisible(empty)
        self._zero.setVisible(not empty)
        for name in ("left", "right", "bottom"):
            axis = self._item.getAxis(name)
            axis.showLabel(self.height() >= ROOMY)
            axis.setVisible(not empty)  # a new label shows its axis

    def _show_mark(self) -> None:
        """The line, dot and note of the marked token."""
        shown = self._marked is not None
        for item in (self._mark, self._dot, self._note):
            item.setVisible(shown)
        if self._marked is None:
            return
        side, index = self._marked
        rewards = self._rewards[side]
        total = float(np.nansum(rewards[: index + 1]))
        colour = QColor(COLOURS[self._dark][side])
        line = QColor(colour)
        line.setAlpha(150)
        self._mark.setPen(pg.mkPen(line, width=1.5))
        self._mark.setValue(index)
        self._dot.setData([index], [total / self._shrink], brush=colour, pen=None)
        label = self._labels[side][index] if self._labels[side] else f"token {index}"
        note = f"{side}  {label}   r {rewards[index]:+.3f}   Σr {total:+.3f}"
        self._note.setText(note.replace("-", "\u2212") if "-" not in label else note)
        (left, right), (_, top) = self._view.viewRange()
        self._note.setAnchor((1, 0) if index > (left + right) / 2 else (0, 0))
        self._note.setPos(index, top)

    # --- mouse ------------------------------------------------------------------------------

    def _token_at(self, scene: QPointF) -> tuple[str, int]:
        """The side and token whose column holds a point of the scene, or ("", -1)."""
        if not self._view.sceneBoundingRect().contains(scene):
            return ("", -1)
        x = float(self._view.mapSceneToView(scene).x())
        index = int(np.floor(x + 0.5))
        there = [side for side in SIDES if 0 <= index < len(self._rewards[side])]
        if not there:
            return ("", -1)
        if len(there) == 2:
            return (there[int(x >= index)], index)
        return (there[0], index)

    def _say_hover(self, under: tuple[str, int]) -> None:
        if under != self._under_mouse:
            self._under_mouse = under
            self.highlight(*under)
            self.hovered.emit(*under)

    def _mouse_moved(self, scene: QPointF) -> None:
        self._say_hover(self._token_at(scene))

    def _mouse_clicked(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            side, index = self._token_at(event.scenePos())
            if side:
                self.clicked.emit(side, index)

    def _note_zoom(self) -> None:
        self._zoomed = True
        self._show_mark()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._say_hover(("", -1))
        elif event.type() == QEvent.Type.Resize:
            self._empty.setGeometry(self.plot.rect())
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._empty.setGeometry(self.plot.rect())
        if (event.size().height() >= ROOMY) != (event.oldSize().height() >= ROOMY):
            self._show_axes()
