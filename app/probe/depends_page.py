"""The page of what a response's credit depends on: a matrix of parts of the prompt by words.

A row is a part of the prompt, a column a word of the response: the colour says how the word's
credit changes without the part. Says what is wanted and what is pointed at; knows parts, labels and
values; knows nothing of how they come about.
"""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.probe.findings import Findings
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

    def __init__(self) -> None:
        super().__init__()
        self.by = ComboBox()
        self.by.setAccessibleName("Parts of the prompt")
        self.by.setToolTip("What is left out of the prompt, one at a time")
        for value, title in PARTS:
            self.by.addItem(title, value)
        self.side = ComboBox()
        self.side.setAccessibleName("Which response")
        self.side.setToolTip("The response of which the credit is looked at")
        for name in ("A", "B"):
            self.side.addItem(f"for {name}", name)
        self.start = QPushButton("Measure")
        self.start.setToolTip("Score the response to the prompt without each part")
        self.map = HeatMap()
        """Says what is pointed at: ``hovered``, by the part and the word; -1 for none."""
        self.map.setAccessibleName("Parts of the prompt by words of the response")
        self.pointed = label("", "muted")
        self.pointed.setTextFormat(Qt.TextFormat.PlainText)
        self.pointed.setWordWrap(True)
        self.pointed.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Room for two lines always, below the map: it must not move under the mouse.
        self.pointed.setMinimumHeight(2 * self.pointed.fontMetrics().lineSpacing())
        matrix = QWidget()
        below = (scrolled(self.map), 1), self.pointed
        fill(QVBoxLayout(matrix), *below, margins=(0, 0, 0, 0), spacing=4)
        self.findings = Findings(matrix, self.start, HINT)
        before = QLabel("Leave out")
        before.setBuddy(self.by)
        choices = fill(QHBoxLayout(), before, self.by, self.side, 1, self.start, spacing=6)
        fill(QVBoxLayout(self), choices, (self.findings, 1), margins=(0, 6, 0, 0), spacing=4)
        self.start.clicked.connect(self.wanted)

    def chosen_side(self) -> Side:
        """Return the response of which the credit is looked at."""
        return "B" if self.side.currentData() == "B" else "A"
