"""The Q-function's page and chart in the real window, driven by keys and mouse."""

from itertools import combinations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRect, Qt

from core.engine.protocol import Failed, ListLabels, ScoreVariants, Survey
from core.gauge import response_gauge
from tests.app.conftest import do, settled
from tests.app.fake_engine import FakeEngine, _logp, word_id

ALT = Qt.KeyboardModifier.AltModifier


def editor(window, side="A"):
    return window.view.panels[side].editor


def wait(qtbot, window):
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.wait(5)


def pin(qtbot, edit, index):
    where = edit.token_rects(index)[0].center()
    qtbot.mouseClick(edit.viewport(), Qt.MouseButton.LeftButton, pos=where)


def open_tab(qtbot, window, which=1):
    bar = window.view.inspector.tabs.tabBar()
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(which).center())


def surveyed(qtbot, window):
    page = window.view.q_page
    qtbot.waitUntil(lambda: page.vocabulary() is not None, timeout=5000)
    return page


def number(text):
    return float(text.replace("−", "-"))


def facts(page):
    return {name.text(): value.text() for name, value in page._facts}


@pytest.fixture
def page(window, qtbot):
    """Token 6 of A is pinned, and its state surveyed."""
    qtbot.waitUntil(lambda: window.view.chart is not None, timeout=10_000)
    pin(qtbot, editor(window), 6)
    open_tab(qtbot, window)
    return surveyed(qtbot, window)


def choose_chart(qtbot, window, key):
    choice = window.view.q_function._choices[0 if key == Qt.Key.Key_Down else 1]
    choice.setFocus()
    qtbot.keyClick(choice, key)


def test_nothing_is_surveyed_while_the_page_is_behind(window, qtbot):
    pin(qtbot, editor(window), 6)
    qtbot.waitUntil(lambda: window.view.inspector.inspection() is not None, timeout=5000)
    assert FakeEngine.last.asked(Survey) == []
    open_tab(qtbot, window)
    surveyed(qtbot, window)
    (request,) = FakeEngine.last.asked(Survey)
    scoring = window.view.panels["A"].scoring
    assert request.state.node == scoring.nodes[5]
    assert request.state.ids == scoring.tokens.ids[:6]
    assert len(FakeEngine.last.asked(ListLabels)) == 1


def test_the_key_opens_the_page(window, qtbot):
    pin(qtbot, editor(window), 6)
    qtbot.keyClick(window, Qt.Key.Key_Q, ALT)
    assert window.view.q_page.isVisible()
    qtbot.keyClick(window, Qt.Key.Key_T, ALT)
    assert window.view.inspector.by_policy.isVisible()


def test_the_numbers_of_the_token(window, page):
    scoring, beta = window.view.panels["A"].scoring, window.view.beta()
    shown = {name: number(value) for name, value in facts(page).items()}
    close = {"abs": 6e-5}
    q, v = beta * scoring.logit[6], beta * scoring.logsumexp[6]
    assert shown["Q"] == pytest.approx(q, **close)
    assert shown["V"] == pytest.approx(v, **close)
    assert shown["advantage"] == pytest.approx(q - v, **close)
    r = beta * (scoring.logp_policy[6] - scoring.logp_reference[6])
    assert shown["reward r"] == pytest.approx(r, **close)
    raw = r + v - beta * scoring.logsumexp[7]
    assert shown["r raw"] == pytest.approx(raw, **close)
    assert abs(shown["residual"]) <= 1e-12


def test_the_closing_token_leads_to_nothing(window, page, qtbot):
    scoring, beta = window.view.panels["A"].scoring, window.view.beta()
    window.view.focus_on.pin("A", len(scoring) - 1)
    raw = beta * (scoring.logit[-1] - scoring.logp_reference[-1])
    assert number(facts(page)["r raw"]) == pytest.approx(raw, abs=6e-5)
    wait(qtbot, window)


def test_the_lists_and_the_check_are_of_the_whole_vocabulary(window, page):
    actions, beta = page.vocabulary(), window.view.beta()
    scoring = window.view.panels["A"].scoring
    before = int(scoring.ids[5])
    known = np.flatnonzero(np.isfinite(actions.logp_policy)).tolist()
    ratio = {i: _logp(before, i, "pi") - _logp(before, i, "ref") for i in known}
    likely = [
        i for i in ratio if max(_logp(before, i, "pi"), _logp(before, i, "ref")) >= np.log(1e-3)
    ]
    best = sorted((ratio[id] for id in likely), reverse=True)
    for table, expected in ((page.promoted, best[:10]), (page.demoted, best[:-11:-1])):
        ids = {table.choice(row).id for row in range(10)}
        assert len(ids) == 10 and ids <= set(likely)
        listed = [ratio[table.choice(row).id] for row in range(10)]
        assert listed == pytest.approx(expected, abs=1e-5)  # words of one ratio come in any order
        shown = [number(table.item(row, 1).text()) for row in range(10)]
        assert shown == pytest.approx([beta * value for value in expected], abs=6e-4)
    policy = np.array([_logp(before, i, "pi") for i in known])
    first, second = page.check.text().splitlines()
    assert number(first.rpartition(" ")[2]) == pytest.approx(np.exp(policy).sum(), rel=1e-5)
    assert "Σ π_ref·exp(r/β)" in first and "−β·KL(π_ref\u202f||\u202fπ)" in second


def test_the_plot_marks_the_token_and_the_extremes(window, page):
    actions, plot = page.vocabulary(), page.plot
    scoring = window.view.panels["A"].scoring
    assert plot.isVisible() and "tokens" in plot.title.text()
    assert plot.current == scoring.ids[6]
    assert list(plot.promoted) == [c.id for c in actions.promoted]
    assert plot.labels[plot.current] == scoring.labels[6]
    r = window.view.beta() * (scoring.logp_policy[6] - scoring.logp_reference[6])
    x, y = plot.here.getData()
    assert x == pytest.approx([scoring.logp_reference[6]]) and y == pytest.approx([r])


@pytest.mark.parametrize("by_mouse", [True, False])
def test_a_listed_token_is_put_in_place(window, page, qtbot, by_mouse):
    panel = window.view.panels["A"]
    before = panel.scoring.tokens
    table = page.promoted if by_mouse else page.demoted
    chosen = table.choice(1)
    if by_mouse:
        where = table.visualItemRect(table.item(1, 0)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
        qtbot.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    else:
        table.setCurrentCell(1, 0)
        qtbot.keyClick(table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.scoring.tokens.ids[6] == chosen.id, timeout=5000)
    wait(qtbot, window)
    assert panel.scoring.tokens.ids[7:] == before.ids[7:]
    assert panel.scoring.ids[6] == page.plot.current
    assert page.promoted.item(1, 0).text().startswith("▸") == by_mouse


def asked_of_states():
    """How many requests there were but for evidence, which a clear preference asks for."""
    return sum(not isinstance(request, ScoreVariants) for request in FakeEngine.last.requests)


def test_beta_rescales_and_asks_nothing(window, page, qtbot):
    choose_chart(qtbot, window, Qt.Key.Key_Down)
    asked = asked_of_states()
    beta, plot, chart = window.view.beta(), page.plot, window.view.q_function.chart
    before = {name: number(value) for name, value in facts(page).items()}
    rewards, q = plot.rewards().copy(), chart.lines["q"].getData()[1].copy()
    first = number(page.promoted.item(0, 1).text())
    check = page.check.text().splitlines()[0]
    box = window.view.controls.beta
    box.selectAll()
    qtbot.keyClicks(box, box.locale().toString(3 * beta))
    qtbot.keyClick(box, Qt.Key.Key_Return)
    for name in ("Q", "V", "advantage", "reward r", "r raw"):
        assert number(facts(page)[name]) == pytest.approx(3 * before[name], abs=3e-4)
    np.testing.assert_allclose(plot.rewards(), 3 * rewards)
    assert np.isfinite(rewards).sum() > 50
    qtbot.waitUntil(lambda: chart.lines["q"].getData()[1] == pytest.approx(3 * q), timeout=5000)
    assert number(page.promoted.item(0, 1).text()) == pytest.approx(3 * first, abs=3e-3)
    assert page.check.text().splitlines()[0] == check
    qtbot.wait(150)
    assert asked_of_states() == asked


def test_looking_back_asks_nothing(window, page, qtbot):
    pin(qtbot, editor(window), 3)
    qtbot.waitUntil(lambda: len(FakeEngine.last.asked(Survey)) == 2, timeout=5000)
    wait(qtbot, window)
    assert page.vocabulary().state == window.view.panels["A"].scoring.nodes[2]
    pin(qtbot, editor(window), 6)
    assert page.vocabulary().state == window.view.panels["A"].scoring.nodes[5]
    qtbot.wait(150)
    assert len(FakeEngine.last.asked(Survey)) == 2
    assert len(FakeEngine.last.asked(ListLabels)) == 1


def test_an_edit_before_the_token_brings_another_state(window, page, qtbot):
    old = page.vocabulary().state
    cursor = editor(window).textCursor()
    cursor.setPosition(0)
    editor(window).setTextCursor(cursor)
    qtbot.keyClicks(editor(window), "X")
    wait(qtbot, window)
    surveyed(qtbot, window)
    scoring = window.view.panels["A"].scoring
    assert page.vocabulary().state == scoring.nodes[5] != old
    q = window.view.beta() * scoring.logit[6]
    assert number(facts(page)["Q"]) == pytest.approx(q, abs=6e-5)


def test_the_chart_is_chosen_by_keyboard_and_back(window, page, qtbot):
    view = window.view
    choose_chart(qtbot, window, Qt.Key.Key_Down)
    chart = view.q_function.chart
    assert chart.isVisible() and not view.chart.isVisible()
    assert view.q_function._choices[1].hasFocus()
    choose_chart(qtbot, window, Qt.Key.Key_Up)
    assert view.chart.isVisible() and not chart.isVisible()
    assert view.q_function._choices[0].hasFocus()


def test_the_chart_shows_the_side_in_use(window, page, qtbot):
    view = window.view
    choose_chart(qtbot, window, Qt.Key.Key_Down)
    chart = view.q_function.chart
    for side in "ABA":
        editor(window, side).setFocus()
        found = response_gauge(view.panels[side].scoring, view.beta())
        for key in ("q", "v", "advantage", "raw"):
            assert chart.lines[key].getData()[1] == pytest.approx(getattr(found, key))
    pin(qtbot, editor(window, "B"), 2)
    assert chart.marked() == ("B", 2)


def test_chart_and_editors_are_linked(window, page, qtbot):
    view = window.view
    choose_chart(qtbot, window, Qt.Key.Key_Down)
    chart = view.q_function.chart
    edit = editor(window)
    qtbot.mouseMove(edit.viewport(), QPoint(1, edit.viewport().height() - 2))
    qtbot.mouseMove(edit.viewport(), edit.token_rects(4)[0].center())
    assert chart.marked() == ("A", 4)
    chart.hovered.emit("A", 2)
    assert edit.highlighted() == 2
    chart.clicked.emit("A", 5)
    assert view.focus_on.pinned == ("A", 5)
    wait(qtbot, window)


def test_the_chart_follows_an_edit(window, page, qtbot):
    choose_chart(qtbot, window, Qt.Key.Key_Down)
    chart = window.view.q_function.chart
    edit = editor(window)
    edit.setFocus()
    edit.moveCursor(edit.textCursor().MoveOperation.End)
    qtbot.keyClicks(edit, " Yes")
    wait(qtbot, window)
    scoring = window.view.panels["A"].scoring
    assert scoring.ids[-2] == word_id(" Yes")
    found = response_gauge(scoring, window.view.beta()).raw
    qtbot.waitUntil(lambda: len(chart.lines["raw"].getData()[1]) == len(found), timeout=5000)
    assert chart.lines["raw"].getData()[1] == pytest.approx(found)


def test_a_failed_survey_is_a_sentence(window, qtbot, monkeypatch):
    monkeypatch.setattr(FakeEngine, "_survey", lambda self, r: Failed(r.id, "Shorten the text."))
    pin(qtbot, editor(window), 6)
    open_tab(qtbot, window)
    qtbot.waitUntil(window.notice.isVisible, timeout=5000)
    assert "Shorten the text." in window.notice.message.text()


def test_another_pair_forgets_what_was_surveyed(window, page, qtbot):
    window.pair.load(window.pair.spec)
    wait(qtbot, window)
    pin(qtbot, editor(window), 6)
    qtbot.waitUntil(lambda: len(FakeEngine.last.asked(Survey)) == 2, timeout=5000)
    wait(qtbot, window)


@pytest.mark.parametrize("presented", [False, True])
def test_nothing_is_squeezed_in_a_small_window(window, page, qtbot, presented):
    """Everything of the page has its height, nothing covers another, and all can be scrolled to."""
    window.menus.actions["set_presentation"].setChecked(presented)
    window.showNormal()
    window.resize(900, 600)
    qtbot.wait(30)
    parts = [page.plot, page.check, page.promoted, page.demoted]
    for one, other in combinations(parts, 2):
        assert not one.geometry().intersects(other.geometry())
    assert all(part.height() >= part.minimumHeight() for part in parts)
    assert page.check.height() >= page.check.heightForWidth(page.check.width())
    assert page.widget().width() <= page.viewport().width()
    page.demoted.setFocus()
    page.ensureWidgetVisible(page.demoted)
    corner = page.demoted.mapTo(page.viewport(), QPoint(0, 0))
    seen = page.viewport().rect().intersected(QRect(corner, page.demoted.size()))
    assert seen.height() > 60


def test_the_page_is_reached_by_tab(window, page, qtbot):
    inspector = window.view.inspector
    inspector.tabs.tabBar().setFocus()
    stops = page.plot.reset, page.plot.plot, page.promoted, page.demoted
    for expected in (inspector.unpin_button, page, *stops):
        qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Tab)
        assert window.focusWidget() is expected
        named = page.plot.current if expected is page.plot.plot else -1
        assert page.plot.named_row() == named
    window.view.focus_on.clear()  # closes the inspector, which lies over the chart
    choice = window.view.q_function._choices[0]
    choice.setFocus()
    qtbot.keyClick(choice, Qt.Key.Key_Tab)
    assert window.focusWidget() is window.view.chart.reset


def test_both_themes(window, page, qtbot):
    choose_chart(qtbot, window, Qt.Key.Key_Down)
    light = page.plot.grab().toImage()
    do(window, "theme dark")
    assert page.plot.grab().toImage() != light
    assert window.view.q_function.chart.dark
