"""Holds what the charts over the tokens of a response share.

The plot with its zero line, mark, dots and note, the header with its key and Fit, mouse and zoom.
A column of it is a token or a word; its numbers stand in the plot, so that columns can be where
their words are. Subclasses draw the series. Importing this module imports pyqtgraph, which takes a
while; do so after the window is shown. Knows nothing of tokens or rewards.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.widgets.colour_scale import DARK_SURFACE, DARK_TEXT, LIGHT_SURFACE, LIGHT_TEXT
from app.widgets.drawing import translucent
from app.widgets.layouts import fill
from app.widgets.plots import dress, dress_note, fit_button, note_font, pen, prepare
from core.present.numerals import real_minus

NOWHERE = ("", -1)
EDGE = 40
"""Pixels at the edges of the plot that the numbers of its upright axes may take."""
FAINT, GRID = 90, 28
"""Of 255, how strong ticks and the lines of the grid are."""
LEAST_NAME = 34
"""Pixels that a column has at least, for all to be named."""


class TokenAxis(pg.AxisItem):
    """An axis over columns: it names them where there is room, else it counts from 1, as the
    inspector does."""

    def __init__(self) -> None:
        super().__init__("bottom")
        self._middles, self._widths = np.zeros(0), np.zeros(0)
        self._name: Callable[[int], str] = str
        self._counts = True

    def set_columns(
        self,
        spans: NDArray[np.float64],
        name: Callable[[int], str],
        lines: int = 1,
        counts: bool = True,
    ) -> None:
        """Take the columns, from where to where they are, ascending, [columns, 2].

        ``name`` says what a column is called, in so many lines; ``counts``: where there is no room
        for all names, the axis counts.
        """
        self._middles, self._widths = spans.mean(axis=1), spans[:, 1] - spans[:, 0]
        self._name, self._counts = name, counts
        self.setHeight(round(lines * QFontMetricsF(note_font()).height()) + theme.TIGHT)
        self.picture = None
        self.update()

    def _scale(self) -> float:
        """Return how many pixels one unit of the axis is."""
        low, high = self.range
        return float(self.width()) / (high - low) if high > low else 0.0

    def _is_named(self) -> bool:
        if not len(self._widths):
            return False
        return not self._counts or float(np.median(self._widths)) * self._scale() >= LEAST_NAME

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        if self._is_named():
            inside = (self._middles >= low) & (self._middles <= high)
            return [(1.0, self._middles[inside].tolist())]
        counted = super().tickValues(low + 1, high + 1, size)
        return [(spacing, [place - 1 for place in places]) for spacing, places in counted]

    def tickStrings(self, places: list[float], scale: float, spacing: float) -> list[str]:
        if self._is_named():
            return [self._cut(column) for column in np.searchsorted(self._middles, places).tolist()]
        strings: list[str] = super().tickStrings([at + 1 for at in places], scale, spacing)
        return strings

    def _cut(self, column: int) -> str:
        """Return a column's name as far as there is room for it."""
        room = float(self._widths[column]) * self._scale() - 2
        if room < theme.MARGIN:
            return ""
        metrics, dots = QFontMetricsF(note_font()), Qt.TextElideMode.ElideRight
        lines = self._name(column).split("\n")
        return "\n".join(metrics.elidedText(line, dots, room) for line in lines)


class InnerAxis(pg.AxisItem):
    """An upright axis whose numbers stand in the plot, at its edge; it takes no room itself."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self.setWidth(0)
        self.setStyle(tickTextOffset=-EDGE, tickLength=0)
        self.ground = QColor()
        """Behind the numbers, so that they are read over bars."""

    def boundingRect(self) -> QRectF:
        view = self.linkedView()
        own: QRectF = super().boundingRect()
        return own if view is None else own | view.mapRectToItem(self, view.boundingRect())

    def drawPicture(self, painter: Any, axis: Any, ticks: Any, texts: Any) -> None:
        at_left = self.orientation == "left"
        super().drawPicture(painter, axis, ticks if at_left else [], [])
        painter.setFont(note_font())
        for rect, _, text in texts:
            if at_left:
                rect.moveLeft(theme.TIGHT)
            else:
                rect.moveRight(-theme.TIGHT)
            painter.fillRect(rect.adjusted(-theme.TIGHT, 0, theme.GAP, 0), self.ground)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextDontClip
            painter.drawText(rect, flags, real_minus(text))


class TokenChart(QWidget):
    """Series over token indices; subclasses draw them and say how long each side is."""

    hovered = Signal(str, int)
    """The side and token under the mouse changed; ("", -1) for none."""
    clicked = Signal(str, int)
    resized = Signal()
    """The plot has another size."""
    axes: tuple[str, ...] = ("left", "bottom")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._under_mouse = self._marked = NOWHERE
        self.dark = self._zoomed = False
        self._unit = "β·nats"
        axes = {name: InnerAxis(name) for name in self.axes if name != "bottom"}
        self.names = TokenAxis()
        self.plot = pg.PlotWidget(enableMenu=False, axisItems={**axes, "bottom": self.names})
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # in the editors keys walk the tokens
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
        self.view.sigResized.connect(self._follow_size)
        self.plot.viewport().installEventFilter(self)
        self.reset = fit_button(self.fit)
        parts = (self.key, 1), self.reset
        self.header = fill(QHBoxLayout(), *parts, margins=(8, 2, 4, 0), spacing=theme.GAP)
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

    def _span(self, column: int) -> tuple[float, float]:
        """Return where a column begins and ends on the axis."""
        return column - 0.5, column + 0.5

    def _column_at(self, x: float) -> int:
        """Return the column at a place of the axis; -1 for none."""
        return int(np.floor(x + 0.5))

    def _draw_mark(self, side: str, index: int) -> None:
        """Draw the dots and the note of a marked token."""

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
            self.mark.setValue(self._middle(self._place(side, index)))
            self._draw_mark(side, index)

    def _middle(self, column: int) -> float:
        """Return where the middle of a column is on the axis."""
        return sum(self._span(column)) / 2

    def _show_range(self, longest: int, values: NDArray[np.float64], room: float) -> None:
        """Show ``longest`` tokens, and all finite ``values`` with some room (a share) around."""
        finite = values[np.isfinite(values)]
        low, high = float(finite.min()), float(finite.max())
        room *= high - low or 1.0
        longest = max(longest, 8)
        column = (longest + 0.4) / max(self.view.width() - 2 * EDGE, EDGE)
        left, right = -0.7 - EDGE * column, longest - 0.3 + EDGE * column
        self.view.setLimits(xMin=left - 1, xMax=right + 1, minXRange=4)
        self.view.setRange(
            xRange=(left, right),
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

    def _dress(self, dark: bool) -> tuple[QColor, QColor]:
        """Draw for a dark or a light theme; return the colours of text and of faint lines."""
        self.dark = dark
        surface = QColor(*(DARK_SURFACE if dark else LIGHT_SURFACE))
        text = QColor(*(DARK_TEXT if dark else LIGHT_TEXT))
        faint = translucent(text, 120)
        dress(self.plot, dict.fromkeys(self.axes, ""), surface, text, faint)
        dress_note(self.note, surface, text, faint)
        muted = QColor(theme.colours(dark).muted)
        for name in self.axes:
            axis = self.item.getAxis(name)
            axis.setTickFont(note_font())
            axis.setTextPen(muted)
            if isinstance(axis, InnerAxis):
                axis.setPen(None)
                axis.setTickPen(pen(faint))
                axis.ground = translucent(surface, 220)
                axis.setZValue(1)
        self.names.setStyle(tickAlpha=FAINT)
        self.item.getAxis("left").setGrid(GRID)
        self._zero.setPen(pen(faint))
        return text, faint

    def _put_note(self, column: int, text: str) -> None:
        """Write a note beside the mark in a column, on the side where there is more room."""
        self.note.setText(text)
        (left, right), (_, top) = self.view.viewRange()
        edge = EDGE * (right - left) / max(self.view.width(), EDGE)
        at = min(max(self._middle(column), left + edge), right - edge)
        self.note.setAnchor((1, 0) if at > (left + right) / 2 else (0, 0))
        self.note.setPos(at, top)

    def _token_at(self, scene: QPointF) -> tuple[str, int]:
        """Return the side and token whose column holds a point of the scene; NOWHERE for none."""
        if not self.view.sceneBoundingRect().contains(scene):
            return NOWHERE
        x = float(self.view.mapSceneToView(scene).x())
        at = self._column_at(x)
        there = [(side, self._token_in(side, at)) for side in self._lengths()]
        there = [(side, index) for side, index in there if index >= 0]
        # Of two sides, A has the left half of the column and B the right one.
        return there[-1 if x >= self._middle(at) else 0] if there else NOWHERE

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

    def _follow_size(self) -> None:
        if not self._zoomed:
            self.fit()
        self.resized.emit()
