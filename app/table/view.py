"""The data view: a table of scored pairs with its filter, charts and figures.

Makes the parts, puts them in place and says what follows from what: a filter, an order, a stretch
of a chart or another beta is a new question, and its answer is shown by all of them. Importing this
module imports pyqtgraph. Knows tables and looks; knows nothing of files, models or the credit view.
"""

from functools import partial

import numpy as np
from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal, Slot
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QTableView,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from app.settings import Settings
from app.table.charts import CalibrationChart, Histogram, Scatter
from app.table.explorer import Explorer, ReadRow
from app.table.filter_bar import FilterBar
from app.table.model import PairsModel
from app.table.summary import SummaryPanel
from app.table.texts import PairTexts
from app.widgets.beta_box import BetaBox
from app.widgets.layouts import fill
from core.dataset.filters import names
from core.dataset.localised import Localised
from core.dataset.look import Band, Look, Question, Ready, groupings, most_wrong, ready
from core.dataset.said import BY_MARGIN
from core.dataset.table import Rows, ScoredTable
from core.present.numerals import as_number
from core.present.table import delimited

COMMAND = "python main.py score --data FILE --out scored.parquet"
EMPTY = (
    "<h3>No scored data set is open</h3><p>Score a data set: File › Score a data set…, or in a "
    f"terminal<br><code>{COMMAND}</code></p><p>Then open <code>scored.parquet</code> here, or drop "
    "it: every pair with its margin, lengths and texts, to be sorted, filtered, charted and opened "
    "in the credit view.</p>"
)
WIDTHS = {"prompt": 220, "chosen": 260, "rejected": 260, "id": 110}
LINE = 24
MOST_COPIED = 1000
"""Lines that are copied; an export takes all."""
NO_PREFERENCE = "σ(m) is no probability here: β is not known, or the loss makes it none."


class PairsView(QTableView):
    """The table: Enter opens a row, and what is sorted by a click on its header."""

    opened = Signal()
    sort_wanted = Signal(int)
    filter_wanted = Signal()
    """A slash was pressed: the keys are for the filter."""

    def __init__(self, model: PairsModel) -> None:
        super().__init__()
        self.pairs = model
        self.hidden: frozenset[str] = frozenset()
        """Names of columns that the user has hidden."""
        self.setModel(model)
        self.setAccessibleName("Scored pairs")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setAcceptDrops(False)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(LINE)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(True)
        header.setSectionsMovable(True)
        header.sectionClicked.connect(self.sort_wanted)
        self.doubleClicked.connect(self.opened)

    def lines(self) -> Rows:
        """Return the lines that are selected, ascending."""
        found = self.selectionModel().selection()
        ranges = [found.at(place) for place in range(found.count())]
        parts = [np.arange(it.top(), it.bottom() + 1) for it in ranges]
        return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.opened.emit()
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_lines()
        elif event.text() == "/":
            self.filter_wanted.emit()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def menu(self) -> QMenu:
        """Return what can be done with the selected lines, and which columns are shown."""
        menu = QMenu(self)
        menu.addAction("Open in the credit view", self.opened.emit)
        menu.addAction("Copy the lines", self.copy_lines)
        columns = menu.addMenu("Columns")
        for column in self.pairs.columns:
            shown = columns.addAction(column.title.replace("&", "&&"))
            shown.setCheckable(True)
            shown.setChecked(column.name not in self.hidden)
            shown.toggled.connect(partial(self._show_column, column.name))
        return menu

    def hide_columns(self) -> None:
        """Hide the columns that the user has hidden; those of the source may be of another."""
        for section, column in enumerate(self.pairs.columns):
            self.setColumnHidden(section, column.name in self.hidden)

    def _show_column(self, name: str, shown: bool) -> None:
        self.hidden = self.hidden - {name} if shown else self.hidden | {name}
        self.hide_columns()

    def keyboardSearch(self, search: str) -> None:
        """Look for nothing: Qt would go through all rows, and the filter is there for that."""

    def copy_lines(self) -> None:
        """Copy the selected lines as they are shown, tab-separated, below their titles."""
        model = self.model()
        titles = [it.title for it in self.pairs.columns]
        rows = [
            [as_number(str(model.index(line, at).data())) for at in range(model.columnCount())]
            for line in self.lines()[:MOST_COPIED].tolist()
        ]
        QGuiApplication.clipboard().setText(delimited([titles, *rows], "\t"))


class EmptyPage(QWidget):
    """What can be opened, while no file is."""

    def __init__(self) -> None:
        super().__init__()
        self.text = QLabel(EMPTY)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setMaximumWidth(560)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.open_button = QPushButton("Open a scored file…")
        self.score_button = QPushButton("Score a data set…")
        column = fill(QVBoxLayout(), 1, self.text, spacing=8)
        fill(column, fill(QHBoxLayout(), self.open_button, self.score_button, 1), 2)
        fill(QHBoxLayout(self), 1, (column, 8), 1)


class DataView(QWidget):
    """A scored file."""

    open_wanted = Signal()
    """Ask for a scored file."""
    score_wanted = Signal()
    """Ask for a data set to be scored."""
    pair_wanted = Signal(object)
    """A ReadRow that is to be shown in the credit view."""
    export_wanted = Signal(object)
    """The places of rows that are to be written into a file."""
    problem = Signal(str)
    """Something could not be done: one sentence; "" once that is over."""
    changed = Signal()
    """There are other rows, or others are selected."""

    def __init__(self, explorer: Explorer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.explorer = explorer
        self.answer: Look | None = None
        """What is shown."""
        self._bands: tuple[Band, ...] = ()
        self._by, self._descending = "row", False
        self._wanted_row = -1
        """To be made the current one once it is shown."""
        self._walked = False
        """The user has gone to a row since the rows were found."""
        self.filter = FilterBar()
        self.beta = BetaBox()
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip("Write rows into a file: pairs as JSON Lines, or a scored "
                                      "Parquet")  # fmt: skip
        self.model = PairsModel()
        self.rows = PairsView(self.model)
        self.texts = PairTexts()
        self.histogram, self.scatter = Histogram(), Scatter()
        self.calibration = CalibrationChart()
        self.charts = QTabWidget()
        self.summary = SummaryPanel()
        self.empty = EmptyPage()
        self.said, self.bar = QLabel(), QProgressBar()
        self.cancel_button = QPushButton("Cancel")
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self.beta.setPrefix("β ")
        self.beta.setMinimumWidth(96)
        self.filter.add(self.beta)
        self.filter.add(self.export_button)
        for chart, title in (
            (self.histogram, "Histogram"), (self.scatter, "Scatter"),
            (self.calibration, "Calibration"),
        ):  # fmt: skip
            self.charts.addTab(chart, title)
        self.columns = QSplitter(Qt.Orientation.Horizontal)
        self.left = QSplitter(Qt.Orientation.Vertical)
        self.right = QSplitter(Qt.Orientation.Vertical)
        for splitter, parts, sizes in (
            (self.left, (self.rows, self.texts), [520, 190]),
            (self.right, (self.charts, self.summary), [300, 400]),
        ):
            for part in parts:
                splitter.addWidget(_card(part))
            splitter.setSizes(sizes)
            splitter.setHandleWidth(7)
            self.columns.addWidget(splitter)
        self.left.setStretchFactor(0, 1)
        self.right.setMinimumWidth(250)
        self.columns.setSizes([1000, 380])
        self.columns.setStretchFactor(0, 1)
        self.columns.setHandleWidth(7)
        self.columns.setChildrenCollapsible(False)
        whole = QWidget()
        fill(QVBoxLayout(whole), self.filter, (self.columns, 1), margins=(0, 0, 0, 0), spacing=6)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.empty)
        self.pages.addWidget(whole)
        self.under_way = QWidget()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        fill(QHBoxLayout(self.under_way), self.said, (self.bar, 1), self.cancel_button,
             margins=(0, 0, 0, 0))  # fmt: skip
        self.under_way.hide()
        fill(QVBoxLayout(self), (self.pages, 1), self.under_way, margins=(0, 0, 0, 0), spacing=4)

    def _connect(self) -> None:
        explorer, bar = self.explorer, self.filter
        explorer.opened.connect(self._show_table)
        explorer.looked.connect(self._show_look)
        explorer.localised.connect(self._show_localised)
        explorer.read.connect(self._show_row)
        explorer.refused.connect(self._refused)
        explorer.progress.connect(self._show_progress)
        self.cancel_button.clicked.connect(explorer.cancel)
        bar.changed.connect(self.ask)
        bar.ready_chosen.connect(self._ask_ready)
        bar.bands_cleared.connect(self._clear_bands)
        bar.escaped.connect(self.focus_rows)
        self.beta.valueChanged.connect(self._beta_changed)
        self.export_button.clicked.connect(self.export)
        self.rows.sort_wanted.connect(self._sort_by)
        self.rows.opened.connect(self.open_row)
        self.rows.filter_wanted.connect(bar.box.setFocus)
        self.rows.selectionModel().currentRowChanged.connect(self._row_changed)
        self.rows.selectionModel().selectionChanged.connect(self._selection_changed)
        self.texts.open_wanted.connect(self.open_row)
        for chart in (self.histogram, self.scatter):
            chart.bands_chosen.connect(self._choose_bands)
            chart.columns_chosen.connect(self._draw)
        self.charts.currentChanged.connect(self._draw)
        self.scatter.row_chosen.connect(self._choose_row)
        self.summary.grouping_changed.connect(self.ask)
        self.summary.group_wanted.connect(self._filter_by)
        self.empty.open_button.clicked.connect(self.open_wanted)
        self.empty.score_button.clicked.connect(self.score_wanted)

    # --- asking -------------------------------------------------------------------------------

    @Slot()
    def ask(self) -> None:
        """Ask for the rows that all choices leave."""
        self.explorer.look(
            Question(
                self.filter.text(),
                self._bands,
                self._by,
                self._descending,
                self.beta.beta(),
                self.summary.grouping(),
            )
        )

    @Slot(object)
    def _ask_ready(self, question: Ready) -> None:
        self._by, self._descending = question.by, question.descending
        self._bands = ()
        self.ask()

    @Slot()
    def _clear_bands(self) -> None:
        self._choose_bands(())

    @Slot(object)
    def _choose_bands(self, bands: tuple[Band, ...]) -> None:
        if bands != self._bands:
            self._bands = bands
            self.ask()

    @Slot()
    def _beta_changed(self) -> None:
        table = self.explorer.table
        if table is not None:
            self.filter.offer(ready(table, self.beta.beta()))
        self.ask()

    @Slot(int)
    def _sort_by(self, section: int) -> None:
        """Sort by a column: the smallest first, and the other way around the next time."""
        column = self.model.columns[section]
        if column.kind == "text":
            return
        again = column.name == self._by
        self._by, self._descending = column.name, not self._descending if again else False
        self.ask()

    @Slot(str)
    def _filter_by(self, part: str) -> None:
        """Add a part to the filter."""
        text = self.filter.text().strip()
        if part not in text:
            self.filter.set_text(f"{text} {part}".strip())
            self.ask()

    # --- answers ------------------------------------------------------------------------------

    @Slot(object)
    def _show_table(self, table: ScoredTable) -> None:
        self.answer = None
        self._bands, self._by, self._descending = (), "row", False
        self.beta.show_beta(table.about.beta)
        self.beta.setEnabled(table.credit.objective.main.scaled)
        known = names(table)
        kinds = {name: table.words[of].kinds for name, of in known.items() if of in table.words}
        self.filter.box.offer(tuple(known), kinds)
        self.filter.set_text("")
        self.filter.show_problem("")
        self.filter.offer(ready(table, table.about.beta))
        numbers = [it for it in table.columns if it.kind == "number"]
        first = "reward_chosen" if table.is_single else "margin"
        across = "length_chosen" if table.is_single else "length_difference"
        self.histogram.offer(numbers, [first])
        self.scatter.offer(numbers, [first, across])
        self.charts.setTabVisible(2, not table.is_single)
        self.summary.offer(
            [] if table.is_single else [it for name in groupings(table)
                                        if (it := table.column(name)) is not None]
        )  # fmt: skip
        self.model.show_table(table)
        self._size_columns()
        self.texts.show_nothing()
        self.pages.setCurrentIndex(1)
        if self.isVisible():
            self.focus_rows()
        self.problem.emit("")
        self.ask()

    def _size_columns(self) -> None:
        metrics = self.rows.horizontalHeader().fontMetrics()
        for section, column in enumerate(self.model.columns):
            title = metrics.horizontalAdvance(f"{column.title} ▾") + 18
            self.rows.setColumnWidth(section, max(title, WIDTHS.get(column.name, 62)))
        self.rows.hide_columns()

    @Slot(object)
    def _show_look(self, found: Look) -> None:
        table = self.explorer.table
        if table is None:
            return
        question = found.question
        row = self._wanted_row
        if self.answer is not None and _places(self.answer.question) == _places(question):
            row = self.current_row()  # only numbers are others
        self._wanted_row = -1
        self.answer = found
        self._by, self._descending = question.by, question.descending
        self.model.show_rows(found.shown, question.beta, question.by, question.descending)
        self.filter.show_problem("")
        self.filter.show_bands(question.bands, {it.name: it.title for it in table.columns})
        self.summary.show_look(table, found, caveat=self.filter.caveat(question.text))
        self._draw()
        place = self.model.place_of(row)
        if len(found.shown):
            self._make_current(max(0, place))
        else:
            self.texts.show_nothing()
        self._walked = False
        if table.has_errors and not found.by_margin:
            self.explorer.localise(found.shown)
        self._selection_changed()

    @Slot(object)
    def _show_localised(self, found: Localised) -> None:
        table, answer = self.explorer.table, self.answer
        if table is not None and answer is not None:
            caveat = self.filter.caveat(answer.question.text)
            self.summary.show_look(table, answer, found, caveat)

    @Slot()
    def _draw(self) -> None:
        """Draw the chart that is in front."""
        table, found = self.explorer.table, self.answer
        if table is None or found is None:
            return
        beta, rows, chart = found.question.beta, found.matched, self.charts.currentWidget()
        if chart is self.calibration:
            known = None if found.by_margin else found.summary.calibration
            said = (
                BY_MARGIN if found.by_margin else "Of the rows shown." if known else NO_PREFERENCE
            )
            self.calibration.show_calibration(known, said)
            return
        if chart is self.histogram and self.histogram.columns():
            (name,) = self.histogram.columns()
            self.histogram.show_values(table.values(name, beta)[rows], found.question.bands)
        elif chart is self.scatter and len(self.scatter.columns()) == 2:
            down, along = (table.values(name, beta)[rows] for name in self.scatter.columns())
            self.scatter.show_values(down, along, rows, found.question.bands)

    @Slot(object)
    def _show_row(self, found: ReadRow) -> None:
        self.texts.show_row(found.pair, found.cells)
        if found.wanted:
            self.pair_wanted.emit(found)

    @Slot(str, str)
    def _refused(self, kind: str, sentence: str) -> None:
        if kind == "look":
            self.filter.show_problem(sentence)
        else:
            self.problem.emit(sentence)

    @Slot(str, object)
    def _show_progress(self, what: str, fraction: float | None) -> None:
        self.under_way.setVisible(bool(what))
        self.said.setText(f"{what} …")
        self.bar.setRange(0, 0 if fraction is None else 1000)
        self.bar.setValue(round(1000 * (fraction or 0)))

    # --- rows ---------------------------------------------------------------------------------

    def current_row(self) -> int:
        """Return the place in the file of the row that is current; −1 for none."""
        line = self.rows.currentIndex().row()
        return int(self.model.rows[line]) if 0 <= line < len(self.model.rows) else -1

    def selected(self) -> Rows:
        """Return the places in the file of the rows that are selected."""
        found: Rows = self.model.rows[self.rows.lines()]
        return found

    def exported(self) -> Rows:
        """Return what an export writes: the selection if it is more than one row, else all that is
        shown."""
        chosen = self.selected()
        return chosen if len(chosen) > 1 else self.model.rows

    @Slot()
    def export(self) -> None:
        """Have rows written into a file."""
        self.export_wanted.emit(self.exported())

    @Slot()
    def open_row(self) -> None:
        """Have the current row shown in the credit view."""
        if (row := self.current_row()) >= 0:
            self.explorer.read_row(row, wanted=True)

    def go_wrong(self, by: int, shown: bool) -> None:
        """Make the next most wrong row the current one, or the one before (``by`` −1); the most
        wrong of all where none has been chosen.

        ``shown``: show it in the credit view.
        """
        table, found = self.explorer.table, self.answer
        if table is None or found is None:
            return
        order = most_wrong(table, found.shown, found.question.beta)
        if not len(order):
            return
        here = (order == self.current_row()).nonzero()[0]
        place = int(here[0]) + by if len(here) and self._walked else 0
        place = min(max(place, 0), len(order) - 1)
        self._make_current(self.model.place_of(int(order[place])))
        if shown:
            self.open_row()

    @Slot(int)
    def _choose_row(self, row: int) -> None:
        """Make a row of the file the current one; let go of a stretch that leaves it out."""
        place = self.model.place_of(row)
        if place >= 0:
            self._make_current(place)
        else:
            self._wanted_row = row
            self._choose_bands(())

    def _make_current(self, line: int) -> None:
        index = self.model.index(line, 0)
        self.rows.selectionModel().setCurrentIndex(
            index,
            QItemSelectionModel.SelectionFlag.ClearAndSelect
            | QItemSelectionModel.SelectionFlag.Rows,
        )
        self.rows.scrollTo(index)

    @Slot(QModelIndex, QModelIndex)
    def _row_changed(self, now: QModelIndex, before: QModelIndex) -> None:
        if now.isValid():
            self._walked = True
            self.explorer.read_row(self.current_row())

    @Slot()
    def _selection_changed(self) -> None:
        many = len(self.rows.lines())
        count = many if many > 1 else len(self.model.rows)
        rows = f"{count:,} selected row" if many > 1 else f"{count:,} row"
        self.export_button.setText(f"Export {rows}{'s' if count != 1 else ''}…")
        self.export_button.setEnabled(count > 0)
        self.changed.emit()

    @Slot()
    def focus_rows(self) -> None:
        """Give the keys to the table, or to what opens a file while there is none."""
        if self.explorer.table is None:
            self.empty.open_button.setFocus()
        else:
            self.rows.setFocus()

    # --- looks and memory ---------------------------------------------------------------------

    @Slot(bool)
    def set_dark(self, dark: bool) -> None:
        """Show light or dark colours."""
        self.model.set_dark(dark)
        self.texts.set_dark(dark)
        for chart in (self.histogram, self.scatter, self.calibration):
            chart.set_dark(dark)
        self._draw()

    def _splitters(self) -> dict[str, QSplitter]:
        return {"data_columns": self.columns, "data_left": self.left, "data_right": self.right}

    def recall(self, settings: Settings) -> None:
        """Share rooms as they were left."""
        settings.recall_splitters(**self._splitters())

    def remember(self, settings: Settings) -> None:
        """Remember how rooms are shared."""
        settings.remember_splitters(**self._splitters())


def _places(question: Question) -> tuple[object, ...]:
    """Return what of a question says which rows are shown where."""
    return question.text, question.bands, question.by, question.descending


def _card(inside: QWidget) -> QFrame:
    """Return a card around a part."""
    card = QFrame()
    card.setObjectName("card")
    fill(QVBoxLayout(card), inside, margins=(1, 1, 1, 1))
    return card
