"""The texts of one row below the table: the prompt and both sides; what these begin with is faint.

Knows pairs; knows nothing of the table.
"""

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QColor, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QTextBrowser,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.layouts import fill, label
from core.preferences import Preference, as_text
from core.text import shared_prefix

LONGEST = 20_000
"""Letters of a text that are shown here; the credit view takes all."""
OPEN_TIP = "The pair in the credit view, A = chosen, B = rejected (Enter, or a double click)"


class PairTexts(QWidget):
    """Prompt, chosen and rejected beside each other, to be read."""

    open_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.fields = {name: _Field(name) for name in ("Prompt", "Chosen", "Rejected")}
        self.about = QLabel()
        self.about.setObjectName("muted")
        self.about.setWordWrap(True)
        self.open_button = QPushButton("Open in the credit view")
        self.open_button.setToolTip(OPEN_TIP)
        self._dark, self._same = False, 0
        self._columns = QSplitter()
        self._boxes: list[QWidget] = []
        for name, field in self.fields.items():
            box = QWidget()
            fill(QVBoxLayout(box), label(name, "muted"), (field, 1), margins=(0, 0, 0, 0),
                 spacing=2)  # fmt: skip
            self._columns.addWidget(box)
            self._boxes.append(box)
        self._columns.setChildrenCollapsible(False)
        self._columns.setSizes([300, 400, 400])
        foot = fill(QHBoxLayout(), (self.about, 1), self.open_button, margins=(0, 0, 0, 0))
        fill(QVBoxLayout(self), (self._columns, 1), foot, margins=(8, 4, 8, 6), spacing=4)
        self.open_button.clicked.connect(self.open_wanted)
        self.show_nothing()

    def show_nothing(self) -> None:
        """Show no row."""
        for field in self.fields.values():
            field.clear()
        self.about.setText("Choose a row to read it.")
        self.open_button.setEnabled(False)

    def show_row(self, pair: Preference, cells: dict[str, Any]) -> None:
        """Show a row's texts."""
        single = cells["rejected"] is None
        whole = [as_text(side) for side in (pair.prompt, pair.chosen, pair.rejected)]
        prompt, chosen, rejected = (text[:LONGEST] for text in whole)
        cut = f"the first {LONGEST:,} letters" if max(map(len, whole)) > LONGEST else ""
        self._boxes[2].setVisible(not single)
        self._same = 0 if single else shared_prefix(chosen, rejected)
        texts = prompt, chosen, "" if single else rejected
        for field, text in zip(self.fields.values(), texts, strict=True):
            field.setPlainText(text)
        self._mark()
        said = [f"Row {cells['row']:,}", cells["id"] and f"id {cells['id']}", cut, cells["note"]]
        self.about.setText(" · ".join(filter(None, said)))
        self.open_button.setEnabled(True)

    def set_dark(self, dark: bool) -> None:
        """Show light or dark colours."""
        self._dark = dark
        self._mark()

    def _mark(self) -> None:
        """Make faint what both sides begin with alike, and look at where they part."""
        for name in ("Chosen", "Rejected"):
            self.fields[name].make_faint(self._same, QColor(theme.colours(self._dark).muted))


class _Field(QTextBrowser):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.setOpenLinks(False)
        self.setAccessibleName(f"{name} of the row")
        self.setTabChangesFocus(True)
        self.setAcceptDrops(False)

    def make_faint(self, letters: int, colour: QColor) -> None:
        """Write the first letters in a colour, and scroll to where they end."""
        text = self.toPlainText()
        place = len(text[:letters].encode("utf-16-le")) // 2
        cursor = QTextCursor(self.document())
        cursor.setPosition(min(place, self.document().characterCount() - 1))
        self.setTextCursor(cursor)
        chosen = QTextEdit.ExtraSelection()
        own = QTextCursor(self.document())
        own.setPosition(cursor.position(), QTextCursor.MoveMode.KeepAnchor)
        chosen.cursor = own
        how = QTextCharFormat()
        how.setForeground(colour)
        chosen.format = how
        self.setExtraSelections([chosen] if letters else [])
        self.ensureCursorVisible()
