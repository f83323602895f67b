"""A table of the actions at a state: tokens that could stand there, one of which may be taken.

What can be done with a row stands in its menu too, with whatever actions the table was given.
"""

from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal, Slot
from PySide6.QtGui import (
    QBrush,
    QColor,
    QContextMenuEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QMenu,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from app import theme
from app.widgets.colour_scale import ColourScale
from core.present.numerals import percent, signed
from core.present.table import delimited
from core.present.token_facts import alternative_tip
from core.scoring import Alternative


class Choices(QTableWidget):
    """Alternatives, one a row: token, reward, probability under policy and reference, ranks."""

    taken = Signal(int)
    """The user took the token with this id."""

    def __init__(
        self, name: str, verb: str = "Put it in place", parent: QWidget | None = None
    ) -> None:
        """``verb``: what taking a token does, as its menu says."""
        super().__init__(0, 4, parent)
        self._verb = verb
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

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer what can be done with the row under the mouse, or with the current one."""
        by_keys = event.reason() == QContextMenuEvent.Reason.Keyboard
        row = self.currentRow() if by_keys else self.rowAt(self._inside(event).y())
        if self.choice(row) is None:
            return
        self.setCurrentCell(row, 0)
        cell = self.visualRect(self.model().index(row, 0))
        where = cell.center() if by_keys else self._inside(event)
        self.menu = menu = QMenu(self)
        menu.addAction(self._verb, partial(self._take_row, row, 0))
        menu.addActions(self.actions())
        menu.addSeparator()
        menu.addAction("Copy the token", partial(self._copy, f"{self._text(row)}"))
        menu.addAction("Copy the row", partial(self._copy, self._row_text(row)))
        menu.addAction("Copy the table", self._copy_all)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.viewport().mapToGlobal(where))

    def _inside(self, event: QContextMenuEvent) -> QPoint:
        return self.viewport().mapFromGlobal(event.globalPos())

    def _text(self, row: int) -> str:
        choice = self.choice(row)
        return choice.text if choice is not None else ""

    def _row_text(self, row: int) -> str:
        """Return a row's cells as tab-separated text, without the mark of the token there now."""
        columns = [column for column in range(4) if not self.isColumnHidden(column)]
        cells = [self.item(row, column) for column in columns]
        texts = [it.text().removeprefix("▸ ") for it in cells if it is not None]
        return delimited([texts], "\t").rstrip("\n")

    @Slot()
    def _copy_all(self) -> None:
        self._copy("\n".join(map(self._row_text, range(self.rowCount()))))

    def _copy(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy) and self.currentRow() >= 0:
            self._copy(self._row_text(self.currentRow()))
            return
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
