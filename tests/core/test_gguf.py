"""GGUF files as policy and reference: their numbers, their tokenizer, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFWriter, quants

from core.checkpoints.describe import describe
from core.errors import UserFacingError
from tests.core.plain_forward import PROMPT, plain, scored
from tests.tiny import TEMPLATE, byte_level_tokenizer, save_lora, save_model, tiny_model

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path, model, kind=Kind.F32, tokenizer=None, say=lambda writer: None):
    """Write a llama as llama.cpp's converter does, q and k in its order of rotary dimensions."""
    tokenizer, config = tokenizer or byte_level_tokenizer(), model.config
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    saved = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    writer.add_token_list(tokens)
    writer.add_token_types([3 if it in tokenizer.all_special_tokens else 1 for it in tokens])
    writer.add_token_merges([" ".join(it) for it in saved["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(TEMPLATE)
    say(writer)
    for name, tensor in model.state_dict().items():
        numbers, plain = tensor.numpy(), tensor.dim() == 1
        if name.startswith("model.layers."):
            layer, _, rest = (
                name.removeprefix("model.layers.").removesuffix(".weight").partition(".")
            )
            if rest in ("self_attn.q_proj", "self_attn.k_proj"):
                heads = len(numbers) // config.head_dim
                apart = numbers.reshape(heads, 2, config.head_dim // 2, -1)
                numbers = apart.swapaxes(1, 2).reshape(numbers.shape)
            name = f"blk.{layer}.{NAMES[rest]}.weight"
        else:
            name = {"model.embed_tokens.weight": "token_embd.weight",
                    "model.norm.weight": "output_norm.weight"}.get(name, "")  # fmt: skip
        if name:
            form = Kind.F32 if plain else kind
            packed = (
                np.ascontiguousarray(numbers)
                if form == Kind.F32
                else quants.quantize(numbers, form)
            )
            writer.add_tensor(name, packed, raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_file_of_floats_gives_its_models_numbers_tokens_and_template(
    tmp_path: Path,
) -> None:
    policy, reference = (tiny_model("llama", len(byte_level_tokenizer()), i) for i in (0, 1))
    file = write_gguf(tmp_path / "policy.gguf", policy)
    folder = save_model(tmp_path / "reference", seed=1)
    pair, info, found = scored(file, folder)
    assert found.logp_policy == pytest.approx(plain(pair, policy), abs=1e-4)
    assert found.logp_reference == pytest.approx(plain(pair, reference), abs=1e-4)
    assert (info.policy, info.has_chat_template, info.vocab_size) == ("policy", True, 446)
    own = byte_level_tokenizer().apply_chat_template(
        [{"role": "user", "content": "Who was offered a job?"}], add_generation_prompt=True
    )
    assert list(pair.codec.prompt_ids(PROMPT)) == list(own["input_ids"])


def test_eight_bits_are_unpacked_and_a_folder_with_one_file_means_it(tmp_path: Path) -> None:
    model = tiny_model("llama", len(byte_level_tokenizer()))
    (tmp_path / "it").mkdir()
    write_gguf(tmp_path / "it" / "small-q8.gguf", model, Kind.Q8_0)
    (tmp_path / "it" / "mmproj-small.gguf").write_bytes(b"GGUF")
    stored = describe(tmp_path / "it")
    assert (stored.name, stored.dtype, stored.layers) == ("small-q8", "q8_0", 3)
    assert stored.kv_numbers_per_token() == 2 * 3 * 2 * 16
    assert stored.parameters == sum(it.numel() for it in model.parameters())
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                blocks = quants.quantize(weight.numpy(), Kind.Q8_0)
                weight.copy_(torch.from_numpy(quants.dequantize(blocks, Kind.Q8_0)))
    pair, _, found = scored(tmp_path / "it", save_model(tmp_path / "reference"))
    assert found.logp_policy == pytest.approx(plain(pair, model), abs=1e-4)
    assert np.abs(found.logp_policy - found.logp_reference).max() > 1e-4


def test_rotary_factors_are_those_of_the_file(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    plain_one = tiny_model("llama", len(byte_level_tokenizer()))
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
               "rope_theta": 10000.0}  # fmt: skip
    config = LlamaConfig(**{**plain_one.config.to_dict(), "rope_parameters": scaling})
    scaled = LlamaForCausalLM(config).eval()
    scaled.load_state_dict(plain_one.state_dict())
    factors = plain_one.model.rotary_emb.inv_freq / scaled.model.rotary_emb.inv_freq
    assert factors.max() > 2
    file = write_gguf(
        tmp_path / "long.gguf", plain_one,
        say=lambda it: it.add_tensor("rope_freqs.weight", factors.numpy()),
    )  # fmt: skip
    pair, _, found = scored(file, save_model(tmp_path / "reference"))
    assert found.logp_policy == pytest.approx(plain(pair, scaled), abs=1e-4)


def test_an_adapter_over_a_gguf_base_is_what_peft_makes_of_it(tmp_path: Path) -> None:
    from peft import PeftModel

    base = tiny_model("llama", len(byte_level_tokenizer()), 5)
    file = write_gguf(tmp_path / "base.gguf", base)
    adapter = save_lora(tmp_path / "adapter", save_model(tmp_path / "whole", seed=5))
    pair, info, found = scored(adapter, base=str(file))
    assert info.reference == "base, adapters off" and info.base_shared
    assert found.logp_reference == pytest.approx(plain(pair, base), abs=1e-4)
    adapted = PeftModel.from_pretrained(base, adapter).eval()
    assert found.logp_policy == pytest.approx(plain(pair, adapted), abs=1e-4)


def sentence(path, reference=None):
    with pytest.raises(UserFacingError) as caught:
        scored(path, reference) if reference else describe(path)
    return str(caught.value)


def test_what_transformers_would_pass_over_is_refused(tmp_path: Path) -> None:
    model, reference = tiny_model("llama", len(byte_level_tokenizer())), save_model(tmp_path / "r")
    yarn = write_gguf(tmp_path / "yarn.gguf", model, say=lambda it: it.add_rope_scaling_factor(4.0))
    assert "rope.scaling.factor = 4.0" in sentence(yarn, reference)
    other = GGUFWriter(tmp_path / "other.gguf", "plamo")
    other.add_tensor("token_embd.weight", np.zeros((446, 4), np.float32))
    for write in ("header", "kv_data", "tensors"):
        getattr(other, f"write_{write}_to_file")()
    other.close()
    assert "plamo" in sentence(tmp_path / "other.gguf", reference)


def test_parts_several_files_and_damaged_ones_have_their_sentences(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "a.gguf", tiny_model("llama", len(byte_level_tokenizer())))
    (tmp_path / "b.gguf").write_bytes(whole.read_bytes()[:-5000])
    assert "has 2 GGUF files" in sentence(tmp_path)
    assert "no whole GGUF file" in sentence(tmp_path / "b.gguf")
    (tmp_path / "b.gguf").write_bytes(b"nothing of the kind")
    assert "no whole GGUF file" in sentence(tmp_path / "b.gguf")
    (tmp_path / "c-00001-of-00003.gguf").write_bytes(b"GGUF")
    assert "llama-gguf-split --merge" in sentence(tmp_path / "c-00001-of-00003.gguf")
