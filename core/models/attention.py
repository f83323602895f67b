"""Attention over cells: the model's own masks, asked at the depths of tokens in a tree.

A Hugging Face model builds its masks from *mask functions* (causal, sliding window, chunked, …) of
a query's and a key's position. The two functions registered here under GROUPED are handed them:

- Along one path, cell = position, so the model's own mask is right as it is. A plain causal one is
  never made: the attention function runs the causal kernel, aligned to the last key.
- Where branches advance together, a token sees its own ancestors only. The mask function is
  evaluated at the *depths* of tokens and joined with the ancestry, which ``branches`` announces for
  the forward under way.

Query heads that share a KV head are folded into the query axis: the stock function repeats keys and
values for each of them as soon as there is a mask. Soft-capping, attention sinks and position
biases are computed as transformers' eager functions do.

Knows nothing of models or of where keys and values lie.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, and_masks, causal_mask_function

GROUPED = "qscope_grouped"
"""Name of the two functions below, for ``attn_implementation``."""
BLOCK = 64
"""On a CPU, masked queries are run this many tokens at a time, over the cells from the first to the
last that any of them sees."""
SCORES = 2**24
"""Attention scores that are in memory at once where no fused kernel computes them."""

MaskFunction = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Branches:
    """The cells that the tokens of a forward over several branches see.

    queries: int64 [T], the position (depth - 1) of each new token.
    keys: int64 [S], that of the token in each cell that is read.
    visible: bool [T, S], whether the cell is the token itself or an ancestor of it.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    visible: torch.Tensor

    def to(self, device: torch.device) -> "Branches":
        """Return the same on a device."""
        return Branches(*(it.to(device) for it in (self.queries, self.keys, self.visible)))


_under_way: ContextVar[Branches | None] = ContextVar("branches", default=None)


@contextmanager
def branches(layout: Branches) -> Iterator[None]:
    """Announce what the tokens of a forward see; without it they are one path."""
    token = _under_way.set(layout)
    try:
        yield
    finally:
        _under_way.reset(token)


def cell_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: MaskFunction = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    **_: Any,
) -> torch.Tensor | None:
    """Return the additive mask of a forward, [1 or batch, 1, T, S] of ``dtype``, None if causal.

    The arguments are those that transformers hands to a mask interface; ``attention_mask`` [batch,
    S] marks cells that hold no padding.
    """
    layout = _under_way.get()
    if layout is None:
        whole = local_size is None or kv_length < local_size
        if allow_is_causal_skip and whole and attention_mask is None:
            return None
        queries = torch.arange(q_length, device=device) + q_offset
        keys = torch.arange(kv_length, device=device) + kv_offset
    else:
        queries, keys = layout.queries, layout.keys
    rows = 1
    if attention_mask is not None and not bool(attention_mask.all()):
        rows = batch_size
        padding = attention_mask.to(torch.bool)
        mask_function = and_masks(mask_function, lambda b, h, q, k: padding[b, k])
    allowed = _evaluate(mask_function, rows, queries, keys, use_vmap)
    if layout is not None:
        allowed = allowed & layout.visible
    mask = torch.zeros(allowed.shape, dtype=dtype, device=queries.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)


def _evaluate(
    function: MaskFunction,
    rows: int,
    queries: torch.Tensor,
    keys: torch.Tensor,
    use_vmap: bool,
) -> torch.Tensor:
    """Ask a mask function of each query and key, bool [rows, 1, T, S]."""
    row, head = torch.arange(rows, device=keys.device), torch.arange(1, device=keys.device)
    shape = rows, 1, len(queries), len(keys)
    if not use_vmap:
        given = row[:, None, None, None], head[:, None, None], queries[:, None], keys
        return function(*given).expand(shape)
    for dims in ((None, None, None, 0), (None, None, 0, None), (None, 0, None, None)):
        function = torch.vmap(function, in_dims=dims)
    found: torch.Tensor = torch.vmap(function, in_dims=(0, None, None, None))(
        row, head, queries, keys
    )
    return found.expand(shape)


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return scaled dot-product attention of new tokens over the cells read, [rows, T, heads, e].

    query [rows, heads, T, d], key [rows, kv heads, S, d], value [rows, kv heads, S, e]. The
    additive mask is [rows or 1, 1, T, S]; without one the new tokens are the last T of the S. The
    second element of the result is the attention weights, which are never computed.
    """
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    causal = attention_mask is None and is_causal and query.shape[2] > 1
    if softcap or s_aux is not None or position_bias is not None:
        bias = _lower_right(query, key) if causal else attention_mask
        if position_bias is not None:
            bias = position_bias if bias is None else bias + position_bias
        return _explicit(query, key, value, bias, scaling, softcap, s_aux), None
    if causal:
        return _causal(query, key, value, scaling).transpose(1, 2), None
    if attention_mask is None or query.device.type != "cpu" or query.shape[2] < 2 * BLOCK:
        return _folded(query, key, value, attention_mask, scaling).transpose(1, 2), None
    parts = []
    for first in range(0, query.shape[2], BLOCK):
        rows = slice(first, first + BLOCK)
        mask = attention_mask[:, :, rows]
        cells = _seen(mask)
        seen = key[:, :, cells], value[:, :, cells], mask[..., cells]
        parts.append(_folded(query[:, :, rows], *seen, scaling))
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Return the attention of the last T of S tokens, [rows, heads, T, e], without any mask."""
    length, before = query.shape[2], key.shape[2] - query.shape[2]
    groups = query.shape[1] // key.shape[1]
    whole = query.dtype == torch.float32
    device = query.device.type
    if before and device == "cpu" and whole and query.shape[-1] == value.shape[-1]:
        return _joined(query, key, value, scaling)
    # Elsewhere float32 has no kernel that folds heads, and other devices none at all; a CPU's
    # takes no other alignment than the upper left.
    if groups > 1 and (device not in ("cpu", "cuda") or (device == "cuda" and whole)):
        key, value = (it.repeat_interleave(groups, dim=1) for it in (key, value))
        groups = 1
    mask = causal_lower_right(length, key.shape[2]) if before else None
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=not before,
        scale=scaling,
        enable_gqa=groups > 1,
    )


def _joined(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Return what ``_causal`` does, on a CPU, from the attention to prefix and new tokens apart.

    Each part's softmax is weighted by its share of the whole, which its log-sum-exp gives: no mask
    is made, and keys and values of the prefix are not repeated (1.6 to 2 times as fast as masked
    blocks, measured with 512 to 2,048 new tokens after 6,000 to 7,500).
    """
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    query = query.contiguous()  # the kernel assumes that each head is contiguous
    rows, heads, length, width = query.shape
    before, kv_heads = key.shape[2] - length, key.shape[1]
    new = (it[:, :, before:].repeat_interleave(heads // kv_heads, dim=1) for it in (key, value))
    own, own_sum = kernel(query, *new, 0.0, True, scale=scaling)
    folded = query.reshape(rows, kv_heads, -1, width)
    past, past_sum = kernel(
        folded, key[:, :, :before], value[:, :, :before], 0.0, False, scale=scaling
    )
    past, past_sum = past.reshape(own.shape), past_sum.reshape(own_sum.shape)
    share = torch.sigmoid(past_sum - own_sum)[..., None].to(own.dtype)
    return torch.lerp(own, past, share)


def _folded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    """Return the attention of all heads, [rows, heads, T, e], groups of them folded."""
    rows, heads, length, width = query.shape
    groups = heads // key.shape[1]
    folded = query.reshape(rows, key.shape[1], groups * length, width)
    if mask is not None and groups > 1 and length > 1:
        mask = mask.repeat(1, 1, groups, 1)
    out = scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    return out.reshape(rows, heads, length, value.shape[-1])


def _explicit(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Return the attention that no fused kernel computes, [rows, T, heads, e].

    softcap: scores become softcap·tanh(score / softcap) (Gemma 2, arXiv 2408.00118).
    sinks: [heads], a logit beside the scores that takes probability and gives nothing (gpt-oss).
    bias: added to the scores, [rows or 1, heads or 1, T, S].
    """
    rows, heads, length, width = query.shape
    kv_heads, cells = key.shape[1], key.shape[2]
    groups = heads // kv_heads
    scale = width**-0.5 if scaling is None else scaling
    keys = key[:, :, None].transpose(-1, -2)
    out = query.new_empty(rows, length, heads, value.shape[-1])
    step = max(1, SCORES // (rows * heads * cells))
    for first in range(0, length, step):
        part = query[:, :, first : first + step]
        count = part.shape[2]
        scores = part.reshape(rows, kv_heads, groups, count, width) @ keys * scale
        scores = scores.reshape(rows, heads, count, cells)
        if softcap:
            scores = torch.tanh(scores / softcap) * softcap
        if bias is not None:
            scores = scores + bias[:, :, first : first + step, :cells]
        if sinks is not None:
            beside = sinks.reshape(1, -1, 1, 1).expand(rows, -1, count, 1).to(scores.dtype)
            scores = torch.cat([scores, beside], dim=-1)
        probs = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)[..., :cells]
        probs = probs.reshape(rows, kv_heads, groups, count, cells)
        found = (probs @ value[:, :, None]).reshape(rows, heads, count, -1)
        out[:, first : first + step] = found.transpose(1, 2)
    return out


def _lower_right(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return the additive causal mask of the last T of S tokens, [1, 1, T, S]."""
    length, cells = query.shape[2], key.shape[2]
    later = torch.ones(length, cells, dtype=torch.bool, device=query.device).triu(
        cells - length + 1
    )
    mask = torch.zeros(later.shape, dtype=query.dtype, device=query.device)
    return mask.masked_fill_(later, torch.finfo(query.dtype).min)[None, None]


def _seen(mask: torch.Tensor) -> slice:
    """Return the cells between the first and the last that an additive mask lets through."""
    cells = (mask.flatten(0, 2).amax(0) > torch.finfo(mask.dtype).min).nonzero()
    return slice(int(cells[0]), int(cells[-1]) + 1)


AttentionInterface.register(GROUPED, grouped_attention)
AttentionMaskInterface.register(GROUPED, cell_mask)
