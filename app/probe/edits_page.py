"""The page of the best single edits of a response: what is looked for, how much, and what is found.

Says what the user wants; knows rows; knows nothing of how they come about.
"""

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.probe.effects_table import EffectsTable
from app.probe.progress_row import ProgressRow
from app.widgets.boxes import ComboBox, SpinBox
from app.widgets.layouts import fill, label
from core.engine.protocol import Side

HINT = (
    "Find tries the likeliest tokens of both models in the place of every token, one at a time, "
    "beginning where the rewards are largest, and lists the edits that change most."
)
GOALS = (("raise", "raises Σr most"), ("flip", "flips the margin"))
MOST = 20_000


class EditsPage(QWidget):
    """A goal, a side, a budget, and the table of what is found."""

    wanted = Signal()
    """Find the best edits."""
    cancelled = Signal()
    taken = Signal(int)
    """Put the edit with this number in place."""
    shown = Signal()
    """The page has come to the front."""

    def __init__(self) -> None:
        super().__init__()
        self.goal = ComboBox()
        self.goal.setAccessibleName("What the edit does")
        for value, title in GOALS:
            self.goal.addItem(title, value)
        self.side = ComboBox()
        self.side.setAccessibleName("In which response")
        for name in ("A", "B"):
            self.side.addItem(f"in {name}", name)
        self.budget = SpinBox()
        self.budget.setRange(1, MOST)
        self.budget.setValue(300)
        self.budget.setSingleStep(100)
        self.budget.setSuffix(" edits")
        self.budget.setAccessibleName("Budget")
        self.budget.setToolTip("How many edits are scored at most")
        self.start = QPushButton("Find")
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy the table, tab-separated, with all digits")
        self.about = label("", "muted")
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.about.setWordWrap(True)
        self.progress = ProgressRow()
        self.table = EffectsTable("The best edits")
        self.hint = label(HINT, "muted")
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        before = QLabel("What")
        before.setBuddy(self.goal)
        choices = before, self.goal, self.side, self.budget, 1, self.start, self.copy
        fill(
            QVBoxLayout(self),
            fill(QHBoxLayout(), *choices, spacing=6),
            self.progress,
            self.about,
            (self.table, 1),
            (self.hint, 1),
            margins=(0, 6, 0, 0),
            spacing=4,
        )
        self.start.clicked.connect(self.wanted)
        self.copy.clicked.connect(self._copy)
        self.progress.cancelled.connect(self.cancelled)
        self.table.taken.connect(self.taken)
        self.show_about("", filled=False)

    def chosen_side(self) -> Side:
        """Return the response that is edited."""
        return "B" if self.side.currentData() == "B" else "A"

    def show_about(self, words: str, filled: bool) -> None:
        """Say what the table is of, or why there is none; ``filled``: whether there are rows."""
        self.about.setText(words)
        self.about.setVisible(bool(words))
        self.table.setVisible(filled)
        self.hint.setVisible(not filled)
        self.copy.setEnabled(filled)

    @Slot()
    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.table.as_text())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.shown.emit()
