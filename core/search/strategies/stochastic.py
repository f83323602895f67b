"""Stochastic beam search: sequences sampled without replacement (Kool et al., arXiv 1903.06059).

Each beam carries a Gumbel-perturbed log-prob; its continuations' are drawn so that their maximum
is the beam's own, and the k highest of all go on. A closed hypothesis keeps its place among them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.search.grown import Reason, Status, Step
from core.search.randomness import forked, log_softmax, uniform
from core.search.spec import Strategy, at_once, seed, temperature
from core.search.strategies import register

if TYPE_CHECKING:
    from core.search.field import Field


@dataclass(frozen=True, slots=True)
class StochasticBeam(Strategy):
    """Stochastic beam search: ``width`` samples without replacement."""

    name = "stochastic"
    title = "Stochastic beam search"
    meaning = "Samples without replacement: every hypothesis is another one"

    width: int = at_once(5, "Width", "Samples that go on at each step")
    temperature: float = temperature()
    seed: int = seed()


class StochasticBeamSearch:
    """``width`` distinct samples of softmax(score / temperature), a token at a time."""

    def __init__(self, field: "Field", settings: StochasticBeam) -> None:
        self._field = field
        self._width = settings.width
        self._temperature = settings.temperature
        self._random = uniform(settings.seed)
        self._beams: dict[int, tuple[float, float]] = {field.start: (0.0, 0.0)}
        """Of each beam: log-prob of the sampling distribution, and its perturbed value."""
        self._length = 0

    def step(self) -> Step | None:
        """Lengthen all open beams by one token."""
        field, ledger = self._field, self._field.ledger
        going = {n: v for n, v in self._beams.items() if not field.is_cut(n)}
        states = [node for node in going if not self._is_finished(node)]
        if not states or self._length >= field.max_tokens:
            return None
        actions = field.expand(states)
        length, random = self._length + 1, forked(self._random)
        found = [(value, node, -1, -1) for node, value in going.items() if node not in states]
        for row, state in enumerate(states):
            phi, perturbed = going[state]
            logp = phi + log_softmax(actions.scores[row], self._temperature)
            gumbel = conditioned(logp, perturbed, random)
            top = np.argsort(-gumbel)[: self._width + 1]
            found += [((float(logp[t]), float(gumbel[t])), state, row, t) for t in top.tolist()]
        found.sort(key=lambda item: -item[0][1])
        new = [item for item in found if item[2] >= 0]
        nodes = actions.take([item[2] for item in new], [item[3] for item in new]).tolist()
        reached = iter(nodes)
        last = length >= field.max_tokens
        beams: dict[int, tuple[float, float]] = {}
        for rank, (value, state, row, token) in enumerate(found):
            node = state if row < 0 else next(reached)
            if rank >= self._width:
                ledger.mark(node, Status.PRUNED, Reason.NOT_DRAWN)
                continue
            beams[node] = value
            if token == field.closing or (last and row >= 0):
                closed = token == field.closing
                ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
            elif row >= 0:
                ledger.mark(node, Status.KEPT)
        fraction = 1.0 if all(map(self._is_finished, beams)) else 0.0
        step = ledger.step(field.ranked(beams), max(fraction, length / field.max_tokens))
        self._beams, self._length, self._random = beams, length, random
        return step

    def _is_finished(self, node: int) -> bool:
        return node != self._field.start and self._field.ledger.status(node) == Status.FINISHED


def conditioned(
    logp: NDArray[np.float64], top: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Draw Gumbel variables with locations ``logp`` [V], given that the highest of them is ``top``.

    Appendix B.3 of the paper, in the form that does not lose digits.
    """
    free = logp + random.gumbel(size=len(logp))
    with np.errstate(divide="ignore"):
        v = top - free + np.log1p(-np.exp(np.minimum(free - free.max(), 0.0)))
    shifted: NDArray[np.float64] = top - np.maximum(v, 0) - np.log1p(np.exp(-np.abs(v)))
    return shifted


register(StochasticBeam, StochasticBeamSearch)
