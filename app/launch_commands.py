"""What the window does about starting training runs: the dialog, their rows, their curves.

The part of MainWindow that ties the runs in processes of their own (app.launch.launching) to the
training view, in which each is opened as soon as it has a log. Knows nothing of processes.
"""

from pathlib import Path

from PySide6.QtCore import Slot

from app.launch.launching import Launching
from app.scrub_commands import ScrubCommands


class LaunchCommands(ScrubCommands):
    """The base of WindowCommands; MainWindow sets these attributes and those of its bases."""

    launching: Launching

    def connect_launching(self) -> None:
        self.launching.problem.connect(self._launch_problem)
        self.launching.started.connect(self.show_training)
        self.launching.readable.connect(self._follow_curves)

    def _make_training(self) -> None:
        new = self.training is None
        super()._make_training()
        if new and self.training is not None:
            self.training.start_wanted.connect(self.start_training)
            self.training.offer_start()

    @Slot()
    def start_training(self) -> None:
        """Ask for a training run and start it in a process of its own."""
        self.launching.start()

    @Slot(object)
    def _follow_curves(self, run: Path) -> None:
        """Open a run beside what is shown; whoever looks at something else is not disturbed."""
        if self.training is None:
            self._runs_wanted += (run,)
        else:
            self.training.open((run,))

    @Slot(str)
    def _launch_problem(self, sentence: str) -> None:
        self.notice.show_notice("error", sentence, topic="training run")
