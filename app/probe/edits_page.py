"""The page of the best single edits of a response: what is looked for, how much, and what is found.

Says what the user wants; knows rows; knows nothing of how they come about.
"""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.probe.effects_table import EffectsTable
from app.probe.findings import Findings
from app.widgets.boxes import ComboBox, SpinBox
from app.widgets.layouts import fill
from core.engine.protocol import Side

HINT = (
    "Find tries the likeliest tokens of both models in the place of every token, one at a time, "
    "beginning where the rewards are largest, and lists the edits that change most. A click on a "
    "row puts the edit in place."
)
GOALS = (("raise", "raises Σr most"), ("flip", "flips the margin"))
MOST = 20_000


class EditsPage(QWidget):
    """A goal, a side, a budget, and the table of what is found."""

    wanted = Signal()
    """Find the best edits."""

    def __init__(self) -> None:
        super().__init__()
        self.goal = ComboBox()
        self.goal.setAccessibleName("What the edit does")
        self.goal.setToolTip(
            "The margin is that of A over B: it flips where the policy then prefers the other one"
        )
        for value, title in GOALS:
            self.goal.addItem(title, value)
        self.side = ComboBox()
        self.side.setAccessibleName("In which response")
        self.side.setToolTip("The response that is edited")
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
        self.start.setToolTip("Try edits until the budget is spent; the best are listed meanwhile")
        self.table = EffectsTable("The best edits")
        self.findings = Findings(self.table, self.start, HINT)
        before = QLabel("What")
        before.setBuddy(self.goal)
        choices = before, self.goal, self.side, self.budget, 1, self.start
        parts = fill(QHBoxLayout(), *choices, spacing=6), (self.findings, 1)
        fill(QVBoxLayout(self), *parts, margins=(0, 6, 0, 0), spacing=4)
        self.start.clicked.connect(self.wanted)

    def chosen_side(self) -> Side:
        """Return the response that is edited."""
        return "B" if self.side.currentData() == "B" else "A"
