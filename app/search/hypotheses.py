"""Shows hypotheses in a table that can be sorted; two of them can be compared as A and B.

Knows hypotheses and beta; asks for nothing and draws no tree.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
    Slot,
)
from PySide6.QtGui import QBrush, QColor, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.colour_scale import ColourScale
from app.widgets.layouts import fill, label
from core import quantities
from core.engine.protocol import Side
from core.noise import NOISELESS, NoiseFloor
from core.present.numerals import noise_words, plain, signed
from core.search.grown import Hypothesis

Index = QModelIndex | QPersistentModelIndex
EMPTY = "The hypotheses that a search finds are listed here, the best first."


@dataclass(frozen=True, slots=True)
class HypothesisRow:
    """A hypothesis, its rank in its own tree, and which tree that is."""

    pane: str
    rank: int
    found: Hypothesis

    def reward(self, beta: float) -> float:
        """Return Σ r from the tree's start (Eq. 8)."""
        return float(quantities.reward(self.found.sum_policy, self.found.sum_reference, beta))


@dataclass(frozen=True, slots=True)
class HypothesisColumn:
    """A column: its heading, what a row shows in it, and what it is sorted by."""

    title: str
    tip: str
    shown: Callable[[HypothesisRow, float], str]
    key: Callable[[HypothesisRow, float], float | str]
    number: bool = True
    largest_first: bool = True


def _known(words: Callable[[float], str], value: float) -> str:
    """Return a number in words, a dash where it is not known."""
    return words(value) if math.isfinite(value) else "–"


COLUMNS: tuple[HypothesisColumn, ...] = (
    HypothesisColumn(
        "rank",
        "By the search's own score",
        lambda row, _: str(row.rank),
        lambda row, _: row.rank,
        largest_first=False,
    ),
    HypothesisColumn(
        "tree", "Which tree", lambda r, _: r.pane.capitalize(), lambda r, _: r.pane, False, False
    ),
    HypothesisColumn(
        "text",
        "From the tree's start",
        lambda row, _: row.found.text.replace("\n", "↵"),
        lambda row, _: row.found.text.casefold(),
        False,
        False,
    ),
    HypothesisColumn(
        "Σ log π",
        "Log-probability under the policy, in nats; the reward less its KL cost (Eqs. 12, 13)",
        lambda row, _: plain(row.found.sum_policy),
        lambda row, _: row.found.sum_policy,
    ),
    HypothesisColumn(
        "Σ log π_ref",
        "Log-probability under the reference, in nats",
        lambda row, _: _known(plain, row.found.sum_reference),
        lambda row, _: row.found.sum_reference,
    ),
    HypothesisColumn(
        "Σ r",
        "Sum of the implicit rewards, β (Σ log π − Σ log π_ref)",
        lambda row, beta: _known(signed, row.reward(beta)),
        lambda row, beta: row.reward(beta),
    ),
    HypothesisColumn(
        "score",
        "What the search maximised: the dial's sum, over length ** penalty",
        lambda row, _: plain(row.found.score),
        lambda row, _: row.found.score,
    ),
    HypothesisColumn(
        "length",
        "Tokens from the tree's start, the closing token counted",
        lambda row, _: str(row.found.length),
        lambda row, _: row.found.length,
    ),
    HypothesisColumn(
        "finished",
        "Whether the model ended the response; “cut” where it reached Most tokens instead",
        lambda row, _: "yes" if row.found.closed else "cut" if row.found.finished else "no",
        lambda row, _: row.found.closed + 0.5 * (row.found.finished and not row.found.closed),
        False,
    ),
)
TREE, TEXT, REFERENCE, REWARD = 1, 2, 4, 5
NARROWEST_TEXT = 150
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class HypothesisModel(QAbstractTableModel):
    """The rows of the table in the order that they are shown in."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[HypothesisRow] = []
        self._beta, self._scale, self._noise = 0.1, ColourScale(), NOISELESS
        self._by: tuple[int, bool] = (0, False)

    def show_rows(self, rows: Sequence[HypothesisRow]) -> None:
        """Show other rows, sorted as before."""
        self.beginResetModel()
        self.rows = list(rows)
        self._arrange()
        self.endResetModel()

    def set_colours(self, beta: float, scale: ColourScale, noise: NoiseFloor = NOISELESS) -> None:
        """Colour the sums of rewards by another beta, scale or noise."""
        self._beta, self._scale, self._noise = beta, scale, noise
        self.sort(self._by[0], _order(self._by[1]))

    def _arrange(self) -> None:
        column, falling = COLUMNS[self._by[0]], self._by[1]
        self.rows.sort(key=lambda row: (row.rank, row.pane))
        self.rows.sort(key=lambda row: column.key(row, self._beta), reverse=falling)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._by = column, order == Qt.SortOrder.DescendingOrder
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = [self.rows[index.row()] for index in before]
        self._arrange()
        places = {id(row): place for place, row in enumerate(self.rows)}
        after = [
            self.index(places[id(row)], index.column())
            for row, index in zip(rows, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{column.tip}. Click to sort."
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT if column.number else LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        row, column = self.rows[index.row()], COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.shown(row, self._beta)
        if index.column() == REWARD and self._hides(row):
            return self._hidden_data(row, role)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.found.text if column.title == "text" else column.tip
        if role == Qt.ItemDataRole.TextAlignmentRole and column.number:
            return RIGHT
        if index.column() == REWARD and role == Qt.ItemDataRole.BackgroundRole:
            return QBrush(QColor(self._scale.css(row.reward(self._beta))))
        if index.column() == REWARD and role == Qt.ItemDataRole.ForegroundRole:
            return QBrush(QColor(*self._scale.text))
        return None

    def _hides(self, row: HypothesisRow) -> bool:
        """Return whether noise may be all that a sum of rewards is."""
        return bool(self._noise.hides(row.reward(self._beta), self._beta, row.found.length))

    def _hidden_data(self, row: HypothesisRow, role: int) -> object:
        """Return the data of a sum of rewards that is shown without fill, in grey."""
        if role == Qt.ItemDataRole.ToolTipRole:
            floor = float(self._noise.of_rewards(self._beta, row.found.length))
            return f"{COLUMNS[REWARD].tip}; {noise_words(self._noise, floor)}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT
        if role == Qt.ItemDataRole.ForegroundRole:
            return QBrush(QColor(theme.colours(self._scale.dark).muted))
        return None


def _order(falling: bool) -> Qt.SortOrder:
    return Qt.SortOrder.DescendingOrder if falling else Qt.SortOrder.AscendingOrder


class HypothesisTable(QTableView):
    """A table of hypotheses; Enter goes to one in its tree."""

    went_to = Signal(str, int)
    """The pane and the entry of a hypothesis."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Hypotheses")
        self.found = HypothesisModel()
        self.setModel(self.found)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setAlternatingRowColors(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # hypotheses often begin alike
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorShown(True)
        header.setSectionsClickable(True)
        header.sortIndicatorChanged.connect(self.sortByColumn)
        wide = self.fontMetrics().horizontalAdvance("−888.888") + 8
        for column, title in enumerate(COLUMNS):
            if column != TEXT:
                name = self.fontMetrics().horizontalAdvance(title.title) + 26
                self.setColumnWidth(column, max(name, wide if 3 <= column <= 6 else 0))
        self.setColumnHidden(TREE, True)
        self.doubleClicked.connect(self._go_to)

    def show_rows(self, rows: Sequence[HypothesisRow]) -> None:
        """Show other hypotheses; those of the same text and tree stay selected."""
        chosen = {(row.pane, row.found.index) for row in self.chosen()}
        self.found.show_rows(rows)
        self.setColumnHidden(TREE, len({row.pane for row in rows}) < 2)
        alone = bool(rows) and not any(math.isfinite(row.found.sum_reference) for row in rows)
        for column in (REFERENCE, REWARD):
            self.setColumnHidden(column, alone)
        self._share_room()
        selection = self.selectionModel()
        for place, row in enumerate(self.found.rows):
            if (row.pane, row.found.index) in chosen:
                selection.select(
                    self.found.index(place, 0),
                    QItemSelectionModel.SelectionFlag.Select
                    | QItemSelectionModel.SelectionFlag.Rows,
                )

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_room()

    def _share_room(self) -> None:
        """Give the text all the room that the numbers leave, and always enough to be read."""
        shown = [column for column in range(len(COLUMNS)) if not self.isColumnHidden(column)]
        others = sum(self.columnWidth(column) for column in shown if column != TEXT)
        self.setColumnWidth(TEXT, max(self.viewport().width() - others, NARROWEST_TEXT))

    def chosen(self) -> list[HypothesisRow]:
        """Return the selected rows, from top to bottom."""
        places = sorted(index.row() for index in self.selectionModel().selectedRows())
        return [self.found.rows[place] for place in places if place < len(self.found.rows)]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self._go_to(self.currentIndex())
            return
        super().keyPressEvent(event)

    @Slot(QModelIndex)
    def _go_to(self, index: Index) -> None:
        if 0 <= index.row() < len(self.found.rows):
            row = self.found.rows[index.row()]
            self.went_to.emit(row.pane, row.found.index)


class Hypotheses(QFrame):
    """A panel with the table and what can be done with its rows."""

    send = Signal(object)
    """Pane and entry of the hypothesis that is to go into each editor, by "A" and "B"."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.table = HypothesisTable()
        self.heading = label("Hypotheses", "heading")
        self.empty = label(EMPTY, "muted")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        self.to_a = QPushButton("Send to A")
        self.to_b = QPushButton("Send to B")
        self.compare = QPushButton("Compare as A and B")
        self.to_a.setToolTip("Put the selected hypothesis into editor A, tokens and all")
        self.to_b.setToolTip("Put the selected hypothesis into editor B, tokens and all")
        self.compare.setToolTip(
            "Put the upper of two selected rows into A and the lower into B, and go there"
        )
        buttons = self.to_a, self.to_b, self.compare
        row = fill(QHBoxLayout(), self.heading, 1, *buttons, margins=(10, 4, 6, 0))
        column = QVBoxLayout(self)
        fill(column, row, (self.table, 1), (self.empty, 1), margins=(2, 0, 2, 2), spacing=2)
        self.to_a.clicked.connect(self._to_a)
        self.to_b.clicked.connect(self._to_b)
        self.compare.clicked.connect(self._compare)
        self.table.selectionModel().selectionChanged.connect(self._selection_changed)
        self.show_rows(())

    def show_rows(self, rows: Sequence[HypothesisRow]) -> None:
        """Show the hypotheses of all trees that are shown."""
        self.table.show_rows(rows)
        self.table.setVisible(bool(rows))
        self.empty.setVisible(not rows)
        self.heading.setText(f"Hypotheses ({len(rows)})" if rows else "Hypotheses")
        self._selection_changed()

    def set_colours(self, beta: float, scale: ColourScale, noise: NoiseFloor) -> None:
        """Colour sums of rewards by another beta, scale or noise.

        Sums are longer than single rewards: their scale is their own.
        """
        self.table.found.set_colours(beta, scale, noise)

    @Slot()
    def _selection_changed(self) -> None:
        count = len(self.table.chosen())
        self.to_a.setEnabled(count == 1)
        self.to_b.setEnabled(count == 1)
        self.compare.setEnabled(count == 2)

    @Slot()
    def _to_a(self) -> None:
        self._send("A")

    @Slot()
    def _to_b(self) -> None:
        self._send("B")

    @Slot()
    def _compare(self) -> None:
        self._send("A", "B")

    def _send(self, *sides: Side) -> None:
        rows = zip(sides, self.table.chosen(), strict=True)
        self.send.emit({side: (row.pane, row.found.index) for side, row in rows})
