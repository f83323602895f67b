"""Weights in memory of their own: whatever is done to the files, a model stays what was loaded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.checkpoints.headers import read_header
from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.models.load import load_pair
from core.models.reward_model import load_reward_model
from core.models.score import score
from core.models.weights import DTYPES, StoredTensor, read_adapter, read_model
from core.text import Prompt
from tests.core.test_judges import save_reward_model
from tests.tiny import save_adapters, save_lora, save_model, save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.\n\nThey offered me $53K.")
RESPONSE = "The poster was offered $250K a year."
CPU = torch.device("cpu")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def numbers_of(dtype):
    generator = torch.Generator().manual_seed(1)
    raw = torch.randint(0, 2 if dtype is torch.bool else 120, (3, 4, 8), generator=generator)
    if dtype is torch.bool:
        return raw[..., 0].bool()
    return raw.to(torch.uint8).view(dtype)


def bytes_of(tensor):
    return tensor.flatten().view(torch.uint8).tolist()


def test_every_format_reads_as_safetensors_reads_it(tmp_path):
    from safetensors.torch import load_file

    tensors = {name: numbers_of(dtype) for name, dtype in DTYPES.items()}
    tensors |= {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 3)}
    save_file(tensors, tmp_path / "m.safetensors")
    expected = load_file(tmp_path / "m.safetensors")
    stored = read_header(tmp_path / "m.safetensors")
    assert stored.keys() == expected.keys()
    for name, tensor in stored.items():
        read = StoredTensor(tmp_path / "m.safetensors", tensor)
        found, there = read[...], expected[name]
        assert found.dtype == there.dtype == tensors[name].dtype
        assert found.shape == there.shape == tuple(read.get_shape())
        assert bytes_of(found) == bytes_of(there) == bytes_of(tensors[name])


def test_a_file_that_becomes_shorter_is_a_sentence(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(1000)}, path)
    stored = StoredTensor(path, read_header(path)["w"])
    os.truncate(path, 2000)
    with pytest.raises(UserFacingError, match="has become shorter while it was read"):
        stored[...]


def test_a_format_that_torch_lacks_is_a_sentence(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"w": torch.ones(4)}, path)
    content = path.read_bytes().replace(b'"F32","shape":[4]', b'"F4","shape":[32]')
    path.write_bytes(content)
    with pytest.raises(UserFacingError, match="of the format F4"):
        StoredTensor(path, read_header(path)["w"])[...]


def mapped(folder):
    """The files of a folder that are mapped into this process."""
    maps = Path("/proc/self/maps").read_text()
    return [line for line in maps.splitlines() if str(folder) in line]


@LINUX
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "bloom"])
def test_models_are_what_transformers_loads_and_map_no_file(kind, tmp_path):
    from transformers import AutoModelForCausalLM

    save_model(tmp_path / "m", kind)
    model, missing = read_model(AutoModelForCausalLM, tmp_path / "m", CPU, torch.float32)
    assert missing == [] and mapped(tmp_path) == [] and not model.training
    expected = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32)
    assert mapped(tmp_path) != []  # what this is about
    ours, theirs = dict(model.named_parameters()), dict(expected.named_parameters())
    assert ours.keys() == theirs.keys()  # a tied weight has one name only
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    ours, theirs = dict(model.named_buffers()), dict(expected.named_buffers())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (
        model.get_output_embeddings().weight is model.get_input_embeddings().weight
    ) == expected.config.tie_word_embeddings


def test_shards_and_pickles(tmp_path):
    from transformers import AutoModelForCausalLM

    save_model(tmp_path / "m")
    expected = AutoModelForCausalLM.from_pretrained(tmp_path / "m").state_dict()
    AutoModelForCausalLM.from_pretrained(tmp_path / "m").save_pretrained(
        tmp_path / "shards", max_shard_size="60KB"
    )
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    shutil.copytree(tmp_path / "m", tmp_path / "pickle")
    (tmp_path / "pickle" / "model.safetensors").unlink()
    torch.save(expected, tmp_path / "pickle" / "pytorch_model.bin")
    for name in ("shards", "pickle"):
        model, missing = read_model(
            AutoModelForCausalLM, tmp_path / name, CPU, torch.float32, allow_pickle=True
        )
        found = model.state_dict()
        assert missing == [] and found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        assert mapped(tmp_path / name) == [] or sys.platform != "linux"
    with pytest.raises(ValueError, match="no weights as safetensors"):
        read_model(AutoModelForCausalLM, tmp_path / "pickle", CPU, torch.float32)
    expected["model.norm.weight"] = torch.empty(0)
    torch.save(expected, tmp_path / "pickle" / "pytorch_model.bin")
    with pytest.raises(UserFacingError, match=r"1 of the \d+ tensors .* are empty .*ZeRO-3"):
        read_model(AutoModelForCausalLM, tmp_path / "pickle", CPU, torch.float32, allow_pickle=True)


def test_the_code_of_a_checkpoint_is_run_where_that_is_allowed(tmp_path):
    from transformers import AutoModelForCausalLM

    save_model(tmp_path / "own")
    (tmp_path / "own" / "modeling_own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n\n\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n\n\n"
        "class OwnForCausalLM(LlamaForCausalLM):\n    config_class = OwnConfig\n    own = True\n"
    )
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    names = {
        "AutoConfig": "modeling_own.OwnConfig",
        "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
    }
    config |= {"model_type": "own", "architectures": ["OwnForCausalLM"], "auto_map": names}
    (tmp_path / "own" / "config.json").write_text(json.dumps(config))
    model, missing = read_model(
        AutoModelForCausalLM, tmp_path / "own", CPU, torch.float32, allow_remote_code=True
    )
    assert model.own and missing == []


# --- whatever is done to the files ------------------------------------------------------------


def make(kind, folder):
    """Checkpoints of a kind in a folder: the spec, and per model (base, adapter or None)."""
    if kind == "models":
        policy, reference = save_pair(folder)
        return PairSpec(policy=str(policy), reference=str(reference)), [policy, reference]
    if kind == "whole run":
        for step in (10, 20):
            save_model(folder / "run" / f"checkpoint-{step}", seed=step)
        reference = save_model(folder / "reference", seed=1)
        spec = PairSpec(run=str(folder / "run"), reference=str(reference))
        return spec, [folder / "run" / "checkpoint-20", reference]
    if kind == "lora":
        base, policy, reference = save_adapters(folder)
        spec = PairSpec(policy=str(policy), reference=str(reference))
        return spec, [(base, policy), (base, reference)]
    base = save_model(folder / "base", seed=5)
    if kind == "lora run":
        for step in (10, 20):
            save_lora(folder / "run" / f"checkpoint-{step}", base, seed=step)
        return PairSpec(run=str(folder / "run")), [(base, folder / "run" / "checkpoint-20"), base]
    assert kind == "dora"
    policy = save_lora(folder / "dora", base, use_dora=True)
    return PairSpec(policy=str(policy)), [(base, policy), base]


KINDS = ["models", "whole run", "lora", "lora run", "dora"]


def plain(where, ids, first):
    """Log-probs of ``ids[first:]`` by Hugging Face and PEFT alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base, adapter = where if isinstance(where, tuple) else (where, None)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0].double()
    taken = logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(ids)[1:, None])[:, 0]
    return taken[first - 1 :].numpy()


def said(pair):
    """What the pair says of the response, and its path."""
    found = score(pair, PROMPT, pair.codec.encode(PROMPT, RESPONSE))
    prompt = pair.codec.prompt_ids(PROMPT)
    return found, [*prompt, *map(int, found.ids)], len(prompt)


def weight_files(folder):
    return sorted(folder.rglob("*.safetensors"))


def overwrite(path):
    """Other numbers of the same tensors, into the same file."""
    content = path.read_bytes()
    first = 8 + int.from_bytes(content[:8], "little")
    with path.open("r+b") as file:
        file.seek(first)
        file.write(np.full((len(content) - first) // 4, 0.5, np.float32).tobytes())


def copy_over(path):
    """As ``cp`` does: the file is emptied and filled again."""
    other = path.with_suffix(".other")
    shutil.copyfile(path, other)
    overwrite(other)
    shutil.copyfile(other, path)


def write_same(path):
    path.write_bytes(path.read_bytes())


@pytest.mark.parametrize("how", [overwrite, copy_over, write_same, os.unlink])
@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_of_the_weights_as_loaded(kind, how, tmp_path):
    spec, where = make(kind, tmp_path)
    pair, _ = load_pair(spec, lambda *_: None)
    _, ids, first = said(pair)
    expected = [plain(it, ids, first) for it in where]
    fresh, _ = load_pair(spec, lambda *_: None)  # nothing of it has been run
    for path in weight_files(tmp_path):
        how(path)
    found, again, _ = said(fresh)
    assert again == ids
    assert found.logp_policy == pytest.approx(expected[0], abs=1e-4)
    assert found.logp_reference == pytest.approx(expected[1], abs=1e-4)
    if how in (overwrite, copy_over):  # else this test could not fail
        changed = [plain(it, ids, first) for it in where]
        assert max(np.abs(a - b).max() for a, b in zip(changed, expected, strict=True)) > 0.1


def test_a_search_base_stays_what_was_loaded(tmp_path):
    policy, reference = save_pair(tmp_path)
    base = save_model(tmp_path / "third", seed=9)
    spec = PairSpec(policy=str(policy), reference=str(reference), search_base=str(base))
    pair, _ = load_pair(spec, lambda *_: None)
    ids = pair.codec.prompt_ids(PROMPT)
    path = pair.tree.extend(0, ids)
    expected = plain(base, ids, 1)
    copy_over(base / "model.safetensors")
    pair.reach(path[-1:], (2,))
    logp = pair.logits(path[:-1], (2,))[0].double().log_softmax(-1)
    taken = logp.gather(-1, torch.tensor(ids)[1:, None])[:, 0].numpy()
    assert taken == pytest.approx(expected, abs=1e-4)


def test_a_reward_model_stays_what_was_loaded(tmp_path):
    save_reward_model(tmp_path)
    expected = load_reward_model(tmp_path, "cpu").score(PROMPT, RESPONSE)
    loaded = load_reward_model(tmp_path, "cpu")
    overwrite(tmp_path / "model.safetensors")
    assert loaded.score(PROMPT, RESPONSE) == pytest.approx(expected, abs=1e-5)
    other = load_reward_model(tmp_path, "cpu").score(PROMPT, RESPONSE)
    assert other != pytest.approx(expected, abs=1e-2)


CHILD = """
import json, os, sys
from pathlib import Path
from core.models.load import load_pair
from core.engine.protocol import PairSpec
from tests.core.test_weights import said, weight_files

for folder, named in json.loads(sys.argv[1]):
    pair, _ = load_pair(PairSpec(**named), lambda *_: None)
    for path in weight_files(Path(folder)):
        os.truncate(path, 100)
    found, ids, first = said(pair)
    print(json.dumps([ids, first, found.logp_policy.tolist(), found.logp_reference.tolist()]))
"""


def test_files_that_become_shorter_end_nothing(tmp_path):
    """In a process of its own: a mapped file would end it."""
    work, checkpoints = [], []
    for kind in KINDS:
        spec, where = make(kind, tmp_path / kind)
        named = {"policy": spec.policy, "reference": spec.reference, "run": spec.run}
        work.append([str(tmp_path / kind), named])
        checkpoints.append((kind, where))
    kept = tmp_path / "kept"
    for kind in KINDS:
        for path in weight_files(tmp_path / kind):
            (kept / path.relative_to(tmp_path)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept / path.relative_to(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(work)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for path in weight_files(kept):
        shutil.copyfile(path, tmp_path / path.relative_to(kept))
    for line, (_, where) in zip(done.stdout.splitlines(), checkpoints, strict=True):
        ids, first, *found = json.loads(line)
        for it, logp in zip(where, found, strict=True):
            assert logp == pytest.approx(plain(it, ids, first), abs=1e-4)


@pytest.mark.parametrize("how", [overwrite, lambda path: os.truncate(path, 2000), os.unlink])
@pytest.mark.parametrize("kind", ["models", "lora"])
def test_a_checkpoint_that_changes_while_it_is_read_is_a_sentence(kind, how, tmp_path):
    spec, _ = make(kind, tmp_path)
    path = Path(spec.policy) / ("model" if kind == "models" else "adapter_model")

    def progress(what, fraction):
        if what == "Loading the weights" and path.with_suffix(".safetensors").exists():
            how(path.with_suffix(".safetensors"))

    with pytest.raises(UserFacingError, match=r"policy.* was written to or deleted while it was"):
        load_pair(spec, progress)


def test_an_adapter_s_tensors_by_their_names_on_disk(tmp_path):
    from safetensors.torch import load_file

    _, policy, _ = save_adapters(tmp_path)
    found, expected = read_adapter(policy), load_file(policy / "adapter_model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("named", ["kernels-community/flash-attn2", "evil/kernel", "paged|x/y"])
def test_no_attention_that_a_config_names_is_fetched(named, tmp_path, monkeypatch):
    """It would be code from a hub; the model runs transformers' own attention, and then ours."""
    from transformers.integrations import hub_kernels

    fetched = []
    for name in ("get_kernel", "load_and_register_attn_kernel"):
        monkeypatch.setattr(
            hub_kernels, name, lambda *args, **_: fetched.append(args), raising=False
        )
    policy, reference = save_pair(tmp_path)
    for folder in (policy, reference):
        config = json.loads((folder / "config.json").read_text())
        config["attn_implementation"] = named
        (folder / "config.json").write_text(json.dumps(config))
    spec = PairSpec(policy=str(policy), reference=str(reference))
    pair, info = load_pair(spec, lambda *_: None)
    assert not fetched and info.cache == "tree cache"
    assert all(lane.plain_logits(torch.arange(9)).isfinite().all() for lane in pair.lanes)
