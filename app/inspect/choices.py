"""A table of the actions at a state: tokens that could stand there, one of which may be taken."""

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QBrush, QColor, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from app import theme
from app.widgets.colour_scale import ColourScale
from core.present.numerals import percent, signed
from core.present.token_facts import alternative_tip
from core.scoring import Alternative


class Choices(QTableWidget):
    """Alternatives, one a row: token, reward, probability under policy and reference, ranks."""

    taken = Signal(int)
    """The user took the token with this id."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self.setAccessibleName(name)
        self._choices: tuple[Alternative, ...] = ()
        for column, text in enumerate(("token", "r", "π", "π_ref")):
            heading = QTableWidgetItem(text)
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            heading.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.setHorizontalHeaderItem(column, heading)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setMinimumHeight(76)
        self.cellDoubleClicked.connect(self._take_row)

    def show_choices(
        self, choices: tuple[Alternative, ...], beta: float, scale: ColourScale, current: int
    ) -> None:
        """Fill the rows; the token that stands there now (``current``, an id) is marked."""
        self._choices = choices
        row_height = self.fontMetrics().height() + 5
        self.setRowCount(len(choices))
        dark_text = QBrush(QColor(*scale.text))
        faint_text = QBrush(QColor(theme.colours(scale.dark).muted))
        alone = any(choice.logp_reference is None for choice in choices)
        for column in (1, 3):
            self.setColumnHidden(column, alone)
        for row, choice in enumerate(choices):
            reference = choice.logp_reference
            r = 0.0 if reference is None else beta * (choice.logp_policy - reference)
            mark = "▸ " if choice.id == current else ""
            hidden = scale.hides(r)
            tip = alternative_tip(choice, beta, scale.floor)
            cells = (
                mark + choice.label,
                signed(r),
                percent(choice.logp_policy),
                "" if reference is None else percent(reference),
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(tip)
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                if column == 1:
                    if not hidden:
                        item.setBackground(QColor(scale.css(r)))
                    item.setForeground(faint_text if hidden else dark_text)
                if choice.id == current:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self.setItem(row, column, item)
            self.setRowHeight(row, row_height)

    def choice(self, row: int) -> Alternative | None:
        """Return what stands in a row."""
        return self._choices[row] if 0 <= row < len(self._choices) else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take_row(self.currentRow(), 0)
            event.accept()
            return
        super().keyPressEvent(event)

    @Slot(int, int)
    def _take_row(self, row: int, column: int) -> None:
        choice = self.choice(row)
        if choice is not None:
            self.taken.emit(choice.id)
