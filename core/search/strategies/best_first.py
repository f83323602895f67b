"""Best-first search: of all open states, those of the highest score are expanded next.

With a constant bound on what each token to come may add it is A*; with none, and an objective
that only falls, the first hypothesis to be finished is the best there is among the children
opened.
"""

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.search.grown import Reason, Status, Step
from core.search.spec import Strategy, at_once, in_all
from core.search.strategies import register
from core.setting import setting

if TYPE_CHECKING:
    from core.search.field import Field


@dataclass(frozen=True, slots=True)
class BestFirst(Strategy):
    """Best-first search: the open state of the highest score is expanded next.

    ``expansions`` bounds the states expanded (``batch`` of them in one forward), ``children`` the
    continuations that each of them opens. ``optimism``: nats a token by which an open state may
    hope to do better than its score says, times the tokens it has left (A* with a constant bound;
    0: uniform-cost search, whose first finished hypothesis is the best where log-probs are summed).
    """

    name = "best-first"
    title = "Best-first search"
    meaning = "The open state of the highest score is expanded next"

    expansions: int = in_all(200, "Expansions", "States that are expanded at most")
    children: int = at_once(8, "Children", "Continuations that each expanded state opens")
    batch: int = at_once(4, "At once", "States expanded in one go: more is faster, fewer is exact")
    optimism: float = setting(
        0.0,
        "Optimism",
        "Nats that an open state may hope for with each token it has left (A*); 0: uniform-cost "
        "search",
        step=0.1,
        unit="nats",
    )


class BestFirstSearch:
    """A heap of open states; a hypothesis is finished when it comes to the top."""

    def __init__(self, field: "Field", settings: BestFirst) -> None:
        self._field = field
        self._settings = settings
        self._heap: list[tuple[float, int]] = [(0.0, field.start)]
        self._closed: set[int] = set()
        """Nodes whose edge is the closing token."""
        self._finished: list[int] = []
        self._expanded = 0

    def step(self) -> Step | None:
        """Expand the best open states, as many as fit one forward."""
        field, ledger, how = self._field, self._field.ledger, self._settings
        wanted = min(how.batch, how.expansions - self._expanded)
        if not self._heap or wanted < 1:
            return None
        heap = list(self._heap)
        states: list[int] = []
        ended: list[int] = []
        while heap and len(states) < wanted:
            _, node = heapq.heappop(heap)
            if field.is_cut(node):
                continue
            if node in self._closed or field.length(node) >= field.max_tokens:
                ended.append(node)
            else:
                states.append(node)
        closed_nodes, finished = set(self._closed), [*self._finished, *ended]
        if states:
            actions = field.expand(states)
            _, tokens = actions.best(how.children)
            rows = [row for row in range(len(states)) for _ in range(tokens.shape[1])]
            nodes = actions.take(rows, tokens.reshape(-1).tolist()).tolist()
            for node, token in zip(nodes, tokens.reshape(-1).tolist(), strict=True):
                if token == field.closing:
                    closed_nodes.add(node)
                ledger.mark(node, Status.OPEN)
                heapq.heappush(heap, (-self._promise(node, token == field.closing), node))
        for state in states:
            ledger.mark(state, Status.KEPT)
        for node in ended:
            closed = node in self._closed
            ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
        expanded = self._expanded + len(states)
        ahead = [node for _, node in heapq.nsmallest(how.children, heap)]
        best = field.ranked(finished) + field.ranked(ahead)
        step = ledger.step(best, 1.0 if not heap else expanded / how.expansions)
        self._heap, self._closed, self._finished = heap, closed_nodes, finished
        self._expanded = expanded
        return step

    def _promise(self, node: int, closed: bool) -> float:
        """Return the score that a state may still reach by the bound; pinned states come first."""
        field = self._field
        left = 0 if closed else field.max_tokens - field.length(node)
        promise = field.score[node] + self._settings.optimism * left
        pinned = bool(field.pinned) and not field.pinned.isdisjoint(field.way(node))
        return promise + (1e6 if pinned else 0.0)


register(BestFirst, BestFirstSearch)
