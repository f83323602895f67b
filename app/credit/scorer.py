"""What the credit view asks the engine for: scores of a text, of a token put in place, of a swap.

Knows the prompt's and the responses' panels and the engine's client; knows nothing of what becomes
of the answers.
"""

from functools import partial

from PySide6.QtCore import QObject, Signal, Slot

from app.credit.layout import SIDES
from app.credit.prompt_panel import PromptPanel
from app.credit.response_panel import ResponsePanel
from app.engine_client import EngineClient, Ticket
from core.engine.protocol import Failed, Progress, Score, Scored, Side, Stopped

BLANK_PROMPT = "Write a prompt for the models to answer."
NOT_NOW = "Not now: the text is still being scored. Choose again."


class Scorer(QObject):
    """Has the responses scored."""

    scored = Signal(object)
    """A ``Scored`` event."""
    failed = Signal(str, str)
    """A side, and why its response could not be scored, in a sentence."""
    unrecorded = Signal(str, str)
    """A side whose response only the pair itself could score, and that in a sentence."""
    refused = Signal(str)
    """Something cannot be done now: one sentence."""
    edited = Signal()
    """A text of the user's has changed, or changed places."""

    def __init__(
        self,
        client: EngineClient,
        prompt: PromptPanel,
        panels: dict[Side, ResponsePanel],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._client, self._prompt, self._panels = client, prompt, panels
        self._tickets: dict[Side, Ticket[Scored]] = {}
        """What is being scored."""
        self.has_pair = False
        """Whether there are models to ask."""
        for panel in panels.values():
            panel.changed.connect(self._text_rested)
            panel.progress.cancel_wanted.connect(partial(self._cancel, panel.side))
            panel.progress.again_wanted.connect(partial(self.ask, panel.side))
        client.pair_let_go.connect(self._let_go)

    @Slot()
    def ask_all(self) -> None:
        """Ask for both sides' scores."""
        for side in SIDES:
            self.ask(side)

    def ask(self, side: Side) -> None:
        """Ask for a side's scores, if a pair is loaded."""
        panel = self._panels[side]
        if not self.has_pair:
            return
        if self._prompt.is_blank():
            panel.show_problem(BLANK_PROMPT)
            return
        wanted, prompt = panel.wanted(), self._prompt.prompt()
        ticket = self._client.ask(Score, side, prompt, wanted.text, wanted.ids, fresh=wanted.fresh)
        self._await(ticket, side)

    def replace(self, side: Side, index: int, id: int) -> bool:
        """Put one token in place and keep the others; return False where that cannot be now."""
        panel = self._panels[side]
        scoring = panel.scoring
        if not panel.is_current() or scoring is None or index >= len(scoring.tokens):
            self.refused.emit(NOT_NOW)
            return False
        if int(scoring.ids[index]) == id:
            return False
        ticket = self._client.ask(Score, side, self._prompt.prompt(), replace=(index, id))
        panel.expect_replacement(ticket.request.id)
        self._await(ticket, side)
        return True

    def exchange(self) -> None:
        """Swap the two responses, tokens and all."""
        a, b = (self._snapshot(side) for side in SIDES)
        self._panels["A"].swap_in(*b)
        self._panels["B"].swap_in(*a)
        self.edited.emit()
        self.ask_all()

    def copy_a_to_b(self) -> None:
        """Make B the same as A, tokens and all."""
        self._panels["B"].swap_in(*self._snapshot("A"))
        self.edited.emit()
        self.ask("B")

    def _await(self, ticket: Ticket[Scored], side: Side) -> None:
        ticket.answered.connect(self._say_scored)
        ticket.failed.connect(partial(self._say_failed, side))
        ticket.progress.connect(partial(self._say_progress, side))
        ticket.stopped.connect(partial(self._say_stopped, side))
        self._tickets[side] = ticket
        self._panels[side].progress.begin()

    def _say_scored(self, event: Scored) -> None:
        self._end(event.side)
        self.scored.emit(event)

    def _say_failed(self, side: Side, event: Failed) -> None:
        self._end(side)
        (self.unrecorded if event.needs_pair else self.failed).emit(side, event.message)

    def _say_progress(self, side: Side, event: Progress) -> None:
        self._panels[side].progress.tell(event.fraction)

    def _say_stopped(self, side: Side, event: Stopped) -> None:
        self._end(side)
        self._panels[side].progress.show_cancelled()

    def _end(self, side: Side) -> None:
        self._tickets.pop(side, None)
        self._panels[side].progress.end()

    def _cancel(self, side: Side) -> None:
        if (ticket := self._tickets.get(side)) is not None:
            self._client.drop(ticket)

    @Slot()
    def _let_go(self) -> None:
        for side in SIDES:
            self._end(side)

    def _snapshot(self, side: Side) -> tuple[str, tuple[int, ...] | None]:
        panel = self._panels[side]
        scoring = panel.scoring
        known = panel.is_current() and scoring is not None
        return panel.text(), scoring.tokens.ids if known and scoring is not None else None

    @Slot(str)
    def _text_rested(self, side: str) -> None:
        self.ask("B" if side == "B" else "A")
