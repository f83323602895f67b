"""Where the KV of tree nodes lies: one preallocated slab per layer, one cell per node.

A Hugging Face model reads and writes the slab through the ``Cache`` it is handed: new tokens are
written in place behind the cells in use, and the keys and values handed back are views, so a
forward copies no prefix (``DynamicCache`` copies all of it at every step) unless so many of the
cells are of other branches that gathering the wanted ones is cheaper. Which cells a token
may see is the mask's business (core.models.attention).

A slab has a row for each model that runs in one batch; a forward may run some of the rows, and
the cells of the others can be filled in later.

Knows nothing of trees or tokens: its caller keeps the cell of each node.
"""

import inspect
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


def cache_argument(model: Any) -> str:
    """What a model's forward, and its output, call the cache: transformers 5.24 renamed it."""
    named = "cache" in inspect.signature(model.forward).parameters
    return "cache" if named else "past_key_values"


class _Cursor:
    """What the forward under way writes and reads; shared by all layers of a slab.

    It runs ``rows`` of the slab and writes ``cells``. It reads the cells ``seen``, or, with None,
    all before the first of ``cells``, which then follow each other.
    """

    def __init__(self, rows: int, capacity: int) -> None:
        self.all_rows = rows
        self.rows = slice(0, rows)
        self.capacity = capacity
        self.cells: slice | torch.Tensor = slice(0, 0)
        self.seen: torch.Tensor | None = None

    @property
    def before(self) -> int:
        """How many earlier cells the forward reads."""
        if self.seen is not None:
            return len(self.seen)
        assert isinstance(self.cells, slice)
        return int(self.cells.start)


class _SlabLayer(CacheLayerMixin):
    """Keys and values of one layer, [rows, kv heads, capacity, head dim]."""

    def __init__(self, cursor: _Cursor) -> None:
        super().__init__()
        self.cursor = cursor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = self._allocate(key_states)
        self.values = self._allocate(value_states)
        self.is_initialized = True

    def _allocate(self, like: torch.Tensor) -> torch.Tensor:
        """Zeros: cells that a row has not filled are masked, and a masked NaN is still NaN."""
        _, heads, _, width = like.shape
        return like.new_zeros(self.cursor.all_rows, heads, self.cursor.capacity, width)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        keys, values = self.keys[self.cursor.rows], self.values[self.cursor.rows]
        cells, seen = self.cursor.cells, self.cursor.seen
        keys[:, :, cells] = key_states
        values[:, :, cells] = value_states
        if seen is None:
            assert isinstance(cells, slice)
            return keys[:, :, : cells.stop], values[:, :, : cells.stop]
        return (
            torch.cat([keys[:, :, seen], key_states], dim=2),
            torch.cat([values[:, :, seen], value_states], dim=2),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cursor.before + query_length, 0

    def get_seq_length(self) -> int:
        return self.cursor.before

    def get_max_length(self) -> int:
        return -1

    def grow(self) -> None:
        """Move to a slab of the cursor's new capacity; cells keep their numbers."""
        if self.keys is None or self.values is None:
            return
        keys, values = self._allocate(self.keys), self._allocate(self.values)
        used = self.keys.shape[2]
        keys[:, :, :used] = self.keys
        values[:, :, :used] = self.values
        self.keys, self.values = keys, values

    def keep(self, cells: torch.Tensor) -> None:
        """Gather ``cells`` to the front, in that order."""
        if self.keys is None or self.values is None:
            return
        self.keys[:, :, : len(cells)] = self.keys[:, :, cells]
        self.values[:, :, : len(cells)] = self.values[:, :, cells]


class Slab:
    """KV of up to ``capacity`` cells for all layers of one model; grows by doubling."""

    def __init__(self, layers: int, rows: int = 1, capacity: int = 1024) -> None:
        self._cursor = _Cursor(rows, capacity)
        self._layers = [_SlabLayer(self._cursor) for _ in range(layers)]
        self.cache = Cache(layers=list(self._layers))

    @property
    def capacity(self) -> int:
        """Cells there is room for."""
        return self._cursor.capacity

    def aim(
        self, rows: slice, cells: slice | torch.Tensor, seen: torch.Tensor | None = None
    ) -> None:
        """Say what the next forward writes and reads, and make room for it.

        It writes ``rows`` of ``cells`` (a run of cells, or int64 [T]). It reads the cells ``seen``
        (int64, copied once for each layer) or, with None, all before ``cells``, a run (no copy,
        but dead cells cost attention).
        """
        needed = cells.stop if isinstance(cells, slice) else int(cells.max()) + 1
        if needed > self._cursor.capacity:
            self._cursor.capacity = max(needed, 2 * self._cursor.capacity)
            for layer in self._layers:
                layer.grow()
        self._cursor.rows, self._cursor.cells, self._cursor.seen = rows, cells, seen

    def keep(self, cells: torch.Tensor) -> None:
        """Drop all cells but ``cells`` (int64, [k]), which become cells 0..k-1 in that order."""
        for layer in self._layers:
            layer.keep(cells)

    def bytes(self) -> int:
        """Memory held, in bytes."""
        return sum(
            tensor.nbytes
            for layer in self._layers
            for tensor in (layer.keys, layer.values)
            if tensor is not None
        )
