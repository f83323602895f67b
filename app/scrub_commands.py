"""What the window does about a run's checkpoints: opening a run, scrubbing, playing, replaying.

The part of MainWindow that owns the strip. Knows the strip and what drives it; knows nothing of
scores or of the engine.
"""

from pathlib import Path

from PySide6.QtCore import Signal, Slot

from app.status import Status
from app.training.scrubbing import Scrubbing
from app.training.strip import CheckpointStrip
from app.training_commands import TrainingCommands
from core.protocol import PairInfo, PairSpec


class ScrubCommands(TrainingCommands):
    """The base of WindowCommands; MainWindow sets these attributes."""

    pair_wanted = Signal(object)
    """A PairSpec was asked for, in place of the pair that is there."""

    strip: CheckpointStrip
    scrubbing: Scrubbing
    status: Status

    @Slot()
    def open_checkpoints(self) -> None:
        """Ask for a training run's folder and load its checkpoints."""
        folder = self.choose_folder("Open a run's checkpoints")
        if folder:
            self.pair_wanted.emit(PairSpec(run=folder))

    @Slot()
    def play_checkpoints(self) -> None:
        self.scrubbing.play_or_stop()

    @Slot()
    def previous_checkpoint(self) -> None:
        self.strip.go_back()

    @Slot()
    def next_checkpoint(self) -> None:
        self.strip.go_forward()

    @Slot()
    def first_checkpoint(self) -> None:
        self.strip.go_to(0)

    @Slot()
    def last_checkpoint(self) -> None:
        self.strip.go_to(self.strip.axis.maximum())

    @Slot()
    def replay_checkpoints(self) -> None:
        self.scrubbing.replay_or_stop()

    @Slot(int)
    def _step_shown(self, step: int) -> None:
        """Say everywhere which step's policy the numbers are of."""
        if self.info is not None:
            name = policy_at(self.info, step)
            self.status.show_policy(name, self.info)
            self.setWindowTitle(f"{name} — Qscope")

    @Slot(str)
    def _scrub_problem(self, sentence: str) -> None:
        if sentence:
            self.notice.show_notice("error", sentence, topic="scrub")
        else:
            self.notice.dismiss("scrub")


def policy_at(info: PairInfo, step: int) -> str:
    """The policy's name at a step of its run; the pair's own names the last checkpoint."""
    paths = {checkpoint.step: checkpoint.path for checkpoint in info.checkpoints}
    last, here = Path(info.checkpoints[-1].path).name, Path(paths[step]).name
    return f"step {step} · {info.policy.replace(last, here)}"
