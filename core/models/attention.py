"""Tree attention: the mask by which a token sees its own ancestors and nothing else.

One cache holds the KV of a whole tree. Each new token carries its depth as position and a row of
an additive mask that is 0 at its ancestors' cells and -inf elsewhere; with that a plain Hugging
Face model computes what it would have computed on the path alone. Layers with a sliding window
see only the ancestors inside it.

The attention function registered here folds the query heads that share a KV head into the query
axis. The stock one repeats keys and values for every query head when there is a mask, which at
one new token costs more than the attention itself.
"""

from typing import Any

import torch
from transformers import AttentionInterface, PretrainedConfig

GROUPED = "qscope_grouped"
"""Name of the attention function below, for ``attn_implementation``."""
BLOCK = 64
"""On a CPU, queries of this many tokens read the cells up to their last ancestor, not all: along a
path that spares almost half of the products that the mask would throw away."""

Mask = torch.Tensor | dict[str, torch.Tensor]


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention with query groups on the query axis.

    query [rows, heads, T, d], key and value [rows, kv heads, S, d], additive mask [1, 1, T, S].
    Returns [rows, T, heads, d]. Raises ValueError for what it does not do (soft-capping, sinks,
    biases, a mask left to it); the caller then takes another path.
    """
    if any(kwargs.get(name) is not None for name in ("softcap", "s_aux", "position_bias")):
        raise ValueError("grouped attention has no soft-capping, sinks or position bias")
    if attention_mask is None:
        raise ValueError("grouped attention needs a mask: it knows of no window or causality")
    length = query.shape[2]
    if query.device.type != "cpu" or length < 2 * BLOCK:
        return _folded(query, key, value, attention_mask, scaling), None
    parts = []
    for first in range(0, length, BLOCK):
        rows = slice(first, first + BLOCK)
        mask = attention_mask[:, :, rows]
        cells = _seen(mask)
        parts.append(
            _folded(
                query[:, :, rows], key[:, :, cells], value[:, :, cells], mask[..., cells], scaling
            )
        )
    return torch.cat(parts, dim=1), None


def _folded(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float | None,
) -> torch.Tensor:
    """Attention of all heads, [rows, T, heads, d], not always contiguous."""
    rows, heads, length, width = query.shape
    groups = heads // key.shape[1]
    folded = query.reshape(rows, key.shape[1], groups * length, width)
    if groups > 1 and length > 1:
        mask = mask.repeat(1, 1, groups, 1)
    out = torch.nn.functional.scaled_dot_product_attention(
        folded, key, value, attn_mask=mask, scale=scaling
    )
    return out.reshape(rows, heads, length, value.shape[-1]).transpose(1, 2)


def _seen(mask: torch.Tensor) -> slice:
    """The cells between the first and the last that any row of an additive mask lets through."""
    cells = (mask[0, 0].amax(0) > torch.finfo(mask.dtype).min).nonzero()
    return slice(int(cells[0]), int(cells[-1]) + 1)


AttentionInterface.register(GROUPED, grouped_attention)


def ancestor_mask(
    visible: torch.Tensor,
    depths: torch.Tensor,
    config: PretrainedConfig,
    dtype: torch.dtype,
    by_layer_type: bool,
) -> Mask:
    """Additive mask of T new tokens over S cells, [1, 1, T, S], or one for each layer type.

    Args:
        visible: bool [T, S], True where the cell is the token itself or an ancestor.
        depths: int64 [S], depth of each cell's token; the last T are the new tokens.
        config: tells of sliding windows (``sliding_window``, ``layer_types``).
        by_layer_type: give a dict keyed by layer type, as models with mixed layers want it.
    """
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    full = _additive(visible, dtype)
    if not window or (kinds and "sliding_attention" not in kinds):
        return dict.fromkeys(kinds, full) if by_layer_type else full
    near = depths[-visible.shape[0] :, None] - depths[None, :] < window
    sliding = _additive(visible & near, dtype)
    if not by_layer_type:
        return sliding if kinds <= {"sliding_attention"} else full
    return {kind: sliding if kind == "sliding_attention" else full for kind in kinds}


def _additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[None, None]
