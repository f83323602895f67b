"""The page of what else could stand in a place of a response, with what each would do.

Says what the user wants to see scored and which row is taken; knows rows; knows nothing of how they
come about.
"""

from PySide6.QtWidgets import QLineEdit, QPushButton

from app.probe.effects_table import EffectsTable
from app.probe.page import ProbePage
from app.widgets.boxes import choice

HINT = (
    "Pin a token, or select something in A or B, then press Score (Ctrl+Shift+I): each likely "
    "token, and each text of yours, is put in its place and the whole response is scored anew. "
    "A click on a row puts it in place."
)
PLACES = (("token", "the token"), ("word", "the word"), ("selection", "the selection"))
COUNTS = ((10, "top 10"), (50, "top 50"))


class InsteadPage(ProbePage):
    """What to put in a place, how many, and the table of what comes of it."""

    def __init__(self) -> None:
        self.place = choice(
            "In place of",
            PLACES,
            "A word or a selection: one token, or a text, in place of all of it",
        )
        self.count = choice(
            "How many of each model",
            COUNTS,
            "The likeliest tokens there of the policy and of the reference",
        )
        self.own = QLineEdit()
        self.own.setAccessibleName("Your own texts")
        self.own.setPlaceholderText('Your own texts, divided by commas: $53K, "1,050", a lot')
        self.own.setToolTip("Scored too; a text with a comma stands in quotes. Enter scores")
        self.own.setClearButtonEnabled(True)
        start = QPushButton("Score")
        start.setToolTip("Score all of them at once (Ctrl+Shift+I)")
        self.table = EffectsTable("What else could stand there")
        choices = self.place, self.count
        super().__init__("In place of", choices, start, self.table, HINT, self.own)
        self.own.returnPressed.connect(self.wanted)
