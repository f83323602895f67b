"""Chunk-level beam search: weak-to-strong search (Zhou et al., arXiv 2405.19262).

From each beam a few chunks of tokens are sampled from the model that is to be steered (the base
where there is one, else the reference), and the beams of the best objective go on; the paper's
objective is the reward alone, the log-ratio of a small pair.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.search.grown import Reason, Status, Step
from core.search.randomness import draw, forked, log_softmax, uniform
from core.search.spec import Strategy, at_once, in_all, seed, temperature
from core.search.strategies import register

if TYPE_CHECKING:
    from core.search.field import Field


@dataclass(frozen=True, slots=True)
class ChunkBeam(Strategy):
    """Chunk-level beam search: from each of ``width`` beams, ``samples`` chunks of ``chunk`` tokens
    are sampled; the best ``width`` go on."""

    name = "chunk"
    title = "Chunk-level beam search"
    meaning = "Chunks of tokens are sampled, and the best go on (weak-to-strong search)"
    needs_reference = True

    width: int = at_once(3, "Width", "Hypotheses that go on after each chunk")
    samples: int = at_once(4, "Samples", "Chunks sampled from each hypothesis")
    chunk: int = in_all(5, "Chunk", "Tokens of a chunk")
    temperature: float = temperature()
    seed: int = seed()


class ChunkSearch:
    """Beams that grow by sampled chunks; every step lengthens all samples by one token."""

    def __init__(self, field: "Field", settings: ChunkBeam) -> None:
        from core.models.pair import BASE, REFERENCE

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
        samples = [node for node in self._samples if not field.is_cut(node)]
        beams = [node for node in self._beams if not field.is_cut(node)]
        samples = samples or [node for node in beams for _ in range(how.samples)]
        going = [node for node in samples if node not in self._finished]
        if not going or self._length >= field.max_tokens:
            return None
        states = list(dict.fromkeys(going))
        actions = field.expand(states)
        length, random = self._length + 1, forked(self._random)
        row = {state: index for index, state in enumerate(states)}
        logp = [log_softmax(scores, how.temperature) for scores in actions.logp(self._proposer)]
        rows = [row[node] for node in going]
        tokens = [draw(logp[r], random) for r in rows]
        samples = actions.take(rows, tokens).tolist()
        last, finished = length >= field.max_tokens, list(self._finished)
        for node, token in zip(samples, tokens, strict=True):
            closed = token == field.closing
            if closed or last:
                field.ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
                finished.append(node)
            else:
                field.ledger.mark(node, Status.KEPT)
        if last or length % how.chunk == 0 or all(n in finished for n in samples):
            beams, samples = self._choose(samples, finished), []
        open_ends = [node for node in samples or beams if node not in finished]
        best = field.ranked(finished) + field.ranked(open_ends)
        step = field.ledger.step(best, length / field.max_tokens if open_ends else 1.0)
        self._samples, self._beams, self._finished = samples, beams, finished
        self._length, self._random = length, random
        return step

    def _choose(self, samples: list[int], finished: list[int]) -> list[int]:
        """Return the best beams, which go on; a finished one holds its place by its score."""
        field = self._field
        ends = field.ranked([*finished, *samples])
        kept = ends[: self._settings.width]
        for pin in field.pinned:
            through = [end for end in ends if pin in field.way(end)]
            if through and not any(end in kept for end in through):
                kept.append(through[0])
        used = {node for leaf in (*kept, *finished) for node in field.way(leaf)}
        for end in ends:
            if end not in kept and end not in finished:
                for node in field.way(
                    end
                ):  # what is only on the way to an end that goes no further
                    if node not in used:
                        field.ledger.mark(node, Status.PRUNED, Reason.OUTSCORED)
        return [node for node in kept if node not in finished]


register(ChunkBeam, ChunkSearch)
