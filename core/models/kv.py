"""Where the KV of tree nodes lies: one preallocated slab per layer, one cell per node.

A Hugging Face model reads and writes the slab through the ``Cache`` it is handed: new tokens are
written in place behind the cells in use, and the keys and values handed back are views, so a
forward copies no prefix (``DynamicCache`` copies all of it at every step) unless so many of the
cells are of other branches that gathering the wanted ones is cheaper. Which cells a token
may see is the mask's business (core.models.attention).

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

    It writes cells ``start`` to ``stop``. It reads the cells ``seen``, or all before ``start``.
    """

    def __init__(self) -> None:
        self.start = self.stop = 0
        self.capacity = 0
        self.seen: torch.Tensor | None = None


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
        rows, heads, _, width = like.shape
        return like.new_empty(rows, heads, self.cursor.capacity, width)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        start, stop = self.cursor.start, self.cursor.stop
        self.keys[:, :, start:stop] = key_states
        self.values[:, :, start:stop] = value_states
        if (seen := self.cursor.seen) is None:
            return self.keys[:, :, :stop], self.values[:, :, :stop]
        keys, values = self.keys[:, :, seen], self.values[:, :, seen]
        return torch.cat([keys, key_states], dim=2), torch.cat([values, value_states], dim=2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        seen = self.cursor.seen
        return (self.cursor.start if seen is None else len(seen)) + query_length, 0

    def get_seq_length(self) -> int:
        return self.cursor.start

    def get_max_length(self) -> int:
        return -1

    def grow(self) -> None:
        """Move to a slab of the cursor's new capacity; cells keep their numbers."""
        if self.keys is None or self.values is None:
            return
        used = self.cursor.start
        keys, values = self._allocate(self.keys), self._allocate(self.values)
        keys[:, :, :used] = self.keys[:, :, :used]
        values[:, :, :used] = self.values[:, :, :used]
        self.keys, self.values = keys, values

    def keep(self, cells: torch.Tensor) -> None:
        """Gather ``cells`` to the front, in that order."""
        if self.keys is None or self.values is None:
            return
        self.keys[:, :, : len(cells)] = self.keys[:, :, cells]
        self.values[:, :, : len(cells)] = self.values[:, :, cells]


class Slab:
    """KV of up to ``capacity`` cells for all layers of one model; grows by doubling."""

    def __init__(self, layers: int, capacity: int = 1024) -> None:
        self._cursor = _Cursor()
        self._cursor.capacity = capacity
        self._layers = [_SlabLayer(self._cursor) for _ in range(layers)]
        self.cache = Cache(layers=list(self._layers))

    @property
    def used(self) -> int:
        """Cells that hold KV; a forward's tokens are written behind them."""
        return self._cursor.start

    @property
    def capacity(self) -> int:
        """Cells there is room for."""
        return self._cursor.capacity

    def reserve(self, tokens: int, seen: torch.Tensor | None = None) -> None:
        """Make room for a forward over ``tokens`` new cells; they do not count until committed.

        The forward reads the cells ``seen`` (int64, copied once for each layer), or, with None,
        all cells in use (no copy, but dead cells cost attention).
        """
        needed = self.used + tokens
        if needed > self._cursor.capacity:
            self._cursor.capacity = max(needed, 2 * self._cursor.capacity)
            for layer in self._layers:
                layer.grow()
        self._cursor.stop, self._cursor.seen = needed, seen

    def commit(self) -> None:
        """Keep the cells of the forward that has just ended."""
        self._cursor.start = self._cursor.stop

    def keep(self, cells: torch.Tensor) -> None:
        """Drop all cells but ``cells`` (int64, [k]), which become cells 0..k-1 in that order."""
        for layer in self._layers:
            layer.keep(cells)
        self._cursor.start = self._cursor.stop = len(cells)

    def bytes(self) -> int:
        """Memory held, in bytes."""
        return sum(
            tensor.nbytes
            for layer in self._layers
            for tensor in (layer.keys, layer.values)
            if tensor is not None
        )
