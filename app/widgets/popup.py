"""Shows a small card beside a hovered token, which takes no mouse and no focus.

Knows rich text and rectangles; knows nothing of tokens.
"""

from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from app.widgets.layouts import fill

GAP = 6


class TokenPopup(QFrame):
    """A card under, or where there is no room above, a rectangle of its parent."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._area = parent
        self.setObjectName("popup")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.label = QLabel()
        self.label.setTextFormat(Qt.TextFormat.RichText)
        fill(QVBoxLayout(self), self.label, margins=(8, 5, 8, 5))
        self.hide()

    def show_at(self, where: QRect, html: str) -> None:
        """Show beside ``where``, in the parent's coordinates."""
        self.label.setText(html)
        self.adjustSize()
        room = self._area.rect()
        x = max(4, min(where.left(), room.right() - self.width() - 4))
        y = where.bottom() + GAP
        if y + self.height() > room.bottom():
            y = where.top() - GAP - self.height()
        self.move(QPoint(x, max(0, y)))
        self.show()
        self.raise_()
