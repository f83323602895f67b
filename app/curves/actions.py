"""Training runs, as the window offers them: the training view as a page, opening and starting runs.

Makes the training view when it is first wanted and opens runs in it. Knows the view's signals and
the runs in processes of their own; knows nothing of logs or processes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from app.actions.action import Menu, action
from app.ask import AskPath
from app.launch.launching import Launching
from app.look import Look
from app.notices import NoticeBar, Topic
from app.pages import Page, Pages
from app.settings import Settings

if TYPE_CHECKING:
    from app.curves.view import TrainingView

RUN_FILES = "Logs (*.json *.jsonl *.csv *.tsv *.log *.txt *.out *tfevents*);;All files (*)"


class RunActions(QObject):
    """The training runs of one window."""

    view_made = Signal(object)
    """The TrainingView is there from now on."""

    def __init__(
        self,
        launching: Launching,
        look: Look,
        settings: Settings,
        notice: NoticeBar,
        ask: AskPath,
        pages: Pages,
    ) -> None:
        super().__init__(pages)
        self._launching, self._look, self._settings = launching, look, settings
        self._ask, self._pages = ask, pages
        self._problems = Topic(notice, "training")
        self._remarks = Topic(notice, "training runs")
        self._launch_problems = Topic(notice, "training run")
        self._runs_wanted: tuple[Path, ...] = ()
        """To be opened as soon as the view is there."""
        self.view: TrainingView | None = None
        """Made when it is first wanted."""
        self.page = Page(
            "show_training",
            "&Training",
            "Ctrl+3",
            "Runs over steps, and what they mean",
            make=self._make,
            focus=self._focus,
            library="pyqtgraph",
        )
        launching.problem.connect(self._launch_problems.show_error)
        launching.started.connect(self._show_view)
        launching.readable.connect(self._follow_curves)
        launching.ended.connect(self._mark_ended)

    # --- the view -----------------------------------------------------------------------------

    def _make(self) -> QWidget:
        from app.curves.view import TrainingView

        self.view = view = TrainingView(self._ask.new_file)
        view.problem.connect(self._problems.show_error)
        view.remark.connect(self._remarks.show_remark)
        view.folder_wanted.connect(self.open_run)
        view.file_wanted.connect(self.open_run_file)
        view.start_wanted.connect(self.start_training)
        self._look.dark_changed.connect(view.set_dark)
        view.set_dark(self._look.dark)
        view.offer_start()
        view.recall(self._settings)
        view.open(self._runs_wanted)
        self._runs_wanted = ()
        self.view_made.emit(view)
        return view

    def _focus(self) -> None:
        if self.view is not None:
            self.view.runs.open_button.setFocus()

    @Slot()
    def _show_view(self) -> None:
        self._pages.bring(self.page)

    # --- runs ---------------------------------------------------------------------------------

    def open_runs(self, paths: Sequence[str | Path]) -> None:
        """Open runs' folders or logs in the training view, and show it."""
        self._open(tuple(map(Path, paths)))
        self._show_view()

    @Slot(object)
    def _follow_curves(self, run: Path) -> None:
        """Open a run beside what is shown; whoever looks at something else is not disturbed."""
        self._open((run,))

    @Slot(object)
    def _mark_ended(self, run: Path) -> None:
        if self.view is not None:
            self.view.mark_ended(run)

    def _open(self, paths: tuple[Path, ...]) -> None:
        if self.view is None:
            self._runs_wanted += paths
        else:
            self.view.open(paths)

    @action(
        Menu.FILE.at(1, 2),
        "Open training r&un…",
        "Ctrl+Shift+R",
        "A run's folder, to see its curves in the training view",
    )
    @Slot()
    def open_run(self) -> None:
        """Ask for a run's folder and open it."""
        if path := self._ask.folder("Open a training run's folder"):
            self.open_runs([path])

    @action(Menu.FILE.at(1, 3), "Open training &log…", tip="A log of a run, in any usual format")
    @Slot()
    def open_run_file(self) -> None:
        """Ask for a log and open it."""
        if path := self._ask.file("Open a training log", RUN_FILES):
            self.open_runs([path])

    @action(
        Menu.TRAINING.at(1, 1),
        "&Start a run…",
        "Ctrl+Shift+L",
        "SFT and DPO on your own preference pairs, in a process of its own",
    )
    @Slot()
    def start_training(self) -> None:
        """Ask for a training run and start it in a process of its own."""
        self._launching.start()

    def take_drop(self, paths: list[str]) -> bool:
        """Open what was dropped as runs and return True, if the training view is in front."""
        if not self._pages.is_wanted(self.page):
            return False
        self.open_runs(paths)
        return True

    def close(self) -> None:
        """Remember what is open, and follow it no more."""
        if self.view is not None:
            self.view.remember(self._settings)
            self.view.close_runs()
