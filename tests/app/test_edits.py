"""The best single edits are found within a budget, listed, and put in place by a click."""

import pytest
from PySide6.QtCore import Qt

from core.engine.protocol import ScoreVariants
from tests.app.conftest import do, settled
from tests.app.fake_engine import FakeEngine, scoring_of, tokens_of
from tests.app.test_instead import click, total

WORDS = [" forty", " seventy", " a", " management"]
"""What the scripted engine offers at every state."""


@pytest.fixture
def page(window):
    return window.view.probing.edits_page


def find(window, page, qtbot, side="B", goal="raise", budget=300):
    window.view.focus_on.pin(side, 2)
    do(window, "find_edits")
    page.goal.setCurrentIndex(page.goal.findData(goal))
    page.budget.setValue(budget)
    assert page.side.currentData() == side
    qtbot.waitUntil(lambda: page.start.height() > 0)
    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)


def every_edit(scoring):
    """The totals of all single edits, one by one."""
    words = [piece.decode() for piece in scoring.tokens.pieces]
    found = []
    for index in range(len(words)):
        for word in WORDS:
            if word != words[index]:
                new = scoring_of(tokens_of([*words[:index], word, *words[index + 1 :]]))
                label = f"{scoring.labels[index]} → {word.replace(' ', '·')}"
                found.append((total(new) - total(scoring), label))
    return found


def asked_here():
    return [it for it in FakeEngine.last.asked(ScoreVariants) if it.purpose == "best edits"]


def test_the_edit_that_raises_the_sum_most_is_that_of_trying_all(window, page, qtbot):
    before = window.view.panels["B"].scoring
    find(window, page, qtbot)
    qtbot.waitUntil(lambda: not window.view.probing.edits.running, timeout=20_000)
    every = every_edit(before)
    most, best = max(every)
    rows = page.table.rows()
    assert rows[0].text == best and rows[0].effect.total == pytest.approx(most)
    assert all(row.effect.total > 0 for row in rows)
    assert len(rows) == sum(value > 0 for value, _ in every)
    assert "every token was tried" in page.about.text() and best in page.about.text()
    click(qtbot, page.table, best)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    panel = window.view.panels["B"]
    assert total(panel.scoring) - total(before) == pytest.approx(most)
    assert page.isVisible() and [row.text for row in page.table.rows() if row.current] == [best]
    said = page.about.text()
    assert f"“{best}” is in place. All rows are edits of B as it was before" in said
    do(window, "undo")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert panel.scoring.tokens.ids == before.tokens.ids
    assert "is in place" not in page.about.text()


def test_flips_follow_the_other_response(window, page, qtbot):
    """Whether an edit flips the margin is said of A as it is now, not as it was at Find."""
    view = window.view
    find(window, page, qtbot)
    qtbot.waitUntil(lambda: not view.probing.edits.running, timeout=20_000)
    subject = view.panels["B"].scoring
    view.panels["A"].editor.set_text_keeping_undo("They were offered management management.")
    view.ask("A")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    margin = total(view.panels["A"].scoring) - total(subject)
    rows = page.table.rows()
    assert rows and all(row.flips == (row.effect.margin * margin < 0) for row in rows)


def test_the_largest_rewards_come_first_and_the_budget_is_kept(window, page, qtbot):
    scoring = window.view.panels["B"].scoring
    find(window, page, qtbot, budget=6)
    qtbot.waitUntil(lambda: not window.view.probing.edits.running, timeout=20_000)
    first, second = asked_here()
    assert len(first.variants) + len(second.variants) == 6
    ratio = abs(scoring.logp_policy - scoring.logp_reference)[: len(scoring.tokens)]
    for request, place in zip((first, second), (-ratio).argsort(kind="stable"), strict=False):
        for variant in request.variants:
            own = variant.ids
            differ = [i for i, id in enumerate(scoring.tokens.ids) if own[i] != id]
            assert differ == [place]
    assert "6 edits were scored, the budget is spent" in page.about.text()


def test_edits_that_flip_the_margin_are_marked(window, page, qtbot):
    view = window.view
    margin = total(view.panels["A"].scoring) - total(view.panels["B"].scoring)
    worse = "B" if margin > 0 else "A"
    find(window, page, qtbot, side=worse, goal="flip")
    qtbot.waitUntil(lambda: not view.probing.edits.running, timeout=20_000)
    rows = page.table.rows()
    assert rows and all(row.flips == (row.effect.margin * margin < 0) for row in rows)
    assert any(row.flips for row in rows) and "flip" in page.about.text()
    assert all(row.effect.total > 0 for row in rows)  # the worse one is to gain


def test_it_shows_progress_and_escape_keeps_what_was_found(window, page, qtbot, monkeypatch):
    find(window, page, qtbot, budget=300)
    qtbot.waitUntil(lambda: not window.view.probing.edits.running, timeout=20_000)
    FakeEngine.last.gated = (ScoreVariants,)
    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.view.probing.edits.run.running, timeout=10_000)
    assert page.progress.isVisible() and page.bar.maximum() == 300
    assert not page.start.isEnabled()
    qtbot.keyClick(window.view.panels["B"].editor, Qt.Key.Key_Escape)
    assert not page.progress.isVisible() and page.start.isEnabled()
    assert "Cancelled" in page.about.text() and page.isVisible()
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
