"""Plots a whole vocabulary at one state: log π_ref against reward, one dot per token.

All dots are one picture, painted from counts per pixel, so that 150,000 of them pan and zoom as
fast as ten; where dots lie on each other they are darker. Importing this module imports pyqtgraph,
which takes a while; do so after the window is shown. Knows arrays and labels; knows nothing of
models or of what a token means.
"""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QImage, QKeyEvent, QPainter
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.widgets.colour_scale import ColourScale
from app.widgets.drawing import mix, picture_of, said_once, translucent
from app.widgets.layouts import as_tip, fill
from app.widgets.plots import dress, dress_note, fit_button, pen, prepare
from core.present.numerals import plain, signed

Floats = NDArray[np.float64]
RADIUS = 1.7
"""A dot's radius in pixels."""
REACH = 12.0
"""Pixels that the mouse may be away from a dot."""
SINGLE = 0.35
"""Opacity of a dot that lies alone; the densest place is opaque, others lie between by logarithm.
"""
BY_KEY = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
BESIDE = 5
"""Pixels between a dot's middle and its name."""
NAMED = 3
"""Extremes of each kind that are labelled in the plot."""


def picture(
    x: Floats, y: Floats, area: QRectF, width: int, height: int, ink: QColor, radius: float
) -> QImage:
    """Return the dots inside ``area`` as a picture, ``width`` x ``height`` pixels, premultiplied.

    ``x`` and ``y`` are [n], ``radius`` is in pixels; row 0 of the picture is the lowest y.
    """
    edge = int(np.ceil(radius))
    column = np.floor((x - area.left()) / area.width() * width)
    row = np.floor((y - area.top()) / area.height() * height)
    inside = (column >= -edge) & (column < width + edge) & (row >= -edge) & (row < height + edge)
    wide, high = width + 2 * edge, height + 2 * edge
    at = (row[inside] + edge).astype(np.int64) * wide + (column[inside] + edge).astype(np.int64)
    counts = np.bincount(at, minlength=wide * high).reshape(high, wide)
    covered = np.zeros((height, width), dtype=np.int64)
    for down in range(-edge, edge + 1):
        for right in range(-edge, edge + 1):
            if down * down + right * right <= radius * radius:
                rows = slice(edge + down, edge + down + height)
                covered += counts[rows, edge + right : edge + right + width]
    crowd = np.log(np.maximum(covered, 1)) / np.log(max(int(covered.max()), 2))
    opaque = np.where(covered > 0, SINGLE + (1 - SINGLE) * crowd, 0.0)
    alpha = np.rint(255 * opaque).astype(np.uint32)
    pixels = alpha << 24
    for shift, part in ((16, ink.red()), (8, ink.green()), (0, ink.blue())):
        pixels |= (alpha * part // 255) << shift
    return picture_of(pixels, QImage.Format.Format_ARGB32_Premultiplied)


class Dots(pg.GraphicsObject):
    """All tokens of a vocabulary in one item of a plot."""

    def __init__(self) -> None:
        super().__init__()
        self._x = self._y = np.zeros(0)
        self._ink = QColor("black")
        self._cached: tuple[object, QImage] | None = None

    def set_points(self, x: Floats, y: Floats) -> None:
        """Take other points, [n] each."""
        self._x, self._y = x, y
        self._redraw()

    def set_ink(self, ink: QColor) -> None:
        """Take another colour for dots."""
        self._ink = ink
        self._redraw()

    def _redraw(self) -> None:
        self._cached = None
        self.update()

    def viewRangeChanged(self) -> None:
        self.prepareGeometryChange()
        self._redraw()

    def boundingRect(self) -> QRectF:
        area = self.viewRect()
        return area if area is not None else QRectF()

    def paint(self, painter: QPainter, option: object, widget: QWidget | None = None) -> None:
        with said_once():
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        area = self.boundingRect()
        place = painter.deviceTransform().mapRect(area)
        width, height = round(place.width()), round(place.height())
        if not len(self._x) or width < 1 or height < 1 or area.isEmpty():
            return
        scale = painter.device().devicePixelRatio() if painter.device() is not None else 1.0
        wanted = area, width, height
        if self._cached is None or self._cached[0] != wanted:
            image = picture(self._x, self._y, area, width, height, self._ink, RADIUS * float(scale))
            self._cached = wanted, image
        painter.drawImage(area, self._cached[1])


class VocabularyPlot(QWidget):
    """A plot of every token at one state; the mouse, or the arrow keys, name one."""

    named = Signal(int)
    """The row that is named has changed; -1 for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._x = self._y = np.zeros(0)
        self._policy = np.zeros(0)
        self.labels: tuple[str, ...] = ()
        self.current = self._named = -1
        self.promoted: tuple[int, ...] = ()
        self.demoted: tuple[int, ...] = ()
        self._scale = ColourScale()
        self._dressed: tuple[bool, bool] | None = None
        self._zoomed = False
        self._walk = np.zeros(0, dtype=np.int64)
        self.plot = pg.PlotWidget(enableMenu=False)
        self.item: Any = self.plot.getPlotItem()
        self.view: Any = self.item.getViewBox()
        self.dots = Dots()
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.names: list[Any] = []
        self._lay_out()
        self.set_scale(self._scale)
        self.clear()

    def _lay_out(self) -> None:
        prepare(self.item, ("left", "bottom"))
        self._zero = pg.InfiniteLine(0, angle=0)
        self._ends = pg.ScatterPlotItem(size=8)
        self.here = pg.ScatterPlotItem(size=13)
        self._point = pg.ScatterPlotItem(size=11)
        self.note = pg.TextItem(anchor=(0, 0))
        self.item.addItem(self.dots, ignoreBounds=True)
        for item, depth in (
            (self._zero, -1),
            (self._ends, 3),
            (self.here, 4),
            (self._point, 6),
            (self.note, 7),
        ):
            item.setZValue(depth)
            self.item.addItem(item, ignoreBounds=True)
        self.plot.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.plot.setAccessibleName("Plot of the vocabulary: log π_ref against reward")
        self.plot.installEventFilter(self)
        self.plot.viewport().installEventFilter(self)
        self.plot.scene().sigMouseMoved.connect(self._mouse_moved)
        self.view.sigRangeChangedManually.connect(self._note_zoom)
        self.view.sigRangeChanged.connect(self._range_changed)
        self.reset = fit_button(self.fit)
        self.title.setToolTip(
            as_tip(
                "Each dot is a token that could stand here. Point at one, or walk with the arrow "
                "keys from the likeliest under π_ref on. Far left, log-ratios are large and mean "
                "little."
            )
        )
        top = fill(QHBoxLayout(), (self.title, 1), self.reset)
        fill(QVBoxLayout(self), top, (self.plot, 1), margins=(0, 0, 0, 0), spacing=2)
        self.setMinimumHeight(190)

    # --- what is shown ----------------------------------------------------------------------

    def rewards(self) -> Floats:
        """Return the rewards of the vocabulary that is shown, [V]."""
        return self._y

    def show_points(
        self,
        logp_reference: ArrayLike,
        rewards: ArrayLike,
        logp_policy: ArrayLike,
        labels: tuple[str, ...],
    ) -> None:
        """Show a vocabulary, [V] each; rows with a NaN or infinite number have no dot.

        The view follows unless the user has zoomed.
        """
        self._x, self._y = np.asarray(logp_reference, np.float64), np.asarray(rewards, np.float64)
        self._policy, self.labels = np.asarray(logp_policy, np.float64), labels
        known = np.flatnonzero(np.isfinite(self._x) & np.isfinite(self._y))
        self._walk = known[np.argsort(-self._x[known], kind="stable")]
        self.dots.set_points(self._x[self._walk], self._y[self._walk])
        self.title.setText(f"All {len(labels):,} tokens that could stand here")
        self.current, self.promoted, self.demoted = -1, (), ()
        self._name(self._named if self._drawn(self._named) else -1)
        self._show_ends()
        if not self._zoomed:
            self.fit()

    def mark(self, current: int, promoted: tuple[int, ...], demoted: tuple[int, ...]) -> None:
        """Mark the row that stands there now (-1: none) and the extremes, the first ones named."""
        self.current, self.promoted, self.demoted = current, promoted, demoted
        self._show_ends()

    def clear(self) -> None:
        """Show no state."""
        nothing = np.zeros(0)
        self._named = -1
        self.show_points(nothing, nothing, nothing, ())
        self.title.setText("")

    def fit(self) -> None:
        """Show all dots, and follow new ones again."""
        self._zoomed = False
        x, y = self._x[self._walk], self._y[self._walk]
        left = float(x.min(initial=-1.0))
        low, high = float(y.min(initial=0.0)), float(y.max(initial=0.0))
        room = 0.08 * (high - low or 1.0)
        self.view.setRange(
            xRange=(1.04 * left, -0.04 * left),
            yRange=(low - room, high + room),
            padding=0,
            disableAutoRange=True,
        )

    def rescale(self, factor: float) -> None:
        """Multiply the range of rewards by a factor: another beta is about to do so with them."""
        low, high = self.view.viewRange()[1]
        self.view.setYRange(low * factor, high * factor, padding=0)

    def set_scale(self, scale: ColourScale) -> None:
        """Set the colours of rewards, and with them a dark or a light theme."""
        dressed = self._dressed == (scale.dark, scale.swap)
        self._scale, self._dressed = scale, (scale.dark, scale.swap)
        if dressed:
            return  # the limit changes with beta, and no colour of the plot does
        surface, text = QColor(*scale.surface), QColor(*scale.text)
        faint = translucent(text, 120)
        dress(self.plot, {"left": "reward r", "bottom": "log π_ref"}, surface, text, faint)
        dress_note(self.note, surface, text, faint)
        self._zero.setPen(pen(faint))
        self.dots.set_ink(mix(surface, text, 0.5))
        self.here.setPen(pen(text, theme.PEN))
        self.here.setBrush(None)
        self._point.setPen(pen(text, 1.5))
        self._point.setBrush(None)
        self._show_ends()

    def _show_ends(self) -> None:
        """Draw the extremes in the colours of their signs, and the names of some."""
        for text in self.names:
            self.item.removeItem(text)
        self.names.clear()
        blue, red = (QColor(self._scale.css(s * self._scale.limit)) for s in (1, -1))
        coloured = dict.fromkeys(filter(self._drawn, self.promoted), blue)
        coloured |= dict.fromkeys(filter(self._drawn, self.demoted), red)
        rows = list(coloured)
        brush = [pg.mkBrush(colour) for colour in coloured.values()]
        self._ends.setData(self._x[rows], self._y[rows], brush=brush, pen=None)
        here = [self.current] if self._drawn(self.current) else []
        self.here.setData(self._x[here], self._y[here])
        named = [*here, *self.promoted[:NAMED], *self.demoted[:NAMED]]
        for row in dict.fromkeys(filter(self._drawn, named)):
            text = pg.TextItem(self.labels[row], color=QColor(*self._scale.text))
            text.setAnchor((1 + BESIDE / max(text.boundingRect().width(), 1), 0.5))
            text.setPos(self._x[row], self._y[row])
            text.setZValue(5)
            self.item.addItem(text, ignoreBounds=True)
            self.names.append(text)
        self._place_texts()

    def _place_texts(self) -> None:
        """Hide the names that would lie on the names before them."""
        wide, high = self.view.viewPixelSize()
        taken: list[QRectF] = []
        for text in self.names:
            size = text.boundingRect().size()
            left, top = text.pos().x() / wide - size.width() - BESIDE, -text.pos().y() / high
            place = QRectF(left, top - size.height() / 2, size.width() + BESIDE, size.height())
            text.setVisible(not any(place.intersects(other) for other in taken))
            if text.isVisible():
                taken.append(place)

    def _drawn(self, row: int) -> bool:
        """Return whether a row has a dot."""
        there = 0 <= row < len(self._x)
        return there and bool(np.isfinite(self._x[row]) and np.isfinite(self._y[row]))

    # --- which token ------------------------------------------------------------------------

    def named_row(self) -> int:
        """Return the row that is named now; -1 for none."""
        return self._named

    def row_at(self, scene: QPointF) -> int:
        """Return the row of the dot nearest to a point of the scene, or -1 if none is near."""
        area = self.view.sceneBoundingRect()
        if not len(self._walk) or not area.contains(scene):
            return -1
        where = self.view.mapSceneToView(scene)
        wide, high = self.view.viewPixelSize()
        away = (self._x[self._walk] - where.x()) ** 2 / wide**2
        away += (self._y[self._walk] - where.y()) ** 2 / high**2
        nearest = int(away.argmin())
        return int(self._walk[nearest]) if away[nearest] <= REACH**2 else -1

    def _name(self, row: int) -> None:
        """Ring a dot and say which token it is; -1 for none."""
        changed, self._named = row != self._named, row
        shown = row >= 0
        self._point.setVisible(shown)
        self.note.setVisible(shown)
        if shown:
            self._point.setData(self._x[[row]], self._y[[row]])
            self.note.setText(
                f"{self.labels[row]}   r {signed(self._y[row])}\n"
                f"log π {plain(self._policy[row], 2)}   log π_ref {plain(self._x[row], 2)}"
            )
            self._place_note()
        if changed:
            self.named.emit(row)

    def _place_note(self) -> None:
        """Put the note into the corner that the dot is farthest from."""
        if self._named < 0:
            return
        (left, right), (low, high) = self.view.viewRange()
        on_right = self._x[self._named] > (left + right) / 2
        on_top = self._y[self._named] > (low + high) / 2
        self.note.setAnchor((0 if on_right else 1, 1 if on_top else 0))
        self.note.setPos(left if on_right else right, low if on_top else high)

    def _mouse_moved(self, scene: QPointF) -> None:
        self._name(self.row_at(scene))

    def _note_zoom(self) -> None:
        self._zoomed = True

    def _range_changed(self) -> None:
        self._place_note()
        self._place_texts()

    def _step(self, by: int) -> None:
        """Name the token ``by`` places further down the reference's order."""
        if not len(self._walk):
            return
        found = np.flatnonzero(self._walk == self._named)
        place = int(found[0]) + by if len(found) else 0
        self._name(int(self._walk[min(max(place, 0), len(self._walk) - 1)]))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.plot and isinstance(event, QKeyEvent):
            steps = {Qt.Key.Key_Right: -1, Qt.Key.Key_Left: 1}
            if event.type() == QEvent.Type.KeyPress and event.key() in steps:
                self._step(steps[Qt.Key(event.key())])
                return True
        elif watched is self.plot and isinstance(event, QFocusEvent):
            if event.type() == QEvent.Type.FocusOut:
                self._name(-1)
            elif event.reason() in BY_KEY and self._drawn(self.current):
                self._name(self.current)  # so that one sees where the keyboard is
        elif event.type() == QEvent.Type.Leave:
            self._name(-1)
        return super().eventFilter(watched, event)
