"""The training view as the window's third page, on real logs in a folder of their own."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt

import main
from app.settings import pair_key
from core.engine.protocol import PairSpec
from tests.app.conftest import do, drop, settled

ROOT = Path(__file__).parents[2]
CTRL = Qt.KeyboardModifier.ControlModifier
BOTH = CTRL | Qt.KeyboardModifier.ShiftModifier


def write_state(folder, last, name="trainer_state.json"):
    """A TRL trainer state of so many steps, logged every ten."""
    folder.mkdir(parents=True, exist_ok=True)
    history = [
        {
            "step": step,
            "epoch": step / 100,
            "loss": 0.69 - step / 1000,
            "rewards/chosen": -step / 100,
            "rewards/rejected": -step / 30,
            "rewards/margins": step / 30 - step / 100,
            "rewards/accuracies": 0.5 + step / 1000,
        }
        for step in range(10, last + 1, 10)
    ]
    beside = folder / f"{name}.new"
    beside.write_text(json.dumps({"global_step": last, "log_history": history}))
    beside.replace(folder / name)
    return folder


@pytest.fixture
def run(tmp_path):
    return write_state(tmp_path / "a-run", 100)


def shown(qtbot, window, *names):
    qtbot.waitUntil(
        lambda: (
            window.runs.view is not None
            and sorted(r.name for r in window.runs.view.session.runs) == sorted(names)
        ),
        timeout=10_000,
    )
    return window.runs.view


def test_the_view_is_made_when_it_is_first_wanted(window, qtbot):
    assert window.runs.view is None
    qtbot.keyClick(window, Qt.Key.Key_3, CTRL)
    qtbot.waitUntil(lambda: window.runs.view is not None, timeout=10_000)
    assert (
        window.pages.currentWidget() is window.runs.view and window.pages.tabs.currentIndex() == 2
    )
    assert window.runs.view.empty.text.isVisible()
    assert not any(thread.name == "qscope-logs" for thread in threading.enumerate())
    qtbot.keyClick(window, Qt.Key.Key_1, CTRL)
    assert window.pages.currentWidget() is window.view
    qtbot.keyClick(window, Qt.Key.Key_3, CTRL)
    assert window.pages.currentWidget() is window.runs.view


def test_wanting_it_again_while_charts_are_imported_makes_one_view(window, monkeypatch):
    made = []

    def import_slowly(package, owner, then):
        made.append(package)
        if len(made) < 3:
            do(window, "show_credit")
            do(window, "show_training")
        then()

    monkeypatch.setattr("app.pages.import_then", import_slowly)
    do(window, "show_training")
    view = window.runs.view
    assert window.pages.count() == 2 and window.pages.currentWidget() is view


def test_a_folder_is_opened_by_its_key_and_a_file_by_the_menu(window, qtbot, run, monkeypatch):
    monkeypatch.setattr(window.ask, "folder", lambda title: str(run))
    qtbot.keyClick(window, Qt.Key.Key_R, BOTH)
    view = shown(qtbot, window, "a-run")
    assert view.charts.grid.charts["margin"].isVisible()
    other = write_state(run.parent / "other", 50) / "trainer_state.json"
    monkeypatch.setattr(window.ask, "file", lambda title, filters: str(other))
    do(window, "open_run_file")
    qtbot.waitUntil(lambda: len(view.session.runs) == 2, timeout=10_000)
    monkeypatch.setattr(window.ask, "folder", lambda title: "")
    do(window, "open_run")
    assert not view.is_reading()


def test_what_is_dropped_opens_as_runs_where_the_training_view_is_in_front(
    window, qtbot, run, monkeypatch
):
    pairs = []
    monkeypatch.setattr(
        window.pair, "ask_for_pair", lambda spec, recent, parent, folders: pairs.append(folders)
    )
    drop(window, [run])
    assert pairs == [[str(run)]] and window.runs.view is None
    do(window, "show_training")
    drop(window, [run, write_state(run.parent / "b-run", 40)])
    shown(qtbot, window, "a-run", "b-run")
    assert len(pairs) == 1


def test_a_run_that_is_written_is_followed(window, qtbot, run):
    window.runs.open_runs([run])
    view = shown(qtbot, window, "a-run")
    row = next(iter(view.runs.list.rows.values()))
    write_state(run, 160)
    qtbot.waitUntil(lambda: view.session.runs[0].log.last_step == 160, timeout=10_000)
    assert row.live.isVisible() and "step 160" in row.about.words


def test_what_is_no_log_is_said_in_the_window(window, qtbot, tmp_path):
    window.runs.open_runs([tmp_path / "nothing"])
    qtbot.waitUntil(lambda: window.notice.topic() == "training", timeout=10_000)
    assert str(tmp_path / "nothing") in window.notice.message.text()


def test_open_runs_are_there_again_and_no_thread_is_left(open_window, qtbot, run, tmp_path):
    gone = write_state(tmp_path / "gone", 30)
    first = open_window()
    qtbot.waitUntil(lambda: settled(first), timeout=10_000)
    first.runs.open_runs([run, gone])
    view = shown(qtbot, first, "a-run", "gone")
    view.charts.smoothing.setValue(20)
    first.close()
    assert not any(thread.name == "qscope-logs" for thread in threading.enumerate())
    (gone / "trainer_state.json").unlink()
    second = open_window()
    qtbot.waitUntil(lambda: settled(second), timeout=10_000)
    assert second.runs.view is None
    do(second, "show_training")
    view = shown(qtbot, second, "a-run")
    qtbot.waitUntil(lambda: second.notice.topic() == "training runs", timeout=10_000)
    assert str(gone) in second.notice.message.text() and view.charts.smoothing.value() == 20


def test_the_theme_goes_through(window, qtbot, run):
    window.runs.open_runs([run])
    view = shown(qtbot, window, "a-run")
    do(window, "theme dark")
    assert view.charts.grid.charts["margin"].dark
    do(window, "theme light")
    assert not view.charts.grid.charts["margin"].dark


def test_the_smallest_window_has_room_for_it(window, qtbot, run):
    window.runs.open_runs([run])
    view = shown(qtbot, window, "a-run")
    window.resize(720, 500)
    qtbot.waitUntil(lambda: window.width() == 720, timeout=2000)
    chart = view.charts.grid.charts["margin"]
    assert window.size().toTuple() == (720, 500)
    qtbot.waitUntil(
        lambda: chart.mapTo(view, QPoint(chart.width(), 0)).x() <= view.width(), timeout=2000
    )


def test_a_run_on_the_command_line_is_the_pair_where_it_has_checkpoints(monkeypatch, run):
    calls = []
    monkeypatch.setattr("app.system.require_qt", lambda: None)
    monkeypatch.setattr("app.start.open_window", lambda spec, **more: calls.append((spec, more)))
    main.open_window(["--run", str(run)])
    assert calls[-1][0] == PairSpec(demo=True) and calls[-1][1]["runs"] == [run]
    (run / "checkpoint-100").mkdir()
    main.open_window(["--run", str(run), "--run", "/b", "--beta", "0.2"])
    assert calls[-1][0] == PairSpec(run=str(run), beta=0.2)
    assert calls[-1][1]["runs"] == [run, Path("/b")]
    main.open_window(["--run", str(run), "--demo"])
    assert calls[-1][0] == PairSpec(demo=True)
    main.open_window(["--run", str(run), "--policy", "p", "--reference", "r"])
    assert calls[-1][0] == PairSpec(policy="p", reference="r")
    assert pair_key(PairSpec(run="/a")) != pair_key(PairSpec(run="/b"))


OPEN = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from app import start
from core.engine.protocol import PairSpec
application = start.make_application()
def look():
    from PySide6.QtWidgets import QApplication
    window = next(w for w in QApplication.topLevelWidgets() if hasattr(w, "runs"))
    view = window.runs.view
    if view is None or view.is_reading():
        QTimer.singleShot(100, look)
        return
    print(window.pages.tabs.currentIndex(), *(run.name for run in view.session.runs))
    application.closeAllWindows()
QTimer.singleShot(100, look)
spec = PairSpec(policy="/nowhere/p", reference="/nowhere/r")
sys.exit(start.open_window(spec, runs=[Path(sys.argv[1])]))
"""


def test_the_window_opens_on_the_training_view(run, tmp_path):
    environment = os.environ | {
        "QT_QPA_PLATFORM": "offscreen",
        **{name: str(tmp_path / name) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")},
    }
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(run)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["2", "a-run"]), done.stderr
    assert "Traceback" not in done.stderr
