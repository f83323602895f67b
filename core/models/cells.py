"""Which node of the tree lies in which cell of the KV slabs.

An order of nodes (cell to node) and its inverse. Knows nothing of what a cell holds.
"""

import numpy as np
from numpy.typing import NDArray

Nodes = NDArray[np.int64]


class Cells:
    """Nodes in cells 0..n-1. Ancestors of a node that has a cell always have one too."""

    def __init__(self) -> None:
        self.nodes: Nodes = np.empty(0, dtype=np.int64)
        """The node in each cell."""
        self._cell: Nodes = np.full(1024, -1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.nodes)

    def of(self, nodes: Nodes) -> Nodes:
        """The cell of each node, -1 where it has none."""
        self._fit(nodes)
        return self._cell[nodes]

    def append(self, nodes: Nodes) -> None:
        """Put nodes into the next cells, in this order."""
        self._fit(nodes)
        self._cell[nodes] = np.arange(len(self), len(self) + len(nodes))
        self.nodes = np.concatenate([self.nodes, nodes])

    def keep(self, cells: Nodes) -> None:
        """Drop all cells but these, which become cells 0..k-1 in that order."""
        self.nodes = self.nodes[cells]
        self._cell[:] = -1
        self._cell[self.nodes] = np.arange(len(cells))

    def _fit(self, nodes: Nodes) -> None:
        size = int(nodes.max(initial=-1)) + 1
        if size > len(self._cell):
            more = np.full(max(size, 2 * len(self._cell)) - len(self._cell), -1, dtype=np.int64)
            self._cell = np.concatenate([self._cell, more])
