"""Folders with a checkpoint of a few numbers, written without any model library."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

VOCAB, HIDDEN, HEADS, KV_HEADS, LAYERS = 16, 8, 4, 2, 2
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": 64,
}
TOKENIZER = {
    "added_tokens": [{"id": 15, "content": "<end>", "special": True}],
    "model": {
        "type": "BPE",
        "vocab": {chr(97 + id): id for id in range(15)},
        "merges": ["a b", "c d"],
    },
}


def tensors(vocab: int = VOCAB, hidden: int = HIDDEN, layers: int = LAYERS) -> dict[str, Any]:
    found = {"model.embed_tokens.weight": np.zeros((vocab, hidden), np.float16)}
    for layer in range(layers):
        name = f"model.layers.{layer}.self_attn.q_proj.weight"
        found[name] = np.zeros((2 * hidden, hidden), np.float16)
    return found


def write_model(folder: Path, tokenizer: dict[str, Any] | None = TOKENIZER, **config: Any) -> Path:
    """A model's folder; the weights are as large as the config says."""
    folder.mkdir(parents=True)
    config = {**CONFIG, **config}
    (folder / "config.json").write_text(json.dumps(config))
    size = config["vocab_size"], config["hidden_size"], config["num_hidden_layers"]
    save_file(tensors(*size), folder / "model.safetensors")
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def write_adapter(
    folder: Path, base: str, wide: int = HIDDEN, layer: int = 0, module: str = "q_proj",
    **config: Any,
) -> Path:  # fmt: skip
    """A LoRA of rank 2 over one projection."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": base, **config}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
    factors = {
        f"{name}.lora_A.weight": np.zeros((2, wide), np.float32),
        f"{name}.lora_B.weight": np.zeros((2 * HIDDEN, 2), np.float32),
    }
    save_file(factors, folder / "adapter_model.safetensors")
    return folder
