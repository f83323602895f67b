"""The credit view in the real window, driven by keys and mouse, on a scripted engine."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QContextMenuEvent, QPalette, QTextCursor
from PySide6.QtWidgets import QApplication, QScrollArea

from app import theme
from app.credit import view as credit_view
from app.credit.prompt_panel import TurnEdit
from app.pair_loader import DEMO_BETA
from app.settings import Settings
from app.widgets.spans import Freshness
from core.demo.pair import demo_beta
from core.engine.protocol import Inspect, PairSpec, Score
from core.present.measures import rewards
from core.provenance import Provenance
from core.text import Message, Prompt
from tests.app.conftest import do, settled
from tests.app.fake_engine import INFO, FakeEngine, word_id

CTRL = Qt.KeyboardModifier.ControlModifier


def editor(window, side="A"):
    return window.view.panels[side].editor


def put_caret(edit, position):
    cursor = edit.textCursor()
    cursor.setPosition(position)
    edit.setTextCursor(cursor)


def wait(qtbot, window):
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.wait(5)  # the alignment follows at once


def hover(qtbot, edit, index):
    qtbot.mouseMove(edit.viewport(), QPoint(1, edit.viewport().height() - 2))
    qtbot.mouseMove(edit.viewport(), edit.token_rects(index)[0].center())


def test_the_card_covers_neither_the_line_that_is_read_nor_the_next(window, qtbot):
    edit, popup = editor(window), window.view.focus_on.popup
    for index in range(len(window.view.panels["A"].scoring)):
        hover(qtbot, edit, index)
        qtbot.waitUntil(popup.isVisible)
        line = edit.token_rects(index)[0]
        read = QRect(0, line.top(), edit.viewport().width(), 2 * line.height())
        read.moveTo(edit.viewport().mapTo(popup.parentWidget(), read.topLeft()))
        assert not popup.geometry().intersects(read), index
        assert popup.parentWidget().rect().contains(popup.geometry())


@pytest.mark.parametrize("how", ["zoom_in", "zoom_out", "resize", "scroll"])
def test_the_card_goes_when_its_token_moves(window, qtbot, how):
    edit, popup = editor(window), window.view.focus_on.popup
    window.view.panels["A"].put_in(edit.text() + "\n" * 20)
    window.view.ask("A")
    wait(qtbot, window)
    hover(qtbot, edit, 6)
    qtbot.waitUntil(popup.isVisible)
    if how == "resize":
        window.resize(window.width() - 90, window.height() - 60)
    elif how == "scroll":
        edit.verticalScrollBar().setValue(3)
    else:
        do(window, how)
    qtbot.waitUntil(lambda: not popup.isVisible())
    assert edit.highlighted() is None


def test_scoring_that_takes_long_shows_progress_and_is_cancelled(window, qtbot):
    edit, heading = editor(window), window.view.panels["A"].progress
    assert not heading.isVisible()
    put_caret(edit, 0)
    qtbot.keyClicks(edit, "slowly ")
    qtbot.waitUntil(lambda: heading.isVisible() and "25%" in heading.words.text(), timeout=3000)
    assert not window.view.panels["B"].progress.isVisible()
    qtbot.mouseClick(heading.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cancelled" in heading.words.text(), timeout=3000)
    assert edit.text().startswith("slowly ") and not window.client.busy()
    qtbot.mouseClick(heading.button, Qt.MouseButton.LeftButton)  # after all
    qtbot.waitUntil(lambda: "25%" in heading.words.text(), timeout=3000)
    qtbot.mouseClick(heading.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "cancelled" in heading.words.text(), timeout=3000)
    put_caret(edit, 0)
    for _ in "slowly ":
        qtbot.keyClick(edit, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: settled(window))
    assert not heading.isVisible()


def test_letting_go_of_the_pair_ends_what_is_said_of_scoring(window, qtbot):
    edit, heading = editor(window), window.view.panels["A"].progress
    put_caret(edit, 0)
    qtbot.keyClicks(edit, "slowly ")
    qtbot.waitUntil(heading.isVisible, timeout=3000)
    window.client.cancel(Score)
    do(window, "close_pair")
    qtbot.waitUntil(lambda: not heading.isVisible())


def test_each_turn_of_a_long_chat_is_as_high_as_its_text(window, qtbot):
    texts = ["One line.", "Three\nshort\nlines.", "word " * 150, "a\n" * 40, "The end."] * 3
    roles = ["user", "assistant"] * 8
    turns = tuple(map(Message, roles, texts))
    window.view.put_texts(Prompt(turns), "Yes.", "No.")
    window.resize(1440, 900)
    panel = window.view.prompt
    qtbot.waitUntil(lambda: panel.isVisible() and panel.first_turn().isVisible())
    for points in (11, 20):
        window.look.size_changed.emit(points)
        qtbot.wait(5)
        boxes = panel.findChildren(TurnEdit)
        shown = {box.whole_text(): box for box in boxes if box.isVisible()}
        assert set(texts) <= set(shown)
        for text in texts:
            box = shown[text]
            box.moveCursor(QTextCursor.MoveOperation.Start)
            lines = int(box.document().size().height())
            end = QTextCursor(box.document())
            end.movePosition(QTextCursor.MoveOperation.End)
            high = box.viewport().height()
            if lines <= 12:  # all of it is seen
                assert box.cursorRect(end).bottom() <= high, text
                assert box.verticalScrollBar().maximum() == 0
            else:
                assert 12 * box.fontMetrics().lineSpacing() <= high
        area = panel.findChild(QScrollArea)
        assert area.verticalScrollBar().maximum() > 0
        area.ensureWidgetVisible(shown["The end."])
        assert not shown["The end."].viewport().visibleRegion().isEmpty()


def bars_of(chart, side):
    """The bars as they are drawn: their middles and heights."""
    options = chart.bars[side].opts
    return np.asarray(options["x0"]) + options["width"] / 2, np.asarray(options["height"])


@pytest.mark.parametrize("unit", ["token", "word"])
def test_the_chart_lines_up_after_an_edit_and_goes_by_the_unit(window, qtbot, unit):
    view, edit = window.view, editor(window, "B")
    qtbot.waitUntil(lambda: view.chart is not None)
    choice = view.controls.units
    choice.setCurrentIndex(choice.findText(unit, Qt.MatchFlag.MatchContains))
    put_caret(edit, edit.text().index("a job"))
    qtbot.keyClicks(edit, "quite suddenly, ")
    wait(qtbot, window)
    a, b = (view.panels[side].scoring for side in "AB")
    sums = [pytest.approx(rewards(it, view.beta()).sum()) for it in (a, b)]
    qtbot.waitUntil(lambda: [bars_of(view.chart, side)[1].sum() for side in "AB"] == sums)
    (x_a, r_a), (x_b, r_b) = (bars_of(view.chart, side) for side in "AB")
    wide_a, wide_b = (view.chart.bars[side].opts["width"] for side in "AB")
    for back in (1, 2, 3):  # the closing tokens, and the words before them, are the same
        touch = x_a[-back] + wide_a[-back] / 2
        assert touch == pytest.approx(x_b[-back] - wide_b[-back] / 2, abs=1e-6)
    for scoring, heights in ((a, r_a), (b, r_b)):
        words = len(scoring.tokens.text.split()) + 1
        if unit == "word":
            assert words <= len(heights) <= words + 3  # a full stop is one of its own
    viewport, jitter = view.chart.plot.viewport(), itertools.cycle([0, 1])

    def points_at_b():
        x = bars_of(view.chart, "B")[0][-2]
        scene = view.chart.view.mapViewToScene(QPointF(float(x), 0.0))
        at = view.chart.plot.mapFromScene(scene)  # pyqtgraph leaves out moves that come too fast
        qtbot.mouseMove(viewport, at + QPoint(0, next(jitter)))
        return view.chart.marked()[0] == "B"

    qtbot.waitUntil(points_at_b)  # once the chart has its last range
    index = view.chart.marked()[1]
    assert view.panels["B"].editor.highlighted() == index
    assert index in (len(b) - 2, len(b) - 3)


def test_an_alternative_has_a_menu(window, qtbot):
    edit, inspector = editor(window), window.view.inspector
    pin(qtbot, edit, 6)
    qtbot.waitUntil(lambda: inspector.by_policy.rowCount() == 4, timeout=3000)
    table = inspector.by_policy
    where = table.visualItemRect(table.item(1, 0)).center()
    event = QContextMenuEvent(
        QContextMenuEvent.Reason.Mouse, where, table.viewport().mapToGlobal(where)
    )
    QApplication.sendEvent(table.viewport(), event)
    by_text = {action.text(): action for action in table.menu.actions()}
    assert not by_text["Pin the token that stands there"].isEnabled()  # it is pinned
    by_text["Copy the token"].trigger()
    assert QApplication.clipboard().text() == table.choice(1).text
    by_text["Copy the row"].trigger()
    text, *numbers = QApplication.clipboard().text().split("\t")
    choice = table.choice(1)
    known = choice.logp_policy, choice.logp_reference
    assert text == choice.text
    assert [*map(float, numbers)] == [0.1 * (known[0] - known[1]), *known]  # all digits
    by_text["Copy the table"].trigger()
    titles, *rows = QApplication.clipboard().text().splitlines()
    assert titles.split("\t") == ["token", "reward", "logp_policy", "logp_reference"]
    assert len(rows) == 4
    wanted = table.choice(1).id
    by_text["Put it in place"].trigger()
    qtbot.waitUntil(
        lambda: settled(window) and int(window.view.panels["A"].scoring.ids[6]) == wanted
    )
    table.menu.close()


def pin(qtbot, edit, index):
    where = edit.token_rects(index)[0].center()
    qtbot.mouseClick(edit.viewport(), Qt.MouseButton.LeftButton, pos=where)


def test_typing_fades_at_once_and_recolours_soon(window, qtbot):
    edit = editor(window)
    before = window.view.panels["A"].scoring
    put_caret(edit, edit.text().index("$53K") + 2)
    qtbot.keyClicks(edit, "9")
    rows = edit.spans().freshness
    assert Freshness.TOUCHED in rows and Freshness.STALE in rows and Freshness.FRESH in rows
    assert not window.view.panels["A"].is_current()
    wait(qtbot, window)
    after = window.view.panels["A"].scoring
    assert after is not before and after.tokens.text == edit.text()
    assert "$593K" in after.tokens.text
    assert set(edit.spans().freshness) == {Freshness.FRESH}


def test_fast_typing_asks_once(window, qtbot):
    asked = len(FakeEngine.last.asked(Score))
    put_caret(editor(window), 0)
    qtbot.keyClicks(editor(window), "Well, ")
    wait(qtbot, window)
    assert len(FakeEngine.last.asked(Score)) <= asked + 2
    assert FakeEngine.last.asked(Score)[-1].text.startswith("Well, They")


def test_the_sums_and_the_split_add_up(window):
    a, b = (window.view.panels[s].scoring for s in "AB")
    beta = window.view.beta()
    sums = [beta * float(np.sum(s.logp_policy - s.logp_reference)) for s in (a, b)]
    figures = window.view.summary.figures
    shown = {k: float(v.text().replace("−", "-")) for k, v in figures.items()}
    assert shown["sum_a"] == pytest.approx(sums[0], abs=6e-4)
    assert shown["margin"] == pytest.approx(sums[0] - sums[1], abs=6e-4)
    assert shown["loss"] == pytest.approx(np.log1p(np.exp(sums[1] - sums[0])), abs=6e-4)
    text = window.view.summary.delta.words.replace("−", "-")
    total, edited, downstream = (
        float(m) for m in re.findall(r"(?:= |edited words |tokens )([+-]?\d+\.\d+)", text)
    )
    assert total == pytest.approx(sums[1] - sums[0], abs=6e-4)
    assert round(edited + downstream, 3) == total
    assert edited != 0 and downstream != 0


def test_hover_shows_numbers_then_alternatives(window, qtbot):
    do(window, "keep_inspector")
    qtbot.wait(50)  # the texts move before they are pointed at
    edit = editor(window)
    hover(qtbot, edit, 6)
    view = window.view
    assert view.inspector.body.isVisible()
    assert view.inspector.inspection() is None
    qtbot.waitUntil(view.focus_on.popup.isVisible)
    assert "$53K" in view.focus_on.popup.label.text()
    qtbot.waitUntil(lambda: view.inspector.inspection() is not None, timeout=3000)
    assert view.inspector.by_policy.rowCount() == 4
    assert view.inspector.by_reference.item(0, 0).text().endswith("·management")
    asked = len(FakeEngine.last.asked(Inspect))
    hover(qtbot, edit, 1)
    qtbot.waitUntil(lambda: len(FakeEngine.last.asked(Inspect)) == asked + 1, timeout=3000)
    qtbot.waitUntil(lambda: view.inspector.inspection() is not None, timeout=3000)
    hover(qtbot, edit, 6)  # kept: shown at once, asked for no more
    assert view.inspector.inspection() is not None
    qtbot.wait(120)
    assert len(FakeEngine.last.asked(Inspect)) == asked + 1


def test_a_pin_holds_the_inspector(window, qtbot):
    edit = editor(window)
    pin(qtbot, edit, 6)
    assert window.view.focus_on.pinned == ("A", 6) and edit.pinned() == 6
    hover(qtbot, edit, 2)
    assert window.view.focus_on.shown == ("A", 6)
    pin(qtbot, editor(window, "B"), 1)
    assert edit.pinned() is None and editor(window, "B").pinned() == 1
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    do(window, "unpin")
    assert window.view.focus_on.pinned is None and editor(window, "B").pinned() is None


def test_a_pin_stays_with_its_token(window, qtbot):
    window.view.make_chart()
    edit, focus = editor(window), window.view.focus_on
    pin(qtbot, edit, 6)
    put_caret(edit, 0)
    qtbot.keyClicks(edit, "Well yes, ")
    wait(qtbot, window)
    assert focus.pinned == focus.shown == ("A", 8) and edit.pinned() == 8
    assert "$53K" in window.view.inspector.title.text()
    qtbot.waitUntil(lambda: window.view.chart.marked() == ("A", 8), timeout=3000)
    put_caret(edit, edit.text().index("53K"))
    qtbot.keyClicks(edit, "1")  # within the token: the new one takes its place
    wait(qtbot, window)
    assert focus.pinned == ("A", 8) and "$153K" in window.view.inspector.title.text()
    put_caret(edit, len(edit.text()))
    qtbot.keyClick(edit, Qt.Key.Key_Backspace, CTRL)
    qtbot.keyClick(edit, Qt.Key.Key_Backspace, CTRL)
    wait(qtbot, window)
    assert focus.pinned == ("A", 8)
    put_caret(edit, edit.text().index(" $153K") + len(" $153K"))
    for _ in " $153K":
        qtbot.keyClick(edit, Qt.Key.Key_Backspace)
    wait(qtbot, window)
    assert focus.pinned is focus.shown is None and edit.pinned() is None
    assert not window.view.inspector.isVisible()


def test_a_pin_on_the_closing_token_stays_there(window, qtbot):
    edit, focus = editor(window), window.view.focus_on
    last = len(window.view.panels["A"].scoring) - 1
    pin(qtbot, edit, last)
    put_caret(edit, 0)
    qtbot.keyClicks(edit, "Well yes, ")
    wait(qtbot, window)
    assert focus.pinned == ("A", last + 2) and edit.pinned() == last + 2


def test_the_arrows_walk_and_pin(window, qtbot):
    edit = editor(window)
    put_caret(edit, 0)
    for _ in range(3):
        qtbot.keyClick(edit, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert window.view.focus_on.pinned == ("A", 3)


def test_an_alternative_replaces_and_undo_brings_the_tokens_back(window, qtbot):
    edit, panel = editor(window), window.view.panels["A"]
    before = panel.scoring.tokens
    pin(qtbot, edit, 6)
    inspector = window.view.inspector
    qtbot.waitUntil(lambda: inspector.inspection() is not None, timeout=3000)
    inspector.by_policy.setCurrentCell(1, 0)
    qtbot.keyClick(inspector.by_policy, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: " seventy" in edit.text(), timeout=3000)
    wait(qtbot, window)
    assert edit.text() == before.text.replace(" $53K", " seventy")
    assert panel.scoring.tokens.ids[6] == word_id(" seventy")
    assert panel.scoring.tokens.ids[:6] == before.ids[:6]
    assert panel.scoring.tokens.ids[7:] == before.ids[7:]
    assert "1 not the tokenizer's own" in panel.about.words
    edit.setFocus()
    qtbot.keyClick(edit, Qt.Key.Key_Z, CTRL)
    assert edit.text() == before.text
    wait(qtbot, window)
    assert FakeEngine.last.asked(Score)[-1].ids == before.ids
    assert panel.scoring.tokens.ids == before.ids
    qtbot.keyClick(edit, Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)
    wait(qtbot, window)
    assert FakeEngine.last.asked(Score)[-1].ids[6] == word_id(" seventy")


def test_the_vocabulary_is_searched(window, qtbot):
    pin(qtbot, editor(window), 6)
    inspector = window.view.inspector
    qtbot.keyClicks(inspector.search, "fort")
    qtbot.waitUntil(lambda: inspector.found.rowCount() == 1, timeout=3000)
    assert FakeEngine.last.asked(Inspect)[-1].query == "fort"
    assert inspector.found.isVisible() and not inspector.by_policy.isVisible()
    qtbot.keyClick(inspector.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: " forty" in editor(window).text(), timeout=3000)
    wait(qtbot, window)


def test_beta_rescales_and_asks_nothing(window, qtbot):
    asked = len(FakeEngine.last.requests)
    sums = float(window.view.summary.figures["sum_a"].text().replace("−", "-"))
    box = window.view.controls.beta
    box.selectAll()
    qtbot.keyClicks(box, "0.2")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert window.view.beta() == 0.2
    doubled = float(window.view.summary.figures["sum_a"].text().replace("−", "-"))
    assert doubled == pytest.approx(2 * sums, abs=2e-3)
    qtbot.wait(150)
    assert len(FakeEngine.last.requests) == asked


def test_a_locked_scale_stays(window, qtbot):
    view, legend = window.view, window.view.controls.legend
    limit = legend.scale().limit
    qtbot.mouseClick(legend.lock, Qt.MouseButton.LeftButton)
    view.controls.beta.setValue(1.0)
    assert legend.scale().limit == limit and legend.locked()
    colours = editor(window).spans().colours.copy()
    qtbot.mouseClick(legend.lock, Qt.MouseButton.LeftButton)
    assert legend.scale().limit > limit
    assert not np.array_equal(colours, editor(window).spans().colours)


def test_the_range_stays_for_other_texts_and_is_remembered_of_the_pair(open_window, qtbot):
    first = open_window()
    assert not first.view.controls.legend.bar.known
    wait(qtbot, first)
    legend = first.view.controls.legend
    limit = legend.scale().limit
    assert legend.bar.known
    first.view.panels["A"].put_in("Word " * 40)
    first.view.ask("A")
    wait(qtbot, first)
    assert legend.scale().limit == limit
    first.view.scale.fitted["reward token 0.1"] = 2 * limit  # as if other texts had come first
    first.view.fitted.emit(dict(first.view.scale.fitted))
    first.close()
    again = open_window()
    again.view.controls.set_beta(0.1)
    wait(qtbot, again)
    legend = again.view.controls.legend
    assert legend.scale().limit == 2 * limit
    qtbot.mouseClick(legend.fit, Qt.MouseButton.LeftButton)
    assert legend.scale().limit != 2 * limit


def test_both_responses_are_coloured_together(open_window, qtbot):
    window = open_window()
    seen = set()

    def look():
        colours = [panel.editor.spans() is not None for panel in window.view.panels.values()]
        seen.add(tuple(colours))

    window.view.recoloured.connect(look)
    wait(qtbot, window)
    assert seen == {(False, False), (True, True)}


def test_colours_that_fade_in_reach_their_full_strength(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(credit_view, "FADE_MS", 60)
    window = open_window()
    wait(qtbot, window)
    edit, view = editor(window, "B"), window.view
    box = edit.token_rects(0)[0]
    wanted = view.numbers.colour_scale().css(view.numbers.values["B"][0])

    def shown():
        return edit.viewport().grab().toImage().pixelColor(box.left() + 2, box.bottom() - 2).name()

    qtbot.waitUntil(lambda: shown() == wanted, timeout=10_000)


def test_the_demos_beta_is_shown_from_the_first_frame(open_window):
    window = open_window(spec=PairSpec(demo=True))
    assert window.view.known_beta() == demo_beta() == DEMO_BETA


def test_delta_colours_equal_tokens_only(window):
    window.view.controls.choose("delta", "token")
    values = window.view.numbers.values["A"]
    a, b = (window.view.panels[s].scoring for s in "AB")
    ra, rb = (rewards(s, window.view.beta()) for s in (a, b))
    assert np.isnan(values[6])
    assert np.allclose(values[:6], 0, atol=0)
    assert values[7] == pytest.approx(rb[7] - ra[7]) and values[7] != 0


def test_words_lines_and_sentences_are_sums(window):
    r = rewards(window.view.panels["A"].scoring, window.view.beta())
    window.view.controls.choose("reward", "line")
    values = window.view.numbers.values["A"]
    assert values[0] == pytest.approx(r[:-1].sum()) and values[-1] == pytest.approx(r[-1])


def test_chart_and_editors_are_linked(window, qtbot):
    window.view.make_chart()
    chart = window.view.chart
    hover(qtbot, editor(window), 4)
    assert chart.marked() == ("A", 4)
    chart.hovered.emit("B", 2)
    assert editor(window, "B").highlighted() == 2
    chart.clicked.emit("B", 5)
    assert window.view.focus_on.pinned == ("B", 5)


def test_the_prompt_rescores_both(window, qtbot):
    asked = len(FakeEngine.last.asked(Score))
    turn = window.view.prompt.first_turn()
    qtbot.keyClicks(turn, "Briefly. ")
    qtbot.waitUntil(lambda: len(FakeEngine.last.asked(Score)) == asked + 2, timeout=3000)
    wait(qtbot, window)
    assert FakeEngine.last.asked(Score)[-1].prompt.messages[-1].content.startswith("Briefly")


def test_swap_and_copy(window, qtbot):
    a, b = (editor(window, side).text() for side in "AB")
    do(window, "swap_sides")
    wait(qtbot, window)
    assert (editor(window, "A").text(), editor(window, "B").text()) == (b, a)
    do(window, "copy_a_to_b")
    wait(qtbot, window)
    assert editor(window, "B").text() == b
    assert "the same tokens" in window.view.summary.delta.words
    qtbot.waitUntil(lambda: window.view.summary.figures["margin"].text() == "0.000", timeout=2000)


def test_another_text_is_asked_for_as_another_and_an_edit_as_an_edit(window, qtbot):
    window.texts.show_example(0)
    wait(qtbot, window)
    assert [request.fresh for request in FakeEngine.last.asked(Score)[-2:]] == [True, True]
    qtbot.keyClicks(editor(window), "Well, ")
    wait(qtbot, window)
    assert not FakeEngine.last.asked(Score)[-1].fresh


def test_a_text_read_from_a_file_is_another(window, qtbot, tmp_path):
    path = tmp_path / "b.txt"
    path.write_text(editor(window, "B").text() + " At once.")
    window.ask.file = lambda title, filters: str(path)
    do(window, "read_b")
    wait(qtbot, window)
    assert FakeEngine.last.asked(Score)[-1].fresh
    assert window.view.panels["B"].scoring.tokens.text.endswith("At once.")


def test_a_table_can_be_copied(window, qapp):
    do(window, "copy_table")
    rows = [line.split("\t") for line in qapp.clipboard().text().splitlines()]
    assert len(rows) == 1 + sum(len(p.scoring) for p in window.view.panels.values())
    reward = rows[0].index("reward")
    a = rewards(window.view.panels["A"].scoring, window.view.beta())
    assert [float(r[reward]) for r in rows[1:] if r[0] == "A"] == pytest.approx(a.tolist())


def test_without_a_beta_rewards_are_nats_until_one_is_typed(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(FakeEngine, "info", replace(INFO, beta=None, doubts=("It is so.",)))
    window = open_window(spec=PairSpec(policy="p", reference="r"))
    wait(qtbot, window)
    view, box = window.view, window.view.controls.beta
    scoring = view.panels["A"].scoring
    ratios = scoring.logp_policy - scoring.logp_reference
    shown = {key: label.text() for key, label in view.summary.figures.items()}
    assert box.text() == "unknown" and "do not say which β" in box.toolTip()
    assert float(shown["sum_a"].replace("−", "-")) == pytest.approx(ratios.sum(), abs=1e-3)
    assert shown["preference"] == shown["loss"] == "–"
    assert view.controls.legend.bar.accessibleName().endswith("nats")
    assert window.notice.message.text() == "It is so."
    qtbot.mouseClick(box.lineEdit(), Qt.MouseButton.LeftButton)
    qtbot.keyClicks(box, "0.25")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert view.known_beta() == 0.25
    shown = {key: label.text() for key, label in view.summary.figures.items()}
    assert float(shown["sum_a"].replace("−", "-")) == pytest.approx(0.25 * ratios.sum(), abs=1e-3)
    assert shown["loss"] != "–"
    again = open_window(spec=PairSpec(policy="p", reference="r"))
    wait(qtbot, again)
    assert again.view.known_beta() == 0.25, "it is remembered"
    again.view.controls.beta.setValue(0)
    assert again.view.known_beta() is None
    again.view.controls.beta.stepUp()
    assert again.view.known_beta() == 0.1


def test_notes_of_a_pair_are_one_sentence_and_a_button_for_the_others(
    open_window, qtbot, monkeypatch
):
    said = replace(INFO, doubts=("It is so.", "And so."), remarks=("It is SimPO.",))
    monkeypatch.setattr(FakeEngine, "info", said)
    window = open_window(spec=PairSpec(policy="p", reference="r"))
    wait(qtbot, window)
    notice = window.notice
    assert notice.message.text() == "It is so." and notice.property("kind") == "warning"
    assert notice.action.text() == "And 2 more" and "SimPO" in notice.message.toolTip()
    notice.action.click()
    assert notice.message.text().splitlines() == list(said.notes) and not notice.action.isVisible()
    monkeypatch.setattr(FakeEngine, "info", replace(INFO, remarks=("It is SimPO.",)))
    again = open_window(spec=PairSpec(policy="p", reference="r"))
    wait(qtbot, again)
    assert again.notice.property("kind") == "info" and not again.notice.action.isVisible()


def test_every_token_that_the_models_read_is_shown_with_its_role(window, qtbot):
    prompt = window.view.prompt
    prompt.raw.setChecked(True)
    qtbot.waitUntil(lambda: "<user>" in prompt.reading.tokens.toPlainText(), timeout=5000)
    assert "<end>" in prompt.reading.tokens.toPlainText()
    assert prompt.reading.remarks.isVisible() and prompt.reading.remarks.text() == "It says a date."
    assert all(
        it in prompt.reading.key.text() for it in ("template", "prompt", "response", "scored")
    )
    document = prompt.reading.tokens.document()
    looks = {name: document.find(name).charFormat() for name in ("<user>", "offered", "<end>", "↵")}
    assert [looks[name].fontUnderline() for name in looks] == [False, True, True, False]
    chosen = theme.colours(False).chosen
    assert looks["offered"].background().color().name() == chosen
    assert chosen in prompt.reading.key.text()
    for name, said in (("<user>", "template, not scored · id 1"), ("offered", "response, scored")):
        where = document.find(name).selectionStart() + 1
        assert prompt.reading.tokens.said_of(where).startswith(said)

    def faint():
        return prompt.reading.tokens.document().find("<user>").charFormat().foreground().color()

    for name in ("dark", "light"):
        do(window, f"theme {name}")
        colour = theme.palette(name == "dark").color(QPalette.ColorRole.PlaceholderText)
        qtbot.waitUntil(lambda colour=colour: faint() == colour, timeout=5000)


def test_a_remembered_beta_that_the_files_contradict_is_said(open_window, qtbot, monkeypatch):
    spec = PairSpec(policy="p", reference="r")
    Settings.of_user().remember_beta(spec, 0.1)
    known = Provenance(beta=0.3, sources={"beta": "beta in p/recipe.yaml"})
    monkeypatch.setattr(FakeEngine, "info", replace(INFO, beta=0.3, provenance=known))
    window = open_window(spec=spec)
    wait(qtbot, window)
    assert window.view.known_beta() == 0.1
    assert "it is 0.3 by beta in p/recipe.yaml" in window.notice.message.text()
    Settings.of_user().remember_beta(spec, None)
    again = open_window(spec=spec)
    wait(qtbot, again)
    box = again.view.controls.beta
    assert box.value() == 0.3 and "From beta in p/recipe.yaml." in box.toolTip()
    assert again.notice.isHidden()
