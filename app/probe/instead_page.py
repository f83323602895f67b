"""The page of what else could stand in a place of a response, with what each would do.

Says what the user wants to see scored and which row is taken; knows rows; knows nothing of how they
come about.
"""

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.probe.effects_table import EffectsTable
from app.probe.progress_row import ProgressRow
from app.widgets.boxes import ComboBox
from app.widgets.layouts import fill, label

HINT = (
    "Pin a token, or select something in A or B, then press Score (Ctrl+Shift+I): each likely "
    "token, and each text of yours, is put in its place and the whole response is scored anew."
)
PLACES = (("token", "the token"), ("word", "the word"), ("selection", "the selection"))
COUNTS = (10, 50)


class InsteadPage(QWidget):
    """What to put in a place, how many, and the table of what comes of it."""

    wanted = Signal()
    """Score what is chosen."""
    cancelled = Signal()
    taken = Signal(int)
    """Put the row with this number in place."""
    shown = Signal()
    """The page has come to the front: what it did not show meanwhile is missing."""

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
        self.score = QPushButton("Score")
        self.score.setToolTip("Score all of them at once (Ctrl+Shift+I)")
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy the table, tab-separated, with all digits")
        self.about = label("", "muted")
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.about.setWordWrap(True)
        self.progress = ProgressRow()
        self.table = EffectsTable("What else could stand there")
        self.hint = label(HINT, "muted")
        self.hint.setWordWrap(True)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        before = QLabel("In place of")
        before.setBuddy(self.place)
        choices = before, self.place, self.count, 1, self.score, self.copy
        fill(
            QVBoxLayout(self),
            fill(QHBoxLayout(), *choices, spacing=6),
            self.own,
            self.progress,
            self.about,
            (self.table, 1),
            (self.hint, 1),
            margins=(0, 6, 0, 0),
            spacing=4,
        )
        self.score.clicked.connect(self.wanted)
        self.own.returnPressed.connect(self.wanted)
        self.copy.clicked.connect(self._copy)
        self.progress.cancelled.connect(self.cancelled)
        self.table.taken.connect(self.taken)
        self.show_about("", filled=False)

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
