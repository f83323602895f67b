"""main.py opens the window and makes pictures, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.learned.report import as_json
from tests.core.made_learned import learned
from tests.made_scored import write_scored
from tests.tiny import save_pair

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"
CLOSE_SOON = """
import sys
from PySide6.QtCore import QTimer
from app import start
from core.engine.protocol import PairSpec
application = start.make_application()
QTimer.singleShot({delay}, application.closeAllWindows)
sys.exit(start.open_window(PairSpec(policy=sys.argv[1], reference=sys.argv[2])))
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return [str(path) for path in save_pair(tmp_path_factory.mktemp("pair"))]


def run(tmp_path, *command):
    environment = os.environ | {
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, timeout=120
    )


@pytest.mark.parametrize("view", ["credit", "token", "search", "training", "data"])
def test_a_picture_is_made(tmp_path, pair, view):
    target = tmp_path / "new" / "picture.png"
    options = ("--policy", pair[0], "--reference", pair[1], "--theme", "dark", "--size", "900x600")
    done = run(tmp_path, "main.py", *options, "--view", view, "--screenshot", str(target))
    assert (done.returncode, done.stderr.decode()) == (0, "")
    data = target.read_bytes()
    assert data.startswith(PNG)
    assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (900, 600)


def test_a_picture_of_a_saved_report_is_made_or_refused(tmp_path, pair):
    target, report = tmp_path / "picture.png", tmp_path / "report.json"
    report.write_bytes(as_json(learned()))
    options = ("--policy", pair[0], "--reference", pair[1], "--view", "learned")
    options = (*options, "--screenshot", target, "--learned")
    done = run(tmp_path, "main.py", *options, report)
    assert (done.returncode, done.stderr.decode()) == (0, "") and target.read_bytes()[:8] == PNG
    done = run(tmp_path, "main.py", *options, target)
    assert done.returncode == 1 and b"no report of what a pair has learned" in done.stderr


def test_no_picture_of_a_pair_that_is_not_there(tmp_path):
    options = ("--policy", "/nowhere/p", "--reference", "/nowhere/r")
    done = run(tmp_path, "main.py", *options, "--screenshot", str(tmp_path / "p.png"))
    assert done.returncode == 1
    error = done.stderr.decode()
    assert "/nowhere/p" in error and "Traceback" not in error
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize("delay", [0, 400, 2000])
def test_closing_at_any_moment_exits_cleanly(tmp_path, pair, delay):
    done = run(tmp_path, "-c", CLOSE_SOON.format(delay=delay), *pair)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_picture_of_scored_data_is_made_or_refused(tmp_path, pair):
    target, made = tmp_path / "picture.png", write_scored(tmp_path / "s.parquet", 30)
    options = (
        "--policy",
        pair[0],
        "--reference",
        pair[1],
        "--view",
        "data",
        "--screenshot",
        target,
    )
    done = run(tmp_path, "main.py", *options, "--scored", made)
    assert (done.returncode, done.stderr.decode()) == (0, "") and target.read_bytes()[:8] == PNG
    done = run(tmp_path, "main.py", *options, "--scored", target)
    assert done.returncode == 1 and b"cannot be read as a file of scored rows" in done.stderr
