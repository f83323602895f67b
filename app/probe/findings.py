"""What a page of probing shows below its choices: how far it is, a sentence, and what was found.

A hint stands there before anything was found. Knows a widget for what is found and the button that
begins; knows nothing of what is probed.
"""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from app.widgets.layouts import fill, label


class Findings(QWidget):
    """Progress with Cancel, a sentence, and what was found or a hint."""

    cancelled = Signal()
    shown = Signal(bool)
    """The page has come to the front, or gone from there: meanwhile it showed nothing new."""

    def __init__(self, found: QWidget, start: QPushButton, hint: str) -> None:
        """``start``: the button that begins, which waits while something runs."""
        super().__init__()
        self._found, self._start = found, start
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop, and keep what has come (Esc)")
        self.progress = QWidget()
        fill(QHBoxLayout(self.progress), (self.bar, 1), self.cancel, margins=(0, 0, 0, 0))
        self.about, self.hint = label("", "muted"), label(hint, "muted")
        for words in (self.about, self.hint):
            words.setTextFormat(Qt.TextFormat.PlainText)
            words.setWordWrap(True)
            words.setAlignment(Qt.AlignmentFlag.AlignTop)
        parts = self.progress, self.about, (found, 1), (self.hint, 1)
        fill(QVBoxLayout(self), *parts, margins=(0, 0, 0, 0), spacing=4)
        self.cancel.clicked.connect(self.cancelled)
        self.rest()
        self.say("", filled=False)

    def run(self, done: int, count: int, what: str) -> None:
        """Show that ``done`` of ``count`` are done; ``count`` 0: it is not known yet."""
        self.bar.setMaximum(count)
        self.bar.setValue(done)
        self.bar.setFormat(f"{what}: {done} of {count}" if count else what)
        self.progress.show()
        self._start.setEnabled(False)

    def rest(self) -> None:
        """Show that nothing runs."""
        self.progress.hide()
        self._start.setEnabled(True)

    def say(self, words: str, filled: bool) -> None:
        """Say what was found, or why nothing; ``filled``: whether there is something to show."""
        self.about.setText(words)
        self.about.setVisible(bool(words))
        self._found.setVisible(filled)
        self.hint.setVisible(not filled)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.shown.emit(False)
