"""The status line: which pair, where it runs, how noisy that is, and what the last update took."""

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtWidgets import QLabel, QStatusBar

from app.widgets.clipped import Clipped
from core.engine.protocol import Memory, PairInfo
from core.losses import TrainingLoss
from core.noise import NoiseFloor

EXAMPLE = 50
"""Tokens of a response, as which the tooltip says how noisy sums are."""


def size_text(count: int) -> str:
    """Return a number of bytes as people read it."""
    if count >= 1 << 30:
        return f"{count / (1 << 30):.1f} GB"
    return f"{count / (1 << 20):.0f} MB"


class Status(QObject):
    """Labels in a status bar."""

    float32_wanted = Signal()
    """The user wants the pair to be computed without the noise of a smaller format."""

    def __init__(self, bar: QStatusBar) -> None:
        super().__init__(bar)
        self.pair, self.machine, self.update = Clipped(), QLabel(), QLabel()
        self.noise = QLabel()
        bar.setSizeGripEnabled(False)
        for label, stretch in (
            (self.pair, 1),
            (self.machine, 0),
            (self.noise, 0),
            (self.update, 0),
        ):
            label.setObjectName("muted")
            label.setContentsMargins(6, 0, 6, 0)
            bar.addPermanentWidget(label, stretch)
        self.pair.setMinimumWidth(60)
        self.noise.setTextFormat(Qt.TextFormat.RichText)
        self.noise.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse
            | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.noise.linkActivated.connect(self._link_followed)
        self._about = ""
        self._memory: Memory | None = None
        self.show_pair(None)

    def show_pair(self, info: PairInfo | None) -> None:
        """Name both models and the machine; of their noise nothing is known yet."""
        self.show_noise(None, None)
        if info is None:
            self.pair.show_words("No pair")
            self.machine.setText("")
            self.machine.setToolTip("")
            self.update.setText("")
            self._about, self._memory = "", None
            return
        self.show_policy(info.policy, info)
        shared = "base weights shared" if info.base_shared else "two sets of weights"
        if info.recorded:
            self.machine.setText(f"recorded · {info.dtype}")
            self.machine.setToolTip(f"A session file answers; it was recorded on {info.device}.")
            self._about = ""
            return
        self.machine.setText(f"{info.device} · {info.dtype} · {size_text(info.memory_bytes)}")
        template = "chat template" if info.has_chat_template else "plain text: no chat template"
        self._about = (
            f"{shared}; {template}; vocabulary {info.vocab_size:,}; context "
            f"{info.context_length:,} tokens\ncache: {info.cache}\nloaded in {info.seconds:.1f} s"
        )
        self._show_about()

    def show_memory(self, memory: Memory) -> None:
        """Say how much is cached, so that it need not be computed again."""
        self._memory = memory
        self._show_about()

    def _show_about(self) -> None:
        lines = [self._about] if self._about else []
        if (held := self._memory) is not None:
            lines += [
                f"numbers kept: {size_text(held.tree)} of {size_text(held.tree_budget)}",
                f"KV kept: {size_text(held.kv)} of {size_text(held.kv_budget)}",
            ]
        self.machine.setToolTip("\n".join(lines))

    def show_policy(self, policy: str, info: PairInfo) -> None:
        """Name both models; the policy may be an earlier state of the one that was loaded."""
        reference = info.reference or "none"
        self.pair.show_words(f"π: {policy}     π_ref: {reference}")
        said = [f"Policy π: {policy}", f"Reference π_ref: {reference}", *_of_loss(info.objective)]
        self.pair.setToolTip("\n".join(said))

    def show_noise(self, floor: NoiseFloor | None, info: PairInfo | None) -> None:
        """Say how far rounding moves what is shown; ``info`` None before it was measured."""
        self.noise.setVisible(False)
        if info is None or info.recorded or (floor is not None and not floor.matters):
            return
        if floor is None:
            words = f"the noise of {info.dtype} is not known"
            tip = f"It could not be measured how far rounding in {info.dtype} moves the numbers."
        else:
            words = f"noise ±{floor.token:.2g} nat a token"
            tip = noise_tip(floor)
        self.noise.setText(f'{words} · <a href="float32">compute in float32</a>')
        self.noise.setToolTip(f"{tip}\nCompute in float32: load the pair again without this noise.")
        self.noise.setVisible(True)

    def show_update(self, text: str) -> None:
        """Say what the last update took."""
        self.update.setText(text)

    @Slot(str)
    def _link_followed(self, link: str) -> None:
        self.float32_wanted.emit()


def noise_tip(floor: NoiseFloor) -> str:
    """Return what a noise floor means and how it was measured, in nats."""
    one, many = floor.token, float(floor.total(EXAMPLE))
    return (
        f"Rounding in {floor.dtype} moves the log-ratio of 95 tokens in 100 by less than "
        f"±{one:.2g} nat, and a sum over {EXAMPLE} tokens by less than ±{many:.2g}; rewards by β "
        f"times as much.\n"
        f"What is smaller says nothing: it has no fill and is grey.\n"
        f"Measured {floor.measured}."
    )


def _of_loss(objective: TrainingLoss) -> list[str]:
    """Return lines on the training's loss: its name, how it scores a response, what is unlike."""
    if not objective.losses:
        return ["Loss of the training: not known"]
    score = objective.main.score or "none"
    lines = [f"Loss of the training: {objective.title}", f"Score of a response: {score}"]
    return [*lines, objective.note] if objective.note else lines
