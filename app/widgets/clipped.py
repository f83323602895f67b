"""A line of text that gives way where there is no room for it."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy


class Clipped(QLabel):
    """A line of text that ends in dots where there is no room; ``words`` is all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = self._shorter = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setMinimumWidth(20)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_words(self, words: str, shorter: str = "") -> None:
        """Show as much of a line as there is room for; ``shorter``: in its place, if not of all."""
        self.words, self._shorter = words, shorter
        self.fit()

    def fit(self) -> None:
        """Show as much as there is room for now: the font or the width has changed."""
        room, metrics = max(self.contentsRect().width(), 20), self.fontMetrics()
        fits = not self._shorter or metrics.horizontalAdvance(self.words) <= room
        shown = self.words if fits else self._shorter
        self.setText(metrics.elidedText(shown, Qt.TextElideMode.ElideRight, room))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.fit()
