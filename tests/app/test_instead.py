"""What else could stand somewhere: asked for by a key, seen as a table, put in place by a click."""

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication

from app.engine_client import real_engine
from core.engine.protocol import PairSpec, ScoreVariants
from core.present.effects import COLUMNS
from tests.app.conftest import do, settled
from tests.app.fake_engine import FakeEngine
from tests.tiny import save_pair

TOTAL, MARGIN = COLUMNS.index("total Δ"), COLUMNS.index("margin")


@pytest.fixture
def page(window):
    return window.view.probing.instead_page


def ask(window, qtbot, side="B", index=6):
    """Pin a token by the keyboard's way and press the key."""
    view = window.view
    view.focus_on.pin(side, index)
    qtbot.keyClick(
        view.panels[side].editor,
        Qt.Key.Key_I,
        Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
    )
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def texts(page):
    return [row.text for row in page.table.rows()]


def click(qtbot, table, text):
    place = next(i for i, row in enumerate(table.rows()) if row.text == text)
    table.scrollToItem(table.item(place, 0))
    where = table.visualItemRect(table.item(place, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)


def total(scoring):
    return 0.1 * float((scoring.logp_policy - scoring.logp_reference).sum())


def asked_here():
    return [it for it in FakeEngine.last.asked(ScoreVariants) if it.purpose == "instead"]


def test_a_key_scores_what_could_stand_at_the_pinned_token_in_one_batch(window, page, qtbot):
    view = window.view
    before = view.panels["B"].scoring
    ask(window, qtbot)
    assert view.inspector.isVisible() and page.isVisible()
    (request,) = asked_here()
    assert len(request.variants) == 6 == len(page.table.rows()) - 1  # and as it was
    likely = {"·forty", "·seventy", "·a", "·management"}
    assert set(texts(page)) == {"$250K", "$53K", "(left out)"} | likely
    assert "In place of “$250K” in B" in page.about.text()
    rows = page.table.rows()
    assert [row.effect.total for row in rows] == sorted(
        (row.effect.total for row in rows), reverse=True
    )
    at = next(i for i, row in enumerate(rows) if row.text == "·forty")
    forty = rows[at]
    click(qtbot, page.table, "·forty")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    panel = view.panels["B"]
    assert panel.text() == "They were offered a job for forty a year."
    assert total(panel.scoring) - total(before) == pytest.approx(forty.effect.total)
    margin = total(view.panels["A"].scoring) - total(panel.scoring)
    assert margin == pytest.approx(forty.effect.margin)
    assert page.isVisible() and view.focus_on.pinned == ("B", 6)
    # The table still holds, and marks what stands there now; another row goes in the same place.
    assert [row.text for row in page.table.rows() if row.current] == ["·forty"]
    click(qtbot, page.table, "(left out)")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert panel.text() == "They were offered a job for a year."
    assert page.isVisible()
    do(window, "undo")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "undo")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert panel.text() == before.tokens.text and panel.scoring.tokens.ids == before.tokens.ids
    assert len(asked_here()) == 1


def test_enter_in_the_table_puts_a_row_in_place(window, page, qtbot):
    ask(window, qtbot)
    page.table.setFocus()
    page.table.setCurrentCell(0, 0)
    wanted = page.table.rows()[0].text
    qtbot.keyClick(page.table, Qt.Key.Key_Down)
    qtbot.keyClick(page.table, Qt.Key.Key_Up)
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    (current,) = [row.text for row in page.table.rows() if row.current]
    assert current == wanted


def test_texts_of_ones_own_replace_the_word_or_the_selection(window, page, qtbot):
    view = window.view
    editor = view.panels["B"].editor
    cursor = editor.textCursor()
    at = editor.text().index("job for")
    cursor.setPosition(at)
    cursor.setPosition(at + len("job for"), cursor.MoveMode.KeepAnchor)
    editor.setTextCursor(cursor)
    editor.setFocus()
    page.own.setText('post at, "job, for"')
    do(window, "score_instead")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert page.place.currentText() == "the selection"
    assert "In place of “job for” in B" in page.about.text()
    assert {"job for", "post at", "job, for", "(left out)"} <= set(texts(page))
    click(qtbot, page.table, "post at")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert view.panels["B"].text() == "They were offered a post at $250K a year."
    assert [row.text for row in page.table.rows() if row.current] == ["post at"]


def test_a_word_is_offered_what_the_other_response_has(window, page, qtbot):
    page.place.setCurrentIndex(page.place.findData("word"))
    ask(window, qtbot)
    assert "$53K" in texts(page)
    same = next(row for row in page.table.rows() if row.text == "$53K")
    assert same.effect.margin == pytest.approx(0.0)  # B is then A


def test_a_heading_sorts_and_another_click_turns_it_around(window, page, qtbot):
    ask(window, qtbot)
    header = page.table.horizontalHeader()

    def press(column):
        x = header.sectionViewportPosition(column) + header.sectionSize(column) // 2
        where = QPoint(x, header.height() // 2)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)

    press(0)
    assert texts(page) == sorted(texts(page), key=str.casefold)
    press(0)
    assert texts(page) == sorted(texts(page), key=str.casefold, reverse=True)
    press(MARGIN)
    margins = [row.effect.margin for row in page.table.rows()]
    assert margins == sorted(margins, reverse=True)


def test_it_shows_progress_and_escape_cancels(window, page, qtbot, monkeypatch):
    FakeEngine.last.gated = (ScoreVariants,)
    page.own.setText(", ".join(f"word{i}" for i in range(9)))
    view = window.view
    view.focus_on.pin("B", 6)
    do(window, "score_instead")
    qtbot.waitUntil(lambda: page.progress.isVisible() and page.bar.maximum() == 15)
    assert not page.start.isEnabled()
    qtbot.keyClick(view.panels["B"].editor, Qt.Key.Key_Escape)
    assert not page.progress.isVisible() and page.start.isEnabled()
    assert "Cancelled" in page.about.text()
    assert view.focus_on.pinned == ("B", 6)  # the first Esc cancels, the second unpins
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.keyClick(view.panels["B"].editor, Qt.Key.Key_Escape)
    assert view.focus_on.pinned is None


def test_what_was_found_is_stale_once_the_text_is_another(window, page, qtbot):
    ask(window, qtbot)
    panel = window.view.panels["B"]
    panel.editor.setFocus()
    qtbot.keyClicks(panel.editor, "So ")
    text = panel.text()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert "has changed since" in page.about.text()
    click(qtbot, page.table, "·forty")
    assert panel.text() == text  # nothing is put into a text that it was not scored for
    panel.editor.setFocus()
    do(window, "undo")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert "has changed since" not in page.about.text()


def test_another_beta_asks_nothing_and_the_table_is_copied(window, page, qtbot):
    ask(window, qtbot)
    before = {row.text: row.effect.total for row in page.table.rows()}
    window.view.controls.set_beta(0.2, "")
    window.view.controls.beta_changed.emit(0.2)
    after = {row.text: row.effect.total for row in page.table.rows()}
    assert len(asked_here()) == 1
    assert all(after[text] == pytest.approx(2 * value) for text, value in before.items())
    page.table.copy_table()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 1 + len(before) and lines[0].startswith("text\tlogp_policy")


def test_what_runs_stops_once_its_text_is_another(window, page, qtbot, monkeypatch):
    FakeEngine.last.gated = (ScoreVariants,)
    view = window.view
    view.focus_on.pin("B", 6)
    do(window, "score_instead")
    qtbot.waitUntil(page.progress.isVisible)
    panel = view.panels["B"]
    panel.editor.setFocus()
    qtbot.keyClicks(panel.editor, "So ")
    assert not page.progress.isVisible() and page.start.isEnabled()
    assert "has changed since" in page.about.text()
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_another_place_is_asked_about_without_a_selected_row(window, page, qtbot):
    ask(window, qtbot)
    click(qtbot, page.table, "(left out)")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert page.table.currentRow() >= 0
    ask(window, qtbot, index=3)
    assert page.table.currentRow() == -1


def test_the_heading_says_how_it_is_sorted(window, page, qtbot):
    ask(window, qtbot)

    def titles():
        return [page.table.horizontalHeaderItem(i).text() for i in range(len(COLUMNS))]

    assert titles() == [f"{it} ▾" if it == "total Δ" else it for it in COLUMNS]
    page.table.sort_by(0)
    assert titles() == ["text ▴", *COLUMNS[1:]]


def test_the_pages_are_made_when_the_inspector_first_opens(window):
    tabs = window.view.inspector.tabs
    assert [tabs.tabText(i) for i in range(tabs.count())] == ["&Token", "&Q-function"]
    window.view.focus_on.pin("B", 6)
    named = [tabs.tabText(i) for i in range(tabs.count())]
    assert named[2:] == ["I&nstead", "&Best edits", "&Depends on"]


def test_without_a_place_it_says_what_to_do(window, page, qtbot):
    do(window, "score_instead")
    assert not page.isVisible() or "Pin a token" in page.about.text()
    assert not asked_here()
    window.view.focus_on.pin("B", len(window.view.panels["B"].scoring.tokens))
    do(window, "score_instead")
    assert "Only what the response itself says" in page.about.text()


def test_fifty_of_each_model_in_a_long_response_of_a_real_pair(open_window, qtbot, tmp_path):
    """One token of 200 is replaced by the top 50 of both: one request, in steps, cancelled once."""
    policy, reference = save_pair(tmp_path)
    spec = PairSpec(policy=str(policy), reference=str(reference), beta=0.1)
    window = open_window(spec=spec, engine=real_engine)
    view, page = window.view, window.view.probing.instead_page
    qtbot.waitUntil(lambda: settled(window), timeout=60_000)
    panel = view.panels["B"]
    panel.editor.set_text_keeping_undo(" ".join(["They were offered a job for $250K a year."] * 14))
    view.ask("B")
    qtbot.waitUntil(lambda: settled(window), timeout=60_000)
    before = panel.scoring
    assert len(before.tokens) >= 200
    page.count.setCurrentIndex(page.count.findData(50))
    view.focus_on.pin("B", 100)
    run = view.probing.instead.run
    shown = []

    def cancel_at_once():
        shown.append((page.progress.isVisible(), page.bar.value()))
        qtbot.mouseClick(page.cancel, Qt.MouseButton.LeftButton)

    run.stepped.connect(cancel_at_once)
    do(window, "score_instead")
    qtbot.waitUntil(lambda: bool(shown) and not window.client.busy(), timeout=60_000)
    ((visible, done),) = shown
    assert visible and 0 < done == len(run.scorings) < run.count
    assert not run.running and "Cancelled" in page.about.text()
    assert len(page.table.rows()) == 1 + done
    run.stepped.disconnect(cancel_at_once)
    seen = []
    run.stepped.connect(lambda: seen.append(len(run.scorings)))
    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not view.probing.instead.running, timeout=60_000)
    assert len(seen) > 1 and seen[-1] == run.count >= 51
    assert len(page.table.rows()) == run.count + 1
    best = page.table.rows()[0]
    click(qtbot, page.table, best.text)
    qtbot.waitUntil(lambda: settled(window), timeout=60_000)
    now = total(panel.scoring) - total(before)
    assert now == pytest.approx(best.effect.total, abs=1e-4)
