"""What a search sees of the pair: states to expand, and scored actions to take from them.

Every strategy works on a ``Field``. It expands states (one forward for all of them), reads the
objective's increment of every action, takes some, and says in the field's ledger what became of
the nodes. Knows nothing of any strategy.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import UserFacingError
from core.models.line import Nodes
from core.models.pair import BASE, BOTH, POLICY, Pair, Rows, state_numbers
from core.progress import never
from core.search.grown import Reason, Status, Step
from core.search.spec import SearchSpec
from core.tree import BASE_COLUMN, STATE_COLUMNS

_numbers = itertools.count(1)


class Algorithm(Protocol):
    """What does a strategy: a search that can be stopped anywhere and resumed.

    A step works on copies of the algorithm's state, its random numbers too
    (``randomness.forked``). Its last act that can fail is ``Ledger.step``; only then are the
    copies put in place, by assignments alone.
    """

    def step(self) -> Step | None:
        """Do one whole step, or none of it.

        Returns:
            What it did; None if the search had ended.

        Raises:
            Exception: whatever prevented it (Cancelled by ``Field.cancelled``, a lack of memory,
                ...); the next call does the same step again.
        """
        ...


class Actions:
    """All actions at some states that every model has, scored.

    ``scores`` [m, V]: by how much the objective grows with each action, float32.
    """

    def __init__(self, field: "Field", states: Nodes, logits: torch.Tensor) -> None:
        self.states = states
        self._field = field
        self._logits = logits[..., : field.pair.shared]
        self._logsumexp = field.note_states(states, logits)
        weights = field.weights
        self.scores = self.logp(0) if weights == [1.0] else self._weighted(weights)

    def logp(self, row: int) -> torch.Tensor:
        """Return log-probs of every action under one of the field's models, [m, V]."""
        return self._logits[row] - self._logsumexp[row, :, None]

    def _weighted(self, weights: list[float]) -> torch.Tensor:
        total = torch.zeros_like(self._logits[0])
        for row, weight in enumerate(weights):
            if weight:
                total.add_(self.logp(row), alpha=weight)
        return total

    def best(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the ``count`` best actions at each state: scores and tokens, [m, count]."""
        top = torch.topk(self.scores, min(count, self.scores.shape[1]), dim=-1)
        return top.values.double().cpu().numpy(), top.indices.cpu().numpy()

    def take(self, rows: Iterable[int], tokens: Iterable[int]) -> Nodes:
        """Return the nodes that actions lead to: ``tokens[i]`` at state ``states[rows[i]]``."""
        at, taken = np.array(list(rows), np.int64), np.array(list(tokens), np.int64)
        nodes = self._field.pair.tree.grow(self.states[at], taken)
        if not len(nodes):
            return nodes
        where = torch.from_numpy(at), torch.from_numpy(taken)
        logits = self._logits[:, where[0], where[1]]
        logp = (logits - self._logsumexp[:, where[0]]).double().cpu().numpy()
        values = np.concatenate([logp, logits[:1].double().cpu().numpy()])
        self._field.pair.write((*self._field.columns, "logit"), nodes, values)
        gain = self.scores[where].double().cpu().numpy()
        for node, row, more in zip(nodes.tolist(), at, gain.tolist(), strict=True):
            self._field.score[node] = self._field.score[int(self.states[row])] + more
        return nodes


class Field:
    """One search's view of a pair, from the state ``start`` on.

    Raises:
        UserFacingError: the objective needs a model that is not loaded, or there is no room left
            in the context.
    """

    def __init__(self, pair: Pair, start: int, spec: SearchSpec) -> None:
        self.pair = pair
        self.line = f"search {next(_numbers)}"
        """The line of the pair that keeps this search's KV."""
        self.start = start
        self.spec = spec
        self.closing = pair.codec.end_of_turn
        self.cancelled: Callable[[], bool] = never
        self.ledger = Ledger()
        self.score: dict[int, float] = {start: 0.0}
        """The objective summed from the start to each node that was taken."""
        self.pruned: set[int] = set()
        self.pinned: set[int] = set()
        self.computed = 0
        """Tokens that went through the models for this search."""
        objective = spec.objective
        if objective.base and pair.base is None:
            raise UserFacingError(
                "Emulated fine-tuning needs a third model: name it with --search-base DIR."
            )
        self.rows: Rows = BOTH
        self.weights = [objective.policy, objective.reference]
        self.columns = ["logp_policy", "logp_reference"]
        if pair.alone and (not objective.policy_alone or spec.strategy.needs_reference):
            raise UserFacingError(
                "This search needs a reference, and the policy was opened alone: search for its "
                "likelihood (λ = 1), or open the pair with a reference."
            )
        if (spec.policy_only or pair.alone) and objective.policy_alone:
            self.rows, self.weights, self.columns = (POLICY,), [objective.policy], ["logp_policy"]
        elif pair.base is not None:
            self.rows = (*BOTH, BASE)
            self.weights.append(objective.base)
            self.columns.append(BASE_COLUMN)
        self._depth = int(pair.tree.depth[start])
        room = pair.context_length - self._depth
        if room < 1:
            raise UserFacingError(
                f"The prompt fills the models' context of {pair.context_length} tokens: shorten it."
            )
        self.max_tokens = min(spec.max_tokens, room)

    def nodes(self) -> Nodes:
        """Return all nodes that this search knows by number."""
        return np.array([*self.score, *self.pruned, *self.pinned], dtype=np.int64)

    def expand(self, states: Iterable[int], visit: bool = True) -> Actions:
        """Return all actions at some states, after one forward for what is new of them.

        ``visit``: count a visit of each; a search that counts its own says no.
        """
        nodes = np.array(list(states), dtype=np.int64)
        self.computed += self.pair.reach(nodes, self.rows, self.cancelled, self.line)
        actions = Actions(self, nodes, self.pair.logits(nodes, self.rows))
        for node in nodes.tolist():
            self.ledger.visit(node, int(visit))
        return actions

    def reach(self, state: int) -> None:
        """Run the whole path to a state, in as few forwards as can be."""
        self.computed += self.pair.reach(np.array([state]), self.rows, self.cancelled, self.line)

    def note_states(self, states: Nodes, logits: torch.Tensor) -> torch.Tensor:
        """Write what is said of states into the tree; log-partitions [rows, m]."""
        if self.rows == (POLICY,):
            logsumexp = torch.logsumexp(logits, dim=-1)
            self.pair.write(("logsumexp",), states, logsumexp.double().cpu().numpy())
            return logsumexp
        logsumexp, numbers = state_numbers(logits[:2], self.pair.widths)
        self.pair.write(STATE_COLUMNS, states, numbers.double().cpu().numpy())
        if len(logits) > len(logsumexp):
            logsumexp = torch.cat([logsumexp, torch.logsumexp(logits[2:], dim=-1)])
        return logsumexp

    def length(self, node: int) -> int:
        """Return the number of tokens from the start to a node."""
        return int(self.pair.tree.depth[node]) - self._depth

    def normalised(self, node: int) -> float:
        """Return a node's score as finished hypotheses are compared by it."""
        return self.score[node] / float(max(1, self.length(node)) ** self.spec.length_penalty)

    def way(self, node: int) -> list[int]:
        """Return the nodes from the start (left out) to ``node``."""
        path: list[int] = self.pair.tree.path(node)[self._depth :].tolist()
        return path

    def is_cut(self, node: int) -> bool:
        """Return whether a node was pruned by hand, or one before it."""
        return bool(self.pruned) and not self.pruned.isdisjoint(self.way(node))

    def ranked(self, nodes: Iterable[int]) -> list[int]:
        """Return hypotheses, the best first, each once, without those pruned by hand."""
        whole = [node for node in dict.fromkeys(nodes) if not self.is_cut(node)]
        return sorted(whole, key=self.normalised, reverse=True)


class Ledger:
    """What has become of each node of one search, and what of that is new since the last step.

    What a step marks counts for nothing until ``step`` has told of all of it.
    """

    def __init__(self) -> None:
        self._state: dict[int, tuple[Status, Reason]] = {}
        self._visits: dict[int, int] = {}
        self._news: set[int] = set()
        """Marked between two steps, and not told of yet."""
        self._marked: dict[int, tuple[Status, Reason]] = {}
        self._visited: dict[int, int] = {}
        """Of the step under way: marks, and visits so far."""
        self._steps = 0

    def begin(self) -> None:
        """Begin a step; forget what one that failed has marked."""
        self._marked.clear()
        self._visited.clear()

    def mark(self, node: int, status: Status, reason: Reason = Reason.NONE) -> None:
        """Set what has become of a node."""
        if self._known(node) != (status, reason):
            self._marked[node] = status, reason

    def visit(self, node: int, times: int = 1) -> None:
        """Note that the search has come through a node, or (no times) knows more of it."""
        self._visited[node] = self.visits(node) + times
        if self._known(node) is None:
            self._marked[node] = Status.KEPT, Reason.NONE

    def mark_now(self, node: int, status: Status, reason: Reason = Reason.NONE) -> None:
        """Set what has become of a node between two steps; the next one tells of it."""
        if self._known(node) != (status, reason):
            self._news.add(node)
            self._state[node] = status, reason

    def status(self, node: int) -> Status | None:
        """Return what has become of a node; None if it was never marked."""
        found = self._known(node)
        return found[0] if found else None

    def visits(self, node: int) -> int:
        """Return how often the search has come through a node."""
        return self._visited.get(node, self._visits.get(node, 0))

    def _known(self, node: int) -> tuple[Status, Reason] | None:
        return self._marked.get(node, self._state.get(node))

    def step(self, best: Iterable[int], fraction: float) -> Step:
        """Return all that is new, as one step, and end the step."""
        # A child's number is higher than its parent's.
        nodes = sorted(self._news | self._marked.keys() | self._visited.keys())
        state = [self._known(node) or (Status.KEPT, Reason.NONE) for node in nodes]
        step = Step(
            number=self._steps + 1,
            nodes=np.array(nodes, dtype=np.int64),
            status=np.array([status for status, _ in state], dtype=np.int8),
            reason=np.array([reason for _, reason in state], dtype=np.int8),
            visits=np.array([self.visits(node) for node in nodes], dtype=np.int64),
            best=np.array(list(best), dtype=np.int64),
            fraction=min(1.0, fraction),
        )
        self._state |= self._marked
        self._visits |= self._visited
        self._news.clear()
        self._steps += 1
        self.begin()
        return step
