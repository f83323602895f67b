"""Forwards of few tokens at fixed shapes, each recorded once as a CUDA graph and then replayed.

The words after an edit and the tips of a search are few tokens. On a GPU their forward costs not
arithmetic but some two thousand kernel launches: one of 256 tokens of a 0.6B model keeps an H100
busy for 6 ms and takes 40. So it is given a shape that does not change: the tokens are padded to
one of a few sizes, and all cells of a store are read, with a mask over those that a token does not
see. A forward of one shape is recorded once; afterwards its inputs are written in place and it is
replayed with one launch. Recording takes as long as three forwards, so of the larger sizes only
what is asked for a second time is recorded.

A recording holds the addresses of weights, rotary buffers and slabs, and which rows run. Whoever
changes one of them says so by another ``stamp``, and the forward is recorded anew.

Without recording the same fixed shapes are run as usual, on any device: tests use that to compare
them with forwards of changing shape.

Knows nothing of trees or of what a model does.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch

from core.models.attention import Branches
from core.models.kv import Store

SIZES = (1, 8, 32, 128, 512)
"""Numbers of tokens of a forward: others are padded to the next, more than the last are refused."""
AT_ONCE = 32
"""Forwards up to this size are recorded when they are first asked for, larger ones the second time.
"""
RECORDINGS = 16
"""Recordings that are cached; each holds the activations of its forward."""

Forward = Callable[[Store, torch.Tensor, torch.Tensor, Branches, slice], torch.Tensor]
"""(store, ids [T], cells [T], what they see, rows) -> last hidden states [rows, T, d]."""


@dataclass(eq=False)
class _Step:
    """The inputs of a forward of one shape, where a recording reads them, and its output."""

    ids: torch.Tensor
    cells: torch.Tensor
    seen: Branches
    graph: Any = None
    hidden: torch.Tensor | None = None

    @classmethod
    def of(cls, size: int, capacity: int, device: torch.device) -> "_Step":
        """Return inputs for ``size`` tokens over ``capacity`` cells."""
        integers = (torch.zeros(n, dtype=torch.int64, device=device) for n in (size,) * 3)
        ids, cells, queries = integers
        keys = torch.zeros(capacity, dtype=torch.int64, device=device)
        visible = torch.zeros(size, capacity, dtype=torch.bool, device=device)
        return cls(ids, cells, Branches(queries, keys, visible))

    def fill(self, ids: torch.Tensor, cells: torch.Tensor, seen: Branches) -> None:
        """Write the inputs of the next forward; padding sees and writes the last cell."""
        count, used = seen.visible.shape
        self.ids.zero_()[:count].copy_(ids)
        self.cells.fill_(self.seen.visible.shape[1] - 1)[:count].copy_(cells)
        self.seen.queries.zero_()[:count].copy_(seen.queries)
        self.seen.keys.zero_()[:used].copy_(seen.keys)
        self.seen.visible.zero_()[:count, :used].copy_(seen.visible)
        self.seen.visible[count:, -1] = True


class FixedSteps:
    """Forwards of few tokens at fixed shapes, recorded and replayed if ``record``."""

    def __init__(self, forward: Forward, record: bool) -> None:
        self._forward = forward
        self._record = record
        self._steps: dict[Hashable, _Step] = {}
        """By shape, rows and stamp; the least recently used first."""
        self._asked: set[Hashable] = set()
        """Of large forwards: those that were asked for once."""
        self._pool: Any = None

    def run(
        self,
        store: Store,
        ids: torch.Tensor,
        cells: torch.Tensor,
        seen: Branches,
        rows: slice,
        stamp: Hashable,
    ) -> torch.Tensor | None:
        """Return the last hidden states of T tokens, [rows, T, d], and cache their KV in ``cells``.

        None if there are too many tokens, no room beside them in the store, or a large forward was
        not asked for before: run them as usual.

        Args:
            seen: over the first S cells, those of the tokens included.
            stamp: stands for all that a recording depends on beside shapes and the store.
        """
        count, used = seen.visible.shape
        size = next((size for size in SIZES if size >= count), None)
        capacity = store.capacity
        if size is None or used >= capacity:
            return None
        key = (store.version, size, rows.start, rows.stop, stamp)
        if self._record and size > AT_ONCE and key not in self._asked:
            self._asked.add(key)
            return None
        step = self._steps.pop(key, None) or _Step.of(size, capacity, store.device)
        step.fill(ids, cells, seen)
        store.among(rows, step.cells, capacity)
        if not self._record:
            hidden = self._forward(store, step.ids, step.cells, step.seen, rows)
        else:
            if step.graph is None:
                self._capture(step, store, rows)
            step.graph.replay()
            assert step.hidden is not None
            hidden = step.hidden
        self._steps[key] = step
        while len(self._steps) > RECORDINGS:
            del self._steps[next(iter(self._steps))]
        return hidden[:, :count].clone()

    def forget(self) -> None:
        """Drop all recordings."""
        self._steps.clear()
        self._asked.clear()

    def _capture(self, step: _Step, store: Store, rows: slice) -> None:
        """Record a forward; it is first run on a stream of its own, as CUDA graphs require."""
        inputs = store, step.ids, step.cells, step.seen, rows
        side = torch.cuda.Stream(store.device)
        side.wait_stream(torch.cuda.current_stream(store.device))
        with torch.cuda.stream(side):
            for _ in range(2):
                self._forward(*inputs)
        torch.cuda.current_stream(store.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            step.hidden = self._forward(*inputs)
        step.graph = graph
        self._pool = graph.pool()
