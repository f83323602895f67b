"""Draws a tree in one widget, which is moved, zoomed and walked by mouse and keys.

Draws straight to the window, from arrays, what can be seen and nothing else (painting.py); there is
no item per node. Dragging moves, the wheel zooms at the mouse, the arrow keys walk. Until the user
moves, the view shows the whole tree while it is readable at that size, and then follows its best
hypothesis. Knows pictures of trees; knows nothing of searches or of the engine.
"""

import time

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFocusEvent,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QWidget

from app.search.painting import PaintCache, TreeInk, paint
from app.search.picture import Picture
from app.search.viewpoint import BOX, FARTHEST, MARGIN, NEAREST, ROW, Viewpoint, fitted
from app.widgets.colour_scale import ColourScale
from app.widgets.drawing import painting

LEGIBLE = 0.8
"""The least zoom that is chosen by itself, as a share of the usual one."""
STEP = 1.25
"""A key press or a notch of the wheel zooms by this factor."""
KEYS = {
    Qt.Key.Key_Left: "left",
    Qt.Key.Key_Right: "right",
    Qt.Key.Key_Up: "up",
    Qt.Key.Key_Down: "down",
    Qt.Key.Key_Home: "home",
    Qt.Key.Key_End: "end",
}


class TreeCanvas(QWidget):
    """A widget with one tree. The owner fills ``picture`` and calls ``refresh``."""

    hovered = Signal(int)
    """The entry under the mouse changed; -1 for none."""
    selected = Signal(int)
    """The user went to an entry."""
    actions_wanted = Signal(int, QPoint)
    """The user wants the actions of an entry; with the place for a menu."""
    moved = Signal()
    """Another part of the tree is in sight."""
    following_changed = Signal(bool)
    focused = Signal()

    def __init__(self, name: str = "Search tree", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 120)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.cache = PaintCache()
        self.picture = Picture(self.cache.metrics.horizontalAdvance)
        self.view = Viewpoint()
        self.chosen = 0
        """The entry where the user stands."""
        self.following = False
        """Whether the view follows the best hypothesis."""
        self.message = ""
        """The text in the middle while there is no tree."""
        self.paint_ms = 0.0
        """Milliseconds that the last painting took."""
        self.usual = 1.0
        """The zoom at which a small tree is shown."""
        self.ink = TreeInk()
        self._beta = 0.1
        self._auto = True
        self._hover = -1
        self._press: tuple[QPointF, Viewpoint] | None = None
        self._dragged = False

    def sizeHint(self) -> QSize:
        return QSize(700, 420)

    # --- what is shown ----------------------------------------------------------------------

    def set_picture(self, picture: Picture) -> None:
        """Show another tree; the view begins anew."""
        self.picture = picture
        self.chosen, self._hover = 0, -1
        self._auto = True
        self.view = Viewpoint(self.usual, -MARGIN / self.usual, -MARGIN / self.usual)
        self.refresh()

    def new_picture(self, start: str) -> Picture:
        """Return an empty tree that measures text as this canvas draws it."""
        return Picture(PaintCache().metrics.horizontalAdvance, start)

    def refresh(self) -> None:
        """Draw anew: the tree, or what is marked in it, has changed."""
        self.picture.arrange()
        self.picture.recolour(self._beta, self.ink.scale)
        self._keep_up()
        self._show_again()

    def set_colours(self, beta: float, scale: ColourScale) -> None:
        """Colour the same tree by another beta or scale."""
        self._beta = beta
        self.ink = TreeInk(scale)
        self.picture.recolour(beta, scale)
        self._show_again()

    def set_usual(self, zoom: float) -> None:
        """Set the zoom at which a small tree is shown: larger in a presentation."""
        ratio, self.usual = zoom / self.usual, zoom
        if self._auto or self.picture.placed is None:
            self._keep_up()
            self._show_again()
        else:
            self.zoom_by(ratio)

    def _show_again(self) -> None:
        """Paint again, and signal that another part of the tree may be in sight."""
        self.update()
        self.moved.emit()

    def say(self, message: str) -> None:
        """Set the text that is shown while there is no tree."""
        self.message = message
        self.update()

    # --- viewpoint --------------------------------------------------------------------------

    def fit(self) -> None:
        """Show the whole tree, and keep doing so while it grows."""
        self._auto = True
        if self.picture.placed is not None:
            self.view = fitted(self.picture.placed, self.size(), self.usual)
            self._show_again()

    def follow(self, on: bool) -> None:
        """Let the view follow the best hypothesis, at a size that can be read; or stop that."""
        if on != self.following:
            self.following = on
            self.following_changed.emit(on)
        if on:
            zoom = max(self.view.zoom, LEGIBLE * self.usual)
            self.view = Viewpoint(zoom, self.view.left, self.view.top)
            self._keep_up()
            self._show_again()

    def _keep_up(self) -> None:
        """Move the view after the tree has changed, unless the user has gone elsewhere."""
        if self.picture.placed is None:
            return
        if self.following:
            self._show(self.picture.best_leaf(), 0.75)
        elif self._auto:
            whole = fitted(self.picture.placed, self.size(), self.usual)
            least = LEGIBLE * self.usual
            if whole.zoom >= least:
                self.view = whole
            else:
                self.view = Viewpoint(least, -MARGIN / least, -MARGIN / least)
                self._show(self.picture.best_leaf(), 0.75)

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom in (> 1) or out; ``at`` stays where it is (the middle where none is given)."""
        at = at or QPointF(self.width() / 2, self.height() / 2)
        zoom = min(max(self.view.zoom * factor, FARTHEST), NEAREST)
        x, y = at.x() / self.view.zoom + self.view.left, at.y() / self.view.zoom + self.view.top
        self.look_from(Viewpoint(zoom, x - at.x() / zoom, y - at.y() / zoom))

    def look_from(self, view: Viewpoint) -> None:
        """Look from another viewpoint; the view no longer follows the tree by itself."""
        self.view = view
        self._auto = False
        self.follow(False)
        self._show_again()

    def go_to(self, entry: int) -> None:
        """Make an entry the one where the user stands, and bring it into sight."""
        if not 0 <= entry < len(self.picture):
            return
        if self.picture.reveal(entry):
            self.refresh()
        self.chosen = entry
        self._auto = False
        self._show(entry)
        self._show_again()
        self.selected.emit(entry)

    def _show(self, entry: int, across: float = 0.5) -> None:
        """Move the view as far as it takes to see an entry well inside of it."""
        placed = self.picture.placed
        if placed is None or not placed.shown[entry]:
            return
        zoom, view = self.view.zoom, self.view
        wide, high = self.width() / zoom, self.height() / zoom
        near, far = float(placed.x[entry]), float(placed.x[entry] + placed.width[entry])
        y = float(placed.row[entry]) * ROW + BOX / 2
        left, top = view.left, view.top
        if near < left + 0.05 * wide or far > left + 0.95 * wide:
            left = max(far - across * wide, -MARGIN / zoom)
        if not top + 0.12 * high < y < top + 0.88 * high:
            # A tree that fills the window is not scrolled past its top or bottom.
            lowest = max(placed.rows * ROW + MARGIN / zoom - high, -MARGIN / zoom)
            top = min(max(y - high / 2, -MARGIN / zoom), lowest)
        self.view = Viewpoint(zoom, left, top)

    def rect_of(self, entry: int) -> QRect:
        """Return where an entry's box is in this widget; empty where it is hidden."""
        placed = self.picture.placed
        if placed is None or not 0 <= entry < len(placed.x) or not placed.shown[entry]:
            return QRect()
        one = np.array([entry])
        left = float(self.view.x(placed.x[one])[0])
        top = float(self.view.y(placed.row[one])[0])
        wide, high = float(placed.width[entry]) * self.view.zoom, BOX * self.view.zoom
        return QRect(round(left), round(top), max(round(wide), 1), max(round(high), 1))

    def entry_at(self, point: QPointF) -> int:
        """Return the entry at a point of this widget, or -1."""
        return self.picture.at(*self.view.at(point.x(), point.y()))

    # --- painting ---------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        begin = time.perf_counter()
        with painting(self) as painter:
            if self.picture.placed is None:
                painter.fillRect(self.rect(), QColor(self.ink.colours.window))
                painter.setPen(QColor(self.ink.colours.muted))
                room = self.rect().adjusted(24, 12, -24, -12)
                wrap = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
                painter.drawText(room, int(wrap), self.message)
            else:
                paint(painter, self.size(), self.picture, self.view, self.ink, self.cache)
                self._paint_here(painter)
            if self.hasFocus():
                painter.setPen(QPen(QColor(self.ink.colours.accent), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(self.rect().adjusted(1, 1, -1, -1))
        self.paint_ms = 1000 * (time.perf_counter() - begin)

    def _paint_here(self, painter: QPainter) -> None:
        """Outline where the user stands and what is under the mouse."""
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for entry, thick, out in ((self._hover, 1.5, 2), (self.chosen, 2.5, 4)):
            where = self.rect_of(entry)
            if not where.isNull():
                painter.setPen(QPen(self.ink.text, thick))
                painter.drawRect(where.adjusted(-out, -out, out - 1, out - 1))

    # --- mouse ------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._press, self._dragged = (event.position(), self.view), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._press is None:
            self._say_hover(self.entry_at(event.position()))
            return
        start, view = self._press
        by = event.position() - start
        if not self._dragged:
            if by.manhattanLength() < QApplication.startDragDistance():
                return
            self._dragged = True
            self._say_hover(-1)
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        self.look_from(
            Viewpoint(view.zoom, view.left - by.x() / view.zoom, view.top - by.y() / view.zoom)
        )

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        press, self._press = self._press, None
        self.unsetCursor()
        if press is not None and not self._dragged and event.button() == Qt.MouseButton.LeftButton:
            entry = self.entry_at(press[0])
            if entry >= 0:
                self.chosen = entry
                self._auto = False
                self.update()
                self.selected.emit(entry)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        entry = self.entry_at(event.position())
        if entry >= 0 and not self.toggle_run(entry):
            self.toggle(entry)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        entry = self.chosen
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            entry = self.entry_at(QPointF(event.pos()))
        if entry >= 0 and len(self.picture):
            self.chosen = entry
            self.selected.emit(entry)
            self.update()
            self._ask_for_actions()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom by the wheel; with Shift, or sideways on a touch pad, move."""
        turn = event.angleDelta()
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier or abs(turn.x()) > abs(turn.y()):
            by = (turn.x() or turn.y()) / self.view.zoom
            self.look_from(Viewpoint(self.view.zoom, self.view.left - by, self.view.top))
        elif turn.y():
            self.zoom_by(STEP ** (turn.y() / 120), event.position())
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        self._say_hover(-1)

    def hideEvent(self, event: QHideEvent) -> None:
        self._say_hover(-1)

    def _say_hover(self, entry: int) -> None:
        if entry != self._hover:
            self._hover = entry
            self.update()
            self.hovered.emit(entry)

    # --- keys -------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        plain = not event.modifiers() & ~(
            Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier
        )
        if not plain or not len(self.picture) or not self._do_key(Qt.Key(event.key())):
            super().keyPressEvent(event)

    def _do_key(self, key: Qt.Key) -> bool:
        if key in KEYS:
            self.walk(KEYS[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._ask_for_actions()
        elif key == Qt.Key.Key_Space:
            self.toggle(self.chosen)
        elif key == Qt.Key.Key_U:
            self.toggle_run(self.chosen)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(STEP)
        elif key == Qt.Key.Key_Minus:
            self.zoom_by(1 / STEP)
        elif key == Qt.Key.Key_0:
            self.follow(False)
            self.fit()
        elif key == Qt.Key.Key_F:
            self.follow(not self.following)
        else:
            return False
        return True

    def walk(self, way: str) -> None:
        """Go left (parent), right (best child), up or down (sibling), home or end (best leaf)."""
        self.go_to(self.picture.neighbour(self.chosen, way))

    def toggle(self, entry: int) -> None:
        """Hide or show what lies below an entry."""
        if self.picture.toggle(entry):
            self.refresh()

    def toggle_run(self, entry: int) -> bool:
        """Unfold or fold the run that an entry is in; return False where it is in none."""
        changed = self.picture.toggle_run(entry)
        if changed:
            self.refresh()
        return changed

    def _ask_for_actions(self) -> None:
        where = self.rect_of(self.chosen).bottomLeft()
        inside = QPoint(min(max(where.x(), 0), self.width()), min(max(where.y(), 0), self.height()))
        self.actions_wanted.emit(self.chosen, self.mapToGlobal(inside))

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.update()
        self.focused.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._keep_up()
        self.moved.emit()
