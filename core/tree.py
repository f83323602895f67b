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


class TokenTree:
    """All states visited so far. Only the thread that runs the models may grow or fill it."""

    def __init__(self, capacity: int = 1024) -> None:
        self._size = 1
        self._structure = np.full((3, capacity), -1, dtype=np.int64)
        self._structure[2, ROOT] = 0
        self._numbers = np.full((len(EDGE_COLUMNS + STATE_COLUMNS), capacity), np.nan)
        self._children: dict[tuple[int, int], int] = {}

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
        """One of EDGE_COLUMNS or STATE_COLUMNS for all nodes, [n]; NaN where not known."""
        row = (EDGE_COLUMNS + STATE_COLUMNS).index(name)
        return self._numbers[row, : self._size]

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
        """The nodes from the root (left out) to ``node``, [depth]."""
        steps = np.empty(int(self.depth[node]), dtype=np.int64)
        for i in range(len(steps) - 1, -1, -1):
            steps[i] = node
            node = int(self.parent[node])
        return steps

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
