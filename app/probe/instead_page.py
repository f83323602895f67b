"""The page of what else could stand in a place of a response, with what each would do.

Says what the user wants to see scored and which row is taken; knows rows; knows nothing of how they
come about.
"""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.probe.effects_table import EffectsTable
from app.probe.findings import Findings
from app.widgets.boxes import ComboBox
from app.widgets.layouts import fill

HINT = (
    "Pin a token, or select something in A or B, then press Score (Ctrl+Shift+I): each likely "
    "token, and each text of yours, is put in its place and the whole response is scored anew. "
    "A click on a row puts it in place."
)
PLACES = (("token", "the token"), ("word", "the word"), ("selection", "the selection"))
COUNTS = (10, 50)


class InsteadPage(QWidget):
    """What to put in a place, how many, and the table of what comes of it."""

    wanted = Signal()
    """Score what is chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.place = ComboBox()
        self.place.setAccessibleName("In place of")
        for value, title in PLACES:
            self.place.addItem(title, value)
        self.place.setToolTip("A word or a selection: one token, or a text, in place of all of it")
        self.count = ComboBox()
        self.count.setAccessibleName("How many of each model")
        for number in COUNTS:
            self.count.addItem(f"top {number}", number)
        self.count.setToolTip("The likeliest tokens there of the policy and of the reference")
        self.own = QLineEdit()
        self.own.setAccessibleName("Your own texts")
        self.own.setPlaceholderText('Your own texts, divided by commas: $53K, "1,050", a lot')
        self.own.setToolTip("Scored too; a text with a comma stands in quotes. Enter scores")
        self.own.setClearButtonEnabled(True)
        self.start = QPushButton("Score")
        self.start.setToolTip("Score all of them at once (Ctrl+Shift+I)")
        self.table = EffectsTable("What else could stand there")
        self.findings = Findings(self.table, self.start, HINT)
        before = QLabel("In place of")
        before.setBuddy(self.place)
        choices = fill(QHBoxLayout(), before, self.place, self.count, 1, self.start, spacing=6)
        parts = choices, self.own, (self.findings, 1)
        fill(QVBoxLayout(self), *parts, margins=(0, 6, 0, 0), spacing=4)
        self.start.clicked.connect(self.wanted)
        self.own.returnPressed.connect(self.wanted)
