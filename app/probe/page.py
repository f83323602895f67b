"""A page of probing: what is chosen, how far what was begun is, and what was found.

A hint stands there before anything was found. Knows widgets to choose with and one for what is
found; knows nothing of what is probed.
"""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.widgets.layouts import fill, label


class ProbePage(QWidget):
    """Choices and the button that begins; progress with Cancel, a sentence, what was found or a
    hint."""

    wanted = Signal()
    """Begin, with what is chosen."""
    cancelled = Signal()
    shown = Signal(bool)
    """The page has come to the front, or gone from there: meanwhile it showed nothing new."""

    def __init__(
        self,
        title: str,
        choices: Sequence[QWidget],
        start: QPushButton,
        found: QWidget,
        hint: str,
        *more: QWidget,
    ) -> None:
        """``title``: what stands before the choices; ``start``: waits while something runs;
        ``more``: what stands below the choices, a row each."""
        super().__init__()
        self.start, self._found = start, found
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
        before = QLabel(title)
        before.setBuddy(choices[0])
        row = fill(QHBoxLayout(), before, *choices, 1, start, spacing=6)
        parts = self.progress, self.about, (found, 1), (self.hint, 1)
        fill(QVBoxLayout(self), row, *more, *parts, margins=(0, 6, 0, 0), spacing=4)
        start.clicked.connect(self.wanted)
        self.cancel.clicked.connect(self.cancelled)
        self.rest()
        self.say("", filled=False)

    def run(self, done: int, count: int, what: str) -> None:
        """Show that ``done`` of ``count`` are done; ``count`` 0: it is not known yet."""
        self.bar.setMaximum(count)
        self.bar.setValue(done)
        self.bar.setFormat(f"{what}: {done} of {count}" if count else what)
        self.progress.show()
        self.start.setEnabled(False)

    def rest(self) -> None:
        """Show that nothing runs."""
        self.progress.hide()
        self.start.setEnabled(True)

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
