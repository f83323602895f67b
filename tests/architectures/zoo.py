"""Tiny random models of the families that transformers can build, as folders on disk.

A family's own default config is shrunk by one table of size names, so that each kind of layer
that it mixes occurs, every window is shorter than the texts, and every weight matters: matrices
keep the scale of what passes through them and what starts as a constant is moved off it. What
the table cannot know of a family stands in OVERRIDES. Knows nothing of Qscope's engine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.tiny import byte_level_tokenizer

VOCAB = 512
"""Wider than the tokenizer, as real embeddings are; ids of images and the like lie behind it."""
WIDTH, HEADS, HEAD, LAYERS, POSITIONS = 64, 4, 16, 4, 2048
WINDOW = 12
SHARP = 4.0
"""Standard deviation of the logits of most families: wrong masks then show, and rounding does not.
"""
MOST_PARAMETERS = 6_000_000
"""A larger model has a size that the table does not know."""

SIZES: dict[str, int] = {
    name: size
    for size, names in (
        (VOCAB, "vocab_size vocab_size_per_layer_input unpadded_vocab_size"),
        (
            WIDTH,
            "hidden_size d_model n_embd embedding_dim emb_dim embedding_size dim_model "
            "input_embedding_size output_embedding_size word_embed_proj_dim lru_width "
            "attention_hidden_size rotary_emb_base_size pronunciation_embed_dim shape_embed_dim "
            "hidden_size_global mamba_d_ssm qk_rank prompt_mid_dim router_hidden_size",
        ),
        (
            LAYERS,
            "num_hidden_layers n_layer n_layers num_layers num_blocks decoder_layers "
            "encoder_layers num_decoder_layers num_encoder_layers num_layers_per_stack",
        ),
        (
            HEADS,
            "num_attention_heads n_head n_heads num_heads attention_heads "
            "decoder_attention_heads encoder_attention_heads num_decoder_attention_heads "
            "num_encoder_attention_heads swa_num_attention_heads linear_num_value_heads "
            "linear_num_heads",
        ),
        (
            2,
            "num_key_value_heads num_kv_heads swa_num_key_value_heads linear_num_key_heads "
            "num_experts_per_tok num_experts_per_token moe_topk top_k_experts moe_k n_group "
            "num_expert_group n_groups mamba_n_groups mamba_ngroups o_groups kv_n_heads moe_top_k "
            "num_codebooks hc_mult hc_count n_recurrent_loops H_cycles L_cycles type_vocab_size "
            "num_random_blocks n_input_layers n_recurrent_layers n_output_layers layer_group_size "
            "n_layers_per_attn_res_block",
        ),
        (
            1,
            "n_shared_experts num_shared_experts moe_num_shared_experts first_k_dense_replace "
            "topk_group moe_layer_start_index zero_expert_num num_dense_layers "
            "num_kv_shared_layers num_nextn_predict_layers",
        ),
        (
            HEAD,
            "head_dim dim_head d_head kv_channels attention_head_size swa_head_dim "
            "linear_key_head_dim linear_value_head_dim linear_head_dim qk_nope_head_dim v_head_dim "
            "q_lora_rank kv_lora_rank o_lora_rank index_head_dim laurel_rank "
            "hidden_size_per_layer_input mamba_d_head mamba_head_dim mamba_headdim mamba_dt_rank "
            "time_step_rank mamba_d_state state_size ssm_state_size hc_lowrank gated_norm_rank "
            "adapter_rank loop_gate_rank ple_embed_dim query_pre_attn_scalar",
        ),
        (
            8,
            "qk_rope_head_dim rotary_dim index_topk index_topk_blocks index_block_size "
            "heads_per_ngram prompt_length keep_window_size mamba_chunk_size chunk_size block_size "
            "d_rel n_mamba_heads mamba_n_heads mamba_num_heads conv1d_width num_buckets "
            "position_bias_num_buckets prompt_types segment_types pronunciation_vocab_size "
            "shape_vocab_size floor_scale log_scaling_n_floor",
        ),
        (
            96,
            "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim n_inner dff dim_ff "
            "ffn_hidden_size d_inner feed_forward_size intermediate_size_mlp "
            "dense_intermediate_size",
        ),
        (
            32,
            "moe_intermediate_size shared_expert_intermediate_size shared_intermediate_size "
            "expert_ffn_hidden_size shared_experts_intermediate_size "
            "moe_shared_expert_intermediate_size rel_extent index_n_heads",
        ),
        (
            4,
            "num_experts num_local_experts n_routed_experts moe_num_experts "
            "global_attn_every_n_layers",
        ),
        (
            POSITIONS,
            "max_position_embeddings n_positions max_seq_len seq_length model_max_length "
            "context_length max_target_positions n_ctx",
        ),
        (
            WINDOW,
            "sliding_window sliding_window_size attention_chunk_size window_size "
            "attention_window_size local_attention attn_window_size",
        ),
    )
    for name in names.split()
}
"""What a config's field of that name becomes where the default has a value."""

GROUPED = {
    "num_key_value_heads": "num_attention_heads",
    "num_kv_heads": "num_attention_heads",
    "linear_num_key_heads": "linear_num_value_heads",
}
"""Stay as many as the heads where they are as many."""
ALWAYS = {"head_dim"}
"""Are given also where the default leaves them to be worked out."""
NOT_CYCLED = {"mlp_layer_types", "moe_layers", "full_attn_idxs", "cross_attention_layers"}
"""Lists of a kind a layer whose kinds come one after the other, not in turn."""

_MAMBA2 = {"mamba_d_ssm": 128, "mamba_n_heads": 8}
_INDEXED = {
    "indexer_n_heads": 32,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
}
_KINDS = {"layer_types": ["sliding_attention", "full_attention"] * 2}
_DOTS = {
    "layer_types": ["indexed_attention", "sliding_attention"] * 2,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 4,
    "swa_q_lora_rank": 16,
    "swa_kv_lora_rank": 16,
    "swa_head_dim": 24,
    "swa_qk_nope_head_dim": 16,
    "swa_v_head_dim": 16,
}
_ASSISTANT = {
    "hidden_size_per_layer_input": 0,
    "vocab_size_per_layer_input": 0,
    "num_hidden_layers": LAYERS,
    "num_kv_shared_layers": LAYERS,
}
OVERRIDES: dict[str, dict[str, Any]] = {
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "cohere": {"logit_scale": 0.5},
    "cohere2": {"logit_scale": 0.5},
    "cohere2_moe": {"logit_scale": 0.5},
    "cohere_compass_text": {
        **_KINDS,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 500000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0}},
    "dory": {"num_hidden_layers": 6, "layer_types": ["sliding_attention", "full_attention"] * 3},
    "electra": {"embedding_size": 32},
    "dots1": {**_KINDS, "n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2},
    "dots3_note_text": _DOTS,
    "dots3_note": {
        "text_config": _DOTS,
        "vision_config": {"adapter_in_dim": WIDTH, "adapter_out_dim": WIDTH},
        "audio_config": {"adapter_input_size": WIDTH, "adapter_out_dim": WIDTH},
    },
    "falcon_h1": _MAMBA2,
    "gemma4_assistant": {"text_config": _ASSISTANT},
    "gemma4_text": {"global_head_dim": 32},
    "gemma4": {"text_config": {"global_head_dim": 32}},
    "git": {"vision_config": {"num_hidden_layers": 2}},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"] * 2},
    "inkling_text": {"logits_mup_width_multiplier": 2.0},
    "laguna": _KINDS,
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "longcat_flash": {"head_dim": 8},
    "mamba2": {"num_heads": 8},
    "mellum": _KINDS,
    "minimax_m3_vl_text": {
        "layer_types": ["full_attention", "minimax_m3_sparse"] * 2,
        "index_n_heads": HEADS,
    },
    "minicpm3": {"dim_model_base": 32},
    "nemotron": {"num_key_value_heads": 2},
    "qwen4_exp": {"text_config": _INDEXED},
    "qwen4_exp_text": _INDEXED,
    "reformer": {"axial_pos_embds": False, "hash_seed": 0},
    "rembert": {"input_embedding_size": 32, "output_embedding_size": 48},
    "roformer": {"embedding_size": 32},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"attention_hidden_size": 128, "attention_head_dim": 32, "mamba_dt_rank": 4},
    "zaya": {"num_experts_per_tok": 1},
}
"""What the table cannot know: kinds of layers in a mix, sizes that hang together."""

BEND = 40
"""Tokens from which rope that follows the length changes: more than a short text, fewer than a
search may reach."""
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "original_max_position_embeddings": BEND,
    "short_factor": [1.0] * (HEAD // 2),
    "long_factor": [1.0 + 3.0 * i for i in range(HEAD // 2)],
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 64.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0}
MIXED = {
    "use_sliding_window": True,
    "sliding_window": WINDOW,
    "max_window_layers": 2,
    "layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 2,
}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert+both-ways": ("bert", {"is_decoder": False}),
    "falcon+alibi": ("falcon", {"alibi": True}),
    "falcon+grouped": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "gpt_bigcode+heads": ("gpt_bigcode", {"multi_query": False}),
    "llama+dynamic": ("llama", {"max_position_embeddings": BEND, "rope_parameters": DYNAMIC}),
    "llama+yarn": ("llama", {"rope_parameters": YARN | {"original_max_position_embeddings": 128}}),
    "phi3+longrope": (
        "phi3",
        {"original_max_position_embeddings": BEND, "rope_parameters": LONGROPE},
    ),
    "qwen4_exp_text+ngrams": (
        "qwen4_exp_text",
        {
            "ple_layer_ids": [1, 3],
            "ple_embed_dim": 64,
            "ngram_vocab_size_base": 64,
            "eos_token_id": 0,
        },
    ),
    "qwen2+windows": ("qwen2", MIXED),
    "qwen3+windows": ("qwen3", MIXED),
    "smollm3+windows": ("smollm3", MIXED),
}
"""Further models of a family that run otherwise: name -> (family, overrides)."""


def families() -> tuple[str, ...]:
    """The model types that AutoModelForCausalLM of the installed transformers loads."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def names() -> tuple[str, ...]:
    """All families and, after them, the variants."""
    return (*families(), *VARIANTS)


def build(name: str, seed: int) -> Any:
    """A tiny random model of a family or a variant; the same seed gives the same weights.

    Raises:
        ValueError: it is not tiny: the table lacks one of its sizes.
        Exception: whatever the family raises at its config.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config(name)).float().eval()
        size = sum(parameter.numel() for parameter in model.parameters())
        if size > MOST_PARAMETERS:
            raise ValueError(f"{name} has {size:,} parameters: give the zoo its sizes")
        _spread(model)
    return model


def save(name: str, folder: Path, seed: int) -> Path:
    """Write a whole checkpoint with its tokenizer.

    Its config is the family's whole one, as in checkpoints that people have, also where the model
    is the text part of it.
    """
    build(name, seed).save_pretrained(folder)
    whole = config(name)
    if whole.get_text_config(decoder=True) is not whole and not whole.is_encoder_decoder:
        whole.save_pretrained(folder)
    byte_level_tokenizer().save_pretrained(folder)
    return folder


def config(name: str) -> Any:
    """The tiny config of a family or a variant."""
    from transformers import CONFIG_MAPPING

    family, more = VARIANTS.get(name, (name, {}))
    kind = CONFIG_MAPPING[family]
    given = OVERRIDES.get(family, {}) | more
    values = _shrunk(_default(kind, given), iter(range(VOCAB - 1, 0, -1)), given)
    return kind(**_joined(values, given))


def _default(kind: Any, given: Mapping[str, Any]) -> Any:
    """The family's own config; with what we give it, where it has none of its own."""
    try:
        return kind()
    except Exception:
        return kind(**given)


def _shrunk(default: Any, free_ids: Iterator[int], given: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The fields of a config that shall be other than its default's; configs inside it whole."""
    known = vars(default)
    layers = known.get(default.attribute_map.get("num_hidden_layers", "num_hidden_layers"), 0)
    found: dict[str, Any] = {}
    for name in (field.name for field in fields(default)):
        value = known.get(default.attribute_map.get(name, name))
        if name in default.sub_configs or hasattr(value, "to_dict"):
            if value is not None:
                more = given.get(name, {})
                found[name] = type(value)(**_joined(_shrunk(value, free_ids, more), more))
        elif name.endswith(("_token_id", "_token_index")):
            if value is not None:
                ours = name.startswith(("bos", "eos", "pad", "decoder_start", "sep", "cls"))
                found[name] = 0 if ours else next(free_ids)
        elif name == "is_decoder":
            found[name] = True
        elif name in GROUPED and value and value == known.get(GROUPED[name]):
            found[name] = HEADS
        elif name in SIZES and (value or name in ALWAYS):
            found[name] = SIZES[name]
        elif isinstance(value, list) and len(value) == layers and name not in ("architectures",):
            found[name] = _kinds(name, value)
    return found


def _kinds(name: str, values: list[Any]) -> list[Any]:
    """A kind for each of our layers, all kinds that occur among ``values``."""
    kinds = list(dict.fromkeys(values))
    if name in NOT_CYCLED:
        return (kinds + kinds[-1:] * LAYERS)[:LAYERS]
    return list(islice(cycle(kinds), LAYERS))


def _joined(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with what is ``given`` of this config; what is given of those inside is there."""
    inside = {name for name, value in values.items() if hasattr(value, "to_dict")}
    return {**values, **{name: value for name, value in given.items() if name not in inside}}


def _spread(model: Any) -> None:
    """Give every parameter a part in the numbers.

    Random matrices get the scale that keeps that of what passes through them, embeddings and the
    head one that makes predictions sharp; constants (zeros, ones) are moved by a tenth.
    """
    import torch

    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    words = {id(getattr(part, "weight", None)) for part in ends}
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.is_floating_point() or not parameter.numel():
                continue
            spread = float(parameter.std()) if parameter.numel() > 1 else 0.0
            if spread < 1e-6:
                size = float(parameter.abs().mean()) or 1.0
                parameter.add_(torch.randn_like(parameter) * 0.1 * size)
            elif parameter.dim() >= 2 and abs(float(parameter.mean())) < 0.2 * spread:
                sharp = SHARP if id(parameter) in words else 1.0
                parameter.mul_(sharp * parameter.shape[-1] ** -0.5 / spread)
