"""One run of a Hugging Face model: token states in, last hidden states out, KV kept.

A lane has one row (one model) or two (policy and reference adapters on one base, see
core.models.lora). It keeps, cell by cell, the KV and the last hidden state: KV alone cannot give
the distribution at the boundary of a reused prefix. Logits are made from hidden states when they
are wanted, a few positions at a time, so memory does not grow with vocabulary x length.

Knows nothing of the tree: its caller says which cells a token may see.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import nn

from core.errors import Cancelled
from core.models.attention import GROUPED, ancestor_mask
from core.models.kv import Slab, cache_argument
from core.models.lora import project

TREE_PATHS: tuple[tuple[str, bool], ...] = (
    (GROUPED, False),
    (GROUPED, True),
    ("", False),
    ("", True),
)
"""Ways to run tree attention, the fastest first: attention function ("": the model's own), and
whether the mask is a dict by layer type. The self-check takes the first that is right."""


class Lane:
    """A model that advances cells. ``rows`` is the batch it always runs."""

    def __init__(
        self,
        model: Any,
        rows: int = 1,
        entered: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.model: Any = model
        self.rows = rows
        self.config: Any = self.model.config.get_text_config()
        self.tree_path: tuple[str, bool] | None = None
        """The way chosen from TREE_PATHS; None: every path is run whole, without a cache."""
        self.cancelled: Callable[[], bool] = lambda: False
        self._entered = entered
        self._own_attention: str = self.config._attn_implementation
        self._cache_argument = cache_argument(self.model.base_model)
        self._head = self.model.get_output_embeddings()
        self._slab = Slab(self.config.num_hidden_layers)
        self._hidden: torch.Tensor | None = None
        self._ids = torch.empty(0, dtype=torch.int64)
        for layer in self._layers():
            layer.register_forward_pre_hook(self._stop_if_cancelled)

    @property
    def device(self) -> torch.device:
        return cast(torch.device, self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        return cast(torch.dtype, self.model.dtype)

    @property
    def vocab_size(self) -> int:
        """Width of a distribution, padding of the embedding included."""
        return int(self._head.weight.shape[0])

    @property
    def used(self) -> int:
        """Number of cells in use."""
        return self._slab.used

    def use(self, tree_path: tuple[str, bool] | None) -> None:
        """Choose how attention is run (see TREE_PATHS) and forget all cells."""
        self.tree_path = tree_path
        name = (tree_path[0] if tree_path else "") or self._own_attention
        if name != self.config._attn_implementation:
            self.model.set_attn_implementation(name)
        self.keep(torch.empty(0, dtype=torch.int64))

    @torch.inference_mode()
    def advance(
        self,
        ids: torch.Tensor,
        visible: torch.Tensor,
        depths: torch.Tensor,
        seen: torch.Tensor | None = None,
    ) -> None:
        """Run T new tokens and keep them as the cells behind those in use.

        Args:
            ids: int64 [T].
            visible: bool [T, S + T], which cells each token may see, itself included: S earlier
                ones, then the new ones.
            depths: int64 [S + T], depth (from 1) of the token in each of those cells.
            seen: int64 [S], the earlier cells; None for all in use.

        Raises:
            Cancelled: between two layers, when ``cancelled()``; no cell is changed.
        """
        if seen is not None:
            seen = seen.to(self.device)
        self._slab.reserve(len(ids), seen)
        if self.tree_path is None:
            hidden = self._run_whole(ids, visible, depths, seen)
        else:
            mask = ancestor_mask(
                visible.to(self.device),
                depths.to(self.device),
                self.config,
                self.dtype,
                by_layer_type=self.tree_path[1],
            )
            hidden = self._run(
                ids,
                depths[-len(ids) :] - 1,
                attention_mask=mask,
                use_cache=True,
                **{self._cache_argument: self._slab.cache},
            )
        self._store(hidden, ids)
        self._slab.commit()

    @torch.inference_mode()
    def keep(self, cells: torch.Tensor) -> None:
        """Drop all cells but these, which become 0..k-1 in that order."""
        cells = cells.to(self.device)
        if self._hidden is not None:
            self._hidden[:, : len(cells)] = self._hidden[:, cells]
            self._ids[: len(cells)] = self._ids[cells]
        self._slab.keep(cells)

    @torch.inference_mode()
    def logits(self, cells: torch.Tensor) -> torch.Tensor:
        """Next-token logits of the states in ``cells`` [m], float32 [rows, m, V]."""
        assert self._hidden is not None
        return self.head(self._hidden[:, cells.to(self.device)])

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of last hidden states, [rows, m, d] -> float32 [rows, m, V]."""
        logits = project(hidden, self._head.weight, getattr(self._head, "bias", None))
        logits = logits.float().contiguous()
        scale = getattr(self.config, "logit_scale", None)
        divisor = getattr(self.config, "logits_scaling", None)
        cap = getattr(self.config, "final_logit_softcapping", None)
        if scale is not None:
            logits = logits * scale
        if divisor is not None:
            logits = logits / divisor
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits

    @torch.inference_mode()
    def plain_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """The model's own logits after every token of a path, [T] -> float32 [rows, T, V].

        One uncached forward with the model's own attention: what the self-check compares with.
        """
        chosen = self.tree_path
        self.use(None)
        with self._entered():
            out = self.model(input_ids=self._batch(ids), use_cache=False)
        self.use(chosen)
        return cast(torch.Tensor, out.logits.float())

    def cell_bytes(self) -> int:
        """Memory of one cell, in bytes; 0 before the first forward."""
        return self.kv_bytes() // max(1, self._slab.capacity)

    def kv_bytes(self) -> int:
        """Memory of KV and hidden states, in bytes."""
        return self._slab.bytes() + (0 if self._hidden is None else self._hidden.nbytes)

    def _run_whole(
        self,
        ids: torch.Tensor,
        visible: torch.Tensor,
        depths: torch.Tensor,
        seen: torch.Tensor | None,
    ) -> torch.Tensor:
        """Without a usable cache: run the whole path that ends in the last new token."""
        new = len(ids)
        row = visible[-1, :-new].nonzero()[:, 0]
        row = row[depths[row].argsort()]
        cells = row if seen is None else seen.cpu()[row]
        before = self._ids[cells.to(self.device)] if len(cells) else ids[:0].to(self.device)
        path = torch.cat([before, ids.to(self.device)])
        return self._run(path, torch.arange(len(path)), use_cache=False)[:, -new:]

    def _run(self, ids: torch.Tensor, positions: torch.Tensor, **how: Any) -> torch.Tensor:
        positions = positions.to(self.device)[None].expand(self.rows, -1)
        with self._entered():
            out = self.model.base_model(input_ids=self._batch(ids), position_ids=positions, **how)
        return cast(torch.Tensor, out.last_hidden_state)

    def _batch(self, ids: torch.Tensor) -> torch.Tensor:
        return ids.to(self.device)[None].expand(self.rows, -1)

    def _store(self, hidden: torch.Tensor, ids: torch.Tensor) -> None:
        start, stop = self.used, self.used + len(ids)
        if self._hidden is None or stop > self._hidden.shape[1]:
            grown = hidden.new_empty(self.rows, max(2 * start, stop, 1024), hidden.shape[-1])
            known = torch.zeros(grown.shape[1], dtype=torch.int64, device=self.device)
            if self._hidden is not None:
                grown[:, :start] = self._hidden[:, :start]
                known[:start] = self._ids[:start]
            self._hidden, self._ids = grown, known
        self._hidden[:, start:stop] = hidden
        self._ids[start:stop] = ids.to(self.device)

    def _layers(self) -> nn.ModuleList:
        """The decoder layers: between two of them a forward may be stopped."""
        for module in self.model.modules():
            if isinstance(module, nn.ModuleList) and len(module) == self.config.num_hidden_layers:
                return module
        return nn.ModuleList()

    def _stop_if_cancelled(self, *_: Any) -> None:
        if self.cancelled():
            raise Cancelled
