"""Beam search: the strategy, and the algorithm that diverse and sampled beams share with it.

The conventions are those of Hugging Face's ``generate`` with ``early_stopping="never"``: of the
2k best continuations of a step, a closing token among the first k becomes a finished hypothesis,
and the k best others go on; the search ends when no beam can overtake the k-th finished one, or at
``max_tokens``, where the k best are finished as they are.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.search.grown import Reason, Status, Step
from core.search.spec import Strategy, at_once
from core.search.strategies import register

if TYPE_CHECKING:
    from core.search.field import Actions, Field


@dataclass(frozen=True, slots=True)
class Beam(Strategy):
    """Beam search: of all continuations, the ``width`` best go on at each step."""

    name = "beam"
    title = "Beam search"
    meaning = "Of all continuations, the best few go on at each step"

    width: int = at_once(5, "Width", "Hypotheses that go on at each step")


@dataclass
class Beams:
    """The beams of one group: nodes that go on, and the finished hypotheses."""

    width: int
    running: list[int]
    finished: list[int] = field(default_factory=list)
    ended: bool = False


class BeamSearch:
    """``groups`` beam searches of one start, step by step in one forward."""

    def __init__(self, field: "Field", width: int, groups: int = 1, diversity: float = 0.0) -> None:
        self._field = field
        self._diversity = diversity
        self._groups = [Beams(width // groups, [field.start]) for _ in range(groups)]
        self._length = 0

    def step(self) -> Step | None:
        """Lengthen all beams by one token."""
        field = self._field
        groups = [self._uncut(group) for group in self._groups]
        going = [group for group in groups if not group.ended]
        if not going or self._length >= field.max_tokens:
            return None
        states = list(dict.fromkeys(node for group in going for node in group.running))
        actions = field.expand(states)
        length = self._length + 1
        chosen: Counter[int] = Counter()
        for group in going:
            self._advance(group, length, actions, states, chosen)
        best = [node for group in groups for node in group.finished]
        open_ends = [n for group in groups if not group.ended for n in group.running]
        ended = all(group.ended for group in groups)
        ranked = field.ranked(best) + field.ranked(open_ends)
        step = field.ledger.step(ranked, 1.0 if ended else length / field.max_tokens)
        self._groups, self._length = groups, length
        return step

    def _uncut(self, group: Beams) -> Beams:
        """Return a copy of a group, without what was pruned by hand."""
        running = [node for node in group.running if not self._field.is_cut(node)]
        return Beams(group.width, running, list(group.finished), group.ended or not running)

    def _advance(
        self,
        group: Beams,
        length: int,
        actions: "Actions",
        states: list[int],
        chosen: Counter[int],
    ) -> None:
        """Lengthen the beams of a group to ``length`` tokens."""
        field, ledger = self._field, self._field.ledger
        candidates = self._candidates(group, actions, states, chosen)
        nodes = actions.take([c[1] for c in candidates], [c[2] for c in candidates]).tolist()
        tokens = dict(zip(nodes, (c[2] for c in candidates), strict=True))
        last = length >= field.max_tokens
        parents, group.running = group.running, []
        for rank, node in enumerate(nodes):
            closed = tokens[node] == field.closing
            if (closed or last) and rank < group.width:
                ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
                group.finished.append(node)
            elif closed:
                ledger.mark(node, Status.PRUNED, Reason.ENDED_OUTSCORED)
            elif not last and len(group.running) < group.width:
                ledger.mark(node, Status.KEPT)
                group.running.append(node)
            else:
                ledger.mark(node, Status.PRUNED, Reason.OUTSCORED)
        if not last:
            self._keep_pinned(group, parents, actions, states)
        chosen.update(tokens[node] for node in group.running if node in tokens)
        group.finished = field.ranked(group.finished)[: group.width]
        if last or not self._can_improve(group, length):
            group.ended = True
            for node in group.running:
                ledger.mark(node, Status.PRUNED, Reason.HOPELESS)

    def _candidates(
        self, group: Beams, actions: "Actions", states: list[int], chosen: Counter[int]
    ) -> list[tuple[float, int, int]]:
        """Return the 2k best continuations of a group, the best first.

        Each is (score, row of ``states``, token). Beam sampling draws them here.
        """
        wanted = 2 * group.width
        more = len(chosen) if self._diversity else 0  # those that the penalty may push out
        gains, tokens = actions.best(wanted + more)
        found = []
        for node in group.running:
            row = states.index(node)
            for gain, token in zip(gains[row].tolist(), tokens[row].tolist(), strict=True):
                penalty = self._diversity * chosen[token]
                found.append((self._field.score[node] + gain - penalty, row, token))
        found.sort(key=lambda candidate: -candidate[0])
        return found[:wanted]

    def _keep_pinned(
        self, group: Beams, parents: list[int], actions: "Actions", states: list[int]
    ) -> None:
        """Lengthen a beam that runs through a pinned node, beside the others if need be."""
        field = self._field
        for pin in field.pinned:
            through = [node for node in parents if node == pin or pin in field.way(node)]
            if not through or any(pin in field.way(node) for node in group.running):
                continue
            _, tokens = actions.best(2)
            best = max(through, key=field.score.__getitem__)
            row = states.index(best)
            token = next(int(t) for t in tokens[row] if t != field.closing)
            node = int(actions.take([row], [token])[0])
            field.ledger.mark(node, Status.KEPT)
            group.running.append(node)

    def _can_improve(self, group: Beams, length: int) -> bool:
        """Return whether a beam may still overtake the worst of ``width`` finished hypotheses."""
        if len(group.finished) < group.width or not group.running:
            return bool(group.running)
        penalty = self._field.spec.length_penalty
        longest = self._field.max_tokens if penalty > 0 else length
        ahead = max(self._field.score[node] for node in group.running) / longest**penalty
        return bool(ahead > self._field.normalised(group.finished[-1]))


register(Beam, lambda field, settings: BeamSearch(field, settings.width))
