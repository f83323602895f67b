"""Real processes: a run is started, followed, stopped, gone on with, killed, and found again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from core.checkpoints.named import usual_base
from core.errors import UserFacingError
from core.training import process
from core.training.job import OUTPUT, STOP, read_about, update_about, write_job
from core.training.process import known_runs, resume, running_runs, start, state_of, stop
from tests.tiny import save_model
from tests.training_runs import tiny_job, written

psutil = pytest.importorskip("psutil")
SECONDS = 120
"""A start takes about ten; a loaded machine is allowed much more."""


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "cache"))
    yield
    for child in list(process._children.values()):
        if child.poll() is None:  # a test that failed must not leave its run behind
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    process._children.clear()


def until(run, wanted):
    """The state of a run, once it is one that is wanted."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        state = state_of(run)
        if wanted(state):
            return state
        time.sleep(0.05)
    pytest.fail(f"{state_of(run)}; {(run / OUTPUT).read_text('utf-8')[-2000:]}")


def sleeper(seconds=60):
    """A process that stands in for a run's."""
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])


def test_a_run_is_launched_killed_resumed_and_stopped(tmp_path):
    pytest.importorskip("trl")
    base = save_model(tmp_path / "cache" / usual_base().name)  # as if it had been fetched before
    run = start(tiny_job(tmp_path, base="", sft=False, steps=400, save_steps=5))
    assert state_of(run).phase == "starting"
    assert known_runs() == [run] and running_runs() == [run]
    with pytest.raises(UserFacingError, match="is being trained already"):
        resume(run)
    until(run, lambda state: state.phase == "training" and state.step >= 6)
    os.kill(read_about(run)["state"]["pid"], signal.SIGKILL)
    died = until(run, lambda state: not state.running)
    assert died.phase == "failed" and "was killed" in died.sentence() and died.resumable
    assert running_runs() == []

    resume(run)
    again = until(run, lambda state: state.phase == "training")
    assert read_about(run)["base"] == str(base)
    assert again.step >= 5  # from a checkpoint, not from the start
    stop(run)
    stopped = until(run, lambda state: not state.running)
    assert stopped.phase == "stopped" and again.step <= stopped.step < 400
    assert (run / f"checkpoint-{stopped.step}" / "trainer_state.json").is_file()
    assert not (run / STOP).exists() and running_runs() == []
    assert stopped.sentence() == f"Stopped: DPO, step {stopped.step} of 400"
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[0] == 5
    assert "Traceback" not in (run / OUTPUT).read_text("utf-8")


def test_a_run_that_is_done_is_not_resumed(tmp_path):
    run = written(tmp_path)
    update_about(run, {"pid": 1, "ended": "2026-01-01", "exit": 0, "outcome": "done"})
    with pytest.raises(UserFacingError, match="is done"):
        resume(run)


def test_what_the_process_prints_goes_to_a_file(tmp_path, monkeypatch):
    dying = [sys.executable, "-c", "import nothing_of_this_name"]
    monkeypatch.setattr(process, "command", lambda run: dying)
    run = start(tiny_job(tmp_path))
    failed = until(run, lambda state: not state.running)
    assert "(ModuleNotFoundError: No module named 'nothing_of_this_name')" in failed.message
    assert "Traceback" in (run / OUTPUT).read_text("utf-8")


def test_a_run_that_cannot_be_is_not_started(tmp_path):
    with pytest.raises(UserFacingError, match="Steps of DPO must be"):
        start(tiny_job(tmp_path, steps=0))
    assert not (tmp_path / "run").exists() and known_runs() == []


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserFacingError, match=r"pip install -e '.\[train\]'"):
        start(tiny_job(tmp_path))
    assert not (tmp_path / "run").exists()


def test_a_recycled_process_number_is_not_the_run(tmp_path):
    run = written(tmp_path)
    child = sleeper()
    try:
        born = psutil.Process(child.pid).create_time()
        update_about(run, {"pid": child.pid, "born": born})
        assert state_of(run).sentence() == "Starting: loading the model and the pairs"
        (run / "progress.json").write_text('{"stage": "Fetching (7%)", "step": 0, "of": 0}')
        assert state_of(run).sentence() == "Starting: Fetching (7%)"
        update_about(run, {"pid": child.pid, "born": born - 1000})
        state = state_of(run)
        assert state.phase == "failed" and "ended without a word" in state.message
    finally:
        child.kill()
        child.wait()


def test_the_last_words_of_a_process_that_died_are_told(tmp_path):
    run = written(tmp_path)
    child = sleeper(0)
    child.wait()
    update_about(run, {"pid": child.pid, "born": None})
    (run / OUTPUT).write_text("some noise\nImportError: libcuda.so.1: no such file\nmore noise\n")
    assert "(ImportError: libcuda.so.1: no such file)" in state_of(run).message


def test_only_what_runs_can_be_stopped_and_only_runs_have_a_state(tmp_path):
    run = written(tmp_path)
    assert state_of(run).phase == "new"
    with pytest.raises(UserFacingError, match="is not being trained"):
        stop(run)
    with pytest.raises(UserFacingError, match="is not a run that Qscope started"):
        state_of(tmp_path)


def test_the_list_of_runs_forgets_what_is_gone(tmp_path):
    for name in ("a", "b"):
        write_job(tiny_job(tmp_path, name))
        process.remember(tmp_path / name)
    assert known_runs() == [tmp_path / "b", tmp_path / "a"]
    process.remember(tmp_path / "a")
    (tmp_path / "b" / "qscope-run.json").unlink()
    assert known_runs() == [tmp_path / "a"]
    (process.data_folder() / "runs.json").write_text("{")
    assert known_runs() == []


def test_the_command_line_starts_looks_stops_and_resumes(tmp_path, capsys, monkeypatch):
    import main as qscope

    launched = []
    monkeypatch.setattr(process, "_launch", lambda run, lock: launched.append(run))
    job = tiny_job(tmp_path)
    words = ["train", "start", "--data", job.data, "--base", job.base, "--out", job.out]
    assert qscope.main([*words, "--no-sft", "--rank", "0", "--beta", "0.3", "--steps", "7"]) == 0
    assert launched == [tmp_path / "run"]
    assert "Training on 8 pairs (plain text)" in capsys.readouterr().out
    about = read_about(tmp_path / "run")
    assert (about["sft"], about["rank"], about["beta"], about["steps"]) == (False, 0, 0.3, 7)
    assert qscope.main([*words]) == 1
    assert "holds a run already" in capsys.readouterr().err
    assert qscope.main(["train", "status", job.out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phase"] == "new"
    assert qscope.main(["train", "resume", job.out]) == 0 and len(launched) == 2
    assert qscope.main(["train", "stop", job.out]) == 1
    assert "is not being trained" in capsys.readouterr().err
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert qscope.main([*words[:2], "--data", str(empty), "--out", str(tmp_path / "new")]) == 1
    assert "is empty" in capsys.readouterr().err and not (tmp_path / "new").exists()
