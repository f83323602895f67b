"""Logs of training runs, written here by hand, byte by byte where the format is binary."""

import json
import math
import os
import pickle
import random
import shutil
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserFacingError
from core.runs.names import canonical
from core.runs.read import read_run, read_runs
from core.runs.records import ABOUT, EVALUATION, HELD_OUT, RunLog
from core.runs.table import Table
from tests.core.checkpoint_folders import write_adapter, write_model
from tests.test_layers import MODELS, QT, brought_along

FIXTURE = Path(__file__).parent / "logs" / "events.out.tfevents.1795546360.host.1.0"
"""Written with TensorBoard 2.21's own EventFileWriter; see test_real_event_file."""


def record(step: int, **values: Any) -> dict[str, Any]:
    """A row of TRL's history; "__" stands for "/"."""
    return {name.replace("__", "/"): value for name, value in values.items()} | {"step": step}


def write_state(folder: Path, rows: list[Any], *, at: float | None = None) -> Path:
    """A trainer_state.json as transformers writes it; ``at``: when, in seconds."""
    if folder.name.startswith("checkpoint-") and not folder.exists():
        write_adapter(folder, "base")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    state = {"epoch": 1.0, "global_step": 1, "log_history": rows, "stateful_callbacks": {"a": {}}}
    path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    if at is not None:
        os.utime(path, (at, at))
    return path


def points(log: RunLog, name: str) -> list[tuple[int, float]]:
    series = log.series[name]
    assert series.steps.dtype == np.int64 and series.values.dtype == np.float64
    assert (np.diff(series.steps) > 0).all()
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two logs have the same curves, NaN being equal to itself."""
    return one.keys() == other.keys() and all(
        np.array_equal(one[name].steps, other[name].steps)
        and np.array_equal(one[name].values, other[name].values, equal_nan=True)
        for name in one
    )


@pytest.mark.parametrize(
    ("logged", "name"),
    [
        ("rewards/chosen", "rewards/chosen"),
        ("train/rewards/chosen", "rewards/chosen"),
        ("eval_rewards/chosen", "eval/rewards/chosen"),
        ("eval/rewards/chosen", "eval/rewards/chosen"),
        ("train/eval_loss", "eval/loss"),
        ("rewards_train/chosen", "rewards/chosen"),
        ("rewards_train/accuracies", "rewards/accuracies"),
        ("rewards_eval/margins", "eval/rewards/margins"),
        ("logps_train/chosen", "logps/chosen"),
        ("logps_eval/rejected", "eval/logps/rejected"),
        ("loss/train", "loss"),
        ("loss/eval", "eval/loss"),
        ("train/lr", "learning_rate"),
        ("train/grad_norm", "grad_norm"),
        ("log_probs/chosen", "logps/chosen"),
        ("rewards/accuracy", "rewards/accuracies"),
        ("kl", "kl"),
        ("kl/ref_policy", "kl/ref_policy"),
        ("train_loss", "train_loss"),
        ("eval_helpful_rewards/chosen", "eval/helpful/rewards/chosen"),
        ("eval/my_set_logps/rejected", "eval/my_set/logps/rejected"),
        ("eval_nll_loss", "eval/nll_loss"),
        ("eval/eval_loss", "eval/loss"),
        ("train/reject_reward", "rewards/rejected"),
        ("val_rewards_chosen_mean", "eval/rewards/chosen"),
        ("train_rewards_rejected_mean", "rewards/rejected"),
        ("validation-ultra/loss", "eval/ultra/loss"),
        ("actor/rewards_chosen", "rewards/chosen"),
        ("policy_chosen_logps", "logps/chosen"),
        ("reference_chosen_logps", "reference_chosen_logps"),
        ("Training Loss", "loss"),
        ("Validation Loss", "eval/loss"),
        ("rewards / accuracies", "rewards/accuracies"),
        ("value_loss", "value_loss"),
        ("valid_tokens", "valid_tokens"),
        ("rewards/MyFunction/mean", "rewards/MyFunction/mean"),
        ("my own/thing", "my own/thing"),
        ("evaluation", "evaluation"),
        ("eval/", "eval/"),
    ],
)
def test_names(logged: str, name: str) -> None:
    assert canonical(logged) == name
    assert canonical(name) == name


def test_importing_brings_no_model_library() -> None:
    assert brought_along("import core.runs.watch", MODELS | QT) == ""


# Trainer states


def test_trainer_state(tmp_path: Path) -> None:
    rows = [
        record(5, loss=0.69, rewards__chosen=0.1, epoch=0.5),
        record(10, loss=0.5, rewards__chosen=-0.25, epoch=1.0),
        record(10, eval_loss=0.55, eval_rewards__chosen=-0.3, epoch=1.0),
        record(10, train_runtime=3.5, total_flos=1e12, epoch=1.0),
    ]
    path = write_state(tmp_path / "mine", rows)
    for place in (path, path.parent):
        log = read_run(place)
        assert (log.name, log.kind, log.path) == ("mine", "TRL trainer state", place)
        assert points(log, "loss") == [(5, 0.69), (10, 0.5)]
        assert points(log, "rewards/chosen") == [(5, 0.1), (10, -0.25)]
        assert points(log, "eval/loss") == [(10, 0.55)]
        assert points(log, "eval/rewards/chosen") == [(10, -0.3)]
        assert points(log, "train_runtime") == [(10, 3.5)]
        assert points(log, "epoch") == [(5, 0.5), (10, 1.0)]
        assert log.problems == () and log.last_step == 10


def test_the_fullest_history_of_the_checkpoints(tmp_path: Path) -> None:
    rows = [record(step, loss=1 / step) for step in range(1, 31)]
    for count in (10, 20, 30):
        write_state(tmp_path / f"checkpoint-{count}", rows[:count], at=1000 - count)
    log = read_run(tmp_path)
    assert points(log, "loss") == [(step, 1 / step) for step in range(1, 31)]
    assert log.problems == ()


def test_a_trimmed_history_is_completed_from_older_states(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-2", [record(1, loss=0.1), record(2, loss=0.2)], at=1000)
    write_state(tmp_path / "checkpoint-4", [record(3, loss=0.3), record(4, loss=0.4)], at=2000)
    write_state(tmp_path, [record(4, loss=0.4), record(5, loss=0.5)], at=3000)
    log = read_run(tmp_path)
    assert points(log, "loss") == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4), (5, 0.5)]
    assert log.problems == ()


def test_two_runs_in_one_folder_are_read_by_the_newest(tmp_path: Path) -> None:
    old = [record(step, loss=float(step)) for step in (1, 2, 3)]
    new = [record(step, loss=-float(step)) for step in (1, 2)]
    write_state(tmp_path / "checkpoint-3", old, at=1000)
    write_state(tmp_path / "checkpoint-2", new, at=2000)
    log = read_run(tmp_path)
    assert points(log, "loss") == [(1, -1.0), (2, -2.0)]
    assert [checkpoint.step for checkpoint in log.checkpoints] == [2]
    assert len(log.problems) == 1
    assert "different runs" in log.problems[0] and "checkpoint-3" in log.problems[0]


def test_a_half_written_state_is_left_out(tmp_path: Path) -> None:
    rows = [record(step, loss=1 / step) for step in range(1, 9)]
    write_state(tmp_path / "checkpoint-4", rows[:4], at=1000)
    path = write_state(tmp_path / "checkpoint-8", rows)
    path.write_text(path.read_text()[:-60])
    log = read_run(tmp_path)
    assert points(log, "loss") == [(step, 1 / step) for step in range(1, 5)]
    assert len(log.problems) == 1 and "checkpoint-8" in log.problems[0]


def test_a_state_cut_anywhere_is_never_taken_for_whole(tmp_path: Path) -> None:
    path = write_state(tmp_path, [record(step, loss=1 / step, note={"a": []}) for step in (1, 2)])
    text = path.read_text()
    for cut in range(2, len(text)):
        path.write_text(text[:-cut])
        with pytest.raises(UserFacingError, match="only half of one"):
            read_run(path)


@pytest.mark.parametrize("indent", [2, None])
def test_long_logs_are_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None
) -> None:
    rows: list[dict[str, Any]] = [
        record(step % 40, loss=rng, note=["},", {"a": {}}], eval_kl=None if step % 3 else math.nan)
        for step, rng in enumerate(np.random.default_rng(0).normal(size=60).tolist())
    ]
    state = write_state(tmp_path, rows)
    state.write_text(json.dumps(json.loads(state.read_text()), indent=indent))
    lines = tmp_path / "log.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{")
    table = tmp_path / "log.csv"
    table.write_text("step,loss\n" + "".join(f"{r['step']},{r['loss']!r}\n" for r in rows) + "9,")
    last = [(row["step"], row["loss"]) for row in rows[40:]]
    for path in (state, lines, table):
        whole = read_run(path)
        assert points(whole, "loss") == last
        assert whole.problems == (
            f"{path.name} begins anew at step 0 after step 39, as another stage or run does: only "
            f"what follows is shown.",
        )
        for size in (1, 50, 300):
            monkeypatch.setattr("core.runs.readers.states.PIECE", size)
            monkeypatch.setattr("core.runs.readers.lines.PIECE", size)
            pieces = read_run(path)
            assert same(pieces.series, whole.series) and pieces.problems == whole.problems


def test_numbers_that_are_none(tmp_path: Path) -> None:
    rows: list[Any] = [
        record(1, loss=math.nan, grad_norm="nan", rewards__chosen=math.inf),
        record(2, loss=-math.inf, grad_norm="0.5", rewards__chosen=None),
        record(3, loss=0.5, grad_norm="much", rewards__chosen=True, note="text", more=[1]),
        record(-1, loss=9.0),
        {"loss": 8.0},
        "no row",
        {**record(0, loss=7.0), "step": "four"},
    ]
    log = read_run(write_state(tmp_path, rows))
    assert str(points(log, "loss")) == "[(1, nan), (2, nan), (3, 0.5)]"
    assert str(points(log, "grad_norm")) == "[(1, nan), (2, 0.5)]"
    assert str(points(log, "rewards/chosen")) == "[(1, nan)]"
    assert "note" not in log.series and "more" not in log.series
    (said,) = log.problems
    assert said.startswith("4 rows and 2 values of trainer_state.json")


def test_a_list_of_records(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps([record(1, loss=0.1), record(2, loss=0.2)]))
    log = read_run(path)
    assert (log.name, log.kind) == ("history", "JSON log")
    assert points(log, "loss") == [(1, 0.1), (2, 0.2)]


# JSON Lines and CSV

SIDES = {"chosen": 8, "rejected": 4}


def test_jsonl_overwrites_what_is_logged_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows = [record(s, loss=float(s)) for s in (1, 2, 3)]
    rows += [record(2, loss=-2.0), record(2, eval_loss=5.0), record(3, loss=-3.0, lr=0.5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_run(path)
    assert points(log, "loss") == [(1, 1.0), (2, -2.0), (3, -3.0)]
    assert points(log, "eval/loss") == [(2, 5.0)]
    assert points(log, "learning_rate") == [(3, 0.5)]


def test_a_list_with_a_row_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.log"
    lines = ",\n".join(json.dumps(record(s, loss=0.5)) for s in (1, 2, 3))
    for text in (f"[\n{lines}\n]", lines + ",\n", lines.replace(",\n", ", ")):
        path.write_text(text)
        log = read_run(path)
        assert points(log, "loss") == [(1, 0.5), (2, 0.5), (3, 0.5)] and log.problems == ()


def test_a_row_for_each_number(tmp_path: Path) -> None:
    """As tbparse, TensorBoard's and MLflow's exports have them: resumed at 30."""
    numbers = [(s, side, -s / d) for s in (10, 20, 30, 30, 40) for side, d in SIDES.items()]
    text = "run,tag,step,value\n" + "".join(f"a,rewards/{t},{s},{v}\n" for s, t, v in numbers)
    (tmp_path / "log.csv").write_text(text)
    rows = [{"key": f"rewards/{t}", "value": v, "step": s, "timestamp": 9} for s, t, v in numbers]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("log.csv", "log.jsonl"):
        log = read_run(tmp_path / name)
        for side, d in SIDES.items():
            assert points(log, f"rewards/{side}") == [(s, -s / d) for s in (10, 20, 30, 40)]
        assert len(log.series) == 2 and log.problems == ()


def test_jsonl_with_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    whole = json.dumps(record(7, loss=0.7))
    path.write_text(
        's": 0.0}\n{"step": 1, "loss": 0.1}\n'  # rotated in the middle of a line
        '{"step": 2, "lo{"step": 2, "loss": 0.2}\n'  # killed, then gone on with
        '{"step": 3, "loss": 0.3}{"step": 4, "loss": 0.4}\n'  # killed before the newline
        "\n\0\0\0\n[1, 2]\n"
        '{"step": 5, "loss": NaN}\n' + whole[:-3]
    )
    log = read_run(path)
    assert str(points(log, "loss")) == "[(1, 0.1), (3, 0.3), (4, 0.4), (5, nan)]"
    assert log.problems[0].startswith("4 rows of log.jsonl")
    path.write_text(path.read_text()[: -len(whole) + 3] + whole)
    assert points(read_run(path), "loss")[-1] == (7, 0.7)


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "﻿step,train/loss,rewards/chosen,eval_loss,name\r\n"
        "10,0.5,0.25,,warm\r\n20,nan,-Inf,0.75,\r\n"
        "step,train/loss,rewards/chosen,eval_loss,name\r\n"  # started again
        "30,0.25,much,,\r\n40,0.125\r\n50,0.0625,1,,\r\n60,0.03"
    )
    log = read_run(path)
    assert str(points(log, "loss")) == "[(10, 0.5), (20, nan), (30, 0.25), (50, 0.0625)]"
    assert str(points(log, "rewards/chosen")) == "[(10, 0.25), (20, nan), (50, 1.0)]"
    assert points(log, "eval/loss") == [(20, 0.75)]
    assert set(log.series) == {"loss", "rewards/chosen", "eval/loss"}
    assert log.problems == (
        "1 row and 1 value of log.csv could not be read as numbers over steps and are left out.",
    )


def test_plain_csv_is_read_like_any_other(tmp_path: Path) -> None:
    """Files of plain numbers take a faster way; a column of words takes that away."""
    rng = np.random.default_rng(0)
    lines = ["step,loss,kl,eval_loss"]
    lines += [f"{s},{rng.normal()!r},,{rng.normal() if s % 3 else ''}" for s in range(50)]
    lines = [line.replace("np.float64(", "").replace(")", "") for line in lines]
    plain, wordy = tmp_path / "plain.csv", tmp_path / "wordy.csv"
    plain.write_text("\n".join(lines) + "\n")
    wordy.write_text("\n".join(line + f",w{n}" for n, line in enumerate(lines)) + "\n")
    assert same(read_run(plain).series, read_run(wordy).series)
    assert len(read_run(plain).series["loss"].steps) == 50
    assert len(read_run(plain).series["eval/loss"].steps) == 33
    assert "kl" not in read_run(plain).series


def test_rows_without_steps_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("# my run\nloss;kl\n0.5;1\n0.25;2\n")
    log = read_run(path)
    assert points(log, "loss") == [(1, 0.5), (2, 0.25)]
    assert points(log, "kl") == [(1, 1.0), (2, 2.0)]
    assert "says no steps" in log.problems[0]


def test_the_reference_dpo_codes_names_and_counters(tmp_path: Path) -> None:
    """Training is logged after the counter has moved, evaluation at it, as W&B's step."""
    path = tmp_path / "log.jsonl"
    train = {
        "rewards_train/chosen": 0.5, "rewards_train/rejected": -0.5, "rewards_train/margins": 1.0,
        "rewards_train/accuracies": 0.75, "logps_train/chosen": -100.0, "loss/train": 0.5,
        "examples_per_second": 8.0, "grad_norm": 2.0,
    }  # fmt: skip
    rows: list[dict[str, Any]] = [
        {"rewards_eval/chosen": 0.0, "loss/eval": 0.69, "_step": 0},
        train | {"counters/examples": 64, "counters/updates": 1},
        train | {"counters/examples": 128, "counters/updates": 2},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = read_run(path)
    assert points(log, "rewards/chosen") == [(64, 0.5), (128, 0.5)]
    assert points(log, "logps/chosen") == [(64, -100.0), (128, -100.0)]
    assert points(log, "loss") == [(64, 0.5), (128, 0.5)]
    assert points(log, "eval/loss") == [(0, 0.69)]
    assert points(log, "examples_per_second") == [(64, 8.0), (128, 8.0)]
    assert points(log, "counters/updates") == [(64, 1.0), (128, 2.0)]


def test_wandb_export_of_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "wandb_export.csv"
    path.write_text(
        '"Step","dpo - lr 1e-5 - train/rewards/chosen","dpo - lr 1e-5 - train/rewards/chosen__MIN",'
        '"dpo - lr 1e-5 - train/rewards/chosen__MAX","ipo - train/rewards/chosen",'
        '"ipo - train/rewards/chosen__MIN","ipo - train/rewards/chosen__MAX"\n'
        '"1","0.5","0.1","0.9","","",""\n"2","","","","-0.5","-1","0"\n"3","NaN","","","-1","",""\n'
    )
    dpo, ipo = read_runs(path)
    assert (dpo.name, ipo.name) == ("dpo - lr 1e-5", "ipo")
    assert dpo.kind == "Weights & Biases export" and dpo.path == ipo.path == path
    assert str(points(dpo, "rewards/chosen")) == "[(1, 0.5), (3, nan)]"
    assert points(ipo, "rewards/chosen") == [(2, -0.5), (3, -1.0)]
    assert set(dpo.series) == set(ipo.series) == {"rewards/chosen"}
    with pytest.raises(UserFacingError, match="2 runs"):
        read_run(path)


def test_wandb_export_over_time_takes_the_runs_own_steps(tmp_path: Path) -> None:
    path = tmp_path / "wandb_export.csv"
    path.write_text(
        '"Relative Time (Process)","a - _step","a - _step__MIN","a - loss/train"\n'
        '"0.5","64","64","0.69"\n"1.5","128","128","0.5"\n'
    )
    log = read_run(path)
    assert log.name == "a"
    assert points(log, "loss") == [(64, 0.69), (128, 0.5)]


def test_another_header_is_of_another_stage(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(
        "step,loss\n10,2\n20,1.5\nstep,rewards/chosen,loss\n10,0,0.69\n"
        '"1,000",-0.5,0.5\nstep,rewards/chosen,loss\n1010,-1,0.25\n'
    )
    log = read_run(path)
    assert points(log, "loss") == [(10, 0.69), (1000, 0.5), (1010, 0.25)]
    assert points(log, "rewards/chosen") == [(10, 0.0), (1000, -0.5), (1010, -1.0)]
    (said,) = log.problems
    assert "begins anew at step 10 after step 20" in said


def test_a_table_by_columns(tmp_path: Path) -> None:
    """What DataFrame.to_json writes, and a plain object of lists."""
    path = tmp_path / "history.json"
    for text in (
        '{"step": {"0": 1, "1": 2}, "loss": {"0": 0.5, "1": null}, "eval_loss": {"0": NaN, "1": 1}'
        "}",
        '{"step": [1, 2], "loss": [0.5, null], "eval_loss": [NaN, 1]}',
    ):
        path.write_text(text)
        log = read_run(path)
        assert points(log, "loss") == [(1, 0.5)] and points(log, "eval/loss") == [(2, 1.0)]
    path.write_text('{"step": [1, 2], "loss": [0.5]}')
    with pytest.raises(UserFacingError, match="no training log"):
        read_run(path)


def test_a_table_by_rows_as_pandas_writes_it(tmp_path: Path) -> None:
    """Its orients "split" and "index"."""
    rows = [{"step": step, "loss": 1 / step} for step in (1, 2, 4)]
    split = {"columns": [*rows[0]], "index": [0, 1, 2], "data": [[*row.values()] for row in rows]}
    for table in (split, dict(enumerate(rows))):
        (tmp_path / "log.json").write_text(json.dumps(table))
        assert points(read_run(tmp_path / "log.json"), "loss") == [(1, 1.0), (2, 0.5), (4, 0.25)]


def test_utf_16_is_said(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("{'loss': 0.5, 'step': 1}\n", "utf-16")
    with pytest.raises(UserFacingError, match="UTF-16: save it as UTF-8"):
        read_run(path)


def test_the_table_of_a_model_card(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "# A model\n\n- learning_rate: 5e-07\n- num_steps: 3\n\n### Training results\n\n"
        "| Training Loss | Epoch | Step | Validation Loss | Rewards/chosen | Logps/rejected |\n"
        "|:-------------:|:-----:|:----:|:---------------:|:--------------:|---------------:|\n"
        "| No log        | 0.25  | 100  | 0.69            | 0.01           | -250.5         |\n"
        "| 0.55          | 0.5   | 200  | 0.5             | -0.25          | -260.25        |\n\n"
        "### Framework versions | and more\n"
    )
    log = read_run(path)
    assert log.kind == "Markdown table"
    assert points(log, "loss") == [(200, 0.55)]
    assert points(log, "eval/loss") == [(100, 0.69), (200, 0.5)]
    assert points(log, "eval/rewards/chosen") == [(100, 0.01), (200, -0.25)]
    assert points(log, "eval/logps/rejected") == [(100, -250.5), (200, -260.25)]
    assert set(log.series) == {
        "loss", "Epoch", "eval/loss", "eval/rewards/chosen", "eval/logps/rejected",
    }  # fmt: skip


def test_decimal_commas(tmp_path: Path) -> None:
    """A table that a spreadsheet saved where numbers are written so."""
    path = tmp_path / "log.csv"
    path.write_text(
        "\ufeffstep;loss;rewards/chosen;name\r\n10;0,69;-0,5;a, b\r\n20;;1.234,5;\r\n"
        "30;5;-1,5E-02;\r\n40,0;0.25;NaN;\r\n"
        "1.050;0,125;;\r\n"
    )
    log = read_run(path)
    assert points(log, "loss") == [(10, 0.69), (30, 5.0), (40, 0.25), (1050, 0.125)]
    assert (
        str(points(log, "rewards/chosen")) == "[(10, -0.5), (20, 1234.5), (30, -0.015), (40, nan)]"
    )
    assert log.problems == ()


def test_decimal_commas_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('step,loss,kl\n10,"0,69","1,234"\n20,"0,5","12,5"\n')
    log = read_run(path)
    assert points(log, "loss") == [(10, 0.69), (20, 0.5)]
    assert points(log, "kl") == [(20, 12.5)]  # 1.234 or a thousand and more: not guessed
    assert log.problems == (
        "1 value of log.csv could not be read as numbers over steps and is left out.",
    )


def test_commas_that_part_thousands(tmp_path: Path) -> None:
    """Beside a decimal point there is no doubt."""
    path = tmp_path / "log.csv"
    path.write_text('step,loss,logps/chosen\n"1,000",0.5,"-1,234.5"\n"2,000",0.25,-99.5\n')
    log = read_run(path)
    assert points(log, "logps/chosen") == [(1000, -1234.5), (2000, -99.5)] and not log.problems


def test_tensorboards_csv_is_named_by_its_file(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n1700000000.5,10,{}\n1700000001.5,20,{}\n"
    for name, values in {
        "run-.-tag-train_loss.csv": (0.69, 0.5),
        "run-dpo-tag-train_rewards_chosen (1).csv": (0, -0.25),
        "run-dpo-tag-eval_rewards_accuracies.csv": (0.5, 0.75),
        "run-dpo-tag-my_own.csv": (1, 2),
    }.items():
        (tmp_path / name).write_text(text.format(*values))
    log = read_run(tmp_path)
    assert log.kind == "TensorBoard CSV" and log.problems == ()
    assert points(log, "loss") == [(10, 0.69), (20, 0.5)]
    assert points(log, "rewards/chosen") == [(10, 0.0), (20, -0.25)]
    assert points(log, "eval/rewards/accuracies") == [(10, 0.5), (20, 0.75)]
    assert len(log.series) == 3  # what is no curve of a DPO run may be anything
    assert points(read_run(tmp_path / "run-dpo-tag-my_own.csv"), "my_own") == [(10, 1.0), (20, 2.0)]


def test_csv_with_a_column_of_runs(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text("run,step,loss\na,1,0.5\nb,1,0.25\na,2,0.125\n")
    a, b = read_runs(path)
    assert (a.name, points(a, "loss")) == ("a", [(1, 0.5), (2, 0.125)])
    assert (b.name, points(b, "loss")) == ("b", [(1, 0.25)])


def test_a_folder_with_nothing_but_a_csv_of_several_runs(tmp_path: Path) -> None:
    (tmp_path / "both.csv").write_text("run,step,loss\na,1,0.5\nb,1,0.25\na,2,0.125\n")
    assert [log.name for log in read_runs(tmp_path)] == ["a", "b"]
    write_state(tmp_path, [record(1, loss=0.5)])
    assert [log.kind for log in read_runs(tmp_path)] == ["TRL trainer state"]


# Event files


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def crc(data: bytes) -> int:
    """Masked CRC-32C, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(step: int, *values: bytes) -> bytes:
    """A frame with an Event of one Summary."""
    event = b"\x09" + struct.pack("<d", 1e9 + step)
    event += (b"\x10" + varint(step)) * bool(step)
    event += field(5, b"".join(field(1, value) for value in values))
    return framed(event)


def framed(event: bytes) -> bytes:
    size = struct.pack("<Q", len(event))
    return size + struct.pack("<I", crc(size)) + event + struct.pack("<I", crc(event))


def simple(tag: str, value: float) -> bytes:
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def write_events(path: Path, frames: Iterable[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(frames))
    return path


def test_the_crc_is_the_published_one() -> None:
    assert crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_real_event_file() -> None:
    """What TensorBoard's own reader says of the fixture: old and new scalars, a summary of two,
    text, a histogram and a vector."""
    log = read_run(FIXTURE)
    steps = range(0, 400, 10)
    assert log.kind == "TensorBoard events" and log.problems == ()
    single = np.float32
    expected = [(s, float(single(0.7 - s / 1000))) for s in steps] + [(400, 0.25)]
    assert points(log, "loss") == expected
    assert points(log, "rewards/chosen") == [(s, float(single(-s / 100))) for s in steps]
    norms = [(s, math.nan if s == 50 else 1.0 + s) for s in steps]
    assert str(points(log, "grad_norm")) == str(norms)
    tens = range(0, 400, 100)
    assert points(log, "eval/rewards/chosen") == [(s, float(single(-s / 90))) for s in tens]
    assert points(log, "rewards/rejected") == [(s, float(single(-s / 70))) for s in tens]
    assert points(log, "logps/chosen") == [(s, -s / 7) for s in tens]
    assert points(log, "learning_rate") == [(400, float(single(1e-5)))]
    assert len(log.series) == 7


def test_event_files_after_restarts_are_joined(tmp_path: Path) -> None:
    name = "events.out.tfevents.{}.host.1.0"
    first = [frame(s, simple("train/loss", s)) for s in range(10, 80, 10)]
    first += [frame(30, simple("eval/loss", 3.0))]
    second = [frame(s, simple("train/loss", -s)) for s in (50, 60)]
    write_events(tmp_path / "runs" / "Nov_10" / name.format(9), first)
    write_events(tmp_path / "runs" / "Nov_2" / name.format(10), second)
    log = read_run(tmp_path)
    assert log.kind == "TensorBoard events"
    lost = [(s, float(s)) for s in (10, 20, 30, 40)] + [(50, -50.0), (60, -60.0)]
    assert points(log, "loss") == lost
    assert points(log, "eval/loss") == [(30, 3.0)]


def test_a_cut_event_file_is_read_up_to_the_cut(tmp_path: Path) -> None:
    frames = [frame(s, simple("loss", s)) for s in (1, 2, 300)]
    path = tmp_path / "events.out.tfevents.1.h"
    for cut in range(1, len(frames[2])):
        write_events(path, [*frames[:2], frames[2][:-cut]])
        log = read_run(path)
        assert points(log, "loss") == [(1, 1.0), (2, 2.0)] and log.problems == ()


def test_damage_in_an_event_file_is_said(tmp_path: Path) -> None:
    frames = [frame(s, simple("loss", s)) for s in (1, 2, 3)]
    for damage in (b"\0" * 40, b"\xff" * 40):
        path = write_events(tmp_path / "events.out.tfevents.1.h", [*frames[:2], damage, frames[2]])
        log = read_run(path)
        assert points(log, "loss") == [(1, 1.0), (2, 2.0)]
        assert "damaged" in log.problems[0]


def test_many_shapes_of_frames(tmp_path: Path) -> None:
    """More tags of one length than are read at once, steps of every size, a negative one."""
    tags = [f"tag{number:03}" for number in range(150)]
    steps = [0, 1, 127, 128, 20_000, 2**40]
    frames = [frame(s, simple(tag, n)) for n, tag in enumerate(tags) for s in steps]
    event = b"\x10" + b"\xff" * 9 + b"\x01" + field(5, field(1, simple("loss", 1.0)))
    frames.append(framed(event))
    log = read_run(write_events(tmp_path / "events.out.tfevents.1.h", frames))
    assert set(log.series) == set(tags)
    for number, tag in enumerate(tags):
        assert points(log, tag) == [(s, float(number)) for s in steps]


# What else lies in a run's folder


def test_checkpoints(tmp_path: Path) -> None:
    write_state(tmp_path, [record(1, loss=0.5)])
    write_adapter(tmp_path / "checkpoint-100", "base")
    write_adapter(tmp_path / "checkpoint-20", "base")
    write_adapter(tmp_path / "checkpoint-20" / "ref", "base")
    write_model(tmp_path / "step_300")
    (tmp_path / "checkpoint-best").mkdir()
    log = read_run(tmp_path)
    size = (tmp_path / "checkpoint-20" / "adapter_model.safetensors").stat().st_size
    whole = (tmp_path / "step_300" / "model.safetensors").stat().st_size
    assert [(c.step, c.whole, c.bytes) for c in log.checkpoints] == [
        (20, False, size), (100, False, size), (300, True, whole),
    ]  # fmt: skip
    assert log.checkpoints[0].path == str(tmp_path / "checkpoint-20")
    assert log.problems == () and log.last_step == 300


def test_checkpoints_of_several_files(tmp_path: Path) -> None:
    write_state(tmp_path, [record(1, loss=0.5)])
    folder = write_model(tmp_path / "checkpoint-1")
    weights = folder / "model.safetensors"
    shards = {f"model-{n}.safetensors" for n in (1, 2, 3)}
    for shard in shards:
        shutil.copy(weights, folder / shard)
    size = 3 * weights.stat().st_size
    weights.unlink()
    index = {"weight_map": {shard: shard for shard in shards}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (checkpoint,) = read_run(tmp_path).checkpoints
    assert (checkpoint.whole, checkpoint.bytes) == (True, size)
    (folder / "model-2.safetensors").unlink()
    log = read_run(tmp_path)
    assert log.checkpoints == () and "checkpoint-1 is left out" in log.problems[0]


def test_half_written_checkpoints_are_left_out(tmp_path: Path) -> None:
    write_state(tmp_path, [record(1, loss=0.5)])
    write_adapter(tmp_path / "checkpoint-1", "base")
    cut = write_adapter(tmp_path / "checkpoint-2", "base") / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    bare = write_adapter(tmp_path / "checkpoint-3", "base")
    (bare / "adapter_model.safetensors").unlink()
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "step-5").mkdir()
    (tmp_path / "step-5" / "policy.pt").write_bytes(b"PK")
    log = read_run(tmp_path)
    assert [checkpoint.step for checkpoint in log.checkpoints] == [1]
    assert log.problems == (
        "checkpoint-2 is left out: the weights there are not whole, or not yet.",
        "checkpoint-3 and checkpoint-4 are left out: no weights are there, or not yet.",
        "step-5 is left out: pickled weights (.pt) are never opened, so save them as safetensors.",
    )


def test_what_lies_beside(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-5", [record(5, loss=0.5)])
    (tmp_path / ABOUT).write_text(json.dumps({"beta": 0.25, "base": "some/base"}))
    steps = [
        {"step": 0, "rewards/chosen": 0.0, "words/auroc/-reward": 0.5, "kl/ref_policy": 0.0},
        {"step": 5, "rewards/chosen": -0.5, "words/auroc/-reward": 0.75, "kl/ref_policy": 2.0},
    ]
    table = {"qscope": "evaluation", "pairs": 120, "beta": 0.1, "steps": steps}
    (tmp_path / EVALUATION).write_text(json.dumps(table))
    for place in (
        tmp_path,
        tmp_path / "checkpoint-5",
        tmp_path / "checkpoint-5/trainer_state.json",
    ):
        log = read_run(place)
        assert log.name == tmp_path.name
        assert log.beta == 0.25 and log.about["base"] == "some/base"
        assert points(log, HELD_OUT + "words/auroc/-reward") == [(0, 0.5), (5, 0.75)]
        assert points(log, HELD_OUT + "kl/ref_policy") == [(0, 0.0), (5, 2.0)]
        assert points(log, "loss") == [(5, 0.5)]
        assert log.problems == ()
    (tmp_path / ABOUT).write_text('{"beta": 0.')
    log = read_run(tmp_path)
    assert log.beta == 0.1 and "qscope-run.json" in log.problems[0]


def test_checkpoints_without_a_log(tmp_path: Path) -> None:
    write_adapter(tmp_path / "checkpoint-5", "base")
    log = read_run(tmp_path)
    assert log.series == {} and [c.step for c in log.checkpoints] == [5]
    assert "no training log" in log.problems[0]


def test_a_live_log_goes_on_where_the_last_state_ends(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [record(step, loss=1 / step) for step in range(1, 6)]
    write_state(tmp_path / "checkpoint-3", rows[:3])
    rows = [{**row, "lr": 0.5} for row in rows]
    rows.append(record(3, eval_loss=0.5))  # measured after the checkpoint was saved
    lines = [json.dumps(row) + "\n" for row in rows]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n' * 9)
    log = read_run(tmp_path)
    assert log.kind == "TRL trainer state" and log.problems == ()
    assert points(log, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25), (5, 0.2)]
    assert points(log, "eval/loss") == [(3, 0.5)]
    assert points(log, "learning_rate") == [(step, 0.5) for step in range(1, 6)]


def test_a_live_log_that_rounds_is_of_the_same_run(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-3", [record(step, loss=1 / step) for step in (1, 2, 3)])
    lines = [json.dumps(record(step, loss=round(1 / step, 4))) + "\n" for step in (2, 3, 6)]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    log = read_run(tmp_path)
    assert points(log, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3), (6, 0.1667)]
    assert log.problems == ()


def test_a_live_log_of_another_run_is_left_out(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-3", [record(step, loss=1.0) for step in (1, 2, 3)])
    lines = [json.dumps(record(step, loss=2.0)) + "\n" for step in (1, 2, 3, 4)]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    log = read_run(tmp_path)
    assert points(log, "loss") == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert len(log.problems) == 1 and "another run" in log.problems[0]


class Trap:
    """Pickled, it leaves a file behind wherever it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_pickle_is_ever_opened(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    run = tmp_path / "run"
    for number in (5, 6):
        write_state(run / f"checkpoint-{number}", [record(5, loss=0.5)])
    trap = pickle.dumps(Trap(sprung))
    for name in ("training_args.bin", "optimizer.pt", "policy.pt", "rng_state.pth", "log.jsonl"):
        for folder in (run, run / "checkpoint-5", run / "checkpoint-6"):
            (folder / name).write_bytes(trap)
    log = read_run(run)
    assert points(log, "loss") == [(5, 0.5)]
    assert [checkpoint.step for checkpoint in log.checkpoints] == [5, 6]
    for name in ("training_args.bin", "policy.pt", "log.jsonl"):
        with pytest.raises(UserFacingError, match="no training log"):
            read_run(run / name)
    assert not sprung.exists()
    pickle.loads(trap)
    assert sprung.exists()  # the trap is one


def test_nothing_usable(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match=r"There is no .*nowhere: check the path"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(UserFacingError, match="choose a run's folder"):
        read_run(tmp_path)
    (tmp_path / "file.csv").touch()
    with pytest.raises(UserFacingError, match=r"There is no .*file.csv/log: check the path"):
        read_run(tmp_path / "file.csv" / "log")
    for name, text in {
        "empty.jsonl": "",
        "blank.csv": " \n\n",
        "header.csv": "step,loss\n",
        "data.jsonl": '{"prompt": "a", "id": 3}\n',
        "data.csv": "name,age\nAda,36\n",
        "poem.txt": "The sea\nis 3 miles deep\n",
        "half.json": '{"log_history": [{"step": 1, "lo',
        "none.json": '{"log_history": []}',
        "other.json": '{"a": 1}',
        "list.json": "[1, 2, 3]",
        "deep.json": "[" * 100_000,
        "deep.jsonl": '{"a":' * 100_000,
        "events.out.tfevents.1.h": "not at all a frame of an event file",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UserFacingError, match="no training log") as raised:
            read_run(tmp_path / name)
        assert "\n" not in str(raised.value), name
        half = name in ("empty.jsonl", "half.json", "deep.json")
        assert ("wait until" in str(raised.value)) == half, name


def test_a_table_in_pieces_is_a_table_at_once() -> None:
    rng = random.Random(0)
    rows: list[dict[str, Any]] = []
    for _ in range(300):
        names = rng.sample(["loss", "train/loss", "kl", "eval_kl", "lr"], 2)
        row: dict[str, Any] = {name: rng.choice([0.5, 1, math.nan, None, "x"]) for name in names}
        rows.append(row | ({"step": rng.randrange(40)} if rng.random() < 0.95 else {}))
    once, pieces = Table(), Table()
    once.add_rows(rows)
    for start in range(0, len(rows), 7):
        pieces.add_rows(rows[start : start + 7])
        pieces.series()
    assert same(once.series(), pieces.series())
    assert once.problems("x") == pieces.problems("x") != []
    assert any("not in the order" in said for said in once.problems("x"))
    kl = once.series()["kl"]
    logged = [row for row in rows if "step" in row and row.get("kl") in (0.5, 1)]
    for row in logged:
        last = next(other for other in reversed(logged) if other["step"] == row["step"])
        assert kl.values[kl.steps == row["step"]].tolist() == [last["kl"]]
