"""Sampling, and best-of-n: responses drawn token by token, the best of them by the objective."""

from core.growth import Reason, Sampling, Status, Step
from core.search.field import Field
from core.search.randomness import draw, log_softmax, uniform


class Sampler:
    """``count`` independent responses, all lengthened in one forward."""

    def __init__(self, field: Field, settings: Sampling) -> None:
        self._field = field
        self._settings = settings
        self._random = uniform(settings.seed)
        self._open = [field.start] * settings.count
        self._finished: list[int] = []
        self._length = 0

    def step(self) -> Step | None:
        """Draw one token for each open response."""
        field, ledger, how = self._field, self._field.ledger, self._settings
        self._open = [node for node in self._open if not field.is_cut(node)]
        if not self._open or self._length >= field.max_tokens:
            return None
        states = list(dict.fromkeys(self._open))
        actions = field.expand(states)
        self._length += 1
        row = {state: index for index, state in enumerate(states)}
        logp = [log_softmax(scores, how.temperature) for scores in actions.scores]
        rows = [row[node] for node in self._open]
        tokens = [draw(logp[r], self._random, how.top_p, how.min_p) for r in rows]
        nodes = actions.take(rows, tokens).tolist()
        last = self._length >= field.max_tokens
        self._open = []
        for node, token in zip(nodes, tokens, strict=True):
            closed = token == field.closing
            if closed or last:
                ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
                self._finished.append(node)
            else:
                ledger.mark(node, Status.KEPT)
                self._open.append(node)
        best = field.ranked(self._finished) + field.ranked(self._open)
        return ledger.step(best, 1.0 if not self._open else self._length / field.max_tokens)
