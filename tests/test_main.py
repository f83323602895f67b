"""The command line: what it answers, with which exit status, and that no traceback is shown."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import main
from core.errors import Cancelled, UserFacingError

ROOT = Path(__file__).parent.parent


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "main.py", *argv],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_help_names_the_commands_and_the_options() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in (
        "score",
        "sweep",
        "train",
        "demo",
        "--policy",
        "--reference",
        "--beta",
        "--screenshot",
    ):
        assert word in done.stdout
    assert not done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["--beta", "0"],
        ["--beta", "nan"],
        ["--size", "big"],
        ["--size", "1x1"],
        ["--theme", "pink"],
        ["unknown"],
        ["--unknown"],
        ["--base", "a"],
        ["--reference", "a"],
        ["--demo", "--policy", "a", "--reference", "b"],
    ],
)
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(argv)
    assert caught.value.code == 2
    assert "usage: main.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "now", "said"),
    [
        (
            ["training", "stop", "runs/a"],
            ["train", "stop", "runs/a"],
            "main.py training is now main.py train: the old name works in this version only.\n",
        ),
        (
            ["train", "--recipe", "r.toml", "--out", "o"],
            ["train", "demo", "--recipe", "r.toml", "--out", "o"],
            "main.py train is now main.py train demo: the old name works in this version only.\n",
        ),
        (["train", "stop", "runs/a"], ["train", "stop", "runs/a"], ""),
        (["train", "--help"], ["train", "--help"], ""),
        (["train"], ["train"], ""),
        (["--run", "training"], ["--run", "training"], ""),
        ([], [], ""),
    ],
)
def test_the_names_of_the_version_before_still_work(
    argv: list[str], now: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.as_spelled_now(argv) == now
    assert capsys.readouterr().err == said


def test_an_old_name_does_what_the_new_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["train", "status", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "is not a run that Qscope started" in said
    assert main.main(["training", "status", str(tmp_path)]) == 1
    first, then = capsys.readouterr().err.splitlines()
    assert "main.py train" in first and then == said.rstrip()
    recipe = ["--recipe", str(tmp_path / "none.toml"), "--out", str(tmp_path / "out")]
    assert main.main(["train", "demo", *recipe]) == 1
    said = capsys.readouterr().err
    assert "none.toml cannot be read" in said
    assert main.main(["train", *recipe]) == 1
    first, then = capsys.readouterr().err.splitlines()
    assert "main.py train demo" in first and then == said.rstrip()


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserFacingError("Do this instead."), 1, "Do this instead.\n"),
        (Cancelled(), 130, ""),
        (KeyboardInterrupt(), 130, ""),
        (
            ModuleNotFoundError("No module named 'trl'", name="trl.trainer"),
            1,
            "The Python package trl is missing: run pip install -e '.[train]' in the folder of "
            "main.py.\n",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the notes."),
            1,
            "Memory ran out (CUDA out of memory. Tried to allocate 2.00 GiB): shorten the text, "
            "choose a smaller number format with --dtype, or another device with --device.\n",
        ),
        (
            ValueError("odd"),
            1,
            "Qscope has a fault (ValueError: odd); run again with QSCOPE_DEBUG=1 in the "
            "environment to see where.\n",
        ),
    ],
)
def test_failures_are_one_sentence(
    error: BaseException,
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(argv: list[str]) -> int:
        raise error

    monkeypatch.setattr(main, "open_window", fail)
    monkeypatch.delenv("QSCOPE_DEBUG", raising=False)
    assert main.main([]) == status
    assert capsys.readouterr().err == said


@pytest.mark.skipif(os.name != "posix", reason="pipes that break are POSIX's")
def test_a_reader_that_has_gone_is_no_failure_to_report() -> None:
    script = "import main; main.open_window = lambda argv: print('x' * 200_000) or 0; main.main([])"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE
        )
    finally:
        os.close(writer)
    assert done.stderr == b""


@pytest.mark.skipif(sys.platform != "linux", reason="the system's libraries are Linux's")
def test_without_a_display_one_sentence_says_so() -> None:
    done = run(QT_QPA_PLATFORM="", DISPLAY="", WAYLAND_DISPLAY="")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("There is no display")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the system's libraries are Linux's")
def test_a_missing_library_is_named_with_the_packages(tmp_path: Path) -> None:
    package = tmp_path / "PySide6"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "QtWidgets.py").write_text(
        "raise ImportError('libEGL.so.1: cannot open shared object file: No such file')\n"
    )
    done = run(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    for words in ("libEGL.so.1", "apt-get install libegl1", "dnf install libglvnd-egl"):
        assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_is_a_module_and_a_line(monkeypatch, capsys):
    """Made here: it stands in --help, has a --help of its own, and its status is main's."""
    toy = types.ModuleType("toy", "Count to a number.")
    toy.add_arguments = lambda parser: parser.add_argument("--to", type=int, default=3)
    toy.run = lambda arguments: print(*range(arguments.to)) or 0
    monkeypatch.setitem(sys.modules, "toy", toy)
    monkeypatch.setitem(main.COMMANDS, "count", ("toy", "count to a number"))
    assert "  count     count to a number\n" in main.window_parser().format_help()
    assert main.main(["count", "--to", "2"]) == main.DONE
    assert capsys.readouterr().out == "0 1\n"
    with pytest.raises(SystemExit):
        main.main(["count", "--help"])
    assert "Count to a number." in capsys.readouterr().out
