"""What is no model that continues text is told from what is, by what it does."""

import pytest
import torch
import transformers as hf

from core.errors import UserFacingError
from core.models.causal import check_causal
from tests.tiny import tiny_model

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": 0,
}


def bert(**options):
    torch.manual_seed(0)
    return hf.BertLMHeadModel(hf.BertConfig(**SIZES, **options)).eval()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom", "mamba", "mistral"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_language_models_pass(kind, dtype):
    check_causal(tiny_model(kind).to(dtype), "it")


def test_a_model_may_read_both_ways_or_one():
    check_causal(bert(is_decoder=True), "it")
    with pytest.raises(UserFacingError, match="it holds a model of the kind 'bert', whose numbers"):
        check_causal(bert(), "it")


def test_a_model_that_wants_more_than_text():
    config = hf.T5Config(vocab_size=64, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    with pytest.raises(UserFacingError, match="'t5', which does not run on the tokens of a text"):
        check_causal(hf.T5ForConditionalGeneration(config).eval(), "it")


def test_memory_that_runs_out_says_nothing_of_a_model(monkeypatch):
    model = tiny_model("llama")
    model.config.never_seen_before = True  # nothing is remembered of it

    def forward(**inputs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        check_causal(model, "it")


def test_a_model_of_broken_weights_says_nothing_of_the_next_of_its_form():
    broken, next_one = bert(hidden_act="relu"), bert(hidden_act="relu")
    with torch.no_grad():
        broken.get_input_embeddings().weight.fill_(float("nan"))
    check_causal(broken, "it")
    with pytest.raises(UserFacingError, match="whose numbers of a token depend on those"):
        check_causal(next_one, "it")


def test_a_model_that_gives_no_distribution_for_each_token():
    config = hf.BertConfig(**SIZES)
    with pytest.raises(UserFacingError, match="does not give each token of a text one distribut"):
        check_causal(hf.BertForSequenceClassification(config).eval(), "it")
