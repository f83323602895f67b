"""Pairs made for the benchmarks: random weights in the shapes of known models.

What such models say means nothing, but it takes as long to compute, and is as exact, as what
trained ones of their shape say. Their tokenizer knows 7,225 words of two syllables as one token
each, so that a text of so many words has so many tokens.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

CONSONANTS, VOWELS = "bcdfghjklmnprstvz", "aeiou"
WORDS = tuple(map("".join, product(CONSONANTS, VOWELS, CONSONANTS, VOWELS)))
"""Each is one token after a space."""
CLOSING = "<|end|>"
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
STD = 0.03
"""Standard deviation of the reference's weights."""
TRAINED = 0.0006
"""Of what a whole policy's weights differ from them."""
UPDATE = 0.002
"""Of the factors B of a policy that is an adapter."""
RANK = 16
SHARD = "4GB"


def tokenizer() -> Any:
    """A byte-level BPE tokenizer with a chat template; every one of WORDS is a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = list(_merges())
    for left, right in merges:
        vocab[left + right] = len(vocab)
    raw = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token=CLOSING,
        pad_token=CLOSING,
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )
    fast.chat_template = TEMPLATE
    return fast


def _merges() -> Iterator[tuple[str, str]]:
    """Letters into syllables, a space and a first syllable, and the two syllables of a word."""
    space = "Ġ"
    yield from ((space, consonant) for consonant in CONSONANTS)
    yield from product(CONSONANTS, VOWELS)
    yield from ((space + consonant, vowel) for consonant, vowel in product(CONSONANTS, VOWELS))
    for word in WORDS:
        yield space + word[:2], word[2:]


def save_pair(folder: Path, config: Any, device: str, dtype: Any, whole: bool = True) -> None:
    """Write ``folder/reference``, ``folder/adapter`` (LoRA on all its linear layers, rank 16) and,
    if ``whole``, ``folder/policy``: a model of the same shape a little way from the reference."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(config)
    finally:
        torch.set_default_dtype(before)
    words = tokenizer()
    _move(model, STD, replace=True)
    _save(model, words, folder / "reference")
    if whole:
        _move(model, TRAINED)
        _save(model, words, folder / "policy")
    _save_adapter(model, words, folder / "reference", folder / "adapter")


def _move(model: Any, std: float, replace: bool = False) -> None:
    """Add noise to all matrices, or put it in their place."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                noise = torch.empty_like(parameter).normal_(0, std)
                parameter.copy_(noise) if replace else parameter.add_(noise)


def _save(model: Any, words: Any, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size=SHARD)
    words.save_pretrained(folder)


def _save_adapter(model: Any, words: Any, base: Path, folder: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    wrapped = get_peft_model(model, settings)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, UPDATE)
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(folder)
    words.save_pretrained(folder)
