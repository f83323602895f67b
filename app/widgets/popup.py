"""Shows a small card beside a hovered token, which takes no mouse and no focus.

Knows rich text and rectangles; knows nothing of tokens.
"""

from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from app.widgets.layouts import fill
from app.widgets.timers import single_shot

GAP = 6


class TokenPopup(QFrame):
    """A card over its parent, beside what it is of.

    It shows once the mouse has rested for ``delay_ms``; one that shows already goes along at once.
    """

    def __init__(self, parent: QWidget, delay_ms: int = 0) -> None:
        super().__init__(parent)
        self._area = parent
        self.setObjectName("popup")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.label = QLabel()
        self.label.setTextFormat(Qt.TextFormat.RichText)
        fill(QVBoxLayout(self), self.label, margins=(8, 5, 8, 5))
        self._delayed = single_shot(self, self._appear, delay_ms)
        self.hide()

    def show_at(self, where: QRect, html: str, spared: QRect | None = None) -> None:
        """Show what is of ``where`` and cover nothing of ``spared`` (else of ``where`` itself), if
        the parent, in whose coordinates both are, has room: above, else at the right or below."""
        self.label.setText(html)
        self.adjustSize()
        self.move(self._place(where, where if spared is None else spared | where))
        if self._delayed.interval() and not self.isVisible():
            self._delayed.start()
        else:
            self._appear()

    def _place(self, where: QRect, spared: QRect) -> QPoint:
        room, wide, high = self._area.rect(), self.width(), self.height()
        x = max(4, min(where.left(), room.right() - wide - 4))
        if spared.top() - GAP - high >= 0:
            return QPoint(x, spared.top() - GAP - high)
        if spared.right() + GAP + wide <= room.right() - 4:
            return QPoint(spared.right() + GAP, max(0, min(where.top(), room.bottom() - high)))
        return QPoint(x, max(0, min(spared.bottom() + GAP, room.bottom() - high)))

    def dismiss(self) -> None:
        """Hide the card, and one that waits to appear."""
        self._delayed.stop()
        self.hide()

    def _appear(self) -> None:
        self.show()
        self.raise_()
