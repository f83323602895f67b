"""The figures of the rows that are shown: accuracy, length bias, calibration, flips, alike pairs.

Each is a line with its interval and a tool tip that says what it is; a click on a group filters by
it. Knows figures; knows nothing of rows.
"""

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.widgets.boxes import ComboBox
from app.widgets.layouts import as_tip, fill, label, scrolled
from core.dataset.localised import Localised
from core.dataset.look import Group, Look
from core.dataset.said import BY_MARGIN, Line, lines, share_words
from core.dataset.table import Column, ScoredTable

MOST_GROUPS = 50
"""Groups that are shown, the least accurate first: more take the window too long."""


class SummaryPanel(QWidget):
    """Figures, one below the other, and a table of groups."""

    group_wanted = Signal(str)
    """A group was chosen: how a filter asks for it."""
    grouping_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.count = label("", "heading")
        self.note = QLabel()
        self.note.setObjectName("muted")
        self.note.setWordWrap(True)
        self.lines: dict[str, QLabel] = {}
        """The figures by their names."""
        self._labels: list[tuple[QLabel, QLabel]] = []
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(1, 1)
        self.by = ComboBox()
        self.by.setAccessibleName("Accuracy by")
        self.groups = GroupTable()
        self._names: tuple[str, ...] = ()
        self._filters: tuple[str, ...] = ()
        self.by_row = QWidget()
        fill(QHBoxLayout(self.by_row), label("Accuracy by", "muted"), (self.by, 1),
             margins=(0, 4, 0, 0))  # fmt: skip
        inside = QWidget()
        area = scrolled(inside)
        for part in (inside, area, area.viewport()):
            part.setAutoFillBackground(False)  # the card's ground shows
        fill(
            QVBoxLayout(inside), self.count, self.note, self._grid, self.by_row, self.groups, 1,
            margins=(10, 8, 10, 8), spacing=6,
        )  # fmt: skip
        fill(QVBoxLayout(self), area, margins=(0, 0, 0, 0))
        self.by.activated.connect(self.grouping_changed)
        self.groups.cellClicked.connect(self._want)
        self.groups.cellActivated.connect(self._want)

    def offer(self, columns: Sequence[Column]) -> None:
        """Offer accuracy by the values of these columns."""
        self._names = ("", *(it.name for it in columns))
        with QSignalBlocker(self.by):
            self.by.clear()
            self.by.addItems(["…", *(it.title for it in columns)])
            self.by.setCurrentIndex(1 if columns else 0)
        self.by_row.setVisible(bool(columns))

    def grouping(self) -> str:
        """Return the column by whose values accuracy is wanted; "" for none."""
        place = self.by.currentIndex()
        return self._names[place] if 0 <= place < len(self._names) else ""

    def show_look(
        self, table: ScoredTable, look: Look, localised: Localised | None = None, caveat: str = ""
    ) -> None:
        """Show the figures of a look; ``localised``: how known errors are found, once known."""
        found, single = look.summary, table.is_single
        what = "responses" if single else "pairs"
        total = f" of {table.count:,}" if found.rows != table.count else ""
        self.count.setText(f"{found.rows:,}{total} {what}")
        notes = [caveat, BY_MARGIN if look.by_margin and not single else "", table.note]
        self.note.setText(" ".join(filter(None, notes)))
        self.note.setVisible(any(notes))
        self._show(lines(table, look, localised))
        self._show_groups(found.groups, look.by_margin)

    def _show(self, rows: Sequence[Line]) -> None:
        """Show lines; labels stay where they are, so that none flickers."""
        while len(self._labels) < len(rows):
            title, value = label("", "muted"), QLabel()
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            place = len(self._labels)
            self._grid.addWidget(title, place, 0)
            self._grid.addWidget(value, place, 1)
            self._labels.append((title, value))
        self.lines = {}
        for place, (title, value) in enumerate(self._labels):
            there = place < len(rows)
            title.setVisible(there)
            value.setVisible(there)
            if there:
                line = rows[place]
                title.setText(line.name)
                value.setText(line.value)
                for part in (title, value):
                    part.setToolTip(as_tip(line.tip))
                value.setAccessibleName(f"{line.name}: {line.value}")
                self.lines[line.name] = value

    def _show_groups(self, groups: Sequence[Group], by_margin: bool) -> None:
        if by_margin:
            groups = sorted(groups, key=lambda it: -it.accuracy.count)
        self._filters = tuple(it.filter for it in groups[:MOST_GROUPS])
        self.groups.show_groups(groups, known=not by_margin)

    @Slot(int, int)
    def _want(self, row: int, column: int) -> None:
        if 0 <= row < len(self._filters):
            self.group_wanted.emit(self._filters[row])


class GroupTable(QTableWidget):
    """Groups with their accuracy, as high as it needs to be."""

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["", "accuracy (95%)", "pairs"])
        self.setAccessibleName("Accuracy by group")
        self.setToolTip("A click filters by the group")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_groups(self, groups: Sequence[Group], known: bool) -> None:
        """Show these groups; ``known``: their accuracy says something."""
        self.setVisible(bool(groups))
        more, groups = max(0, len(groups) - MOST_GROUPS), groups[:MOST_GROUPS]
        self.setRowCount(len(groups) + bool(more))
        if more:
            self.setItem(len(groups), 0, QTableWidgetItem(f"… {more:,} more groups"))
        for row, group in enumerate(groups):
            cells = (
                group.label.replace("\n", "↵"),
                share_words(group.accuracy) if known else "–",
                f"{group.accuracy.count:,}",
            )
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.setItem(row, column, item)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + 22 * self.rowCount() + 4)
