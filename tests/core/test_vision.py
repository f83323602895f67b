"""Models that also see images, used with text alone: their numbers, as policy and as base."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from core.errors import UserFacingError
from tests.core.plain_forward import plain, scored
from tests.tiny import byte_level_tokenizer

NONE = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
TEXT = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    **NONE,
}
SIGHT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "head_dim": 16,
    "image_size": 28,
    "patch_size": 14,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
QWEN = {
    "text_config": {**TEXT, "rope_parameters": ROPE},
    "image_token_id": 500,
    "video_token_id": 501,
    "vision_start_token_id": 502,
    "vision_end_token_id": 503,
}
QWEN_SIGHT = {"depth": 1, "num_heads": 2, "patch_size": 14, "intermediate_size": 48}


def _outer(text: str, sight: str, image: str = "image_token_index", **more: Any) -> dict[str, Any]:
    inner = {"text_config": {"model_type": text, **TEXT}, "vision_config": {**SIGHT}}
    if sight:
        inner["vision_config"]["model_type"] = sight
    return {**inner, image: 500, **more}


CONFIGS = {
    "qwen2_vl": lambda: hf.Qwen2VLConfig(
        vision_config={"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2}, **QWEN
    ),
    "qwen2_5_vl": lambda: hf.Qwen2_5_VLConfig(
        vision_config={**QWEN_SIGHT, "hidden_size": 32, "out_hidden_size": 64}, **QWEN
    ),
    "qwen3_vl": lambda: hf.Qwen3VLConfig(
        vision_config={
            **QWEN_SIGHT,
            "hidden_size": 32,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0],
        },
        **QWEN,
    ),
    "llava": lambda: hf.LlavaConfig(**_outer("llama", "clip_vision_model")),
    "llava_next": lambda: hf.LlavaNextConfig(**_outer("mistral", "clip_vision_model")),
    "idefics3": lambda: hf.Idefics3Config(**_outer("llama", "", "image_token_id")),
    "smolvlm": lambda: hf.SmolVLMConfig(**_outer("llama", "", "image_token_id")),
    "mistral3": lambda: hf.Mistral3Config(**_outer("mistral", "pixtral")),
    "gemma3": lambda: hf.Gemma3Config(
        **{**_outer("gemma3_text", "siglip_vision_model"), "mm_tokens_per_image": 4}
    ),
    "paligemma": lambda: hf.PaliGemmaConfig(
        **_outer("gemma", "siglip_vision_model", projection_dim=64)
    ),
}


def save(folder: Path, kind: str, seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = hf.AutoModelForImageTextToText.from_config(CONFIGS[kind]())
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:
                    weight.mul_(4)
    model.save_pretrained(folder)
    byte_level_tokenizer().save_pretrained(folder)
    return folder


def whole(folder: Path) -> Any:
    return hf.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("kind", sorted(CONFIGS.keys() - {"paligemma"}))
def test_text_is_scored_as_by_the_whole_model(tmp_path: Path, kind: str) -> None:
    policy, reference = (save(tmp_path / str(seed), kind, seed) for seed in (0, 1))
    pair, info, found = scored(policy, reference)
    assert found.logp_policy == pytest.approx(plain(pair, whole(policy)), abs=1e-4)
    assert found.logp_reference == pytest.approx(plain(pair, whole(reference)), abs=1e-4)
    assert abs(found.logp_policy - found.logp_reference).max() > 0.1
    assert info.context_length == 512


def test_a_prompt_that_is_read_both_ways_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "it", "paligemma", 0)
    with pytest.raises(UserFacingError, match="depend on those after it"):
        scored(folder, folder)


def test_an_adapter_over_one_is_what_peft_makes_of_it(tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    base = save(tmp_path / "base", "qwen2_vl", 0)
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    made = get_peft_model(whole(base), config)
    made.save_pretrained(tmp_path / "adapter")
    pair, _, found = scored(tmp_path / "adapter", base=str(base))
    assert found.logp_reference == pytest.approx(plain(pair, whole(base)), abs=1e-4)
    adapted = PeftModel.from_pretrained(whole(base), tmp_path / "adapter").eval()
    assert found.logp_policy == pytest.approx(plain(pair, adapted), abs=1e-4)
