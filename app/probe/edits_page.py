"""The page of the best single edits of a response: what is looked for, how much, and what is found.

Says what the user wants; knows rows; knows nothing of how they come about.
"""

from PySide6.QtWidgets import QPushButton

from app.probe.effects_table import EffectsTable
from app.probe.page import ProbePage
from app.widgets.boxes import SpinBox, choice

HINT = (
    "Find tries the likeliest tokens of both models in the place of every token, one at a time, "
    "beginning where the rewards are largest, and lists the edits that change most. A click on a "
    "row puts the edit in place."
)
GOALS = (("raise", "raises Σr most"), ("flip", "flips the margin"))
SIDES = (("A", "in A"), ("B", "in B"))
MOST = 20_000


class EditsPage(ProbePage):
    """A goal, a side, a budget, and the table of what is found."""

    def __init__(self) -> None:
        self.goal = choice(
            "What the edit does",
            GOALS,
            "The margin is that of A over B: it flips where the policy then prefers the other one",
        )
        self.side = choice("In which response", SIDES, "The response that is edited")
        self.budget = SpinBox()
        self.budget.setRange(1, MOST)
        self.budget.setValue(300)
        self.budget.setSingleStep(100)
        self.budget.setSuffix(" edits")
        self.budget.setAccessibleName("Budget")
        self.budget.setToolTip("How many edits are scored at most")
        start = QPushButton("Find")
        start.setToolTip("Try edits until the budget is spent; the best are listed meanwhile")
        self.table = EffectsTable("The best edits")
        choices = self.goal, self.side, self.budget
        super().__init__("What", choices, start, self.table, HINT)
