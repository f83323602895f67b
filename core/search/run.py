"""One search on a pair, from what was asked to what travels: steps become growths.

Knows nothing of threads or windows, and no strategy by name.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from core.engine.protocol import SteerAction
from core.errors import UserFacingError
from core.models.line import Nodes
from core.models.pair import Pair
from core.progress import never
from core.search.field import Field
from core.search.grown import Growth, Reason, Status, Step
from core.search.pins import Pins
from core.search.spec import SearchSpec, check
from core.search.strategies import begin
from core.text import Prompt


class Run:
    """A search under way. ``step`` until it returns None; it may be stopped and resumed.

    ``context``: the ids before ``prefix``, where they are not just those of the prompt.

    Raises:
        UserFacingError: what was asked cannot be done; the sentence says why.
    """

    def __init__(
        self,
        pair: Pair,
        prompt: Prompt,
        prefix: tuple[int, ...],
        spec: SearchSpec,
        context: tuple[int, ...] = (),
    ) -> None:
        check(spec)
        prompt_ids = context or pair.codec.prompt_ids(prompt)
        if not prompt_ids:
            raise UserFacingError("The prompt is empty: write something for the models to answer.")
        start = len(prompt_ids) + len(prefix)
        longest = min(start + spec.max_tokens, pair.context_length)
        self.root = pair.root(longest)
        """The root of the tree that it grows from."""
        self.attention = pair.attention
        """The way attention is run, in words, and for what length of text."""
        if pair.depends_on_length:
            self.attention += f"; rotary factors for {longest} tokens"
        path = pair.tree.extend(self.root, [*prompt_ids, *prefix])
        self.spec = spec
        self.steps = 0
        self.seconds = 0.0
        self._pair = pair
        self._field = Field(pair, int(path[-1]), spec)
        self._field.ledger.mark_now(self._field.start, Status.KEPT)
        self._pins = Pins(self._field)
        self._best: Nodes = np.empty(0, dtype=np.int64)
        """The strategy's own hypotheses so far."""
        self._step: Step | None = None
        """A step that was taken, and not told of yet."""
        self._algorithm = begin(self._field, spec.strategy)

    @property
    def computed(self) -> int:
        """Tokens that went through the models."""
        return self._field.computed

    def nodes(self) -> Nodes:
        """Return the nodes whose numbers this search goes by, or has told of."""
        return self._field.nodes()

    def step(self, cancelled: Callable[[], bool] = never) -> Growth | None:
        """Take one step of the search; return what it did, None once the search has ended.

        Raises:
            Cancelled: soon after ``cancelled()`` turns true.
            UserFacingError: the models cannot go on (NaN, the context's end).
            Exception: memory ran out, ...

        Whatever it was, the next call does the step again, and none is lost.
        """
        began = time.perf_counter()
        self._field.cancelled = cancelled
        try:
            if self._step is None:
                self._step = self._next()
            if self._step is None:
                return None
            growth = self._growth(self._step)
        finally:
            self.seconds += time.perf_counter() - began
        self._step = None
        self.steps += 1
        return growth

    def _next(self) -> Step | None:
        """Take the strategy's next step, and one on the ways from pinned nodes that it has left."""
        field = self._field
        field.ledger.begin()
        ways = self._pins.further(self._best.tolist()) if self.steps else {}
        ends = list(dict.fromkeys(ways.values()))
        step = self._algorithm.step()
        if step is None and ways != self._pins.ways:
            done = max(map(field.length, ends), default=0) / field.max_tokens
            step = field.ledger.step(self._best.tolist(), done)
        if step is None:
            return None
        self._pins.ways, self._best = ways, step.best
        more = [end for end in field.ranked(ends) if end not in step.best]
        return replace(step, best=np.array([*step.best, *more], dtype=np.int64))

    def steered(self) -> list[tuple[int, SteerAction]]:
        """Return what was pinned and pruned by hand."""
        pins: list[tuple[int, SteerAction]] = [(node, "pin") for node in self._field.pinned]
        return pins + [(node, "prune") for node in self._field.pruned]

    def steer(self, node: int, action: SteerAction) -> None:
        """Prune a node with all below it, pin it, or release it to the search again.

        The next steps obey, and tell of it if the node is one that this search has grown.

        Raises:
            UserFacingError: there is no such node.
        """
        field = self._field
        if node == 0 or not self._pair.tree.has(node):
            raise UserFacingError("There is no such node: choose one of the tree.")
        field.pruned.discard(node)
        field.pinned.discard(node)
        if action == "prune":
            field.pruned.add(node)
        elif action == "pin":
            field.pinned.add(node)
        if node in field.score:
            status = Status.PRUNED if action == "prune" else Status.KEPT
            field.ledger.mark_now(node, status, Reason.BY_HAND)

    def _growth(self, step: Step) -> Growth:
        tree, codec = self._pair.tree, self._pair.codec
        tokens = tree.token[step.nodes]

        def column(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
            return tree.column(name)[step.nodes]

        return Growth(
            step=step,
            parent=tree.parent[step.nodes],
            token=tokens,
            labels=tuple(map(codec.label, tokens.tolist())),
            pieces=tuple(map(codec.piece, tokens.tolist())),
            logp_policy=column("logp_policy"),
            logp_reference=column("logp_reference"),
            logp_base=column("logp_base"),
            logit=column("logit"),
            logsumexp=column("logsumexp"),
            kl=column("kl"),
        )
