"""The training view by mouse and keys, on runs made by hand."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QGuiApplication, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication

from app import theme
from app.curves.view import TrainingView
from app.settings import Settings
from core.runs.records import EVAL, KL, Checkpoint, RunLog
from tests.app.fake_runs import FakeWatcher, held_out, made_log, series

A, B, BAD = Path("/runs/a"), Path("/runs/b"), Path("/runs/bad")
LEFT = Qt.MouseButton.LeftButton
MOVE_MS = 12
"""pyqtgraph takes a hundred moves of the mouse a second."""


@pytest.fixture
def there():
    """What lies on this test's disk."""
    return {A: (made_log(),), B: (made_log(B, "b", last=400, fall=0.8, beta=None),)}


@pytest.fixture
def make_view(qtbot, qapp, there, tmp_path):
    made = []
    watcher = type("ThisWatcher", (FakeWatcher,), {"there": there})

    def make(size=(1200, 760), settings=None, **more):
        theme.apply(qapp, False)
        saved = []
        view = TrainingView(
            lambda title, name, filters: saved[-1], watcher,
            demo_runs=more.pop("demo_runs", (tmp_path / "x",)),
        )  # fmt: skip
        view.saved = saved
        view.watcher = watcher
        view.said = []
        view.problem.connect(view.said.append)
        view.remark.connect(view.said.append)
        if settings is not None:
            view.recall(settings)
        view.resize(*size)
        qtbot.addWidget(view)
        view.show()
        qtbot.waitExposed(view)
        made.append(view)
        return view

    yield make
    for view in made:
        view.close_runs()


def opened(qtbot, view, *paths):
    view.open(paths)
    qtbot.waitUntil(lambda: not view.is_reading(), timeout=3000)
    return view


@pytest.fixture
def view(make_view, qtbot):
    return opened(qtbot, make_view(), A, B)


def grid_keys(view):
    return [chart.kind.key for chart in view.charts.grid.shown_charts() if chart.isVisible()]


def place_of(chart, step, share=0.5):
    """Where a step lies in a chart's viewport, ``share`` of the way down."""
    x = np.log10(step) if chart.log_x else step
    box = chart.view.sceneBoundingRect()
    scene = chart.view.mapViewToScene(QPointF(x, 0))
    return QPoint(round(scene.x()), round(box.top() + share * box.height()))


def move_to(qtbot, chart, step):
    port = chart.plot.viewport()
    qtbot.mouseMove(port, place_of(chart, step) + QPoint(3, 3))
    qtbot.mouseMove(port, place_of(chart, step))


def value(view, key, place, run=0, source=""):
    return view.readout.value_text(key, place, source, run)


def wheel(widget, at, turn):
    event = QWheelEvent(
        QPointF(at), QPointF(widget.mapToGlobal(at)), QPoint(), QPoint(0, turn),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)


# --- runs -----------------------------------------------------------------------------------------


def test_without_runs_it_says_what_can_be_opened(make_view):
    view = make_view()
    assert view.empty.text.isVisible() and "trainer_state.json" in view.empty.text.text()
    assert not view.empty.demo_button.isVisible() and not view.runs.start_button.isVisible()
    view.offer_start()
    assert view.runs.start_button.isVisible()


def test_the_buttons_ask_for_a_folder_a_file_and_a_start(make_view, qtbot):
    view = make_view()
    view.offer_start()
    for button, signal in (
        (view.empty.folder_button, view.folder_wanted),
        (view.empty.file_button, view.file_wanted),
        (view.runs.start_button, view.start_wanted),
    ):
        with qtbot.waitSignal(signal, timeout=1000):
            qtbot.mouseClick(button, LEFT)


def test_the_demos_runs_are_one_click_where_they_are_there(make_view, qtbot, there, tmp_path):
    paths = tmp_path / "with-sft", tmp_path / "without-sft"
    view = make_view(demo_runs=paths)
    assert not view.empty.demo_button.isVisible()
    for path in paths:
        path.mkdir()
        (path / "trainer_state.json").touch()
        there[path] = (made_log(path, path.name),)
    view = make_view(demo_runs=paths)
    qtbot.mouseClick(view.empty.demo_button, LEFT)
    qtbot.waitUntil(lambda: len(view.runs.list.rows) == 2, timeout=3000)
    assert [run.name for run in view.session.runs] == ["with-sft", "without-sft"]
    assert not view.runs.demo_button.isVisible()


def test_runs_lie_over_each_other_in_hues_of_their_own(view):
    assert [run.hue for run in view.session.runs] == [0, 1]
    lines = view.charts.grid.charts["rewards"].lines
    # B's beta is not known: its -beta KL is not drawn.
    assert [(line.run, line.curve.label) for line in lines] == [
        ("a", "chosen"), ("a", "rejected"), ("a", "−β KL(π_ref\u202f||\u202fπ)"),
        ("b", "chosen"), ("b", "rejected"),
    ]  # fmt: skip
    chosen, rejected = view.charts.grid.charts["rewards"].drawn[:2]
    pens = [drawn.main.opts["pen"] for drawn in (chosen, rejected)]
    assert pens[0].style() != pens[1].style()
    assert pens[0].color().hslHue() == pytest.approx(pens[1].color().hslHue(), abs=4)
    assert pens[1].color().lightness() > pens[0].color().lightness() + 25
    assert grid_keys(view) == ["rewards", "margin", "accuracy", "loss", "kl", "logps"]


def test_a_row_hides_and_removes_its_run(view, qtbot):
    a, b = (view.runs.list.rows[run.key] for run in view.session.runs)
    assert a.name.words == "a" and "step 200 · β 0.1 · TRL trainer state" in a.about.words
    qtbot.mouseClick(b.tick, LEFT, pos=QPoint(8, b.tick.height() // 2))
    assert {line.run for line in view.charts.grid.charts["loss"].lines} == {"a"}
    qtbot.keyClick(b.tick, Qt.Key.Key_Space)
    assert {line.run for line in view.charts.grid.charts["loss"].lines} == {"a", "b"}
    qtbot.mouseClick(a.close_button, LEFT)
    assert [run.name for run in view.session.runs] == ["b"] and view.watcher.last.forgotten == [A]
    b.tick.setFocus()
    qtbot.keyClick(b.tick, Qt.Key.Key_Delete)
    assert not view.session.runs and view.empty.text.isVisible()
    opened(qtbot, view, A)
    assert view.session.runs[0].hue == 0


def test_names_of_runs_are_shown_whole_or_end_in_dots(make_view, qtbot, there, fonts):
    """No word of one breaks; the whole is in the tool tip."""
    names = ["without-sft", "a_run-with_a-verylongwordthatnobodyhasroomfor"]
    paths = [Path(f"/runs/{name}") for name in names]
    for path in paths:
        there[path] = (made_log(path, path.name),)
    view = make_view()
    opened(qtbot, view, *paths)
    table = view.readout.table
    heads = [table.horizontalHeaderItem(column) for column in (1, 2)]
    assert [head.toolTip() for head in heads] == names
    assert heads[0].text().replace("\n", "") == names[0]
    assert all(line in ("without-sft", "without-", "sft") for line in heads[0].text().split("\n"))
    assert heads[1].text().startswith("a_run-") and heads[1].text().endswith("…")


def test_what_is_said_of_a_run_in_a_line_leaves_out_its_format_first(view):
    row = view.runs.list.rows[view.session.runs[0].key]
    row.about.resize(row.about.fontMetrics().horizontalAdvance("step 200 · β 0.1 · mm"), 20)
    assert row.about.text() == "step 200 · β 0.1" and "TRL trainer state" in row.about.toolTip()


def test_beta_is_asked_for_where_the_log_has_none(view, qtbot):
    a, b = (view.runs.list.rows[run.key] for run in view.session.runs)
    assert not a.beta.isVisible() and b.beta.isVisible() and b.beta.text() == "β = ?"
    b.beta.setFocus()
    b.beta.selectAll()
    qtbot.keyClicks(b.beta, "0.2")
    qtbot.keyClick(b.beta, Qt.Key.Key_Return)
    line = view.charts.grid.charts["rewards"].lines[-1]
    kl = view.session.runs[1].log.series[KL].values
    np.testing.assert_allclose(line.values, -0.2 * kl)
    assert line.run == "b" and line.curve.name == f"-beta*{KL}"


def test_a_run_that_grows_is_followed_and_marked_live(view, qtbot, there, monkeypatch):
    monkeypatch.setattr("app.curves.session.LIVE_SECONDS", 0.3)
    monkeypatch.setattr("app.curves.run_opener.LIVE_LOOK_MS", 20)
    row = view.runs.list.rows[view.session.runs[0].key]
    assert not row.live.isVisible()
    there[A] = (made_log(last=300),)
    view.watcher.last.tell(A)
    qtbot.waitUntil(row.live.isVisible, timeout=3000)
    assert view.charts.grid.charts["loss"].lines[0].curve.steps[-1] == 300
    assert "step 300" in row.about.words and len(view.session.runs) == 2
    qtbot.waitUntil(lambda: not row.live.isVisible(), timeout=3000)


def test_new_points_come_into_view_unless_the_user_has_zoomed(view, qtbot, there):
    chart = view.charts.grid.charts["rewards"]
    there[B] = (made_log(B, "b", last=900),)
    view.watcher.last.tell(B)
    qtbot.waitUntil(lambda: chart.view.viewRange()[0][1] > 900, timeout=3000)
    wheel(chart.plot.viewport(), place_of(chart, 300), 240)
    shown = chart.view.viewRange()
    there[B] = (made_log(B, "b", last=2000),)
    view.watcher.last.tell(B)
    qtbot.waitUntil(lambda: view.session.runs[1].log.last_step == 2000, timeout=3000)
    assert chart.view.viewRange() == shown
    qtbot.mouseClick(view.charts.fit_button, LEFT)
    assert chart.view.viewRange()[0][1] > 2000


def test_what_cannot_be_read_is_one_sentence_and_no_run(view, qtbot):
    view.open([BAD])
    qtbot.waitUntil(lambda: bool(view.said), timeout=3000)
    assert view.said == ["/runs/bad is not there: choose another."]
    assert len(view.session.runs) == 2 and BAD in view.watcher.last.forgotten


def test_a_run_that_has_just_begun_may_have_no_log_yet(make_view, qtbot, there):
    view = make_view()
    view.open([BAD], begun=True)
    qtbot.wait(50)
    assert view.said == [] and view.is_reading() and "bad" in view.runs.reading.text()
    there[BAD] = (made_log(BAD, "bad"),)
    view.watcher.last.tell(BAD)
    qtbot.waitUntil(lambda: not view.is_reading(), timeout=3000)
    assert [run.name for run in view.session.runs] == ["bad"] and not view.runs.reading.isVisible()
    there[BAD] = "It has gone: bring it back."
    view.watcher.last.tell(BAD)
    row = view.runs.list.rows[view.session.runs[0].key]
    qtbot.waitUntil(row.trouble.isVisible, timeout=3000)


def test_a_run_that_goes_away_stays_with_its_problem(view, qtbot, there):
    row = view.runs.list.rows[view.session.runs[0].key]
    there[A] = "The folder has gone: bring it back."
    view.watcher.last.tell(A)
    qtbot.waitUntil(row.trouble.isVisible, timeout=3000)
    assert "has gone" in row.trouble.toolTip() and len(view.session.runs) == 2
    assert view.charts.grid.charts["loss"].lines[0].run == "a"
    there[A] = (made_log(problems=("Line 3 is broken.", "So is line 9.")),)
    view.watcher.last.tell(A)
    qtbot.waitUntil(lambda: "Line 3" in row.trouble.words, timeout=3000)
    assert "(and 1 more)" in row.trouble.toolTip() or "line 9" in row.trouble.toolTip()
    there[A] = (replace(made_log(), remarks=("Good to know.",)),)
    view.watcher.last.tell(A)
    qtbot.waitUntil(lambda: "Good to know." in row.about.toolTip(), timeout=3000)
    assert not row.trouble.isVisible()


def remove_first(view):
    view.runs.list.rows[view.session.runs[0].key].close_button.click()


def test_a_path_of_several_runs_gives_a_row_for_each(make_view, qtbot, there):
    there[A] = made_log(A, "one"), made_log(A, "two")
    view = opened(qtbot, make_view(), A)
    qtbot.waitUntil(lambda: len(view.session.runs) == 2, timeout=3000)
    assert [run.name for run in view.session.runs] == ["one", "two"]
    remove_first(view)
    assert A not in view.watcher.last.forgotten
    remove_first(view)
    assert A in view.watcher.last.forgotten


def test_a_removed_run_does_not_come_back_with_its_next_reading(make_view, qtbot, there):
    there[A] = made_log(A, "one"), made_log(A, "two")
    view = opened(qtbot, make_view(), A)
    qtbot.waitUntil(lambda: len(view.session.runs) == 2, timeout=3000)
    remove_first(view)
    view.watcher.last.tell(A)
    qtbot.wait(50)
    assert [run.name for run in view.session.runs] == ["two"]
    remove_first(view)
    view.watcher.last.tell(A)
    qtbot.wait(50)
    assert view.session.runs == []


def test_a_removed_run_comes_back_when_its_file_is_opened_again(make_view, qtbot, there):
    there[A] = made_log(A, "one"), made_log(A, "two")
    view = opened(qtbot, make_view(), A)
    qtbot.waitUntil(lambda: len(view.session.runs) == 2, timeout=3000)
    remove_first(view)
    view.open((A,))
    qtbot.waitUntil(lambda: len(view.session.runs) == 2, timeout=3000)
    assert {run.name for run in view.session.runs} == {"one", "two"}


# --- charts ---------------------------------------------------------------------------------------


def test_a_chart_without_data_is_not_there_and_toggles_hide_others(make_view, qtbot, there):
    there[A] = (RunLog(A, "a", "CSV log", {"loss": series([1, 2, 3], [3, 2, 1])}),)
    view = opened(qtbot, make_view(), A)
    assert grid_keys(view) == ["loss"] and not view.charts.nothing.isVisible()
    view.charts.toggles["loss"].trigger()
    assert grid_keys(view) == [] and view.charts.nothing.isVisible()
    view.charts.toggles["loss"].trigger()
    opened(qtbot, view, B)
    assert grid_keys(view) == ["rewards", "margin", "accuracy", "loss", "kl", "logps"]
    view.charts.toggles["margin"].trigger()
    view.charts.toggles["rewards"].trigger()
    assert grid_keys(view) == ["accuracy", "loss", "kl", "logps"]
    assert not view.charts.grid.note.isVisible()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    view.charts.toggles["rewards"].trigger()
    view.charts.toggles["margin"].trigger()
    assert grid_keys(view)[:2] == ["rewards", "margin"] and view.charts.grid.note.isVisible()


def test_the_crosshair_is_one_and_the_readout_stays_where_it_is(view, qtbot):
    rewards, loss = view.charts.grid.charts["rewards"], view.charts.grid.charts["loss"]
    rows = view.readout.table.rowCount()
    sizes = [view.readout.table.columnWidth(c) for c in range(3)]
    log = view.session.runs[0].log
    for step in (100, 37, 190):
        move_to(qtbot, rewards, step)
        shown = rewards.crossed
        assert abs(shown - step) <= 1
        assert loss.crosshair.isVisible() and loss.crosshair.value() == pytest.approx(shown)
        assert view.readout.title.text() == f"At step {shown}"
        logged = max(s for s in log.series["loss"].steps.tolist() if s <= shown)
        expected = log.series["loss"].values[log.series["loss"].steps.tolist().index(logged)]
        assert float(value(view, "loss", 0)) == pytest.approx(expected, abs=1e-3)
        assert view.readout.table.rowCount() == rows
        assert [view.readout.table.columnWidth(c) for c in range(3)] == sizes
    qtbot.mouseMove(view.charts.fit_button)
    QApplication.sendEvent(rewards.plot.viewport(), QEvent(QEvent.Type.Leave))
    assert not loss.crosshair.isVisible() and view.readout.title.text() == "Last values"
    assert float(value(view, "loss", 0)) == pytest.approx(log.series["loss"].values[-1], abs=1e-3)
    move_to(qtbot, rewards, 300)  # a has ended at 200
    assert value(view, "loss", 0) == "" and value(view, "loss", 0, run=1) != ""


def test_steps_are_one_axis_for_all_charts(view, qtbot):
    rewards, margin = view.charts.grid.charts["rewards"], view.charts.grid.charts["margin"]
    assert rewards.width() > 1.5 * margin.width()
    before = rewards.view.viewRange()[0]
    wheel(margin.plot.viewport(), place_of(margin, 100), 360)
    after = rewards.view.viewRange()[0]
    assert after[1] - after[0] < before[1] - before[0] and after == margin.view.viewRange()[0]
    port = margin.plot.viewport()
    at = place_of(margin, np.mean(after), 0.3)
    qtbot.mousePress(port, LEFT, pos=at)
    for x in range(0, 60, 6):
        qtbot.mouseMove(port, at + QPoint(x, 0))
        qtbot.wait(MOVE_MS)
    qtbot.mouseRelease(port, LEFT, pos=at + QPoint(60, 0))
    moved = rewards.view.viewRange()[0]
    assert moved[0] < after[0] and moved == margin.view.viewRange()[0]
    rewards.setFocus()
    qtbot.keyClick(rewards, Qt.Key.Key_0)
    assert rewards.view.viewRange()[0] == before


def test_a_click_and_a_drag_along_the_axis_ask_for_steps(view, qtbot):
    chart = view.charts.grid.charts["rewards"]
    port = chart.plot.viewport()
    asked = []
    view.step_wanted.connect(asked.append)
    qtbot.mouseClick(port, LEFT, pos=place_of(chart, 120))
    assert len(asked) == 1 and abs(asked[0] - 120) <= 1
    asked.clear()
    range_before = chart.view.viewRange()
    axis = chart.item.getAxis("bottom")
    y = round(axis.sceneBoundingRect().center().y())
    start, end = QPoint(place_of(chart, 50).x(), y), QPoint(place_of(chart, 300).x(), y)
    qtbot.mousePress(port, LEFT, pos=start)
    for x in range(start.x(), end.x(), 24):
        qtbot.mouseMove(port, QPoint(x, y))
        qtbot.wait(MOVE_MS)
    qtbot.mouseRelease(port, LEFT, pos=end)
    assert len(asked) > 5 and asked == sorted(asked) and abs(asked[-1] - 300) <= 3
    assert chart.view.viewRange() == range_before


def test_the_step_that_is_shown_is_a_line_in_all_charts_that_can_be_dragged(view, qtbot):
    view.set_step(80)
    charts = view.charts.grid.shown_charts()
    assert all(c.step_line.isVisible() and c.step_line.value() == 80 for c in charts)
    assert view.readout.title.text() == "At step 80"
    asked = []
    view.step_wanted.connect(asked.append)
    chart = view.charts.grid.charts["rewards"]
    port = chart.plot.viewport()
    at = place_of(chart, 80)
    qtbot.mouseMove(port, at + QPoint(1, 0))
    qtbot.mousePress(port, LEFT, pos=at)
    for x in range(0, 90, 6):
        qtbot.mouseMove(port, at + QPoint(x, 0))
        qtbot.wait(MOVE_MS)
    qtbot.mouseRelease(port, LEFT, pos=at + QPoint(90, 0))
    assert asked and asked[-1] > 90
    view.set_step(None)
    assert not any(c.step_line.isVisible() for c in charts)


def test_keys_walk_zoom_and_ask(view, qtbot):
    chart = view.charts.grid.charts["margin"]
    chart.setFocus()
    qtbot.keyClick(chart, Qt.Key.Key_Home)
    assert view.readout.title.text() == "At step 10"
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    assert view.readout.title.text() == "At step 20"
    qtbot.keyClick(chart, Qt.Key.Key_End)
    qtbot.keyClick(chart, Qt.Key.Key_Left)
    assert view.readout.title.text() == "At step 390"
    with qtbot.waitSignal(view.step_wanted, timeout=1000) as caught:
        qtbot.keyClick(chart, Qt.Key.Key_Return)
    assert caught.args == [390]
    before = chart.view.viewRange()[0]
    qtbot.keyClick(chart, Qt.Key.Key_Plus)
    after = chart.view.viewRange()[0]
    assert after[1] - after[0] == pytest.approx((before[1] - before[0]) / 1.25)
    assert view.charts.grid.charts["loss"].view.viewRange()[0] == after


def test_smoothing_leaves_the_raw_points_visible(view, qtbot):
    drawn = view.charts.grid.charts["loss"].drawn[0]
    raw = view.session.runs[0].log.series["loss"].values
    assert drawn.raw.getData()[0] is None or not len(drawn.raw.getData()[0])
    view.charts.smoothing.setFocus()
    for _ in range(4):
        qtbot.keyClick(view.charts.smoothing, Qt.Key.Key_PageUp)
    weight = view.charts.weight()
    by_hand = (raw[1] + weight * raw[0]) / (1 + weight)

    def smoothed():
        return view.charts.grid.charts["loss"].drawn[0].main.getData()[1]

    qtbot.waitUntil(lambda: abs(smoothed()[1] - by_hand) < 1e-9, timeout=1000)
    drawn = view.charts.grid.charts["loss"].drawn[0]
    np.testing.assert_allclose(drawn.raw.getData()[1], raw)
    assert smoothed()[0] == raw[0]
    assert view.charts.smoothing_label.text() == f"{weight:.2f}"


def test_log_axes(view, qtbot):
    chart = view.charts.grid.charts["loss"]
    qtbot.mouseClick(view.charts.log_x, LEFT)
    assert chart.view.viewRange()[0][1] == pytest.approx(np.log10(400), abs=0.05)
    move_to(qtbot, chart, 100)
    assert abs(chart.crossed - 100) <= 2
    asked = []
    view.step_wanted.connect(asked.append)
    qtbot.mouseClick(chart.plot.viewport(), LEFT, pos=place_of(chart, 50))
    assert abs(asked[-1] - 50) <= 1
    qtbot.mouseClick(chart.log, LEFT)
    y = chart.drawn[0].main.getData()[1]
    np.testing.assert_allclose(10**y, view.session.runs[0].log.series["loss"].values)
    low, high = chart.view.viewRange()[1]
    assert -1 < low < np.log10(0.25) and np.log10(0.6) < high < 0
    assert not view.charts.grid.charts["margin"].log.isVisible()


def test_held_out_values_are_marks_and_the_best_step_is_named(make_view, qtbot, there):
    there[A] = (made_log(series=held_out() | {EVAL + "loss": series([50, 100], [0.6, 0.4])}),)
    view = opened(qtbot, make_view(), A)
    chart = view.charts.grid.charts["localisation"]
    assert [mark.label.format for mark in chart.best_lines] == ["best: 40"]
    assert chart.best_lines[0].value() == 40
    assert len(chart.drawn[0].marks.getData()[0]) == 13
    assert "held-out" in chart.key.text()
    loss = view.charts.grid.charts["loss"]
    assert [line.curve.source for line in loss.lines] == ["", EVAL]
    assert not len(loss.drawn[0].marks.getData()[0])
    assert len(loss.drawn[1].marks.getData()[0]) == 2 and "eval" in loss.key.text()
    assert "stop near step 40" in view.charts.grid.note.text.text()


def test_each_evaluation_set_has_a_mark_and_a_name(make_view, qtbot, there):
    sets = {
        f"eval/{of}/rewards/chosen": series([50, 100], values)
        for of, values in (("helpful", [0.1, 0.2]), ("a<b", [-0.1, -0.2]))
    }
    there[A] = (made_log(series=sets),)
    view = opened(qtbot, make_view(), A)
    chart = view.charts.grid.charts["rewards"]
    drawn = {line.line.curve.source: line for line in chart.drawn if line.line}
    shapes = {source: line.marks.opts["symbol"] for source, line in drawn.items() if source}
    assert set(shapes) == {"eval/helpful/", "eval/a<b/"} and len(set(shapes.values())) == 2
    assert "☆\u00a0eval “helpful”" in chart.key.text() and "“a&lt;b”" in chart.key.text()
    assert value(view, "rewards", 0, source="eval/helpful/") == "0.2000"
    assert value(view, "rewards", 0, source="eval/a<b/") == "−0.2000"


def test_a_curve_without_a_chart_gets_one_of_its_own(make_view, qtbot, there):
    there[A] = (made_log(series={EVAL + "nll_loss": series([50, 100], [2, 1])}),)
    view = opened(qtbot, make_view(), A)
    before = grid_keys(view)
    view.charts.others_menu.aboutToShow.emit()
    (action,) = view.charts.others_menu.actions()
    action.trigger()
    assert grid_keys(view) == [*before, "nll_loss"]
    assert value(view, "nll_loss", 0, source=EVAL) == "1.000"
    assert "eval/nll_loss" in view.charts.csv().splitlines()[0]
    settings = Settings()
    view.remember(settings)
    again = make_view()
    again.recall(settings)
    qtbot.waitUntil(lambda: grid_keys(again) == [*before, "nll_loss"])
    action.trigger()
    assert grid_keys(view) == before


def test_the_note_says_why_and_once_for_runs_of_a_kind(view, qtbot):
    text = view.charts.grid.note.text.text()
    assert "Chosen falls" in text and "Chosen stays above 0" in text
    assert text.count("Usual after SFT") == 1 and text.count("Usual without SFT") == 1
    assert "a: Chosen falls" in view.charts.grid.note.accessibleName()
    qtbot.mouseClick(view.runs.list.rows[view.session.runs[1].key].tick, LEFT, pos=QPoint(8, 8))
    assert "above 0" not in view.charts.grid.note.text.text()


def test_100_000_steps_are_drawn_with_few_points(make_view, qtbot, there):
    there[A] = (made_log(last=100_000, every=1),)
    view = opened(qtbot, make_view(), A)
    chart = view.charts.grid.charts["rewards"]
    width = chart.view.width()
    for drawn in chart.drawn[:3]:
        assert len(drawn.main.getData()[0]) < 2.1 * width
    log = view.session.runs[0].log.series["rewards/chosen"].values
    shown = chart.drawn[0].main.getData()[1]
    assert shown.max() == log.max() and shown.min() == log.min()
    # Where lines are too dense for dashes, marks tell chosen from rejected.
    marks = [drawn.marks for drawn in chart.drawn[:2]]
    assert all(5 < len(m.getData()[0]) < 40 for m in marks)
    assert marks[0].opts["symbol"] != marks[1].opts["symbol"]


# --- taking away, memory, looks -------------------------------------------------------------------


def trigger(view, text):
    actions = view.charts.export_button.menu().actions()
    next(a for a in actions if a.text().replace("&", "") == text).trigger()


def test_numbers_and_pictures_can_be_taken_away(view, tmp_path):
    view.charts.toggles["kl"].trigger()
    view.saved.append(str(tmp_path / "n.csv"))
    trigger(view, "Save the numbers as CSV…")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "n.csv").read_text())))
    assert len(rows) == 20 + 40 and KL not in rows[0] and f"'-beta*{KL}" in rows[0]
    assert float(rows[3]["loss"]) == view.session.runs[0].log.series["loss"].values[3]
    view.saved.append(str(tmp_path / "p.png"))
    trigger(view, "Save the charts as PNG…")
    picture = QImage(str(tmp_path / "p.png"))
    assert picture.width() == 2 * view.charts.grid.rows.width()
    assert picture.height() == 2 * view.charts.grid.rows.height()
    trigger(view, "Copy the picture")
    assert not QGuiApplication.clipboard().image().isNull()
    trigger(view, "Copy the numbers at this step")
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == "Last values\ta\tb" and lines[1].startswith("Implicit rewards: chosen")
    view.saved.append("/nowhere/p.png")
    trigger(view, "Save the charts as PNG…")
    view.saved.append("/nowhere/n.csv")
    trigger(view, "Save the numbers as CSV…")
    assert len(view.said) == 2 and all("/nowhere" in sentence for sentence in view.said)
    view.saved.append("")
    trigger(view, "Save the numbers as CSV…")
    assert len(view.said) == 2


def test_what_was_chosen_and_open_is_remembered(make_view, qtbot, there):
    settings = Settings()
    view = opened(qtbot, make_view(settings=settings), A, B)
    view.charts.smoothing.setValue(30)
    view.charts.toggles["margin"].trigger()
    a, b = (view.runs.list.rows[run.key] for run in view.session.runs)
    a.tick.click()
    b.beta.setValue(0.3)
    view.charts.log_x.click()
    view.charts.grid.charts["kl"].log.click()
    view.remember(settings)
    view.close_runs()
    again = make_view(settings=settings)
    qtbot.waitUntil(lambda: len(again.session.runs) == 2, timeout=3000)
    assert again.charts.smoothing.value() == 30 and again.charts.log_x.isChecked()
    assert [run.visible for run in again.session.runs] == [False, True]
    assert again.session.runs[1].known_beta() == 0.3
    assert "margin" not in grid_keys(again) and again.charts.grid.charts["kl"].log.isChecked()
    again.runs.open_menu.aboutToShow.emit()
    assert [a.data() for a in again.runs.open_menu.actions()][-2:] == [str(B), str(A)]


def test_runs_that_have_gone_are_said_in_one_notice(make_view, qtbot, there):
    settings = Settings()
    view = opened(qtbot, make_view(), A, B)
    view.remember(settings)
    del there[A], there[B]
    again = make_view(settings=settings)
    qtbot.waitUntil(lambda: len(again.said) == 2, timeout=3000)
    assert again.said[-1] == ("2 runs of last time cannot be opened any more: /runs/a, /runs/b.")
    assert again.empty.text.isVisible()
    again.remember(settings)
    assert settings.get("training runs", "") == "[]"
    assert make_view(settings=settings).session.runs == []


@pytest.mark.parametrize("word", ["", "{", "[1]", '[{"source": 1}]', "null"])
def test_settings_that_say_nothing_open_nothing(make_view, word):
    settings = Settings()
    for key in ("runs", "recent", "smoothing", "hidden", "log y"):
        settings.put(f"training {key}", word)
    assert make_view(settings=settings).session.runs == []


def test_light_and_dark_keep_the_hue_and_the_range(view):
    chart = view.charts.grid.charts["rewards"]
    before = chart.view.viewRange()
    light = chart.drawn[0].main.opts["pen"].color()
    view.set_dark(True)
    dark = chart.drawn[0].main.opts["pen"].color()
    assert dark != light and dark.lightness() > light.lightness()
    assert abs(dark.hslHue() - light.hslHue()) < 15
    assert chart.view.viewRange() == before
    view.set_dark(False)


def test_charts_stand_side_by_side_where_there_is_room(make_view, qtbot):
    view = opened(qtbot, make_view((1440, 900)), A)
    margin, accuracy = view.charts.grid.charts["margin"], view.charts.grid.charts["accuracy"]

    def same_row():
        return margin.mapTo(view, QPoint()).y() == accuracy.mapTo(view, QPoint()).y()

    assert same_row()
    view.resize(720, 440)
    qtbot.waitUntil(lambda: not same_row(), timeout=2000)
    assert view.size().width() == 720
    qtbot.waitUntil(lambda: margin.width() <= view.charts.grid.viewport().width(), timeout=2000)


def test_everything_has_a_name_and_can_be_reached(view):
    from PySide6.QtWidgets import QAbstractButton, QAbstractSlider, QAbstractSpinBox, QScrollBar

    for kind in (QAbstractButton, QAbstractSpinBox, QAbstractSlider):
        for widget in view.findChildren(kind):
            if not widget.isVisible() or isinstance(widget, QScrollBar):
                continue
            name = widget.accessibleName() or getattr(widget, "text", str)()
            assert name.strip(), widget
            assert widget.toolTip() or widget.text(), widget
    for chart in view.charts.grid.shown_charts():
        assert chart.focusPolicy() == Qt.FocusPolicy.StrongFocus and chart.accessibleName()
        assert not chart.plot.acceptDrops()


def test_nothing_arrives_once_it_is_closed(view, qtbot, there):
    view.close_runs()
    watcher = view.watcher.last
    assert watcher.closed
    there[A] = (made_log(last=900),)
    watcher.tell(A)
    qtbot.wait(50)
    assert view.session.runs[0].log.last_step == 200
    view.close_runs()


def test_no_part_of_a_chart_is_a_window_of_its_own(view):
    charts = view.charts.grid.shown_charts()
    assert any(chart.kind.log for chart in charts)
    for chart in charts:
        assert not chart.log.isWindow() and chart.log.window() is view.window()


def test_log_steps_are_plain_numbers_that_leave_room(view):
    axis = view.charts.grid.charts["rewards"].plot.getPlotItem().getAxis("bottom")
    steps = [1, 2, 3, 5, 9, 10, 20, 40, 50, 1000, 20000]
    said = axis.logTickStrings([float(np.log10(step)) for step in steps], 1.0, 1.0)
    assert said == ["1", "2", "", "5", "", "10", "20", "", "50", "1,000", "20,000"]


def test_the_readout_says_when_its_numbers_are_smoothed(view, qtbot):
    assert "smoothed" not in view.readout.title.text()
    view.charts.smoothing.setValue(view.charts.smoothing.maximum() // 2)
    qtbot.waitUntil(lambda: view.readout.title.text().endswith(", smoothed"), timeout=3000)
    view.charts.smoothing.setValue(0)
    qtbot.waitUntil(lambda: "smoothed" not in view.readout.title.text(), timeout=3000)


def test_a_long_note_stands_below_its_chart_in_a_small_window(make_view, there, qtbot):
    for n in range(6):
        there[Path(f"/runs/{n}")] = (made_log(Path(f"/runs/{n}"), f"a run of some name, {n}"),)
    view = make_view((700, 480))
    view.open([Path(f"/runs/{n}") for n in range(6)])
    qtbot.waitUntil(lambda: len(view.session.runs) == 6 and not view.is_reading(), timeout=5000)
    note, chart = view.charts.grid.note, view.charts.grid.charts["rewards"]
    qtbot.waitUntil(lambda: note.height() >= note.heightForWidth(note.width()), timeout=5000)
    assert chart.geometry().bottom() < note.geometry().top()


@pytest.mark.parametrize("size", [(1000, 330), (1000, 420), (1200, 760)])
def test_the_note_and_its_chart_are_seen_whole_in_a_low_window_too(make_view, qtbot, size):
    view = opened(qtbot, make_view(size), A, B)
    grid = view.charts.grid
    note, chart, frame = grid.note, grid.charts["rewards"], grid.viewport()
    for part in (chart, note):
        qtbot.waitUntil(
            lambda part=part: frame.rect().contains(
                QRect(part.mapTo(frame, QPoint(0, 0)), part.size())
            ),
            timeout=5000,
        )
    assert note.height() >= note.heightForWidth(note.width())
    said = note.text.text() + note.text.toolTip().replace("\n", " ")
    assert "Chosen falls" in note.text.text() and said.count("Usual after SFT") == 1


def test_beside_many_runs_the_names_of_curves_stay(make_view, there, qtbot):
    for n in range(6):
        there[Path(f"/runs/{n}")] = (made_log(Path(f"/runs/{n}"), str(n)),)
    view = make_view()
    view.open([Path(f"/runs/{n}") for n in range(6)])
    qtbot.waitUntil(lambda: len(view.session.runs) == 6 and not view.is_reading(), timeout=5000)
    table = view.readout.table
    qtbot.waitUntil(lambda: table.columnCount() == 7, timeout=5000)
    assert table.columnWidth(0) >= view.fontMetrics().horizontalAdvance("  ☆ rejected")
    view.resize(3000, 760)
    view._columns.setSizes([1500, 1500])
    qtbot.waitUntil(lambda: table.columnWidth(0) > 500, timeout=5000)


def test_a_run_that_has_ended_is_not_called_live(view, qtbot, there):
    row = view.runs.list.rows[view.session.runs[0].key]
    there[A] = (made_log(last=300),)
    view.watcher.last.tell(A)
    qtbot.waitUntil(row.live.isVisible, timeout=3000)
    view.mark_ended(A)
    assert not row.live.isVisible()
    there[A] = (made_log(last=310),)  # its last words
    view.watcher.last.tell(A)
    qtbot.waitUntil(lambda: "step 310" in row.about.words, timeout=3000)
    assert not row.live.isVisible()


def test_each_run_with_checkpoints_can_be_loaded(view, qtbot, there):
    wanted = []
    view.load_wanted.connect(wanted.append)
    for path, name in ((A, "a"), (B, "b")):
        saved = tuple(Checkpoint(step, f"{path}/checkpoint-{step}") for step in (10, 20))
        there[path] = (made_log(path, name, last=300, checkpoints=saved),)
        view.watcher.last.tell(path)
    rows = view.runs.list.rows
    qtbot.waitUntil(lambda: all(row.load.isVisible() for row in rows.values()), timeout=3000)
    for row in rows.values():
        qtbot.mouseClick(row.load, Qt.MouseButton.LeftButton)
    assert wanted == [Path(A), Path(B)]


@pytest.mark.parametrize("runs", [1, 2, 3, 5])
def test_names_of_runs_are_whole_over_their_values(view, qtbot, there, runs):
    names = [f"dpo-after-sft-with-beta-0.{i}" for i in range(runs)]
    paths = [A.parent / name for name in names]
    for path, name in zip(paths, names, strict=True):
        there[path] = (made_log(path, name, last=300),)
    for run in list(view.session.runs):
        view.runs.list.rows[run.key].close_button.click()
    view.open(paths)
    qtbot.waitUntil(lambda: view.readout.table.columnCount() == 1 + runs, timeout=3000)
    table = view.readout.table
    header = table.horizontalHeader()
    for place, name in enumerate(names, 1):
        lines = table.horizontalHeaderItem(place).text().split("\n")
        assert "".join(lines) == name
        room = header.sectionSize(place) - 20  # the swatch
        assert all(header.fontMetrics().horizontalAdvance(line) <= room for line in lines)
        assert header.height() >= len(lines) * header.fontMetrics().height()
