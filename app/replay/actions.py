"""A run's checkpoints, as the window offers them: opening, walking, playing, replaying, the map.

Says which step's policy is shown. Makes the heat map that stands in the training view. Knows the
strip and what drives it; knows nothing of scores or of the engine's answers.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

from app.actions.action import Menu, action
from app.ask import AskPath
from app.credit.view import CreditView
from app.engine_client import EngineClient
from app.notices import NoticeBar, Topic
from app.replay.scrubbing import Scrubbing
from app.replay.strip import CheckpointStrip
from app.settings import Settings
from core.engine.protocol import PairInfo, PairSpec

if TYPE_CHECKING:
    from app.curves.view import TrainingView
    from app.replay.heat_panel import HeatPanel

WALK = "Of the loaded run; in A or B the keys walk tokens"


class CheckpointActions(QObject):
    """The checkpoints of the pair that is loaded."""

    pair_wanted = Signal(object)
    """A PairSpec: the user wants these checkpoints in place of the pair that is there."""
    named = Signal(str)
    """What to call the policy at the step that is shown."""
    checkpoint_shown = Signal(str)
    """The path of the checkpoint that is the policy now."""

    def __init__(
        self,
        client: EngineClient,
        credit: CreditView,
        strip: CheckpointStrip,
        settings: Settings,
        notice: NoticeBar,
        ask: AskPath,
    ) -> None:
        super().__init__(strip)
        self._client, self._credit, self._strip = client, credit, strip
        self._settings, self._ask = settings, ask
        self._problems = Topic(notice, "training")
        self._pair: PairInfo | None = None
        self.heat: HeatPanel | None = None
        """Under the charts of the training view; made with it."""
        self._training: TrainingView | None = None
        self.scrubbing = Scrubbing(client, credit, strip)
        self.scrubbing.shown.connect(self._step_shown)
        self.scrubbing.problem.connect(Topic(notice, "scrub").show_error)
        self.scrubbing.recall(settings)

    def set_pair(self, info: PairInfo | None) -> None:
        """Take another pair, whose last checkpoint is shown first, or none."""
        self._pair = info
        if info is not None:
            self.scrubbing.begin(info)

    @action(
        Menu.FILE.at(1, 4),
        "Open a run's chec&kpoints…",
        "Ctrl+Shift+O",
        "Choose a training run's folder, to see how credit emerges in it",
    )
    @Slot()
    def open_checkpoints(self) -> None:
        """Ask for a training run's folder, and want its checkpoints as a pair."""
        if folder := self._ask.folder("Open a run's checkpoints"):
            self.pair_wanted.emit(PairSpec(run=folder))

    @action(Menu.TRAINING.at(2, 1), "&Play the checkpoints", "F5", "One after another; again stops")
    def play_checkpoints(self) -> None:
        """Play one checkpoint after another, or stop that."""
        self.scrubbing.play_or_stop()

    @action(Menu.TRAINING.at(2, 2), "&Previous checkpoint", "Alt+Left", WALK)
    def previous_checkpoint(self) -> None:
        """Show the checkpoint before the one that is wanted."""
        self._strip.go_back()

    @action(Menu.TRAINING.at(2, 3), "&Next checkpoint", "Alt+Right", WALK)
    def next_checkpoint(self) -> None:
        """Show the checkpoint after the one that is wanted."""
        self._strip.go_forward()

    @action(Menu.TRAINING.at(2, 4), "&First checkpoint", "Alt+Home", "The start of the training")
    def first_checkpoint(self) -> None:
        """Show the start of the training."""
        self._strip.go_to(0)

    @action(Menu.TRAINING.at(2, 5), "&Last checkpoint", "Alt+End", "The end of the training")
    def last_checkpoint(self) -> None:
        """Show the end of the training."""
        self._strip.go_to(self._strip.axis.maximum())

    @action(
        Menu.TRAINING.at(3, 1),
        "&Replay all checkpoints",
        tip="Compute those not known for the texts on the screen; again stops",
    )
    def replay_checkpoints(self) -> None:
        """Compute the checkpoints that are not known, or stop that."""
        self.scrubbing.replay_or_stop()

    def remember(self, settings: Settings) -> None:
        """Remember what was chosen; nothing happens by itself any more."""
        self.scrubbing.remember(settings)
        if self.heat is not None:
            self.heat.remember(settings)

    @Slot(int)
    def _step_shown(self, step: int) -> None:
        if self._pair is not None:
            paths = {checkpoint.step: checkpoint.path for checkpoint in self._pair.checkpoints}
            self.named.emit(policy_at(self._pair, step))
            self.checkpoint_shown.emit(paths[step])
        if self._training is not None:
            self._training.set_step(step)

    # --- in the training view -----------------------------------------------------------------

    def join(self, training: "TrainingView") -> None:
        """Put the heat map under the charts, and let both show and choose the same step."""
        from app.replay.heat_panel import HeatPanel

        self._training = training
        self.heat = heat = HeatPanel(self._credit, self._ask.new_file)
        training.add_below(heat)
        heat.step_wanted.connect(self.scrubbing.show_checkpoint)
        heat.run_wanted.connect(self._open_run)
        training.load_wanted.connect(self._open_run)
        heat.problem.connect(self._problems.show_error)
        training.step_wanted.connect(self.scrubbing.scrub_to_step)
        training.runs_changed.connect(self._offer_runs)
        self._client.pair_let_go.connect(self._unmark_step)
        heat.recall(self._settings)
        if self.scrubbing.checkpoints:
            training.set_step(self.scrubbing.checkpoints[self._credit.by_checkpoint.shown].step)
        self._offer_runs()

    @Slot()
    def _offer_runs(self) -> None:
        """Offer the runs of the training view that have checkpoints to be loaded."""
        runs = self._training.session.visible() if self._training is not None else []
        folders = [Path(run.log.checkpoints[-1].path).parent for run in runs if run.log.checkpoints]
        if self.heat is not None:
            self.heat.offer(list(dict.fromkeys(folders)))

    @Slot(object)
    def _open_run(self, folder: Path | None) -> None:
        """Want the checkpoints of a run whose curves are there, or ask which."""
        if folder is not None:
            self.pair_wanted.emit(PairSpec(run=str(folder)))
        else:
            self.open_checkpoints()

    @Slot()
    def _unmark_step(self) -> None:
        if self._training is not None:
            self._training.set_step(None)


def policy_at(info: PairInfo, step: int) -> str:
    """Return the policy's name at a step of its run; the pair's own names the last checkpoint."""
    paths = {checkpoint.step: checkpoint.path for checkpoint in info.checkpoints}
    last, here = Path(info.checkpoints[-1].path).name, Path(paths[step]).name
    return f"step {step} · {info.policy.replace(last, here)}"
