"""Searches by beam sampling: beam search whose candidates are drawn, not the best.

The conventions are those of Hugging Face's ``generate(do_sample=True, num_beams=k)``: at each step
2k of all beams' continuations are drawn without replacement from softmax(score / temperature),
and beam search goes on with these as if they were the best. There, too, a score is summed before
the softmax is taken over all beams together, so that a beam that is behind is seldom drawn from.

What differs: scores and length penalty are the objective's own, not divided by the temperature,
which changes no order; nothing is filtered out (there ``top_k`` is 50 unless it is said); where
probabilities round to 0, as when it is cold, the draw still goes by the scores, and is in the end
beam search (``torch.multinomial`` takes any of them); the search ends as with
``early_stopping="never"``; pinned nodes go on undrawn. The same seed draws other tokens.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.search.randomness import forked, uniform
from core.search.spec import Strategy, at_once, seed, temperature
from core.search.strategies import register
from core.search.strategies.beam import Beams, BeamSearch

if TYPE_CHECKING:
    from core.search.field import Actions, Field
    from core.search.grown import Step


@dataclass(frozen=True, slots=True)
class BeamSample(Strategy):
    """Draws twice ``width`` continuations at each step, and goes on with the ``width`` best."""

    name = "beam-sample"
    title = "Beam sampling"
    meaning = "Twice the width of continuations is drawn at random, and the best of these go on"

    width: int = at_once(5, "Width", "Hypotheses that go on at each step")
    temperature: float = temperature()
    seed: int = seed()


class BeamSampler(BeamSearch):
    """Does a beam search that draws its candidates."""

    def __init__(self, field: "Field", settings: BeamSample) -> None:
        super().__init__(field, settings.width)
        self._temperature = settings.temperature
        self._random = uniform(settings.seed)
        self._draws = self._random
        """The random numbers of the step under way."""

    def step(self) -> "Step | None":
        """Lengthen all beams by one token; one that fails draws the same the next time."""
        self._draws = forked(self._random)
        step = super().step()
        self._random = self._draws
        return step

    def _candidates(
        self, group: Beams, actions: "Actions", states: list[int], chosen: Counter[int]
    ) -> list[tuple[float, int, int]]:
        """Return 2k continuations drawn without replacement, the best first.

        The 2k highest of score + temperature · a Gumbel variable are such a draw (Gumbel-top-k);
        those of all beams are among those of each.
        """
        wanted = 2 * group.width
        drawn: list[tuple[float, tuple[float, int, int]]] = []
        for node in group.running:
            row = states.index(node)
            scores = self._field.score[node] + actions.scores[row].double().cpu().numpy()
            moved = scores + self._temperature * self._draws.gumbel(size=len(scores))
            top = np.argpartition(-moved, min(wanted, len(moved)) - 1)[:wanted].tolist()
            drawn += [(float(moved[t]), (float(scores[t]), row, t)) for t in top]
        drawn.sort(key=lambda one: -one[0])
        return sorted((one for _, one in drawn[:wanted]), key=lambda one: -one[0])


register(BeamSample, BeamSampler)
