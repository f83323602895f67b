"""A few steps of each stress, and that the command finds what is wrong.

Each stress is in a process of its own, which a guard ends where a step hangs; nothing is timed.
"""

import json
import os
from pathlib import Path

import pytest
import torch

import core.models.pair
from tests.stress import __main__ as command
from tests.stress import alone, engine
from tests.stress.report import Report

GUARD = 60.0
"""Seconds without a step, or a sign of life, after which a stress is taken to hang."""


@pytest.fixture(autouse=True)
def _guard(monkeypatch):
    monkeypatch.setattr(alone, "HANG", GUARD)
    for name in alone.QUIET:  # what the command sets for its children is undone
        monkeypatch.setenv(name, os.environ.get(name, ""))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def up_to(steps):
    return lambda done: done < steps


def alone_for(name, seed, steps):
    return alone.run(name, seed, float("inf"), steps, lambda done: None)


def test_the_engine_answers_at_random_as_plain_forwards_do():
    report = alone_for("engine", 4, 150)
    assert report.faults == []
    assert report.done == 150 and report.figures["numbers"] > 10_000


def test_a_wrong_number_is_found(tmp_path, monkeypatch):
    right = core.models.pair.observations

    def wrong(*args):
        edge, state = right(*args)
        return edge + 1e-3, state

    monkeypatch.setattr(core.models.pair, "observations", wrong)
    report = engine.stress(tmp_path, 4, up_to(12))
    assert report.faults and "is off by 0.001" in report.faults[0]
    assert report.faults[0].startswith("step ")


def test_kills_leave_nothing_half():
    assert alone_for("kills", 5, 7).faults == []


def test_a_data_set_whose_scoring_is_killed_comes_out_the_same():
    report = alone_for("kills_dataset", 3, 10)
    assert report.faults == [] and report.figures["files compared"] == 1
    assert report.figures["killed at work"] > 5


def test_memory_stays_within_its_budgets():
    report = alone_for("soak", 1, 100)
    assert report.faults == [] and report.done >= 100


# --- the command ----------------------------------------------------------------------------------


def a_stress(monkeypatch, tmp_path, text):
    """Put a module beside the stresses, for the child process too."""
    package = tmp_path / "more"
    package.mkdir()
    (package / "made.py").write_text(text, "utf-8")
    (package / "sitecustomize.py").write_text(
        f"import sys, importlib.util as it\n"
        f"spec = it.spec_from_file_location('tests.stress.made', {str(package / 'made.py')!r})\n"
        f"sys.modules['tests.stress.made'] = module = it.module_from_spec(spec)\n"
        f"spec.loader.exec_module(module)\n",
        "utf-8",
    )
    before = os.environ.get("PYTHONPATH", "")
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), str(root), before]))
    monkeypatch.setattr(alone, "names", lambda: ["made"])


HEAD = "from tests.stress.report import Report\ndef stress(room, seed, more):\n"
LOOP = "    done = 0\n    while more(done): done += 1\n"


def test_a_fault_is_printed_with_how_to_do_it_again(tmp_path, monkeypatch, capsys):
    body = "    return Report(done, ['step 3: it broke'], {'keys': 7.0})\n"
    a_stress(monkeypatch, tmp_path, HEAD + LOOP + body)
    assert command.main(["--steps", "5", "--seed", "9", "--json"]) == 1
    said = capsys.readouterr()
    (report,) = json.loads(said.out)
    assert (report["done"], report["faults"], report["seed"]) == (5, ["step 3: it broke"], 9)
    assert "again: python -m tests.stress made --seed 9 --steps 3" in said.err


def test_what_kills_the_process_is_a_fault(tmp_path, monkeypatch, capsys):
    body = "    import os, signal\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    a_stress(monkeypatch, tmp_path, HEAD + LOOP + body)
    assert command.main(["--steps", "2", "--seed", "9"]) == 1
    assert "killed the process (SIGSEGV)" in capsys.readouterr().out


def test_what_hangs_is_ended_and_is_a_fault(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alone, "HANG", 1.0)
    monkeypatch.setattr(alone, "GRACE", 0.1)
    body = "    more(0)\n    import time\n    while True: time.sleep(1)\n"
    a_stress(monkeypatch, tmp_path, HEAD + body)
    assert command.main(["--steps", "2", "--seed", "9"]) == 1
    assert "hangs: it took more than 1 s" in capsys.readouterr().out


def test_figures_go_into_the_page_and_others_stay(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(
        "a\n<!-- stress -->\n| Stress | x |\n|---|---|\n| kills | old |\n<!-- /stress -->\nb\n"
    )
    command.write([command.Run("engine", 3, 1.0, Report(7, [], {"numbers": 8.0}))], page)
    lines = page.read_text().splitlines()
    assert lines[0] == "a" and lines[-1] == "b" and "| kills | old |" in lines
    assert any(line.startswith("| engine | 7 | 0 | numbers 8 |") for line in lines)
    page.write_text("nothing")
    with pytest.raises(SystemExit, match="has no <!-- stress -->"):
        command.write([], page)
