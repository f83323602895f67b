"""The page of what a response's credit depends on: a matrix of parts of the prompt by words.

A row is a part of the prompt, numbered as in the text, a column a word of the response: the colour
says how the word's credit changes without the part. Says what is wanted and what is pointed at;
knows parts, labels and values; knows nothing of how they come about.
"""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.probe.progress_row import ProgressRow
from app.replay.heat_map import HeatMap
from app.widgets.boxes import ComboBox
from app.widgets.layouts import fill, label, scrolled
from core.engine.protocol import Side

HINT = (
    "Measure leaves out each part of the prompt once and scores the response again. Point at a row "
    "to see which words change without that part, at a column to see on which parts a word "
    "depends. It is a measured dependence, not an explanation."
)
PARTS = (("sentence", "sentences"), ("word", "words"), ("turn", "turns"))


class DependsPage(QWidget):
    """How the prompt is divided, which response, and the matrix."""

    wanted = Signal()
    """Measure what is chosen."""
    cancelled = Signal()
    pointed = Signal(int, int)
    """The part and the word under the mouse or the keyboard's cursor; -1 for none."""
    shown = Signal(bool)
    """The page has come to the front, or gone from there."""

    def __init__(self) -> None:
        super().__init__()
        self.by = ComboBox()
        self.by.setAccessibleName("Parts of the prompt")
        for value, title in PARTS:
            self.by.addItem(title, value)
        self.side = ComboBox()
        self.side.setAccessibleName("Which response")
        for name in ("A", "B"):
            self.side.addItem(f"for {name}", name)
        self.start = QPushButton("Measure")
        self.about = label("", "muted")
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.about.setWordWrap(True)
        self.progress = ProgressRow()
        self.map = HeatMap()
        self.map.setAccessibleName("Parts of the prompt by words of the response")
        self.area = scrolled(self.map)
        self.hint = label(HINT, "muted")
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        before = QLabel("Leave out")
        before.setBuddy(self.by)
        fill(
            QVBoxLayout(self),
            fill(QHBoxLayout(), before, self.by, self.side, 1, self.start, spacing=6),
            self.progress,
            self.about,
            (self.area, 1),
            (self.hint, 1),
            margins=(0, 6, 0, 0),
            spacing=4,
        )
        self.start.clicked.connect(self.wanted)
        self.progress.cancelled.connect(self.cancelled)
        self.map.hovered.connect(self.pointed)
        self.show_about("", filled=False)

    def chosen_side(self) -> Side:
        """Return the response of which the credit is looked at."""
        return "B" if self.side.currentData() == "B" else "A"

    def show_about(self, words: str, filled: bool) -> None:
        """Say what is pointed at, or why not; ``filled``: whether there is a matrix."""
        self.about.setText(words)
        self.about.setVisible(bool(words))
        self.area.setVisible(filled)
        self.hint.setVisible(not filled)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.shown.emit(False)
