"""What commands do where nothing can be written: one sentence, exit status 1, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full and a POSIX shell")
LOST = "The output cannot be written (No space left on device)"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n' * 3)
    return path


def shell(line, unbuffered=""):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered, "QT_QPA_PLATFORM": "offscreen"}
    return subprocess.run(
        ["bash", "-c", line.replace("main.py", f"{sys.executable} main.py")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["data {}", "data {} --json", "--help", "score --help"])
def test_a_full_disk_is_said_once(pairs, command, unbuffered):
    done = shell(f"main.py {command.format(pairs)} > /dev/full", unbuffered)
    assert done.returncode == 1
    assert done.stderr.startswith(LOST) and done.stderr.count("\n") == 1


def test_a_reader_that_goes_is_told_nothing(pairs):
    done = shell(f"main.py data {pairs} --json --all | head -c 3; exit ${{PIPESTATUS[0]}}")
    assert done.returncode in (0, 1) and done.stderr == ""


def test_a_closed_output_is_said_before_any_work(pairs):
    done = shell(f"main.py data {pairs} >&-")
    assert done.returncode == 1 and done.stderr.startswith("The output is closed")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_progress_that_nobody_sees_fails_no_command(pairs, where):
    assert shell(f"main.py data {pairs} --json {where}").returncode == 0
    failed = shell(f"main.py data /nowhere.jsonl {where}")
    assert failed.returncode == 1 and failed.stdout == failed.stderr == ""


@pytest.mark.parametrize(
    "command",
    [
        "data {} --write /proc/none/x.jsonl",
        "data {} --write /dev/full",
        "train start --data {} --out /proc/none/run",
        "train demo --recipe /proc/none/recipe.toml --out /proc/none/run",
        "--policy /nowhere/p --reference /nowhere/r --screenshot /proc/none/x.png",
    ],
)
def test_a_place_where_nothing_can_be_written_is_named(pairs, command):
    done = shell(f"main.py {command.format(pairs)}")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and "has a fault" not in done.stderr
    assert done.stderr.strip()
