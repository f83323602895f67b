"""The token tree: nodes are states, edges are tokens, a response is a path.

The token-level MDP of the paper as a struct of arrays, indexed by node number. Node 0 is the
empty state; every other node is its parent's state with one token appended. What the two models
said is kept on the node: the log-prob of its own token (an edge quantity) and the divergences of
the state that it is (a state quantity). NaN means "not known yet". Nodes are never removed, so a
node number stays valid for the life of the tree, and walking back to an earlier path costs
nothing.

The policy may be several models in turn (the checkpoints of a run): what each said is kept in a
*layer* of its own, over the one topology and the one reference.

Knows nothing of models, text, rewards or where a KV cache lies.
"""

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

ROOT = 0

EDGE_COLUMNS = ("logp_policy", "logp_reference", "rank_policy", "rank_reference", "logit")
"""Said of the token that leads to a node: nats, ranks from 1, the policy's raw logit."""

STATE_COLUMNS = ("kl", "kl_reverse", "entropy_policy", "entropy_reference", "logsumexp")
"""Said of the state that a node is, over the whole vocabulary: nats; logsumexp is the policy's."""

BASE_COLUMN = "logp_base"
"""Said of the token that leads to a node by a third model, if there is one: nats."""

SHARED_COLUMNS = ("logp_reference", "rank_reference", "entropy_reference", BASE_COLUMN)
"""Those in which the policy has no part: the same in all layers."""
LAYER_COLUMNS = tuple(c for c in (*EDGE_COLUMNS, *STATE_COLUMNS) if c not in SHARED_COLUMNS)
TWINS = {
    "logp_policy": "logp_reference",
    "rank_policy": "rank_reference",
    "entropy_policy": "entropy_reference",
}
"""Columns that are one and the same in a layer whose policy is the reference."""
DIVERGENCES = ("kl", "kl_reverse")
REMEMBERED = 256
"""Paths that are remembered, so that the path of a child of one of them is found at once."""


class TokenTree:
    """All states visited so far. Only the thread that runs the models may grow or fill it."""

    def __init__(self, capacity: int = 1024) -> None:
        self._size = 1
        self._structure = np.full((3, capacity), -1, dtype=np.int64)
        self._structure[2, ROOT] = 0
        self._shared = np.full((len(SHARED_COLUMNS), capacity), np.nan)
        self._numbers = np.full((len(LAYER_COLUMNS), capacity), np.nan)
        self._layers: dict[Hashable, NDArray[np.float64]] = {}
        """The numbers of the layers that are not shown; they may have been made for fewer nodes."""
        self._layer: Hashable = ""
        self._same = False
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

    def show(self, layer: Hashable, same: bool = False) -> None:
        """From now on the policy's columns are those of this layer, empty if it is new.

        ``same``: the policy is the reference in it: the columns in TWINS are one, and the
        DIVERGENCES are 0 whatever is written there.
        """
        self._same = same
        if layer == self._layer:
            return
        self._layers[self._layer] = self._numbers
        numbers = self._layers.pop(layer, np.empty((len(LAYER_COLUMNS), 0)))
        if missing := self._shared.shape[1] - numbers.shape[1]:
            numbers = np.pad(numbers, ((0, 0), (0, missing)), constant_values=np.nan)
        self._layer, self._numbers = layer, numbers

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of numbers for all nodes, [n], of the layer that is shown: one of EDGE_COLUMNS
        or STATE_COLUMNS, or BASE_COLUMN. NaN where not known."""
        if self._same:
            if name in DIVERGENCES:
                return np.zeros(self._size)
            name = TWINS.get(name, name)
        if name in SHARED_COLUMNS:
            return self._shared[SHARED_COLUMNS.index(name), : self._size]
        return self._numbers[LAYER_COLUMNS.index(name), : self._size]

    def write(self, name: str, nodes: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Write numbers of some nodes into a column; what is known and shared by all layers stays,
        so that the same reference is compared with every policy."""
        if self._same:
            name = TWINS.get(name, name)
        column = self.column(name)
        if name in SHARED_COLUMNS:
            unknown = np.isnan(column[nodes])
            nodes, values = nodes[unknown], values[unknown]
        column[nodes] = values

    def is_observed(self, nodes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether all EDGE_COLUMNS of each node are known, in the layer that is shown."""
        known = np.ones(len(nodes), dtype=bool)
        for name in EDGE_COLUMNS:
            known &= ~np.isnan(self.column(name)[nodes])
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
            self._shared = np.pad(self._shared, grow, constant_values=np.nan)
            self._numbers = np.pad(self._numbers, grow, constant_values=np.nan)
        node = self._size
        self._size += 1
        self._structure[:, node] = parent, token, self._structure[2, parent] + 1
        self._children[parent, token] = node
        return node
