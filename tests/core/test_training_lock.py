"""One training in a folder: the lock, and how a process is known that a clock step has touched."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from core.errors import UserFacingError
from core.training import alive, process
from core.training.job import OUTPUT, STOP, read_about, update_about
from core.training.lock import LOCK, is_held, release, take
from core.training.process import resume, start, state_of, stop
from core.training.worker import main as work
from tests.training_runs import tiny_job, written

psutil = pytest.importorskip("psutil")
pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="on Windows a lock cannot be handed to a process"
)
SECONDS = 60
RESUMER = """
import sys
from pathlib import Path
from core.errors import UserFacingError
from core.training import process
process.command = lambda run: [sys.executable, "-c", "import time; time.sleep(60)"]
print("ready", flush=True)
sys.stdin.readline()
try:
    process.resume(Path(sys.argv[1]))
    print("resumed")
except UserFacingError as error:
    print(error)
"""


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    yield
    for child in list(process._children.values()):
        child.kill()
        child.wait()
    process._children.clear()


def until(true):
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def launched(folder, monkeypatch, code="import time; time.sleep(60)"):
    """A run whose process is a stand-in of its own for the launcher and the worker."""
    monkeypatch.setattr(process, "command", lambda run: [sys.executable, "-c", code])
    return start(tiny_job(folder))


def test_a_step_of_the_clock_ends_no_run(tmp_path, monkeypatch):
    run = launched(tmp_path, monkeypatch)
    linux = pytest.importorskip("psutil._pslinux")
    boot = linux.boot_time()
    for step in (5.0, -3600.0, 86_400.0 * 365):
        monkeypatch.setattr(linux, "boot_time", lambda step=step: boot + step)
        assert state_of(run).running
        (run / LOCK).unlink()  # nor do the records alone say otherwise
        assert state_of(run).running
        with pytest.raises(UserFacingError, match="is being trained already"):
            resume(run)


def test_the_lock_alone_keeps_a_second_training_out(tmp_path):
    run = written(tmp_path)
    update_about(run, {"pid": 1, "ended": "2026-01-01", "outcome": "stopped"})
    with take(run):
        assert is_held(run) and state_of(run).running
        with pytest.raises(UserFacingError, match="is being trained already"):
            resume(run)
        assert read_about(run)["state"]["pid"] == 1
    assert not is_held(run) and state_of(run).phase == "stopped"


def test_a_worker_that_finds_the_lock_held_touches_nothing(tmp_path, capsys):
    run = written(tmp_path)
    before = (run / "qscope-run.json").read_bytes()
    with take(run):
        assert work(["--job", str(run / "qscope-run.json")]) == 1
    assert "is being trained already" in capsys.readouterr().err
    assert (run / "qscope-run.json").read_bytes() == before


def test_the_lock_is_held_until_the_last_process_has_died(tmp_path, monkeypatch):
    worker = "import os, time; open('worker', 'w').write(str(os.getpid())); time.sleep(60)"
    launcher = (
        "import os, subprocess, sys; os.chdir(os.path.dirname(os.path.realpath('/dev/stdin')));"
        f"subprocess.run([sys.executable, '-c', {worker!r}])"
    )
    run = launched(tmp_path, monkeypatch, launcher)
    until(lambda: (run / "worker").is_file() and (run / "worker").read_text())
    os.kill(read_about(run)["state"]["pid"], signal.SIGKILL)
    (child,) = process._children.values()
    child.wait()
    assert state_of(run).running  # the worker lives
    with pytest.raises(UserFacingError, match="is being trained already"):
        resume(run)
    os.kill(int((run / "worker").read_text()), signal.SIGKILL)
    until(lambda: not state_of(run).running)
    died = state_of(run)
    assert died.phase == "failed" and died.resumable and "was killed" in died.message
    resume(run)
    assert state_of(run).running


def test_a_worker_gives_the_lock_up_for_all_who_were_handed_it(tmp_path):
    run = written(tmp_path)
    lock = take(run)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=lock)
    other.wait()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=lock)
    try:
        release(lock)
        assert not is_held(run)
    finally:
        child.kill()
        child.wait()


def test_of_two_who_resume_at_once_one_does(tmp_path):
    run = written(tmp_path)
    command = [sys.executable, "-c", RESUMER, str(run)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for one in both:
            assert one.stdout.readline() == "ready\n"
        for one in both:
            one.stdin.write("\n")
            one.stdin.flush()
        said = sorted(one.communicate(timeout=SECONDS)[0].strip() for one in both)
        assert said == [f"{run} is being trained already.", "resumed"]
        assert state_of(run).running
    finally:
        for one in both:
            one.kill()
        if pid := read_about(run)["state"].get("pid"):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not state_of(run).running)


def test_a_folder_that_cannot_be_locked_says_so(tmp_path, monkeypatch):
    import fcntl

    def refuses(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    run = written(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(UserFacingError, match=r"No locks available.*another disk"):
        resume(run)
    assert state_of(run).phase == "new"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/tmp/x", path)])
def test_what_stands_in_the_place_of_the_lock_is_no_lock(tmp_path, make):
    run = written(tmp_path)
    make(run / LOCK)
    with pytest.raises(UserFacingError, match="keeps a second training out"):
        resume(run)
    assert state_of(run).phase == "new"


def test_records_of_before_are_understood(tmp_path):
    run = written(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", "--job", str(run / "qscope-run.json")]
    )
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        born = psutil.Process(child.pid).create_time()
        update_about(run, {"pid": child.pid, "born": born})
        assert state_of(run).running
        update_about(run, {"pid": child.pid, "born": born - 5})  # the clock has stepped since
        assert state_of(run).running
        update_about(run, {"pid": other.pid, "born": born - 5})
        assert state_of(run).phase == "failed"
        update_about(run, {"pid": other.pid, "born": None})
        assert state_of(run).phase == "failed"
    finally:
        for one in (child, other):
            one.kill()
            one.wait()


def test_a_process_is_known_by_what_does_not_move(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        known = alive.identity(child.pid)
        if known["boot"] is None:
            pytest.skip("this system has no boot id")
        assert alive.is_alive(known, "?") and not alive.elsewhere(known)
        for wrong in ({"ticks": known["ticks"] - 1}, {"boot": "another"}, {"space": "pid:[1]"}):
            assert not alive.is_alive({**known, **wrong}, "?")
        far = {**known, "boot": "another", "host": "far"}
        assert alive.elsewhere(far) == "far"
        run = written(tmp_path)
        update_about(run, far)
        assert "was started on far" in state_of(run).message
    finally:
        child.kill()
        child.wait()
    assert not alive.is_alive(known, "?")


@pytest.mark.parametrize(
    "state",
    [
        {"pid": os.getpid()}, {"pid": "abc"}, {"pid": 1e400}, {"pid": -5}, {"pid": 2**70},
        {"pid": os.getpid(), "born": "x"}, {"pid": True}, {"pid": [1]}, "running", None, [],
        {"pid": os.getpid(), "boot": 3, "ticks": {}}, {"ended": "x", "outcome": [], "message": {}},
        {"ended": 1, "message": "\x1b[31mred\n\u202e" + "x" * 100_000}, {"pid": 1, "host": 5},
    ],
)  # fmt: skip
def test_no_record_signals_misleads_or_breaks(tmp_path, state):
    run = written(tmp_path)
    table = json.loads((run / "qscope-run.json").read_text())
    (run / "qscope-run.json").write_text(json.dumps({**table, "state": state}))
    found = state_of(run)
    assert not found.running
    assert len(found.sentence()) < 1000 and found.sentence().isprintable()
    with pytest.raises(UserFacingError, match="is not being trained"):
        stop(run)


@pytest.mark.parametrize(
    "said", ["[" * 100_000, '{"stage": 1, "step": 1e999, "of": 1}', '{"stage": "x", "step": -1, '
             '"of": 3}', '{"stage": "x", "step": 1, "of": 1' + "0" * 5000 + "}", "\xff", "[]"],
)  # fmt: skip
def test_no_progress_breaks(tmp_path, said):
    run = written(tmp_path)
    (run / "progress.json").write_text(said, "latin-1")
    assert state_of(run).sentence() == "Not started"
    assert state_of(run).of == 0


def test_stop_writes_through_no_link(tmp_path, monkeypatch):
    run = launched(tmp_path, monkeypatch)
    (run / STOP).symlink_to(tmp_path / "elsewhere")
    stop(run)
    assert not (tmp_path / "elsewhere").exists() and state_of(run).phase == "stopping"


@pytest.mark.parametrize(
    "name", ["output.txt", "log.jsonl", "progress.json", "stop", "checkpoint-1"]
)
def test_a_run_with_links_is_not_resumed(tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    run = written(tmp_path)
    (run / name).symlink_to(victim)
    with pytest.raises(UserFacingError, match="is a link"):
        resume(run)
    update_about(run, beta=0.2)
    assert victim.read_text() == "mine" and not is_held(run)


def test_no_link_beside_a_file_is_written_through(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    run = written(tmp_path)
    (run / "qscope-run.json.new").symlink_to(victim)
    update_about(run, beta=0.2)
    assert victim.read_text() == "mine" and read_about(run)["beta"] == 0.2


def test_the_output_of_a_run_may_be_no_pipe(tmp_path):
    run = written(tmp_path)
    os.mkfifo(run / OUTPUT)
    update_about(run, {"pid": 2**22 + 1, "boot": "x"})
    assert state_of(run).phase == "failed"
    with pytest.raises(UserFacingError, match="is no file"):
        resume(run)
