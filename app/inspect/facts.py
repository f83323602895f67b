"""A grid of facts: names and values, those without meaning for the reader in grey."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel

from app import theme
from app.widgets.layouts import as_tip
from app.widgets.spans import right_to_left, utf16
from core.present.token_facts import Fact


def show_fact(labels: tuple[QLabel, QLabel], fact: Fact) -> None:
    """Put a fact into the labels of its name and its value."""
    for label, text in zip(labels, (fact.name, _in_order(fact.value)), strict=True):
        label.setText(text)
        label.setToolTip(as_tip(fact.meaning))
    theme.set_faint(labels[1], fact.faint)


def _in_order(value: str) -> str:
    """Return a value whose first part, if it is written from right to left, turns no other."""
    first, dot, rest = value.partition("  ·  ")
    if not right_to_left(utf16(first)).any():
        return value
    return f"\u200e\u2068{first}\u2069{dot}{rest}"


class FactGrid(QGridLayout):
    """Facts, one a row."""

    def __init__(self) -> None:
        super().__init__()
        self.setContentsMargins(0, 0, 0, 0)
        self.setHorizontalSpacing(10)
        self.setVerticalSpacing(1)
        self.setColumnStretch(1, 1)
        self.rows: list[tuple[QLabel, QLabel]] = []
        """The labels of names and values; those that are not needed are hidden."""

    def show_facts(self, facts: Sequence[Fact]) -> None:
        """Show these facts and no others."""
        while len(self.rows) < len(facts):
            self._add_row()
        for row, labels in enumerate(self.rows):
            if row < len(facts):
                show_fact(labels, facts[row])
            for label in labels:
                label.setVisible(row < len(facts))

    def _add_row(self) -> None:
        name, value = QLabel(), QLabel()
        name.setObjectName("muted")
        value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        value.setTextFormat(Qt.TextFormat.PlainText)
        value.setWordWrap(True)
        for label in (name, value):
            label.setMinimumHeight(label.fontMetrics().height())
        row = len(self.rows)
        self.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
        self.addWidget(value, row, 1)
        self.rows.append((name, value))
