"""What the credit view asks the engine for: scores of a text, of a token put in place, of a swap.

The half of CreditView that sends requests, which sets these attributes. Knows panels and bridge;
knows nothing of answers or colours.
"""

from PySide6.QtCore import Signal, Slot

from app.credit.focus import Focus
from app.credit.layout import SIDES, CreditLayout
from app.engine_client import Bridge
from core.engine.protocol import PairInfo, Side

BLANK_PROMPT = "Write a prompt for the models to answer."


class CreditAsking(CreditLayout):
    """The base of CreditView."""

    updated = Signal(str)
    """What the last update took, for the status bar."""
    edited = Signal()
    """A text of the user's has changed."""

    _bridge: Bridge
    _pair: PairInfo | None
    _asked: dict[int, Side]
    focus_on: Focus

    def ask_all(self) -> None:
        """Ask for both sides' scores."""
        for side in SIDES:
            self.ask(side)

    def ask(self, side: Side) -> None:
        """Ask for a side's scores, if a pair is loaded."""
        panel = self.panels[side]
        if self._pair is None:
            return
        if self.prompt.is_blank():
            panel.show_problem(BLANK_PROMPT)
            return
        wanted = panel.wanted()
        prompt = self.prompt.prompt()
        id = self._bridge.score(side, prompt, wanted.text, wanted.ids, fresh=wanted.fresh)
        self._asked[id] = side

    def replace(self, side: Side, index: int, id: int) -> bool:
        """Put one token in place and keep the others; False where that cannot be now."""
        panel = self.panels[side]
        scoring = panel.scoring
        if not panel.is_current() or scoring is None or index >= len(scoring.tokens):
            self.updated.emit("Not now: the text is still being scored. Choose again.")
            return False
        if int(scoring.ids[index]) == id:
            return False
        request = self._bridge.score(side, self.prompt.prompt(), replace=(index, id))
        self._asked[request] = side
        panel.expect_replacement(request)
        return True

    def exchange(self) -> None:
        """Swap the two responses, tokens and all."""
        a, b = (self._snapshot(side) for side in SIDES)
        self.focus_on.clear()
        self.panels["A"].swap_in(*b)
        self.panels["B"].swap_in(*a)
        self.edited.emit()
        self.ask_all()

    def copy_a_to_b(self) -> None:
        """Make B the same as A, tokens and all."""
        self.panels["B"].swap_in(*self._snapshot("A"))
        self.edited.emit()
        self.ask("B")

    def _snapshot(self, side: Side) -> tuple[str, tuple[int, ...] | None]:
        panel = self.panels[side]
        scoring = panel.scoring
        known = panel.is_current() and scoring is not None
        return panel.text(), scoring.tokens.ids if known and scoring is not None else None

    @Slot(str)
    def _text_rested(self, side: str) -> None:
        self.ask("B" if side == "B" else "A")
