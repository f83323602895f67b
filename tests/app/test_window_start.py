"""main.py opens the window and makes pictures, in processes of their own."""

import json
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
VIEWS = "token", "search", "training", "data"
PNG = b"\x89PNG\r\n\x1a\n"
ONE_BY_ONE = """
import json, sys
import main
print([main.main(command) for command in json.loads(sys.argv[1])])
"""
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
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, timeout=600
    )


def options(pair):
    return ["--policy", pair[0], "--reference", pair[1], "--theme", "dark", "--size", "900x600"]


def is_picture(path):
    data = path.read_bytes()
    size = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    return data.startswith(PNG) and size == (900, 600)


def test_a_picture_is_made(tmp_path, pair):
    target = tmp_path / "new" / "picture.png"
    done = run(tmp_path, "main.py", *options(pair), "--screenshot", str(target))
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert is_picture(target)


def test_a_picture_of_any_view_is_made_and_none_of_what_is_not_there(tmp_path, pair):
    """By one process, as it takes seconds to import the libraries."""
    scored, report = write_scored(tmp_path / "s.parquet", 30), tmp_path / "report.json"
    report.write_bytes(as_json(learned()))
    asked = {view: [*options(pair), "--view", view] for view in VIEWS}
    learning = [*options(pair), "--view", "learned", "--learned"]
    asked["scored"] = [*asked["data"], "--scored", str(scored)]
    asked["learned"] = [*learning, str(report)]
    refused = {
        "no data": [*asked["data"], "--scored", str(report)],
        "no report": [*learning, str(scored)],
        "no pair": options(("/nowhere/p", "/nowhere/r")),
    }
    commands = [
        [*words, "--screenshot", str(tmp_path / f"{name}.png")]
        for name, words in (asked | refused).items()
    ]
    done = run(tmp_path, "-c", ONE_BY_ONE, json.dumps(commands))
    statuses = [0] * len(asked) + [1] * len(refused)
    assert json.loads(done.stdout) == statuses, done.stderr.decode()
    of_data, of_report, of_pair = done.stderr.decode().splitlines()
    assert "cannot be read as a file of scored rows" in of_data
    assert "no report of what a pair has learned" in of_report and "/nowhere/p" in of_pair
    assert all(is_picture(tmp_path / f"{name}.png") for name in asked)
    assert not any((tmp_path / f"{name}.png").exists() for name in refused)


@pytest.mark.parametrize("delay", [0, 400, 2000])
def test_closing_at_any_moment_exits_cleanly(tmp_path, pair, delay):
    done = run(tmp_path, "-c", CLOSE_SOON.format(delay=delay), *pair)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr
