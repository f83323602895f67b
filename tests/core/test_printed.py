"""Logs that are what a trainer printed, among all else that a console shows."""

import json
from pathlib import Path

import pytest

from core.errors import UserFacingError
from core.runs.read import read_run
from core.runs.records import RunLog
from tests.core.test_logs import points, record, write_state

BEFORE = (
    "Loading checkpoint shards: 100%|██████████| 2/2 [00:01<00:00,  1.5it/s]\n"
    "Updated tokens: {'eos_token_id': 151645, 'bos_token_id': None}.\n"
    "Map: 100%|██████████| 1000/1000 [00:01<00:00]\n{\n"
)


def bar(at: int, of: int = 40) -> str:
    return f"\r{100 * at // of:3}%|██▌       | {at}/{of} [00:10<00:30,  1.02s/it]"


def read(folder: Path, text: str, name: str = "train.log") -> RunLog:
    (folder / name).write_text(text)
    return read_run(folder / name)


def test_dicts_with_steps(tmp_path: Path) -> None:
    """Numbers as Python, numpy, torch, JSON and recent versions of transformers print them."""
    log = read(
        tmp_path,
        BEFORE + "{'loss': 0.69, 'rewards/chosen': np.float64(-0.5), 'step': 1, 'note': 'much'}\n"
        "[rank0] {'loss': '5e-01', 'rewards/chosen': tensor(-1., device='cuda:0'), 'step': '2'}\n"
        'INFO: {"loss": NaN, "rewards/chosen": -Infinity, "step": 3}\n'
        "{'loss': 0.25, 'rewards/chosen': array(1., dtype=float32), 'step': 4, 'time': '3 days'}",
    )
    assert log.kind == "printed log" and log.problems == ()
    assert str(points(log, "loss")) == "[(1, 0.69), (2, 0.5), (3, nan), (4, 0.25)]"
    assert str(points(log, "rewards/chosen")) == "[(1, -0.5), (2, -1.0), (3, nan), (4, 1.0)]"
    assert set(log.series) == {"loss", "rewards/chosen"}


def test_steps_of_the_bar(tmp_path: Path) -> None:
    """As tqdm.write mixes them: with carriage returns, and bars of an evaluation in between."""
    log = read(
        tmp_path,
        BEFORE + bar(0) + bar(10) + "\r" + " " * 60 + "\r{'loss': '0.69', 'epoch': '0.25'}\n"
        f"{bar(10)}{bar(20)}{{'loss': 0.5, 'epoch': 0.5}}\n"
        f"{bar(1, 5)}{bar(5, 5)}\n{{'eval_loss': 0.4, 'eval_runtime': 2.5, 'epoch': 0.5}}\n"
        f"{bar(29)}{bar(30)}\n{{'loss': 0.25, 'epoch': 0.75}}\n",
    )
    assert points(log, "loss") == [(10, 0.69), (20, 0.5), (30, 0.25)]
    assert points(log, "eval/loss") == [(20, 0.4)]
    assert log.problems == (
        "train.log says no steps: they are those of the progress bar above each row.",
    )


def test_the_bar_of_another_stage(tmp_path: Path) -> None:
    stage = [f"{bar(n, 8)}\n{{'loss': 2.0}}\n" for n in (2, 4)]
    stage += [f"{bar(n)}\n{{'loss': 0.5, 'rewards/chosen': 0.0}}\n" for n in (1, 2, 3)]
    log = read(tmp_path, "".join(stage))
    assert points(log, "loss") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert "begins anew at step 1 after step 4" in log.problems[1]


@pytest.mark.parametrize("bars", [("", ""), (bar(10), ""), (bar(10), bar(10))])
def test_rows_are_counted_where_no_bar_says_their_step(
    tmp_path: Path, bars: tuple[str, str]
) -> None:
    one, two = bars
    log = read(tmp_path, f"{one}\n{{'loss': 0.69}}\n{two}\n{{'loss': 0.5}}\n")
    assert points(log, "loss") == [(1, 0.69), (2, 0.5)]
    assert "its rows are counted" in log.problems[0]


def test_lines_of_names_and_numbers(tmp_path: Path) -> None:
    """torchtune's file, verl's console, OpenRLHF's bar, the reference DPO code."""
    log = read(tmp_path, "Step 1 | loss:0.69 lr:1e-06 rewards/accuracies:0.5 \n" * 2, "log_1.txt")
    assert points(log, "loss") == [(1, 0.69)] and points(log, "rewards/accuracies") == [(1, 0.5)]
    log = read(
        tmp_path,
        "\x1b[36m(TaskRunner pid=12)\x1b[0m step:2 - actor/grad_norm:np.float64(1.5) - "
        "timing_s/step:12.5\n",
    )
    assert {name: points(log, name) for name in log.series} == {
        "grad_norm": [(2, 1.5)], "timing_s/step": [(2, 12.5)],
    }  # fmt: skip
    log = read(
        tmp_path,
        "Train step of epoch 0:  10%|█ | 1/10 [00:01<00:10, 1s/it, loss=0.69, chosen_reward=0.1]"
        "\rTrain step of epoch 0:  20%|█ | 2/10 [00:01<00:10, 1s/it, loss=0.5, chosen_reward=.2]\n",
    )
    assert points(log, "rewards/chosen") == [(1, 0.1), (2, 0.2)] and log.problems == ()
    log = read(
        tmp_path,
        "eval after 0: {'rewards_eval/chosen': '0', 'loss/eval': '0.69315'}\n"
        "train stats after 64 examples: {'rewards_train/chosen': '0.25', 'loss/train': '0.5'}\n",
    )
    assert points(log, "eval/loss") == [(0, 0.69315)] and points(log, "loss") == [(64, 0.5)]


def test_beside_a_state_only_what_says_its_steps_is_joined(tmp_path: Path) -> None:
    write_state(tmp_path, [record(10, loss=0.69), record(20, loss=0.5)])
    (tmp_path / "train.log").write_text("{'loss': 0.69}\n{'loss': 0.5}\n{'loss': 0.25}\n")
    log = read_run(tmp_path)
    assert points(log, "loss") == [(10, 0.69), (20, 0.5)] and log.problems == ()
    (tmp_path / "stdout.log").write_text("{'loss': 0.25, 'step': 30}\n")
    assert points(read_run(tmp_path), "loss") == [(10, 0.69), (20, 0.5), (30, 0.25)]


def test_a_history_that_was_printed_at_once(tmp_path: Path) -> None:
    log = read(tmp_path, str([{"loss": 0.5, "step": 1}, {"eval_loss": 0.25, "step": 2}]))
    assert points(log, "loss") == [(1, 0.5)] and points(log, "eval/loss") == [(2, 0.25)]


def test_what_is_no_log(tmp_path: Path) -> None:
    for text in (
        BEFORE,
        "step 3 of 4: mix the flour\nlearning=yes\n",
        json.dumps({"model": {"a": 1}}),
    ):
        with pytest.raises(UserFacingError, match="no training log"):
            read(tmp_path, text)
