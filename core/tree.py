"""The token tree: nodes are states, edges are tokens, a response is a path.

The token-level MDP of the paper as a struct of arrays, indexed by node number. Node 0 is the
empty state; every other node is its parent's state with one token appended. What the two models
said is kept on the node: the log-prob of its own token (an edge quantity) and the divergences of
the state that it is (a state quantity). NaN means "not known yet". Nodes are never removed, so a
node number stays valid for the life of the tree, and walking back to an earlier path costs
nothing.

Knows nothing of models, text, rewards or where a KV cache lies.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

ROOT = 0

EDGE_COLUMNS = ("logp_policy", "logp_reference", "rank_policy", "rank_reference", "logit")
"""Said of the token that leads to a node: nats, ranks from 1, the policy's raw logit."""

STATE_COLUMNS = ("kl", "kl_reverse", "entropy_policy", "entropy_reference", "logsumexp")
"""Said of the state that a node is, over the whole vocabulary: nats; logsumexp is the policy's."""

BASE_COLUMN = "logp_base"
"""Said of the token that leads to a node by a third model, if there is one: nats."""
_COLUMNS = (*EDGE_COLUMNS, *STATE_COLUMNS, BASE_COLUMN)
REMEMBERED = 256
"""Paths that are remembered, so that the path of a child of one of them is found at once."""


class TokenTree:
    """All states visited so far. Only the thread that runs the models may grow or fill it."""

    def __init__(self, capacity: int = 1024) -> None:
        self._size = 1
        self._structure = np.full((3, capacity), -1, dtype=np.int64)
        self._structure[2, ROOT] = 0
        self._numbers = np.full((len(_COLUMNS), capacity), np.nan)
        self._children: dict[tuple[int, int], int] = {}
        self._paths: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return self._size

    @property
    def parent(self) -> NDArray[np.int64]:
        """Parent of every node, [n]; -1 for the root."""
        return self._structure[0, : self._size]

    @property
    def token(self) -> NDArray[np.int64]:
        """Token on the edge into every node, [n]; -1 for the root."""
        return self._structure[1, : self._size]

    @property
    def depth(self) -> NDArray[np.int64]:
        """Number of tokens from the root, [n]."""
        return self._structure[2, : self._size]

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of numbers for all nodes, [n]: one of EDGE_COLUMNS or STATE_COLUMNS, or
        BASE_COLUMN. NaN where not known."""
        return self._numbers[_COLUMNS.index(name), : self._size]

    def is_observed(self, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether all EDGE_COLUMNS of each node are known."""
        known: NDArray[np.bool_] = ~np.isnan(self._numbers[: len(EDGE_COLUMNS), nodes]).any(0)
        return known

    def child(self, node: int, token: int) -> int | None:
        """The state reached from ``node`` by ``token``, None if it was never visited."""
        return self._children.get((node, token))

    def extend(self, node: int, tokens: Iterable[int]) -> NDArray[np.int64]:
        """Walk ``tokens`` from ``node``, adding the states that are new. Returns their nodes."""
        path = []
        for token in tokens:
            node = self._children.get((node, token)) or self._add(node, token)
            path.append(node)
        return np.array(path, dtype=np.int64)

    def path(self, node: int) -> NDArray[np.int64]:
        """The nodes from the root (left out) to ``node``, [depth]; not to be written to."""
        steps: list[int] = []
        at = node
        while at != ROOT and at not in self._paths:
            steps.append(at)
            at = int(self.parent[at])
        known = self._paths.get(at)
        path = np.array(steps[::-1], dtype=np.int64)
        if known is not None:
            path = np.concatenate([known, path]) if steps else known
        if len(self._paths) >= REMEMBERED:
            self._paths.clear()
        path.flags.writeable = False
        self._paths[node] = path
        return path

    def _add(self, parent: int, token: int) -> int:
        if self._size == self._structure.shape[1]:
            grow = ((0, 0), (0, self._size))
            self._structure = np.pad(self._structure, grow, constant_values=-1)
            self._numbers = np.pad(self._numbers, grow, constant_values=np.nan)
        node = self._size
        self._size += 1
        self._structure[:, node] = parent, token, self._structure[2, parent] + 1
        self._children[parent, token] = node
        return node
