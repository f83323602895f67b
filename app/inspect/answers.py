"""What the engine said of states, cached for all views, and what each view has yet to ask.

A lookup shows one state at a time: what is cached is there at once; what is not is asked for after
a short rest, so that a mouse on its way asks nothing. An answer names the checkpoint that it is of
and is cached under it, so none is ever shown of another one. Knows the engine's client; knows
nothing of widgets.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.engine_client import EngineClient
from core.engine.protocol import (
    Failed,
    Inspect,
    Inspected,
    LabelsListed,
    ListLabels,
    StateRef,
    Survey,
    Surveyed,
)
from core.scoring import Inspection, StateActions

ASK_MS = 80
INSPECTIONS = 400
SURVEYS = 24
"""One takes eight bytes a token of the vocabulary."""

Found = TypeVar("Found", Inspection, StateActions)
Key = tuple[int, str, str, str]
"""A state's node, the search whose state it is, the checkpoint that is asked, and a query."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a view wants to know of a state: under a checkpoint, with what a query matches."""

    state: StateRef
    checkpoint: str = ""
    query: str = ""

    def key(self, checkpoint: str | None = None) -> Key:
        """Return what its answer is cached by; ``checkpoint``: that which was asked, if known."""
        asked = self.checkpoint if checkpoint is None else checkpoint
        return self.state.node, self.state.pane, asked, self.query


class StateAnswers:
    """What is known of the states of the loaded pair."""

    def __init__(self) -> None:
        self.inspections: dict[Key, Inspection] = {}
        self.surveys: dict[Key, StateActions] = {}
        self.labels: tuple[str, ...] = ()
        """Of the vocabulary, by token id; () while they are not known."""

    def forget(self) -> None:
        """Drop everything: another pair is loaded."""
        self.inspections.clear()
        self.surveys.clear()
        self.labels = ()

    def forget_checkpoint(self, checkpoint: str) -> None:
        """Drop what is of a checkpoint, by its path, whose files have been written anew."""
        for answers in (self.inspections, self.surveys):
            for key in [key for key in answers if key[2] == checkpoint]:
                del answers[key]


class Lookup(QObject, Generic[Found]):
    """One place that shows what is known of a state.

    ``may_ask`` is called when it is time to ask; where it returns False, nothing is asked, and
    whoever looks will look again.
    """

    asking = Signal()
    """What is looked for is being asked."""
    found = Signal()
    """An answer has come: look again."""
    failed = Signal(str)
    """The engine could not answer: one sentence."""
    unrecorded = Signal(str)
    """No session has recorded that, and no pair is loaded: one sentence."""

    def __init__(
        self,
        client: EngineClient,
        answers: StateAnswers,
        parent: QObject,
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(parent)
        self._client: EngineClient = client
        self._answers: StateAnswers = answers
        self._may_ask: Callable[[], bool] = may_ask
        self._question: Question | None = None
        self._asked: Question | None = None
        self._rest: QTimer = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(ASK_MS)
        self._rest.timeout.connect(self._rested)

    def look(self, question: Question | None) -> Found | None:
        """Return the answer to a question; None while it is not known: it is then asked for."""
        self._question = question
        known = self._cached().get(question.key()) if question is not None else None
        if question is None or known is not None:
            self._rest.stop()
        else:
            self._rest.start()
        return known

    def ask_now(self) -> None:
        """Ask for what was looked for without a rest, if it is not known."""
        if self._rest.isActive():
            self._rest.stop()
            self._rested()

    @Slot()
    def _rested(self) -> None:
        if self._question is not None and self._may_ask():
            self._asked = self._question
            self.asking.emit()
            self._ask(self._question)

    @abstractmethod
    def _cached(self) -> dict[Key, Found]: ...

    @abstractmethod
    def _ask(self, question: Question) -> None: ...

    def _keep(self, checkpoint: str, answer: Found, most: int) -> None:
        """Cache the answer to what was asked, under the checkpoint that it is of."""
        if self._asked is None:
            return
        cached = self._cached()
        cached[self._asked.key(checkpoint)] = answer
        while len(cached) > most:
            del cached[next(iter(cached))]
        self.found.emit()

    def _say_failed(self, event: Failed) -> None:
        if event.needs_pair:
            self.unrecorded.emit(event.message)  # as quietly as one points at things
        else:
            self.failed.emit(event.message)


class InspectionLookup(Lookup[Inspection]):
    """Looks up the likeliest actions at a state."""

    def _cached(self) -> dict[Key, Inspection]:
        return self._answers.inspections

    def _ask(self, question: Question) -> None:
        ticket = self._client.ask(Inspect, question.state, question.query)
        ticket.answered.connect(self._inspected)
        ticket.failed.connect(self._say_failed)

    def _inspected(self, event: Inspected) -> None:
        self._keep(event.checkpoint, event.inspection, INSPECTIONS)


class SurveyLookup(Lookup[StateActions]):
    """Looks up all actions at a state, and the labels of the vocabulary before the first."""

    def _cached(self) -> dict[Key, StateActions]:
        return self._answers.surveys

    def _ask(self, question: Question) -> None:
        if not self._answers.labels:
            self._client.ask(ListLabels).answered.connect(self._listed)
        ticket = self._client.ask(Survey, question.state)
        ticket.answered.connect(self._surveyed)
        ticket.failed.connect(self._say_failed)

    def _listed(self, event: LabelsListed) -> None:
        self._answers.labels = event.labels

    def _surveyed(self, event: Surveyed) -> None:
        self._keep(event.checkpoint, event.actions, SURVEYS)
