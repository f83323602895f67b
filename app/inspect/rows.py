"""A table of which a row is taken: its look, its keys, its menu, and how its rows are copied.

Enter takes a row; what is copied has all digits, and plain numbers that a spreadsheet reads. Knows
lines of cells; knows nothing of what they are of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
from core.present.table import delimited

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a column: a text, its fill (#rrggbb, "" for none), and how it is written."""

    text: str
    fill: str = ""
    faint: bool = False
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A row: what ``taken`` says of it, its text, its cells, and what is copied of it."""

    number: int
    text: str
    cells: tuple[Cell, ...]
    copied: tuple[object, ...]
    tip: str = ""
    current: bool = False
    """Whether it is what stands there now: it is marked."""


class Rows(QTableWidget):
    """Lines, one a row; the first column is text, the others are numbers."""

    taken = Signal(int)
    """The user took the line with this number."""

    def __init__(
        self,
        name: str,
        titles: Sequence[str],
        copied: Sequence[str],
        verb: str = "Put it in place",
        kind: str = "text",
        parent: QWidget | None = None,
    ) -> None:
        """Make it empty.

        ``copied``: the titles of what is copied; ``verb``, ``kind``: what taking does and what is
        taken, as the menu says.
        """
        super().__init__(0, len(titles), parent)
        self._verb, self._kind, self._copied = verb, kind, tuple(copied)
        self._lines: tuple[Line, ...] = ()
        self.setAccessibleName(name)
        for column, title in enumerate(titles):
            heading = QTableWidgetItem(title)
            heading.setTextAlignment(RIGHT if column else LEFT)
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

    def show_lines(self, lines: Sequence[Line], scale: ColourScale) -> None:
        """Fill the rows; ``scale`` is that of the fills."""
        self._lines = tuple(lines)
        self.setRowCount(len(self._lines))
        high = self.fontMetrics().height() + 5
        on_fill = QBrush(QColor(*scale.text))
        faint = QBrush(QColor(theme.colours(scale.dark).muted))
        for row, line in enumerate(self._lines):
            for column, cell in enumerate(line.cells):
                mark = "▸ " if line.current and not column else ""
                item = QTableWidgetItem(mark + cell.text)
                item.setToolTip(line.tip)
                if column:
                    item.setTextAlignment(RIGHT)
                if cell.fill:
                    item.setBackground(QColor(cell.fill))
                    item.setForeground(on_fill)
                elif cell.faint:
                    item.setForeground(faint)
                if line.current or cell.bold:
                    font = item.font()
                    font.setBold(True)
                    item.setFont(font)
                self.setItem(row, column, item)
            self.setRowHeight(row, high)

    def set_title(
        self, column: int, title: str, role: Qt.ItemDataRole = Qt.ItemDataRole.DisplayRole
    ) -> None:
        """Set a column's title, or with another role what is told of it."""
        self.model().setHeaderData(column, Qt.Orientation.Horizontal, title, role)

    def line(self, row: int) -> Line | None:
        """Return what stands in a row."""
        return self._lines[row] if 0 <= row < len(self._lines) else None

    @Slot(int)
    def take_row(self, row: int) -> None:
        """Say that the user took what stands in a row."""
        if (line := self.line(row)) is not None:
            self.taken.emit(line.number)

    # --- copies -------------------------------------------------------------------------------

    @Slot()
    def copy_table(self) -> None:
        """Copy all rows, tab-separated, below their titles."""
        _copy(delimited([self._copied, *(line.copied for line in self._lines)], "\t"))

    def _copy_row(self, row: int) -> None:
        if (line := self.line(row)) is not None:
            _copy(delimited([line.copied], "\t").rstrip("\n"))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer what can be done with the row under the mouse, or with the current one."""
        by_keys = event.reason() == QContextMenuEvent.Reason.Keyboard
        inside = self.viewport().mapFromGlobal(event.globalPos())
        row = self.currentRow() if by_keys else self.rowAt(inside.y())
        line = self.line(row)
        if line is None:
            return
        self.setCurrentCell(row, 0)
        cell = self.visualRect(self.model().index(row, 0))
        where: QPoint = cell.center() if by_keys else inside
        self.menu = menu = QMenu(self)
        menu.addAction(self._verb, partial(self.take_row, row))
        menu.addActions(self.actions())
        menu.addSeparator()
        menu.addAction(f"Copy the {self._kind}", partial(_copy, line.text))
        menu.addAction("Copy the row", partial(self._copy_row, row))
        menu.addAction("Copy the table", self.copy_table)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.viewport().mapToGlobal(where))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy) and self.currentRow() >= 0:
            self._copy_row(self.currentRow())
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.take_row(self.currentRow())
            event.accept()
        else:
            super().keyPressEvent(event)


def _copy(text: str) -> None:
    QGuiApplication.clipboard().setText(text)


def shaded(values: Iterable[tuple[str, float | None]], scale: ColourScale) -> tuple[Cell, ...]:
    """Return cells of numbers that are coloured by their size; what noise hides is faint."""
    return tuple(
        Cell(text)
        if value is None
        else Cell(text, faint=True)
        if scale.hides(value)
        else Cell(text, scale.css(value))
        for text, value in values
    )
