"""Names in the header the pair that is open, its beta and its noise; a click says what can be done.

Knows what is known of a pair; knows nothing of how it is loaded or checked.
"""

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from core.engine.protocol import PairInfo
from core.noise import NoiseFloor
from core.present.numerals import real_minus

NOTHING = "No pair"
LONGEST = 22
"""Letters of a model's name."""


class PairChip(QToolButton):
    """A button such as "dpo vs sft · β 0.5 · floor 0.01", with a menu."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("chip")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setMenu(QMenu(self))
        self.show_pair(None, "", None, None)

    def offer(self, *actions: QAction) -> None:
        """Offer these in the menu."""
        self.menu().addActions(actions)

    def show_pair(
        self, info: PairInfo | None, policy: str, beta: float | None, noise: NoiseFloor | None
    ) -> None:
        """Name a pair, None for none; ``policy``: what is shown of it now, which may be an earlier
        checkpoint; ``noise``: None while it is not known."""
        if info is None:
            self.setText(NOTHING)
            self.setToolTip("Open a policy and its reference")
            self.setAccessibleName(NOTHING)
            return
        reference = f" vs {_short(info.reference)}" if info.reference else " alone"
        parts = [_short(policy or info.policy) + reference]
        parts += [f"β {beta:g}" if beta is not None else "β unknown"] if info.reference else []
        if noise is not None and noise.matters:
            parts.append(f"floor {real_minus(f'{float(noise.of_rewards(beta or 1.0)):.1g}')}")
        self.setText(" · ".join(parts))
        self.setAccessibleName(f"The pair: {self.text()}")
        self.setToolTip(
            f"Policy π: {policy or info.policy}\nReference π_ref: {info.reference or 'none'}\n"
            "Click to check the pair, or to open another"
        )


def _short(name: str) -> str:
    """Return a model's name without what it is an adapter on, and with an end where it is long."""
    bare = name.partition(" (")[0]
    return bare if len(bare) <= LONGEST else f"{bare[: LONGEST - 1]}…"
