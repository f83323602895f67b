"""A stage of the benchmark ``gpu``: the pair on disk that it is of, and how figures are told.

Knows nothing of what is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, Qwen3Config

from core.codec import Codec
from core.engine.protocol import PairSpec
from tests.benchmarks.made import WORDS
from tests.benchmarks.texts import Texts

SHAPES = "Qwen3-0.6B", "Llama-3.1-8B"
KINDS = "whole", "lora"
"""Of a policy: a whole model, or a LoRA adapter on the reference."""
PIECE = 2048
"""States whose logits a plain forward makes at once."""


@dataclass(frozen=True)
class Sizes:
    """Tokens of the texts, the prompt's included."""

    fresh: tuple[int, ...] = (512, 8192, 32_000)
    edited: tuple[int, int] = (512, 8192)
    prompt: int = 512
    """Before the beams."""
    exact: int = 2_100

    @classmethod
    def of(cls, small: bool) -> "Sizes":
        """The sizes, or those of a rehearsal."""
        return cls((96, 128, 192), (96, 128), 96, 96) if small else cls()


def config(shape: str, small: bool) -> Any:
    """The config of a model of that shape, or of a tiny one of its kind."""
    tiny = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 8192,
    }
    if shape == SHAPES[0]:
        sizes = {
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151_936,
        }
        sizes = tiny if small else sizes
        return Qwen3Config(**sizes, max_position_embeddings=40_960, tie_word_embeddings=True)
    sizes = {
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128_256,
    }
    rope = {"rope_type": "default", "rope_theta": 500_000.0}
    sizes = tiny if small else sizes
    return LlamaConfig(**sizes, max_position_embeddings=131_072, rope_parameters=rope)


class Stage:
    """One pair on disk: ``policy``, ``reference`` and ``adapter`` in ``folder``.

    ``say`` is told each figure as soon as it is known, with its place in the result.
    """

    def __init__(
        self, shape: str, folder: Path, small: bool, say: Callable[[list[str], Any], None]
    ) -> None:
        self.shape, self.folder, self.say = shape, folder, say
        self.config = config(shape, small)
        self.sizes = Sizes.of(small)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._ids: dict[tuple[int, int], list[int]] = {}

    @cached_property
    def texts(self) -> Texts:
        """Texts as the pair's tokenizer reads them."""
        return Texts(Codec(AutoTokenizer.from_pretrained(self.folder / "reference")), WORDS)

    def ids(self, length: int, number: int) -> list[int]:
        """A text's ids, made once: what tokenises them is no part of a plain forward."""
        key = length, number
        if key not in self._ids:
            self._ids[key] = self.texts.ids(length, number)
        return self._ids[key]

    def spec(self, kind: str, dtype: str) -> PairSpec:
        """How Qscope is asked to load the pair with a policy of that kind."""
        reference = str(self.folder / "reference")
        lora = kind == "lora"
        return PairSpec(
            policy=str(self.folder / ("adapter" if lora else "policy")),
            reference=reference,
            base=reference if lora else "",
            device=self.device,
            dtype=dtype,
        )

    def part(self, at: list[str], work: Callable[[], Any]) -> Any:
        """Measure one thing and say it, or why it failed; its value, or None."""
        try:
            value = work()
        except Exception as error:
            self.say([*at, "failed"], f"{type(error).__name__}: {str(error)[:300]}")
            return None
        self.say(at, value)
        return value
