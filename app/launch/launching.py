"""Training runs in processes of their own, as the window starts and follows them.

Opens the dialog that starts one, holds a row for each run that is followed, says when a run's log
can be drawn, and asks what shall become of a run when the window is closed. Each dialog that would
block is an attribute, so that tests can answer it. Knows nothing of charts.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QMessageBox, QVBoxLayout, QWidget

from app.settings import Settings, is_path
from core.errors import UserFacingError

if TYPE_CHECKING:  # imported with the first run, so that the window shows sooner
    from app.launch.run_row import RunRow

Answer = Literal["go on", "stop", "cancel"]
AskToTrain = Callable[[str, QWidget], tuple[Path | None, str]]
TYPED = "training form"
FOLLOWED = "followed runs"


class Launching(QWidget):
    """Rows of the runs that are followed, one below the other; hidden while there are none."""

    started = Signal(object)
    """A run's path: the user has just started it."""
    ended = Signal(object)
    """A run's path: nothing is being trained there any more."""
    readable = Signal(object)
    """A run's path: from now on there is something to draw."""
    problem = Signal(str)

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: dict[Path, RunRow] = {}
        self.ask_to_train: AskToTrain = ask_to_train
        self.ask_about_running: Callable[[int, QWidget], Answer] = ask_about_running
        self._settings = settings
        self._closed = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self.hide()

    @Slot()
    def start(self) -> None:
        """Ask for a job and start it."""
        run, typed = self.ask_to_train(self._settings.get(TYPED, ""), self.window())
        self._settings.put(TYPED, typed)
        if run is not None:
            self.follow(run)
            self.started.emit(run)

    def follow(self, run: Path) -> None:
        """Show where a run is, and say when it can be drawn."""
        from app.launch.run_row import RunRow

        if run not in self.rows:
            self.rows[run] = row = RunRow(run, self)
            row.readable.connect(self.readable)
            row.ended.connect(self.ended)
            row.closed.connect(self._forget)
            row.problem.connect(self.problem)
            self._column.addWidget(row)
            self._remember()
            self.show()
        self.rows[run].look()

    def find_again(self) -> None:
        """Follow what an earlier window followed, and every run that is being trained."""
        from core.training import process

        runs = self._settings.record(FOLLOWED, list[str], [])
        followed = [Path(run) for run in runs if is_path(run)]
        known = process.known_runs()
        for run in [run for run in known if run in followed] + process.running_runs():
            self.follow(run)

    def may_close(self) -> bool:
        """Ask what shall become of the runs that are being trained; False keeps the window open."""
        if self._closed:
            return True
        for row in self.rows.values():
            row.look()
        going = [run for run, row in self.rows.items() if row.state.running]
        if going:
            answer = self.ask_about_running(len(going), self.window())
            if answer == "cancel":
                return False
            if answer == "stop":
                from core.training import process

                for run in going:
                    try:
                        process.stop(run)
                    except UserFacingError as error:
                        self.problem.emit(str(error))
        self._closed = True
        for row in self.rows.values():
            row.pause()
        return True

    @Slot(object)
    def _forget(self, run: Path) -> None:
        self.rows.pop(run).deleteLater()
        self._remember()
        self.setVisible(bool(self.rows))

    def _remember(self) -> None:
        self._settings.put(FOLLOWED, json.dumps([str(run) for run in self.rows]))


def ask_to_train(typed: str, parent: QWidget) -> tuple[Path | None, str]:
    """Show the dialog; return the run that it started, if it did, and what was typed."""
    from app.launch.dialog import StartDialog
    from core.training import process

    dialog = StartDialog(process.start, process.runs_folder(), typed, parent=parent)
    dialog.exec()
    answer = dialog.run, dialog.typed()
    dialog.deleteLater()
    return answer


def ask_about_running(count: int, parent: QWidget) -> Answer:
    """Ask what shall become of runs when the window is closed."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Qscope")
    box.setText(
        "A training run is going on." if count == 1 else f"{count} training runs are going on."
    )
    box.setInformativeText(
        "Training does not need the window: it can go on, and the next window finds it. Or it "
        "saves a checkpoint now and ends; Resume continues from there."
    )
    role = QMessageBox.ButtonRole
    go_on = box.addButton("Let it go on" if count == 1 else "Let them go on", role.AcceptRole)
    stop = box.addButton("Save and stop", role.DestructiveRole)
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(go_on)
    box.setEscapeButton(cancel)
    box.exec()
    pressed = box.clickedButton()
    box.deleteLater()
    return "go on" if pressed is go_on else "stop" if pressed is stop else "cancel"
