"""Monte Carlo tree search with PUCT (Silver et al., arXiv 1712.01815).

A simulation walks down by PUCT, expands the state it ends in, and judges it. The prior of a
child is softmax of the objective over the children opened, its value the mean of what the
simulations below it found: the prefix value gain Σ r/β (Eq. 10), or that of a sampled rollout.
Values are scaled to 0..1 by the range seen so far, so that ``exploration`` needs no units.
"""

import math
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.search.grown import Reason, Status, Step
from core.search.randomness import draw, forked, log_softmax, uniform
from core.search.spec import Strategy, at_once, in_all, seed, temperature
from core.search.strategies import register
from core.setting import setting

if TYPE_CHECKING:
    from core.search.field import Actions, Field


@dataclass(frozen=True, slots=True)
class TreeSearch(Strategy):
    """Monte Carlo tree search: PUCT over the ``children`` likeliest tokens of each state.

    ``value``: how a leaf is judged: its "gain" (the prefix value gain, Eq. 10), or a "rollout" of
    up to ``rollout`` sampled tokens.
    """

    name = "mcts"
    title = "Monte Carlo tree search"
    meaning = "Walks that balance what has paid off against what was hardly tried (PUCT)"
    needs_reference = True

    simulations: int = in_all(200, "Simulations", "Walks from the start, one leaf each")
    children: int = at_once(8, "Children", "Continuations that each expanded state opens")
    exploration: float = setting(
        1.5, "Exploration", "How much the untried counts against the good", 0, step=0.1
    )
    value: str = setting(
        "gain",
        "Leaf value",
        "gain: the prefix value gain (Eq. 10); rollout: a sampled continuation's score",
        words=("gain", "rollout"),
    )
    rollout: int = in_all(16, "Rollout", "Tokens sampled from a leaf to judge it")
    temperature: float = temperature()
    seed: int = seed()


@dataclass(frozen=True)
class Branch:
    """What simulations know of a node."""

    prior: float
    gain: float
    """Σ log π − log π_ref from the start to the node: its prefix value gain over β."""
    ended: bool = False
    total: float = 0.0
    visits: int = 0
    children: Sequence[int] = ()


Branches = MutableMapping[int, Branch]


@dataclass(frozen=True)
class Seen:
    """What the simulations so far have come to."""

    done: int = 0
    low: float = math.inf
    high: float = -math.inf
    """The range of the values found."""
    ends: tuple[int, ...] = ()
    """Finished hypotheses that were walked to."""


class MonteCarlo:
    """``simulations`` walks; one forward each, and one for each token of a rollout."""

    def __init__(self, field: "Field", settings: TreeSearch) -> None:
        self._field = field
        self._settings = settings
        self._random = uniform(settings.seed)
        self._branches = {field.start: Branch(1.0, 0.0)}
        self._seen = Seen()
        self._rollout: list[int] | None = None
        """The walk whose rollout is under way, and the rollout's nodes so far."""
        self._walk: list[int] = []

    def step(self) -> Step | None:
        """Do one simulation, or draw one token of its rollout."""
        field, seen = self._field, self._seen
        changed: dict[int, Branch] = {}
        branches: Branches = ChainMap(changed, self._branches)
        walk, rollout, random = self._walk, self._rollout, self._random
        if rollout is None:
            if seen.done >= self._settings.simulations:
                return None
            found = self._descend()
            if found is None:
                return None
            walk, leaf = found, branches[found[-1]]
            if not leaf.ended:
                self._open_up(walk[-1], branches, field.expand([walk[-1]], visit=False))
            if not leaf.ended and self._settings.value == "rollout":
                rollout = []
            else:
                seen = self._back_up(walk, branches, leaf.gain)
        else:
            random = forked(random)
            rollout, ended = self._roll(rollout, random)
            if ended:
                gain = branches[walk[-1]].gain + sum(map(self._log_ratio, rollout))
                seen, rollout = self._back_up(walk, branches, gain), None
        best = self._best(branches, seen)
        step = field.ledger.step(best, seen.done / self._settings.simulations)
        self._branches |= changed
        self._seen, self._walk, self._rollout, self._random = seen, walk, rollout, random
        return step

    def _descend(self) -> list[int] | None:
        """Return a walk to a leaf, by PUCT; None if everything was pruned by hand."""
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
        spread = self._seen.high - self._seen.low
        value = (known - self._seen.low) / spread if spread > 0 else 0.5
        bonus = branch.prior * math.sqrt(parent.visits + 1) / (1 + branch.visits)
        return value + self._settings.exploration * bonus

    def _open_up(self, state: int, branches: Branches, actions: "Actions") -> None:
        """Open the best children of an expanded state."""
        field = self._field
        gains, tokens = actions.best(self._settings.children)
        nodes = actions.take([0] * tokens.shape[1], tokens[0].tolist()).tolist()
        prior = np.exp((gains[0] - gains[0].max()) / self._settings.temperature)
        prior = prior / prior.sum()
        parent = branches[state] = replace(branches[state], children=nodes)
        for node, token, share in zip(nodes, tokens[0].tolist(), prior.tolist(), strict=True):
            last = field.length(node) >= field.max_tokens
            closed = token == field.closing
            gain = parent.gain + self._log_ratio(node)
            branches[node] = Branch(share, gain, closed or last)
            if closed or last:
                reason = Reason.CLOSED if closed else Reason.LENGTH
                field.ledger.mark(node, Status.FINISHED, reason)
            else:
                field.ledger.mark(node, Status.OPEN)
        field.ledger.mark(state, Status.KEPT)

    def _roll(self, rollout: list[int], random: np.random.Generator) -> tuple[list[int], bool]:
        """Draw one more token of a rollout; and whether it has ended with that."""
        field = self._field
        end = (rollout or self._walk)[-1]
        actions = field.expand([end], visit=False)
        token = draw(log_softmax(actions.scores[0], self._settings.temperature), random)
        node = int(actions.take([0], [token])[0])
        closed = token == field.closing
        last = field.length(node) >= field.max_tokens
        if closed or last:
            field.ledger.mark(node, Status.FINISHED, Reason.CLOSED if closed else Reason.LENGTH)
        elif node not in self._branches:
            field.ledger.mark(node, Status.PRUNED, Reason.NOT_DRAWN)
        rollout = [*rollout, node]
        return rollout, closed or last or len(rollout) >= self._settings.rollout

    def _back_up(self, walk: list[int], branches: Branches, gain: float) -> Seen:
        """Tell all nodes of a walk what it found."""
        for node in walk:
            branch = branches[node]
            branches[node] = replace(branch, visits=branch.visits + 1, total=branch.total + gain)
            self._field.ledger.visit(node)
        seen, end = self._seen, walk[-1]
        first = branches[end].ended and branches[end].visits == 1
        ends = (*seen.ends, end) if first else seen.ends
        return Seen(seen.done + 1, min(seen.low, gain), max(seen.high, gain), ends)

    def _log_ratio(self, node: int) -> float:
        column = self._field.pair.tree.column
        return float(column("logp_policy")[node] - column("logp_reference")[node])

    def _best(self, branches: Branches, seen: Seen) -> list[int]:
        """Return finished hypotheses, then the end of the way that was walked most."""
        node = self._field.start
        while children := branches[node].children:
            node = max(children, key=lambda child: branches[child].visits)
            if not branches[node].visits:
                break
        walked = [] if node == self._field.start or node in seen.ends else [node]
        return self._field.ranked(seen.ends) + self._field.ranked(walked)


register(TreeSearch, MonteCarlo)
