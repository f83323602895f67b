"""Loading from disk: what is shared, what is named, and that the numbers are the checkpoint's."""

import json

import numpy as np
import pytest
import torch

from core.engine.protocol import PairSpec
from core.errors import Cancelled, UserFacingError
from core.models.device import choose_device, choose_dtype
from core.models.load import load_pair
from core.models.score import inspect, score
from core.text import Prompt
from tests.tiny import save_adapters, save_model, save_pair, save_run

PROMPT = Prompt.of("Summarise this post in one sentence.\n\nThey offered me $53K.")
RESPONSE = "The poster was offered $250K a year."


def quiet(what, fraction):
    assert what
    assert fraction is None or 0 <= fraction <= 1


def expected(pair, model):
    """Plain log-probs of the response and its closing token by an independent route."""
    prompt_ids = pair.codec.prompt_ids(PROMPT)
    ids = [*prompt_ids, *pair.codec.encode(PROMPT, RESPONSE).ids, pair.codec.end_of_turn]
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids]))
    logp = torch.log_softmax(out.logits[0].double(), -1)
    taken = [logp[i - 1, ids[i]].item() for i in range(len(prompt_ids), len(ids))]
    return np.array(taken)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    return save_adapters(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("models"))


def test_two_models(models):
    from transformers import AutoModelForCausalLM

    pair, info = load_pair(PairSpec(policy=str(models[0]), reference=str(models[1])), quiet)
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))
    policy, reference = (AutoModelForCausalLM.from_pretrained(path) for path in models)
    assert scoring.logp_policy == pytest.approx(expected(pair, policy), abs=1e-4)
    assert scoring.logp_reference == pytest.approx(expected(pair, reference), abs=1e-4)
    assert scoring.ids[-1] == pair.codec.end_of_turn
    assert not info.base_shared
    assert (info.policy, info.reference) == ("policy", "reference")
    assert info.dtype == "float32"
    assert (
        info.memory_bytes
        == sum(p.nbytes for p in policy.parameters()) * 2
        + sum(b.nbytes for b in policy.buffers()) * 2
    )


def test_two_adapters_share_their_base(adapters):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, policy, reference = adapters
    pair, info = load_pair(PairSpec(policy=str(policy), reference=str(reference)), quiet)
    assert info.base_shared
    assert len(pair.lanes) == 1
    weights = sum(p.nbytes for p in AutoModelForCausalLM.from_pretrained(base).parameters())
    assert info.memory_bytes < 1.5 * weights
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))
    for path, logp in ((policy, scoring.logp_policy), (reference, scoring.logp_reference)):
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), path)
        assert logp == pytest.approx(expected(pair, model.eval()), abs=1e-4)


def test_an_adapter_against_its_bare_base(adapters):
    from transformers import AutoModelForCausalLM

    base, policy, _ = adapters
    pair, info = load_pair(PairSpec(policy=str(policy)), quiet)
    assert "adapters off" in info.reference
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))
    bare = AutoModelForCausalLM.from_pretrained(base)
    assert scoring.logp_reference == pytest.approx(expected(pair, bare), abs=1e-4)


def test_dora_adapters_are_switched_not_joined(tmp_path):
    """What is more than a plain low-rank update takes one forward a model, base still shared."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    base = save_model(tmp_path / "base", seed=4)
    config = LoraConfig(r=2, target_modules=["q_proj"], use_dora=True, task_type="CAUSAL_LM")
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    wrapped.save_pretrained(tmp_path / "dora")
    pair, info = load_pair(PairSpec(policy=str(tmp_path / "dora"), base=str(base)), quiet)
    assert info.base_shared
    assert len(pair.lanes) == 2
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))
    bare = AutoModelForCausalLM.from_pretrained(base)
    assert scoring.logp_reference == pytest.approx(expected(pair, bare), abs=1e-4)
    adapted = PeftModel.from_pretrained(bare, tmp_path / "dora").eval()
    assert scoring.logp_policy == pytest.approx(expected(pair, adapted), abs=1e-4)


def test_the_same_checkpoint_twice(adapters):
    _, policy, _ = adapters
    pair, _ = load_pair(PairSpec(policy=str(policy), reference=str(policy)), quiet)
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))
    assert (scoring.logp_policy == scoring.logp_reference).all()


def test_alternatives_are_the_whole_distribution_in_order(models):
    pair, _ = load_pair(PairSpec(policy=str(models[0]), reference=str(models[1])), quiet)
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))
    state = int(pair.tree.parent[scoring.nodes[3]])
    seen = inspect(pair, state, query="the")
    assert [a.rank_policy for a in seen.by_policy] == list(range(1, 11))
    assert [a.rank_reference for a in seen.by_reference] == list(range(1, 11))
    taken = [
        a
        for a in inspect(pair, state, scoring.labels[3].strip("·")).found
        if a.id == scoring.ids[3]
    ]
    assert taken[0].logp_policy == pytest.approx(scoring.logp_policy[3], abs=1e-4)
    assert taken[0].rank_reference == scoring.rank_reference[3]
    assert all("the" in a.text.lower() for a in seen.found)


def test_no_chat_template_is_plain_text(tmp_path):
    paths = [save_model(tmp_path / name, seed=i, template=None) for i, name in enumerate("pr")]
    pair, info = load_pair(PairSpec(policy=str(paths[0]), reference=str(paths[1])), quiet)
    assert not info.has_chat_template
    assert pair.codec.prompt_text(PROMPT) == PROMPT.messages[0].content
    assert len(score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))) > 3


def test_an_empty_prompt_is_a_sentence(tmp_path):
    paths = [save_model(tmp_path / name, seed=i, template=None) for i, name in enumerate("pr")]
    pair, _ = load_pair(PairSpec(policy=str(paths[0]), reference=str(paths[1])), quiet)
    with pytest.raises(UserFacingError, match="prompt is empty"):
        score(pair, Prompt.of(""), pair.codec.encode(Prompt.of(""), RESPONSE))


def test_an_empty_response_scores_its_closing_token(models):
    pair, _ = load_pair(PairSpec(policy=str(models[0]), reference=str(models[1])), quiet)
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, ""))
    assert list(scoring.ids) == [pair.codec.end_of_turn]


def test_loading_can_be_cancelled(models):
    calls = iter(range(10_000))
    with pytest.raises(Cancelled):
        load_pair(
            PairSpec(policy=str(models[0]), reference=str(models[1])),
            quiet,
            lambda: next(calls) > 1,
        )


def test_weights_of_another_shape_are_a_sentence(tmp_path):
    path = save_model(tmp_path / "m")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 128}))
    with pytest.raises(UserFacingError, match=r"is of 64 x 96 numbers, but .* of 64 x 128: copy"):
        load_pair(PairSpec(policy=str(path), reference=str(path)), quiet)


def test_unknown_devices_and_formats_are_sentences():
    with pytest.raises(UserFacingError, match="no device 'tpu'"):
        choose_device("tpu")
    with pytest.raises(UserFacingError, match="no number format 'int3'"):
        choose_dtype("int3", torch.device("cpu"))
    assert choose_dtype("auto", torch.device("cpu")) is torch.float32


@pytest.mark.parametrize("name", ["cpu:1", "cpu:x", "cuda:2", "cuda:-1", "mps:0", ":0", ""])
def test_devices_of_a_number_that_is_not_there_are_sentences(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu:0") == torch.device("cpu", 0)
    with pytest.raises(UserFacingError, match=f"no device '{name}' here: choose auto, cuda, cpu"):
        choose_device(name)


def test_no_policy_named_is_a_sentence():
    with pytest.raises(UserFacingError, match="--policy"):
        load_pair(PairSpec(), quiet)


def test_missing_weights_are_a_sentence_not_noise(tmp_path):
    from safetensors.torch import load_file, save_file

    path = save_model(tmp_path / "m")
    weights = load_file(path / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserFacingError, match=r"lacks 1 weights.*layers\.1\.mlp\.up_proj"):
        load_pair(PairSpec(policy=str(path), reference=str(path)), quiet)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"num_attention_heads": 5}, r"hidden size \(64\) is not a multiple"),
        ({"vocab_size": "many"}, "vocab_size"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_a_sentence(tmp_path, entry, words):
    path = save_model(tmp_path / "m")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | entry))
    with pytest.raises(UserFacingError, match=words):
        load_pair(PairSpec(policy=str(path), reference=str(path)), quiet)


def test_layers_after_the_last_one_are_missed_on_loading(tmp_path):
    path = save_model(tmp_path / "m")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(UserFacingError, match=r"lacks 9 weights.*layers\.3\."):
        load_pair(PairSpec(policy=str(path), reference=str(path)), quiet)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("mine", "'mine', which transformers .* does not know: upgrade"),
        ("vit", "'vit', of which transformers .* has no causal language model"),
    ],
)
def test_kinds_that_transformers_cannot_run_are_sentences(tmp_path, kind, said):
    path = save_model(tmp_path / "m")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"model_type": kind}))
    with pytest.raises(UserFacingError, match=said):
        load_pair(PairSpec(policy=str(path), reference=str(path)), quiet)


def test_a_library_that_is_not_there_is_named(models, monkeypatch):
    from transformers import AutoModelForCausalLM

    def without_pillow(*args, **kwargs):
        raise ImportError("This model requires the PIL library.\nInstall it with pip.")

    monkeypatch.setattr(AutoModelForCausalLM, "from_config", without_pillow)
    with pytest.raises(
        UserFacingError, match=r"not installed \(This model requires the PIL library"
    ):
        load_pair(PairSpec(policy=str(models[0]), reference=str(models[1])), quiet)


def no_memory(*args, **kwargs):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize("place", ["core.models.load.read_model", "core.models.load.pair_linears"])
def test_memory_that_runs_out_is_not_called_a_damaged_checkpoint(adapters, place, monkeypatch):
    _, policy, reference = adapters
    monkeypatch.setattr(place, no_memory)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_pair(PairSpec(policy=str(policy), reference=str(reference)), quiet)


def test_rotary_positions_that_stretch_lengthen_the_context(tmp_path):
    path = save_model(tmp_path / "m")
    config = json.loads((path / "config.json").read_text())
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
    (path / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    _, info = load_pair(PairSpec(policy=str(path), reference=str(path)), quiet)
    assert info.context_length == 4 * config["max_position_embeddings"]


def test_a_runs_folder_as_policy_opens_its_newest_checkpoint_and_says_so(tmp_path):
    _, run = save_run(tmp_path)
    pair, info = load_pair(PairSpec(policy=str(run)), quiet)
    assert info.policy.startswith("run/checkpoint-30") and len(info.checkpoints) == 4
    assert any("its newest checkpoint, checkpoint-30, is the policy" in it for it in info.notes)
    assert pair.shown == str(run / "checkpoint-30")
