"""Tiny random pairs of many kinds on disk, whose choices are clear: what the engine is shaken on.

Knows how they are written; nothing of what is asked of them.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.engine.protocol import PairSpec
from tests.tiny import byte_level_tokenizer, save_lora, save_model, tiny_model

SHARP = 6.0
"""By how much embeddings are made larger, so that a wrong mask or position shows."""
WINDOW = 40
"""Wider than what the self-check runs, shorter than the texts."""


@dataclass
class World:
    """A pair on disk. ``policy`` and ``reference``: their folders; of a run the last checkpoint's.

    ``by_length``: rotary factors depend on the length of a text.
    """

    name: str
    spec: PairSpec
    policy: Path
    reference: Path | None
    checkpoints: list[Path] = field(default_factory=list)
    by_length: bool = False
    context: int = 1024


def _config(kind: str, vocab: int) -> Any:
    import transformers as hf

    common = {
        "vocab_size": vocab,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
    }
    factors = {"rope_type": "longrope", "short_factor": [1.0] * 8}
    factors["long_factor"] = [1.0 + 3.0 * i for i in range(8)]
    made: dict[str, Callable[[], Any]] = {
        "gemma2": lambda: hf.Gemma2Config(**common, head_dim=16, sliding_window=WINDOW),
        "gemma3": lambda: hf.Gemma3TextConfig(**common, head_dim=16, sliding_window=WINDOW),
        "phi3": lambda: hf.Phi3Config(
            **common, original_max_position_embeddings=64, rope_scaling=factors
        ),
        "mixtral": lambda: hf.MixtralConfig(**common, num_local_experts=4, num_experts_per_tok=2),
        "short": lambda: hf.LlamaConfig(**{**common, "max_position_embeddings": 96}),
    }
    return made[kind]() if kind in made else tiny_model(kind, vocab).config


def _save(folder: Path, kind: str, seed: int, more: int = 0) -> Path:
    """Write a whole model with ``more`` rows of padding in its embeddings."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = byte_level_tokenizer()
    config = _config(kind, len(tokenizer) + more)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    model.get_input_embeddings().weight.data.mul_(SHARP)
    if not getattr(config, "tie_word_embeddings", False):
        model.get_output_embeddings().weight.data.mul_(SHARP)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _whole(room: Path, name: str, kind: str = "", more: int = 0, **options: Any) -> World:
    policy = _save(room / name / "policy", kind or name, 0, more)
    reference = _save(room / name / "reference", kind or name, 1)
    spec = PairSpec(policy=str(policy), reference=str(reference))
    return World(name, spec, policy, reference, **options)


def _alone(room: Path) -> World:
    policy = _save(room / "alone" / "policy", "llama", 3)
    return World("alone", PairSpec(policy=str(policy)), policy, None)


def _adapters(room: Path) -> World:
    base = save_model(room / "adapters" / "base", "llama", 5)
    policy = save_lora(room / "adapters" / "policy", base, rank=3, seed=1)
    reference = save_lora(room / "adapters" / "reference", base, rank=2, seed=2)
    spec = PairSpec(policy=str(policy), reference=str(reference))
    return World("adapters", spec, policy, reference)


def _run(room: Path, name: str, **options: Any) -> World:
    """Adapters of several ranks on one base, as a trainer leaves them."""
    base, run = save_model(room / name / "base", "llama", 5), room / name / "run"
    steps = [save_lora(run / f"checkpoint-{10 * i}", base, rank=i, seed=i, **options)
             for i in (1, 2, 3)]  # fmt: skip
    reference = save_lora(run / "ref", base, rank=2, seed=99, **options)
    return World(name, PairSpec(run=str(run)), steps[-1], reference, steps)


def _whole_run(room: Path) -> World:
    run = room / "whole run" / "run"
    steps = [_save(run / f"checkpoint-{10 * i}", "llama", 20 + i) for i in (1, 2, 3)]
    reference = _save(room / "whole run" / "reference", "llama", 20)
    spec = PairSpec(run=str(run), reference=str(reference))
    return World("whole run", spec, steps[-1], reference, steps)


WORLDS: dict[str, Callable[[Path], World]] = {
    "llama": lambda room: _whole(room, "llama"),
    "gpt2": lambda room: _whole(room, "gpt2"),
    "gemma2": lambda room: _whole(room, "gemma2"),
    "gemma3": lambda room: _whole(room, "gemma3"),
    "phi3": lambda room: _whole(room, "phi3", by_length=True),
    "mixtral": lambda room: _whole(room, "mixtral"),
    "lfm2": lambda room: _whole(room, "lfm2"),
    "qwen3_next": lambda room: _whole(room, "qwen3_next"),
    "mamba": lambda room: _whole(room, "mamba"),
    "short": lambda room: _whole(room, "short", context=96),
    "padded": lambda room: _whole(room, "padded", "llama", more=32),
    "alone": _alone,
    "adapters": _adapters,
    "run": lambda room: _run(room, "run"),
    "dora run": lambda room: _run(room, "dora run", use_dora=True),
    "whole run": _whole_run,
}
"""What makes each, by name."""


def make(room: Path, name: str) -> World:
    """Write a pair, or take the one that is there anew."""
    if (room / name).exists():
        shutil.rmtree(room / name)
    return WORLDS[name](room)
