"""The rows of a look as Qt's table asks for them: numbers from arrays, texts by their beginnings.

Nothing is made of a row before it is in sight. Knows the table and how cells look; knows nothing of
filters.
"""

import math
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QBrush, QColor

from app.widgets.colour_scale import ColourScale, fit_limit
from app.widgets.layouts import as_tip
from core.dataset.derived import Array
from core.dataset.table import TEXTS, Column, Rows, ScoredTable
from core.present.numerals import noise_words, plain, signed

Index = QModelIndex | QPersistentModelIndex
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
SIGNED = "margin", "reward_chosen", "reward_rejected", "length_difference"
FIRST = "margin", *TEXTS
"""Columns that stand before the others."""
NOTHING = np.zeros(0, np.int64)


class PairsModel(QAbstractTableModel):
    """The rows that are shown, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.table: ScoredTable | None = None
        self.columns: tuple[Column, ...] = ()
        self.rows: Rows = NOTHING
        """Places in the file, of each line that is shown."""
        self.by, self.descending = "", False
        self._values: dict[str, Array] = {}
        self._noise: Array = np.zeros(0)
        self._scale = ColourScale()
        self._of: tuple[ScoredTable | None, float | None] = None, None
        """What the values are of."""

    def show_table(self, table: ScoredTable) -> None:
        """Show another file, no row of it yet."""
        self.beginResetModel()
        self.table, self.rows = table, NOTHING
        texts = [
            Column(name, name, "How it begins; of the two sides what follows after they part",
                   "text")
            for name in TEXTS
        ]  # fmt: skip
        texts = texts[:2] if table.is_single else texts
        if table.is_single:
            texts[1] = replace(texts[1], title="response", tip="How it begins")
        every = {it.name: it for it in (*texts, *table.columns) if _is_shown(it)}
        first = [every.pop(name) for name in FIRST if name in every]
        if table.is_single:
            first = [every.pop("reward_chosen"), *first]
        last = [Column("id", "id", "The row's id in the source", "text")]
        self.columns = (*first, *every.values(), *last)
        self.endResetModel()

    def show_rows(self, rows: Rows, beta: float | None, by: str, descending: bool) -> None:
        """Show these rows, with numbers for this beta."""
        table = self.table
        if table is None:
            return
        self.beginResetModel()
        self.rows, self.by, self.descending = rows, by, descending
        if self._of != (table, beta):
            self._of = table, beta
            self._values = {
                it.name: table.values(it.name, beta) for it in self.columns if it.kind == "number"
            }
            self._noise = table.noise(beta)
            name = "reward_chosen" if table.is_single else "margin"
            self._scale = replace(self._scale, limit=fit_limit(self._values[name]))
        self.endResetModel()

    def set_dark(self, dark: bool) -> None:
        """Colour for a light ground, or a dark one."""
        self._scale = replace(self._scale, dark=dark)

    def place_of(self, row: int) -> int:
        """Return the line that shows a row of the file; −1 if none does."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else -1

    # --- what Qt asks -------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        if orientation != Qt.Orientation.Horizontal or section >= len(self.columns):
            return None
        column = self.columns[section]
        sorted_by = column.name == self.by
        if role == Qt.ItemDataRole.DisplayRole:
            mark = "▾" if self.descending else "▴"
            return f"{column.title} {mark}" if sorted_by else column.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            order = "largest first" if self.descending else "smallest first"
            return f"{column.title}, {order}" if sorted_by else column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            how = "A click sorts by it" if column.kind != "text" else "Texts are not sorted"
            name = column.name.removeprefix("source.")
            return as_tip(f"{column.tip}. {how}; filters call it {name}.")
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT if column.kind == "number" else LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        column, table = self.columns[index.column()], self.table
        row = int(self.rows[index.row()])
        if role == Qt.ItemDataRole.DisplayRole and table is not None:
            return self.shown(column, row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return RIGHT if column.kind == "number" else LEFT
        if column.name == self._coloured():
            return self._colour(row, column.name, role)
        if role == Qt.ItemDataRole.ToolTipRole and column.kind == "text" and table is not None:
            return as_tip(self.shown(column, row))
        return None

    def shown(self, column: Column, row: int) -> str:
        """Return what stands in a cell of a row of the file."""
        table = self.table
        assert table is not None
        if column.kind == "text":
            return table.beginning(column.name, row)
        if column.kind == "words":
            words = table.words[column.name]
            code = words.codes[row]
            return words.kinds[code].replace("\n", "↵") if code >= 0 else "–"
        return said(column, float(self._values[column.name][row]))

    def _coloured(self) -> str:
        return "reward_chosen" if self.table is not None and self.table.is_single else "margin"

    def _colour(self, row: int, name: str, role: int) -> object:
        value = float(self._values[name][row])
        hidden = name == "margin" and abs(value) < self._noise[row]
        if math.isnan(value):
            return None
        if hidden and role == Qt.ItemDataRole.ToolTipRole and self.table is not None:
            noise = self.table.about.noise
            return noise_words(noise, float(self._noise[row])) if noise is not None else None
        if role == Qt.ItemDataRole.BackgroundRole and not hidden:
            return QBrush(QColor(self._scale.css(value)))
        if role == Qt.ItemDataRole.ForegroundRole and not hidden:
            return QBrush(QColor(*self._scale.text))
        return None


def _is_shown(column: Column) -> bool:
    """Return whether a column has a place in the table: texts of the source are only searched."""
    return not (column.kind == "text" and column.name.startswith("source."))


def said(column: Column, value: float) -> str:
    """Return a number of a column in words, a dash where it is not known."""
    if math.isnan(value):
        return "–"
    if column.name.startswith("source."):
        return plain(value, 0) if value.is_integer() else f"{value:.4g}"
    return signed(value, column.digits) if column.name in SIGNED else plain(value, column.digits)
