"""The strip in the real window, driven by mouse and keys: scrubbing, playing, replaying."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from app.replay import scrubbing
from app.replay.scrubbing import cost_text
from core.engine.protocol import Inspect, PairSpec, Replay, Score, Scrub
from core.present.measures import rewards
from tests.app.conftest import do, settled
from tests.app.fake_engine import CHECKPOINTS, RUN_INFO, FakeEngine, scoring_of

LEFT = Qt.MouseButton.LeftButton
ALT = Qt.KeyboardModifier.AltModifier
RUN = PairSpec(run="/runs/fake")
LAST = len(CHECKPOINTS) - 1


class OfRun(FakeEngine):
    info = RUN_INFO


class Stepwise(OfRun):
    gated = (Replay,)


class Whole(OfRun):
    info = replace(
        RUN_INFO,
        seconds=9.0,
        checkpoints=tuple(replace(c, whole=True, bytes=2_254_857_830) for c in CHECKPOINTS),
    )


class Broken(OfRun):
    fail_scrub = "The checkpoint /runs/fake/checkpoint-10 is not there any more: open the run anew."


@pytest.fixture
def open_run(open_window, qtbot, monkeypatch):
    """Opens a window on a run, in which nothing is replayed by itself."""
    monkeypatch.setattr(scrubbing, "IDLE_MS", 10_000_000)
    monkeypatch.setattr(scrubbing, "EDITED_MS", 10_000_000)

    def make(engine=OfRun, **more):
        window = open_window(spec=RUN, engine=engine, **more)
        qtbot.waitUntil(lambda: settled(window), timeout=10_000)
        return window

    return make


@pytest.fixture
def window(open_run):
    return open_run()


def tick(window, index):
    axis = window.strip.axis
    return QPoint(round(axis.x_of(index)), axis.height() // 2)


def drag(qtbot, window, *indices):
    """Press on the first tick, move over the others, let go at the last."""
    axis = window.strip.axis
    qtbot.mousePress(axis, LEFT, pos=tick(window, indices[0]))
    for index in indices[1:]:
        qtbot.mouseMove(axis, tick(window, index))
    qtbot.mouseRelease(axis, LEFT, pos=tick(window, indices[-1]))


def wait_shown(qtbot, window, index):
    shown = lambda: window.view.by_checkpoint.shown == index and settled(window)  # noqa: E731
    qtbot.waitUntil(shown, timeout=10_000)


def expected(window, side, index):
    return scoring_of(window.view.panels[side].scoring.tokens, CHECKPOINTS[index].path)


def test_the_strip_is_there_for_a_run_only_and_in_every_view(window, open_window, qtbot):
    assert window.strip.isVisible()
    assert window.strip.axis.steps == (0, 10, 20, 30) and window.strip.axis.value() == LAST
    do(window, "show_search")
    assert window.strip.isVisible()
    do(window, "close_pair")
    assert not window.strip.isVisible()
    assert not open_window(engine=FakeEngine).strip.isVisible()


def test_dragging_recolours_both_sides_and_leaves_the_texts(window, qtbot):
    view = window.view
    texts = [view.panels[side].text() for side in "AB"]
    colours = [view.panels[side].editor.spans().colours.copy() for side in "AB"]
    drag(qtbot, window, LAST, 2, 1)
    wait_shown(qtbot, window, 1)
    scorings = {side: view.panels[side].scoring for side in "AB"}
    for side, text, before in zip("AB", texts, colours, strict=True):
        assert np.array_equal(scorings[side].logp_policy, expected(window, side, 1).logp_policy)
        classes = view.panels[side].editor.spans().colours
        r = rewards(scorings[side], view.beta())
        assert np.array_equal(classes, view.numbers.reward_scale().classes(r)[:-1])
        assert not np.array_equal(classes, before)
        assert view.panels[side].text() == text
    sums = [0.1 * float(np.sum(s.logp_policy - s.logp_reference)) for s in scorings.values()]
    margin = view.summary.figures["margin"].text().replace("−", "-")
    assert float(margin) == pytest.approx(sums[0] - sums[1], abs=6e-4)
    name = "step 10 · fake/checkpoint-10"
    assert window.windowTitle().startswith(name) and name in window.status.pair.text()


def test_at_the_start_the_policy_is_the_reference(window, qtbot):
    qtbot.mouseClick(window.strip.axis, LEFT, pos=tick(window, 0))
    wait_shown(qtbot, window, 0)
    assert window.view.summary.figures["margin"].text() == "0.000"


def test_the_handle_never_waits_and_the_label_tells_both(window, qtbot):
    FakeEngine.last.gated = (Scrub,)
    drag(qtbot, window, 2, 0)
    assert window.strip.axis.value() == 0 and window.view.by_checkpoint.shown == LAST
    assert "step 30" in window.strip.label.text() and "→ step 0" in window.strip.label.text()
    FakeEngine.last.allow()
    wait_shown(qtbot, window, 0)
    assert "→" not in window.strip.label.text()
    assert window.strip.label.accessibleName() == "step 0 of 30 · 1 of 4"


def test_a_scrub_that_comes_after_an_edit_paints_no_stale_tokens(window, qtbot):
    FakeEngine.last.gated = (Scrub, Score)
    panel = window.view.panels["A"]
    before = panel.scoring
    qtbot.mouseClick(window.strip.axis, LEFT, pos=tick(window, 1))
    qtbot.keyClicks(panel.editor, "Well, ")
    FakeEngine.last.allow(1)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 1, timeout=10_000)
    assert panel.scoring is before and not panel.is_current()
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert panel.scoring.tokens.text == panel.text() and panel.text().startswith("Well, ")
    assert np.array_equal(panel.scoring.logp_policy, expected(window, "A", 1).logp_policy)
    other = window.view.panels["B"].scoring
    assert np.array_equal(other.logp_policy, expected(window, "B", 1).logp_policy)


def test_undo_pins_and_selection_outlive_a_scrub(window, qtbot):
    panel, focus = window.view.panels["A"], window.view.focus_on
    text = panel.text()
    qtbot.keyClicks(panel.editor, "Oh. ")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    focus.pin("A", 3)
    qtbot.waitUntil(lambda: window.view.inspector.inspection() is not None, timeout=5000)
    asked = len(FakeEngine.last.asked(Inspect))
    panel.editor.selectAll()
    qtbot.mouseClick(window.strip.axis, LEFT, pos=tick(window, 1))
    wait_shown(qtbot, window, 1)
    assert focus.pinned == ("A", 3) and panel.editor.textCursor().hasSelection()
    # What is known of the state is of another policy: it is asked for again.
    qtbot.waitUntil(lambda: len(FakeEngine.last.asked(Inspect)) > asked, timeout=5000)
    panel.editor.undo()
    assert panel.text() == text


def test_keys_on_the_axis_and_in_the_window(window, qtbot):
    axis = window.strip.axis
    axis.setFocus()
    for key, index in ((Qt.Key.Key_Home, 0), (Qt.Key.Key_Right, 1), (Qt.Key.Key_End, LAST)):
        qtbot.keyClick(axis, key)
        wait_shown(qtbot, window, index)
    qtbot.keyClick(axis, Qt.Key.Key_Left, ALT)
    wait_shown(qtbot, window, 2)
    editor = window.view.panels["A"].editor
    editor.setFocus()
    qtbot.keyClick(editor, Qt.Key.Key_Right, ALT)  # here it walks the tokens
    assert window.view.focus_on.pinned is not None and window.checkpoints.scrubbing.wanted == 2


def test_colours_do_not_jump_and_the_legend_says_why(window, qtbot):
    do(window, "replay_checkpoints")
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=5000)
    limits, ranges = set(), set()
    window.view.make_chart()
    for index in range(4):
        window.strip.go_to(index)
        wait_shown(qtbot, window, index)
        window.view._show_chart()
        limits.add(window.view.numbers.reward_scale().limit)
        ranges.add(tuple(window.view.chart.view.viewRange()[1]))
    assert len(limits) == 1 and len(ranges) == 1
    assert "4 checkpoints" in window.view.controls.legend.bar.toolTip()
    window.view.controls.legend.lock.click()
    window.strip.go_to(0)
    wait_shown(qtbot, window, 0)
    assert window.view.numbers.reward_scale().limit in limits


def test_playing_goes_to_the_end_and_stops(window, qtbot):
    steps = []
    window.checkpoints.scrubbing.shown.connect(steps.append)
    window.strip.speed.setCurrentIndex(window.strip.speed.count() - 1)
    qtbot.keyClick(window, Qt.Key.Key_F5)
    assert window.strip.play.accessibleName() == "Pause"
    qtbot.waitUntil(lambda: not window.strip.playing, timeout=10_000)
    assert steps == [0, 10, 20, 30]


def test_playing_loops_until_someone_types(window, qtbot):
    steps = []
    window.checkpoints.scrubbing.shown.connect(steps.append)
    window.strip.speed.setCurrentIndex(window.strip.speed.count() - 1)
    window.strip.loop.click()
    window.strip.axis.setFocus()
    qtbot.keyClick(window.strip.axis, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: steps[-2:] == [30, 0] and len(steps) > 4, timeout=10_000)
    qtbot.keyClicks(window.view.panels["B"].editor, "x")
    assert not window.strip.playing
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    stayed = len(steps)
    qtbot.wait(300)
    assert len(steps) == stayed


def test_dragging_stops_the_play(window, qtbot):
    do(window, "play_checkpoints")
    assert window.strip.playing
    qtbot.mousePress(window.strip.axis, LEFT, pos=tick(window, 2))
    assert not window.strip.playing
    qtbot.mouseRelease(window.strip.axis, LEFT, pos=tick(window, 2))
    wait_shown(qtbot, window, 2)


def test_an_idle_window_replays_what_is_not_known_nearest_first(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 150)
    window = open_window(spec=RUN, engine=Stepwise)
    qtbot.waitUntil(lambda: len(window.view.scorings()) == 2, timeout=10_000)
    window.strip.go_to(1)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 1, timeout=10_000)
    nearest_first = CHECKPOINTS[0].path, CHECKPOINTS[2].path
    asked = FakeEngine.last.asked
    last = lambda: [it.checkpoints for it in asked(Replay)][-1:]  # noqa: E731
    qtbot.waitUntil(lambda: last() == [nearest_first], timeout=10_000)
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=10_000)
    assert window.view.by_checkpoint.shown == 1
    assert window.strip.axis.known == {0, 1, 2, 3}
    assert not window.strip.replay.isVisible()
    for index in range(4):
        for side in "AB":
            known = window.view.by_checkpoint.of(side)[index]
            assert np.array_equal(known.logp_policy, expected(window, side, index).logp_policy)


def test_typing_stops_a_replay_which_begins_again(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 50)
    monkeypatch.setattr(scrubbing, "EDITED_MS", 10_000_000)
    window = open_window(spec=RUN, engine=Stepwise)
    qtbot.waitUntil(lambda: window.strip.replaying, timeout=10_000)
    qtbot.keyClicks(window.view.panels["A"].editor, "x")
    assert not window.strip.replaying and window.strip.axis.known == frozenset()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert len(FakeEngine.last.asked(Replay)) == 1
    monkeypatch.setattr(scrubbing, "EDITED_MS", 50)
    FakeEngine.last.allow()
    qtbot.keyClicks(window.view.panels["A"].editor, "y")
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=10_000)
    assert len(FakeEngine.last.asked(Replay)) == 2


def test_a_replay_that_was_stopped_by_hand_stays_stopped(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 50)
    window = open_window(spec=RUN, engine=Stepwise)
    qtbot.waitUntil(lambda: window.strip.replaying, timeout=10_000)
    qtbot.mouseClick(window.strip.replay, LEFT)
    assert not window.strip.replaying
    FakeEngine.last.allow()
    window.strip.go_to(1)
    wait_shown(qtbot, window, 1)
    qtbot.wait(200)
    assert len(FakeEngine.last.asked(Replay)) == 1
    qtbot.mouseClick(window.strip.replay, LEFT)
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=10_000)


def test_whole_models_are_replayed_only_on_the_users_word(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 30)
    window = open_window(spec=RUN, engine=Whole)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.wait(150)
    assert not FakeEngine.last.asked(Replay)
    questions = []
    answers = [False, True]
    window.checkpoints.scrubbing.confirm = lambda _, question: (
        questions.append(question) or answers.pop(0)
    )
    qtbot.mouseClick(window.strip.replay, LEFT)
    assert not FakeEngine.last.asked(Replay)
    assert questions[0].startswith("Each checkpoint is a whole model of 2.1 GB: about 9 s each, ")
    qtbot.mouseClick(window.strip.replay, LEFT)
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=10_000)


def test_the_cost_in_words():
    assert cost_text(13, 2_254_857_830, 9.2) == (
        "Each checkpoint is a whole model of 2.1 GB: about 9 s each, 13 checkpoints, about 2 min. "
        "Replay them all?"
    )


def test_a_checkpoint_that_cannot_be_shown_is_a_sentence(open_run, qtbot):
    window = open_run(Broken)
    window.strip.go_to(1)
    qtbot.waitUntil(window.notice.isVisible, timeout=5000)
    assert "is not there any more" in window.notice.message.text()
    assert window.strip.axis.value() == window.checkpoints.scrubbing.wanted == LAST
    assert window.view.by_checkpoint.shown == LAST
    qtbot.waitUntil(lambda: settled(window), timeout=5000)
    assert len(FakeEngine.last.asked(Scrub)) == 2  # the one asked for, and back
    assert window.notice.isVisible()  # the way back takes nothing from the screen
    window.strip.go_to(2)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 2, timeout=5000)
    assert not window.notice.isVisible()


def test_undo_finds_what_was_known(window, qtbot):
    do(window, "replay_checkpoints")
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=5000)
    editor = window.view.panels["A"].editor
    qtbot.keyClicks(editor, "x")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert window.view.by_checkpoint.known() == (LAST,)
    editor.undo()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert window.view.by_checkpoint.known() == (0, 1, 2, 3)


def test_speed_loop_and_run_are_remembered(open_run, open_window, qtbot):
    window = open_run()
    window.strip.speed.setCurrentIndex(3)
    window.strip.loop.click()
    assert window.settings.recent()[0].run == RUN.run
    window.close()
    again = open_window(spec=None)
    assert again.strip.speed.currentData() == 8 and again.strip.loop.isChecked()
    again.ask.folder = lambda title: "/runs/fake"
    do(again, "open_checkpoints")
    qtbot.waitUntil(lambda: settled(again), timeout=10_000)
    assert again.pair.spec == RUN


def test_a_tree_says_which_checkpoint_it_is_of_when_another_is_shown(window, qtbot):
    do(window, "show_search")
    search = window.searches.view
    search.grow()
    left = search.trees.panes["left"]
    qtbot.waitUntil(lambda: left.state == "done", timeout=10_000)
    assert "of step" not in left.about.toolTip()
    window.strip.go_to(0)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == 0, timeout=5000)
    last = window.checkpoints.scrubbing.checkpoints[LAST].step
    assert f"of step {last}" in left.about.toolTip()
    search.grow()
    qtbot.waitUntil(lambda: left.state == "done", timeout=10_000)
    assert "of step" not in left.about.toolTip()
    window.strip.go_to(LAST)
    qtbot.waitUntil(lambda: window.view.by_checkpoint.shown == LAST, timeout=5000)
    assert "of step 0" in left.about.toolTip()
