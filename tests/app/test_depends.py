"""What a response's credit depends on: a matrix, and what it says in the texts themselves."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from core.dependence import matrix, parts, without
from core.engine.protocol import ScoreVariants, Stopped, VariantsDone, VariantsScored
from tests.app.conftest import do, settled
from tests.app.fake_engine import FakeEngine, scoring_of


@pytest.fixture
def engine(monkeypatch):
    """An engine to which the prompt matters: without "$53K" the policy is another checkpoint."""

    def score_variants(self, request):
        scored = []
        for variant in request.variants:
            whole = "$53K" in variant.prompt.messages[-1].content
            scored.append(scoring_of(self._tokens(variant), self._shown if whole else "another"))
        for first, scoring in enumerate(scored):
            if not self._may_step(request):
                return Stopped(request.id)
            fraction = (first + 1) / len(scored)
            self.emit(VariantsScored(request.id, first, (scoring,), ("",), fraction))
        return VariantsDone(request.id)

    monkeypatch.setattr(FakeEngine, "_score_variants", score_variants)


@pytest.fixture
def page(engine, window, qtbot):
    page = window.view.probing.depends_page
    window.view.focus_on.pin("B", 6)
    do(window, "show_dependence")
    qtbot.waitUntil(lambda: page.start.height() > 0)
    return page


def measure(window, page, qtbot):
    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.waitUntil(lambda: page.map.rect_of(0, 0).width() > 0)


def reward(scoring):
    return 0.1 * (scoring.logp_policy - scoring.logp_reference)


def point(page, qtbot, row, column):
    where = page.map.rect_of(row, column).center().toPoint()
    qtbot.mouseMove(page.map, where + QPoint(1, 0))
    qtbot.mouseMove(page.map, where)
    qtbot.waitUntil(lambda: page.map.hover == (row, column), timeout=5_000)


def selections(window):
    return window.view.prompt.first_turn().extraSelections()


def test_the_matrix_is_that_of_leaving_out_each_part(window, page, qtbot):
    measure(window, page, qtbot)
    view = window.view
    (asked,) = [it for it in FakeEngine.last.asked(ScoreVariants) if it.purpose == "dependence"]
    prompt = view.prompt.prompt()
    found = parts(prompt, "sentence")
    assert [it.prompt for it in asked.variants] == [without(prompt, it) for it in found]
    scoring = view.panels["B"].scoring
    assert all(it.ids == scoring.tokens.ids for it in asked.variants)
    changes = view.probing.depends.changes
    another = reward(scoring_of(scoring.tokens, "another")) - reward(scoring)
    assert changes.shape == (2, len(scoring))  # a word is a token here
    assert np.allclose(changes[0], 0) and np.allclose(changes[1], another)


def test_pointing_shows_the_change_in_both_texts(window, page, qtbot):
    measure(window, page, qtbot)
    panel = window.view.panels["B"]
    before = panel.editor.viewport().grab().toImage()
    point(page, qtbot, 1, 6)
    change = window.view.probing.depends.changes[1, 6]
    assert f"{abs(change):.3f}" in page.pointed.text() and "$250K" in page.pointed.text()
    assert "They offered me $53K." in page.pointed.text()
    assert panel.editor.viewport().grab().toImage() != before
    texts = [it.cursor.selectedText() for it in selections(window)]
    assert "They offered me $53K." in texts
    assert page.map.data.steps[1] == "They offered…"  # a row is named by its part
    page.map.hovered.emit(-1, -1)
    assert page.pointed.text() == ""
    assert panel.editor.viewport().grab().toImage() == before
    assert not any("$53K" in it.cursor.selectedText() for it in selections(window)) or (
        window.view.evidence.found(0.1, window.view.numbers.credit, window.view.noise)
    )


def test_words_and_turns_are_parts_too_and_one_part_alone_is_refused(window, page, qtbot):
    page.by.setCurrentIndex(page.by.findData("word"))
    measure(window, page, qtbot)
    assert len(window.view.probing.depends.changes) == 10
    page.by.setCurrentIndex(page.by.findData("turn"))
    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)
    assert "only one such part" in page.about.text()


def test_it_shows_progress_and_escape_cancels(window, page, qtbot, monkeypatch):
    FakeEngine.last.gated = (ScoreVariants,)
    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)
    assert page.progress.isVisible() and page.bar.maximum() == 2
    qtbot.keyClick(window.view.panels["B"].editor, Qt.Key.Key_Escape)
    assert not page.progress.isVisible() and "Cancelled: 0 of 2" in page.about.text()
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_changes_add_up_over_words_and_unknown_parts_stay_unknown():
    whole = np.array([1.0, 2.0, 3.0])
    found = matrix(whole, [np.array([1.0, 3.0, 5.0]), None], [range(2), range(2, 3)])
    assert found[0].tolist() == [1.0, 2.0] and np.isnan(found[1]).all()
