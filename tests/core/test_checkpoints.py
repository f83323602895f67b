"""What lies on disk: good checkpoints are described, and each bad one gets its sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from core.checkpoints.describe import checkpoint_name, describe
from core.checkpoints.headers import read_header
from core.errors import UserFacingError
from tests.core.checkpoint_folders import (
    CONFIG,
    LAYERS,
    VOCAB,
    tensors,
    write_adapter,
    write_model,
)


def write_raw(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file written by hand."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)
    return path


def sentence(path: Path, **options: bool) -> str:
    with pytest.raises(UserFacingError) as caught:
        describe(path, **options)
    return str(caught.value)


# What is there


def test_a_model_is_described(tmp_path: Path) -> None:
    found = describe(write_model(tmp_path / "tiny"))
    assert (found.kind, found.name, found.model_type) == ("model", "tiny", "llama")
    assert found.architecture == "LlamaForCausalLM"
    assert found.parameters == 16 * 8 + 2 * (16 * 8)
    assert found.bytes == 2 * found.parameters
    assert (found.dtype, found.vocab_size, found.context_length) == ("float16", 16, 64)
    assert (found.layers, found.kv_heads, found.head_dim) == (2, 2, 2)
    assert found.kv_numbers_per_token() == 2 * 2 * 2 * 2
    assert found.has_tokenizer and not found.pickle_only and not found.needs_remote_code


def test_an_adapter_is_described(tmp_path: Path) -> None:
    found = describe(write_adapter(tmp_path / "dpo", "org/base", use_dora=True, revision="v1"))
    assert (found.kind, found.base, found.base_revision) == ("adapter", "org/base", "v1")
    assert (found.peft_type, found.rank, found.use_dora) == ("LORA", 2, True)
    assert found.parameters == 2 * 8 + 16 * 2


def test_a_sharded_model_is_read_whole_and_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for i, (name, tensor) in enumerate(tensors().items()):
        save_file({name: tensor}, folder / f"model-{i}.safetensors")
        weight_map[name] = f"model-{i}.safetensors"
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert describe(folder).parameters == 384
    (folder / "model-1.safetensors").unlink()
    assert "model-1.safetensors of its 3 shards" in sentence(folder)
    (folder / "model-2.safetensors").unlink()
    assert "model-1.safetensors and 1 more" in sentence(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}))
    assert "outside its folder" in sentence(folder)
    index.write_text("{}")
    assert "names no shards" in sentence(folder)


def test_sizes_of_a_multimodal_config_come_from_its_text_part(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    outer = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps({**outer, "text_config": CONFIG}))
    found = describe(folder)
    assert (found.model_type, found.vocab_size, found.layers) == ("gemma3", VOCAB, LAYERS)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("hub/models--org--name/snapshots/0123", "org/name"),
        ("runs/mine/checkpoint-100", "mine/checkpoint-100"),
        ("runs/mine", "mine"),
    ],
)
def test_names_are_for_people(tmp_path: Path, path: str, name: str) -> None:
    assert checkpoint_name(tmp_path / path) == name


def test_describing_imports_no_model_library(tmp_path: Path) -> None:
    write_model(tmp_path / "a")
    code = (
        "import sys; from pathlib import Path; import core.demo.pair; "
        "from core.checkpoints.resolve import resolve_pair; "
        f"path = Path({str(tmp_path / 'a')!r}); resolve_pair(path, path); "
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# What is not there, or not whole


def test_a_missing_folder_a_file_and_an_empty_folder(tmp_path: Path) -> None:
    assert "There is no folder" in sentence(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "is empty" in sentence(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("x")
    assert "is a file: choose the folder" in sentence(tmp_path / "notes.txt")


def test_weights_without_config_and_config_without_weights(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a")
    (folder / "config.json").rename(folder / "kept")
    assert "has no config.json" in sentence(folder)
    (folder / "kept").rename(folder / "config.json")
    (folder / "model.safetensors").unlink()
    assert "no weights" in sentence(folder)


def test_a_folder_around_a_checkpoint_names_it(tmp_path: Path) -> None:
    write_model(tmp_path / "around" / "inner")
    assert str(tmp_path / "around" / "inner") in sentence(tmp_path / "around")


def test_a_training_run_names_its_newest_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (20, 100, 90):
        write_adapter(run / f"checkpoint-{step}", "base")
    said = sentence(run)
    assert "3 checkpoints" in said and said.endswith(f"{run / 'checkpoint-100'}.")
    assert describe(run / "checkpoint-20").name == "run/checkpoint-20"


def test_an_adapter_without_config_or_with_a_broken_one(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", "base")
    config = folder / "adapter_config.json"
    config.write_text("{")
    assert "adapter_config.json is not valid JSON" in sentence(folder)
    config.write_bytes(b'{"peft_type": "\xff"}')
    assert "adapter_config.json is not valid JSON" in sentence(folder)
    config.write_text("[]")
    assert "holds no JSON object" in sentence(folder)
    config.write_text("{}")
    assert "no peft_type" in sentence(folder)
    config.write_text('{"peft_type": "PROMPT_TUNING"}')
    assert "PROMPT_TUNING" in sentence(folder)
    config.unlink()
    assert "no adapter_config.json" in sentence(folder)


def test_an_adapter_without_weights(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", "base")
    (folder / "adapter_model.safetensors").unlink()
    assert "no weights (adapter_model.safetensors)" in sentence(folder)


@pytest.mark.parametrize("config", ["", "{", "[1]", "null"])
def test_a_broken_config(tmp_path: Path, config: str) -> None:
    folder = write_model(tmp_path / "a")
    (folder / "config.json").write_text(config)
    assert "config.json" in sentence(folder) and "again" in sentence(folder)


@pytest.mark.parametrize(
    ("kind", "weights", "said"),
    [
        ("model", "pytorch_model.bin", "can run any code"),
        ("adapter", "adapter_model.bin", "can run any code"),
    ],
)
def test_pickle_weights_need_an_opt_in(tmp_path: Path, kind: str, weights: str, said: str) -> None:
    folder = tmp_path / "a"
    write_model(folder) if kind == "model" else write_adapter(folder, "base")
    next(folder.glob("*.safetensors")).rename(folder / weights)
    assert said in sentence(folder) and "--allow-pickle" in sentence(folder)
    found = describe(folder, allow_pickle=True)
    assert found.pickle_only and found.kind == kind
    assert found.bytes == (folder / weights).stat().st_size


def test_pickle_files_beside_safetensors_do_not_matter(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a")
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(b"x")
    assert not describe(folder).pickle_only


def test_remote_code_needs_an_opt_in_only_where_it_is_required(tmp_path: Path) -> None:
    auto_map = {"AutoModelForCausalLM": "modeling_mine.Mine"}
    own = write_model(tmp_path / "own", model_type="mine", auto_map=auto_map)
    assert "--trust-remote-code" in sentence(own)
    assert describe(own, allow_remote_code=True).needs_remote_code
    known = write_model(tmp_path / "known", auto_map=auto_map)
    assert not describe(known).needs_remote_code


def test_what_is_not_a_causal_language_model(tmp_path: Path) -> None:
    reward = write_model(tmp_path / "a", architectures=["LlamaForSequenceClassification"])
    assert "LlamaForSequenceClassification, which is not a causal" in sentence(reward)
    assert "not a causal" in sentence(write_model(tmp_path / "b", is_encoder_decoder=True))


def test_weights_that_lack_a_layer(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a", num_hidden_layers=4)
    held = tensors(layers=4)
    del held["model.layers.1.self_attn.q_proj.weight"]
    save_file(held, folder / "model.safetensors")
    assert "have a layer 3 but lack layer 1" in sentence(folder)


def test_what_a_config_counts_as_a_layer_may_be_half_of_one(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a", num_hidden_layers=4)
    save_file(tensors(layers=2), folder / "model.safetensors")
    assert describe(folder).layers == 4


@pytest.mark.parametrize("name", ["n_positions", "model_max_length", "max_target_positions"])
def test_the_context_has_many_names(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "a", **{"max_position_embeddings": None, name: 96})
    assert describe(folder).context_length == 96


# Safetensors files


def test_a_file_cut_anywhere_is_cut_short(tmp_path: Path) -> None:
    whole = (write_model(tmp_path / "a") / "model.safetensors").read_bytes()
    for size in (0, 7, 8, 20, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a" / "model.safetensors").write_bytes(whole[:size])
        assert "is cut short" in sentence(tmp_path / "a"), size
    (tmp_path / "a" / "model.safetensors").write_bytes(whole + b"x")
    assert "1 bytes too many" in sentence(tmp_path / "a")


def entry(shape: Any, offsets: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        (b"{", b"", "not JSON"),
        (b"\xff\xfe", b"", "not JSON"),
        (b"[" * 100_000, b"", "not JSON"),
        ([1], b"", "not a table"),
        ({"a": 1}, b"", "entry for a is malformed"),
        ({"a": entry([2], [0])}, bytes(8), "entry for a is malformed"),
        ({"a": entry([2], [0, 4])}, bytes(4), "size of a contradicts"),
        ({"a": entry([-1], [0, -4])}, b"", "size of a contradicts"),
        ({"a": entry([2], [8, 0])}, bytes(8), "size of a contradicts"),
        ({"a": entry([1], [0, 4]), "b": entry([1], [2, 6])}, bytes(6), "overlap"),
        ({"a": entry([1], [4, 8])}, bytes(8), "gaps"),
        ({"a": entry([2], [0, 8])}, bytes(4), "4 bytes are missing"),
    ],
)
def test_a_header_that_lies(tmp_path: Path, header: Any, data: bytes, said: str) -> None:
    path = write_raw(tmp_path / "x.safetensors", header, data)
    with pytest.raises(UserFacingError, match=said):
        read_header(path)


def test_a_header_of_impossible_length_and_a_git_lfs_pointer(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="no possible length"):
        read_header(write_raw(tmp_path / "a", b"{}", length=2**60))
    pointer = tmp_path / "b"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(UserFacingError, match="git lfs pull"):
        read_header(pointer)


def test_a_file_without_tensors(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a")
    write_raw(folder / "model.safetensors", {"__metadata__": {"format": "pt"}})
    assert "holds no tensors" in sentence(folder)
