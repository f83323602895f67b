"""A line: which node of the tree lies in which cell, and for which models it is ready.

A line's *trunk* is one path whose KV is cached: cell = depth - 1, so that the model runs along it
as it always does. After the trunk come *branches*: any nodes below it, ancestors before
descendants. An edit truncates the trunk; the numbers of the nodes that it drops stay in the tree.

Knows nothing of what a cell holds (core.models.kv).
"""

import numpy as np
from numpy.typing import NDArray

Nodes = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Line:
    """Nodes in cells 0..n-1: the trunk, then branches.

    A cell is *ready* in a row (a model) once that model's KV and hidden state lie in it; the
    ancestors of a ready node are ready in the same rows.
    """

    def __init__(self, rows: int) -> None:
        self.nodes: Nodes = np.empty(0, dtype=np.int64)
        """The node in each cell, [n]."""
        self.parents: Nodes = np.empty(0, dtype=np.int64)
        """The cell of each cell's parent, [n]; -1 for the first of the trunk."""
        self.ready: Flags = np.empty((rows, 0), dtype=bool)
        """True where a cell is ready in a row, [rows, n]."""
        self.trunk = 0
        """The number of cells of the trunk, which are the first."""
        self._used: Nodes = np.empty(0, dtype=np.int64)
        self._branch: dict[int, int] = {}
        """The cell of each branch node."""
        self._clock = 0

    def __len__(self) -> int:
        return len(self.nodes)

    def shared(self, path: Nodes) -> int:
        """Return the length of the prefix that a path shares with the trunk."""
        count = min(self.trunk, len(path))
        other = self.nodes[:count] != path[:count]
        return int(other.argmax()) if other.any() else count

    def cells(self, nodes: Nodes, depths: Nodes) -> Nodes:
        """Return the cell of each node, [m]; -1 where it has none."""
        at = depths - 1
        inside = (at >= 0) & (at < self.trunk)
        inside[inside] = self.nodes[at[inside]] == nodes[inside]
        found = np.where(inside, at, -1)
        if self._branch and not inside.all():
            others = nodes[~inside].tolist()
            found[~inside] = [self._branch.get(node, -1) for node in others]
        return found

    def beginning(self, path: Nodes, depths: Nodes, trunk_only: bool) -> Nodes:
        """Return the cells of a path's first nodes, up to the first that has none."""
        if trunk_only or not self._branch:
            return np.arange(self.shared(path))
        cells = self.cells(path, depths)
        missing = cells < 0
        return cells[: int(missing.argmax())] if missing.any() else cells

    def ready_to(self, row: int) -> int:
        """Return how many of the trunk's first cells are ready in a row."""
        unready = ~self.ready[row, : self.trunk]
        return int(unready.argmax()) if unready.any() else self.trunk

    def extend(self, nodes: Nodes) -> None:
        """Append nodes to the trunk, ready in no row. There must be no branches."""
        assert self.trunk == len(self)
        self._append(nodes, np.arange(len(self), len(self) + len(nodes)) - 1)
        self.trunk = len(self)

    def grow(self, nodes: Nodes, parents: Nodes) -> None:
        """Append branches: nodes and the cells of their parents, which may be new ones too."""
        first = len(self)
        self._append(nodes, parents)
        self._branch |= dict(zip(nodes.tolist(), range(first, len(self)), strict=True))

    def truncate(self, count: int) -> None:
        """Drop all cells but the first ``count``, which are the trunk's."""
        self.nodes, self.parents, self._used = (
            it[:count].copy() for it in (self.nodes, self.parents, self._used)
        )
        self.ready = self.ready[:, :count].copy()
        self.trunk, self._branch = count, {}

    def fork(self, count: int) -> None:
        """End the trunk after ``count`` cells; those after them become branches."""
        ends = zip(self.nodes[count : self.trunk].tolist(), range(count, self.trunk), strict=True)
        self._branch |= dict(ends)
        self.trunk = min(count, self.trunk)

    def keep(self, branches: Nodes) -> None:
        """Drop all branches but these cells (ascending), which then follow the trunk."""
        moved = np.full(len(self), -1, dtype=np.int64)
        cells = np.concatenate([np.arange(self.trunk), branches])
        moved[cells] = np.arange(len(cells))
        parents = self.parents[cells]
        self.parents = np.where(parents >= 0, moved[parents], -1)
        self.nodes, self.ready, self._used = (
            self.nodes[cells],
            self.ready[:, cells],
            self._used[cells],
        )
        behind = range(self.trunk, len(cells))
        self._branch = dict(zip(self.nodes[self.trunk :].tolist(), behind, strict=True))

    def ancestry(self, cells: Nodes) -> Flags:
        """Return which cells are each cell itself or its ancestors, bool [m, n]."""
        seen = np.zeros((len(cells), len(self)), dtype=bool)
        for row, cell in enumerate(cells.tolist()):
            while cell >= self.trunk:
                seen[row, cell] = True
                cell = int(self.parents[cell])
            seen[row, : cell + 1] = True
        return seen

    def touch(self, cells: Nodes) -> None:
        """Note that these cells are used now."""
        self._clock += 1
        self._used[cells] = self._clock

    def coldest(self, spared: Flags) -> Nodes:
        """Return the branches that are not ``spared`` (bool [n]), in the order of eviction.

        Those used longest ago come first, and of those used at the same time the later cells. So
        descendants come before their ancestors: an ancestor is used whenever a node below it is.
        """
        loose = np.flatnonzero(~spared[self.trunk :]) + self.trunk
        return loose[np.lexsort((-loose, self._used[loose]))]

    def _append(self, nodes: Nodes, parents: Nodes) -> None:
        unready = np.zeros((len(self.ready), len(nodes)), dtype=bool)
        self.nodes = np.concatenate([self.nodes, nodes])
        self.parents = np.concatenate([self.parents, parents])
        self.ready = np.concatenate([self.ready, unready], axis=1)
        self._used = np.concatenate([self._used, np.zeros(len(nodes), dtype=np.int64)])
