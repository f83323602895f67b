"""What the window does about training runs: the training view as a third page, and its menu.

The part of MainWindow that makes the training view when it is first wanted and opens runs in it.
Knows the view's signals; knows nothing of logs or files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QFileDialog

from app.gentle_import import import_then
from app.search_commands import TRAINING, SearchCommands

if TYPE_CHECKING:
    from app.curves.view import TrainingView

RUN_FILES = "Logs (*.json *.jsonl *.csv *.tsv *tfevents*);;All files (*)"


class TrainingCommands(SearchCommands):
    """The base of WindowCommands; MainWindow sets these attributes and those of SearchCommands."""

    training: "TrainingView | None" = None
    """Made when it is first wanted."""
    first_runs: tuple[Path, ...] = ()
    """To be opened once the window shows."""
    _runs_wanted: tuple[Path, ...] = ()

    def choose_folder(self, title: str) -> str:
        """Ask for a folder; "" for none."""
        return QFileDialog.getExistingDirectory(self, title)

    def choose_file(self, title: str, filters: str) -> str:
        """Ask which file to read; "" for none."""
        return QFileDialog.getOpenFileName(self, title, "", filters)[0]

    def choose_new_file(self, title: str, name: str, filters: str) -> str:
        """Ask where to save; "" for nowhere."""
        return QFileDialog.getSaveFileName(self, title, name, filters)[0]

    # --- the view ---------------------------------------------------------------------------

    @Slot(int)
    def _tab_chosen(self, index: int) -> None:
        if index == TRAINING:
            self._bring_training()
        else:
            super()._tab_chosen(index)

    @Slot()
    def show_training(self) -> None:
        self.show_page(TRAINING)

    @Slot()
    def _bring_training(self) -> None:
        """Show the training view; the charts' library is imported first, the window alive."""
        if self.training is None:
            import_then("pyqtgraph", self._make_training)
        elif self.tabs.currentIndex() == TRAINING:
            self.pages.setCurrentWidget(self.training)
            self.training.open_button.setFocus()

    def _make_training(self) -> None:
        if self.training is None:
            from app.curves.view import TrainingView

            self.training = view = TrainingView(self._new_file)
            self.pages.addWidget(view)
            view.problem.connect(self._training_problem)
            view.remark.connect(self._training_remark)
            view.folder_wanted.connect(self.open_run)
            view.file_wanted.connect(self.open_run_file)
            view.set_dark(self.view.scale.dark)
            view.recall(self.settings)
            view.open(self._runs_wanted)
            self._runs_wanted = ()
        self._bring_training()

    def _new_file(self, title: str, name: str, filters: str) -> str:
        return self.choose_new_file(title, name, filters)

    # --- runs -------------------------------------------------------------------------------

    def open_runs(self, paths: Sequence[str | Path]) -> None:
        """Open runs' folders or logs in the training view, and show it."""
        found = tuple(map(Path, paths))
        if self.training is None:
            self._runs_wanted += found
        else:
            self.training.open(found)
        self.show_training()

    @Slot()
    def open_run(self) -> None:
        """Ask for a run's folder and open it."""
        if path := self.choose_folder("Open a training run's folder"):
            self.open_runs([path])

    @Slot()
    def open_run_file(self) -> None:
        """Ask for a log and open it."""
        if path := self.choose_file("Open a training log", RUN_FILES):
            self.open_runs([path])

    def take_drop(self, paths: list[str]) -> bool:
        """Open what was dropped as runs, if the training view is in front."""
        if self.tabs.currentIndex() != TRAINING:
            return False
        self.open_runs(paths)
        return True

    def close_training(self) -> None:
        """Remember what is open, and follow it no more."""
        if self.training is not None:
            self.training.remember(self.settings)
            self.training.close_runs()

    @Slot(str)
    def _training_problem(self, sentence: str) -> None:
        self.notice.show_notice("error", sentence, topic="training")

    @Slot(str)
    def _training_remark(self, sentence: str) -> None:
        self.notice.show_notice("info", sentence, topic="training runs")
