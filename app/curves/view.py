"""The training view: runs over steps, what their curves say, and the step that is looked at.

Makes the parts, puts them in place and says what follows from what. Importing this module imports
pyqtgraph. Knows records of runs and where they lie; knows nothing of formats, models, or of who
shows the step.
"""

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app.curves.charts_panel import ChartsPanel
from app.curves.export import ChooseNew
from app.curves.readout import Readout
from app.curves.run_follower import MakeWatcher, real_watcher
from app.curves.run_opener import RunOpener
from app.curves.runs_panel import DEMO_TIP, RunsPanel
from app.curves.session import Session
from app.settings import Settings

DEMO = Path(__file__).parents[2] / "resources" / "demo" / "training"
DEMO_RUNS = DEMO / "with-sft", DEMO / "without-sft"
EMPTY = (
    "<h3>No run is open</h3><p>Open a DPO run to see its rewards, margin, accuracy, loss and KL "
    "over steps, and what they mean: the folder of a TRL run (<code>trainer_state.json</code>, "
    "<code>checkpoint-…</code>), TensorBoard event files, a CSV or JSON Lines log, a table "
    "exported from Weights &amp; Biases, what a trainer printed.</p><p>Or drop folders and files "
    "here. Several runs lie over each other; a run that is being written is followed.</p>"
)


class EmptyPage(QWidget):
    """What can be opened, while no run is."""

    def __init__(self) -> None:
        super().__init__()
        self.text = QLabel(EMPTY)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.RichText)
        self.text.setMaximumWidth(560)
        self.folder_button = QPushButton("Open a run's folder…")
        self.file_button = QPushButton("Open a log file…")
        self.demo_button = QPushButton("Open the demo's runs")
        self.demo_button.setToolTip(DEMO_TIP)
        buttons = QHBoxLayout()
        for button in (self.folder_button, self.file_button, self.demo_button):
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QVBoxLayout()
        column.addStretch(1)
        column.addWidget(self.text)
        column.addSpacing(6)
        column.addLayout(buttons)
        column.addStretch(2)
        row = QHBoxLayout(self)
        row.addStretch(1)
        row.addLayout(column, 8)
        row.addStretch(1)


class TrainingView(QWidget):
    """Charts of training runs."""

    step_wanted = Signal(int)
    """The user asked for a step, by a click or a drag along the axis."""
    start_wanted = Signal()
    folder_wanted = Signal()
    """Ask for a run's folder, and for a log file."""
    file_wanted = Signal()
    problem = Signal(str)
    """Something could not be done: one sentence; "" once that is over."""
    remark = Signal(str)
    """Something to know that is no fault."""
    load_wanted = Signal(object)
    """The folder of a run whose checkpoints are to be loaded as the pair."""
    runs_changed = Signal()
    """Other runs are open or shown, or they have grown."""

    def __init__(
        self,
        choose_new_file: ChooseNew,
        make_watcher: MakeWatcher = real_watcher,
        demo_runs: Sequence[Path] = DEMO_RUNS,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._dark = False
        self._step: int | None = None
        self._crossed: int | None = None
        self.demo_runs = tuple(demo_runs)
        self.session = Session()
        self._opener = RunOpener(self.session, make_watcher, self)
        self.runs = RunsPanel(self._opener)
        self.readout = Readout()
        self.charts = ChartsPanel(self.session, self.readout.as_text, choose_new_file)
        self.empty = EmptyPage()
        self._below = QWidget()
        self._lay_out()
        self._connect()
        self._show_runs()

    def _lay_out(self) -> None:
        values_card = QFrame()
        values_card.setObjectName("card")
        inside = QVBoxLayout(values_card)
        inside.setContentsMargins(1, 1, 1, 1)
        inside.addWidget(self.readout)
        self._left = QSplitter(Qt.Orientation.Vertical)
        self._left.addWidget(self.runs)
        self._left.addWidget(values_card)
        self._left.setSizes([260, 460])
        self._left.setMinimumWidth(200)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.empty)
        self._pages.addWidget(self.charts)
        QVBoxLayout(self._below).setContentsMargins(0, 0, 0, 0)
        right = QSplitter(Qt.Orientation.Vertical)
        right.addWidget(self._pages)
        right.addWidget(self._below)
        right.setStretchFactor(0, 1)
        right.setCollapsible(0, False)
        self._columns = QSplitter(Qt.Orientation.Horizontal)
        self._columns.addWidget(self._left)
        self._columns.addWidget(right)
        self._columns.setSizes([300, 1100])
        self._columns.setStretchFactor(1, 1)
        self._columns.setChildrenCollapsible(False)
        for splitter in (self._left, right, self._columns):
            splitter.setHandleWidth(7)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._columns)

    def _connect(self) -> None:
        opener, runs, charts = self._opener, self.runs, self.charts
        opener.changed.connect(self._show_runs)
        opener.curves_changed.connect(charts.redraw)
        opener.live_changed.connect(self._show_list)
        opener.problem.connect(self.problem)
        opener.remark.connect(self.remark)
        runs.folder_wanted.connect(self.folder_wanted)
        runs.file_wanted.connect(self.file_wanted)
        runs.start_wanted.connect(self.start_wanted)
        runs.demo_wanted.connect(self.open_demo_runs)
        runs.list.load_wanted.connect(self._want_loaded)
        self.empty.folder_button.clicked.connect(self.folder_wanted)
        self.empty.file_button.clicked.connect(self.file_wanted)
        self.empty.demo_button.clicked.connect(self.open_demo_runs)
        charts.redrawn.connect(self._show_numbers)
        charts.problem.connect(self.problem)
        charts.grid.hovered.connect(self._hovered)
        charts.grid.step_wanted.connect(self.step_wanted)

    # --- opening and closing runs -------------------------------------------------------------

    def open(self, paths: Sequence[Path], begun: bool = False) -> None:
        """Open runs' folders or logs, and follow them. ``begun``: they have just begun, and may
        have no log yet."""
        self._opener.open(paths, begun)

    def mark_ended(self, path: Path) -> None:
        """Note that what was being trained at a path has ended: its log does not grow any more."""
        self._opener.mark_ended(path)

    @Slot(str)
    def _want_loaded(self, key: str) -> None:
        run = self.session.find(key)
        if run is not None and run.log.checkpoints:
            self.load_wanted.emit(Path(run.log.checkpoints[-1].path).parent)

    def is_reading(self) -> bool:
        """Return whether a run that was opened has not been read yet."""
        return self._opener.reading() is not None

    def has_demo_runs(self) -> bool:
        """Return whether the demo's runs lie on this disk."""
        return all((path / "trainer_state.json").is_file() for path in self.demo_runs)

    @Slot()
    def open_demo_runs(self) -> None:
        """Open the demo's runs."""
        self.open(self.demo_runs)

    def close_runs(self) -> None:
        """End the watcher and all timers; the view shows what it has."""
        self._opener.close()
        self.charts.stop()

    def offer_start(self) -> None:
        """Show the button that starts a run; hidden until something answers it."""
        self.runs.start_button.show()

    def add_below(self, widget: QWidget) -> None:
        """Put a widget under the charts, over their whole width: what shows one step."""
        layout = self._below.layout()
        if layout is not None:
            layout.addWidget(widget)

    # --- what is shown ------------------------------------------------------------------------

    @Slot()
    def _show_runs(self) -> None:
        self._show_list()
        self.runs.show_reading(self._opener.reading())
        there = self.has_demo_runs()
        open_already = all(self.session.of(path) for path in self.demo_runs)
        self.empty.demo_button.setVisible(there)
        self.runs.demo_button.setVisible(there and bool(self.session.runs) and not open_already)
        self._pages.setCurrentWidget(self.charts if self.session.runs else self.empty)
        self.runs_changed.emit()

    @Slot()
    def _show_list(self) -> None:
        """Show the rows of the runs, those that grow marked."""
        self.runs.list.show_runs(self.session.runs, self._opener.live(), self._dark)

    def set_step(self, step: int | None) -> None:
        """Mark the step that is shown elsewhere, in all charts; None for none."""
        self._step = step
        self.charts.grid.set_step(step)
        self._show_step()

    @Slot(object)
    def _hovered(self, step: int | None) -> None:
        self._crossed = step
        self.charts.grid.cross(step)
        self._show_step()

    @Slot()
    def _show_numbers(self) -> None:
        self.readout.show_lines(self.charts.lines)
        self._show_step()

    def _show_step(self) -> None:
        """Show numbers at the crosshair, else at the step that is marked, else the last ones."""
        self.readout.show_step(self._crossed if self._crossed is not None else self._step)

    # --- looks and memory ---------------------------------------------------------------------

    def minimumSizeHint(self) -> QSize:
        return QSize(560, 300)

    def set_dark(self, dark: bool) -> None:
        """Show light or dark colours."""
        self._dark = dark
        self.charts.grid.set_dark(dark)
        self.readout.set_dark(dark)
        self._show_list()

    def remember(self, settings: Settings) -> None:
        """Remember runs, looks and sizes for the next session."""
        self._opener.remember(settings)
        self.charts.remember(settings)
        settings.remember_splitters(training_columns=self._columns, training_left=self._left)

    def recall(self, settings: Settings) -> None:
        """Show looks and sizes as they were left; the runs are opened again."""
        self.charts.recall(settings)
        settings.recall_splitters(training_columns=self._columns, training_left=self._left)
        self._opener.recall(settings)
