"""Shows the whole tree in a corner of its canvas, with a frame around the part in sight.

Clicking or dragging in it goes there. Its picture is drawn anew only when the tree has changed.
Knows the canvas; knows nothing of searches.
"""

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QWidget

from app.search.canvas import TreeCanvas
from app.search.painting import PaintCache, paint
from app.search.viewpoint import MARGIN, ROW, Viewpoint
from app.widgets.drawing import painting, translucent
from app.widgets.timers import single_shot

WIDE, HIGH = 190, 120
ROOM = 10
"""Pixels between the map and the canvas' edges."""
REST_MS = 500
SHARE = 4
"""The map takes at most one part in this many of the canvas, in each direction."""


class Minimap(QWidget):
    """A small map of the tree, hidden while the whole tree is in sight."""

    def __init__(self, canvas: TreeCanvas) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._cache = PaintCache()
        self._drawn: QPixmap | None = None
        self._view = Viewpoint()
        self._rest = single_shot(self, self._draw_anew, REST_MS)
        self.setAccessibleName("Map of the whole tree")
        self.setToolTip("The whole tree; click or drag to go there")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        canvas.installEventFilter(self)
        canvas.moved.connect(self._follow)
        self.hide()

    def refresh(self, soon: bool = True) -> None:
        """Draw the map anew: the tree or its colours have changed.

        ``soon``: at once; False where it changes all the time.
        """
        if soon:
            self._rest.stop()
            self._drawn = None
        elif not self._rest.isActive():
            self._rest.start()
        self._follow()

    @Slot()
    def _draw_anew(self) -> None:
        self._drawn = None
        self.update()

    @Slot()
    def _follow(self) -> None:
        """Move into the corner, or hide where the whole tree is in sight."""
        canvas, placed = self._canvas, self._canvas.picture.placed
        if placed is None:
            self.hide()
            return
        view = canvas.view
        wide, high = placed.right * view.zoom, placed.rows * ROW * view.zoom
        inside = wide <= canvas.width() and high <= canvas.height()
        left, top = -view.left * view.zoom, -view.top * view.zoom
        whole = inside and left >= 0 and top >= 0
        whole = whole and left + wide <= canvas.width() and top + high <= canvas.height()
        self.setVisible(not whole)
        size = QSize(min(WIDE, canvas.width() // SHARE), min(HIGH, canvas.height() // SHARE))
        if size != self.size():
            self.resize(size)
            self._drawn = None
        self.move(canvas.width() - size.width() - ROOM, canvas.height() - size.height() - ROOM)
        self.update()

    def _small(self) -> Viewpoint:
        placed = self._canvas.picture.placed
        assert placed is not None
        wide, high = max(placed.right, 1.0), max(placed.rows * ROW, 1.0)
        room_x, room_y = self.width() - 8, self.height() - 8
        zoom = min(room_x / wide, room_y / high, 0.2)
        return Viewpoint(zoom, -4 / zoom, -4 / zoom)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._canvas.picture.placed is not None:
            with painting(self) as painter:
                self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        ink = self._canvas.ink
        if self._drawn is None:
            ratio = self.devicePixelRatioF()
            drawn = QPixmap(self.size() * ratio)
            drawn.setDevicePixelRatio(ratio)
            self._view = self._small()
            with QPainter(drawn) as inner:
                paint(inner, self.size(), self._canvas.picture, self._view, ink, self._cache)
            self._drawn = drawn
        painter.drawPixmap(0, 0, self._drawn)
        painter.setPen(QPen(QColor(ink.colours.line), 1))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        small, view = self._view, self._canvas.view
        seen = QRectF(
            (view.left - small.left) * small.zoom,
            (view.top - small.top) * small.zoom,
            self._canvas.width() / view.zoom * small.zoom,
            self._canvas.height() / view.zoom * small.zoom,
        )
        painter.setPen(QPen(QColor(ink.colours.accent), 1.5))
        painter.setBrush(translucent(ink.colours.accent, 30))
        painter.drawRect(seen & QRectF(self.rect()).adjusted(1, 1, -2, -2))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._go(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._go(event.position())

    def _go(self, point: QPointF) -> None:
        small, canvas = self._view, self._canvas
        x, y = point.x() / small.zoom + small.left, point.y() / small.zoom + small.top
        zoom = canvas.view.zoom
        left = max(x - canvas.width() / zoom / 2, -MARGIN / zoom)
        canvas.look_from(Viewpoint(zoom, left, y - canvas.height() / zoom / 2))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._follow()
        return False
