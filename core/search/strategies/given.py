"""A path of tokens put into the tree by hand, scored in one forward."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.search.grown import Reason, Status, Step
from core.search.spec import Strategy
from core.search.strategies import register

if TYPE_CHECKING:
    from core.search.field import Field

TOGETHER = 32
"""States whose distributions are in memory at once."""


@dataclass(frozen=True, slots=True)
class Given(Strategy):
    """A path of tokens put there by hand: a response to compare with, a forced token."""

    name = "given"
    title = "Given tokens"
    meaning = "A path that is put there by hand"
    offered = False

    tokens: tuple[int, ...] = ()
    closed: bool = False
    """Whether the response ends there: the closing token follows."""

    def conflicts(self) -> dict[str, str]:
        """Return a sentence where there is no token."""
        if self.tokens or self.closed:
            return {}
        return {"tokens": "There is no token to put in place: choose one."}


class GivenPath:
    """Walks the tokens that it is given, once."""

    def __init__(self, field: "Field", settings: Given) -> None:
        self._field = field
        self._tokens = [*settings.tokens, *([field.closing] if settings.closed else [])]
        self._closed = settings.closed
        self._done = False

    def step(self) -> Step | None:
        """Score the whole path."""
        if self._done:
            return None
        field = self._field
        nodes = field.pair.tree.extend(field.start, self._tokens).tolist()
        states = [field.start, *nodes[:-1]]
        field.reach(states[-1])
        for first in range(0, len(self._tokens), TOGETHER):
            some = slice(first, first + TOGETHER)
            actions = field.expand(states[some])
            actions.take(range(len(states[some])), self._tokens[some])
        for node in nodes:
            field.ledger.mark(node, Status.KEPT, Reason.GIVEN)
        if self._closed:
            field.ledger.mark(nodes[-1], Status.FINISHED, Reason.CLOSED)
        step = field.ledger.step(nodes[-1:], 1.0)
        self._done = True
        return step


register(Given, GivenPath)
