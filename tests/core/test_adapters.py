"""Adapters of every kind against PEFT's own loading and plain forwards, or refused in a sentence.

The reference is the base as it lies on disk, whatever an adapter does to it.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from core.checkpoints.resolve import resolve_pair
from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.models.load import load_pair
from tests.tiny import save_model

IDS = list(range(10, 40))
FIRST = 4
pytestmark = pytest.mark.filterwarnings("ignore")


def save_adapter(folder, base, config, seed=1, model=None):
    """Write an adapter whose weights are all moved at random from where they begin."""
    model = model or AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(seed)
    wrapped = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    wrapped.save_pretrained(folder)
    edit(folder, base_model_name_or_path=str(base))
    return folder


def edit(folder, **entries):
    """Change entries of an adapter's config."""
    place = Path(folder) / "adapter_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | entries))


def rename(folder, change):
    """Change the names of an adapter's weights; those for which it gives None are left out."""
    place = Path(folder) / "adapter_model.safetensors"
    named = {change(name): tensor for name, tensor in load_file(place).items()}
    named.pop(None, None)
    save_file(named, place, metadata={"format": "pt"})


def taken(model, ids=IDS):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    return logits.log_softmax(-1)[np.arange(FIRST - 1, len(ids) - 1), ids[FIRST:]].numpy()


def by_peft(base, adapter):
    torch.manual_seed(0)
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()


def opened(policy, reference="", **named):
    spec = PairSpec(policy=str(policy), reference=str(reference), device="cpu", **named)
    pair, info = load_pair(spec, lambda *_: None)
    path = pair.tree.extend(0, IDS)
    pair.observe(path, range(FIRST, len(path)))
    names = ("logp_policy", "logp_reference")
    return info, *(pair.tree.column(name)[path[FIRST:]] for name in names)


def check(base, adapter):
    """Qscope's numbers equal PEFT's and the base's; return what was loaded."""
    info, policy, reference = opened(adapter)
    expected, bare = (
        taken(by_peft(base, adapter)),
        taken(AutoModelForCausalLM.from_pretrained(base)),
    )
    assert np.abs(expected - bare).max() > 0.002
    assert policy == pytest.approx(expected, abs=1e-4)
    assert reference == pytest.approx(bare, abs=1e-4)
    return info


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {kind: save_model(folder / kind, kind, seed=5) for kind in ("llama", "qwen2", "gpt2")}


LORA = {
    "rank and alpha by layer": {"rank_pattern": {"q_proj": 5}, "alpha_pattern": {"v_proj": 3}},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "PiSSA": {"init_lora_weights": "pissa"},
    "fast PiSSA": {"init_lora_weights": "pissa_niter_4"},
    "OLoRA": {"init_lora_weights": "olora"},
    "EVA": {"init_lora_weights": "eva"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "MiCA": {"init_lora_weights": "mica"},
    "all biases": {"bias": "all"},
    "biases of adapted layers": {"bias": "lora_only"},
    "biases of the update": {"lora_bias": True},
    "a whole head": {"modules_to_save": ["lm_head"]},
    "a whole embedding and head": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "whole norms": {"modules_to_save": ["norm", "input_layernorm"]},
    "some tokens": {"trainable_token_indices": [12, 20, 30]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embedding and head": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "tied": {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
    "some layers": {"layers_to_transform": [0, 2]},
    "all layers": {"target_modules": "all-linear"},
    "parameters": {"target_modules": [], "target_parameters": ["q_proj.weight"]},
}
SHARING = LORA.keys() - {"PiSSA", "fast PiSSA", "OLoRA", "all biases", "biases of adapted layers"}


UNLIKE = ("all biases", "a whole embedding and head", "some tokens", "embedding and head", "tied")


@pytest.mark.parametrize(
    ("name", "kind"),  # untied embeddings, and biases, make a difference to some
    [*((name, "llama") for name in LORA), *((name, "qwen2") for name in UNLIKE)],
)
def test_low_rank_adapters_are_what_peft_makes_of_them(name, kind, bases, tmp_path):
    options = {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8} | LORA[name]
    config = LoraConfig(task_type="CAUSAL_LM", **options)
    info = check(bases[kind], save_adapter(tmp_path / "it", bases[kind], config))
    assert info.base_shared == (name in SHARING)


def test_transposed_weights(bases, tmp_path):
    config = LoraConfig(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    assert check(bases["gpt2"], save_adapter(tmp_path / "it", bases["gpt2"], config)).base_shared


OTHERS = {
    "ADALORA": {"total_step": 10},
    "C3A": {"block_size": 16},
    "IA3": {"feedforward_modules": []},
    "LN_TUNING": {"target_modules": ["input_layernorm"]},
    "ROAD": {"group_size": 16},
    "SHIRA": {"r": 2},
    "TRAINABLE_TOKENS": {"target_modules": ["embed_tokens"], "token_indices": [12, 20, 30]},
    "VBLORA": {"vector_length": 16},
    "WAVEFT": {"n_frequency": 50},
}
PROMPTS = {"num_virtual_tokens": 4}
REFUSED = {
    "PROMPT_TUNING": PROMPTS, "PREFIX_TUNING": PROMPTS, "P_TUNING": PROMPTS,
    "ADAPTION_PROMPT": {"adapter_layers": 2, "adapter_len": 4},
    "CARTRIDGE": PROMPTS,
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    sorted(
        {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
        - REFUSED.keys()
        # What cannot be made here: they want other libraries, tasks or adapters of their own.
        - {"LORA", "LILY", "ADAMSS", "CPT", "MULTITASK_PROMPT_TUNING", "POLY", "SHADOW", "XLORA"}
    ),
)
def test_other_kinds_are_what_peft_makes_of_them(kind, bases, tmp_path):
    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    options = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"]}
    made = config(**options | OTHERS.get(kind, {}))
    check(bases["llama"], save_adapter(tmp_path / "it", bases["llama"], made))


@pytest.mark.parametrize("kind", REFUSED)
def test_adapters_that_change_more_than_weights_are_refused(kind, bases, tmp_path):
    made = PEFT_TYPE_TO_CONFIG_MAPPING[kind](task_type="CAUSAL_LM", **REFUSED[kind])
    save_adapter(tmp_path / "it", bases["llama"], made)
    with pytest.raises(UserFacingError, match=f"{kind} adapter"):
        opened(tmp_path / "it")


def test_adapters_that_read_ahead_are_refused(bases, tmp_path):
    """LILY chooses its experts by the mean of a text's tokens."""
    made = PEFT_TYPE_TO_CONFIG_MAPPING["LILY"](target_modules=["q_proj", "v_proj"])
    save_adapter(tmp_path / "it", bases["llama"], made)
    with pytest.raises(UserFacingError, match="LILY that does more than change weights"):
        opened(tmp_path / "it")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"init_lora_weights": "corda"}, "CorDA adapter .*weight_conversion"),
        ({"init_lora_weights": "lora_ga"}, "LoRA-GA adapter"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "runs some layers several times"),
        ({"task_type": "SEQ_CLS"}, "for the task SEQ_CLS"),
        ({"alora_invocation_tokens": [12]}, "activated LoRA"),
    ],
)
def test_adapters_that_cannot_be_what_they_were(entries, said, bases, tmp_path):
    save_adapter(tmp_path / "it", bases["llama"], LoraConfig(target_modules=["q_proj"]))
    edit(tmp_path / "it", **entries)
    with pytest.raises(UserFacingError, match=said):
        opened(tmp_path / "it")


def between(name):
    """The name of a weight as parts that were wrapped one by one give it."""
    return re.sub(
        r"(layers\.\d+)\.(\w+)", r"\1._fsdp_wrapped_module.\2._checkpoint_wrapped_module", name
    )


RENAMED = {
    "compiled": lambda name: name.replace("base_model.model.", "base_model.model._orig_mod."),
    "compiled outside": lambda name: "_orig_mod." + name,
    "distributed": lambda name: "module." + name,
    "wrapped twice": lambda name: "base_model.model." + name,
    "of the inner model": lambda name: name.removeprefix("base_model.model."),
    "of a part": lambda name: name.removeprefix("base_model.model.model."),
    "of a model that sees": lambda name: name.replace(
        "model.layers", "model.language_model.layers"
    ),
    "sharded": between,
    "with the adapter's name": lambda name: name.replace(".weight", ".default.weight"),
    "all at once": lambda name: "module._orig_mod." + between(name).replace(".weight", ".x.weight"),
}


@pytest.mark.parametrize("how", RENAMED)
def test_weights_under_other_names_are_found(how, bases, tmp_path):
    save_adapter(tmp_path / "it", bases["llama"], LoraConfig(target_modules=["q_proj"]))
    expected = taken(by_peft(bases["llama"], tmp_path / "it"))
    rename(tmp_path / "it", RENAMED[how])
    _, policy, reference = opened(tmp_path / "it")
    assert policy == pytest.approx(expected, abs=1e-4)
    assert np.abs(policy - reference).max() > 0.002


@pytest.mark.parametrize(
    "change",
    [lambda name: name.replace("layers.1", "layers.0"), lambda name: name.replace("q_", "k_")],
    ids=["another layer", "another module"],
)
def test_weights_of_another_place_are_not_taken_for_renamed(change, bases, tmp_path):
    config = LoraConfig(target_modules=["q_proj"], layers_to_transform=[1])
    save_adapter(tmp_path / "it", bases["llama"], config)
    rename(tmp_path / "it", change)
    with pytest.raises(UserFacingError, match=r"have no place|does not fit"):
        opened(tmp_path / "it")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name: name.replace("lora_A", "lora_X"), "weights of the adapter .* have no place"),
        (lambda name: None if "lora_B" in name else name, r"lacks 3 of its weights .*lora_B"),
        (lambda name: None if "layers.2" in name else name, r"lacks 2 of its weights .*layers\.2"),
        (lambda name: name.replace("layers.2", "layers.7"), r"layers\.7.* base does not have"),
        (lambda name: name.replace("q_proj", "v_proj"), r"does not fit|have no place"),
    ],
    ids=["other kind", "halves", "a layer short", "another base", "another module"],
)
def test_weights_that_match_nothing_or_are_missing_are_sentences(change, said, bases, tmp_path):
    save_adapter(tmp_path / "it", bases["llama"], LoraConfig(target_modules=["q_proj"]))
    rename(tmp_path / "it", change)
    with pytest.raises(UserFacingError, match=said):
        opened(tmp_path / "it")


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: torch.empty(0), "6 of the 6 tensors .* are empty .*zero_to_fp32.py"),
        (lambda tensor: tensor.flatten(), "does not fit"),
        (lambda tensor: tensor / 0, "NaN or infinite numbers"),
        (lambda tensor: torch.cat([tensor, tensor], 1), "does not fit"),
    ],
    ids=["empty", "flat", "diverged", "of another size"],
)
def test_tensors_that_are_no_factors_are_sentences(change, said, pickled, bases, tmp_path):
    save_adapter(tmp_path / "it", bases["llama"], LoraConfig(target_modules=["q_proj"]))
    place = tmp_path / "it" / "adapter_model.safetensors"
    changed = {name: change(tensor).contiguous() for name, tensor in load_file(place).items()}
    if pickled:
        place.unlink()
        torch.save(changed, tmp_path / "it" / "adapter_model.bin")
    else:
        save_file(changed, place, metadata={"format": "pt"})
    with pytest.raises(UserFacingError, match=said):
        opened(tmp_path / "it", allow_pickle=pickled)


def test_adapters_that_both_change_their_base_have_one_each(bases, tmp_path):
    config = LoraConfig(target_modules=["q_proj"], init_lora_weights="pissa")
    places = [save_adapter(tmp_path / f"{i}", bases["llama"], config, seed=i) for i in (1, 2)]
    info, *found = opened(*places)
    assert not info.base_shared
    for place, logp in zip(places, found, strict=True):
        assert logp == pytest.approx(taken(by_peft(bases["llama"], place)), abs=1e-4)
    info, policy, reference = opened(places[0], places[0])
    assert info.base_shared and (policy == reference).all()


@pytest.mark.parametrize(
    "kinds",
    [[("LORA", {}), ("LOHA", {})], [("LORA", {"trainable_token_indices": [12]}), ("LORA", {})]],
)
def test_adapters_that_peft_cannot_have_together_have_a_base_each(kinds, bases, tmp_path):
    for name, (kind, options) in zip(("policy", "reference"), kinds, strict=True):
        config = PEFT_TYPE_TO_CONFIG_MAPPING[kind](target_modules=["q_proj"], **options)
        save_adapter(tmp_path / name, bases["llama"], config)
    _, *found = opened(tmp_path / "policy", tmp_path / "reference")
    for name, logp in zip(("policy", "reference"), found, strict=True):
        assert logp == pytest.approx(taken(by_peft(bases["llama"], tmp_path / name)), abs=1e-4)


@pytest.mark.parametrize("options", [{"bias": "all"}, {"init_lora_weights": "pissa"}])
def test_a_run_of_adapters_that_change_their_base(options, bases, tmp_path):
    run, base = tmp_path / "run", bases["qwen2"]
    config = LoraConfig(target_modules=["q_proj"], **options)
    places = [save_adapter(run / f"checkpoint-{i}", base, config, seed=i) for i in (1, 2)]
    pair, _ = load_pair(PairSpec(run=str(run), device="cpu"), lambda *_: None)
    path = pair.tree.extend(0, IDS)
    bare = taken(AutoModelForCausalLM.from_pretrained(base))
    for place in (places[1], places[0], places[1]):
        pair.use(str(place))
        pair.observe(path, range(FIRST, len(path)))
        policy, reference = (
            pair.tree.column(name)[path[FIRST:]] for name in ("logp_policy", "logp_reference")
        )
        assert policy == pytest.approx(taken(by_peft(base, place)), abs=1e-4)
        assert reference == pytest.approx(bare, abs=1e-4)


def test_weights_of_its_own_for_the_base_are_noticed(bases, tmp_path):
    """As of an embedding that was trained without PEFT's knowing and saved with an adapter."""
    base, config = bases["llama"], LoraConfig(target_modules=["q_proj", "embed_tokens"])
    save_adapter(tmp_path / "it", base, config)
    place = tmp_path / "it" / "adapter_model.safetensors"
    tensors = load_file(place)
    (name,) = (name for name in tensors if name.endswith("embed_tokens.base_layer.weight"))
    save_file(tensors | {name: tensors[name] * 1.1}, place, metadata={"format": "pt"})
    assert not check(base, tmp_path / "it").base_shared


def test_a_base_that_is_a_rest_is_made_whole_by_the_adapter_beside_it(bases, tmp_path):
    """As PEFT's examples prepare PiSSA: what was trained begins as the original model."""
    rest = tmp_path / "rest"
    config = LoraConfig(target_modules=["q_proj"], init_lora_weights="pissa")
    begun = get_peft_model(AutoModelForCausalLM.from_pretrained(bases["llama"]), config)
    begun.peft_config["default"].init_lora_weights = True
    begun.save_pretrained(rest / "pissa_init")
    begun.unload().save_pretrained(rest)
    for file in bases["llama"].glob("tok*"):
        (rest / file.name).write_bytes(file.read_bytes())
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(rest), rest / "pissa_init", is_trainable=True
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    model.save_pretrained(tmp_path / "it")
    edit(tmp_path / "it", base_model_name_or_path=str(rest))
    info, policy, reference = opened(tmp_path / "it")
    assert "pissa_init" in info.reference and info.base_shared
    assert policy == pytest.approx(taken(model.eval()), abs=1e-4)
    original = taken(AutoModelForCausalLM.from_pretrained(bases["llama"]))
    assert reference == pytest.approx(original, abs=1e-4)
    assert np.abs(taken(AutoModelForCausalLM.from_pretrained(rest)) - original).max() > 0.001


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"init_lora_weights": "pissa"}, ["init_lora_weights='pissa'"]),
        ({"init_lora_weights": "pissa_niter_4"}, ["niter_4", "random decomposition"]),
        ({"bias": "all"}, ["bias='all'"]),
        ({"bias": "none"}, []),
    ],
)
def test_it_is_said_that_an_adapter_changes_its_base(options, said, bases, tmp_path):
    config = LoraConfig(target_modules=["q_proj"], **options)
    save_adapter(tmp_path / "it", bases["llama"], config)
    notes = resolve_pair(tmp_path / "it").notes
    assert len(notes) == bool(said) and all(words in notes[0] for words in said)
