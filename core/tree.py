"""The token tree: nodes are states, edges are tokens, a response is a path.

It is the token-level MDP of the paper (arXiv 2404.12358) as a struct of arrays. Node 0 is the empty
state (``root`` makes others); every other node is its parent's state with one token appended. What
the two models say is stored on the node: the log-prob of its own token (an edge quantity) and the
divergences at the state that it is (a state quantity). NaN means "not known yet".

Node numbers are never reused, and a parent's is lower than its children's. To fit a memory budget,
nodes that nobody shows can be *evicted*, with all below them. Using the number of an evicted node
raises KeyError (``has`` asks first). Walking to the same state again makes a new node of which
nothing is known yet. The remaining nodes lie close together in memory, in the order of their
numbers.

The policy may be several models in turn (the checkpoints of a run): the numbers of each are stored
in a *layer* of its own, over one topology and one reference.

Knows nothing of models, text, rewards or where a KV cache lies.
"""

import sys
from collections.abc import Hashable, Iterable
from itertools import pairwise
from typing import Any, Generic, TypeVar, overload

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
"""Columns in which the policy has no part: the same in all layers."""
LAYER_COLUMNS = tuple(c for c in (*EDGE_COLUMNS, *STATE_COLUMNS) if c not in SHARED_COLUMNS)
TWINS = {
    "logp_policy": "logp_reference",
    "rank_policy": "rank_reference",
    "entropy_policy": "entropy_reference",
}
"""Columns that are one and the same in a layer whose policy is the reference."""
DIVERGENCES = ("kl", "kl_reverse")
_OF_POLICY = ("logp_policy", "rank_policy", "logit", "entropy_policy", "logsumexp")
"""Columns in which the reference has no part."""

BUDGET = 2**28
"""Bytes that a tree may take before nodes are evicted."""
EVICT_TO = 0.75
"""The part of the budget that stays in use after an eviction, so that few steps need one."""
SLACK = 4
"""The arrays grow by one part in so many: little of the budget is then unused."""
REMEMBERED = 2**17
"""Nodes in the cache of paths, by which the path of a child of one of them is found at once."""
ALWAYS = np.iinfo(np.int64).max
"""Stands for the time of last use of a node that must stay."""
OBJECTS = 64
"""Bytes of a key and its value in a dict of ints."""

Nodes = NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.float64)


class Column(Generic[Number]):
    """One number for each node of a tree: ``column[nodes]`` reads those of some nodes, or of one.

    Raises:
        KeyError: a node is not in the tree.
    """

    def __init__(self, values: NDArray[Any], tree: "TokenTree", kind: type[Number]) -> None:
        self._values, self._tree = values, tree
        self._kind: type[Number] = kind

    @overload
    def __getitem__(self, nodes: int) -> Number: ...
    @overload
    def __getitem__(self, nodes: Nodes) -> NDArray[Number]: ...
    def __getitem__(self, nodes: Nodes | int) -> NDArray[Number] | Number:
        if not isinstance(nodes, np.ndarray):
            return self._kind(self._values[self._tree.slot(nodes)])
        found: NDArray[Number] = self._values[self._tree.slots(nodes)]
        return found.astype(self._kind, copy=False)


class TokenTree:
    """The states visited so far. Only the thread that runs the models may change it.

    A node lies in a *slot*: its place in the arrays, among the nodes that are not evicted. A child
    whose slot follows its parent's is found there, any other through ``_branches``; most of a tree
    is long paths, whose slots follow each other.
    """

    def __init__(self, capacity: int = 1024, budget: int = BUDGET, reference: bool = True) -> None:
        """Begin an empty tree; without a ``reference`` only the policy's columns are ever known."""
        self.budget = budget
        self.edge_columns, self.state_columns = (
            tuple(name for name in names if reference or name in _OF_POLICY)
            for names in (EDGE_COLUMNS, STATE_COLUMNS)
        )
        self._size = self._made = 1
        self._number, self._parent, self._used = np.zeros((3, capacity), dtype=np.int64)
        self._token, self._depth = np.zeros((2, capacity), dtype=np.int32)
        self._parent[0] = self._token[0] = -1
        self._shared = np.full((len(SHARED_COLUMNS), capacity), np.nan)
        self._numbers = np.full((len(LAYER_COLUMNS), capacity), np.nan)
        self._layers: dict[Hashable, NDArray[np.float64]] = {}
        """The numbers of the layers that are not shown; they may have room for fewer nodes."""
        self._layer: Hashable = ""
        self._same = False
        self._roots = {"": ROOT}
        self._branches: dict[int, int] = {}
        """A child by ``_key`` of its parent and its token."""
        self._paths: dict[int, Nodes] = {}
        self._remembered = 0
        self._clock = 0
        self._least = 0
        """Bytes in use after the last eviction."""

    def __len__(self) -> int:
        return self._size

    @property
    def nodes(self) -> Nodes:
        """The numbers of all nodes, ascending, [n]; must not be written to."""
        return self._number[: self._size]

    @property
    def parent(self) -> Column[np.int64]:
        """Parent of each node; -1 for the root."""
        return Column(self._parent, self, np.int64)

    @property
    def token(self) -> Column[np.int64]:
        """Token on the edge into each node; -1 for the root."""
        return Column(self._token, self, np.int64)

    @property
    def depth(self) -> Column[np.int64]:
        """Number of tokens from the root to each node."""
        return Column(self._depth, self, np.int64)

    @overload
    def has(self, nodes: int) -> bool: ...
    @overload
    def has(self, nodes: Nodes) -> NDArray[np.bool_]: ...
    def has(self, nodes: Nodes | int) -> NDArray[np.bool_] | bool:
        """Return whether a node is in the tree: its number was given and it was not evicted."""
        slots = np.minimum(np.searchsorted(self.nodes, nodes), self._size - 1)
        found: NDArray[np.bool_] = self._number[slots] == nodes
        return bool(found) if isinstance(nodes, int) else found

    # --- numbers ------------------------------------------------------------------------------

    def show(self, layer: Hashable, same: bool = False) -> None:
        """Make the policy's columns those of a layer, which is empty if it is new.

        Args:
            layer: names it, such as the identity of a checkpoint.
            same: the policy is the reference in this layer: the columns in TWINS are one and the
                same, and the DIVERGENCES are 0 whatever is written there.
        """
        if layer != self._layer:
            numbers = self._layers.get(layer, np.empty((len(LAYER_COLUMNS), 0)))
            numbers = _widened(numbers, self._shared.shape[1], np.nan)
            self._layers[self._layer] = self._numbers
            self._layers.pop(layer, None)
            self._layer, self._numbers = layer, numbers
        self._same = same

    def column(self, name: str) -> Column[np.float64]:
        """Return a column of numbers by its name in EDGE_COLUMNS or STATE_COLUMNS, or BASE_COLUMN.

        It is that of the layer that is shown; NaN where nothing is known.
        """
        return Column(self._values(name), self, np.float64)

    def write(self, name: str, nodes: Nodes, values: NDArray[np.float64]) -> None:
        """Write numbers of some nodes, [n], into a column of the layer that is shown.

        In SHARED_COLUMNS a known number stays as it is, so that every policy is compared with the
        same reference.
        """
        if self._same:
            if name in DIVERGENCES:
                return
            name = TWINS.get(name, name)
        column, slots = self._values(name), self.slots(nodes)
        if name in SHARED_COLUMNS:
            unknown = np.isnan(column[slots])
            slots, values = slots[unknown], values[unknown]
        column[slots] = values

    def is_observed(self, nodes: Nodes) -> NDArray[np.bool_]:
        """Return whether all edge columns of each node are known in the layer shown, bool [n]."""
        slots = self.slots(nodes)
        known = np.ones(len(nodes), dtype=bool)
        for name in self.edge_columns:
            known &= ~np.isnan(self._values(name)[slots])
        return known

    def _values(self, name: str) -> NDArray[np.float64]:
        """Return a column as an array by slot."""
        if self._same:
            if name in DIVERGENCES:
                return np.broadcast_to(0.0, self._shared.shape[1])
            name = TWINS.get(name, name)
        if name in SHARED_COLUMNS:
            shared: NDArray[np.float64] = self._shared[SHARED_COLUMNS.index(name)]
            return shared
        numbers: NDArray[np.float64] = self._numbers[LAYER_COLUMNS.index(name)]
        return numbers

    # --- walking ------------------------------------------------------------------------------

    def root(self, name: str = "") -> int:
        """Return the empty state of this name, added if it is new.

        Texts under different roots are different states even if their tokens agree: the models
        treat them differently, with other rotary factors (core.models.rope).
        """
        if name not in self._roots:
            none = np.array([-1])
            number = self._made
            self._add(none, none, np.array([0]), {})
            self._roots[name] = number
        return self._roots[name]

    def extend(self, node: int, tokens: Iterable[int]) -> Nodes:
        """Walk ``tokens`` from ``node`` and return the nodes, [n]; adds states that are new."""
        known = isinstance(tokens, list | tuple | np.ndarray)
        wanted = np.asarray(tokens if known else list(tokens), dtype=np.int64)
        at, found, walked = self.slot(node), [np.empty(0, np.int64)], 0
        while walked < len(wanted):
            run = self._run_down(at, wanted[walked:])
            if run:
                found.append(np.arange(at + 1, at + 1 + run))
                at, walked = at + run, walked + run
                continue
            child = self._branches.get(_key(int(self._number[at]), int(wanted[walked])))
            if child is None:
                found.append(self._add_path(at, wanted[walked:]))
                break
            at, walked = self.slot(child), walked + 1
            found.append(np.array([at]))
        return self._use(np.concatenate(found))

    def grow(self, nodes: Nodes, tokens: Nodes) -> Nodes:
        """Return the nodes that ``tokens[i]`` leads to from ``nodes[i]``, [n]; adds new ones."""
        starts = self.slots(nodes)
        found = np.empty(len(nodes), dtype=np.int64)
        new: dict[int, int] = {}
        firsts: list[int] = []
        asked = zip(starts.tolist(), nodes.tolist(), tokens.tolist(), strict=True)
        for i, (at, node, token) in enumerate(asked):
            key, beside = _key(node, token), at + 1
            if (
                beside < self._size
                and self._parent[beside] == node
                and self._token[beside] == token
            ):
                found[i] = self._number[beside]
                continue
            child = self._branches.get(key)
            if child is None and key not in new:
                new[key] = self._made + len(new)
                firsts.append(i)
            found[i] = new[key] if child is None else child
        if new:
            self._add(nodes[firsts], tokens[firsts], self._depth[starts[firsts]] + 1, new)
        self._use(self.slots(found))
        return found

    def _use(self, slots: Nodes) -> Nodes:
        """Note that these slots were walked to just now and return their nodes."""
        self._clock += 1
        self._used[slots] = self._clock
        return self._number[slots]

    def path(self, node: int) -> Nodes:
        """Return the nodes from the root (left out) to ``node``, [depth]; read-only."""
        known = self._paths.get(node)
        if known is not None:
            return known
        parts: list[Nodes] = []
        slot, at = self.slot(node), node
        while slot and known is None:
            first = self._run_up(slot)
            at = int(self._parent[first])
            if at < 0:  # another root, which is no part of a path
                parts.append(self._number[first + 1 : slot + 1])
                break
            parts.append(self._number[first : slot + 1])
            slot, known = self.slot(at), self._paths.get(at)
        if known is not None:
            parts.append(known)
        path = np.concatenate(parts[::-1]) if parts else np.empty(0, np.int64)
        path.flags.writeable = False
        self._remembered += len(path)
        if self._remembered > REMEMBERED:
            self._paths.clear()
            self._remembered = len(path)
        self._paths[node] = path
        return path

    def _run_down(self, at: int, tokens: Nodes) -> int:
        """Return how many of ``tokens`` are walked by going to the next slot each time."""
        walked, block = 0, 64
        while True:
            first = at + 1 + walked
            some = tokens[walked : walked + min(block, self._size - first)]
            if not len(some):
                return walked
            here = slice(first, first + len(some))
            along = self._token[here] == some
            along &= self._parent[here] == self._number[first - 1 : here.stop - 1]
            if not along.all():
                return walked + int(along.argmin())
            walked, block = walked + len(some), 8 * block

    def _run_up(self, slot: int) -> int:
        """Return the first slot of the run, each slot a child of the one before, that ends here."""
        block = 16
        while True:
            first = max(1, slot + 1 - block)
            follows = self._parent[first : slot + 1] == self._number[first - 1 : slot]
            breaks = np.flatnonzero(~follows)
            if len(breaks):
                return first + int(breaks[-1])
            if first == 1:
                return 1
            block *= 8

    def _add_path(self, at: int, tokens: Nodes) -> Nodes:
        """Add a path of states below a slot and return their slots."""
        first, above = self._size, int(self._number[at])
        parents = np.arange(self._made - 1, self._made - 1 + len(tokens))
        parents[0] = above
        branches = {} if first == at + 1 else {_key(above, int(tokens[0])): self._made}
        self._add(parents, tokens, self._depth[at] + np.arange(1, len(tokens) + 1), branches)
        return np.arange(first, self._size)

    def _add(
        self, parents: Nodes, tokens: Nodes, depths: NDArray[Any], branches: dict[int, int]
    ) -> None:
        """Add states of which nothing is known yet, a parent before its children.

        ``branches``: by ``_key``, those that do not lie in the slot after their parent's.
        """
        size, made = self._size + len(parents), self._made + len(parents)
        self._reserve(size)
        numbers = np.arange(self._made, made)
        self._branches.update(branches)
        new = slice(self._size, size)
        self._number[new], self._parent[new] = numbers, parents
        self._token[new], self._depth[new] = tokens, depths
        self._size, self._made = size, made

    def _reserve(self, size: int) -> None:
        """Make room for so many nodes, in all arrays or in none."""
        room = len(self._number)
        if size <= room:
            return
        room = max(size, room + room // SLACK)
        ints = [_widened(it, room, 0) for it in (self._number, self._parent, self._used)]
        small = [_widened(it, room, 0) for it in (self._token, self._depth)]
        numbers = [_widened(it, room, np.nan) for it in (self._shared, self._numbers)]
        self._number, self._parent, self._used = ints
        self._token, self._depth = small
        self._shared, self._numbers = numbers

    def slot(self, node: int) -> int:
        """Return the slot of a node.

        Raises:
            KeyError: it was evicted, or there never was one of this number.
        """
        slot = node
        if self._made != self._size:  # some were evicted
            slot = min(int(self.nodes.searchsorted(node)), self._size - 1)
        if not 0 <= slot < self._size or self._number[slot] != node:
            raise KeyError(f"node {node} is not in the tree")
        return slot

    def slots(self, nodes: Nodes) -> Nodes:
        """Return the slots of several nodes, [n] -> [n].

        Raises:
            KeyError: as for ``slot``.
        """
        slots = nodes
        if self._made != self._size:
            slots = np.minimum(self.nodes.searchsorted(nodes), self._size - 1)
        elif len(nodes) and not 0 <= nodes.min() <= nodes.max() < self._size:
            raise KeyError(f"not in the tree: some of {nodes}")
        if not (self._number[slots] == nodes).all():
            raise KeyError(f"not in the tree: {nodes[self._number[slots] != nodes]}")
        return slots

    # --- memory -------------------------------------------------------------------------------

    def bytes(self) -> int:
        """Return the memory held, in bytes."""
        ints = (self._number, self._parent, self._used, self._token, self._depth)
        numbers = (self._shared, self._numbers, *self._layers.values())
        arrays = sum(array.nbytes for array in ints) + sum(array.nbytes for array in numbers)
        branches = sys.getsizeof(self._branches) + OBJECTS * len(self._branches)
        return arrays + branches + self._number.itemsize * self._remembered

    @property
    def is_full(self) -> bool:
        """True where nodes should be evicted: the tree is over its budget and, if the last eviction
        had to leave more than that, has grown by a third since."""
        return self.bytes() > max(self.budget, self._least / EVICT_TO)

    def evict(self, keep: Nodes) -> None:
        """Evict the nodes walked to longest ago until the tree is well within its budget.

        The nodes in ``keep`` and all their ancestors stay, whatever they take. Either all of it is
        done or, where memory runs out, nothing.
        """
        used = self._used[: self._size].copy()
        used[self.slots(keep)] = used[self._depth[: self._size] == 0] = ALWAYS
        parent = np.searchsorted(self.nodes, self._parent[: self._size])
        by_depth = np.argsort(self._depth[: self._size], kind="stable")
        ends = np.cumsum(np.bincount(self._depth[: self._size]))
        for first, stop in reversed(list(pairwise(ends))):
            level = by_depth[first:stop]  # a state is used whenever one below it is
            np.maximum.at(used, parent[level], used[level])
        most = int(EVICT_TO * self.budget * len(self._number) / self.bytes())
        last_first = np.argsort(-used, kind="stable")  # and a parent before its children
        stay = np.sort(last_first[: max(most, np.count_nonzero(used == ALWAYS))])
        ints = [it[stay] for it in (self._number, self._parent, self._used)]
        small = [it[stay] for it in (self._token, self._depth)]
        numbers = [it[:, stay] for it in (self._shared, self._numbers)]
        layers = {
            name: it[:, stay[: np.searchsorted(stay, it.shape[1])]]
            for name, it in self._layers.items()
        }
        children = np.fromiter(self._branches.values(), np.int64, len(self._branches))
        stays = np.zeros(self._size, dtype=bool)
        stays[stay] = True
        known = zip(self._branches.items(), stays[self.slots(children)].tolist(), strict=True)
        branches = dict(item for item, remains in known if remains)
        self._number, self._parent, self._used = ints
        self._token, self._depth = small
        self._shared, self._numbers = numbers
        self._layers, self._branches, self._size = layers, branches, len(stay)
        self._paths.clear()
        self._remembered = 0
        self._least = self.bytes()


def _key(parent: int, token: int) -> int:
    return parent << 32 | token


def _widened(array: NDArray[Any], room: int, filling: float) -> NDArray[Any]:
    """Return the array with room for so many nodes along its last axis."""
    grow = [(0, 0)] * (array.ndim - 1) + [(0, room - array.shape[-1])]
    return np.pad(array, grow, constant_values=filling)
