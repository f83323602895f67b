"""The charts with the bar above them: which are shown, how smooth, on what axis, and export.

Draws the visible runs of a session, with what their curves say. Importing this module imports
pyqtgraph. Knows records of runs; knows nothing of files or of who shows the step.
"""

import json
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QToolButton, QVBoxLayout, QWidget

from app.curves.charts import CHARTS, Floats, as_csv, curves, kind_of, other_curves
from app.curves.export import ChooseNew, ExportButton
from app.curves.grid import ChartGrid
from app.curves.lines import CurveLine
from app.curves.note import RunNote
from app.curves.session import OpenRun, Session
from app.curves.smoothing import smooth
from app.settings import Settings
from app.widgets.boxes import Slider
from app.widgets.layouts import as_tip
from app.widgets.tool_button import make_reachable
from core.runs.explain import Explanation, explain
from core.runs.records import RunLog

SMOOTHEST = 0.99
TICKS = 100
USUAL_SMOOTHING = 0
REDRAW_MS = 25
NOTHING = "Nothing to draw: tick a run that has logged something, or choose more charts."


class ChartsPanel(QWidget):
    """All charts of a session's visible runs."""

    redrawn = Signal()
    """``lines`` are new."""
    problem = Signal(str)

    def __init__(
        self, session: Session, step_numbers: Callable[[], str], choose_new_file: ChooseNew
    ) -> None:
        """``step_numbers`` returns the numbers at the step that is looked at, for export."""
        super().__init__()
        self._session = session
        self.lines: dict[str, list[CurveLine]] = {}
        """What is drawn, by the key of the chart."""
        self._smoothed: dict[tuple[str, str], tuple[Floats, float, Floats]] = {}
        self._explained: dict[str, tuple[RunLog, float | None, Explanation | None]] = {}
        self.charts_button = QToolButton()
        self.toggles: dict[str, QAction] = {}
        self.others_menu = QMenu("&Other curves", self)
        self._others: set[str] = set()
        """The names of curves that have a chart only because the user wants one."""
        self.smoothing = Slider(Qt.Orientation.Horizontal)
        self.smoothing_label = QLabel()
        self.log_x = QToolButton()
        self.fit_button = QToolButton()
        self.grid = ChartGrid()
        self.export_button = ExportButton(self.grid.rows, self.csv, step_numbers, choose_new_file)
        self.nothing = QLabel(NOTHING)
        self._redraw_soon = QTimer(self)
        self._redraw_soon.setSingleShot(True)
        self._redraw_soon.setInterval(REDRAW_MS)
        self._dress_widgets()
        self._lay_out()
        self._redraw_soon.timeout.connect(self.redraw)
        for action in self.toggles.values():
            action.toggled.connect(self.redraw)
        self.others_menu.aboutToShow.connect(self._fill_others)
        self.others_menu.triggered.connect(self._other_chosen)
        self.smoothing.valueChanged.connect(self._smoothing_chosen)
        self.log_x.toggled.connect(self.redraw)
        self.grid.log_changed.connect(self.redraw)
        self.fit_button.clicked.connect(self.grid.fit)
        self.export_button.problem.connect(self.problem)
        self._show_weight()

    def _dress_widgets(self) -> None:
        self.charts_button.setText("Charts ")
        self.charts_button.setToolTip("Which charts are shown")
        charts = QMenu(self)
        charts.setToolTipsVisible(True)
        for kind in CHARTS:
            action = charts.addAction(kind.title)
            action.setCheckable(True)
            action.setChecked(True)
            action.setToolTip(as_tip(kind.tip))
            self.toggles[kind.key] = action
        charts.addSeparator()
        charts.addMenu(self.others_menu)
        self.charts_button.setMenu(charts)
        self.smoothing.setRange(0, TICKS)
        self.smoothing.setPageStep(TICKS // 10)
        self.smoothing.setMinimumWidth(70)
        self.smoothing.setMaximumWidth(160)
        self.smoothing.setAccessibleName("Smoothing")
        self.smoothing.setToolTip(
            "A debiased exponential moving average; what was logged stays visible behind it"
        )
        self.smoothing_label.setMinimumWidth(34)
        self.log_x.setText("log steps")
        self.log_x.setCheckable(True)
        self.log_x.setToolTip("A logarithmic axis of steps, to look at the beginning")
        self.fit_button.setText("Fit")
        self.fit_button.setToolTip("Show all steps and values (0); the wheel zooms, dragging moves")
        for button in (self.charts_button, self.log_x, self.fit_button, self.export_button):
            make_reachable(button)
        self.nothing.setObjectName("muted")
        self.nothing.setContentsMargins(8, 8, 8, 8)

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(5)
        label = QLabel("&Smoothing")
        label.setBuddy(self.smoothing)
        bar.addWidget(self.charts_button)
        bar.addSpacing(6)
        bar.addWidget(label)
        bar.addWidget(self.smoothing, 1)
        bar.addWidget(self.smoothing_label)
        bar.addStretch(1)
        for widget in (self.log_x, self.fit_button, self.export_button):
            bar.addWidget(widget)
        stack = QVBoxLayout(self)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(5)
        stack.addLayout(bar)
        stack.addWidget(self.nothing)
        stack.addWidget(self.grid, 1)

    # --- drawing ------------------------------------------------------------------------------

    @Slot()
    def redraw(self) -> None:
        """Give the charts all curves of the visible runs."""
        shown = [kind for kind in CHARTS if self.toggles[kind.key].isChecked()]
        shown += [kind_of(name) for name in sorted(self._others)]
        runs = self._session.visible()
        self.lines = {
            kind.key: [
                CurveLine(run.name, run.hue, curve, self._smooth(run.key, curve.name, curve.values))
                for run in runs
                for curve in curves(kind, run.log, run.known_beta())
            ]
            for kind in shown
        }
        self.grid.show_lines(self.lines, self.log_x.isChecked())
        self.nothing.setVisible(not any(self.lines.values()))
        said = [(run, self._explain(run)) for run in runs]
        self.grid.show_notes(
            [RunNote(run.name, run.hue, found) for run, found in said if found is not None]
        )
        self.redrawn.emit()

    def _explain(self, run: OpenRun) -> Explanation | None:
        """Return what there is to say of a run; cached while its log and beta stay."""
        cached = self._explained.get(run.key)
        if cached is None or cached[0] is not run.log or cached[1] != run.known_beta():
            cached = run.log, run.known_beta(), explain(run.log, run.known_beta())
            self._explained[run.key] = cached
        return cached[2]

    def _smooth(self, run: str, name: str, values: Floats) -> Floats:
        """Return smoothed values of what the training logged; cached while they and the weight
        stay."""
        weight = self.weight()
        if not weight or "heldout/" in name or "eval/" in name:
            return values
        cached = self._smoothed.get((run, name))
        if cached is None or cached[0] is not values or cached[1] != weight:
            cached = values, weight, smooth(values, weight)
            self._smoothed[run, name] = cached
        return cached[2]

    def csv(self) -> str:
        """Return all logged values of the curves that are shown."""
        runs = [(run.log, run.known_beta()) for run in self._session.visible()]
        return as_csv(runs, [kind_of(key) for key in self.lines])

    @Slot()
    def _fill_others(self) -> None:
        """List what the visible runs have logged besides."""
        self.others_menu.clear()
        for name in other_curves(run.log for run in self._session.visible()):
            action = self.others_menu.addAction(name.replace("&", "&&"))
            action.setData(name)
            action.setCheckable(True)
            action.setChecked(name in self._others)
        if self.others_menu.isEmpty():
            self.others_menu.addAction("None were logged").setEnabled(False)

    @Slot(QAction)
    def _other_chosen(self, action: QAction) -> None:
        self._others ^= {action.data()}
        self.redraw()

    def stop(self) -> None:
        """Draw nothing anew by itself any more."""
        self._redraw_soon.stop()

    # --- smoothing ----------------------------------------------------------------------------

    def weight(self) -> float:
        """Return the weight of the moving average; 0 for none. Finer where it smooths more."""
        share = self.smoothing.value() / TICKS
        return SMOOTHEST * (1 - (1 - share) ** 2)

    @Slot()
    def _smoothing_chosen(self) -> None:
        self._show_weight()
        if not self._redraw_soon.isActive():
            self._redraw_soon.start()

    def _show_weight(self) -> None:
        weight = self.weight()
        self.smoothing_label.setText(f"{weight:.2f}" if weight else "off")

    # --- what is remembered -------------------------------------------------------------------

    def remember(self, settings: Settings) -> None:
        """Remember which charts are shown, and how."""
        settings.put("training smoothing", str(self.smoothing.value()))
        hidden = [key for key, action in self.toggles.items() if not action.isChecked()]
        settings.put("training hidden", " ".join(hidden))
        settings.put("training others", json.dumps(sorted(self._others)))
        settings.put("training log x", str(int(self.log_x.isChecked())))
        settings.put("training log y", " ".join(sorted(self.grid.log_y())))

    def recall(self, settings: Settings) -> None:
        """Show the charts as they were left."""
        self.smoothing.setValue(
            round(settings.number("training smoothing", USUAL_SMOOTHING, 0, TICKS))
        )
        for key in settings.get("training hidden", "").split():
            if key in self.toggles:
                self.toggles[key].setChecked(False)
        self._others = settings.record("training others", set[str], set())
        kept = settings.get("training log y", "").split()
        self.grid.set_log_y(frozenset(kept) & set(self.toggles))
        self.log_x.setChecked(settings.get("training log x", "0") == "1")
