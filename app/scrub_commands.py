"""What the window does about a run's checkpoints: opening, scrubbing, playing, replaying them.

The part of MainWindow that owns the strip, and that puts the heat map under the training view's
charts. Knows the strip and what drives it; knows nothing of scores or of the engine.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot

from app.replay.scrubbing import Scrubbing
from app.replay.strip import CheckpointStrip
from app.status import Status
from app.training_commands import TrainingCommands
from core.engine.protocol import PairInfo, PairSpec

if TYPE_CHECKING:
    from app.curves.view import TrainingView
    from app.replay.heat_panel import HeatPanel


class ScrubCommands(TrainingCommands):
    """The base of WindowCommands; MainWindow sets these attributes."""

    pair_wanted = Signal(object)
    """A PairSpec was asked for, in place of the pair that is there."""

    strip: CheckpointStrip
    scrubbing: Scrubbing
    status: Status
    heat: "HeatPanel | None" = None
    """Under the charts of the training view; made with it."""

    def _make_scrubbing(self) -> None:
        """Made once the window's own slots are connected, which go before those of scrubbing."""
        self.scrubbing = Scrubbing(self.bridge, self.view, self.strip, self)
        self.scrubbing.shown.connect(self._step_shown)
        self.scrubbing.problem.connect(self._scrub_problem)

    @Slot()
    def open_checkpoints(self) -> None:
        """Ask for a training run's folder, and load its checkpoints as a pair."""
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

    # --- the training view --------------------------------------------------------------------

    def _make_training(self) -> None:
        made = self.training is None
        super()._make_training()
        if made and self.training is not None:
            self._add_heat_map(self.training)

    def _add_heat_map(self, training: "TrainingView") -> None:
        """Put the heat map under the charts, whose steps are those of the strip."""
        from app.replay.heat_panel import HeatPanel

        self.heat = heat = HeatPanel(self.view, self._new_file)
        layout = training.below.layout()
        if layout is not None:
            layout.addWidget(heat)
        heat.step_wanted.connect(self.scrubbing.show_checkpoint)
        heat.run_wanted.connect(self._open_offered)
        heat.problem.connect(self._training_problem)
        training.step_wanted.connect(self.scrubbing.scrub_to_step)
        training.runs_changed.connect(self._offer_run)
        self.bridge.pair_let_go.connect(self._no_step)
        heat.recall(self.settings)
        if self.scrubbing.checkpoints:
            training.set_step(self.scrubbing.checkpoints[self.view.film.shown].step)
        self._offer_run()

    def _offered(self) -> Path | None:
        """The folder of the first run in the training view that has checkpoints."""
        runs = self.training.session.visible() if self.training is not None else []
        folders = [Path(run.log.checkpoints[-1].path).parent for run in runs if run.log.checkpoints]
        return folders[0] if folders else None

    @Slot()
    def _offer_run(self) -> None:
        folder = self._offered()
        if self.heat is not None:
            self.heat.offer(folder.name if folder is not None else "")

    @Slot()
    def _open_offered(self) -> None:
        """Load the checkpoints of a run whose curves are there, or ask which."""
        folder = self._offered()
        if folder is not None:
            self.pair_wanted.emit(PairSpec(run=str(folder)))
        else:
            self.open_checkpoints()

    @Slot()
    def _no_step(self) -> None:
        if self.training is not None:
            self.training.set_step(None)

    def close_training(self) -> None:
        """Remember what was chosen; nothing happens by itself any more."""
        super().close_training()
        self.scrubbing.remember(self.settings)
        if self.heat is not None:
            self.heat.remember(self.settings)

    # --- what is said -------------------------------------------------------------------------

    @Slot(int)
    def _step_shown(self, step: int) -> None:
        """Say everywhere which step's policy the numbers are of."""
        if self.info is not None:
            name = policy_at(self.info, step)
            self.status.show_policy(name, self.info)
            self.setWindowTitle(f"{name} — Qscope")
            if self.search is not None:
                paths = {it.step: it.path for it in self.info.checkpoints}
                self.search.set_checkpoint(paths[step])
        if self.training is not None:
            self.training.set_step(step)

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
