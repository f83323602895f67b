"""Lays a panel over an edge of what it belongs to, which keeps its place: a drawer.

Knows widgets and edges; knows nothing of what is in them.
"""

from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget
from shiboken6 import isValid

from app.widgets.layouts import fill


class Desk(QWidget):
    """A widget with a drawer over its left or its bottom edge, closed until it is shown."""

    def __init__(self, inside: QWidget, drawer: QWidget, edge: Qt.Edge, reach: int) -> None:
        """``reach``: how many pixels the drawer is wide (at the left) or high (at the bottom)."""
        super().__init__()
        self._drawer, self._edge, self._reach = drawer, edge, reach
        self._covered: list[tuple[QWidget, Qt.FocusPolicy]] = []
        fill(QVBoxLayout(self), inside, margins=(0, 0, 0, 0))
        drawer.setParent(self)
        drawer.hide()

    def show_drawer(self, on: bool) -> None:
        """Open or close the drawer."""
        self._place()
        self._drawer.setVisible(on)
        if on:
            self._drawer.raise_()
        self._cover()

    def set_reach(self, reach: int) -> None:
        """Let the drawer be wider or narrower, higher or lower, in pixels."""
        self._reach = reach
        self._place()

    def _cover(self) -> None:
        """Let nothing that lies under the drawer have the focus while it does."""
        for widget, policy in self._covered:
            if isValid(widget):
                widget.setFocusPolicy(policy)
        self._covered.clear()
        if self._drawer.isHidden():
            return
        over = self._drawer.geometry()
        for widget in self.findChildren(QWidget):
            policy = widget.focusPolicy()
            where = QRect(widget.mapTo(self, QPoint(0, 0)), widget.size())
            below = not self._drawer.isAncestorOf(widget) and over.contains(where)
            if below and policy != Qt.FocusPolicy.NoFocus and widget is not self._drawer:
                self._covered.append((widget, policy))
                widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _place(self) -> None:
        wide, high = self.width(), self.height()
        if self._edge == Qt.Edge.LeftEdge:
            place = QRect(0, 0, min(self._reach, wide), high)
        else:
            place = QRect(0, max(high - self._reach, 0), wide, min(self._reach, high))
        self._drawer.setGeometry(place)
        if not self._drawer.isHidden():
            self._cover()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()
