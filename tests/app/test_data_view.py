"""The data view on the real window, with real mouse and keys: sort, filter, brush, open, export."""

import json
import time

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from core.dataset.scored import batches, table_of
from core.dataset.table import open_scored
from core.errors import Cancelled
from core.preferences import Preference
from core.text import Message
from tests.app.conftest import do, drop, settled
from tests.core.test_scored import scored
from tests.made_scored import about, write_scored, write_table

ROWS = 400


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_scored(tmp_path_factory.mktemp("made") / "scored.parquet", ROWS, at_once=128)


@pytest.fixture(scope="module")
def rows(made):
    found = [row for batch in batches(made) for row in batch.to_pylist()]
    for row in found:
        row["margin"] = 0.1 * (row["log_ratio_chosen"] - row["log_ratio_rejected"])
    return found


@pytest.fixture
def view(window, made, qtbot):
    window.data.open(made)
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    return window.data.view


def is_quiet(window):
    """Something is shown and nothing asked any more."""
    view = window.data.view
    return view is not None and view.answer is not None and view.explorer.rests()


def rest(qtbot, view):
    qtbot.waitUntil(lambda: not view.filter.waits() and view.explorer.rests(), timeout=10_000)


def shown(view):
    return view.model.rows.tolist()


def section(view, name):
    return [it.name for it in view.model.columns].index(name)


def click_header(qtbot, view, name):
    header = view.rows.horizontalHeader()
    view.rows.scrollTo(view.model.index(0, section(view, name)))
    at = header.sectionViewportPosition(section(view, name)) + 12
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(at, 8))
    rest(qtbot, view)


def write_filter(qtbot, view, text):
    view.filter.box.setFocus()
    view.filter.box.selectAll()
    qtbot.keyClicks(view.filter.box, text)
    view.filter.box.completer_popup().hide()
    qtbot.keyClick(view.filter.box, Qt.Key.Key_Return)
    rest(qtbot, view)


def drag(qtbot, chart, begin, end):
    """Drag over a chart from a place to another, both in its axes."""
    there = chart.plot.viewport()
    one, other = (
        chart.plot.mapFromScene(chart.box.mapViewToScene(QPointF(*it))) for it in (begin, end)
    )
    QTest.mousePress(there, Qt.MouseButton.LeftButton, pos=one)
    for step in range(1, 6):
        QTest.mouseMove(there, one + (other - one) * step / 5)
        QApplication.processEvents()
    QTest.mouseRelease(there, Qt.MouseButton.LeftButton, pos=other)


# --- opening ---


def test_an_empty_view_says_how_data_are_scored(window, qtbot):
    do(window, "show_data")
    qtbot.waitUntil(lambda: window.data.view is not None, timeout=10_000)
    text = window.data.view.empty.text.text()
    assert "Score a data set" in text and "main.py score --data FILE --out scored.parquet" in text
    assert not window.menus.actions["next_wrong"].isEnabled()
    assert not window.menus.actions["export_rows"].isEnabled()
    asked = []
    window.data.score_wanted.disconnect()
    window.data.score_wanted.connect(lambda: asked.append("score"))
    window.data.view.open_wanted.disconnect()
    window.data.view.open_wanted.connect(lambda: asked.append("open"))
    for button in (window.data.view.empty.open_button, window.data.view.empty.score_button):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert asked == ["open", "score"]


def test_a_scored_file_is_opened_by_the_menu_and_is_recent(window, made, qtbot):
    window.ask.file = lambda title, filters: str(made)
    do(window, "open_scored")
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    view = window.data.view
    assert window.pages.front() == "show_data" and shown(view) == list(range(ROWS))
    assert view.summary.count.text() == f"{ROWS} pairs"
    (entry,) = window.data.recent_listing().entries()
    assert entry.title == made.name and entry.tip == str(made)
    view.answer = None
    entry.run()
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    assert window.menus.actions["next_wrong"].isEnabled()


def test_a_scored_file_is_dropped_anywhere(window, made, qtbot):
    drop(window.view.panels["A"].editor.viewport(), [made])
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    assert window.pages.front() == "show_data"


def test_what_is_no_scored_file_is_said_in_one_sentence(window, made, qtbot, tmp_path, view):
    bad = tmp_path / "bad.parquet"

    def refused(words):
        drop(window, [bad])
        qtbot.waitUntil(lambda: words in window.notice.message.text(), timeout=10_000)
        assert "\n" not in window.notice.message.text()
        window.notice.dismiss_any()

    pq.write_table(pa.table({"a": [1]}), bad)
    refused("is no file of scored rows")
    bad.write_bytes(made.read_bytes()[:5000])
    refused("cannot be read")
    said = about(1)
    job = msgspec.structs.replace(said.job, version=99)
    write_table(bad, [table_of([scored(0)])], msgspec.structs.replace(said, job=job))
    refused("newer Qscope")
    assert shown(view) == list(range(ROWS))  # what was open stays


# --- sort and filter ---


def test_a_header_sorts_and_again_the_other_way(view, rows, qtbot):
    click_header(qtbot, view, "margin")
    up = sorted(range(ROWS), key=lambda i: rows[i]["margin"])
    assert shown(view) == up
    assert view.model.headerData(0, Qt.Orientation.Horizontal) == "margin ▴"
    click_header(qtbot, view, "margin")
    assert shown(view) == up[::-1]
    click_header(qtbot, view, "source.category")
    assert shown(view) == sorted(range(ROWS), key=lambda i: rows[i]["source.category"])
    click_header(qtbot, view, "prompt")
    assert view.answer.question.by == "source.category"


def test_cells_show_the_numbers_of_their_rows(view, rows, qtbot):
    click_header(qtbot, view, "margin")
    for line in (0, ROWS - 1):
        row = rows[shown(view)[line]]
        cells = {
            column.name: view.model.index(line, at).data()
            for at, column in enumerate(view.model.columns)
        }
        assert cells["margin"].replace("\u2212", "-") == f"{row['margin']:+.3f}"
        assert cells["length_chosen"] == str(row["length_chosen"])
        assert cells["source.category"] == row["source.category"] and cells["id"] == row["id"]
        assert row["prompt"].startswith(cells["prompt"][:40])


def test_a_filter_is_typed_and_its_fault_is_said(view, rows, qtbot):
    write_filter(qtbot, view, "margin<0 category=code")
    wanted = [i for i, r in enumerate(rows) if r["margin"] < 0 and r["source.category"] == "code"]
    assert shown(view) == wanted
    assert view.summary.count.text() == f"{len(wanted)} of {ROWS} pairs"
    assert "chosen by their margins" in view.summary.note.text()
    write_filter(qtbot, view, "marge<0")
    assert "do you mean margin?" in view.filter.problem.text() and view.filter.problem.isVisible()
    assert shown(view) == wanted  # what was shown stays
    write_filter(qtbot, view, "sorry")
    words = [i for i, r in enumerate(rows)
             if any("sorry" in r[it] for it in ("prompt", "chosen", "rejected"))]  # fmt: skip
    assert shown(view) == words and not view.filter.problem.isVisible()
    write_filter(qtbot, view, "zzzz")
    assert shown(view) == [] and "Choose a row" in view.texts.about.text()


def test_typing_filters_once_it_rests(view, qtbot):
    view.filter.box.setFocus()
    qtbot.keyClicks(view.filter.box, "row<7")
    rest(qtbot, view)
    assert shown(view) == list(range(7))


def test_the_word_at_the_caret_is_completed(view, qtbot):
    box = view.filter.box
    box.setFocus()
    qtbot.keyClicks(box, "row>2 cate")
    popup = box.completer_popup()
    qtbot.waitUntil(popup.isVisible, timeout=2000)
    qtbot.keyClick(popup, Qt.Key.Key_Down)
    qtbot.keyClick(popup, Qt.Key.Key_Return)
    assert box.text() == "row>2 category "
    qtbot.keyClicks(box, "= co")
    qtbot.waitUntil(popup.isVisible, timeout=2000)
    qtbot.keyClick(popup, Qt.Key.Key_Down)
    qtbot.keyClick(popup, Qt.Key.Key_Return)
    assert box.text() == "row>2 category = code "
    rest(qtbot, view)
    assert not view.filter.problem.isVisible()


def test_ready_questions_write_their_filter(view, rows, qtbot):
    titles = [it.text() for it in view.filter.ready]
    assert titles == ["Most wrong", "Likely flips", "Alike"]
    qtbot.mouseClick(view.filter.ready[0], Qt.MouseButton.LeftButton)
    rest(qtbot, view)
    wrong = sorted(
        (i for i in range(ROWS) if rows[i]["margin"] < 0), key=lambda i: rows[i]["margin"]
    )
    assert view.filter.text() == "margin < 0" and shown(view) == wrong
    qtbot.mouseClick(view.filter.ready[1], Qt.MouseButton.LeftButton)
    rest(qtbot, view)
    assert view.filter.text().startswith("preference <= ")
    assert "may be labelled the wrong way round, but also be hard" in view.summary.note.text()
    assert set(shown(view)) < set(wrong) and len(shown(view)) > 0


def test_another_beta_changes_margins_and_no_order(view, rows, qtbot):
    click_header(qtbot, view, "margin")
    before = shown(view)
    view.beta.setValue(1.0)
    rest(qtbot, view)
    assert shown(view) == before
    value = view.model.index(0, 0).data().replace("\u2212", "-")
    assert value == f"{10 * rows[before[0]]['margin']:+.3f}"
    view.beta.setValue(0.0)  # not known
    rest(qtbot, view)
    assert [it.text() for it in view.filter.ready] == ["Most wrong", "Alike"]
    assert "nats" in view.summary.lines["Mean margin"].text()
    assert view.model.index(0, section(view, "preference")).data() == "–"


def test_a_group_is_filtered_by_a_click(view, rows, qtbot):
    table = view.summary.groups
    labels = [table.item(i, 0).text() for i in range(table.rowCount())]
    assert set(labels) == {row["source.category"] for row in rows}
    accuracy = float(table.item(labels.index("code"), 1).text().split()[0])
    mine = [row["margin"] > 0 for row in rows if row["source.category"] == "code"]
    assert accuracy == pytest.approx(np.mean(mine), abs=5e-4)
    at = table.visualItemRect(table.item(labels.index("code"), 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    rest(qtbot, view)
    assert view.filter.text() == "category = code"
    assert len(shown(view)) == len(mine)


def test_of_many_groups_the_least_accurate_are_shown(window, qtbot, tmp_path):
    rows = [scored(n, rest={"name": f"name {n:03}"}, ratios=(float(n > 4), 0.5)) for n in range(70)]
    window.data.open(write_table(tmp_path / "s.parquet", [table_of(rows)], about(70)))
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    groups = window.data.view.summary.groups
    shown = [groups.item(i, 0).text() for i in range(groups.rowCount())]
    assert shown[:5] == [f"name {n:03}" for n in range(5)] and len(shown) == 51
    assert shown[-1] == "… 20 more groups"
    groups.cellClicked.emit(50, 0)
    assert window.data.view.filter.text() == ""


# --- charts ---


def test_a_stretch_of_the_histogram_is_brushed_and_let_go(view, rows, qtbot):
    drag(qtbot, view.histogram, (-1.0, 1.0), (0.5, 1.0))
    rest(qtbot, view)
    (band,) = view.answer.question.bands
    assert band.name == "margin" and -1.2 < band.low < -0.8 and 0.3 < band.high < 0.7
    assert shown(view) == [i for i in range(ROWS) if band.low <= rows[i]["margin"] <= band.high]
    assert view.histogram.counts.sum() == ROWS  # the chart has what the filter leaves
    assert view.filter.band.isVisible() and view.filter.band.text().startswith("margin")
    qtbot.mouseClick(view.filter.band, Qt.MouseButton.LeftButton)
    rest(qtbot, view)
    assert shown(view) == list(range(ROWS)) and not view.filter.band.isVisible()


def test_a_field_of_the_scatter_is_brushed_and_a_point_is_chosen(view, rows, qtbot):
    view.charts.setCurrentWidget(view.scatter)
    drag(qtbot, view.scatter, (-10.0, -1.0), (20.0, 0.4))
    rest(qtbot, view)
    across, margin = view.answer.question.bands
    wanted = [
        i for i, row in enumerate(rows)
        if across.low <= row["length_chosen"] - row["length_rejected"] <= across.high
        and margin.low <= row["margin"] <= margin.high
    ]  # fmt: skip
    assert shown(view) == wanted and 0 < len(wanted) < ROWS
    place = int(np.argmax([row["margin"] for row in rows]))
    x = rows[place]["length_chosen"] - rows[place]["length_rejected"]
    at = view.scatter.box.mapViewToScene(QPointF(x, view.scatter.ends["margin"][1]))
    qtbot.mouseClick(
        view.scatter.plot.viewport(), Qt.MouseButton.LeftButton,
        pos=view.scatter.plot.mapFromScene(at),
    )  # fmt: skip
    qtbot.waitUntil(lambda: view.current_row() == place, timeout=5000)
    rest(qtbot, view)
    assert view.answer.question.bands == ()


def test_other_columns_are_drawn(view, rows, qtbot):
    choice = view.histogram.choices[0]
    choice.setCurrentIndex([it.name for it in view.model.table.columns if it.kind == "number"]
                           .index("parts"))  # fmt: skip
    choice.activated.emit(choice.currentIndex())
    assert view.histogram.counts.sum() == ROWS
    assert view.histogram.counts[0] == sum(row["parts"] == 0 for row in rows)
    view.charts.setCurrentWidget(view.calibration)
    assert "Expected calibration error" in view.calibration.note.text()


# --- pairs ---


def test_a_double_click_opens_the_pair_as_one_step_of_undo(window, view, rows, qtbot):
    before = [window.view.panels[side].text() for side in "AB"]
    click_header(qtbot, view, "margin")
    at = view.rows.visualRect(view.model.index(2, 0)).center()
    qtbot.mouseClick(view.rows.viewport(), Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseDClick(view.rows.viewport(), Qt.MouseButton.LeftButton, pos=at)
    row = rows[shown(view)[2]]
    qtbot.waitUntil(lambda: window.view.panels["A"].text() == row["chosen"], timeout=5000)
    assert window.view.panels["B"].text() == row["rejected"]
    assert window.view.prompt.prompt().messages[-1].content == row["prompt"]
    assert window.pages.front() == "show_credit"
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert "is not the one that scored" in window.notice.message.text()
    do(window, "undo")
    assert [window.view.panels[side].text() for side in "AB"] == before


def test_enter_opens_the_pair_and_its_texts_are_read_below(window, view, rows, qtbot):
    view.rows.setFocus()
    qtbot.keyClick(view.rows, Qt.Key.Key_Down)
    rest(qtbot, view)
    assert view.texts.fields["Chosen"].toPlainText() == rows[1]["chosen"]
    assert view.texts.fields["Prompt"].toPlainText() == rows[1]["prompt"]
    assert "pair 1" in view.texts.about.text()
    qtbot.keyClick(view.rows, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.view.panels["A"].text() == rows[1]["chosen"], timeout=5000)


def test_the_next_most_wrong_comes_by_keyboard(window, view, rows, qtbot):
    order = sorted(range(ROWS), key=lambda i: rows[i]["margin"])
    view.rows.setFocus()
    here = []
    none, shift = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
    for how in (none, none, none, shift):
        qtbot.keyClick(view.rows, Qt.Key.Key_F8, how)
        here.append(view.current_row())
    assert here == [order[0], order[1], order[2], order[1]]
    rest(qtbot, view)
    window.pages.bring(window.credit.page)
    do(window, "next_wrong")
    row = rows[order[2]]
    qtbot.waitUntil(lambda: window.view.panels["B"].text() == row["rejected"], timeout=5000)
    assert window.pages.front() == "show_credit"


def test_a_pair_that_the_credit_view_cannot_show_is_said(window, qtbot, tmp_path):
    sides = ((Message("assistant", "a"), Message("user", "b"), Message("assistant", "c")),
             (Message("assistant", "d"),))  # fmt: skip
    pair = Preference((Message("user", "?"),), *sides)
    path = write_table(tmp_path / "s.parquet", [table_of([scored(0, pair)])], about(1))
    window.data.open(path)
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    window.data.view.open_row()
    qtbot.waitUntil(lambda: "part before" in window.notice.message.text(), timeout=5000)
    assert window.pages.front() == "show_data"


def test_numbers_that_are_not_finite_and_files_without_rows(window, qtbot, tmp_path):
    rests = [{"x": float("inf")}, {"x": float("-inf")}, {"x": 1.5}, {"x": None}]
    rows = [scored(n, rest=rest) for n, rest in enumerate(rests)]
    path = write_table(tmp_path / "s.parquet", [table_of(rows)], about(4))
    window.data.open(path)
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    view = window.data.view
    for chart in (view.histogram, view.scatter):
        view.charts.setCurrentWidget(chart)
        for choice in chart.choices:
            for place in range(choice.count()):
                choice.setCurrentIndex(place)
                choice.activated.emit(place)
    click_header(qtbot, view, "source.x")
    assert shown(view) == [1, 2, 0, 3]
    write_table(path, [table_of([])], about(0))
    view.answer = None
    window.data.open(path)
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    assert shown(view) == [] and not view.export_button.isEnabled()
    do(window, "next_wrong")


def test_single_responses_are_shown_without_what_needs_pairs(window, qtbot, tmp_path):
    rows = [scored(n, ids=((1, 2, 3),), ratios=(n - 1.0,)) for n in range(3)]
    window.data.open(write_table(tmp_path / "s.parquet", [table_of(rows)], about(3)))
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    view = window.data.view
    assert view.filter.ready == [] and view.summary.count.text() == "3 responses"
    assert list(view.summary.lines) == ["Mean Σr"] and not view.charts.isTabVisible(2)
    click_header(qtbot, view, "reward_chosen")
    assert shown(view) == [0, 1, 2]
    view.open_row()
    qtbot.waitUntil(lambda: window.view.panels["B"].text() == "c", timeout=5000)


# --- export and the end ---


def test_rows_that_are_shown_or_selected_are_exported(window, view, rows, qtbot, tmp_path):
    path = tmp_path / "out.jsonl"
    window.ask.new_file = lambda title, name, filters: str(path)
    write_filter(qtbot, view, "row<5")
    assert view.export_button.text() == "Export 5 rows…"
    qtbot.mouseClick(view.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(path.exists, timeout=5000)
    rest(qtbot, view)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [it["chosen"] for it in lines] == [row["chosen"] for row in rows[:5]]
    assert "5 rows written" in window.notice.message.text()
    view.rows.setFocus()
    qtbot.keyClick(view.rows, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert view.export_button.text() == "Export 2 selected rows…"
    path = tmp_path / "out.parquet"
    do(window, "export_rows")
    qtbot.waitUntil(path.exists, timeout=5000)
    rest(qtbot, view)
    assert open_scored(path).values("row", None).tolist() == [0, 1]
    path = tmp_path / "out.txt"
    do(window, "export_rows")
    qtbot.waitUntil(lambda: "has to end in" in window.notice.message.text(), timeout=5000)


def test_lines_are_copied_as_they_are_shown(view, rows, qtbot):
    view.rows.setFocus()
    qtbot.keyClick(view.rows, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(view.rows, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    titles, *lines = [it.split("\t") for it in QApplication.clipboard().text().splitlines()]
    assert len(lines) == 2
    for line, row in zip(lines, rows, strict=False):
        cells = dict(zip(titles, line, strict=True))
        assert float(cells["margin"]) == pytest.approx(row["margin"], abs=5e-4)
        assert cells["id"] == row["id"] and cells["category"] == row["source.category"]
    qtbot.keyClick(view.rows, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert view.export_button.text() == f"Export {ROWS} selected rows…"
    qtbot.keyClicks(view.rows, "/")
    assert QApplication.focusWidget() is view.filter.box and not view.filter.text()


def test_columns_are_hidden_and_stay_so(window, view, made, qtbot):
    def columns():
        inside = next(it.menu() for it in view.rows.menu().actions() if it.menu() is not None)
        return {it.text(): it for it in inside.actions()}

    columns()["σ(m)"].setChecked(False)
    assert view.rows.isColumnHidden(section(view, "preference"))
    click_header(qtbot, view, "margin")
    assert view.rows.isColumnHidden(section(view, "preference"))
    view.answer = None
    window.data.open(made)
    qtbot.waitUntil(lambda: is_quiet(window), timeout=20_000)
    assert view.rows.isColumnHidden(section(view, "preference"))
    columns()["σ(m)"].setChecked(True)
    assert not view.rows.isColumnHidden(section(view, "preference"))


def test_rooms_are_shared_as_they_were_left(open_window, made, qtbot):
    first = open_window()
    first.data.open(made)
    qtbot.waitUntil(lambda: is_quiet(first) and settled(first), timeout=20_000)
    first.data.view.columns.setSizes([700, 700])
    sizes = first.data.view.columns.sizes()
    first.close()
    again = open_window()
    again.resize(1440, 900)
    again.data.open(made)
    qtbot.waitUntil(lambda: is_quiet(again) and settled(again), timeout=20_000)
    assert again.data.view.columns.sizes() == pytest.approx(sizes, abs=2)


def test_reading_says_how_far_it_is_and_is_cancelled(window, view, made, qtbot, monkeypatch):
    def slowly(path, report, cancelled):
        deadline = time.monotonic() + 10
        while not cancelled() and time.monotonic() < deadline:
            report("Reading the scored rows", 0.25)
            time.sleep(0.01)
        raise Cancelled

    before = view.explorer.table
    monkeypatch.setattr("core.dataset.table.open_scored", slowly)
    window.data.open(made)
    qtbot.waitUntil(view.under_way.isVisible, timeout=5000)
    assert view.said.text() == "Reading the scored rows …" and view.bar.value() == 250
    qtbot.mouseClick(view.cancel_button, Qt.MouseButton.LeftButton)
    assert not view.under_way.isVisible() and view.explorer.rests()
    assert view.explorer.table is before
    write_filter(qtbot, view, "row=3")  # the thread is free again
    assert shown(view) == [3]


def test_the_window_closes_while_a_file_is_read(open_window, made, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    window.data.open(made)
    qtbot.waitUntil(lambda: window.data.view is not None, timeout=10_000)
    window.close()
    assert window.data.view.explorer.table is None


def test_light_and_dark(view, window, qtbot):
    light = view.model.index(0, 0).data(Qt.ItemDataRole.BackgroundRole)
    do(window, "theme dark")
    rest(qtbot, view)
    assert view.model.index(0, 0).data(Qt.ItemDataRole.BackgroundRole) != light
