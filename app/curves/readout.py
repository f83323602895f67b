"""Shows the value of every curve at one step, in a table that stays where it is.

A row for each curve of the charts that are shown, a column for each run. Rows change only when
curves do, never with the step. Knows lines; knows nothing of charts.
"""

import re
from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.curves.charts import kind_of, source_words, value_at
from app.curves.lines import CurveLine
from app.curves.styles import CURVE_STYLES, mark, swatch
from app.widgets.layouts import as_tip, fill, label
from core.present.numerals import as_number, real_minus
from core.present.table import delimited

Key = tuple[str, int, str]
"""A curve by its chart's key, its role's place and its source."""
NAME_WIDTH, VALUE_WIDTH, ALONE_WIDTH = 96, 68, 112
"""Least pixels of the column of names, and of a run's: of several, and of one alone."""
HEAD = 28
"""Pixels of a run's column that its name does not have: its swatch, and the margins."""
LONGEST = 96
"""Pixels that a word of a run's name may widen its column to; a longer one is cut."""


class Readout(QWidget):
    """A table of all curves' values at a step."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[Key | str] = []
        self._lines: dict[tuple[Key, int], CurveLine] = {}
        self._hues: list[int] = []
        self._names: list[str] = []
        self._heads: list[QTableWidgetItem] = []
        self._titles: list[QTableWidgetItem] = []
        self._cells: dict[tuple[Key, int], QTableWidgetItem] = {}
        self._step: int | None = None
        self._dark = False
        self.title = label("Last values", "heading")
        self.table = QTableWidget()
        self.table.setAccessibleName("Values of all curves at the step of the crosshair")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        self.table.viewport().setAutoFillBackground(False)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(20)
        self.table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setFrameShape(QTableWidget.Shape.NoFrame)
        fill(QVBoxLayout(self), self.title, (self.table, 1), margins=(8, 6, 2, 2), spacing=3)

    def show_lines(self, lines: Mapping[str, Sequence[CurveLine]]) -> None:
        """Make the rows; ``show_step`` fills them."""
        before = list(self._lines), self._names
        self._lines = {
            ((key, line.curve.place, line.curve.source), line.hue): line
            for key, found in lines.items()
            for line in found
        }
        runs = {line.hue: line.run for line in self._lines.values()}
        self._names = list(runs.values())
        if before == (list(self._lines), self._names):
            self.show_step(self._step)
            return
        self._hues = list(runs)
        self._rows = []
        for key in lines:
            own = sorted({k for k, _ in self._lines if k[0] == key}, key=_order)
            if own:
                self._rows += [key, *own]
        self.table.clear()
        self.table.setRowCount(len(self._rows))
        self.table.setColumnCount(1 + len(runs))
        self.table.setHorizontalHeaderItem(0, QTableWidgetItem())
        self._heads = []
        for place, (number, name) in enumerate(runs.items(), start=1):
            head = QTableWidgetItem(swatch(number, self._dark), name)
            head.setToolTip(name)
            self.table.setHorizontalHeaderItem(place, head)
            self._heads.append(head)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setMinimumSectionSize(40)
        for place in range(1, 1 + len(runs)):
            header.setSectionResizeMode(place, QHeaderView.ResizeMode.Fixed)
        self._name_rows()
        self._share_room()
        self.show_step(self._step)

    def _share_room(self) -> None:
        """Let runs have columns for the words of their names, and curves' names all that is left;
        where that is too little, one scrolls."""
        if not self._rows:
            return
        header, room = self.table.horizontalHeader(), self.table.viewport().width()
        metrics = header.fontMetrics()
        least = VALUE_WIDTH if len(self._names) > 1 else ALONE_WIDTH
        longest = [max(map(metrics.horizontalAdvance, words(it)), default=0) for it in self._names]
        widths = [max(least, HEAD + min(long, LONGEST)) for long in longest]
        for place, (head, wide) in enumerate(zip(self._heads, widths, strict=True), start=1):
            head.setText(in_lines(self._names[place - 1], wide - HEAD, metrics))
            header.resizeSection(place, wide)
        short = room - sum(widths) < NAME_WIDTH
        modes = QHeaderView.ResizeMode
        header.setSectionResizeMode(0, modes.Fixed if short else modes.Stretch)
        if short:
            header.resizeSection(0, NAME_WIDTH)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._share_room()

    def _name_rows(self) -> None:
        muted = QColor(theme.colours(self._dark).muted)
        self._titles, self._cells = [], {}
        for number, row in enumerate(self._rows):
            if isinstance(row, str):
                item = QTableWidgetItem(kind_of(row).title)
                item.setForeground(muted)
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)
                item.setToolTip(as_tip(kind_of(row).tip))
                self.table.setItem(number, 0, item)
                self.table.setSpan(number, 0, 1, self.table.columnCount())
                self._titles.append(item)
                continue
            key, place, source = row
            label = kind_of(key).roles[place].label
            curve = next(line.curve for (own, _), line in self._lines.items() if own == row)
            sign = f"{mark(CURVE_STYLES[place], source, curve.rank)[1]} " if source else ""
            name = QTableWidgetItem(f"  {sign}{label}")
            name.setToolTip(f"{label}, {source_words(source)}")
            self.table.setItem(number, 0, name)
            for column, run in enumerate(self._hues, start=1):
                cell = self._cells[row, run] = QTableWidgetItem()
                cell.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(number, column, cell)

    def show_step(self, step: int | None) -> None:
        """Show the values at a step, the last ones logged by then; None: the last of each curve."""
        self._step = step
        smoothed = any(line.values is not line.curve.values for line in self._lines.values())
        where = "Last values" if step is None else f"At step {step:,}"
        self.title.setText(f"{where}, smoothed" if smoothed else where)
        for at, cell in self._cells.items():
            line = self._lines.get(at)
            found = value_at(line.curve, line.values, step) if line is not None else None
            cell.setText("" if found is None else shown(found[1]))
            cell.setToolTip("" if found is None else f"logged at step {found[0]:,}")

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._dark = dark
        for head, run in zip(self._heads, self._hues, strict=True):
            head.setIcon(swatch(run, dark))
        for title in self._titles:
            title.setForeground(QColor(theme.colours(dark).muted))

    def value_text(self, key: str, place: int, source: str, run: int) -> str:
        """Return what stands in the cell of a chart's curve and of a run, by the run's hue."""
        return self._cells[(key, place, source), run].text()

    def as_text(self) -> str:
        """Return the table as tab-separated text."""
        rows: list[Sequence[object]] = [(self.title.text(), *self._names)]
        for row in self._rows:
            if isinstance(row, str):
                continue
            key, place, source = row
            name = f"{kind_of(key).title}: {kind_of(key).roles[place].label}"
            cells = [as_number(self._cells[row, run].text()) for run in self._hues]
            rows.append((f"{name}, {source_words(source)}", *cells))
        return delimited(rows, "\t")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(self.as_text())
            return
        super().keyPressEvent(event)


def shown(value: float) -> str:
    """Return a number with four digits, at most four of them after the point, and a real minus."""
    text = f"{value:#.4g}".rstrip(".")
    if 5e-5 <= abs(value) < 1:
        text = f"{value:.4f}"
    return real_minus(text)


def words(name: str) -> list[str]:
    """Return the parts of a run's name, each with the marks behind it."""
    return re.findall(r"[^-_/ .]+[-_/ .]*|[-_/ .]+", name)


def in_lines(name: str, room: int, metrics: QFontMetrics) -> str:
    """Return a name in lines of whole words; a word that is wider than the room ends in dots."""
    lines = [""]
    for word in words(name):
        if lines[-1] and metrics.horizontalAdvance((lines[-1] + word).rstrip()) > room:
            lines.append("")
        lines[-1] += word
    cut = (metrics.elidedText(line.strip(), Qt.TextElideMode.ElideRight, room) for line in lines)
    return "\n".join(cut).strip()


def _order(key: Key) -> tuple[str, int]:
    """Sort by the source, the training before evaluations and these before held-out pairs."""
    return key[2], key[1]
