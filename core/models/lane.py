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
from core.models.lora import ActiveRows

TREE_PATHS: tuple[tuple[str, bool], ...] = (
    (GROUPED, False),
    (GROUPED, True),
    ("", False),
    ("", True),
)
"""Ways to run tree attention, the fastest first: attention function ("": the model's own), and
whether the mask is a dict by layer type. The self-check takes the first that is right."""


class Lane:
    """A model that advances cells.

    ``rows``: the batch it can run, one row, or two if ``active`` tells its layers which of them a
    forward is of.
    """

    def __init__(
        self,
        model: Any,
        active: ActiveRows | None = None,
        entered: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.model: Any = model
        self.device: torch.device = model.device
        self.rows = 1 if active is None else active.rows.stop
        self._active = active or ActiveRows()
        self._active.rows = slice(0, self.rows)
        self.config: Any = self.model.config.get_text_config()
        self.tree_path: tuple[str, bool] | None = None
        """The way chosen from TREE_PATHS; None: every path is run whole, without a cache."""
        self.cancelled: Callable[[], bool] = lambda: False
        self._entered = entered
        self._own_attention: str = self.config._attn_implementation
        self._cache_argument = cache_argument(self.model.base_model)
        self._head = self.model.get_output_embeddings()
        self._slab = Slab(self.config.num_hidden_layers, self.rows)
        self._hidden: torch.Tensor | None = None
        self._ids = torch.empty(0, dtype=torch.int64)
        for layer in self._layers():
            layer.register_forward_pre_hook(self._stop_if_cancelled)

    @property
    def dtype(self) -> torch.dtype:
        return cast(torch.dtype, self.model.dtype)

    @property
    def vocab_size(self) -> int:
        """Width of a distribution, padding of the embedding included."""
        return int(self._head.weight.shape[0])

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
        cells: torch.Tensor,
        visible: torch.Tensor,
        depths: torch.Tensor,
        seen: torch.Tensor | None = None,
        rows: slice | None = None,
    ) -> None:
        """Run T tokens and keep their KV and hidden states in the cells given for them.

        Args:
            ids: int64 [T].
            cells: int64 [T], where to keep them; with ``seen`` None they follow each other.
            visible: bool [T, S + T], which cells each token may see, itself included: S earlier
                ones, then those of the tokens.
            depths: int64 [S + T], depth (from 1) of the token in each of those cells.
            seen: int64 [S], the earlier cells; None for all before the first of ``cells``.
            rows: which rows of the batch to run; None for all.

        Raises:
            Cancelled: between two layers, when ``cancelled()``; what the cells hold is then
                undefined.
        """
        self._active.rows = rows or slice(0, self.rows)
        where: slice | torch.Tensor = cells.to(self.device)
        if seen is None:
            where = slice(int(cells[0]), int(cells[-1]) + 1)
        else:
            seen = seen.to(self.device)
        self._slab.aim(self._active.rows, where, seen)
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
        self._store(hidden, ids, where)

    @torch.inference_mode()
    def keep(self, cells: torch.Tensor) -> None:
        """Drop all cells but these, which become 0..k-1 in that order."""
        cells = cells.to(self.device)
        if self._hidden is not None:
            self._hidden[:, : len(cells)] = self._hidden[:, cells]
            self._ids[: len(cells)] = self._ids[cells]
        self._slab.keep(cells)

    @torch.inference_mode()
    def logits(self, cells: torch.Tensor, rows: slice | None = None) -> torch.Tensor:
        """Next-token logits of the states in ``cells`` [m], float32 [rows, m, V]."""
        assert self._hidden is not None
        self._active.rows = rows or slice(0, self.rows)
        with self._entered():
            return self.head(self._hidden[self._active.rows, cells.to(self.device)])

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of last hidden states, [rows, m, d] -> float32 [rows, m, V]."""
        logits: torch.Tensor = self._head(hidden).float().contiguous()
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
        self._active.rows = slice(0, self.rows)
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
        """Without a usable cache: run the whole path to each leaf among the new tokens.

        A model of one row runs all paths as one batch. They are padded behind their ends, where no
        causal model looks.
        """
        earlier = visible.shape[1] - len(ids)
        before = self._ids[:earlier] if seen is None else self._ids[seen]
        tokens = torch.cat([before.cpu(), ids])
        leaves = (visible[:, earlier:].sum(0) == 1).nonzero()[:, 0].tolist()
        paths = [visible[leaf].nonzero()[:, 0] for leaf in leaves]
        paths = [path[depths[path].argsort()] for path in paths]
        runs: list[torch.Tensor]
        if self.rows == 1:
            batch = torch.nn.utils.rnn.pad_sequence([tokens[path] for path in paths], True)
            run = self._run(batch, torch.arange(batch.shape[1]), use_cache=False)
            runs = list(run[:, None])
        else:
            runs = [
                self._run(tokens[path], torch.arange(len(path)), use_cache=False) for path in paths
            ]
        hidden = runs[0].new_empty(len(runs[0]), len(ids), runs[0].shape[-1])
        for run, path in zip(runs, paths, strict=True):
            new = path >= earlier
            hidden[:, path[new] - earlier] = run[:, : len(path)][:, new]
        return hidden

    def _run(self, ids: torch.Tensor, positions: torch.Tensor, **how: Any) -> torch.Tensor:
        batch = self._batch(ids)
        positions = positions.to(self.device)[None].expand(len(batch), -1)
        with self._entered():
            out = self.model.base_model(input_ids=batch, position_ids=positions, **how)
        return cast(torch.Tensor, out.last_hidden_state)

    def _batch(self, ids: torch.Tensor) -> torch.Tensor:
        """One sequence [T] for every active row, or sequences [B, T] as they are."""
        if ids.dim() == 2:
            return ids.to(self.device)
        count = self._active.rows.stop - self._active.rows.start
        return ids.to(self.device)[None].expand(count, -1)

    def _store(self, hidden: torch.Tensor, ids: torch.Tensor, cells: slice | torch.Tensor) -> None:
        if self._hidden is None or self._slab.capacity > self._hidden.shape[1]:
            grown = hidden.new_zeros(self.rows, self._slab.capacity, hidden.shape[-1])
            known = torch.zeros(grown.shape[1], dtype=torch.int64, device=self.device)
            if self._hidden is not None:
                grown[:, : self._hidden.shape[1]] = self._hidden
                known[: len(self._ids)] = self._ids
            self._hidden, self._ids = grown, known
        self._hidden[self._active.rows, cells] = hidden
        self._ids[cells] = ids.to(self.device)

    def _layers(self) -> nn.ModuleList:
        """The decoder layers: between two of them a forward may be stopped."""
        for module in self.model.modules():
            if isinstance(module, nn.ModuleList) and len(module) == self.config.num_hidden_layers:
                return module
        return nn.ModuleList()

    def _stop_if_cancelled(self, *_: Any) -> None:
        if self.cancelled():
            raise Cancelled
