"""One search on a pair, from what was asked to what travels: steps become growths.

Knows all strategies; knows nothing of threads or windows.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from core.engine.protocol import SteerAction
from core.errors import UserFacingError
from core.models.line import Nodes
from core.models.pair import Pair, never
from core.search.beam import BeamSearch
from core.search.best_first import BestFirstSearch
from core.search.chunks import ChunkSearch
from core.search.field import Field, Strategy
from core.search.given import GivenPath
from core.search.grown import Growth, Reason, Status, Step
from core.search.mcts import MonteCarlo
from core.search.sampling import Sampler
from core.search.spec import (
    Beam,
    BestFirst,
    ChunkBeam,
    DiverseBeam,
    Given,
    Sampling,
    SearchSpec,
    StochasticBeam,
    TreeSearch,
)
from core.search.stochastic import StochasticBeamSearch
from core.text import Prompt

MAKERS: dict[type, Callable[[Field, Any], Strategy]] = {
    Beam: BeamSearch,
    DiverseBeam: BeamSearch,
    StochasticBeam: StochasticBeamSearch,
    BestFirst: BestFirstSearch,
    Sampling: Sampler,
    TreeSearch: MonteCarlo,
    ChunkBeam: ChunkSearch,
    Given: GivenPath,
}
AT_ONCE = ("width", "groups", "children", "batch", "count", "samples")
MOST_AT_ONCE = 4096
IN_ALL = ("max_tokens", "expansions", "simulations", "rollout", "chunk")
MOST_IN_ALL = 10**6


class Run:
    """A search under way. ``step`` until it returns None; it may be stopped and gone on with.

    Raises:
        UserFacingError: what was asked cannot be done; the sentence says why.
    """

    def __init__(
        self, pair: Pair, prompt: Prompt, prefix: tuple[int, ...], spec: SearchSpec
    ) -> None:
        check(spec)
        prompt_ids = pair.codec.prompt_ids(prompt)
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
        self._step: Step | None = None
        """A step that was taken, and not told of yet."""
        self._strategy = MAKERS[type(spec.strategy)](self._field, spec.strategy)

    @property
    def computed(self) -> int:
        """Tokens that went through the models."""
        return self._field.computed

    def nodes(self) -> Nodes:
        """The nodes whose numbers this search goes by, or has told of."""
        return self._field.nodes()

    def step(self, cancelled: Callable[[], bool] = never) -> Growth | None:
        """One step of the search; None once it has ended.

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
                self._field.ledger.begin()
                self._step = self._strategy.step()
            if self._step is None:
                return None
            growth = self._growth(self._step)
        finally:
            self.seconds += time.perf_counter() - began
        self._step = None
        self.steps += 1
        return growth

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


def check(spec: SearchSpec) -> None:
    """Refuse settings that make no sense.

    Raises:
        UserFacingError: one sentence that names the setting and what it may be.
    """
    settings = spec.strategy
    for names, most in ((AT_ONCE, MOST_AT_ONCE), (IN_ALL, MOST_IN_ALL)):
        for name in names:
            value = getattr(spec if name == "max_tokens" else settings, name, 1)
            if not 1 <= value <= most:
                said = name.replace("_", " ").capitalize()
                raise UserFacingError(f"{said} must be from 1 to {most}, not {value}.")
    if isinstance(settings, DiverseBeam) and settings.width % settings.groups:
        raise UserFacingError(
            f"{settings.width} beams cannot be shared by {settings.groups} groups: choose a width "
            f"that is a multiple of the groups."
        )
    temperature = getattr(settings, "temperature", 1.0)
    if not (0 < temperature < math.inf):
        raise UserFacingError(f"The temperature must be above 0, not {temperature}.")
    for name, low, high in (("top_p", 0.0, 1.0), ("min_p", 0.0, 1.0)):
        value = getattr(settings, name, 1.0 if name == "top_p" else 0.0)
        if not low <= value <= high or (name == "top_p" and value == 0):
            raise UserFacingError(f"{name} must be between 0 and 1, not {value}.")
    if isinstance(settings, TreeSearch) and settings.value not in ("gain", "rollout"):
        raise UserFacingError(f"A leaf's value is 'gain' or 'rollout', not {settings.value!r}.")
    objective = spec.objective
    numbers = objective.policy, objective.reference, objective.base, spec.length_penalty
    if not all(map(math.isfinite, numbers)):
        raise UserFacingError("The objective and the length penalty must be finite numbers.")
    if spec.policy_only and isinstance(settings, TreeSearch | ChunkBeam):
        raise UserFacingError("This search needs the reference: it cannot be left out.")
