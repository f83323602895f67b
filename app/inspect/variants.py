"""Has many variants of a response scored, as one request, and gathers what comes.

Several may be under way, each for a purpose of its own. Knows the engine's client; knows nothing of
widgets or of what the variants are for.
"""

from PySide6.QtCore import QObject, Signal, Slot

from app.engine_client import EngineClient
from core.engine.protocol import (
    Failed,
    ScoreVariants,
    Stopped,
    Variant,
    VariantsDone,
    VariantsScored,
)
from core.scoring import Scoring


class VariantsRun(QObject):
    """One place for variants that are scored for a purpose."""

    stepped = Signal()
    """Some more are scored."""
    ended = Signal(str)
    """Nothing more comes: "" where all is scored, "stopped", or why not, in a sentence."""

    def __init__(self, client: EngineClient, purpose: str, parent: QObject) -> None:
        super().__init__(parent)
        self._client, self._purpose = client, purpose
        self.running = False
        self.count = 0
        self.scorings: list[Scoring | None] = []
        """Of the variants that have been scored, in their order; None where one cannot be."""
        self.problems: list[str] = []
        """Why not, in a sentence each, "" for the others."""
        self.checkpoint = ""
        """Of a run: the one that they are of, once any is scored."""
        client.pair_let_go.connect(self._pair_let_go)

    def begin(self, variants: tuple[Variant, ...]) -> None:
        """Have these scored, and forget those before."""
        self.count, self.running = len(variants), True
        self.scorings, self.problems, self.checkpoint = [], [], ""
        ticket = self._client.ask(ScoreVariants, variants, self._purpose)
        ticket.stepped.connect(self._take)
        ticket.answered.connect(self._done)
        ticket.stopped.connect(self._stopped)
        ticket.failed.connect(self._failed)

    def stop(self) -> bool:
        """Stop, and keep what has come; return whether anything was under way."""
        if not self.running:
            return False
        halt(self._client, self._purpose)
        self._end("stopped")
        return True

    def _take(self, event: VariantsScored) -> None:
        self.checkpoint = event.checkpoint
        self.scorings += event.scorings
        self.problems += event.problems
        self.stepped.emit()

    def _done(self, event: VariantsDone) -> None:
        self._end("")

    def _stopped(self, event: Stopped) -> None:
        self._end("stopped")

    def _failed(self, event: Failed) -> None:
        self._end(event.message)

    @Slot()
    def _pair_let_go(self) -> None:
        if self.running:
            self._end("stopped")

    def _end(self, why: str) -> None:
        self.running = False
        self.ended.emit(why)


def halt(client: EngineClient, purpose: str) -> None:
    """Stop what is scored for one purpose, and nothing else: a request for no variants takes its
    place."""
    client.ask(ScoreVariants, (), purpose)
