"""A tiny random copy of a large model's class, with windows that a short text passes.

What a way of running tokens gets wrong often shows only beyond a window, and a text that passes the
window of a large model takes long. The code that would be wrong depends on the model's class and on
the form of its configuration, not on its sizes; so it is tried on a copy with small ones.

Sizes are recognised by the names that configurations give them. Of a configuration that cannot be
shrunk so no copy is made.
"""

import copy
import warnings
from typing import Any

import torch

WINDOW = 8
"""The copy's windows, in tokens; a chunk of chunked attention is twice that."""
LAYERS = 8
"""The copy's layers at most."""
SIZES = {
    64: "hidden_size n_embd d_model dim embed_dim model_dim mamba_d_ssm",
    96: "intermediate_size moe_intermediate_size shared_expert_intermediate_size ffn_dim "
    "n_inner d_ff intermediate_size_mlp ffn_hidden_size",
    4: "num_attention_heads n_head n_heads num_heads num_experts num_local_experts "
    "n_routed_experts moe_num_experts mamba_n_heads mamba_num_heads n_mamba_heads",
    2: "num_experts_per_tok top_k num_experts_per_token moe_k moe_top_k n_groups mamba_n_groups "
    "mamba_ngroups",
    1: "n_group topk_group num_expert_groups n_shared_experts first_k_dense_replace expand "
    "mamba_expand",
    16: "head_dim q_lora_rank kv_lora_rank qk_nope_head_dim v_head_dim global_head_dim "
    "mamba_d_head mamba_head_dim mamba_headdim",
    32: "attention_head_dim",
    8: "qk_rope_head_dim rotary_dim hidden_size_per_layer_input",
    128: "attention_hidden_size vocab_size vocab_size_per_layer_input",
    512: "max_position_embeddings n_positions max_seq_len seq_length n_ctx",
}
HEADS = "num_attention_heads n_head n_heads num_heads".split()
KEY_HEADS = "num_key_value_heads num_kv_heads n_head_kv num_global_key_value_heads".split()
LAYER_COUNTS = "num_hidden_layers n_layer num_layers n_layers depth".split()


def windows(config: Any) -> list[int]:
    """Return the finite windows that a configuration names, in tokens."""
    return [value for name, value in vars(config).items() if _is_window(name, value)]


def miniature(model: Any) -> Any | None:
    """Return a tiny random float32 copy of a model's class on its device; None if impossible."""
    config = shrunk(model.config)
    if config is None:
        return None
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            made = type(model)._from_config(config, dtype=torch.float32)
            made = made.to(model.device).eval()
            _spread(made)
            ids = torch.arange(3, 3 + 4 * WINDOW, device=model.device)[None]
            with torch.inference_mode():
                logits = made(input_ids=ids, use_cache=False).logits
    except Exception:  # whatever an unknown class raises: no copy is made
        return None
    return made if logits.isfinite().all() else None


def shrunk(config: Any) -> Any | None:
    """Return a copy of a configuration with small sizes; None where it cannot be shrunk."""
    try:
        small = copy.deepcopy(config)
        text = small.get_text_config()
        _shrink(text)
        for inner in (getattr(small, name, None) for name in small.sub_configs):
            if inner is not text:  # sees images, which no text does
                for name in (it for it in LAYER_COUNTS if _has(inner, it)):
                    setattr(inner, name, 1)
    except Exception:  # sizes that hang together in a way that is not known
        return None
    return small


def form(model: Any) -> list[Any]:
    """Return a cache key of what is found out about a model's code: its class, and its
    configuration with small sizes (as it is where that cannot be shrunk). It can be written as
    JSON."""
    config = shrunk(model.config) or model.config
    return [config.to_dict(), type(model).__qualname__]


@torch.no_grad()
def _spread(model: Any) -> None:
    """Scale all weights in place so that each has a part in the numbers: then errors show.

    Predictions become peaked; matrices keep the scale of what passes through them, which at this
    width they would shrink to nothing; and what training moves off its initial value is moved too.
    """
    words = model.get_input_embeddings().weight
    for parameter in model.parameters():
        spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
        if parameter is words:
            parameter.mul_(10)
        elif parameter.dim() == 1:
            parameter.add_(torch.randn_like(parameter))
        elif spread and abs(float(parameter.mean())) < 0.2 * spread:
            parameter.mul_(parameter.shape[-1] ** -0.5 / spread)


def _is_window(name: str, value: Any) -> bool:
    """Return whether an entry of a configuration is the size of a window or a chunk."""
    sized = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return sized and (
        ("window" in name and "max_window" not in name)
        or name.endswith(("chunk_size", "chunk_length"))
    )


def _shrink(config: Any) -> None:
    """Make every size small, in place; which kinds of layer there are stays."""
    heads = next((getattr(config, n) for n in HEADS if _has(config, n)), None)
    for name in KEY_HEADS:
        if _has(config, name):
            count = getattr(config, name)
            setattr(config, name, 4 if count == heads else 1 if count == 1 else 2)
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None) or []
    firsts = {kinds.index(kind) for kind in kinds}
    keep = list(range(min(layers, max({1, *firsts}) + 1)))
    if len(keep) > LAYERS:
        keep = sorted(firsts)
    for name, value in list(vars(config).items()):
        if isinstance(value, list | tuple) and len(value) == layers:
            setattr(config, name, [value[layer] for layer in keep])
        elif _is_window(name, value):
            setattr(config, name, WINDOW if "window" in name else 2 * WINDOW)
        elif name.endswith("_token_id"):
            setattr(config, name, None)
    for name in LAYER_COUNTS:
        if _has(config, name):
            setattr(config, name, len(keep))
    for value, names in SIZES.items():
        for name in names.split():
            if _has(config, name):
                setattr(config, name, min(value, getattr(config, name)))


def _has(config: Any, name: str) -> bool:
    value = getattr(config, name, None)
    return isinstance(value, int) and not isinstance(value, bool)
