"""The verdict above the responses: what it says, when it is grey, and its edit."""

import pytest
from PySide6.QtCore import Qt

from app import theme
from app.credit.verdict_bar import WAITS, VerdictBar
from core.present.verdict import Edit, Verdict, verdict
from tests.app.conftest import settled
from tests.app.fake_engine import FakeEngine
from tests.app.fake_judge import EXAMPLE, Judge

EDIT = Edit("A", 4, 8, "$53K", "$250K")
SAID = Verdict("The policy prefers A.", "B loses most at “$250K” (−6.3).", edit=EDIT)


def wait(qtbot, window):
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.waitUntil(window.view.verdict.headline.isEnabled, timeout=10_000)


@pytest.fixture
def bar(qtbot):
    made = VerdictBar()
    qtbot.addWidget(made)
    made.resize(900, 88)
    made.show()
    return made


def test_it_says_what_is_awaited(bar):
    assert bar.headline.words == WAITS and not bar.try_it.isVisible()


def test_it_shows_both_sentences_and_the_edit(bar, qtbot):
    bar.show_verdict(SAID, fresh=True)
    assert bar.headline.words == SAID.headline and bar.detail.words == SAID.detail
    with qtbot.waitSignal(bar.edit_wanted) as asked:
        qtbot.mouseClick(bar.try_it, Qt.MouseButton.LeftButton)
    assert asked.args == [EDIT]
    bar.show_verdict(Verdict("No clear preference."), fresh=True)
    assert not bar.try_it.isVisible() and not bar.detail.words


@pytest.mark.parametrize("narrow", [False, True])
def test_it_is_as_high_with_and_without_an_edit(bar, narrow, qapp):
    """So nothing below it moves when the verdict comes."""
    theme.apply(qapp, False)
    bar.set_narrow(narrow)
    qapp.processEvents()
    waits = bar.sizeHint().height()
    bar.show_verdict(SAID, fresh=True)
    qapp.processEvents()
    assert bar.sizeHint().height() == waits > 40


def test_what_is_of_an_older_text_is_grey(bar):
    bar.show_verdict(SAID, fresh=False)
    assert not (bar.headline.isEnabled() or bar.detail.isEnabled() or bar.try_it.isEnabled())
    bar.set_fresh(True)
    assert bar.headline.isEnabled() and bar.try_it.isEnabled()


def test_evidence_follows_the_detail_until_another_verdict(bar):
    bar.show_verdict(SAID, fresh=True)
    bar.show_evidence("Without the underlined: −0.2.")
    assert bar.detail.words == f"{SAID.detail} Without the underlined: −0.2."
    bar.show_evidence("")
    assert bar.detail.words == SAID.detail


def test_words_from_models_are_shown_as_they_are(bar):
    odd = Verdict("A <b>", "<i>x</i>", edit=Edit("A", 0, 1, "<b>", "&amp;"))
    bar.show_verdict(odd, fresh=True)
    assert bar.headline.textFormat() == Qt.TextFormat.PlainText
    assert bar.detail.textFormat() == Qt.TextFormat.PlainText
    assert "<b>" in bar.try_it.text()


def test_words_from_right_to_left_turn_nothing_around_them(bar):
    said = Verdict("No clear preference.", "B loses most at “مدير” (−1.2).")
    bar.show_verdict(said, fresh=True)
    assert bar.headline.words == said.headline
    assert bar.detail.words == "B loses most at “\u2068مدير\u2069” (−1.2)."


def test_the_window_says_what_the_numbers_do(window):
    view = window.view
    numbers = view.numbers
    expected = verdict(view.scorings(), numbers.alignment, view.known_beta(), numbers.credit)
    assert expected.headline and view.verdict.headline.words == expected.headline
    assert view.verdict.detail.words.startswith(expected.detail)


def test_typing_greys_it_until_the_scores_come(window, qtbot):
    view = window.view
    assert view.verdict.headline.isEnabled()
    qtbot.keyClicks(view.panels["A"].editor, "Well ")
    assert not view.verdict.headline.isEnabled() and not view.verdict.try_it.isEnabled()
    wait(qtbot, window)


@pytest.fixture
def judged(open_window, qtbot):
    """A window in which B loses at "$250K"."""
    window = open_window(engine=Judge, examples=(EXAMPLE,))
    wait(qtbot, window)
    return window


def test_the_edit_is_made_and_is_one_step_of_undo(judged, qtbot):
    window, view = judged, judged.view
    said = view.verdict.try_it.text()
    assert said == "Try: change “$53K” to “$250K” in A ›"
    qtbot.mouseClick(view.verdict.try_it, Qt.MouseButton.LeftButton)
    assert view.panels["A"].text() == EXAMPLE.b
    assert not view.verdict.headline.isEnabled()
    wait(qtbot, window)
    assert view.verdict.headline.words == "A and B are the same."
    editor = view.panels["A"].editor
    editor.setFocus()
    qtbot.keyClick(editor, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert view.panels["A"].text() == EXAMPLE.a
    wait(qtbot, window)
    assert view.verdict.try_it.text() == said


def test_the_worst_words_say_what_they_cost_while_rewards_are_shown(judged):
    a, b = (panel.editor for panel in judged.view.panels.values())
    (note,) = b.notes()
    assert (note.text, note.ring, note.tokens) == ("−0.6", True, range(3, 4)) and not a.notes()
    judged.view.controls.beta.setValue(1.0)
    assert b.notes()[0].text == "−6.0"
    judged.view.controls.choose("kl", "word")
    assert not b.notes()


def test_no_edit_is_made_in_a_text_that_was_typed_on(judged, qtbot):
    view = judged.view
    qtbot.keyClicks(view.panels["A"].editor, "Well ")
    assert not view.verdict.try_it.isEnabled()
    view.verdict.edit_wanted.emit(EDIT)
    assert view.panels["A"].text() == f"Well {EXAMPLE.a}"
    wait(qtbot, judged)


def test_there_is_no_verdict_of_one_response(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(FakeEngine, "fail_score", "It does not fit.")
    window = open_window()
    qtbot.waitUntil(lambda: "It does not fit." in window.notice.message.text(), timeout=10_000)
    assert window.view.verdict.headline.words == WAITS
