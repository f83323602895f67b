"""Compares two trees of one prompt: what only one of them kept, and both drawn as one.

Trees are matched by the node numbers of the engine's token tree, which both are parts of. Knows
grown trees; knows nothing of widgets.
"""

import time

import numpy as np

from app.search.layout import Ints
from app.search.picture import BOTH, ONLY_HERE, ONLY_THERE, Picture
from core.search.grown import GrownTree, Growth, Status

ABSENT = -1
TAKE_MS = 10.0


def same_start(left: GrownTree, right: GrownTree) -> bool:
    """Return whether two trees begin at the same state."""
    return bool(len(left) and len(right) and left.node[0] == right.node[0])


def statuses(tree: GrownTree, nodes: Ints) -> Ints:
    """Return what has become of nodes in a tree, [n]: a Status, or ABSENT."""
    entries = [tree.entry(node) for node in nodes.tolist()]
    status = [*tree.status.tolist(), ABSENT]
    return np.array([status[-1 if e is None else e] for e in entries], dtype=np.int64)


def differences(nodes: Ints, left: GrownTree, right: GrownTree) -> Ints:
    """Return which tree kept each node, [n]: ONLY_HERE is the left, BOTH also means neither."""
    return _only(statuses(left, nodes), statuses(right, nodes))


def _kept(status: Ints) -> Ints:
    kept: Ints = ((status != ABSENT) & (status != Status.PRUNED)).astype(np.int64)
    return kept


def _only(left: Ints, right: Ints) -> Ints:
    on_left, on_right = _kept(left), _kept(right)
    return np.select([on_left > on_right, on_right > on_left], [ONLY_HERE, ONLY_THERE], BOTH)


class Overlay:
    """Both trees in one picture; a node that either of them kept is kept."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._taken: list[list[Growth]] = [[], []]
        self._counts = [0, 0]

    def holds(self, left: list[Growth], right: list[Growth]) -> bool:
        """Return whether the picture is of these trees, as they were or are."""
        return self._taken[0] is left and self._taken[1] is right

    def update(
        self,
        left: GrownTree,
        right: GrownTree,
        grown_left: list[Growth],
        grown_right: list[Growth],
    ) -> bool:
        """Take in what has grown since the last time, for some milliseconds at most.

        Returns True if that was all.
        """
        until = time.perf_counter() + TAKE_MS / 1000
        self._taken = [grown_left, grown_right]
        for which, growths in enumerate(self._taken):
            while self._counts[which] < len(growths) and time.perf_counter() < until:
                self.picture.take(growths[self._counts[which]])
                self._counts[which] += 1
        tree = self.picture.tree
        on_left, on_right = statuses(left, tree.node), statuses(right, tree.node)
        self.picture.only = _only(on_left, on_right)
        one = np.where(on_left != ABSENT, on_left, on_right)
        tree.status[:] = np.where(_kept(on_right) > _kept(on_left), on_right, one)
        best = [tree.entry(node) for node in left.node[left.best].tolist()]
        tree.best = np.array([entry for entry in best if entry is not None], dtype=np.int64)
        return self._counts == [len(grown_left), len(grown_right)]
