"""The KV of a line's cells: for each layer of one model a slab of keys and one of values.

A Hugging Face model reads and writes the slabs through the ``Cache`` that it is handed: new tokens
are written in place after the cells in use, and the keys and values handed back are views, so a
forward copies no prefix (``DynamicCache`` copies all of it at every step). Layers with a sliding
window cache all cells too: what a token may see is the mask's business (core.models.attention).

Beside KV a store caches the last hidden state of each cell: KV alone cannot give the distribution
at the end of a reused prefix. For a model whose cache cannot lie in slabs it has snapshots instead
(core.models.states).

A store has a row for each model that runs in one batch; a forward may run some of the rows, and the
cells of the others can be filled in later. Every change of memory is all or nothing: where it runs
out, each slab is what it was, or larger.

Knows nothing of trees or tokens: its caller knows the cell of each node (core.models.line).
"""

import inspect
import itertools
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from core.models.states import Snapshots

ROOM = 256
"""Cells that a slab has beyond what is wanted when it grows; a quarter of it where that is more. So
a text that is typed on seldom moves to other memory, and forwards of fixed shapes have a cell over
for their padding (core.models.steps)."""

_versions = itertools.count(1)


def cache_argument(model: Any) -> str:
    """Return what a model's forward, and its output, call the cache (5.24 renamed it)."""
    named = "cache" in inspect.signature(model.forward).parameters
    return "cache" if named else "past_key_values"


def _grown(cells: int, wanted: int) -> int:
    """Return the next capacity of a slab of ``cells`` that must have ``wanted``."""
    return max(wanted + ROOM, cells + cells // 4)


class _Cursor:
    """The cells that the forward under way reads and writes; shared by all layers of a store.

    It writes ``cells`` of ``rows`` and reads the first ``used`` cells. With ``keep`` False nothing
    is written: the new tokens follow the first ``used`` cells, each sequence of the batch its own.
    """

    def __init__(self, rows: int) -> None:
        self.all_rows = rows
        self.rows = slice(0, rows)
        self.cells: slice | torch.Tensor = slice(0, 0)
        self.used = 0
        self.before = 0
        """Cells before the new tokens: the past length that the model is told."""
        self.keep = True
        self.version = 0
        """A number never used before whenever a slab moves to other memory."""


class _SlabLayer(CacheLayerMixin):
    """Keys and values of one layer, [rows, kv heads, capacity, head dim]."""

    is_sliding = False
    keys: torch.Tensor | None
    values: torch.Tensor | None

    def __init__(self, cursor: _Cursor) -> None:
        super().__init__()
        self.cursor = cursor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self._make_room(key_states, value_states)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cursor = self.cursor
        if not cursor.keep:
            return self._followed(self.keys, key_states), self._followed(self.values, value_states)
        self._make_room(key_states, value_states)
        assert self.keys is not None and self.values is not None
        keys, values = self.keys[cursor.rows], self.values[cursor.rows]
        keys[:, :, cursor.cells] = key_states
        values[:, :, cursor.cells] = value_states
        return keys[:, :, : cursor.used], values[:, :, : cursor.used]

    def _followed(self, slab: torch.Tensor | None, states: torch.Tensor) -> torch.Tensor:
        """Return the prefix and then the new states, each sequence of the batch with its own."""
        if slab is None or not self.cursor.used:
            return states
        prefix = slab[self.cursor.rows, :, : self.cursor.used]
        return torch.cat([prefix.expand(len(states), -1, -1, -1), states], dim=2)

    def _make_room(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Move to larger slabs where the cursor's cells do not fit; cells keep their numbers."""
        there = 0 if self.keys is None else self.keys.shape[2]
        if self.keys is not None and self.cursor.used <= there:
            return
        capacity = _grown(there, self.cursor.used)
        # Zeros: cells that a row has not filled are masked, and a masked NaN is still NaN.
        keys, values = (
            like.new_zeros(self.cursor.all_rows, like.shape[1], capacity, like.shape[3])
            for like in (key_states, value_states)
        )
        if self.keys is not None and self.values is not None:
            keys[:, :, :there] = self.keys
            values[:, :, :there] = self.values
        self.keys, self.values = keys, values
        self.is_initialized = True
        self.cursor.version = next(_versions)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        if self.cursor.keep:
            return self.cursor.used, 0
        return self.cursor.used + query_length, 0

    def get_seq_length(self) -> int:
        return self.cursor.before

    def get_max_length(self) -> int:
        return -1

    def get_max_cache_shape(self) -> int:
        return -1


class Store:
    """KV and last hidden states of the cells of one line, for one model or two rows of it."""

    def __init__(self, layers: int, rows: int = 1) -> None:
        self._cursor = _Cursor(rows)
        self._layers = [_SlabLayer(self._cursor) for _ in range(layers)]
        self.cache = Cache(layers=list(self._layers))
        self.snapshots = Snapshots()
        self._hidden: torch.Tensor | None = None

    @property
    def capacity(self) -> int:
        """Cells that every layer has room for; 0 before the first forward."""
        slabs = [layer.keys for layer in self._layers]
        return min((0 if slab is None else slab.shape[2] for slab in slabs), default=0)

    @property
    def version(self) -> int:
        """A number that changes whenever a slab moves to other memory; never used before."""
        return self._cursor.version

    @property
    def device(self) -> torch.device:
        """The device of the KV; not to be asked before the first forward."""
        return self.tensors()[0].device

    def along(self, rows: slice, first: int, stop: int) -> None:
        """Aim the next forward at the cells ``first`` to ``stop``, after all cells before them."""
        cursor = self._cursor
        cursor.rows, cursor.cells, cursor.keep = rows, slice(first, stop), True
        cursor.used, cursor.before = stop, first

    def among(self, rows: slice, cells: torch.Tensor, used: int) -> None:
        """Aim the next forward at ``cells`` (int64 [T]); it reads the first ``used`` cells."""
        cursor = self._cursor
        cursor.rows, cursor.cells, cursor.keep = rows, cells, True
        cursor.used, cursor.before = used, used - len(cells)

    def after(self, rows: slice, used: int) -> None:
        """Aim the next forward after the first ``used`` cells; its KV is not written."""
        cursor = self._cursor
        cursor.rows, cursor.keep = rows, False
        cursor.used = cursor.before = used

    def put_hidden(
        self, hidden: torch.Tensor, rows: slice, cells: slice | torch.Tensor, last: int
    ) -> None:
        """Write last hidden states, [rows, T, d], of some cells, all before cell ``last``."""
        there = 0 if self._hidden is None else self._hidden.shape[1]
        if self._hidden is None or last > there:
            grown = hidden.new_zeros(self._cursor.all_rows, _grown(there, last), hidden.shape[-1])
            if self._hidden is not None:
                grown[:, :there] = self._hidden
            self._hidden = grown
        self._hidden[rows, cells] = hidden

    def hidden(self, rows: slice, cells: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states of ``cells`` (int64 [m]), [rows, m, d]."""
        assert self._hidden is not None
        return self._hidden[rows, cells]

    def copy(self, other: "Store", cells: torch.Tensor, first: int) -> None:
        """Copy ``cells`` (int64 [k]) of another store, all rows, to ``first`` and on."""
        where = slice(first, first + len(cells))
        self.along(slice(0, self._cursor.all_rows), where.start, where.stop)
        for mine, theirs in zip(self._layers, other._layers, strict=True):
            if theirs.keys is not None and theirs.values is not None:
                mine.update(theirs.keys[:, :, cells], theirs.values[:, :, cells])
        self.snapshots.copy(other.snapshots, where.start, where.stop)
        if other._hidden is not None:
            self.put_hidden(
                other._hidden[:, cells], slice(0, self._cursor.all_rows), where, where.stop
            )

    def gather(self, cells: torch.Tensor, first: int) -> None:
        """Move ``cells`` (int64 [k], ascending) to ``first`` and on, in that order.

        The last of them may never have been written, since their forward was cancelled; they have
        nothing to move. The store's content is undefined if this fails: the caller then releases
        the line.
        """

        def move(slab: torch.Tensor, axis: int) -> None:
            own = cells[cells < slab.shape[axis]]
            slab.narrow(axis, first, len(own)).copy_(slab.index_select(axis, own))

        for layer in self._layers:
            for slab in (layer.keys, layer.values):
                if slab is not None:
                    move(slab, 2)
        if self._hidden is not None:
            move(self._hidden, 1)

    def tensors(self) -> list[torch.Tensor]:
        """Return all slabs and the hidden states."""
        slabs = [it for layer in self._layers for it in (layer.keys, layer.values)]
        return [it for it in (*slabs, self._hidden) if it is not None]

    def bytes(self) -> int:
        """Return the memory held, in bytes."""
        return sum(tensor.nbytes for tensor in self.tensors()) + self.snapshots.bytes()

    def cell_bytes(self) -> int:
        """Return the memory of one cell, in bytes; 0 before the first forward."""
        slabs = sum(tensor.nbytes // tensor.shape[-2] for tensor in self.tensors())
        return slabs + self.snapshots.cell_bytes()
