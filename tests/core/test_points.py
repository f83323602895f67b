"""Logs that go back, have holes, or belong to several stages: which of their points count."""

import json
import math
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.runs.read import read_run
from core.runs.records import RunLog
from core.runs.table import Table
from tests.core.test_logs import (
    field,
    frame,
    framed,
    points,
    record,
    simple,
    varint,
    write_events,
    write_state,
)


def read_rows(folder: Path, rows: list[dict[str, Any]]) -> RunLog:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_run(path)


def row(step: int, loss: float = 0.5) -> dict[str, Any]:
    return record(step, loss=loss, rewards__chosen=-loss)


def test_nan_of_what_a_row_does_not_measure_takes_nothing_away(tmp_path: Path) -> None:
    """Rows of training and evaluation in one table, as pandas writes them."""
    nan = math.nan
    rows = [
        record(s, loss=0.5, learning_rate=1e-6, eval_loss=nan, eval_b_rewards__chosen=nan)
        for s in (10, 20)
    ]
    rows += [
        record(20, loss=nan, learning_rate=nan, eval_loss=0.7, eval_b_rewards__chosen=nan),
        record(25, loss=nan, learning_rate=nan, eval_loss=nan, eval_b_rewards__chosen=-1.0),
        record(20, loss=nan, learning_rate=nan, train_runtime=3.0),
    ]
    log = read_rows(tmp_path, rows)
    assert points(log, "loss") == [(10, 0.5), (20, 0.5)]
    assert points(log, "eval/loss") == [(20, 0.7)]
    assert points(log, "eval/b/rewards/chosen") == [(25, -1.0)]


def test_nan_of_a_run_that_has_diverged_stays(tmp_path: Path) -> None:
    rows = [record(1, loss=0.5), record(2, loss=math.nan, learning_rate=1e-6, eval_loss=0.5)]
    rows += [record(3, loss="NaN", eval_loss=0.7, grad_norm="inf"), record(4, loss=math.nan)]
    log = read_rows(tmp_path, rows)
    assert str(points(log, "loss")) == "[(1, 0.5), (2, nan), (3, nan), (4, nan)]"


def test_what_a_resumed_run_had_lost_does_not_count(tmp_path: Path) -> None:
    """It logs every 25 steps now, so it was resumed at 50 at the latest."""
    rows = [row(s) for s in range(10, 101, 10)]
    rows[5:5] = [record(50, eval_loss=0.1)]
    rows += [record(90, eval_loss=0.2)] + [row(s, 0.3) for s in (75, 100, 125)]
    log = read_rows(tmp_path, rows)
    assert [s for s, _ in points(log, "loss")] == [10, 20, 30, 40, 50, 75, 100, 125]
    assert points(log, "eval/loss") == [(50, 0.1)]
    assert log.problems == (
        "log.jsonl goes back from step 100 to 75, as a resumed run does: what was logged from "
        "there on before is left out.",
    )


def test_of_two_stages_in_one_file_the_last_is_shown(tmp_path: Path) -> None:
    sft = [record(s, loss=2.0, mean_token_accuracy=0.5) for s in range(10, 101, 10)]
    log = read_rows(tmp_path, sft + [row(s) for s in range(5, 51, 5)])
    assert [s for s, _ in points(log, "loss")] == list(range(5, 51, 5))
    assert "mean_token_accuracy" not in log.series
    assert "begins anew at step 5 after step 100" in log.problems[0]


def test_what_a_log_says_of_its_turns(tmp_path: Path) -> None:
    """Resumed at 60 and again at 40, of which the beginning still counts; then after a stage."""
    resumed = [row(s) for s in [*range(10, 101, 10), *range(60, 91, 10), *range(40, 111, 10)]]
    log = read_rows(tmp_path, resumed)
    assert [s for s, _ in points(log, "loss")] == list(range(10, 111, 10))
    assert log.problems == (
        "log.jsonl goes back 2 times, last from step 90 to 40, as a resumed run does: what was "
        "logged from there on before is left out.",
    )
    log = read_rows(tmp_path, [row(s) for s in range(10, 201, 10)] + resumed)
    assert [s for s, _ in points(log, "loss")] == list(range(10, 111, 10))
    assert "begins anew at step 10 after step 200" in log.problems[0]
    assert "goes back 2 times, last from step 90 to 40" in log.problems[1]


def test_evaluation_may_be_logged_late(tmp_path: Path) -> None:
    rows = [row(10), row(20), record(10, eval_loss=0.7), row(30), record(20, eval_loss=0.6)]
    log = read_rows(tmp_path, rows)
    assert points(log, "eval/loss") == [(10, 0.7), (20, 0.6)]
    assert len(log.series["loss"].steps) == 3 and log.problems == ()


def test_rows_in_no_order_are_sorted(tmp_path: Path) -> None:
    log = read_rows(tmp_path, [row(s, s / 10) for s in (5, 3, 4, 1, 2, 9, 6)])
    assert points(log, "loss") == [(s, s / 10) for s in (1, 2, 3, 4, 5, 6, 9)]
    assert "not in the order of their steps" in log.problems[0]


attempts = st.lists(
    st.tuples(st.integers(0, 40), st.integers(8, 20), st.sampled_from([1, 2, 5])),
    min_size=1,
    max_size=4,
)


@given(attempts)
def test_attempts_are_laid_over_each_other(tried: list[tuple[int, int, int]]) -> None:
    """Attempts from a step on, of so many rows, every so many steps, against one by one."""
    rows, kept = list[dict[str, Any]](), dict[int, float]()
    for number, (begin, count, every) in enumerate(tried):
        steps = [begin + every * n for n in range(count)]
        if kept and begin <= max(kept):
            resumed = begin - every if begin < max(kept) else begin - 1
            kept = {step: value for step, value in kept.items() if step <= resumed}
        kept |= dict.fromkeys(steps, float(number))
        rows += [record(step, loss=float(number)) for step in steps]
    table = Table()
    for start in range(0, len(rows), 3):
        table.add_rows(rows[start : start + 3])
        table.series()
    loss = table.series()["loss"]
    assert dict(zip(loss.steps.tolist(), loss.values.tolist(), strict=True)) == kept


def test_named_evaluation_sets(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [record(10, loss=0.7)]
    for name in ("helpful", "my_set"):
        values = {"loss": 0.5, "rewards/accuracies": 0.75, "nll_loss": 1.0, "runtime": 2.0}
        rows.append({f"eval_{name}_{key}": value for key, value in values.items()} | {"step": 10})
    log = read_run(write_state(tmp_path / "run", rows))
    for name in ("helpful", "my_set"):
        assert points(log, f"eval/{name}/loss") == [(10, 0.5)]
        assert points(log, f"eval/{name}/rewards/accuracies") == [(10, 0.75)]
        assert points(log, f"eval/{name}/nll_loss") == [(10, 1.0)]
    assert log.problems == ()
    assert log.remarks == ("Evaluation sets with curves of their own: helpful, my_set.",)


def test_what_accuracy_means_is_said_by_what_is_beside_it(tmp_path: Path) -> None:
    factory = {"total_steps": 80, "lr": 1e-6, "epoch": 0.1, "percentage": 12.5, "loss": 0.6}
    log = read_rows(tmp_path, [{"current_steps": 10, "accuracy": 0.5} | factory])
    assert points(log, "rewards/accuracies") == [(10, 0.5)]
    openrlhf = {"train/chosen_reward": 0.1, "train/reject_reward": -0.1, "train/acc": 0.75}
    log = read_rows(tmp_path, [openrlhf | {"train/global_step": 3, "eval/acc_mean": 0.5}])
    assert points(log, "rewards/accuracies") == [(3, 0.75)]
    assert points(log, "eval/rewards/accuracies") == [(3, 0.5)]
    log = read_rows(tmp_path, [{"step": 1, "loss": 2.0, "accuracy": 0.25}])
    assert set(log.series) == {"loss", "accuracy"}
    mlx = {"train_loss": 0.6, "train_chosen_reward": 0.1, "accuracies": 0.5, "margins": 0.25}
    log = read_rows(tmp_path, [{"iteration": 3} | mlx])
    assert set(log.series) == {
        "loss",
        *(f"rewards/{it}" for it in ("chosen", "accuracies", "margins")),
    }
    ended = read_rows(tmp_path, [row(1), {"step": 1, "train_loss": 9.0}])
    assert points(ended, "loss") == [(1, 0.5)] and "train_loss" in ended.series


def test_steps_with_the_last_step_and_rows_inside_rows(tmp_path: Path) -> None:
    """ms-swift's logging.jsonl and verl's file logger."""
    rows = [{"loss": "0.69", "global_step/max_steps": f"{s}/80"} for s in (5, 10)]
    assert points(read_rows(tmp_path, rows), "loss") == [(5, 0.69), (10, 0.69)]
    inside = {"actor/grad_norm": 1.5, "rewards": {"chosen": 0.5, "rejected": None}}
    log = read_rows(tmp_path, [{"step": 3, "data": inside}])
    assert points(log, "grad_norm") == [(3, 1.5)] and points(log, "rewards/chosen") == [(3, 0.5)]


def test_a_folder_for_each_curve(tmp_path: Path) -> None:
    """What SummaryWriter.add_scalars writes beside the file of the writer itself."""
    name = "events.out.tfevents.{}.host"
    write_events(tmp_path / name.format(1), [frame(1, simple("train/loss", 0.5))])
    for number, side in enumerate(("chosen", "rejected"), 2):
        write_events(
            tmp_path / f"train_rewards_{side}" / name.format(number),
            [frame(step, simple("train/rewards", number)) for step in (1, 2)],
        )
    write_events(tmp_path / "eval" / name.format(4), [frame(1, simple("loss", 0.25))])
    write_events(tmp_path / "another-run" / name.format(5), [frame(1, simple("loss", 9.0))])
    log = read_run(tmp_path)
    assert points(log, "rewards/chosen") == [(1, 2.0), (2, 2.0)]
    assert points(log, "rewards/rejected") == [(1, 3.0), (2, 3.0)]
    assert points(log, "loss") == [(1, 0.5)] and points(log, "eval/loss") == [(1, 0.25)]
    assert log.problems == ()


def test_a_folder_for_each_curve_right_in_the_runs(tmp_path: Path) -> None:
    """Without a file of the writer itself."""
    for number, folder in enumerate(("Loss_train", "Loss_val", "rewards_chosen", "another-run")):
        tag = folder.partition("_")[0]
        events = [frame(1, simple(tag, number))]
        write_events(tmp_path / folder / f"events.out.tfevents.{number}.host", events)
    log = read_run(tmp_path)
    assert points(log, "loss") == [(1, 0.0)] and points(log, "eval/loss") == [(1, 1.0)]
    assert points(log, "rewards/chosen") == [(1, 2.0)] and len(log.series) == 3


def test_different_numbers_for_one_step_are_said(tmp_path: Path) -> None:
    """As two processes of one training write them; the same numbers twice are no matter."""
    log = read_rows(tmp_path, [row(1), row(1, 0.25), row(2), row(2), row(3), row(3, 0.75)])
    assert points(log, "loss") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    (problem,) = log.problems
    assert problem.startswith("log.jsonl has different numbers for one step at 2 steps: the last")


def test_purged_events(tmp_path: Path) -> None:
    """A session's START at a step, as SummaryWriter(purge_step=30) writes it."""
    start = framed(b"\x10" + varint(30) + field(7, b"\x08\x01"))
    before = [frame(s, simple("train/loss", 1.0)) for s in (10, 20, 30, 40)]
    before.insert(3, frame(35, simple("eval/loss", 2.0)))
    after = [frame(s, simple("train/loss", 3.0)) for s in (50, 60)]
    kept = [(10, 1.0), (20, 1.0), (50, 3.0), (60, 3.0)]
    one = read_run(write_events(tmp_path / "one.tfevents.1.h", [*before, start, *after]))
    assert points(one, "loss") == kept and "eval/loss" not in one.series
    assert "goes back from step 40 to 30" in one.problems[0]
    write_events(tmp_path / "two" / "events.out.tfevents.1.h", before)
    write_events(tmp_path / "two" / "events.out.tfevents.2.h", [start, *after])
    two = read_run(tmp_path / "two")
    assert points(two, "loss") == kept and "eval/loss" not in two.series
    assert two.problems == (
        "The run was resumed at step 30: what earlier event files had logged from there on is left "
        "out.",
    )
