"""Logs that are read while they are written: what was read piece by piece is what is there."""

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.errors import Cancelled, UserFacingError
from core.runs import table, tail
from core.runs.read import Run, read_run
from core.runs.readers import printed
from core.runs.records import EVALUATION, HELD_OUT, RunLog
from core.runs.watch import Watcher
from tests.core.checkpoint_folders import write_adapter
from tests.core.test_logs import frame, points, record, same, simple, write_events, write_state


class Told:
    """What a watcher says."""

    def __init__(self) -> None:
        self.logs: list[RunLog] = []
        self.failures: list[tuple[Path, str]] = []
        self.watcher = Watcher(self.logs.append, lambda *told: self.failures.append(told))

    def poll(self) -> list[RunLog]:
        """The logs that one look brings."""
        self.logs.clear()
        self.watcher.poll()
        return list(self.logs)


def line(step: int, value: float) -> str:
    return json.dumps(record(step, loss=value)) + "\n"


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


# Any history of a file

Write = Callable[[int, float], bytes]
HEADER = b"step,loss,kl\n"
KINDS: dict[str, tuple[str, bytes, Write]] = {
    "jsonl": ("log.jsonl", b"", lambda step, value: line(step, value).encode()),
    "csv": ("log.csv", HEADER, lambda step, value: f"{step},{value!r},\n".encode()),
    "wordy csv": ("log.csv", b"step,loss,kl\r\n", lambda s, v: f'{s},"{v}",warm\r\n'.encode()),
    "printed": (
        "train.log",
        b"Map: 100%|#| 2/2\n",
        lambda s, v: f"{{'loss': {v}, 'step': {s}}}\n".encode(),
    ),
    "events": (
        "events.out.tfevents.1.host",
        b"",
        lambda step, value: frame(step, simple("train/loss", value)),
    ),
}
rows = st.lists(
    st.tuples(st.integers(0, 300), st.floats(width=32, allow_nan=True)), min_size=1, max_size=4
)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("write"), rows, st.just(0)),
        st.tuples(st.just("cut"), rows, st.integers(1, 80)),
        st.tuples(st.just("go on"), st.just([]), st.just(0)),
        st.tuples(st.just("rewrite"), rows, st.integers(0, 1)),
        st.tuples(st.sampled_from(["delete", "look", "empty", "newline"]), st.just([]), st.just(0)),
    ),
    max_size=20,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@example([("cut", [(1, 1.0)], 1), ("look", [], 0), ("write", [(2, 2.0)], 0), ("look", [], 0)])
@example([("write", [(1, 1.0)], 0), ("look", [], 0), ("rewrite", [(1, 2.0)], 0)])
@example([("write", [(1, 1.0)], 0), ("look", [], 0), ("delete", [], 0), ("look", [], 0)])
@example([("write", [(0, math.inf), (0, math.inf)], 0)])
@given(acts)
def test_any_history_read_live_is_one_fresh_read(
    kind: str, tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, Any, int]]
) -> None:
    name, header, write = KINDS[kind]
    path = tmp_path_factory.mktemp("live") / name
    path.write_bytes(header)
    live = Run(path)
    rest = b""
    for act, what, number in [*history, ("go on", [], 0), ("write", [(7, 0.5)], 0)]:
        data = b"".join(write(*row) for row in what)
        if act == "look":
            live.refresh()
        elif act == "delete":
            path.unlink(missing_ok=True)
        elif act == "rewrite" and number:
            beside = path.with_suffix(".new")
            beside.write_bytes(header + data)
            beside.replace(path)
        elif act in ("rewrite", "empty"):
            path.write_bytes(header + data)
        else:
            if not path.exists():
                path.write_bytes(header)
            if act == "cut":
                number = min(number, len(data))
                rest, data = data[len(data) - number :], data[: len(data) - number]
            elif act == "go on":
                rest, data = b"", rest
            elif act == "newline" and kind != "events":
                data = b"\n"
            with path.open("ab") as file:
                file.write(data)
    live.refresh()
    try:
        fresh = read_run(path)
    except UserFacingError:  # it begins with damage: what was read before stays
        return
    (found,) = live.logs()
    assert same(found.series, fresh.series)
    assert (found.problems, found.kind, found.name) == (fresh.problems, fresh.kind, fresh.name)


@pytest.mark.parametrize("kind", [*KINDS, "bar", "state"])
def test_a_look_that_was_laid_aside_anywhere_takes_nothing_away_and_nothing_twice(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "CHUNK", 2000)
    monkeypatch.setattr(table, "MANY_SHAPES", 1)
    monkeypatch.setattr(printed, "MANY_LINES", 1)
    rows = [(step, 1 / step) for step in [*range(1, 60), *range(50, 90)]]
    if kind == "state":
        path = write_state(tmp_path, [record(step, loss=value) for step, value in rows])
    elif kind == "bar":
        path = tmp_path / "train.log"
        bar = "{0}%|#| {0}/100 [00:01<00:02]\n{{'loss': {1}}}\n"
        path.write_text("".join(bar.format(*row) for row in rows))
    else:
        name, header, write = KINDS[kind]
        path = tmp_path / name
        path.write_bytes(header + b"".join(write(*row) for row in rows))
    fresh = read_run(path)
    for last in range(1, 100_000):
        asked = 0

        def stop(last: int = last) -> bool:
            nonlocal asked
            asked += 1
            return asked == last

        live = Run(path, stop)
        for _ in range(2):
            with contextlib.suppress(Cancelled):
                live.refresh()
        (found,) = live.logs()
        assert same(found.series, fresh.series) and found.problems == fresh.problems
        if asked < last:
            break


# The watcher


def test_a_growing_log_is_told_of_when_it_grows(tmp_path: Path) -> None:
    path, told = tmp_path / "log.jsonl", Told()
    path.write_text(line(1, 0.5) + '{"step": 2')
    told.watcher.watch(path)
    (log,) = told.poll()
    assert points(log, "loss") == [(1, 0.5)]
    assert told.poll() == told.poll() == []
    append(path, ', "loss": 0.25}\n' + line(3, 0.125))
    (log,) = told.poll()
    assert points(log, "loss") == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert log.path == path
    told.watcher.forget(path)
    append(path, line(4, 0.0))
    assert told.poll() == [] and told.failures == []


def test_only_what_was_added_is_read(tmp_path: Path) -> None:
    path, told = tmp_path / "log.csv", Told()
    path.write_text("step,loss\n" + "".join(f"{s},0.5\n" for s in range(5000)))
    told.watcher.watch(path)
    told.poll()
    # What lies in the middle is not looked at again: a change there goes unnoticed.
    data = path.read_bytes()
    middle = len(data) // 2
    append(path, "5000,0.25\n")
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(b"x")
    (log,) = told.poll()
    assert len(log.series["loss"].steps) == 5001 and log.problems == ()


def test_a_deleted_log_is_kept_and_one_in_its_place_is_read(tmp_path: Path) -> None:
    path, told = tmp_path / "log.jsonl", Told()
    path.write_text(line(1, 0.5))
    told.watcher.watch(path)
    told.poll()
    path.unlink()
    (log,) = told.poll()
    assert points(log, "loss") == [(1, 0.5)]
    assert log.problems == (f"{path} has been deleted; what was read of it before is kept.",)
    assert told.poll() == []
    path.write_text("")
    told.poll()
    path.write_text(line(9, 0.25))
    (log,) = told.poll()
    assert points(log, "loss") == [(9, 0.25)] and log.problems == ()
    assert told.failures == []


def test_a_state_that_is_being_replaced_takes_nothing_away(tmp_path: Path) -> None:
    told = Told()
    rows = [record(step, loss=1 / step) for step in range(1, 9)]
    path = write_state(tmp_path, rows[:4], at=1000)
    told.watcher.watch(tmp_path)
    told.poll()
    whole = write_state(tmp_path, rows, at=2000).read_text()
    for part in (len(whole) // 3, 0, len(whole) - 3):
        path.write_text(whole[:part])
        assert told.poll() == []
    path.write_text(whole)
    (log,) = told.poll()
    assert points(log, "loss") == [(step, 1 / step) for step in range(1, 9)]
    assert log.problems == () and told.failures == []


def test_a_run_comes_to_be(tmp_path: Path) -> None:
    """Nothing, an empty folder, a log, checkpoints, an evaluation; then all is deleted."""
    run, told = tmp_path / "run", Told()
    told.watcher.watch(run)
    assert told.poll() == told.poll() == []
    run.mkdir()
    assert told.poll() == []
    assert [("There is no training log" in said, path) for path, said in told.failures] == [
        (False, run),
        (True, run),
    ]
    append(run / "log.jsonl", line(1, 0.5) + line(2, 0.25))
    (log,) = told.poll()
    assert points(log, "loss") == [(1, 0.5), (2, 0.25)]
    folder = write_adapter(run / "checkpoint-2", "base")
    weights = (folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(weights[:-8])
    (log,) = told.poll()
    assert log.checkpoints == () and "not whole" in log.problems[0]
    (folder / "adapter_model.safetensors").write_bytes(weights)
    write_state(folder, [record(1, loss=0.5), record(2, loss=0.25)])
    append(run / "log.jsonl", line(3, 0.125))
    (log,) = told.poll()
    assert log.kind == "TRL trainer state" and log.problems == ()
    assert [checkpoint.step for checkpoint in log.checkpoints] == [2]
    assert points(log, "loss") == [(1, 0.5), (2, 0.25), (3, 0.125)]
    (run / EVALUATION).write_text('{"steps": [{"step": 0, "kl/ref_policy"')
    told.poll()
    (run / EVALUATION).write_text('{"steps": [{"step": 0, "kl/ref_policy": 1.5}]}')
    (log,) = told.poll()
    assert points(log, HELD_OUT + "kl/ref_policy") == [(0, 1.5)]
    for path in (folder / "trainer_state.json", run / "log.jsonl", run / EVALUATION):
        path.unlink()
    (log,) = told.poll()
    assert points(log, "loss") == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert len([said for said in log.problems if "deleted" in said]) == 3
    assert told.poll() == [] and len(told.failures) == 2


def test_a_run_that_is_started_again_writes_another_event_file(tmp_path: Path) -> None:
    told = Told()
    first = tmp_path / "runs" / "a" / "events.out.tfevents.1.host"
    write_events(first, [frame(s, simple("train/loss", s)) for s in (10, 20, 30)])
    told.watcher.watch(tmp_path)
    told.poll()
    second = tmp_path / "runs" / "b" / "events.out.tfevents.2.host"
    write_events(second, [frame(20, simple("train/loss", -20.0))])
    (log,) = told.poll()
    assert points(log, "loss") == [(10, 10.0), (20, -20.0)]
    with second.open("ab") as file:
        file.write(frame(30, simple("train/loss", -30.0))[:-1])
    assert [points(log, "loss") for log in told.poll()] in ([], [[(10, 10.0), (20, -20.0)]])
    write_events(second, [frame(s, simple("train/loss", -s)) for s in (20, 30)])  # the same, whole
    (log,) = told.poll()
    assert points(log, "loss") == [(10, 10.0), (20, -20.0), (30, -30.0)]


def test_the_thread_follows_and_ends(tmp_path: Path) -> None:
    found: list[RunLog] = []
    came = threading.Event()

    def emit(log: RunLog) -> None:
        assert threading.current_thread().name == "qscope-logs"
        found.append(log)
        came.set()

    watcher = Watcher(emit, lambda path, said: None, interval=0.01)
    watcher.start()
    path = tmp_path / "log.jsonl"
    path.write_text(line(1, 0.5))
    watcher.watch(path)
    watcher.watch(tmp_path / "never")
    assert came.wait(10)
    came.clear()
    append(path, line(2, 0.25))
    assert came.wait(10)
    assert points(found[-1], "loss")[-1] == (2, 0.25)
    assert watcher.close()
    came.clear()
    append(path, line(3, 0.0))
    watcher.watch(path)
    time.sleep(0.05)
    assert not came.is_set()
    assert watcher.close()


@pytest.mark.log_errors_expected
def test_errors_do_not_end_the_thread(tmp_path: Path) -> None:
    logs: list[RunLog] = []

    def emit(log: RunLog) -> None:
        if log.name == "bad":
            raise ZeroDivisionError("by a listener")
        logs.append(log)

    watcher = Watcher(emit, lambda path, said: None)
    for name in ("bad", "good"):
        (tmp_path / f"{name}.jsonl").write_text(line(1, 0.5))
        watcher.watch(tmp_path / f"{name}.jsonl")
    watcher.poll()
    append(tmp_path / "good.jsonl", line(2, 0.5))
    watcher.poll()
    assert [log.last_step for log in logs] == [1, 2]


@pytest.mark.log_errors_expected
def test_an_unexpected_error_is_said_once_and_got_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Run) -> bool:
        raise ZeroDivisionError("in the reader")

    told = Told()
    path = tmp_path / "log.jsonl"
    path.write_text(line(1, 0.5))
    told.watcher.watch(path)
    with monkeypatch.context() as patched:
        patched.setattr(Run, "refresh", fail)
        assert told.poll() == told.poll() == []
    ((where, said),) = told.failures
    assert where == path and "ZeroDivisionError: in the reader" in said
    assert [points(log, "loss") for log in told.poll()] == [[(1, 0.5)]]


def test_an_unreadable_log_is_said_and_kept(tmp_path: Path) -> None:
    """A folder in the file's place stands for any file that exists and cannot be opened."""
    path, told = tmp_path / "log.jsonl", Told()
    path.write_text(line(1, 0.5))
    told.watcher.watch(tmp_path)
    told.poll()
    path.unlink()
    path.mkdir()
    (log,) = told.poll()
    assert points(log, "loss") == [(1, 0.5)]
    assert "cannot be read" in log.problems[0]
    assert told.poll() == []


def test_a_folder_of_old_checkpoints_is_not_read_again(tmp_path: Path) -> None:
    told = Told()
    rows = [record(step, loss=1 / step) for step in range(1, 31)]
    for count in (10, 20, 30):
        write_state(tmp_path / f"checkpoint-{count}", rows[:count], at=1000 + count)
    told.watcher.watch(tmp_path)
    (log,) = told.poll()
    assert log.last_step == 30
    os.rename(tmp_path / "checkpoint-10", tmp_path / "gone")  # save_total_limit
    (log,) = told.poll()
    assert [checkpoint.step for checkpoint in log.checkpoints] == [20, 30]
    assert points(log, "loss")[0] == (1, 1.0) and log.problems == ()
    os.rename(tmp_path / "checkpoint-30", tmp_path / "lost")
    (log,) = told.poll()
    assert [checkpoint.step for checkpoint in log.checkpoints] == [20]
    assert log.last_step == 30 and "checkpoint-30" in log.problems[0]
