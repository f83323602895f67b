"""The monkey at the window, in short; and that it tells of a process that dies."""

import sys

import pytest

from tests.stress import window

pytest.importorskip("PySide6")


def test_three_hundred_events_leave_no_fault(tmp_path):
    report = window.stress(tmp_path, 3, lambda done: done < 300)
    assert report.faults == [] and report.done == 300
    assert report.figures["compose events"] > 20


def test_a_crash_is_a_fault_with_its_seed_and_steps(tmp_path, monkeypatch):
    """The parent goes on; the file of steps and what was printed last are in the sentence."""
    code = (
        "import os, signal, sys; from pathlib import Path; "
        "Path(sys.argv[1], 'steps.txt').write_text('0 key A\\n1 compose B'); "
        "print('a last word', file=sys.stderr, flush=True); "
        "print('{\"done\": 1}', flush=True); sys.stdin.readline(); "
        "os.kill(os.getpid(), signal.SIGSEGV)"
    )
    monkeypatch.setattr(window, "COMMAND", (sys.executable, "-c", code))
    report = window.stress(tmp_path, 5, lambda done: True)
    (fault,) = report.faults
    assert report.done == 1
    assert all(it in fault for it in ("seed 5", "signal 11", "compose B", "a last word"))
