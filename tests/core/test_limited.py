"""Files of a checkpoint that were made to take for ever, all memory, or Python's lock."""

import json
import os
import pickle
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from core.checkpoints.config import read_config
from core.checkpoints.describe import describe
from core.checkpoints.gguf import read_gguf
from core.checkpoints.headers import read_header
from core.checkpoints.identity import identify
from core.checkpoints.limited import read_bytes, read_json
from core.checkpoints.provenance import read_provenance
from core.checkpoints.training_args import read_training_args
from core.errors import UserFacingError
from core.files import open_file
from tests.core.checkpoint_folders import CONFIG, write_adapter, write_model

PATIENCE = 60.0
"""Seconds, so that a slow machine does not fail: what these guard against takes for ever."""


@pytest.fixture(autouse=True)
def _soon() -> Any:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE


def write_config(folder: Path, **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG | more))
    return folder


# --- kinds and sizes of files -------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        open_file(tmp_path / "pipe")
    with pytest.raises(UserFacingError, match="no regular file"):
        read_json(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json",
     "tokenizer.json", "README.md", "training_args.bin", "trainer_state.json", "recipe.yaml"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_no_file_of_a_checkpoint_need_be_one(tmp_path: Path, name: str, kind: str) -> None:
    folder = write_model(tmp_path / "model")
    path = folder / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    for look in (describe, identify, read_provenance):
        try:
            look(folder)
        except UserFacingError as error:
            assert str(folder) in str(error)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "some"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_bytes(path, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "not valid JSON"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "nested too deeply"),
        ('{"a": ' * 200 + "1" + "}" * 200, "nested too deeply"),
        ('{"a": [' + "0," * 200_000 + "0]}", "more than 131,072 values"),
        ('{"a": "' + " " * 5_000_000 + '"}', "more than 4,194,304 bytes"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"a": "\\ud800"}', "no Unicode"),
        ("[]", "no JSON object"),
        ("\x00", "not valid JSON"),
    ],
)
def test_json_under_limits(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserFacingError, match=said):
        read_json(path)


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000, "a\0b", "~nobody-of-that-name/x", "\n"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    from core.checkpoints.asked import as_run, asked_plan
    from core.engine.protocol import PairSpec

    adapter = write_adapter(tmp_path / "adapter", name)
    for spec in (PairSpec(policy=name), PairSpec(run=name), PairSpec(policy=str(adapter)),
                 PairSpec(policy=str(adapter), reference=name, base=name)):  # fmt: skip
        with pytest.raises(UserFacingError):
            asked_plan(as_run(spec)[0], lambda what, fraction: None)


# --- config.json --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 1e9},
        {"num_hidden_layers": -(10**9)},
        {"num_hidden_layers": 10**400},
        {"vocab_size": 10**12},
        {"num_labels": 10**9},
        {"text_config": {"num_local_experts": 10**8}},
        {"hidden_size": 2**40},
        {"sub": [{"n_layer": 10**7}]},
        {"intermediate_size": [64, 10**12]},
    ],
)
def test_numbers_that_no_model_has(tmp_path: Path, said: dict[str, Any]) -> None:
    folder = write_config(write_model(tmp_path / "m"), **said)
    with pytest.raises(UserFacingError, match="which no model has"):
        describe(folder)


@pytest.mark.parametrize(
    "said",
    [
        {"max_position_embeddings": 10_485_760, "rope_theta": 1e11},
        {"time_step_limit": [0.0, float("inf")], "eos_token_id": -1},
        {"vocab_size": 262_144, "num_training_tokens": 10**13},
        {"sliding_window": 2**31, "seed": 2**63, "num_experts": 512, "num_hidden_layers": 126},
    ],
)
def test_numbers_that_models_have(tmp_path: Path, said: dict[str, Any]) -> None:
    assert read_config(write_config(tmp_path, **said))["model_type"] == "llama"


def test_what_names_other_files_or_code_is_left_out(tmp_path: Path) -> None:
    foreign = {
        "attn_implementation": "kernels-community/flash-attn2",
        "_attn_implementation": "evil/kernel",
        "_attn_implementation_autoset": True,
        "experts_implementation": "evil/experts",
        "use_kernels": True,
    }
    files = {"transformers_weights": "../other.safetensors", "configuration_files": ["x.json"]}
    said = read_config(
        write_config(tmp_path, **foreign, **files, text_config=dict(foreign), more=[dict(foreign)])
    )
    assert said == {**CONFIG, "text_config": {}, "more": [{}]}
    own = write_config(tmp_path, attn_implementation="eager")
    assert read_config(own)["attn_implementation"] == "eager"


@pytest.mark.parametrize("said", [{"architectures": 5}, {"quantization_config": "x"},
                                  {"text_config": [1]}, {"architectures": {"a": 1}},
                                  {"architectures": ["For" * 100_000]}])  # fmt: skip
def test_entries_of_other_kinds(tmp_path: Path, said: dict[str, Any]) -> None:
    folder = write_config(write_model(tmp_path / "m"), **said)
    try:
        describe(folder)
    except UserFacingError as error:
        assert "config.json" in str(error)


# --- headers and indices ------------------------------------------------------------------------


def safetensors(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def test_a_header_of_too_many_tensors(tmp_path: Path) -> None:
    entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(f'"t{i}":{entry}' for i in range(200_000)) + "}").encode()
    with pytest.raises(UserFacingError, match="more than 131,072 tensors"):
        read_header(safetensors(tmp_path / "x.safetensors", header))


def test_a_header_of_impossible_length(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(UserFacingError, match="no possible length"):
        read_header(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**60] * 100_000, "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [2**2000], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1e308], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 2**1000]},
        {"dtype": ["F32"], "shape": {"a": 1}, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [float("inf")], "data_offsets": [0, 4]},
    ],
)
def test_entries_of_a_header_that_no_tensor_has(tmp_path: Path, entry: dict[str, Any]) -> None:
    header = json.dumps({"a": entry}).encode()
    with pytest.raises(UserFacingError, match="malformed"):
        read_header(safetensors(tmp_path / "x.safetensors", header, bytes(8)))


def test_names_of_a_header_that_no_tensor_has(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for name in ("a" * 100_000, "\ud800"):
        header = json.dumps({name: entry}).encode()
        with pytest.raises(UserFacingError, match="malformed") as caught:
            read_header(safetensors(tmp_path / "x.safetensors", header, bytes(4)))
        str(caught.value).encode()


def test_a_layer_of_a_number_that_no_model_has(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "m")
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({f"model.layers.{10**12}.weight": entry}).encode()
    safetensors(folder / "model.safetensors", header, bytes(4))
    with pytest.raises(UserFacingError, match="lack layer 0"):
        describe(folder)


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        ([f"model-{i}.safetensors" for i in range(1_000_000)], "more than"),
        (["../../x.safetensors"], "outside its folder"),
        (["/etc/passwd"], "outside its folder"),
        (["training_args.bin"], "no file of weights"),
        (["notes.txt"], "no file of weights"),
    ],
)
def test_indices_of_shards(tmp_path: Path, shards: list[str], said: str) -> None:
    folder = write_config(tmp_path / "m")
    for name in ("notes.txt", "training_args.bin"):
        (folder / name).write_bytes(b"x")
    index = {"weight_map": {f"w{i}": name for i, name in enumerate(shards)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserFacingError, match=said):
        describe(folder)


def test_links_into_a_cache_are_followed(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "blobs")
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for file in folder.iterdir():
        (linked / file.name).symlink_to(file)
    assert describe(linked).parameters == describe(folder).parameters


# --- GGUF ---------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("<QQ", 0, 2**60),
        struct.pack("<QQ", 2**60, 0),
        struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**62) + b"x" * 64,
        struct.pack("<QQ", 0, 1) + text("a") + struct.pack("<IIQ", 9, 4, 2**60),
        struct.pack("<QQ", 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 2**22 - 1),
        struct.pack("<QQ", 0, 1) + text("a") + struct.pack("<IIQ", 9, 9, 2**60),
        struct.pack("<QQ", 1, 0) + text("a") + struct.pack("<I", 2**31),
        struct.pack("<QQ", 1, 0) + text("a") + struct.pack("<I", 4) + b"\xff" * 64,
    ],
)
def test_gguf_of_impossible_counts(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + body)
    with pytest.raises(UserFacingError, match="no whole GGUF"):
        read_gguf(path)


# --- what trainers leave ------------------------------------------------------------------------


def test_a_pickle_of_keys_that_take_for_ever_to_hash(tmp_path: Path) -> None:
    twice: tuple[Any, ...] = ()
    for _ in range(64):
        twice = (twice, twice)
    doubled = b"\x80\x02}()" + b"2\x86" * 64 + b"K\x01u."  # each DUP, TUPLE2
    (tmp_path / "training_args.bin").write_bytes(doubled)
    with pytest.raises(UserFacingError, match="cannot be read"):
        read_training_args(tmp_path / "training_args.bin")
    for protocol in (2, 4):
        noted = pickle.dumps([twice], protocol)
        (tmp_path / "training_args.bin").write_bytes(noted)
        with pytest.raises(UserFacingError, match="cannot be read"):
            read_training_args(tmp_path / "training_args.bin")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.yaml", "\n" * 900_000),
        ("recipe.yaml", "beta: " + "[" * 100_000),
        ("recipe.yaml", "beta: &a [1]\nb: &b [*a, *a]\n" + "\n".join(
            f"{chr(99 + i)}: &{chr(99 + i)} [*{chr(98 + i)}, *{chr(98 + i)}]" for i in range(20))
            + "\nloss_type: *v"),
        ("recipe.json", '{"beta": ' + "[" * 900 + "]" * 900 + "}"),
        ("README.md", "base_model: " + "a" * 3_000_000),
        ("log.jsonl", json.dumps({"logps/ref" + "ref" * 100_000: 1.0, "logps": 1.0})),
    ],
)  # fmt: skip
def test_what_says_how_a_model_was_trained(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    for note in read_provenance(tmp_path).notes:
        assert len(note) < 500
