"""A program started anew opens the same pair, by the command line's own reading of its options."""

import sys

import pytest
from PySide6.QtCore import QProcess

import main
from app.restart import restart, restart_options
from core.commands import options
from core.engine.protocol import PairSpec


@pytest.mark.parametrize(
    "spec",
    [
        PairSpec(demo=True),
        PairSpec(policy="a b", reference="r", base="c", beta=0.05, device="cuda:1"),
        PairSpec(run="runs/one", dtype="float16", allow_pickle=True, loss="simpo"),
        PairSpec(policy="p", search_base="big", allow_remote_code=True, plain=True, trainer="cpo"),
    ],
)
def test_the_options_name_the_same_pair(spec):
    parser = main.window_parser()
    arguments = parser.parse_args(restart_options(spec))
    assert arguments.restore
    arguments.run = arguments.run[0] if arguments.run else None
    assert options.pair_spec(parser, arguments) == spec


def test_it_is_started_as_it_was(monkeypatch):
    calls = []

    def start(*call):
        calls.append(call)
        return True, 17

    monkeypatch.setattr(QProcess, "startDetached", start)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "main.py", "--demo", "--beta=1"])
    monkeypatch.setattr(sys, "argv", ["main.py", "--demo", "--beta=1"])
    assert restart(PairSpec(policy="p", device="cpu"))
    program, arguments, _ = calls[0]
    assert program == sys.executable
    assert arguments[:4] == ["-X", "dev", "main.py", "--restore"] and "--demo" not in arguments
    assert arguments[4:6] == ["--policy", "p"]
