"""The history strip on the real window, with keys and mouse, under the scripted engine."""

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from app import history as app_history
from core import history
from core.engine.protocol import (
    PairSpec,
    Score,
    ScoreVariants,
    Scrub,
    VariantsDone,
    VariantsScored,
)
from core.present.pair import pair_numbers
from core.text import Prompt
from tests.app.conftest import do, settled
from tests.app.fake_engine import (
    CHECKPOINTS,
    RUN_INFO,
    FakeEngine,
    example,
    scoring_of,
    split,
    tokens_of,
)


@pytest.fixture(autouse=True)
def _no_burst(monkeypatch):
    """What is typed at any speed is a point of its own, unless a test says else."""
    monkeypatch.setattr(history, "BURST", 0.0)
    monkeypatch.setattr(app_history, "BEHIND_MS", 1)


def rest(window, qtbot):
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def editor(window, side="B"):
    return window.view.panels[side].editor


def write(window, qtbot, words, side="B"):
    """Type at the end of a response, and wait for its scores."""
    place = editor(window, side)
    place.moveCursor(place.textCursor().MoveOperation.End)
    qtbot.keyClicks(place, words)
    rest(window, qtbot)


def click(window, qtbot, number, how=Qt.KeyboardModifier.NoModifier):
    strip = window.view.history
    at = strip.point_at(number).toPoint()
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, how, at)
    rest(window, qtbot)


def rows(window):
    return [(row.title, row.side) for row in window.view.history.rows]


def test_each_scored_edit_is_a_point(window, qtbot):
    strip = window.view.history
    assert not strip.isVisible(), "one state is no history"
    write(window, qtbot, " More.")
    assert strip.isVisible() and rows(window) == [("", ""), ("+ More.", "B")]
    write(window, qtbot, " Again.", "A")
    assert rows(window)[2] == ("+ Again.", "A") and strip.now == 3
    known = window.view.scorings()
    margin = pair_numbers(known["A"], known["B"], window.view.known_beta()).margin
    assert strip.rows[2].value == pytest.approx(margin)
    assert "3 of 3" in strip.accessibleDescription() and "margin" in strip.sentence()


def test_typing_goes_on_in_one_point(window, qtbot, monkeypatch):
    monkeypatch.setattr(history, "BURST", 60.0)
    for words in (" One", " two", " three"):
        write(window, qtbot, words)
    assert rows(window) == [("", ""), ("+ One two three", "B")]
    do(window, "copy_a_to_b")
    rest(window, qtbot)
    assert rows(window)[2] == ("copied from A", "B")


def test_a_click_goes_back_with_the_very_tokens_and_one_undo(window, qtbot):
    first = editor(window).text()
    assert window.view.replace("B", 2, int(window.view.scorings()["A"].ids[3]))
    rest(window, qtbot)
    forced = window.view.scorings()["B"].tokens
    assert any(forced.forced)
    write(window, qtbot, " More.")
    last = editor(window).text()
    asked = len(FakeEngine.last.requests)
    click(window, qtbot, 2)
    assert editor(window).text() == forced.text
    assert window.view.scorings()["B"].tokens.ids == forced.ids
    score = [it for it in FakeEngine.last.requests[asked:] if isinstance(it, Score)]
    assert [(it.side, it.ids) for it in score] == [("B", forced.ids)], "A is as it was"
    do(window, "undo")
    rest(window, qtbot)
    assert editor(window).text() == last and window.history.history.now == 3
    do(window, "redo")
    rest(window, qtbot)
    assert editor(window).text() == forced.text and window.history.history.now == 2
    click(window, qtbot, 1)
    assert editor(window).text() == first
    assert len(rows(window)) == 3, "going back adds nothing"
    write(window, qtbot, " Else.")
    assert len(rows(window)) == 4 and rows(window)[3] == ("+ Else.", "B")


def test_the_prompt_comes_back_too(window, qtbot):
    before = window.view.prompt.prompt()
    turn = window.view.prompt.first_turn()
    qtbot.keyClicks(turn, "Please. ")
    qtbot.waitUntil(lambda: len(rows(window)) == 2, timeout=10_000)
    rest(window, qtbot)
    assert rows(window)[1][0].startswith("prompt: ")
    click(window, qtbot, 1)
    assert window.view.prompt.prompt() == before and window.view.history.now == 1
    do(window, "undo")
    rest(window, qtbot)
    assert window.view.prompt.prompt().messages[0].content.startswith("Please. ")
    assert window.view.history.now == 2


def test_keys_walk_the_states(window, qtbot):
    for words in (" One.", " Two."):
        write(window, qtbot, words)
    place = editor(window)
    qtbot.keyClick(place, Qt.Key.Key_PageUp, Qt.KeyboardModifier.AltModifier)
    rest(window, qtbot)
    assert window.view.history.now == 2 and place.text().endswith(" One.")
    qtbot.keyClick(place, Qt.Key.Key_PageUp, Qt.KeyboardModifier.AltModifier)
    rest(window, qtbot)
    assert window.view.history.now == 1 and not window.menus.actions["go_back"].isEnabled()
    qtbot.keyClick(place, Qt.Key.Key_PageDown, Qt.KeyboardModifier.AltModifier)
    rest(window, qtbot)
    assert window.view.history.now == 2
    strip = window.view.history
    strip.setFocus()
    qtbot.keyClick(strip, Qt.Key.Key_Left)
    assert strip.now == 2 and "1 of 3" in strip.sentence(), "an arrow only tells"
    qtbot.keyClick(strip, Qt.Key.Key_Return)
    rest(window, qtbot)
    assert strip.now == 1
    qtbot.keyClick(strip, Qt.Key.Key_End)
    qtbot.keyClick(strip, Qt.Key.Key_Return)
    rest(window, qtbot)
    assert strip.now == 3
    qtbot.keyClick(strip, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    rest(window, qtbot)
    assert strip.now == 2, "Alt with an arrow goes at once"


def test_two_states_as_a_and_b(window, qtbot):
    one = editor(window).text()
    write(window, qtbot, " More.")
    other = editor(window).text()
    click(window, qtbot, 1, Qt.KeyboardModifier.ShiftModifier)
    assert (editor(window, "A").text(), editor(window).text()) == (one, other)
    assert rows(window)[2][0] == "states 1 and 2 as A and B"
    do(window, "undo")
    rest(window, qtbot)
    assert (editor(window, "A").text(), editor(window).text()) == (example().a, other)


def test_states_that_differ_in_the_prompt_alone_are_not_compared(window, qtbot):
    window.view.prompt.put_prompt(Prompt.of("How?"))
    window.view.prompt.changed.emit()
    qtbot.waitUntil(lambda: len(rows(window)) == 2, timeout=10_000)
    click(window, qtbot, 1, Qt.KeyboardModifier.ShiftModifier)
    assert "prompt alone" in window.statusBar().currentMessage()
    assert len(rows(window)) == 2


def test_a_point_can_be_named(window, qtbot):
    write(window, qtbot, " More.")
    asked = []
    window.history.ask_name = lambda name, parent: asked.append(name) or "the long one"
    strip = window.view.history
    strip.setFocus()
    qtbot.keyClick(strip, Qt.Key.Key_F2)
    assert strip.rows[1].name == "the long one" and "the long one" in strip.sentence()
    do(window, "name_this")
    assert asked == ["", "the long one"]
    window.history.ask_name = lambda name, parent: None
    do(window, "name_this")
    assert strip.rows[1].name == "the long one"


def test_the_menu_of_a_dot(window, qtbot):
    write(window, qtbot, " More.")
    strip = window.view.history
    strip.show_menu(1)
    titles = [(it.text(), it.isEnabled()) for it in strip.menu.actions()]
    assert titles == [
        ("&Go back to it", True),
        ("&Compare with now as A and B", True),
        ("&Name…", True),
    ]
    strip.menu.actions()[0].trigger()
    strip.menu.close()
    rest(window, qtbot)
    assert strip.now == 1


def test_pointing_at_a_dot_tells_of_it(window, qtbot):
    write(window, qtbot, " More.")
    strip = window.view.history
    qtbot.mouseMove(strip, strip.point_at(1).toPoint())
    assert strip.sentence().startswith("The first texts (1 of 2)")
    qtbot.mouseMove(strip, QPoint(4, 4))
    assert strip.sentence().startswith("B: + More. (2 of 2)")


def test_another_beta_moves_the_dots_without_a_model(window, qtbot):
    write(window, qtbot, " More.")
    before = [row.value for row in window.view.history.rows]
    asked = len(FakeEngine.last.requests)
    window.view.controls.beta.setValue(2 * window.view.beta())
    after = [row.value for row in window.view.history.rows]
    assert after == pytest.approx([2 * value for value in before])
    assert not any(isinstance(it, Score) for it in FakeEngine.last.requests[asked:])


def test_an_example_is_named_in_the_strip(open_window, qtbot):
    window = open_window()
    rest(window, qtbot)
    write(window, qtbot, " More.")
    window.texts.show_example(0)
    rest(window, qtbot)
    assert window.view.history.now == 1, "the texts are those of the first point"


def test_another_pair_scores_the_states_behind(window, qtbot):
    write(window, qtbot, " More.")
    values = [row.value for row in window.view.history.rows]
    window.pair.load(PairSpec(policy="q", reference="s"))
    assert all(row.value != row.value for row in window.view.history.rows)
    strip = window.view.history
    qtbot.waitUntil(lambda: all(row.value == row.value for row in strip.rows), timeout=10_000)
    assert [row.value for row in strip.rows] == pytest.approx(values)
    rest(window, qtbot)


def test_another_checkpoint_has_other_numbers(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(FakeEngine, "info", RUN_INFO)
    window = open_window()
    rest(window, qtbot)
    write(window, qtbot, " More.")
    strip = window.view.history
    values = [row.value for row in strip.rows]
    do(window, "first_checkpoint")
    qtbot.waitUntil(lambda: not window.client.busy(Scrub), timeout=10_000)
    qtbot.waitUntil(
        lambda: (
            all(row.value == row.value for row in strip.rows)
            and [row.value for row in strip.rows] != values
        ),
        timeout=10_000,
    )
    known = window.view.scorings()
    margin = pair_numbers(known["A"], known["B"], window.view.known_beta()).margin
    assert strip.rows[1].value == pytest.approx(margin)
    rest(window, qtbot)


def numbers_come(window, qtbot, checkpoint):
    """Wait until each dot has the number that its texts have under a checkpoint."""
    window.checkpoints.scrubbing.show_checkpoint(checkpoint)
    qtbot.waitUntil(lambda: not window.client.busy(Scrub), timeout=10_000)
    path, view, expected = CHECKPOINTS[checkpoint].path, window.view, []
    for point in window.history.history:
        texts = point.state.a.text, point.state.b.text
        a, b = (scoring_of(tokens_of(split(text)), path) for text in texts)
        expected.append(pytest.approx(pair_numbers(a, b, view.known_beta()).margin, abs=1e-9))
    strip = view.history
    qtbot.waitUntil(lambda: [row.value for row in strip.rows] == expected, timeout=10_000)
    rest(window, qtbot)


def test_going_to_and_fro_between_checkpoints_always_finds_numbers(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(FakeEngine, "info", RUN_INFO)
    window = open_window()
    rest(window, qtbot)
    write(window, qtbot, " More.")
    for checkpoint in (2, 1, 2, 1, 3):
        numbers_come(window, qtbot, checkpoint)


def test_numbers_are_of_the_checkpoint_that_they_were_scored_under(open_window, qtbot, monkeypatch):
    """The job may begin when another checkpoint is shown than when it was asked for."""

    begun_under = [CHECKPOINTS[1].path]

    class Late(FakeEngine):
        def _score_variants(self, request):
            shown = self._shown
            if request.purpose == "history" and begun_under:
                self._shown = begun_under.pop()
            done = super()._score_variants(request)
            self._shown = shown
            return done

    monkeypatch.setattr(FakeEngine, "info", RUN_INFO)
    window = open_window(engine=Late)
    rest(window, qtbot)
    write(window, qtbot, " More.")
    numbers_come(window, qtbot, 2)
    assert not begun_under
    assert {it.checkpoint for it in window.history.history} == {CHECKPOINTS[2].path}


def test_what_cannot_be_scored_is_asked_for_once(open_window, qtbot, monkeypatch):
    class Unable(FakeEngine):
        def _score_variants(self, request):
            if request.purpose != "history":
                return super()._score_variants(request)
            count = len(request.variants)
            said = (None,) * count, ("It is too long.",) * count, 1.0, self._asked()
            self.emit(VariantsScored(request.id, 0, *said))
            return VariantsDone(request.id)

    monkeypatch.setattr(FakeEngine, "info", RUN_INFO)
    window = open_window(engine=Unable)
    rest(window, qtbot)
    write(window, qtbot, " More.")

    def asked():
        return [it for it in FakeEngine.last.asked(ScoreVariants) if it.purpose == "history"]

    do(window, "first_checkpoint")
    qtbot.waitUntil(lambda: len(asked()) == 1 and settled(window), timeout=10_000)
    write(window, qtbot, " And.")
    do(window, "next_checkpoint")
    qtbot.waitUntil(lambda: len(asked()) == 2 and settled(window), timeout=10_000)
    told = [{it.text for it in request.variants} - {example().a} for request in asked()]
    one, other = example().b, f"{example().b} More."
    assert told == [{one}, {one, other}], "each once under each checkpoint"


def test_the_strip_can_be_put_away_and_stays_away(window, open_window, qtbot):
    write(window, qtbot, " More.")
    window.menus.actions["show_history"].setChecked(False)
    assert not window.view.history.isVisible()
    write(window, qtbot, " And.")
    window.close()
    again = open_window()
    assert not again.menus.actions["show_history"].isChecked()
    rest(again, qtbot)
    write(again, qtbot, " More.")
    assert not again.view.history.isVisible()
    again.menus.actions["show_history"].setChecked(True)
    assert again.view.history.isVisible()


# --- the Edit menu --------------------------------------------------------------------------------


def possible(window):
    names = "undo", "redo", "cut", "copy", "paste", "select_all"
    return {name for name in names if window.menus.actions[name].isEnabled()}


def test_the_edit_menu_says_what_can_be_done(window, qtbot):
    QGuiApplication.clipboard().clear()
    window.activateWindow()
    place = editor(window)
    place.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is place, timeout=5000)
    assert possible(window) == {"select_all"}
    qtbot.keyClicks(place, "One")
    assert possible(window) == {"undo", "select_all"}
    do(window, "select_all")
    assert possible(window) == {"undo", "select_all", "cut", "copy"}
    do(window, "copy")
    assert possible(window) == {"undo", "select_all", "cut", "copy", "paste"}
    text = place.text()
    do(window, "cut")
    assert place.text() == "" and possible(window) == {"undo", "select_all", "paste"}
    do(window, "paste")
    assert place.text() == text
    do(window, "undo")
    assert "redo" in possible(window)
    window.view.history.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is not place, timeout=5000)
    assert not possible(window) & {"cut", "copy", "paste", "select_all"}
    rest(window, qtbot)


def test_the_clipboards_keys_are_the_editors(window, qtbot):
    place = editor(window)
    place.setFocus()
    ctrl = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(place, Qt.Key.Key_A, ctrl)
    qtbot.keyClick(place, Qt.Key.Key_C, ctrl)
    assert QGuiApplication.clipboard().text() == place.text()
    qtbot.keyClick(place, Qt.Key.Key_X, ctrl)
    assert place.text() == ""
    qtbot.keyClick(place, Qt.Key.Key_V, ctrl)
    assert place.text() == example().b
    rest(window, qtbot)
