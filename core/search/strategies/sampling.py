"""Sampling, and best-of-n: responses drawn token by token, the best of them by the objective."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.search.grown import Reason, Status, Step
from core.search.randomness import draw, forked, log_softmax, uniform
from core.search.spec import Strategy, at_once, seed, temperature
from core.search.strategies import register
from core.setting import setting

if TYPE_CHECKING:
    from core.search.field import Field


@dataclass(frozen=True, slots=True)
class Sampling(Strategy):
    """``count`` responses sampled from softmax(score / temperature), the best of them first."""

    name = "sample"
    title = "Sampling"
    meaning = "Responses drawn at random, the best of them first"

    count: int = at_once(8, "Samples", "How many responses to draw")
    temperature: float = temperature()
    top_p: float = setting(
        1.0,
        "Top p",
        "Draw from the likeliest tokens that make up this much",
        0,
        1,
        above=True,
        step=0.1,
    )
    min_p: float = setting(
        0.0, "Min p", "Leave out tokens less likely than this share of the best", 0, 1, step=0.1
    )
    seed: int = seed()


class Sampler:
    """``count`` independent responses, all lengthened in one forward."""

    def __init__(self, field: "Field", settings: Sampling) -> None:
        self._field = field
        self._settings = settings
        self._random = uniform(settings.seed)
        self._open = [field.start] * settings.count
        self._finished: list[int] = []
        self._length = 0

    def step(self) -> Step | None:
        """Draw one token for each open response."""
        field, ledger, how = self._field, self._field.ledger, self._settings
        going = [node for node in self._open if not field.is_cut(node)]
        if not going or self._length >= field.max_tokens:
            return None
        states = list(dict.fromkeys(going))
        actions = field.expand(states)
        length, random = self._length + 1, forked(self._random)
        row = {state: index for index, state in enumerate(states)}
        logp = [log_softmax(scores, how.temperature) for scores in actions.scores]
        rows = [row[node] for node in going]
        tokens = [draw(logp[r], random, how.top_p, how.min_p) for r in rows]
        nodes = actions.take(rows, tokens).tolist()
        last = length >= field.max_tokens
        finished, going = list(self._finished), []
        for node, token in zip(nodes, tokens, strict=True):
            closed = token == field.closing
            if closed or last:
                ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
                finished.append(node)
            else:
                ledger.mark(node, Status.KEPT)
                going.append(node)
        best = field.ranked(finished) + field.ranked(going)
        step = ledger.step(best, 1.0 if not going else length / field.max_tokens)
        self._open, self._finished = going, finished
        self._length, self._random = length, random
        return step


register(Sampling, Sampler)
