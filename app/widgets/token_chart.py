"""Holds what the charts over the tokens of a response share.

The plot with its zero line, mark, dots and note, the header with its key and Fit, mouse and zoom.
Subclasses draw the series. Importing this module imports pyqtgraph, which takes a while; do so
after the window is shown. Knows nothing of tokens or rewards.
"""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QPen, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app.widgets.colour_scale import DARK_SURFACE, DARK_TEXT, LIGHT_SURFACE, LIGHT_TEXT
from app.widgets.drawing import translucent
from app.widgets.layouts import fill
from app.widgets.plots import dress, dress_note, fit_button, prepare

ROOMY = 170
"""A chart less high, in pixels, has no titles at its axes."""
NOWHERE = ("", -1)


class TokenAxis(pg.AxisItem):
    """An axis over token indices; it counts from 1, as the inspector does."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        counted = super().tickValues(low + 1, high + 1, size)
        return [(spacing, [place - 1 for place in places]) for spacing, places in counted]

    def tickStrings(self, places: list[float], scale: float, spacing: float) -> list[str]:
        strings: list[str] = super().tickStrings([at + 1 for at in places], scale, spacing)
        return strings


class TokenChart(QWidget):
    """Series over token indices; subclasses draw them and say how long each side is."""

    hovered = Signal(str, int)
    """The side and token under the mouse changed; ("", -1) for none."""
    clicked = Signal(str, int)
    axes: tuple[str, ...] = ("left", "bottom")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._under_mouse = self._marked = NOWHERE
        self.dark = self._zoomed = False
        self._unit = "β·nats"
        self.plot = pg.PlotWidget(enableMenu=False, axisItems={"bottom": TokenAxis("bottom")})
        self.item: Any = self.plot.getPlotItem()
        self.view: Any = self.item.getViewBox()
        self.key = QLabel()
        self.key.setTextFormat(Qt.TextFormat.RichText)
        prepare(self.item, self.axes)
        self.view.setMouseEnabled(x=True, y=False)
        self._zero = pg.InfiniteLine(0, angle=0)
        self.mark = pg.InfiniteLine(angle=90)
        self._dots = pg.ScatterPlotItem(size=9)
        self.note = pg.TextItem(anchor=(0, 0))
        for item, depth in ((self._zero, -1), (self.mark, 5), (self._dots, 6), (self.note, 7)):
            item.setZValue(depth)
            self.item.addItem(item, ignoreBounds=True)
        self.plot.scene().sigMouseMoved.connect(self._mouse_moved)
        self.plot.scene().sigMouseClicked.connect(self._mouse_clicked)
        self.view.sigRangeChangedManually.connect(self._note_zoom)
        self.plot.viewport().installEventFilter(self)
        self.reset = fit_button(self.fit)
        self.header = fill(QHBoxLayout(), (self.key, 1), self.reset, margins=(8, 2, 4, 0))
        fill(QVBoxLayout(self), self.header, (self.plot, 1), margins=(0, 0, 0, 0), spacing=2)

    # --- what a subclass says ---------------------------------------------------------------

    def fit(self) -> None:
        """Show all tokens and values, and follow new ones again."""
        self._zoomed = False

    def _lengths(self) -> dict[str, int]:
        """Return how many tokens each side has; A before B."""
        return {}

    def _place(self, side: str, index: int) -> int:
        """Return the column in which a token is drawn."""
        return index

    def _token_in(self, side: str, column: int) -> int:
        """Return the token that is drawn in a column, the first of several; -1 for none."""
        return column if 0 <= column < self._lengths()[side] else -1

    def _draw_mark(self, side: str, index: int) -> None:
        """Draw the dots and the note of a marked token."""

    def _show_axes(self) -> None:
        """Show the axes' titles where there is room for them."""
        for name in self.axes:
            self.item.getAxis(name).showLabel(self.height() >= ROOMY)

    # --- what they share --------------------------------------------------------------------

    def highlight(self, side: str, index: int) -> None:
        """Mark one token; index -1, or a token that is not shown, for none."""
        there = 0 <= index < self._lengths().get(side, 0)
        self._marked = (side, index) if there else NOWHERE
        self._show_mark()

    def marked(self) -> tuple[str, int]:
        """Return the side and token that are marked; NOWHERE for none."""
        return self._marked

    def _show_mark(self) -> None:
        """Show the line, dots and note of the marked token."""
        side, index = self._marked
        for item in (self.mark, self._dots, self.note):
            item.setVisible(index >= 0)
        if index >= 0:
            self.mark.setValue(self._place(side, index))
            self._draw_mark(side, index)

    def _show_range(self, longest: int, values: NDArray[np.float64], room: float) -> None:
        """Show ``longest`` tokens, and all finite ``values`` with some room (a share) around."""
        finite = values[np.isfinite(values)]
        low, high = float(finite.min()), float(finite.max())
        room *= high - low or 1.0
        longest = max(longest, 8)
        self.view.setLimits(xMin=-2, xMax=longest + 1, minXRange=4)
        self.view.setRange(
            xRange=(-0.7, longest - 0.3),
            yRange=(low - room, high + room),
            padding=0,
            disableAutoRange=True,
        )
        self._show_mark()

    def set_unit(self, unit: str) -> None:
        """Say in what unit the numbers are."""
        if unit != self._unit:
            self._unit = unit
            self.set_theme(self.dark)

    def set_theme(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        raise NotImplementedError

    def _dress(self, dark: bool, titles: tuple[str, ...]) -> tuple[QColor, QColor]:
        """Draw for a dark or a light theme and give ``axes`` their titles.

        Returns the colours of text and of faint lines.
        """
        self.dark = dark
        surface = QColor(*(DARK_SURFACE if dark else LIGHT_SURFACE))
        text = QColor(*(DARK_TEXT if dark else LIGHT_TEXT))
        faint = translucent(text, 120)
        dress(self.plot, dict(zip(self.axes, titles, strict=True)), surface, text, faint)
        dress_note(self.note, surface, text, faint)
        self.item.getAxis("left").setGrid(28)
        self._zero.setPen(QPen(faint, 0))
        return text, faint

    def _put_note(self, column: int, text: str) -> None:
        """Write a note beside the mark in a column, on the side where there is more room."""
        self.note.setText(text)
        (left, right), (_, top) = self.view.viewRange()
        self.note.setAnchor((1, 0) if column > (left + right) / 2 else (0, 0))
        self.note.setPos(column, top)

    def _token_at(self, scene: QPointF) -> tuple[str, int]:
        """Return the side and token whose column holds a point of the scene; NOWHERE for none."""
        if not self.view.sceneBoundingRect().contains(scene):
            return NOWHERE
        column = float(self.view.mapSceneToView(scene).x())
        at = int(np.floor(column + 0.5))
        there = [(side, self._token_in(side, at)) for side in self._lengths()]
        there = [(side, index) for side, index in there if index >= 0]
        # Of two sides, A has the left half of the column and B the right one.
        return there[-1 if column >= at else 0] if there else NOWHERE

    def _say_hover(self, under: tuple[str, int]) -> None:
        if under != self._under_mouse:
            self._under_mouse = under
            self.highlight(*under)
            self.hovered.emit(*under)

    def _mouse_moved(self, scene: QPointF) -> None:
        self._say_hover(self._token_at(scene))

    def _mouse_clicked(self, event: Any) -> None:
        side, index = self._token_at(event.scenePos())
        if event.button() == Qt.MouseButton.LeftButton and side:
            self.clicked.emit(side, index)

    def _note_zoom(self) -> None:
        self._zoomed = True
        self._show_mark()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._say_hover(NOWHERE)
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        before = event.oldSize()  # none at the first time
        if not before.isValid() or (event.size().height() >= ROOMY) != (before.height() >= ROOMY):
            self._show_axes()
