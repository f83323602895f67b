"""The status line: which pair, where it runs, and what the last update took."""

from PySide6.QtWidgets import QLabel, QStatusBar

from core.protocol import Memory, PairInfo


def size_text(count: int) -> str:
    """Bytes as people read them."""
    if count >= 1 << 30:
        return f"{count / (1 << 30):.1f} GB"
    return f"{count / (1 << 20):.0f} MB"


class Status:
    """Labels in a status bar."""

    def __init__(self, bar: QStatusBar) -> None:
        self.pair, self.machine, self.update = QLabel(), QLabel(), QLabel()
        bar.setSizeGripEnabled(False)
        for label, stretch in ((self.pair, 1), (self.machine, 0), (self.update, 0)):
            label.setObjectName("muted")
            label.setContentsMargins(6, 0, 6, 0)
            bar.addPermanentWidget(label, stretch)
        self.pair.setMinimumWidth(60)
        self._about = ""
        self._memory: Memory | None = None
        self.show_pair(None)

    def show_pair(self, info: PairInfo | None) -> None:
        """Name both models and the machine."""
        if info is None:
            self.pair.setText("No pair")
            self.machine.setText("")
            self.machine.setToolTip("")
            self.update.setText("")
            self._about, self._memory = "", None
            return
        self.show_policy(info.policy, info)
        shared = "base weights shared" if info.base_shared else "two sets of weights"
        self.machine.setText(f"{info.device} · {info.dtype} · {size_text(info.memory_bytes)}")
        template = "chat template" if info.has_chat_template else "plain text: no chat template"
        self._about = (
            f"{shared}; {template}; vocabulary {info.vocab_size:,}; context "
            f"{info.context_length:,} tokens\ncache: {info.cache}\nloaded in {info.seconds:.1f} s"
        )
        self._show_about()

    def show_memory(self, memory: Memory) -> None:
        """Say, of what is kept so that it need not be computed again, how much there is."""
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
        self.pair.setText(f"π: {policy}     π_ref: {info.reference}")
        self.pair.setToolTip(f"Policy π: {policy}\nReference π_ref: {info.reference}")

    def show_update(self, text: str) -> None:
        self.update.setText(text)
