"""A sortable table of texts that could stand in a place, and of what each does; one can be taken.

A click or Enter takes a row; a click on a heading sorts, another the other way around. Knows
effects as numbers; knows nothing of responses or of the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QBrush, QColor, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)

from app import theme
from app.widgets.colour_scale import ColourScale
from core.present.effects import COLUMNS, MEANINGS, Effect, as_table, cells, numbers, sort_key

TOTAL = COLUMNS.index("total Δ")
COLOURED = COLUMNS.index("own r"), COLUMNS.index("after Δ"), TOTAL
MARGIN = COLUMNS.index("margin")


@dataclass(frozen=True)
class Row:
    """A line: its number among what was asked for, what to call it, and what it does if known."""

    number: int
    text: str
    effect: Effect | None
    tip: str = ""
    current: bool = False
    """Whether it is what stands there."""
    flips: bool = False
    """Whether the margin changes its sign."""


class EffectsTable(QTableWidget):
    """Rows of effects."""

    taken = Signal(int)
    """The user took the row with this number."""

    def __init__(self, name: str) -> None:
        super().__init__(0, len(COLUMNS))
        self.setAccessibleName(name)
        self._rows: tuple[Row, ...] = ()
        self._shown: tuple[object, ...] = ()
        self._scale = ColourScale()
        self._column, self._falling = TOTAL, True
        for column, (text, meaning) in enumerate(zip(COLUMNS, MEANINGS, strict=True)):
            heading = QTableWidgetItem(text)
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            heading.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            heading.setToolTip(f"{meaning}. A click sorts by it.")
            self.setHorizontalHeaderItem(column, heading)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(48)
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.sectionClicked.connect(self.sort_by)
        self._show_order()
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setMinimumHeight(76)
        self.cellClicked.connect(self._take_row)

    def show_rows(self, rows: Sequence[Row], scale: ColourScale, stale: bool = False) -> None:
        """Show these rows in the order that was chosen; ``stale``: of a text that is no more."""
        shown = tuple(rows), scale, stale, self._column, self._falling
        if shown == self._shown:
            return  # filling tables is slow
        self._shown, self._scale = shown, scale
        key = sort_key(self._column)
        known = sorted(rows, key=lambda it: key((it.text, it.effect)), reverse=self._falling)
        known.sort(key=lambda it: key((it.text, it.effect))[0])  # what is not known comes last
        chosen = self.row_number(self.currentRow())
        self._rows = tuple(known)
        self.setRowCount(len(known))
        high = self.fontMetrics().height() + 5
        for place, row in enumerate(known):
            self._fill(place, row, stale)
            self.setRowHeight(place, high)
            if row.number == chosen:
                self.setCurrentCell(place, 0)

    def _fill(self, place: int, row: Row, stale: bool) -> None:
        scale = self._scale
        faint = QBrush(QColor(theme.colours(scale.dark).muted))
        values = _values(row.effect)
        texts = cells(row.text, row.effect)
        for column, text in enumerate(texts):
            mark = "▸ " if column == 0 and row.current else ""
            item = QTableWidgetItem(mark + text + (" ⇄" if column == MARGIN and row.flips else ""))
            item.setToolTip(row.tip)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            value = values[column]
            if stale or row.effect is None:
                item.setForeground(faint)
            elif column in COLOURED and value is not None:
                if scale.hides(value):
                    item.setForeground(faint)
                else:
                    item.setBackground(QColor(scale.css(value)))
                    item.setForeground(QBrush(QColor(*scale.text)))
            if row.current or (row.flips and column == MARGIN):
                font = item.font()
                font.setBold(True)
                item.setFont(font)
            self.setItem(place, column, item)

    def row_number(self, place: int) -> int:
        """Return the number of the row that stands in a place; -1 where there is none."""
        return self._rows[place].number if 0 <= place < len(self._rows) else -1

    def rows(self) -> tuple[Row, ...]:
        """Return the rows in the order in which they are shown."""
        return self._rows

    def as_text(self) -> str:
        """Return what is shown as a table to copy, tab-separated, with all digits."""
        return as_table((row.text, row.effect) for row in self._rows)

    @Slot(int)
    def sort_by(self, column: int) -> None:
        """Sort by a column, the largest first; the other way around where that is so already."""
        self._falling = not self._falling if column == self._column else column != 0
        self._column = column
        self._show_order()
        if self._shown:
            rows, scale, stale = self._rows, self._scale, bool(self._shown[2])
            self.show_rows(rows, scale, stale)

    def _show_order(self) -> None:
        order = Qt.SortOrder.DescendingOrder if self._falling else Qt.SortOrder.AscendingOrder
        self.horizontalHeader().setSortIndicator(self._column, order)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._take_row(self.currentRow(), 0)
            event.accept()
            return
        super().keyPressEvent(event)

    @Slot(int, int)
    def _take_row(self, place: int, column: int) -> None:
        if (number := self.row_number(place)) >= 0:
            self.taken.emit(number)


def _values(found: Effect | None) -> tuple[float | None, ...]:
    known = numbers(found) if found is not None else (None,) * (len(COLUMNS) - 1)
    return None, *known
