"""Checkpoints of strangers are loaded as what was checked, without a network, in bounded time."""

import http.server
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoints.tokenizing import check_tokenizer
from core.engine.loop import Engine
from core.engine.protocol import Examine, Examined, Failed, Load, Loaded, PairSpec
from core.errors import UserFacingError
from core.failures import in_words
from core.models.config import load_config
from core.models.tokenizer import load_tokenizer
from core.models.weights import read_model
from tests.tiny import byte_level_tokenizer, save_adapters, save_model, save_pair, save_run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be changed."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in saved.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def change(file: Path, **said: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | said))


def read(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    with in_words("The model in", folder, "choose another one", "be loaded"):
        return read_model(AutoModelForCausalLM, folder, CPU, torch.float32)[0]


# --- what a config says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"num_hidden_layers": 4000}, "more layers than the weights"),
        ({"vocab_size": 2**24, "hidden_size": 2**12}, "larger model than the weights"),
        ({"num_attention_heads": 0}, "model in"),
        ({"num_hidden_layers": "many"}, "model in"),
        ({"num_hidden_layers": float("nan")}, "model in"),
        ({"hidden_size": -64}, "model in"),
        ({"model_type": "no such"}, "model in"),
        ({"rope_scaling": {"rope_type": [1]}}, "model in"),
    ],
)
def test_a_model_that_no_weights_are_of(folder: Path, said: dict[str, Any], why: str) -> None:
    change(folder / "config.json", **said)
    with pytest.raises(UserFacingError, match=why):
        read(folder)


def test_positions_that_are_learned(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "gpt2", "gpt2")
    change(folder / "config.json", n_positions=2**40)
    with pytest.raises(UserFacingError, match="larger model than the weights"):
        read(folder)


@pytest.mark.parametrize(
    "name",
    ["kernels-community/flash-attn2", "evil/kernel", "flash_attention_2", "paged|evil/kernel"],
)
@pytest.mark.parametrize(
    "key", ["attn_implementation", "_attn_implementation", "_attn_implementation_internal"]
)
def test_attention_is_of_this_machine(
    folder: Path, name: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import modeling_utils

    asked: list[Any] = []
    monkeypatch.setattr(
        modeling_utils, "lazy_import_flash_attention", lambda *args, **named: asked.append(args)
    )
    change(folder / "config.json", **{key: name, "experts_implementation": "evil/experts"})
    assert load_config(folder)._attn_implementation is None
    assert read(folder).config._attn_implementation == "sdpa"
    assert not asked


def test_weights_are_those_that_were_checked(folder: Path, saved: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "other", seed=7)
    (folder / "more.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    change(folder / "config.json", transformers_weights="more.safetensors")
    ours, theirs = read(folder).state_dict(), read(saved).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_config_is_read_once(folder: Path) -> None:
    """What transformers is given is what was checked, whatever other file config.json names."""
    (folder / "config.4.0.0.json").write_text(json.dumps({"model_type": "gpt2"}))
    change(folder / "config.json", configuration_files=["config.4.0.0.json"])
    config = load_config(folder)
    assert config.model_type == "llama"
    assert config._name_or_path == str(folder)


# --- tokenizers --------------------------------------------------------------------------------


def split(expression: str) -> dict[str, Any]:
    return {
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": False,
    }


def replace(what: str, by: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": what}, "content": by}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"pre_tokenizer": split(r"(a+)+$")}, "take too long"),
        ({"pre_tokenizer": split(r"(\w|\d|_)*!")}, "take too long"),
        ({"normalizer": {"type": "Sequence", "normalizers": [replace("a", "aa")] * 40}},
         "take too long"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "(.*)*x"}, "content": ""}},
         "take too long"),
        ({"added_tokens": [{"id": i, "content": f"<{i}>"} for i in range(150_000)]},
         "adds more than"),
        ({"decoder": [[]] * 20_000}, "more than"),
        ({"added_tokens": 5}, "valid JSON"),
    ],
)  # fmt: skip
def test_tokenizers_that_take_for_ever(folder: Path, said: dict[str, Any], why: str) -> None:
    change(folder / "tokenizer.json", **said)
    with pytest.raises(UserFacingError, match=why):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("tokenizer_config.json", {"fast_tokenizer_files": ["../x.json"]}, "names other files"),
        ("tokenizer_config.json", {"added_tokens_decoder": {str(i): {} for i in range(140_000)}},
         "adds more than"),
        ("added_tokens.json", {str(i): i for i in range(140_000)}, "adds more than"),
        ("tokenizer_config.json", {"x": [[[]]] * 2**21}, "holds more than"),
    ],
)  # fmt: skip
def test_files_beside_a_tokenizer(folder: Path, name: str, said: Any, why: str) -> None:
    (folder / name).write_text(json.dumps(said))
    with pytest.raises(UserFacingError, match=why):
        check_tokenizer(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                                  "additional_chat_templates/tools.jinja"])  # fmt: skip
def test_pipes_in_place_of_a_tokenizers_files(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(UserFacingError, match="no regular file"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    "expression",
    [
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+"
        r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))",
        r"(?:ab|a)+x",
    ],
)
def test_honest_expressions(folder: Path, expression: str) -> None:
    change(folder / "tokenizer.json", pre_tokenizer=split(expression))
    assert load_tokenizer(folder)("ab 123").input_ids


def test_a_tokenizer_beside_an_adapter(tmp_path: Path) -> None:
    byte_level_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(
        '{"model_type": "llama", "num_hidden_layers": 1000000000}'
    )
    with pytest.raises(UserFacingError, match="no model has"):
        load_tokenizer(tmp_path)
    (tmp_path / "config.json").unlink()
    assert load_tokenizer(tmp_path)("some").input_ids


# --- the engine -------------------------------------------------------------------------------


def hostile(room: Path, kind: str) -> PairSpec:
    """A pair of which some file was made to hold the engine up."""
    base, policy, reference = save_adapters(room)
    if kind == "expression":
        change(policy / "adapter_config.json", exclude_modules=r"(\w*\.*)*!")
    elif kind == "layers":
        change(base / "config.json", num_hidden_layers=10**9)
    elif kind == "header":
        entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
        header = ("{" + ",".join(f'"t{i}":{entry}' for i in range(300_000)) + "}").encode()
        (base / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    elif kind == "tokenizer":
        change(base / "tokenizer.json", pre_tokenizer=split(r"(a+)+$"))
    elif kind == "pipe":
        (policy / "README.md").unlink(missing_ok=True)
        os.mkfifo(policy / "README.md")
        (reference / "adapter_config.json").unlink()
        os.mkfifo(reference / "adapter_config.json")
    return PairSpec(policy=str(policy), reference=str(reference))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_after_each_the_next_pair_loads(tmp_path: Path) -> None:
    events: queue.Queue[Any] = queue.Queue()
    engine = Engine(events.put)
    engine.start()

    def answer(request: Any) -> Any:
        engine.submit(request)
        while not isinstance(event := events.get(timeout=60), Failed | Loaded | Examined):
            pass
        return event

    try:
        for number, kind in enumerate(("expression", "layers", "header", "tokenizer", "pipe")):
            spec = hostile(tmp_path / kind, kind)
            looked = answer(Examine(3 * number + 1, spec))
            assert isinstance(looked, Examined), kind
            refused = answer(Load(3 * number + 2, spec))
            assert isinstance(refused, Failed), kind
            assert "unexpected" not in refused.message, refused.message
        policy, reference = save_pair(tmp_path / "good")
        good = PairSpec(policy=str(policy), reference=str(reference))
        assert isinstance(answer(Load(100, good)), Loaded)
    finally:
        assert engine.close(60)


# --- the network -------------------------------------------------------------------------------

SCRIPT = """
import socket, sys, warnings
warnings.simplefilter("ignore")
asked = []
def connect(self, address, *args):
    asked.append(address)
    raise OSError("no network here")
socket.socket.connect = connect
socket.getaddrinfo = lambda *args, **named: connect(None, args)
from pathlib import Path
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.models.reward_model import load_reward_model
from core.training.stages import load
from core.errors import UserFacingError
room = sys.argv[1]
for spec in (
    PairSpec(policy=room + "/pair/policy", reference=room + "/pair/reference"),
    PairSpec(policy=room + "/adapters/policy_adapter"),
    PairSpec(run=room + "/run/run"),
    PairSpec(policy="nobody/nothing"),
    PairSpec(policy=room + "/adapters/policy_adapter", reference="nobody/nothing"),
):
    try:
        print("loaded", load_pair(spec, lambda what, fraction: None)[1].policy)
    except UserFacingError as error:
        print("refused", error)
load(Path(room, "pair/policy"), None, train="adapter")
load(Path(room, "adapters/base"), Path(room, "adapters/policy_adapter"), train="adapter")
try:
    load_reward_model(Path(room, "pair/policy"))
except UserFacingError as error:
    print("refused", error)
print("ASKED", asked)
"""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """A server in place of huggingface.co, and what it was asked."""
    asked: list[str] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_HEAD = do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_is_fetched_unasked(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    save_pair(tmp_path / "pair")
    save_adapters(tmp_path / "adapters")
    save_run(tmp_path / "run")
    for name in ("pair/policy", "pair/reference", "adapters/base"):
        (tmp_path / name / "generation_config.json").unlink(missing_ok=True)
    address, asked = hub
    environment = {key: it for key, it in os.environ.items() if not key.endswith("OFFLINE")}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf")}
    environment |= {"QSCOPE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.count("loaded") == 3, done.stdout + done.stderr
    assert done.stdout.count("refused") == 3, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("ASKED []"), done.stdout
    assert not asked
