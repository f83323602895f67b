"""Chunk-level beam search: weak-to-strong search (Zhou et al., arXiv 2405.19262).

From each beam a few chunks of tokens are sampled from the model that is to be steered (the base
where there is one, else the reference), and the beams of the best objective go on; the paper's
objective is the reward alone, the log-ratio of a small pair.
"""

from core.growth import ChunkBeam, Reason, Status, Step
from core.models.pair import BASE, REFERENCE
from core.search.field import Field
from core.search.randomness import draw, log_softmax, uniform


class ChunkSearch:
    """Beams that grow by sampled chunks; every step lengthens all samples by one token."""

    def __init__(self, field: Field, settings: ChunkBeam) -> None:
        self._field = field
        self._settings = settings
        self._random = uniform(settings.seed)
        self._proposer = field.rows.index(BASE if BASE in field.rows else REFERENCE)
        self._beams = [field.start]
        self._finished: list[int] = []
        self._samples: list[int] = []
        """The ends of the chunks under way, one for each sample."""
        self._length = 0

    def step(self) -> Step | None:
        """Draw one token for each sample; at the end of a chunk, choose the beams."""
        field, how = self._field, self._settings
        self._samples = [node for node in self._samples if not field.is_cut(node)]
        self._beams = [node for node in self._beams if not field.is_cut(node)]
        samples = self._samples or [node for node in self._beams for _ in range(how.samples)]
        going = [node for node in samples if node not in self._finished]
        if not going or self._length >= field.max_tokens:
            return None
        states = list(dict.fromkeys(going))
        actions = field.expand(states)
        self._length += 1
        row = {state: index for index, state in enumerate(states)}
        logp = [log_softmax(scores, how.temperature) for scores in actions.logp(self._proposer)]
        rows = [row[node] for node in going]
        tokens = [draw(logp[r], self._random) for r in rows]
        nodes = actions.take(rows, tokens).tolist()
        last = self._length >= field.max_tokens
        for node, token in zip(nodes, tokens, strict=True):
            closed = token == field.closing
            if closed or last:
                field.ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
                self._finished.append(node)
            else:
                field.ledger.mark(node, Status.KEPT)
        self._samples = nodes
        if last or self._length % how.chunk == 0 or all(n in self._finished for n in nodes):
            self._choose()
        best = field.ranked(self._finished) + field.ranked(
            node for node in self._samples or self._beams if node not in self._finished
        )
        over = not any(node not in self._finished for node in self._samples or self._beams)
        return field.ledger.step(best, 1.0 if over else self._length / field.max_tokens)

    def _choose(self) -> None:
        """Keep the best beams; a finished one holds its place by its score."""
        field = self._field
        ends = field.ranked([*self._finished, *self._samples])
        kept = ends[: self._settings.width]
        for pin in field.pinned:
            through = [end for end in ends if pin in field.way(end)]
            if through and not any(end in kept for end in through):
                kept.append(through[0])
        for end in ends:
            if end not in kept and end not in self._finished:
                self._cut_back(end, kept)
        self._beams = [node for node in kept if node not in self._finished]
        self._samples = []

    def _cut_back(self, end: int, kept: list[int]) -> None:
        """Mark what is only on the way to an end that was not kept."""
        used = {node for leaf in (*kept, *self._finished) for node in self._field.way(leaf)}
        for node in self._field.way(end):
            if node not in used:
                self._field.ledger.mark(node, Status.PRUNED, Reason.OUTSCORED)
