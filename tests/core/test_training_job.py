"""A job is checked in sentences, and is the same after it was written and read."""

import errno
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import main
from core.errors import UserFacingError
from core.setting import figure, settings_of
from core.training import job as job_module
from core.training.cost import cost_of
from core.training.job import (
    TrainingJob,
    prepared,
    problems,
    read_about,
    read_job,
    update_about,
    write_job,
    write_json,
)
from core.training.process import state_of
from tests.tiny import save_adapters
from tests.training_runs import tiny_job


def test_a_good_job_has_no_problems_and_survives_the_file(tmp_path):
    job = tiny_job(tmp_path)
    assert problems(job) == {}
    write_job(job)
    assert read_job(tmp_path / "run") == job
    about = read_about(tmp_path / "run")
    assert (about["beta"], about["base"], about["rank"]) == (0.1, job.base, 2)


def test_a_job_follows_its_folder_and_the_demo_base_stays_the_demo_base(tmp_path):
    write_job(replace(tiny_job(tmp_path), base=""))
    update_about(tmp_path / "run", base="/where/it/was/cached", reference="/r")
    (tmp_path / "run").rename(tmp_path / "moved")
    job = read_job(tmp_path / "moved")
    assert (job.base, job.out) == ("", str(tmp_path / "moved"))


@pytest.mark.parametrize(
    ("change", "field", "sentence"),
    [
        ({"steps": 0}, "steps", "Steps of DPO must be from 1 to 10000000, not 0."),
        ({"sft_steps": -1}, "sft_steps", "Steps of SFT must be from 1 to 10000000, not -1."),
        ({"rank": -1}, "rank", "Rank must be from 0 to 4096, not -1."),
        ({"batch_size": 0}, "batch_size", "Batch size must be from 1"),
        ({"beta": 0.0}, "beta", "Beta must be above 0, not 0."),
        ({"beta": float("nan")}, "beta", "above 0, not nan."),
        (
            {"learning_rate": float("inf")},
            "learning_rate",
            "Learning rate of DPO must be above 0, not inf.",
        ),
        ({"sft_rate": -1.0}, "sft_rate", "Learning rate of SFT must be above 0"),
        ({"data": ""}, "data", "Choose a file of preference pairs"),
        ({"data": "/nowhere.jsonl"}, "data", "is not there"),
        ({"base": "/nowhere"}, "base", "There is no folder"),
        ({"out": ""}, "out", "Choose a folder for the run"),
    ],
)
def test_each_fault_is_named_by_its_field(tmp_path, change, field, sentence):
    job = replace(tiny_job(tmp_path), **change)
    found = problems(job)
    assert list(found) == [field] and sentence in found[field]
    with pytest.raises(UserFacingError, match=re.escape(found[field])):
        prepared(job)


def test_the_command_has_an_option_for_every_field_of_a_job(capsys):
    with pytest.raises(SystemExit):
        main.main(["train", "start", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for setting in settings_of(TrainingJob):
        meaning = setting.meaning[0].lower() + setting.meaning[1:]
        option = f"--{setting.name.replace('_', '-')} N"
        assert f"{option} {meaning} (default: {figure(setting.default)})" in said
    for option in ("--data PATH", "--out DIR", "--base DIR", "--no-sft", "--plain"):
        assert option in said


def test_an_adapter_is_no_base(tmp_path):
    _, adapter, _ = save_adapters(tmp_path / "pair")
    found = problems(replace(tiny_job(tmp_path), base=str(adapter)))
    assert "is an adapter" in found["base"]


def test_a_base_without_a_tokenizer_cannot_be_trained_on(tmp_path):
    job = tiny_job(tmp_path)
    for path in Path(job.base).glob("*token*"):
        path.unlink()
    assert "has no tokenizer" in problems(job)["base"]


def test_a_folder_that_is_in_use_is_not_written_into(tmp_path):
    job = tiny_job(tmp_path)
    write_job(job)
    assert "holds a run already" in problems(job)["out"]
    assert "is not empty" in problems(replace(job, out=str(tmp_path)))["out"]
    assert "is a file" in problems(replace(job, out=job.data))["out"]


def test_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = prepared(replace(tiny_job(tmp_path), data="pairs.jsonl", out="run", base=""))
    assert (job.data, job.out, job.base) == (
        str(tmp_path / "pairs.jsonl"), str(tmp_path / "run"), "",
    )  # fmt: skip


@pytest.mark.parametrize(("steps", "saves"), [(120, 12), (10, 10), (5, 5), (1000, 13), (13, 13)])
def test_at_least_ten_checkpoints_and_a_record_at_each(tmp_path, steps, saves):
    job = replace(tiny_job(tmp_path), steps=steps)
    assert job.saves() == saves
    assert job.saves_every() % job.logs_every() == 0


BEFORE = """{
 "qscope": "run",
 "data": "/data/pairs.jsonl",
 "base": "/models/base",
 "sft": true,
 "sft_steps": 2,
 "sft_rate": 0.01,
 "beta": 0.1,
 "rank": 2,
 "alpha": 4,
 "steps": 6,
 "batch_size": 4,
 "accumulation": 1,
 "learning_rate": 0.01,
 "save_steps": 0,
 "max_length": 128,
 "seed": 0,
 "chat": true,
 "demo_base": false,
 "state": {
  "pid": 14318,
  "born": 1795693089.99,
  "started": "2026-11-26T11:38:14+00:00",
  "ended": "2026-11-26T11:38:17+00:00",
  "exit": 0,
  "outcome": "stopped",
  "message": ""
 },
 "reference": "sft"
}
"""
"""The file of a run that version 0.1.0 started and stopped, as it wrote it."""


def test_a_run_of_the_version_before_is_read(tmp_path):
    (tmp_path / "qscope-run.json").write_text(BEFORE)
    assert read_job(tmp_path) == TrainingJob(
        data="/data/pairs.jsonl", out=str(tmp_path), base="/models/base", sft=True, sft_steps=2,
        sft_rate=0.01, beta=0.1, rank=2, alpha=4, steps=6, batch_size=4, accumulation=1,
        learning_rate=0.01, save_steps=0, max_length=128, seed=0, chat=True,
    )  # fmt: skip
    state = state_of(tmp_path)
    assert state.phase == "stopped" and state.resumable
    (tmp_path / "qscope-run.json").write_text(BEFORE.replace('e": false', 'e": true'))
    assert read_job(tmp_path).base == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "is not a run that Qscope started"),
        ("{", "is damaged"),
        ("[1]", "is damaged"),
        ('{"beta": 0.1, "base": "x"}', "does not say how to train"),
    ],
)
def test_a_file_that_says_no_job_is_refused(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "qscope-run.json").write_text(text)
    with pytest.raises(UserFacingError, match=sentence):
        read_job(tmp_path)


@pytest.mark.parametrize("wrong", [{"steps": "many"}, {"steps": 1.5}, {"sft": 1}, {"beta": True}])
def test_wrong_types_in_the_file_are_refused(tmp_path, wrong):
    write_job(tiny_job(tmp_path))
    path = tmp_path / "run" / "qscope-run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    with pytest.raises(UserFacingError, match="does not say how to train"):
        read_job(tmp_path / "run")


def test_a_full_disk_still_takes_what_fits_over_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"said": "a longer sentence than the one that follows"})

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    write_json(path, {"said": "full"})
    assert json.loads(path.read_text()) == {"said": "full"}
    assert list(tmp_path.iterdir()) == [path]


def test_the_cost_of_the_disk_is_what_the_weights_say(tmp_path, monkeypatch):
    job = replace(tiny_job(tmp_path), steps=20, save_steps=2, sft=False)
    files = sum(path.stat().st_size for path in Path(job.base).glob("token*")) + 20_000
    # 3 layers; q, o: 64×64; k, v: 64×32; gate, up, down: 64×96. LoRA of rank 2: 2 (in + out).
    adapter = 3 * 2 * (2 * 128 + 2 * 96 + 3 * 160)
    cost = cost_of(job, Path(job.base))
    assert (cost.each, cost.checkpoints, cost.once) == (adapter * 12 + files, 10, 0)
    with_sft = cost_of(replace(job, sft=True), Path(job.base))
    assert with_sft.each == adapter * 16 + files and with_sft.once == adapter * 4 + files
    whole = cost_of(replace(job, rank=0), Path(job.base))
    from tests.tiny import byte_level_tokenizer, tiny_model

    parameters = sum(
        p.numel() for p in tiny_model(vocab_size=len(byte_level_tokenizer())).parameters()
    )
    assert whole.each == parameters * 12 + files
    assert whole.fits and not replace(whole, free=whole.total).fits
    assert job_module.CHECKPOINTS >= 10
