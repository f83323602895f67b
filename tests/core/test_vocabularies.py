"""Models of one family with embeddings of other sizes, against plain forwards of each."""

import copy

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel
from torch.distributions import Categorical, kl_divergence
from transformers import AutoModelForCausalLM

from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.models.load import load_pair
from core.models.score import inspect, score, survey
from core.runs.records import START
from core.search.run import Run
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.text import Prompt
from tests.core.test_adapters import rename, save_adapter
from tests.tiny import TEMPLATE, byte_level_tokenizer, save_model, tiny_model

IDS = list(range(10, 40))
FIRST = 4
MORE = 24
PROMPT = Prompt.of("Where does she work?")
pytestmark = pytest.mark.filterwarnings("ignore")


def save_padded(folder, seed=0, rows=MORE):
    """A model with so many rows more than its tokenizer has tokens."""
    tokenizer = byte_level_tokenizer(TEMPLATE)
    tiny_model("llama", len(tokenizer) + rows, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_resized(folder, base, **options):
    """An adapter over a base that was resized for three tokens more, saved with its tokenizer."""
    tokenizer = copy.deepcopy(byte_level_tokenizer(TEMPLATE))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|x|>", "<|y|>", "<|z|>"]})
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(len(tokenizer))
    config = LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM", **options)
    save_adapter(folder, base, config, model=model)
    tokenizer.save_pretrained(folder)
    return folder


def opened(policy, reference="", **named):
    spec = PairSpec(policy=str(policy), reference=str(reference), device="cpu", **named)
    return load_pair(spec, lambda *_: None)


def logits(model, ids=IDS):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()


def plain(folder):
    return logits(AutoModelForCausalLM.from_pretrained(folder))


def check(pair, policy, reference, ids=IDS):
    """Each model's numbers are over its own tokens, the divergences over what both have."""
    path = pair.tree.extend(0, ids)
    pair.observe(path, range(FIRST, len(path)))
    nodes, states = path[FIRST:], path[FIRST - 1 : -1]
    rows, column = np.arange(FIRST - 1, len(ids) - 1), pair.tree.column
    for name, of in ("policy", policy), ("reference", reference):
        logp = of.log_softmax(-1)[rows].numpy()
        taken = logp[np.arange(len(rows)), ids[FIRST:]]
        assert column(f"logp_{name}")[nodes] == pytest.approx(taken, abs=1e-4)
        entropy = Categorical(logits=of[rows]).entropy().numpy()
        assert column(f"entropy_{name}")[states] == pytest.approx(entropy, abs=1e-4)
        ranks = (logp > taken[:, None] + 1e-6).sum(-1) + 1
        assert (np.abs(column(f"rank_{name}")[nodes] - ranks) <= 1).all()
    shared = min(policy.shape[1], reference.shape[1])
    first, second = (Categorical(logits=it[rows, :shared]) for it in (policy, reference))
    assert column("kl")[states] == pytest.approx(kl_divergence(first, second).numpy(), abs=1e-4)
    reverse = kl_divergence(second, first).numpy()
    assert column("kl_reverse")[states] == pytest.approx(reverse, abs=1e-4)
    outside = [float(it.softmax(-1)[rows, shared:].sum(-1).max()) for it in (policy, reference)]
    assert pair.outside == pytest.approx(max(outside), abs=1e-4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return save_padded(folder / "padded", 1), save_model(folder / "exact", seed=2)


@pytest.mark.parametrize("turned", [False, True])
def test_a_padded_embedding_against_one_that_is_not(folders, turned):
    policy, reference = folders[::-1] if turned else folders
    pair, _ = opened(policy, reference)
    check(pair, plain(policy), plain(reference))
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, "In a shop."))
    assert "the others had a probability of at most 0.0" in scoring.note
    assert f"{pair.widths[1]:,}" in scoring.note
    seen = inspect(pair, scoring.start, query="a")
    assert all(it.id < pair.shared for it in (*seen.by_policy, *seen.by_reference, *seen.found))
    assert np.isfinite(survey(pair, scoring.start).logp_reference).all()


def test_models_of_one_size_say_nothing_of_it(folders):
    pair, _ = opened(folders[1], folders[1])
    assert not score(pair, PROMPT, pair.codec.encode(PROMPT, "In a shop.")).note


def test_a_search_takes_what_both_models_have(folders):
    pair, _ = opened(*folders)
    run = Run(pair, PROMPT, (), SearchSpec(strategy=Beam(width=3), max_tokens=4))
    while run.step() is not None:
        pass
    nodes = pair.tree.nodes
    assert pair.tree.token[nodes].max() < pair.shared
    known = ~np.isnan(pair.tree.column("logp_reference")[nodes])
    assert known.sum() > 10


def test_the_start_of_a_run_of_wider_models(folders, tmp_path):
    save_padded(tmp_path / "run" / "checkpoint-1", 1)
    spec = PairSpec(run=str(tmp_path / "run"), reference=str(folders[1]), device="cpu")
    pair, _ = load_pair(spec, lambda *_: None)
    check(pair, plain(folders[0]), plain(folders[1]))
    pair.use(START)
    path = pair.tree.extend(0, IDS)
    pair.observe(path, range(FIRST, len(path)))
    expected = Categorical(logits=plain(folders[1])).entropy()[FIRST - 1 : -1].numpy()
    for name in ("entropy_policy", "entropy_reference"):
        assert pair.tree.column(name)[path[FIRST - 1 : -1]] == pytest.approx(expected, abs=1e-4)


def with_adapter(base, adapter, rows):
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(rows)
    return PeftModel.from_pretrained(model, adapter)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_rows_that_an_adapter_was_given_and_left_as_they_are(kind, tmp_path):
    """The reference is the resized base, in which training began; new tokens have rewards."""
    base = save_model(tmp_path / "base", kind, seed=5)
    adapter = save_resized(tmp_path / "it", base)
    pair, info = opened(adapter)
    rows = len(byte_level_tokenizer(TEMPLATE)) + 3
    assert info.base_shared and pair.widths == (rows, rows)
    ids = [*IDS, rows - 1, 12]
    model = with_adapter(base, adapter, rows)
    expected = logits(model, ids)
    with model.disable_adapter():
        check(pair, expected, logits(model, ids), ids)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_rows_that_an_adapter_has_trained(kind, tmp_path):
    """PEFT saves what they were; without that, the reference has the base's rows alone, and
    nothing for a new token."""
    base = save_model(tmp_path / "base", kind, seed=5)
    saved = {"modules_to_save": ["embed_tokens", "lm_head"]}
    adapter = save_resized(tmp_path / "it", base, **saved)
    pair, info = opened(adapter)
    rows = len(byte_level_tokenizer(TEMPLATE)) + 3
    assert info.base_shared and pair.widths == (rows, rows)
    model, ids = with_adapter(base, adapter, rows), [*IDS, rows - 1, 12]
    expected = logits(model, ids)
    with model.disable_adapter():
        check(pair, expected, logits(model, ids), ids)
    rename(adapter, lambda name: None if "_module" in name or "_to_save" in name else name)
    pair, info = opened(adapter)
    assert not info.base_shared and pair.widths == (rows, rows - 3)
    check(pair, logits(with_adapter(base, adapter, rows)), plain(base))
    path = pair.tree.extend(0, [*IDS, rows - 1, 12])
    with pytest.raises(UserFacingError, match=r"'<\|z\|>' .*the reference's embedding has only"):
        pair.observe(path, range(FIRST, len(path)))


def test_tokens_beyond_the_embedding_are_a_sentence(tmp_path):
    """As of an adapter that was saved without its resized embedding."""
    base = save_model(tmp_path / "base", seed=5)
    save_adapter(tmp_path / "it", base, LoraConfig(target_modules=["q_proj"]))
    tokenizer = copy.deepcopy(byte_level_tokenizer(TEMPLATE))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|x|>"]})
    tokenizer.save_pretrained(tmp_path / "it")
    pair, _ = opened(tmp_path / "it")
    tokens = pair.codec.encode(PROMPT, "one <|x|> more")
    with pytest.raises(UserFacingError, match=r"'<\|x\|>' as token .* has only .* rows: take the"):
        score(pair, PROMPT, tokens)
    assert len(score(pair, PROMPT, pair.codec.encode(PROMPT, "one more"))) > 2
    tokenizer.eos_token = "<|x|>"
    tokenizer.chat_template = TEMPLATE.replace("<|im_end|>", "<|x|>")
    tokenizer.save_pretrained(tmp_path / "it")
    with pytest.raises(UserFacingError, match="has only"):
        opened(tmp_path / "it")
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = TEMPLATE.replace("<|im_start|>", "<|x|>")
    tokenizer.save_pretrained(tmp_path / "it")
    with pytest.raises(UserFacingError, match="has only"):
        opened(tmp_path / "it")


def test_an_adapter_without_the_rows_it_was_trained_with_is_a_sentence(tmp_path):
    base = save_model(tmp_path / "base", seed=5)
    adapter = save_resized(tmp_path / "it", base, modules_to_save=["lm_head"])
    rename(adapter, lambda name: None if "embed_tokens" in name or "_module" in name else name)
    with pytest.raises(UserFacingError, match="does not bring all rows"):
        opened(adapter)
