"""Logs of what nobody would log: they are read under limits, or it is said why not."""

import contextlib
import json
import os
import socket
import struct
import threading
import time

import google_crc32c
import pytest

from core.errors import UserFacingError
from core.runs import tail
from core.runs.read import Run, read_run, read_runs
from core.runs.watch import Watcher

ROWS = '{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'


@pytest.fixture(autouse=True)
def _no_hangs():
    """Whatever a test here does, it ends: a reader that waits takes the whole process along."""
    guard = threading.Timer(60, os._exit, (1,))
    guard.start()
    yield
    guard.cancel()
    guard.join()


def masked(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data, length=None):
    head = struct.pack("<Q", len(data) if length is None else length)
    return head + masked(head) + data + masked(data)


def varint(number):
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def event(step, *tags):
    scalars = [field(1, tag.encode()) + b"\x15" + struct.pack("<f", 0.5) for tag in tags]
    return b"\x10" + varint(step) + field(5, b"".join(field(1, it) for it in scalars))


def events(folder, *frames):
    path = folder / "events.out.tfevents.1"
    path.write_bytes(b"".join(frames))
    return path


GOOD = [frame(event(step, "loss", "rewards/chosen")) for step in range(1, 50)]


# --- what is no file ------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipes_sockets_devices_folders_and_loops_are_passed_over(tmp_path):
    names = (
        "a.jsonl", "trainer_state.json", "qscope-run.json", "evaluation.json", "README.md",
        "events.out.tfevents.1", "training_args.bin", "recipe.yaml", "config.json",
    )  # fmt: skip
    for name in names:
        os.mkfifo(tmp_path / name)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "b.jsonl"))
    (tmp_path / "c.jsonl").symlink_to("/dev/zero")
    (tmp_path / "events.out.tfevents.2").symlink_to("/dev/zero")
    (tmp_path / "d.csv").symlink_to(tmp_path / "d.csv")
    (tmp_path / "logs").symlink_to(tmp_path / "logs")
    (tmp_path / "runs").symlink_to(tmp_path)
    (tmp_path / "checkpoint-5").mkdir()
    os.mkfifo(tmp_path / "checkpoint-5" / "trainer_state.json")
    (tmp_path / "e.jsonl").mkdir()
    with pytest.raises(UserFacingError, match="There is no training log"):
        read_runs(tmp_path)
    (tmp_path / "log.jsonl").write_text(ROWS)
    assert read_run(tmp_path).last_step == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
@pytest.mark.parametrize("name", ["log.jsonl", "trainer_state.json", "events.out.tfevents.1"])
def test_a_pipe_that_was_named_is_said_to_be_one(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserFacingError, match="it is a pipe or a device"):
        read_runs(tmp_path / name)


@pytest.mark.parametrize("path", ["a\0b", "~nobody-of-this-name/x", "a\ud800b"])
def test_what_can_be_no_path_is_not_there(path):
    from pathlib import Path

    with pytest.raises(UserFacingError):
        read_runs(Path(path))


# --- event files ----------------------------------------------------------------------------


def test_a_frame_of_any_size_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 4096)
    path = events(tmp_path, frame(b"x" * 10_000), *GOOD[:20], frame(b"x" * 30_000), *GOOD[20:])
    run = read_run(path)
    assert run.last_step == 49 and len(run.series["loss"].steps) == 49 and not run.problems
    once = Run(path)
    once.refresh()
    assert not once.refresh()  # and nothing is read again


@pytest.mark.parametrize("length", [2**60, 2**63, 2**64 - 1, 2**32])
def test_a_frame_that_claims_too_much_ends_what_can_be_read(tmp_path, length):
    path = events(tmp_path, *GOOD, frame(b"y" * 50, length), *GOOD)
    assert read_run(path).last_step == 49


def test_a_large_last_frame_is_checked_at_once(tmp_path):
    assert read_run(events(tmp_path, *GOOD, frame(b"x" * 7_000_000))).last_step == 49


def test_messages_that_no_logger_writes_are_passed_over(tmp_path):
    deep = b""
    for _ in range(3000):
        deep = field(1, deep)
    odd = [field(5, deep), b"\x08\x01" * 30_000, field(5, field(1, field(9, deep))), b"\xff" * 40]
    run = read_run(events(tmp_path, *GOOD, *map(frame, odd)))
    assert run.last_step == 49


def test_no_log_has_as_many_curves(tmp_path):
    tags = [f"t/{number}" for number in range(4000)]
    many = [frame(event(at, *(f"{tag}/{at}" for tag in tags))) for at in range(5)]
    run = read_run(events(tmp_path, *GOOD, *many))
    assert len(run.series) <= 10_000 and "the rest is left out" in run.problems[0]


# --- lines ----------------------------------------------------------------------------------


def test_a_log_is_read_in_pieces_as_it_is_at_once(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    rows = [{"step": at, "loss": 1 / (at + 1), "x": "y" * (at % 97)} for at in range(3000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = read_run(path)
    monkeypatch.setattr(tail, "CHUNK", 1000)
    parts = read_run(path)
    assert parts.series["loss"].values.tolist() == whole.series["loss"].values.tolist()
    assert len(parts.series["loss"].steps) == 3000 and not parts.problems


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_line_of_many_megabytes_is_no_row(tmp_path, end):
    path = tmp_path / "log.jsonl"
    long = '{"step": 3, "loss": "' + "x" * 20_000_000 + '"}'
    path.write_text(ROWS + long + end)
    run = read_run(path)
    assert run.last_step == 2 and "1 line of more than 4 MB" in run.problems[0]
    live = Run(path)
    live.refresh()
    with path.open("a") as file:
        file.write('\n{"step": 4, "loss": 0.1}\n')
    assert live.refresh() and live.logs()[0].last_step == 4


@pytest.mark.parametrize(
    "line",
    [
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"a":' * 500 + "1" + "}" * 500,
        "[" * 100_000,
        '{"step": ' + "9" * 1_000_000 + ', "loss": 1}',
        '{"step": 3, "loss": ' + "9" * 1_000_000 + "}",
        '{"step": 3, "' + "eval/" * 50_000 + '": 1}',
        '{"step": 3, "' + "train_" * 80 + '": 1, "' + "eval/" * 90 + '": 1}',
        '{"step": 3, ' + ", ".join(f'"c{n}": 1' for n in range(50_000)) + "}",
        "\0" * 3_000_000,
    ],
)
def test_no_row_breaks_the_others(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{ROWS}{line}\n{{"step": 5, "loss": 0.1}}\n')
    run = read_run(path)
    assert run.last_step == 5 and len(run.series) <= 10_000


@pytest.mark.parametrize(
    "line",
    [
        "step" + " " * 1_000_000, "step" * 300_000, "9" * 1_000_000, "{'" * 300_000,
        "{'a': " + "9" * 1_000_000 + "x}", "9" * 500_000 + "%| | 1/" + "8" * 500_000,
        "a=" * 400_000, "5%" * 400_000, "\r" * 1_000_000, "a" * 1_000_000, "'a' " * 300_000,
    ],
)  # fmt: skip
def test_no_printed_line_takes_long(tmp_path, line):
    path = tmp_path / "train.out"
    path.write_text(f"{{'loss': 0.5, 'step': 1}}\n{line}\n{{'loss': 0.25, 'step': 2}}\n")
    assert read_run(path).series["loss"].steps.tolist() == [1, 2]


def test_a_csv_of_very_many_columns_is_read_or_refused(tmp_path):
    path = tmp_path / "log.csv"
    for many in (12_000, 1_000_000):
        names = [f"c{number}" for number in range(many)]
        path.write_text(f"step,loss,{','.join(names)}\n" + f"1,2,{','.join(['3'] * many)}\n" * 2)
        try:
            assert len(read_run(path).series) <= 10_000
        except UserFacingError as error:
            assert "There is no training log" in str(error)


def test_very_many_files_are_looked_through(tmp_path):
    for number in range(400):
        (tmp_path / f"{number}.jsonl").write_text('{"prompt": "a"}\n')
        os.utime(tmp_path / f"{number}.jsonl", (1, 1))
    (tmp_path / "log.jsonl").write_text(ROWS)
    assert read_run(tmp_path).last_step == 2


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"log_history": ' + "[" * 100_000,
        '{"log_history": [{"step": ' + "9" * 100_000,
    ],
)
def test_no_state_or_record_breaks_the_log(tmp_path, text):
    for name in ("trainer_state.json", "qscope-run.json", "evaluation.json"):
        (tmp_path / name).write_text(text)
    (tmp_path / "log.jsonl").write_text(ROWS)
    assert read_run(tmp_path).last_step == 2


def test_numbers_beyond_all_measure_are_no_beta(tmp_path):
    (tmp_path / "log.jsonl").write_text(ROWS)
    (tmp_path / "qscope-run.json").write_text('{"beta": 1' + "0" * 400 + "}")
    steps = '{"steps": [{"step": 1' + "0" * 400 + ', "rewards/chosen": 1}], "beta": -1e999}'
    (tmp_path / "evaluation.json").write_text(steps)
    assert read_run(tmp_path).beta is None


# --- recipes --------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGES = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + "beta: *a11\nloss_type: *a11\n", MERGES, "beta: " + "[" * 200_000,
        "a: " + "{a: " * 100_000, "beta: 1" + ":59" * 100_000, "beta: &a [*a]", "beta: 2023-99-99",
        "beta: !!timestamp foo", "beta: !!int ''", "? [a]\n: b", "<<: &a {<<: *a}",
        "x: 0x" + "f" * 5000, "beta: !!python/object:os.system x", "beta: " + "9" * 900,
        "\n" * 500_000 + "beta", "," * 500_000, "beta" + "\n" * 300_000 + "beta" + " " * 300_000,
    ],
)  # fmt: skip
def test_no_recipe_breaks_the_log(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(ROWS)
    (tmp_path / "recipe.yaml").write_text(f"rl: dpo\n{text}\n")
    run = read_run(tmp_path)
    assert run.last_step == 2 and all(len(said) < 1000 for said in run.problems)


def test_a_recipe_may_repeat_itself_a_little(tmp_path):
    (tmp_path / "log.jsonl").write_text(ROWS)
    (tmp_path / "recipe.yaml").write_text("rl: dpo\na: &b 0.3\nbeta: *b\n")
    assert read_run(tmp_path).beta == 0.3


# --- cancelling -----------------------------------------------------------------------------


def test_a_new_path_is_read_before_the_rest_of_a_large_log(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 10_000)
    large, small = tmp_path / "large.jsonl", tmp_path / "small.jsonl"
    large.write_text("".join(f'{{"step": {at}, "loss": 0.5}}\n' for at in range(200_000)))
    small.write_text(ROWS)
    told = []
    watcher = Watcher(told.append, lambda path, why: told.append(why))
    watcher.watch(large)
    begun = []

    def look(run, there=Run.refresh):
        if not begun:  # the user opens another while this one is begun
            begun.append(run)
            watcher.watch(small)
        return there(run)

    monkeypatch.setattr(Run, "refresh", look)
    for _ in range(3):
        watcher.poll()
    assert [(run.path, run.last_step) for run in told] == [(small, 2), (large, 199_999)]


def test_a_watcher_that_reads_a_large_log_can_be_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 10_000)
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f'{{"step": {at}, "loss": 0.5}}\n' for at in range(500_000)))
    told = []
    watcher = Watcher(told.append, lambda path, why: told.append(why))
    watcher.start()
    watcher.watch(path)
    deadline = time.monotonic() + 30
    while not any(one.name == "qscope-logs" for one in threading.enumerate()):
        assert time.monotonic() < deadline
    assert watcher.close(30)
    assert not any(isinstance(said, str) for said in told)


def test_a_log_that_was_laid_aside_is_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 1000)
    from core.errors import Cancelled

    lines = "".join(f'{{"step": {at}, "loss": 0.5}}\n' for at in range(2000))
    (tmp_path / "log.jsonl").write_text(lines)
    events(tmp_path, *GOOD)
    asked = 0

    def now_and_then():
        nonlocal asked
        asked += 1
        return asked % 7 == 0

    run = Run(tmp_path, now_and_then)
    for _ in range(10_000):
        try:
            run.refresh()
            break
        except Cancelled:
            pass
    (log,) = run.logs()
    assert log.last_step == 1999 and len(log.series["loss"].steps) >= 1999


@pytest.mark.parametrize("when", range(6))
def test_a_state_that_was_laid_aside_is_read_again(tmp_path, when):
    """As of several runs that are opened at once: all but the last are laid aside."""
    from core.errors import Cancelled

    history = [{"step": at, "loss": 0.5, "epoch": at / 9} for at in range(1, 2000)]
    state = {"global_step": 1999, "log_history": history}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state, indent=2))
    asked = 0

    def once():
        nonlocal asked
        asked += 1
        return asked == when + 1

    run = Run(tmp_path, once)
    with contextlib.suppress(Cancelled):
        run.refresh()
    run.refresh()
    (log,) = run.logs()
    assert log.last_step == 1999
