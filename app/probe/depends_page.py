"""The page of what a response's credit depends on: a matrix of parts of the prompt by words.

A row is a part of the prompt, a column a word of the response: the colour says how the word's
credit changes without the part. Says what is wanted and what is pointed at; knows parts, labels and
values; knows nothing of how they come about.
"""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from app.probe.page import ProbePage
from app.replay.heat_map import HeatMap
from app.widgets.boxes import choice
from app.widgets.layouts import fill, label, scrolled

HINT = (
    "Measure leaves out each part of the prompt once and scores the response again. Point at a row "
    "to see which words change without that part, at a column to see on which parts a word "
    "depends. It is a measured dependence, not an explanation."
)
PARTS = (("sentence", "sentences"), ("word", "words"), ("turn", "turns"))
SIDES = (("A", "for A"), ("B", "for B"))


class DependsPage(ProbePage):
    """How the prompt is divided, which response, and the matrix."""

    def __init__(self) -> None:
        self.by = choice(
            "Parts of the prompt", PARTS, "What is left out of the prompt, one at a time"
        )
        self.side = choice("Which response", SIDES, "The response of which the credit is looked at")
        start = QPushButton("Measure")
        start.setToolTip("Score the response to the prompt without each part")
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
        super().__init__("Leave out", (self.by, self.side), start, matrix, HINT)
