"""A Hugging Face model that runs tokens, caches their KV and hidden states, and gives logits.

A lane has one row (one model) or two (policy and reference adapters on one base, see
core.models.lora). It runs tokens in one of several ways; the self-check (core.models.check) chooses
the fastest that is exact for the model:

- TREE: along a path as the model runs itself, after a cached prefix; and all tips of many branches
  in one forward, each token seeing its own ancestors.
- PATH: along a path after a cached prefix, with the model's own attention; branches one by one,
  each from where it leaves the trunk.
- STATES, CHUNKS, SINGLES: from copies of the model's own cache at some places of a path (snapshots,
  core.models.states), which are continued by several tokens at once, by single tokens, or by
  either.
- WHOLE: without a cache; every path is run from its first token.

Logits are made from hidden states when they are asked for, a few positions at a time, so memory
does not grow with vocabulary x length.

Knows nothing of the tree: its caller says which cells are a path, and what a branch's tokens see.
"""

import copy
import dataclasses
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from core.errors import Cancelled
from core.failures import passes
from core.models.attention import GROUPED, Branches, branches
from core.models.kv import Store, cache_argument
from core.models.lora import ActiveRows
from core.models.products import Linear
from core.models.rope import Regime, Regimes
from core.models.states import Manner
from core.models.steps import SIZES, FixedSteps

IN_PLACE = 64
"""States at a time from which on the product with the output embedding is written straight into
the caller's memory: so large a product gains nothing from another layout."""


class Way(Enum):
    """The ways of running tokens; the value is shown in the status line."""

    TREE = "tree cache"
    PATH = "path cache (branches one by one)"
    STATES = "state snapshots (branches from the trunk)"
    CHUNKS = "state snapshots (continued in chunks)"
    SINGLES = "state snapshots (continued token by token)"
    WHOLE = "no cache (recomputes each response)"


MANNERS = {
    Way.STATES: Manner(chunks=True, singles=True),
    Way.CHUNKS: Manner(chunks=True, singles=False),
    Way.SINGLES: Manner(chunks=False, singles=True),
}
"""The manners in which the ways that take snapshots continue them."""
LOUD = 30.0
"""Hidden states are this many times as large where caps on logits are looked for."""
SHORT, LONG, REPEATS = 16, 128, 3
"""Tokens of the two forwards whose times tell what a chunk costs, and how often each is run."""


class Lane:
    """A model that runs tokens into the cells of stores.

    Args:
        active: says which of its two rows a forward runs; None for a model of one row.
        entered: makes the context that a forward is run inside (an adapter switched on).
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
        self.has_base = active is not None
        """True where adapters lie over a base that can be run without them."""
        self._active = active or ActiveRows()
        self._active.rows = slice(0, self.rows)
        self.config: Any = self.model.config.get_text_config()
        self.way = Way.WHOLE
        self.cancelled: Callable[[], bool] = _never
        self._entered = entered
        self._own_attention: str = self.config._attn_implementation
        self._base: Any = body(model)
        self._cache_argument = cache_argument(self._base)
        self._head = self.model.get_output_embeddings()
        self.vocab_size = len(self._head.weight)  # here, as an adapted one may compute its weight
        """Width of a distribution, padding of the embedding included."""
        self.head_alone = True
        """True where logits come from the output embedding alone: no scale, cap or other head."""
        self._output: Callable[..., Any] = BaseModelOutputWithPast
        """The class of the body's outputs; the last output itself would hold its KV in memory."""
        self._regimes = Regimes(model)
        self._regime: Regime = 0
        self._steps: FixedSteps | None = None
        self._places = 0
        self._costs: dict[str, Any] = {}
        """Fields of Manner: the measured cost of a chunk."""
        layers = self._layers()
        self.depth = len(layers)
        """Layers before each of which ``cancelled`` is asked; 0 where they are not found."""
        for layer in layers:
            layer.register_forward_pre_hook(self._stop_if_cancelled)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return cast(torch.dtype, self.model.dtype)

    @property
    def is_entered(self) -> bool:
        """True where a forward is run inside a context, such as an adapter switched on."""
        return self._entered is not nullcontext

    @property
    def has_tree_attention(self) -> bool:
        """True where the model takes the attention function that TREE needs."""
        return str(self.config._attn_implementation) == GROUPED

    def use(self, way: Way) -> None:
        """Set the way of running tokens; what stores hold of another way is stale."""
        self.way = way
        name = GROUPED if way is Way.TREE else self._own_attention
        if name != self.config._attn_implementation:
            with _quietly("transformers.modeling_utils"):  # where it cannot be set, it stays
                self.model.set_attn_implementation(name)

    def store(self) -> Store:
        """Return an empty store for this model."""
        return Store(int(getattr(self.config, "num_hidden_layers", 0)), self.rows)

    @property
    def in_pieces(self) -> bool:
        """True where a long path can be run in several calls without running any token twice."""
        return self.way not in (Way.WHOLE, Way.SINGLES)

    @property
    def _manner(self) -> Manner:
        return dataclasses.replace(MANNERS[self.way], **self._costs)

    @property
    def depends_on_length(self) -> bool:
        """True where the model's rotary factors depend on the length of a text."""
        return self._regimes.differ

    def regime(self, length: int) -> Regime:
        """Return the rotary regime that the model takes for a text of ``length`` tokens."""
        return self._regimes.of(length)

    def set_regime(self, regime: Regime) -> None:
        """Make the coming forwards take a regime's rotary factors, whatever their own length."""
        self._regimes.set(regime)
        self._regime = regime

    def use_steps(self, record: bool | None) -> None:
        """Run few tokens at fixed shapes (core.models.steps), replayed as CUDA graphs if
        ``record``; None: at the shape that they have. Only TREE can, as it runs a path's tokens
        like a branch's."""
        self._steps = None if record is None else FixedSteps(self._masked, record)

    def weights_changed(self) -> None:
        """Drop recordings that hold the addresses of weights, if these have moved."""
        tensors = itertools.chain(self.model.parameters(), self.model.buffers())
        places = hash(tuple(tensor.data_ptr() for tensor in tensors))
        if places != self._places:
            self.drop_recordings()
        self._places = places

    def drop_recordings(self) -> None:
        """Drop recorded forwards, and the memory of their activations."""
        if self._steps is not None:
            self._steps.forget()

    @torch.inference_mode()
    def run_path(
        self, store: Store, ids: torch.Tensor, first: int, rows: slice | None = None
    ) -> None:
        """Run the tokens from ``first`` on of a path, and cache them in the cells of that number.

        Args:
            ids: int64 [n], the whole path; the cells before ``first`` hold its beginning.
            rows: which rows of the batch to run; None for all.

        Raises:
            Cancelled: between two layers, when ``cancelled()``; the cells from ``first`` on are
                then undefined.
        """
        rows = self._activate(rows)
        steps = None
        if self._steps is not None and len(ids) - first <= SIZES[-1]:
            places = torch.arange(len(ids))
            cells = places[first:]
            seen = Branches(cells, places, places <= cells[:, None])
            steps = self._fixed(store, ids[first:], cells, seen, rows)
        if steps is not None:
            hidden = steps
        elif self.way in MANNERS:
            hidden = store.snapshots.run_path(self._continue, self._manner, ids, first, rows)
        elif self.way is Way.WHOLE:
            hidden = self._run(self._batch(ids))[:, first:]
        else:
            store.along(rows, first, len(ids))
            hidden = self._run(self._batch(ids[first:]), store)
        store.put_hidden(hidden, rows, slice(first, len(ids)), len(ids))

    @torch.inference_mode()
    def run_branches(
        self,
        store: Store,
        ids: torch.Tensor,
        cells: torch.Tensor,
        seen: Branches,
        rows: slice | None = None,
    ) -> None:
        """Run T tokens of any branches in one forward (TREE), and cache them in ``cells``.

        Args:
            ids, cells: int64 [T].
            seen: over the first S cells, those of the tokens included.

        Raises:
            Cancelled: as for ``run_path``.
        """
        rows = self._activate(rows)
        hidden = self._fixed(store, ids, cells, seen, rows)
        cells = cells.to(self.device)
        if hidden is None:
            seen = seen.to(self.device)
            store.among(rows, cells, len(seen.keys))
            hidden = self._masked(store, ids, cells, seen, rows)
        store.put_hidden(hidden, rows, cells, seen.visible.shape[1])

    @torch.inference_mode()
    def run_apart(
        self, ids: torch.Tensor, seen: Branches, rows: slice | None = None
    ) -> torch.Tensor:
        """Run T tokens of any texts in one forward (TREE) and return their last hidden states,
        [rows, T, d]; nothing is cached.

        Args:
            ids: int64 [T].
            seen: over these tokens alone.

        Raises:
            Cancelled: between two layers.
        """
        rows = self._activate(rows)
        store = self.store()
        store.after(rows, 0)  # without a cache transformers guesses texts by their positions
        return self._masked(store, ids, ids, seen.to(self.device), rows)

    @torch.inference_mode()
    def run_tips(
        self,
        store: Store,
        ids: torch.Tensor,
        trunk: int,
        first: int,
        rows: slice | None = None,
    ) -> torch.Tensor:
        """Run branches of one length and return hidden states; no KV is cached.

        They start from the trunk's end, from snapshots beyond it, or (WHOLE) from the root.

        Args:
            ids: int64 [B, n], all tokens of each branch.
            trunk: how many of the first tokens all share and have in the cells of that number.
            first: the first token whose hidden state is wanted, beyond the trunk.

        Returns:
            The last hidden states of the tokens from ``first`` on, [rows, B, n - first, d].

        Raises:
            Cancelled: between two layers.
        """
        rows = self._activate(rows)
        if self.way in MANNERS:
            return store.snapshots.run_tips(
                self._continue, self._manner, ids, trunk, first, rows, together=self.rows == 1
            )
        prefix = None
        if self.way is Way.WHOLE:
            trunk = 0
        elif trunk:
            prefix = store
        behind, first = ids[:, trunk:], first - trunk
        if self.rows == 1:
            store.after(rows, trunk)
            return self._run(behind.to(self.device), prefix)[None, :, first:]
        found = []
        for sequence in behind:
            store.after(rows, trunk)
            found.append(self._run(self._batch(sequence), prefix))
        return torch.stack(found, dim=1)[:, :, first:]

    @torch.inference_mode()
    def measure(self) -> None:
        """Measure what running several tokens at once costs, in forwards of a single token.

        On this device and with these weights: one token after a text of SHORT tokens, and whole
        texts of SHORT and of LONG tokens; the best of REPEATS each.
        """
        self._activate(None)

        def seconds(count: int, cache: Any) -> float:
            spans = []
            for _ in range(REPEATS):
                given = copy.deepcopy(cache)
                self._wait()
                began = time.perf_counter()
                self._continue(ids[:, :count], given)
                self._wait()
                spans.append(time.perf_counter() - began)
            return min(spans)

        ids = torch.arange(LONG)[None] % self.vocab_size
        single = seconds(1, self._continue(ids[:, :SHORT], None)[1])
        short, long = seconds(SHORT, None) / single, seconds(LONG, None) / single
        token = max(0.0, (long - short) / (LONG - SHORT))
        # No forward costs less than that of one token.
        self._costs = {"start": max(1.0, short - SHORT * token), "token": token}

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor, rows: slice | None, out: torch.Tensor) -> None:
        """Write next-token logits of hidden states [rows, m, d] into float32 [rows, m, V]."""
        self._activate(rows)
        hidden = hidden.to(self._head.weight.dtype)  # some bodies keep a wider residual
        alike = hidden.dtype == out.dtype and hidden.device == out.device
        many = hidden.shape[0] * hidden.shape[1] >= IN_PLACE
        with self._entered():
            if not self.head_alone:
                out.copy_(self._through_the_model(hidden))
            elif type(self._head) in (nn.Linear, Linear) and alike and many:
                flat = out.view(-1, out.shape[-1])
                torch.mm(hidden.flatten(0, 1), self._head.weight.t(), out=flat)
                if self._head.bias is not None:
                    out += self._head.bias
            else:
                out.copy_(self._head(hidden))

    @torch.inference_mode()
    def plain_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the model's own logits after every token of a path, [T] -> float32 [rows, T, V].

        This is one uncached forward with the model's own attention, which the self-check compares
        with.
        """
        chosen = self.way
        self._activate(None)
        self.set_regime(self.regime(len(ids)))
        self.use(Way.WHOLE)
        try:
            with self._entered():
                return plain_logits(self.model, self._batch(ids)).float()
        finally:
            self.use(chosen)

    @torch.inference_mode()
    def base_hidden(self, ids: torch.Tensor, seen: Branches | None) -> torch.Tensor:
        """Return the base's last hidden states of T tokens without its adapters, [T, d].

        Only where ``has_base``; nothing is cached.

        Args:
            ids: int64 [T].
            seen: over these tokens alone, of any texts (TREE); None for one text, whole.

        Raises:
            Cancelled: between two layers, when ``cancelled()``.
        """
        chosen, one = self.way, slice(0, 1)
        self._active.bare = True
        try:
            if seen is not None:
                return self.run_apart(ids, seen, one)[0]
            self._activate(one)
            self.set_regime(self.regime(len(ids)))
            self.use(Way.WHOLE)
            return self._run(self._batch(ids))[0]
        finally:
            self._active.bare = False
            self.use(chosen)

    @torch.inference_mode()
    def base_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return what the base says behind its hidden states, [n, d] -> float32 [n, V]."""
        out = torch.empty((1, len(hidden), self.vocab_size), device=self.device)
        self._active.bare = True
        try:
            self.logits(hidden[None], slice(0, 1), out)
        finally:
            self._active.bare = False
        return out[0]

    @torch.inference_mode()
    def choose_head(self, ids: torch.Tensor, expected: torch.Tensor, margin: float) -> bool:
        """Choose how logits are made from hidden states; return whether that gives ``expected``.

        They are made by the output embedding alone, or else by all that the model does after its
        body.

        Args:
            ids: int64 [T].
            expected: the model's own logits after each token, [rows, T, V].
            margin: the largest standard deviation of the difference.
        """
        self._activate(None)
        hidden = self._run(self._batch(ids))
        loud = LOUD * hidden  # a cap on logits shows only where they are large

        def agree(one: torch.Tensor | None, other: torch.Tensor | None, most: float) -> bool:
            return one is not None and other is not None and float((one - other).std()) <= most

        through = agree(self._logits_by(hidden, expected, alone=False), expected, margin)
        capped = self._logits_by(loud, expected, alone=False) if through else None
        if agree(self._logits_by(hidden, expected, alone=True), expected, margin) and (
            not through or agree(self._logits_by(loud, expected, True), capped, LOUD * margin)
        ):
            return True
        self.head_alone = False
        return through

    def _logits_by(
        self, hidden: torch.Tensor, like: torch.Tensor, alone: bool
    ) -> torch.Tensor | None:
        """Return logits, shaped as ``like``, made in one of two ways; None if that cannot be."""
        self.head_alone = alone
        try:
            found = torch.empty_like(like)
            self.logits(hidden, None, found)
        except Exception as error:  # whatever a head raises that takes other tensors
            if passes(error):
                raise
            return None
        return found

    def _fixed(
        self, store: Store, ids: torch.Tensor, cells: torch.Tensor, seen: Branches, rows: slice
    ) -> torch.Tensor | None:
        """Run few tokens at a fixed shape; return None where that cannot be done."""
        if self._steps is None or self.way is not Way.TREE:
            return None
        if self.cancelled():
            raise Cancelled
        wanted, self.cancelled = self.cancelled, _never  # nothing may stop a recording
        try:
            return self._steps.run(store, ids, cells, seen, rows, self._regime)
        finally:
            self.cancelled = wanted

    def _masked(
        self, store: Store, ids: torch.Tensor, cells: torch.Tensor, seen: Branches, rows: slice
    ) -> torch.Tensor:
        """Run tokens that see what ``seen`` says; the store is already aimed at their cells."""
        batch = self._batch(ids)
        with branches(seen):
            return self._run(batch, store, position_ids=seen.queries[None].expand(len(batch), -1))

    def _through_the_model(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the whole model's logits of last hidden states, with its own scales, caps and
        heads: its body is replaced by a function that returns these states."""

        def given(*args: Any, **kwargs: Any) -> Any:
            return self._output(last_hidden_state=hidden)

        ids = torch.zeros(hidden.shape[:2], dtype=torch.int64, device=self.device)
        with _standing_in(self._base, given):
            return cast(torch.Tensor, self.model(input_ids=ids, use_cache=False).logits.float())

    def _activate(self, rows: slice | None) -> slice:
        """Set the rows that the coming forward runs, None for all, and return them."""
        self._active.rows = rows or slice(0, self.rows)
        return self._active.rows

    def _run(self, batch: torch.Tensor, store: Store | None = None, **how: Any) -> torch.Tensor:
        """Run the model's body on a batch and return the last hidden states, [rows, T, d]."""
        if store is not None:
            how[self._cache_argument] = store.cache
        with self._entered():
            output = self._base(input_ids=batch, use_cache=store is not None, **how)
        self._output = type(output)
        return cast(torch.Tensor, output.last_hidden_state)

    def _continue(self, ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Run tokens [B, t] after a cache of the model's own, which it may change; None for empty.

        Returns their last hidden states, [B, t, d] (of every active row if B is 1), and the cache.

        Raises:
            ValueError: the model returns no cache.
        """
        rows = self._active.rows.stop - self._active.rows.start
        batch = ids.to(self.device).expand(max(rows, len(ids)), -1)
        how = {} if cache is None else {self._cache_argument: cache}
        with self._entered():
            output = self._base(input_ids=batch, use_cache=True, **how)
        cache = getattr(output, self._cache_argument, None)
        if cache is None:
            raise ValueError("the model returns no cache")
        return cast(torch.Tensor, output.last_hidden_state), cache

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _batch(self, ids: torch.Tensor) -> torch.Tensor:
        """Return one sequence [T] for every active row, [rows, T]."""
        count = self._active.rows.stop - self._active.rows.start
        return ids.to(self.device)[None].expand(count, -1)

    def _layers(self) -> nn.ModuleList:
        """Return the decoder layers: a forward can be stopped between two of them."""
        count = getattr(self.config, "num_hidden_layers", 0)
        for module in self.model.modules():
            if isinstance(module, nn.ModuleList) and len(module) == count:
                return module
        return nn.ModuleList()

    def _stop_if_cancelled(self, *_: Any) -> None:
        if self.cancelled():
            raise Cancelled


def _never() -> bool:
    return False


def plain_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return a model's own logits after every token, [B, T] -> [B, T, V]: one uncached forward
    with its own attention, to which all ways of running tokens are held."""
    return cast(torch.Tensor, model(input_ids=ids, use_cache=False).logits)


def body(model: Any) -> Any:
    """Return the part of a causal model that gives last hidden states: all but its head."""
    if model.base_model is not model:
        return model.base_model
    inner = [child for child in model.children() if isinstance(child, PreTrainedModel)]
    return inner[0] if inner else model


@contextmanager
def _quietly(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _standing_in(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Replace a module's forward by another function inside."""
    own = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own
