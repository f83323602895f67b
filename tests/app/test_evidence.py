"""The sentences of the prompt on which the verdict's word depends: marked, and asked for once."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import QApplication, QToolTip

from app import theme
from app.credit import evidence
from core.engine.protocol import ScoreVariants
from core.text import Prompt
from tests.app.conftest import settled
from tests.app.fake_engine import FakeEngine
from tests.app.fake_judge import EXAMPLE, OFFER, POST, Judge


@pytest.fixture
def judge(open_window, qtbot):
    def make(*examples):
        window = open_window(engine=Judge, examples=examples or (EXAMPLE,))
        qtbot.waitUntil(lambda: settled(window), timeout=10_000)
        return window

    return make


def asked():
    """What was asked; an empty request only ends another."""
    return [it for it in FakeEngine.last.asked(ScoreVariants) if it.variants]


def marks(window):
    """What is marked in the prompt's first turn; the grey instruction has no ground."""
    looks = window.view.prompt.first_turn().extraSelections()
    return [it for it in looks if it.format.background().style() != Qt.BrushStyle.NoBrush]


def marked(window):
    return [look.cursor.selectedText() for look in marks(window)]


def mark_colour(window):
    (look,) = marks(window)
    return look.format.underlineColor().name()


def wait(qtbot, window):
    qtbot.waitUntil(lambda: bool(asked()) and settled(window), timeout=10_000)


def test_the_sentence_that_speaks_against_the_word_is_underlined(judge, qtbot):
    window = judge()
    wait(qtbot, window)
    view = window.view
    assert marked(window) == [OFFER]
    assert view.verdict.detail.words.startswith("B loses most at “$250K”")
    assert view.verdict.detail.words.endswith("Without the underlined sentence: −0.1.")
    assert mark_colour(window) == theme.LIGHT.evidence
    (request,) = asked()
    prompts = [it.prompt.messages[-1].content for it in request.variants]
    assert len(prompts) == 4 and sum(OFFER not in it for it in prompts) == 1
    assert {it.text for it in request.variants} == {EXAMPLE.b}


def test_pointing_at_it_says_how_it_bears(judge, qtbot):
    window = judge()
    wait(qtbot, window)
    turn = window.view.prompt.first_turn()
    cursor = turn.textCursor()
    cursor.setPosition(POST.index("offered me"))
    turn.setTextCursor(cursor)
    at = turn.viewport().mapToParent(turn.cursorRect().center())
    event = QHelpEvent(QHelpEvent.Type.ToolTip, at, turn.mapToGlobal(at))
    QApplication.sendEvent(turn, event)
    said = " ".join(QToolTip.text().split())
    assert "speaks against “$250K” in B" in said and "<" not in said
    assert "−0.05 in place of −0.60" in said and "measured dependence" in said
    QToolTip.hideText()
    corner = QPoint(2, 2)
    beside = QHelpEvent(QHelpEvent.Type.ToolTip, corner, corner)
    QApplication.sendEvent(turn, beside)
    assert not beside.isAccepted()


def test_another_beta_asks_nothing_and_keeps_the_marks(judge, qtbot):
    window = judge()
    wait(qtbot, window)
    before = len(FakeEngine.last.requests)
    window.view.controls.beta.setValue(0.4)
    qtbot.wait(200)
    assert len(FakeEngine.last.requests) == before and marked(window) == [OFFER]


def test_nothing_is_asked_while_one_types(judge, qtbot, monkeypatch):
    monkeypatch.setattr(evidence, "REST_MS", 1000)
    window = judge()
    wait(qtbot, window)
    before = len(asked())
    editor = window.view.panels["B"].editor
    for letter in "Well, they say ":
        qtbot.keyClicks(editor, letter)
        qtbot.wait(20)
    assert len(asked()) == before
    qtbot.waitUntil(lambda: len(asked()) == before + 1, timeout=10_000)
    qtbot.waitUntil(lambda: marked(window) == [OFFER], timeout=10_000)
    assert asked()[-1].variants[0].text.startswith("Well, they say ")


def test_the_marks_go_with_an_edit_of_what_they_are_of(judge, qtbot):
    window = judge()
    wait(qtbot, window)
    turn = window.view.prompt.first_turn()
    cursor = turn.textCursor()
    cursor.setPosition(POST.index(OFFER))
    cursor.setPosition(POST.index(OFFER) + len(OFFER), cursor.MoveMode.KeepAnchor)
    turn.setTextCursor(cursor)
    qtbot.keyClicks(turn, "No offer.")
    qtbot.waitUntil(lambda: settled(window) and not marked(window), timeout=10_000)
    assert "underlined" not in window.view.verdict.detail.words


def test_long_prompts_are_not_asked_unasked(judge, qtbot):
    long = replace(EXAMPLE, prompt=Prompt.of(f"{POST} " + "It goes on and on. " * 400))
    window = judge(long)
    qtbot.wait(200)
    assert not asked() and marked(window) == []


def test_a_prompt_of_one_sentence_has_nothing_to_leave_out(judge, qtbot):
    window = judge(replace(EXAMPLE, prompt=Prompt.of(OFFER)))
    qtbot.wait(200)
    assert not asked() and marked(window) == []


def test_what_cannot_be_scored_is_left_out(judge, qtbot, monkeypatch):
    monkeypatch.setattr(Judge, "broken", ("I like my team.",))
    window = judge()
    wait(qtbot, window)
    assert marked(window) == [OFFER]


def test_the_marks_are_amber_in_the_dark_too(judge, qtbot):
    window = judge()
    wait(qtbot, window)
    window.look.choose_theme("dark")
    assert mark_colour(window) == theme.DARK.evidence
