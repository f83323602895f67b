"""A run's folder that came from somebody else: what is checked again before training goes on."""

import json
import os
import shutil

import pytest

from core.errors import UserFacingError
from core.training import process, worker
from core.training.job import read_about
from core.training.process import known_runs, resume
from tests.training_runs import written


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(process, "_launch", lambda run, lock: pytest.fail("it was launched"))


def rewritten(run, **changes):
    path = run / "qscope-run.json"
    table = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**table, **changes}), "utf-8")
    return run


def pickled(base):
    from safetensors.torch import load_file
    from torch import save

    save(load_file(base / "model.safetensors"), base / "pytorch_model.bin")
    (base / "model.safetensors").unlink()


def with_code(base):
    config = json.loads((base / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Model"}}
    (base / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"base": "evil/model"}, "no whole path of this machine"),
        ({"base": "/evil/model"}, "There is no folder /evil/model"),
        ({"base": "~nobody-of-this-name/x"}, "no possible path"),
        ({"base": "/a\0b"}, "no possible path"),
        ({"base": "/a\ud800b"}, "no possible path"),
        ({"data": "pairs.jsonl"}, "no whole path of this machine"),
        ({"data": "https://example.org/pairs.jsonl"}, "no whole path of this machine"),
        ({"data": "/not/there.jsonl"}, "is not there"),
        ({"data": ""}, "Choose a file of preference pairs"),
        ({"steps": 0}, "Steps of DPO must be"),
        ({"steps": 10**12}, "Steps of DPO must be"),
        ({"steps": 10**30}, "does not say how to train|must be"),
        ({"beta": float("nan")}, "Beta must be"),
        ({"beta": 1e400}, "Beta must be"),
        ({"beta": -1}, "Beta must be"),
        ({"rank": True}, "does not say how to train"),
        ({"batch_size": "4"}, "does not say how to train"),
    ],
)
def test_the_job_is_checked_as_a_new_one_is(tmp_path, changes, sentence):
    run = rewritten(written(tmp_path), **changes)
    with pytest.raises(UserFacingError, match=sentence):
        resume(run)
    assert known_runs() == []


@pytest.mark.parametrize(
    ("change", "sentence"), [(pickled, "are pickle files"), (with_code, "model code of its own")]
)
def test_the_base_is_checked_as_that_of_a_new_run(tmp_path, change, sentence):
    run = written(tmp_path)
    change(tmp_path / "base")
    with pytest.raises(UserFacingError, match=sentence):
        resume(run)


@pytest.mark.parametrize("base", ["evil/model", "/evil/model"])
def test_the_worker_checks_too(tmp_path, base, capsys):
    """However it was started."""
    run = rewritten(written(tmp_path), base=base)
    assert worker.main(["--job", str(run / "qscope-run.json")]) == 1
    assert "evil/model" in capsys.readouterr().err
    assert read_about(run)["state"]["outcome"] == "failed"


@pytest.mark.parametrize(
    "data",
    [b"[" * 1_000_000, b'{"a": ' * 100_000, b"", b"\xff\xfe", b"null", b"7", b'"text"', b"\0" * 50,
     b'{"beta": 1' + b"0" * 5000 + b"}", b" " * 2_000_000, b'{"base": "\\ud800"}'],
)  # fmt: skip
def test_any_file_about_a_run_ends_in_a_sentence(tmp_path, data):
    (tmp_path / "qscope-run.json").write_bytes(data)
    with pytest.raises(UserFacingError, match=r"qscope-run\.json"):
        resume(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_file_ends_in_a_sentence(tmp_path, make):
    make(tmp_path / "qscope-run.json")
    with pytest.raises(UserFacingError, match=r"qscope-run\.json cannot be read"):
        resume(tmp_path)


def test_a_checkpoint_with_pickled_adapters_inside_is_passed_over(tmp_path):
    from core.training.stages import is_whole

    pytest.importorskip("peft")
    from tests.tiny import save_lora

    run = written(tmp_path)
    checkpoint = save_lora(run / "checkpoint-1", tmp_path / "base")
    (checkpoint / "trainer_state.json").write_text("{}")
    assert is_whole(checkpoint)
    inner = shutil.copytree(checkpoint, checkpoint / "other")
    assert is_whole(checkpoint)
    (inner / "adapter_model.safetensors").rename(inner / "adapter_model.bin")
    assert not is_whole(checkpoint)


@pytest.mark.parametrize(
    "listed", ["[" * 100_000, "{}", "7", '[7, {"a": 1}, "relative", "/a\\u0000b", "/x\\ud800"]']
)
def test_any_list_of_runs_is_a_list(tmp_path, listed):
    process.data_folder().mkdir(parents=True)
    (process.data_folder() / "runs.json").write_text(listed)
    assert known_runs() == [] and process.running_runs() == []
