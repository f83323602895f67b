"""Which node of the tree lies in which cell of the KV slabs, and for which models it is ready.

An order of nodes (cell to node) with its inverse, and what is known of each cell. Knows nothing of
what a cell holds.
"""

import numpy as np
from numpy.typing import NDArray

Nodes = NDArray[np.int64]


class Cells:
    """Nodes in cells 0..n-1. Ancestors of a node that has a cell always have one too.

    A cell is *ready* in a row (a model) once that model's KV lies in it; the ancestors of a ready
    node are ready in the same rows.
    """

    def __init__(self, rows: int) -> None:
        self.nodes: Nodes = np.empty(0, dtype=np.int64)
        """The node in each cell, [n]."""
        self.ready: NDArray[np.bool_] = np.empty((rows, 0), dtype=bool)
        """[rows, n]."""
        self.used: Nodes = np.empty(0, dtype=np.int64)
        """When each cell was last used, [n]: a count that only grows."""
        self._cell: Nodes = np.full(1024, -1, dtype=np.int64)
        self._clock = 0

    def __len__(self) -> int:
        return len(self.nodes)

    def of(self, nodes: Nodes) -> Nodes:
        """The cell of each node, -1 where it has none."""
        self._fit(nodes)
        return self._cell[nodes]

    def is_ready(self, node: int, rows: tuple[int, ...]) -> bool:
        """Whether a node's cell is there and ready in all these rows."""
        cell = int(self._cell[node]) if node < len(self._cell) else -1
        return cell >= 0 and all(self.ready[row, cell] for row in rows)

    def append(self, nodes: Nodes) -> Nodes:
        """Put nodes into the next cells, in this order, ready in no row; returns the cells."""
        self._fit(nodes)
        cells = np.arange(len(self), len(self) + len(nodes))
        self._cell[nodes] = cells
        self.nodes = np.concatenate([self.nodes, nodes])
        unready = np.zeros((len(self.ready), len(nodes)), dtype=bool)
        self.ready = np.concatenate([self.ready, unready], axis=1)
        self.used = np.concatenate([self.used, np.zeros(len(nodes), dtype=np.int64)])
        return cells

    def touch(self, cells: Nodes) -> None:
        """These cells are used now."""
        self._clock += 1
        self.used[cells] = self._clock

    def keep(self, cells: Nodes) -> None:
        """Drop all cells but these, which become cells 0..k-1 in that order."""
        self.nodes, self.ready, self.used = (
            self.nodes[cells],
            self.ready[:, cells],
            self.used[cells],
        )
        self._cell[:] = -1
        self._cell[self.nodes] = np.arange(len(cells))

    def _fit(self, nodes: Nodes) -> None:
        size = int(nodes.max(initial=-1)) + 1
        if size > len(self._cell):
            more = np.full(max(size, 2 * len(self._cell)) - len(self._cell), -1, dtype=np.int64)
            self._cell = np.concatenate([self._cell, more])
