"""Monte Carlo tree search with PUCT (Silver et al., arXiv 1712.01815).

A simulation walks down by PUCT, expands the state it ends in, and judges it. The prior of a
child is softmax of the objective over the children opened, its value the mean of what the
simulations below it found: the prefix value gain Σ r/β (Eq. 10), or that of a sampled rollout.
Values are scaled to 0..1 by the range seen so far, so that ``exploration`` needs no units.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from core.growth import Reason, Status, Step, TreeSearch
from core.search.field import Actions, Field
from core.search.randomness import draw, log_softmax, uniform


@dataclass
class Branch:
    """What simulations know of a node."""

    prior: float
    gain: float
    """Σ log π − log π_ref from the start to the node: its prefix value gain over β."""
    ended: bool = False
    total: float = 0.0
    visits: int = 0
    children: list[int] = field(default_factory=list)


class MonteCarlo:
    """``simulations`` walks; one forward each, and one for each token of a rollout."""

    def __init__(self, field: Field, settings: TreeSearch) -> None:
        self._field = field
        self._settings = settings
        self._random = uniform(settings.seed)
        self._branches = {field.start: Branch(1.0, 0.0)}
        self._low, self._high = math.inf, -math.inf
        self._done = 0
        self._rollout: list[int] | None = None
        """The walk whose rollout is under way, and the rollout's nodes so far."""
        self._walk: list[int] = []

    def step(self) -> Step | None:
        """One simulation, or one token of its rollout."""
        field = self._field
        if self._rollout is None:
            if self._done >= self._settings.simulations:
                return None
            walk = self._descend()
            if walk is None:
                return None
            leaf = self._branches[walk[-1]]
            if leaf.ended:
                self._back_up(walk, leaf.gain)
            else:
                self._open_up(walk[-1], field.expand([walk[-1]], visit=False))
                if self._settings.value == "rollout":
                    self._walk, self._rollout = walk, []
                else:
                    self._back_up(walk, leaf.gain)
        else:
            self._roll()
        return field.ledger.step(self._best(), self._done / self._settings.simulations)

    def _descend(self) -> list[int] | None:
        """From the start to a leaf, by PUCT; None if everything was pruned by hand."""
        walk = [self._field.start]
        while (branch := self._branches[walk[-1]]).children:
            children = [c for c in branch.children if c not in self._field.pruned]
            if not children:
                return None if len(walk) == 1 else walk
            walk.append(max(children, key=lambda child: self._puct(branch, child)))
        return walk

    def _puct(self, parent: Branch, child: int) -> float:
        branch = self._branches[child]
        known = branch.total / branch.visits if branch.visits else parent.gain
        spread = self._high - self._low
        value = (known - self._low) / spread if spread > 0 else 0.5
        bonus = branch.prior * math.sqrt(parent.visits + 1) / (1 + branch.visits)
        return value + self._settings.exploration * bonus

    def _open_up(self, state: int, actions: Actions) -> None:
        """Open the best children of an expanded state."""
        field = self._field
        gains, tokens = actions.best(self._settings.children)
        nodes = actions.take([0] * tokens.shape[1], tokens[0].tolist()).tolist()
        prior = np.exp((gains[0] - gains[0].max()) / self._settings.temperature)
        prior = prior / prior.sum()
        parent = self._branches[state]
        parent.children = nodes
        for node, token, share in zip(nodes, tokens[0].tolist(), prior.tolist(), strict=True):
            last = field.length(node) >= field.max_tokens
            closed = token == field.closing
            self._branches[node] = Branch(
                share, parent.gain + self._log_ratio(node), closed or last
            )
            if closed or last:
                reason = Reason.CLOSED if closed else Reason.LENGTH
                field.ledger.mark(node, Status.FINISHED, reason)
            else:
                field.ledger.mark(node, Status.OPEN)
        field.ledger.mark(state, Status.KEPT)

    def _roll(self) -> None:
        """Draw one more token of the rollout; at its end, judge the walk by it."""
        assert self._rollout is not None
        field = self._field
        end = (self._rollout or self._walk)[-1]
        actions = field.expand([end], visit=False)
        token = draw(log_softmax(actions.scores[0], self._settings.temperature), self._random)
        node = int(actions.take([0], [token])[0])
        closed = token == field.closing
        last = field.length(node) >= field.max_tokens
        if closed or last:
            field.ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
        elif node not in self._branches:
            field.ledger.mark(node, Status.PRUNED, Reason.NOT_DRAWN)
        self._rollout.append(node)
        if closed or last or len(self._rollout) >= self._settings.rollout:
            gain = self._branches[self._walk[-1]].gain + sum(map(self._log_ratio, self._rollout))
            self._back_up(self._walk, gain)
            self._rollout = None

    def _back_up(self, walk: list[int], gain: float) -> None:
        self._low, self._high = min(self._low, gain), max(self._high, gain)
        for node in walk:
            branch = self._branches[node]
            branch.visits += 1
            branch.total += gain
            self._field.ledger.visit(node)
        self._done += 1

    def _log_ratio(self, node: int) -> float:
        column = self._field.pair.tree.column
        return float(column("logp_policy")[node] - column("logp_reference")[node])

    def _best(self) -> list[int]:
        """Finished hypotheses, then the end of the way that was walked most."""
        ends = [n for n, b in self._branches.items() if b.ended and b.visits]
        node = self._field.start
        while children := self._branches[node].children:
            node = max(children, key=lambda child: self._branches[child].visits)
            if not self._branches[node].visits:
                break
        walked = [] if node == self._field.start or node in ends else [node]
        return self._field.ranked(ends) + self._field.ranked(walked)
