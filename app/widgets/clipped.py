"""A line of text that gives way where there is no room for it."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy


class Clipped(QLabel):
    """A line of text that ends in dots where there is no room; ``words`` is all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setMinimumWidth(20)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_words(self, words: str) -> None:
        """Show as much of a line as there is room for."""
        self.words = words
        end = Qt.TextElideMode.ElideRight
        self.setText(self.fontMetrics().elidedText(words, end, max(self.width(), 20)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.show_words(self.words)
