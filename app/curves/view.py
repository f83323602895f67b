"""The training view: runs over steps, what their curves say, and the step that is looked at.

Follows the logs that are open and draws them anew as they grow. Importing this module imports
pyqtgraph. Knows records of runs and where they lie; knows nothing of formats, models, or of who
shows the step.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QWidget

from app.curves.arrangement import TICKS, TrainingArrangement
from app.curves.charts import BY_KEY, CHARTS, Floats, curves
from app.curves.export import ChooseNew, Export
from app.curves.lines import CurveLine
from app.curves.note import RunNote
from app.curves.run_follower import MakeWatcher, RunFollower, real_watcher
from app.curves.session import LIVE_SECONDS, OpenRun, Session
from app.curves.smoothing import smooth
from app.settings import Settings
from core.runs.explain import Explanation, explain
from core.runs.records import RunLog

DEMO = Path(__file__).parents[2] / "resources" / "demo" / "training"
DEMO_RUNS = DEMO / "with-sft", DEMO / "without-sft"
RECENT = 8
USUAL_SMOOTHING = 0
REDRAW_MS = 25
LIVE_LOOK_MS = 5000


class TrainingView(TrainingArrangement):
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
        self.session = Session()
        self.following = RunFollower(make_watcher, self)
        self.demo_runs = tuple(demo_runs)
        self.export = Export(self, choose_new_file)
        self._dark = False
        self._step: int | None = None
        self._crossed: int | None = None
        self.lines: dict[str, list[CurveLine]] = {}
        """What is drawn, by the key of the chart."""
        self._smoothed: dict[tuple[str, str], tuple[Floats, float, Floats]] = {}
        self._explained: dict[str, tuple[RunLog, float | None, Explanation | None]] = {}
        self._waiting: list[Path] = []
        self._begun: set[Path] = set()
        self._recalled: set[Path] = set()
        self._missing: list[Path] = []
        self._recent: list[str] = []
        self._redraw = QTimer(self)
        self._live_look = QTimer(self)
        for timer, rest in ((self._redraw, REDRAW_MS), (self._live_look, LIVE_LOOK_MS)):
            timer.setSingleShot(True)
            timer.setInterval(rest)
        self._connect()
        self._show_runs()
        self.show_weight()

    def _connect(self) -> None:
        self.following.read.connect(self._read)
        self.following.failed.connect(self._failed)
        self._redraw.timeout.connect(self.redraw)
        self._live_look.timeout.connect(self._show_live)
        self.open_menu.aboutToShow.connect(self._fill_open_menu)
        self.open_menu.triggered.connect(self._open_chosen)
        self.empty_open.clicked.connect(self.folder_wanted)
        self.empty_file.clicked.connect(self.file_wanted)
        self.demo_button.clicked.connect(self.open_demo_runs)
        self.empty_demo.clicked.connect(self.open_demo_runs)
        self.start_button.clicked.connect(self.start_wanted)
        self.runs.shown.connect(self._set_visible)
        self.runs.removed.connect(self.remove)
        self.runs.beta_chosen.connect(self._set_beta)
        for action in self.toggles.values():
            action.toggled.connect(self.redraw)
        self.smoothing.valueChanged.connect(self.show_weight)
        self.smoothing.valueChanged.connect(self._redraw_soon)
        self.log_x.toggled.connect(self.redraw)
        self.grid.log_changed.connect(self.redraw)
        self.fit_button.clicked.connect(self.grid.fit)
        self.export_button.menu().triggered.connect(self.export.chosen)
        self.grid.hovered.connect(self._hovered)
        self.grid.step_wanted.connect(self.step_wanted)

    # --- opening and closing runs -------------------------------------------------------------

    def open(self, paths: Sequence[Path], begun: bool = False) -> None:
        """Open runs' folders or logs, and follow them. ``begun``: they have just begun, and may
        have no log yet."""
        for path in paths:
            path = path.expanduser().absolute()
            if path in self._waiting:
                continue
            if self.session.of(path):
                if not self.session.bring_back(path):
                    continue
                self.following.forget(path)  # and read anew
            self._waiting.append(path)
            if begun:
                self._begun.add(path)
            self.following.watch(path)
        self._show_runs()

    def is_reading(self) -> bool:
        """Whether a run that was opened has not been read yet."""
        return bool(self._waiting)

    def has_demo_runs(self) -> bool:
        return all((path / "trainer_state.json").is_file() for path in self.demo_runs)

    @Slot()
    def open_demo_runs(self) -> None:
        self.open(self.demo_runs)

    @Slot(object)
    def _read(self, log: RunLog) -> None:
        source = log.path
        known = self.session.of(source)
        if source not in self._waiting and not known:
            return  # it was removed meanwhile
        self._arrived(source)
        if not known and source not in self._recalled:
            self._remember_recent(source)
        self.session.take(log, time.monotonic())
        self._show_runs()
        self.redraw()

    @Slot(object, str)
    def _failed(self, source: Path, sentence: str) -> None:
        if source in self._begun:
            return
        self._arrived(source)
        if known := self.session.of(source):
            for run in known:
                run.problem = sentence
        else:
            self.following.forget(source)
            if source in self._recalled:
                self._missing.append(source)
                self.remark.emit(missing_words(self._missing))
            else:
                self.problem.emit(sentence)
        self._show_runs()

    def _arrived(self, source: Path) -> None:
        self._begun.discard(source)
        if source in self._waiting:
            self._waiting.remove(source)

    @Slot(str)
    def remove(self, key: str) -> None:
        """Take a run out of the list; its path is followed no more once it has no other run."""
        run = self.session.find(key)
        if run is None:
            return
        if self.session.remove(run):
            self.following.forget(run.source)
        self._show_runs()
        self.redraw()

    def close_runs(self) -> None:
        """End the watcher and all timers; the view shows what it has."""
        self.following.close()
        self._redraw.stop()
        self._live_look.stop()

    # --- the list -----------------------------------------------------------------------------

    def _show_runs(self) -> None:
        live = self.session.live(time.monotonic())
        self.runs.show_runs(self.session.runs, live, self._dark)
        self.reading.setText(f"  Reading {self._waiting[0].name} …" if self._waiting else "")
        self.reading.setVisible(bool(self._waiting))
        there = self.has_demo_runs()
        open_already = all(self.session.of(path) for path in self.demo_runs)
        self.empty_demo.setVisible(there)
        self.demo_button.setVisible(there and bool(self.session.runs) and not open_already)
        self.show_empty(not self.session.runs)
        if live and not self._live_look.isActive():
            self._live_look.start()
        self.runs_changed.emit()

    @Slot()
    def _show_live(self) -> None:
        """Take away the marks of runs that have stopped growing."""
        live = self.session.live(time.monotonic())
        self.runs.show_runs(self.session.runs, live, self._dark)
        if live:
            self._live_look.start(min(LIVE_LOOK_MS, int(1000 * LIVE_SECONDS)))

    @Slot(str, bool)
    def _set_visible(self, key: str, on: bool) -> None:
        if (run := self.session.find(key)) is not None:
            run.visible = on
            self.redraw()
            self.runs_changed.emit()

    @Slot(str, float)
    def _set_beta(self, key: str, beta: float) -> None:
        if (run := self.session.find(key)) is not None:
            run.beta = beta or None
            self.redraw()

    # --- the charts ---------------------------------------------------------------------------

    @Slot()
    def _redraw_soon(self) -> None:
        if not self._redraw.isActive():
            self._redraw.start()

    @Slot()
    def redraw(self) -> None:
        """Give the charts all curves of the visible runs."""
        shown = [kind for kind in CHARTS if self.toggles[kind.key].isChecked()]
        self.lines = {
            kind.key: [
                CurveLine(run.name, run.hue, curve, self._smooth(run.key, curve.name, curve.values))
                for run in self.session.visible()
                for curve in curves(kind, run.log, run.known_beta())
            ]
            for kind in shown
        }
        self.grid.show_lines(self.lines, self.log_x.isChecked())
        self.nothing.setVisible(not any(self.lines.values()))
        self.readout.show_lines(self.lines)
        said = [(run, self._explain(run)) for run in self.session.visible()]
        self.grid.note.show_notes(
            [RunNote(run.name, run.hue, found) for run, found in said if found is not None]
        )
        self._show_step()

    def _explain(self, run: OpenRun) -> Explanation | None:
        """What there is to say of a run; kept while its log and beta stay."""
        kept = self._explained.get(run.key)
        if kept is None or kept[0] is not run.log or kept[1] != run.known_beta():
            kept = run.log, run.known_beta(), explain(run.log, run.known_beta())
            self._explained[run.key] = kept
        return kept[2]

    def _smooth(self, run: str, name: str, values: Floats) -> Floats:
        """Smoothed values of what the training logged; kept while they and the weight stay."""
        weight = self.weight()
        if not weight or "heldout/" in name or "eval/" in name:
            return values
        kept = self._smoothed.get((run, name))
        if kept is None or kept[0] is not values or kept[1] != weight:
            kept = values, weight, smooth(values, weight)
            self._smoothed[run, name] = kept
        return kept[2]

    # --- the step -----------------------------------------------------------------------------

    def set_step(self, step: int | None) -> None:
        """Mark the step that is shown elsewhere, in all charts; None for none."""
        self._step = step
        self.grid.set_step(step)
        self._show_step()

    @Slot(object)
    def _hovered(self, step: int | None) -> None:
        self._crossed = step
        self.grid.cross(step)
        self._show_step()

    def _show_step(self) -> None:
        """Numbers at the crosshair, else at the step that is marked, else the last ones."""
        self.readout.show_step(self._crossed if self._crossed is not None else self._step)

    # --- menus --------------------------------------------------------------------------------

    @Slot()
    def _fill_open_menu(self) -> None:
        menu = self.open_menu
        menu.clear()
        entries = [("A run's &folder…", "folder"), ("A &log file…", "file"), ("", "")]
        entries += [(Path(path).name or path, path) for path in self._recent]
        for text, data in entries:
            action = menu.addAction(text.replace("&&", "&")) if text else menu.addSeparator()
            action.setData(data)
            action.setToolTip(data)

    @Slot(QAction)
    def _open_chosen(self, action: QAction) -> None:
        chosen = str(action.data())
        if chosen == "folder":
            self.folder_wanted.emit()
        elif chosen == "file":
            self.file_wanted.emit()
        else:
            self.open([Path(chosen)])

    def _remember_recent(self, source: Path) -> None:
        others = [path for path in self._recent if path != str(source)]
        self._recent = [str(source), *others][:RECENT]

    # --- looks and memory ---------------------------------------------------------------------

    def set_dark(self, dark: bool) -> None:
        self._dark = dark
        self.grid.set_dark(dark)
        self.readout.set_dark(dark)
        self.runs.show_runs(self.session.runs, self.session.live(time.monotonic()), dark)

    def remember(self, settings: Settings) -> None:
        """Runs, looks and sizes, for the next time."""
        settings.put("training runs", self.session.remembered())
        settings.put("training recent", json.dumps(self._recent))
        settings.put("training smoothing", str(self.smoothing.value()))
        hidden = [key for key, action in self.toggles.items() if not action.isChecked()]
        settings.put("training hidden", " ".join(hidden))
        settings.put("training log x", str(int(self.log_x.isChecked())))
        settings.put("training log y", " ".join(sorted(self.grid.log_y())))
        settings.put_bytes("training columns", self.columns.saveState())
        settings.put_bytes("training left", self.left.saveState())

    def recall(self, settings: Settings) -> None:
        """As it was left; the runs are opened again."""
        value = settings.number("training smoothing", USUAL_SMOOTHING)
        self.smoothing.setValue(min(max(round(value), 0), TICKS))
        for key in settings.get("training hidden", "").split():
            if key in self.toggles:
                self.toggles[key].setChecked(False)
        self.grid.set_log_y(frozenset(settings.get("training log y", "").split()) & set(BY_KEY))
        self.log_x.setChecked(settings.get("training log x", "0") == "1")
        for name, splitter in (("training columns", self.columns), ("training left", self.left)):
            state = settings.bytes(name)
            if not state.isEmpty():
                splitter.restoreState(state)
        try:
            recent = json.loads(settings.get("training recent", "[]"))
            self._recent = [str(path) for path in recent][:RECENT]
        except (ValueError, TypeError):
            self._recent = []
        paths = self.session.recall(settings.get("training runs", "[]"))
        self._recalled = set(paths)
        self.open(paths)


def missing_words(paths: Sequence[Path]) -> str:
    """One sentence on runs of last time that are not there any more."""
    names = ", ".join(str(path) for path in paths)
    if len(paths) == 1:
        return f"A run of last time cannot be opened any more: {names}."
    return f"{len(paths)} runs of last time cannot be opened any more: {names}."
