"""Sessions on the real window: saved, opened without the pair and with it, under a scripted one."""

import json
import os
import threading
import zipfile
from dataclasses import replace

import msgspec
import pytest
from PySide6.QtCore import Qt

from app import history as app_history
from app.pair_loader import pair_to_begin_with
from app.replay import scrubbing
from app.sessions import sessions
from app.sessions.record import points_of
from core import history, session_file
from core.engine.protocol import (
    Failed,
    InspectStates,
    Load,
    PairSpec,
    Progress,
    Score,
    ScoreAgain,
    ScoreVariants,
    Stopped,
)
from core.session_record import Past, PromptSaid, SessionRecord, Turn
from tests.app import fake_engine
from tests.app.conftest import do, drop, settled
from tests.app.fake_engine import FakeEngine, example
from tests.app.test_history import click, editor, rest, write


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(history, "BURST", 0.0)
    monkeypatch.setattr(app_history, "BEHIND_MS", 1)


class Absent(FakeEngine):
    """An engine on whose machine no pair is; it must not be asked for anything else."""

    def _answer(self, request):
        assert isinstance(request, Load), request
        return Failed(request.id, "The policy p is not on this machine: choose its folder.")


def saved(window, qtbot, path):
    """Save the session under a path, by the menu."""
    window.ask.new_file = lambda title, name, filters: str(path)
    do(window, "save" if window.sessions.path is None else "save_as")
    qtbot.waitUntil(lambda: window.sessions.path == path, timeout=10_000)
    return path


def numbers(window):
    """Every number that the credit view shows, and what it shows of its history."""
    view = window.view
    known = view.scorings()
    return {
        "texts": [view.panels[side].text() for side in "AB"],
        "ids": {side: it.tokens.ids for side, it in known.items()},
        "sums": [view.panels[side].sum.text() for side in "AB"],
        "about": [view.panels[side].about.words for side in "AB"],
        "figures": {key: label.text() for key, label in view.summary.figures.items()},
        "delta": view.summary.delta.words,
        "verdict": (view.verdict.headline.words, view.verdict.detail.words),
        "values": {side: list(it) for side, it in view.numbers.values.items()},
        "limit": view.numbers.colour_scale().limit,
        "beta": view.known_beta(),
        "history": [
            (row.number, row.title, row.figures, row.side, row.name) for row in view.history.rows
        ],
        "now": view.history.now,
        "pinned": view.focus_on.pinned,
        "inspection": view.inspector.inspection(),
    }


def probed(window, qtbot):
    """Edit, replace, compare, name and pin, and wait until all is known."""
    view = window.view
    write(window, qtbot, " More.")
    assert view.replace("B", 2, int(view.scorings()["A"].ids[3]))
    rest(window, qtbot)
    write(window, qtbot, " Well.", "A")
    window.history.ask_name = lambda name, parent: "the best"
    do(window, "name_this")
    click(window, qtbot, 2)
    click(window, qtbot, 4)
    view.controls.beta.setValue(0.25)
    view.focus_on.pin("B", 2)
    qtbot.waitUntil(lambda: view.inspector.inspection() is not None, timeout=10_000)
    rest(window, qtbot)


def opened(open_window, qtbot, path, engine=Absent, **more):
    window = open_window(spec=None, engine=engine, session=path, **more)
    window.resize(1440, 900)  # more than the screen of a test has: the header shows all
    strip = window.view.history
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.waitUntil(lambda: all(row.value == row.value for row in strip.rows), timeout=10_000)
    return window


def test_a_session_opens_without_its_pair_as_it_was(window, open_window, qtbot, tmp_path):
    probed(window, qtbot)
    before = numbers(window)
    path = saved(window, qtbot, tmp_path / "an hour.qscope")
    assert window.windowTitle().startswith("an hour.qscope[*] — ")
    assert not window.isWindowModified()
    window.close()
    again = opened(open_window, qtbot, path)
    view = again.view
    qtbot.waitUntil(lambda: view.inspector.inspection() is not None, timeout=10_000)
    assert numbers(again) == before
    badge = again.sessions.badge
    assert badge.isVisible() and badge.text().startswith("Recorded ") and "float32" in badge.text()
    assert not again.isWindowModified()


def test_what_was_not_recorded_has_no_colours(window, open_window, qtbot, tmp_path):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = opened(open_window, qtbot, path)
    qtbot.keyClicks(editor(again), "Well, ")
    qtbot.waitUntil(lambda: "needs the pair" in again.view.panels["B"].about.words, timeout=10_000)
    assert again.view.verdict.headline.words == "Not recorded: needs the pair."
    assert again.view.panels["B"].scoring is None and again.notice.topic() != "score"
    do(again, "undo")
    rest(again, qtbot)
    assert again.view.panels["B"].sum.text().startswith("Σr =")
    assert "σ of the margin" in again.view.verdict.headline.words


def test_the_pair_is_loaded_behind_and_agrees(window, open_window, qtbot, tmp_path):
    probed(window, qtbot)
    before = numbers(window)
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = opened(open_window, qtbot, path, FakeEngine)
    qtbot.waitUntil(lambda: again.notice.topic() == "session", timeout=10_000)
    assert "tokens agree" in again.notice.message.text()
    rest(again, qtbot)
    strip = again.view.history
    qtbot.waitUntil(lambda: all(row.value == row.value for row in strip.rows), timeout=10_000)
    qtbot.waitUntil(lambda: again.view.inspector.inspection() is not None, timeout=10_000)
    assert numbers(again) == before
    assert not again.sessions.badge.isVisible() and not again.isWindowModified()
    assert isinstance(FakeEngine.last.requests[0], Load)
    assert any(isinstance(it, ScoreAgain) for it in FakeEngine.last.requests)


def test_a_pair_that_says_else_is_told(window, open_window, qtbot, tmp_path, monkeypatch):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    true = fake_engine.scoring_of

    def scoring_of(tokens, checkpoint=""):
        found = true(tokens, checkpoint)
        return replace(found, logp_policy=found.logp_policy - 0.21)

    monkeypatch.setattr(fake_engine, "scoring_of", scoring_of)
    again = opened(open_window, qtbot, path, FakeEngine)
    qtbot.waitUntil(lambda: "differ" in again.notice.message.text(), timeout=10_000)
    assert "(largest 0.21)" in again.notice.message.text()
    rest(again, qtbot)


@pytest.fixture
def of_run(open_window, qtbot, tmp_path, monkeypatch):
    """A session of a run of which the last checkpoint and that of step 10 were seen; 10 is shown.
    Nothing is replayed by itself."""
    monkeypatch.setattr(scrubbing, "IDLE_MS", 10_000_000)
    monkeypatch.setattr(scrubbing, "EDITED_MS", 10_000_000)
    monkeypatch.setattr(FakeEngine, "info", fake_engine.RUN_INFO)
    first = open_window(spec=PairSpec(run="fake"))
    rest(first, qtbot)
    write(first, qtbot, " Of the last.")
    first.checkpoints.scrubbing.show_checkpoint(1)
    rest(first, qtbot)
    path = saved(first, qtbot, tmp_path / "s.qscope")
    rest(first, qtbot)
    first.close()
    return path


def test_every_recorded_checkpoint_is_compared_the_shown_one_first(of_run, open_window, qtbot):
    again = opened(open_window, qtbot, of_run, FakeEngine)
    qtbot.waitUntil(lambda: again.notice.topic() == "session", timeout=10_000)
    assert again.view.numbers.checkpoint().endswith("checkpoint-10")
    said = again.notice.message.text()
    assert said.endswith("tokens agree. 2 checkpoints were compared.")
    assert again.notice.property("kind") == "info" and again.sessions.comparing.isHidden()
    asked = [it.checkpoint for it in FakeEngine.last.asked(ScoreAgain)]
    assert asked == ["/runs/fake/checkpoint-10", "/runs/fake/checkpoint-30"]
    recorded = session_file.read(of_run).recording
    count = sum(len(it) for one in recorded.responses.values() for it in one.scorings.values())
    assert said.startswith(f"All {count} tokens")
    rest(again, qtbot)


def test_a_checkpoint_that_says_else_is_named(of_run, open_window, qtbot, monkeypatch):
    true = fake_engine.scoring_of

    def scoring_of(tokens, checkpoint=""):
        found = true(tokens, checkpoint)
        moved = 0.21 * (checkpoint.endswith("30"))
        return replace(found, logp_policy=found.logp_policy - moved)

    monkeypatch.setattr(fake_engine, "scoring_of", scoring_of)
    again = opened(open_window, qtbot, of_run, FakeEngine)
    qtbot.waitUntil(lambda: "differ" in again.notice.message.text(), timeout=10_000)
    said = again.notice.message.text()
    assert "(largest 0.21)" in said and said.endswith("not alike: step 30.")
    assert again.notice.property("kind") == "warning"
    rest(again, qtbot)


class ComparesOne(FakeEngine):
    """An engine that takes one step of a comparison."""

    gated = (ScoreAgain,)
    steps = 1


def test_a_comparison_shows_progress_and_can_be_stopped(of_run, open_window, qtbot, monkeypatch):
    monkeypatch.setattr(sessions, "SLOW_MS", 1)
    again = open_window(spec=None, engine=ComparesOne, session=of_run)
    button = again.sessions.comparing
    qtbot.waitUntil(lambda: button.isVisible() and "(0 %)" not in button.text(), timeout=10_000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: again.notice.topic() == "session", timeout=10_000)
    assert (
        "The comparison was stopped before the last 2 checkpoints." in again.notice.message.text()
    )
    assert button.isHidden()
    rest(again, qtbot)


class Waits(FakeEngine):
    """An engine that looks at states only once it is let: all else goes first."""

    def submit(self, request):
        if isinstance(request, InspectStates) and self.held is not None:
            self.held.append(request)
        else:
            super().submit(request)

    held = None

    def let(self):
        held, self.held = self.held, None
        for request in held:
            self.submit(request)


def test_an_older_save_is_not_written_over_a_newer_one(open_window, qtbot, tmp_path):
    window = open_window(engine=Waits)
    rest(window, qtbot)
    engine = FakeEngine.last
    path = saved(window, qtbot, tmp_path / "s.qscope")
    rest(window, qtbot)
    first = editor(window).text()
    write(window, qtbot, " X")
    engine.held = []
    do(window, "save")
    qtbot.waitUntil(lambda: not window.isWindowModified(), timeout=10_000)
    do(window, "go_back")
    assert editor(window).text() == first
    qtbot.waitUntil(lambda: not window.client.busy(Score), timeout=10_000)
    do(window, "save")
    assert len(engine.held) == 1, "all states of the text before have been looked at"
    engine.let()
    rest(window, qtbot)
    window.close()
    assert session_file.read(path).record.b.text == first


def test_an_edit_marks_the_session_and_saving_unmarks_it(window, qtbot, tmp_path):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    write(window, qtbot, " More.")
    assert window.isWindowModified()
    qtbot.keyClick(editor(window), Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(
        lambda: session_file.read(path).record.b.text.endswith(" More."), timeout=10_000
    )
    qtbot.waitUntil(lambda: not window.isWindowModified(), timeout=10_000)
    qtbot.waitUntil(lambda: "Saved s" in window.statusBar().currentMessage(), timeout=10_000)
    found = session_file.read(path)
    assert found.whole and found.thumbnail.startswith(b"\x89PNG")
    assert [it.changed for it in found.record.history] == ["", "+ More."]


def test_the_ending_is_put_and_another_file_is_kept(window, qtbot, tmp_path):
    window.ask.new_file = lambda title, name, filters: str(tmp_path / "named")
    do(window, "save")
    qtbot.waitUntil((tmp_path / "named.qscope").exists, timeout=10_000)
    qtbot.waitUntil(lambda: window.sessions.path is not None, timeout=10_000)
    do(window, "save_as")
    assert "named.qscope exists" in window.notice.message.text()


def test_no_choice_saves_nothing(window, qtbot, tmp_path):
    window.ask.new_file = lambda title, name, filters: ""
    do(window, "save")
    assert window.sessions.path is None and not [*tmp_path.glob("*.qscope")]


@pytest.mark.parametrize("kind", ["other", "newer", "damaged"])
def test_what_is_no_whole_session_is_never_written_over(window, qtbot, tmp_path, kind):
    path = tmp_path / "s.qscope"
    if kind == "other":
        path.write_bytes(b"a file of another program")
    else:
        saved(window, qtbot, path)
        window.sessions.path = None
        if kind == "newer":
            data = {"version": 99, "a": {"text": "kept"}}
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("session.json", json.dumps(data))
        else:
            path.write_bytes(path.read_bytes()[:-3000])
    before = path.read_bytes()
    window.ask.new_file = lambda title, name, filters: str(path)
    do(window, "save")
    qtbot.waitUntil(lambda: window.notice.topic() == "session", timeout=10_000)
    assert path.read_bytes() == before and "another name" in window.notice.message.text()
    window.ask.new_file = lambda title, name, filters: str(tmp_path / "else.qscope")
    window.notice.action.click()
    qtbot.waitUntil((tmp_path / "else.qscope").exists, timeout=10_000)


def was_asked_for_the_pair():
    return isinstance(FakeEngine.last, Absent) and bool(FakeEngine.last.asked(Load))


@pytest.mark.parametrize("cut_in", [b'"recorded":', b"numbers.safetensors"])
def test_a_damaged_session_is_shown_as_far_as_it_goes(window, open_window, qtbot, tmp_path, cut_in):
    """That what follows cannot be done either takes no word of it away."""
    write(window, qtbot, " More.")
    path = saved(window, qtbot, tmp_path / "s.qscope")
    rest(window, qtbot)
    window.close()
    data = path.read_bytes()
    path.write_bytes(data[: data.index(cut_in) + 60])
    again = open_window(spec=None, engine=Absent, session=path)
    qtbot.waitUntil(was_asked_for_the_pair, timeout=10_000)
    qtbot.waitUntil(lambda: not again.client.busy(), timeout=10_000)
    assert again.notice.topic() == "session"
    assert "as far as it can be read" in again.notice.message.text()
    assert editor(again).text().endswith(" More.")
    if cut_in == b'"recorded":':  # nothing stands in the pair's place, so that is told, too
        assert again.notice.more.isVisible() and again.notice.more.text() == "1 more"
        again.notice.close_button.click()
        assert "not on this machine" in again.notice.message.text()


def test_what_is_no_session_is_refused_and_the_texts_stay(window, qtbot, tmp_path):
    path = tmp_path / "s.qscope"
    path.write_text("x")
    before = editor(window).text()
    drop(window, [path])
    qtbot.waitUntil(lambda: window.notice.topic() == "session", timeout=10_000)
    assert str(path) in window.notice.message.text() and window.sessions.path is None
    assert editor(window).text() == before and window.banner.isHidden()


@pytest.mark.log_errors_expected
@pytest.mark.parametrize(
    "error, why",
    [(ValueError("an odd number"), "an odd number"), (MemoryError(), "more memory than there is")],
)
def test_what_nobody_foresaw_is_told(window, qtbot, tmp_path, monkeypatch, error, why):
    def fail(*said):
        raise error

    path = saved(window, qtbot, tmp_path / "s.qscope")
    for name, do_it in (
        ("write", lambda: do(window, "save")),
        ("read", lambda: window.sessions.open(path)),
    ):
        monkeypatch.setattr(session_file, name, fail)
        window.notice.dismiss_any()
        do_it()
        qtbot.waitUntil(lambda: window.notice.topic() == "session", timeout=10_000)
        assert why in window.notice.message.text() and str(path) in window.notice.message.text()
    assert window.isWindowModified()


def test_a_session_is_dropped_on_a_window_and_undone(window, open_window, qtbot, tmp_path):
    write(window, qtbot, " More.")
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = open_window(spec=PairSpec(policy="q", reference="r"))
    rest(again, qtbot)
    write(again, qtbot, " Mine.")
    before = editor(again).text()
    drop(editor(again).viewport(), [path])
    qtbot.waitUntil(lambda: again.sessions.path == path, timeout=10_000)
    rest(again, qtbot)
    assert editor(again).text() == example().b + " More."
    do(again, "undo")
    assert editor(again).text() == before
    rest(again, qtbot)


def test_recent_sessions(window, open_window, qtbot, tmp_path):
    paths = [tmp_path / f"{name}.qscope" for name in ("one", "two")]
    for path in paths:
        saved(window, qtbot, path)
    menu = window.menus.actions["recent_sessions"].menu()
    menu.aboutToShow.emit()
    assert [it.text() for it in menu.actions()] == ["two.qscope", "one.qscope"]
    paths[1].unlink()
    window.sessions.open(paths[0])
    rest(window, qtbot)
    menu.aboutToShow.emit()
    qtbot.wait(50)
    menu.aboutToShow.emit()
    assert [(it.text(), it.isEnabled()) for it in menu.actions()] == [
        ("one.qscope", True),
        ("two.qscope", False),
    ]
    menu.actions()[0].trigger()
    rest(window, qtbot)
    assert window.sessions.path == paths[0]


def test_no_session_was_open_yet(window):
    menu = window.menus.actions["recent_sessions"].menu()
    menu.aboutToShow.emit()
    assert [(it.text(), it.isEnabled()) for it in menu.actions()] == [("None yet", False)]


def test_the_session_of_last_time_is_offered(window, open_window, qtbot, tmp_path):
    write(window, qtbot, " More.")
    saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = open_window()
    qtbot.waitUntil(lambda: again.notice.topic() == "session", timeout=10_000)
    assert again.notice.message.text() == "The session s.qscope was open last time."
    again.notice.action.click()
    qtbot.waitUntil(lambda: again.sessions.path is not None, timeout=10_000)
    rest(again, qtbot)
    again.close()
    third = open_window()
    qtbot.waitUntil(lambda: third.notice.topic() == "session", timeout=10_000)
    rest(third, qtbot)


def test_a_pair_that_has_moved_is_found_again(window, open_window, qtbot, tmp_path):
    write(window, qtbot, " More.")
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    found = session_file.read(path)
    gone = str(tmp_path / "gone")
    pair = msgspec.structs.replace(found.record.pair, policy=gone)
    record = msgspec.structs.replace(found.record, pair=pair)
    session_file.write(path, record, found.recording)
    here = tmp_path / "here"
    here.mkdir()
    again = opened(open_window, qtbot, path, OnlyHere)
    assert f"The policy was at {gone}, which is not there." == again.notice.message.text()
    again.ask.folder = lambda title: str(here)
    again.notice.action.click()
    qtbot.waitUntil(lambda: "agree" in again.notice.message.text(), timeout=10_000)
    assert again.isWindowModified(), "where it is now is to be saved"
    do(again, "save")
    qtbot.waitUntil(lambda: not again.isWindowModified(), timeout=10_000)
    assert again.sessions.path == path
    rest(again, qtbot)
    again.close()
    assert session_file.read(path).record.pair.policy == str(here)


class OnlyHere(FakeEngine):
    """An engine that finds a policy only where it is."""

    def _answer(self, request):
        if isinstance(request, Load) and not request.spec.policy.endswith("here"):
            return Failed(request.id, "There is no folder of that name: choose another.")
        return super()._answer(request)


def test_there_is_nothing_to_cancel_once_another_pair_is_asked_for(
    window, open_window, qtbot, tmp_path
):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = open_window(spec=None, engine=Slow, session=path)
    cancel = again.sessions.badge.menu().actions()[2]
    qtbot.waitUntil(cancel.isEnabled, timeout=10_000)
    do(again, "open_demo")
    assert not cancel.isEnabled()
    again.client.cancel(Load)
    qtbot.waitUntil(lambda: not again.client.busy(), timeout=10_000)


def test_the_badge_says_why_the_pair_is_not_loaded(window, open_window, qtbot, tmp_path):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = opened(open_window, qtbot, path)
    badge = again.sessions.badge
    qtbot.waitUntil(lambda: "not on this machine" in badge.toolTip(), timeout=10_000)
    assert again.notice.topic() != "session", "nobody asked for it"
    badge.menu().actions()[0].trigger()
    qtbot.waitUntil(lambda: again.notice.topic() == "session", timeout=10_000)
    assert "not on this machine" in again.notice.message.text()
    assert badge.isVisible() and len(again.view.scorings()) == 2, "what was recorded stays"


def test_the_last_pair_is_reopened_where_that_is_wanted(open_window, qtbot):
    window = open_window()
    rest(window, qtbot)
    usual = PairSpec(demo=True)
    assert pair_to_begin_with(window.settings, usual) == usual
    window.menus.actions["reopen"].setChecked(True)
    assert pair_to_begin_with(window.settings, usual).policy == "p"
    window.close()
    again = open_window()
    assert again.menus.actions["reopen"].isChecked()
    rest(again, qtbot)
    do(again, "open_demo")
    rest(again, qtbot)
    assert pair_to_begin_with(again.settings, usual) == usual


def test_a_file_has_the_alternatives_at_every_token(window, open_window, qtbot, tmp_path):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    tokens = sum(len(it) for it in window.view.scorings().values())
    qtbot.waitUntil(lambda: len(session_file.read(path).recording.states) > tokens // 2)
    window.close()
    again = opened(open_window, qtbot, path)
    again.view.focus_on.pin("A", 4)
    qtbot.waitUntil(lambda: again.view.inspector.inspection() is not None, timeout=10_000)
    assert len(again.view.inspector.inspection().by_policy) > 0


def test_a_tree_stays_in_the_file_once_the_pair_has_taken_over(
    window, open_window, qtbot, tmp_path
):
    do(window, "grow_tree")
    pane = window.searches.view.trees.panes["left"]
    qtbot.waitUntil(lambda: pane.state == "done", timeout=10_000)
    nodes, found = len(pane.tree), [it.text for it in pane.hypotheses()]
    do(window, "show_credit")
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    for engine in (FakeEngine, Absent):
        again = opened(open_window, qtbot, path, engine)
        tree = again.searches.view.trees.panes["left"]
        qtbot.waitUntil(lambda tree=tree: len(tree.tree) == nodes, timeout=10_000)
        if engine is FakeEngine:
            qtbot.waitUntil(lambda again=again: again.notice.topic() == "session", timeout=10_000)
        rest(again, qtbot)
        assert [it.text for it in tree.hypotheses()] == found
        do(again, "save")
        qtbot.waitUntil(lambda again=again: not again.client.busy(), timeout=10_000)
        again.close()
        assert len(session_file.read(path).recording.trees) == 1


def test_a_history_that_no_window_wrote_is_numbered_anew():
    said = (PromptSaid((Turn("user", "Why?"),)),)
    past = (
        Past(number=2**40, prompt=0, a="x", b="y", changed="c" * 9000, side="C", name="n" * 9000),
        Past(number=2**40, prompt=7, a="of no prompt", b=""),
        Past(number=-3, prompt=0, a="x", b="z", ids_a=(1, 2)),
    )
    points, now = points_of(SessionRecord(prompts=said, history=past, history_now=-3))
    assert [(it.number, it.state.b.text, it.side) for it in points] == [(1, "y", ""), (2, "z", "")]
    assert now == 2 and points[1].state.a.ids == (1, 2)
    assert len(points[0].changed) == 200 and len(points[0].name) == 60


class Slow(FakeEngine):
    """An engine that is loading a pair until it is told to stop."""

    def _answer(self, request):
        if isinstance(request, Load):
            self.emit(Progress(request.id, "Reading the weights", 0.25))
            self._stop.wait(20)
            return Stopped(request.id)
        return super()._answer(request)


def test_loading_behind_can_be_cancelled_and_the_recording_stays(
    window, open_window, qtbot, tmp_path
):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = open_window(spec=None, engine=Slow, session=path)
    again.resize(1440, 900)
    badge = again.sessions.badge
    qtbot.waitUntil(lambda: badge.text().endswith("loading 25 %"), timeout=10_000)
    assert len(again.view.scorings()) == 2, "it goes on behind"
    badge.menu().actions()[2].trigger()
    qtbot.waitUntil(lambda: not badge.text().endswith("%"), timeout=10_000)
    qtbot.waitUntil(badge.isVisible, timeout=10_000)
    assert len(again.view.scorings()) == 2
    rest(again, qtbot)


class AtFirstAbsent(FakeEngine):
    """An engine on whose machine no pair but the demo is, until one has been put there."""

    there = False

    def _answer(self, request):
        if isinstance(request, Load) and not (request.spec.demo or self.there):
            return Failed(request.id, "The policy p is not on this machine: choose its folder.")
        return super()._answer(request)


class Refuses(FakeEngine):
    """An engine that loads no pair: the second time it takes until that is cancelled."""

    def _answer(self, request):
        if not isinstance(request, Load):
            return super()._answer(request)
        if len(self.asked(Load)) == 2:
            self.emit(Progress(request.id, "Reading the weights", 0.25))
            self._stop.wait(20)
            return Stopped(request.id)
        return Failed(request.id, "The policy p is not on this machine: choose its folder.")


def test_what_was_asked_of_one_session_is_not_told_of_another(window, open_window, qtbot, tmp_path):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    again = opened(open_window, qtbot, path, Refuses)
    badge = again.sessions.badge
    load, _, cancel = badge.menu().actions()
    qtbot.waitUntil(lambda: "not on this machine" in badge.toolTip(), timeout=10_000)
    load.trigger()
    qtbot.waitUntil(cancel.isEnabled, timeout=10_000)
    cancel.trigger()
    qtbot.waitUntil(lambda: not cancel.isEnabled(), timeout=10_000)
    again.sessions.open(path)
    qtbot.waitUntil(lambda: len(FakeEngine.last.asked(Load)) == 3, timeout=10_000)
    qtbot.waitUntil(lambda: "not on this machine" in badge.toolTip(), timeout=10_000)
    rest(again, qtbot)
    assert again.notice.topic() != "session", "nobody asked for it"


def test_what_is_typed_while_the_first_save_is_written_is_marked(
    window, qtbot, tmp_path, monkeypatch
):
    go_on, true = threading.Event(), session_file.write

    def write_slowly(*said):
        go_on.wait(20)
        return true(*said)

    monkeypatch.setattr(session_file, "write", write_slowly)
    window.ask.new_file = lambda title, name, filters: str(tmp_path / "s.qscope")
    do(window, "save")
    write(window, qtbot, " More.")
    go_on.set()
    qtbot.waitUntil(lambda: window.sessions.path is not None, timeout=10_000)
    rest(window, qtbot)
    assert window.isWindowModified()


def test_a_beta_chosen_for_another_pair_stays_there(window, open_window, qtbot, tmp_path):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    own = window.view.known_beta()
    window.close()
    again = opened(open_window, qtbot, path, AtFirstAbsent)
    rest(again, qtbot)
    do(again, "open_demo")
    rest(again, qtbot)
    again.view.controls.beta.setValue(0.9)
    again.view.controls.choose("", "word")
    FakeEngine.last.there = True
    again.pair.load(PairSpec(policy="p", reference="r"))
    rest(again, qtbot)
    assert again.view.known_beta() == own
    assert again.view.controls.unit() == "word", "it looks as it did when the session was left"


def test_a_session_without_a_beta_leaves_the_pairs_own(window, open_window, qtbot, tmp_path):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    own = window.view.known_beta()
    window.close()
    found = session_file.read(path)
    record = msgspec.structs.replace(found.record, beta=None)
    session_file.write(path, record, found.recording)
    again = opened(open_window, qtbot, path, FakeEngine)
    assert again.view.known_beta() == own
    qtbot.waitUntil(lambda: again.notice.topic() == "session", timeout=10_000)
    rest(again, qtbot)
    assert again.view.known_beta() == own


class Never(FakeEngine):
    """An engine that never comes to what is asked behind."""

    def submit(self, request):
        if not isinstance(request, ScoreVariants | ScoreAgain):
            super().submit(request)


def is_taken_over(window):
    info = window.pair.info
    return info is not None and not info.recorded


def test_scorings_stay_in_the_file_once_the_pair_has_taken_over(
    window, open_window, qtbot, tmp_path
):
    write(window, qtbot, " More.")
    path = saved(window, qtbot, tmp_path / "s.qscope")
    rest(window, qtbot)
    window.close()
    before = {key: set(it.scorings) for key, it in responses(path).items()}
    assert len(before) > 2
    again = open_window(spec=None, engine=Never, session=path)
    qtbot.waitUntil(lambda: is_taken_over(again), timeout=10_000)
    qtbot.waitUntil(lambda: len(again.view.scorings()) == 2, timeout=10_000)
    write_over(again, qtbot)
    again.close()
    assert {key: set(it.scorings) for key, it in responses(path).items()} == before


def responses(path):
    return session_file.read(path).recording.responses


def write_over(window, qtbot):
    """Save into the file that is open, of which nothing has changed."""
    before = window.sessions.path.stat().st_mtime_ns
    do(window, "save")
    qtbot.waitUntil(lambda: window.sessions.path.stat().st_mtime_ns != before, timeout=10_000)


def test_tokens_of_other_weights_do_not_come_back(open_window, qtbot, tmp_path, monkeypatch):
    info = replace(fake_engine.INFO, weights={"policy": "of then"})
    monkeypatch.setattr(FakeEngine, "info", info)
    window = open_window()
    rest(window, qtbot)
    assert window.view.replace("B", 2, int(window.view.scorings()["A"].ids[3]))
    rest(window, qtbot)
    text = editor(window).text()
    path = saved(window, qtbot, tmp_path / "s.qscope")
    rest(window, qtbot)
    window.close()
    monkeypatch.setattr(FakeEngine, "info", replace(info, weights={"policy": "of now"}))
    again = opened(open_window, qtbot, path, FakeEngine)
    qtbot.waitUntil(lambda: "its weights are others" in again.notice.message.text(), timeout=10_000)
    rest(again, qtbot)
    assert all(it.ids is None for it in FakeEngine.last.asked(Score))
    assert editor(again).text() == text


def test_numbers_are_not_saved_under_the_name_of_another_pair(window, qtbot, tmp_path, monkeypatch):
    write(window, qtbot, " More.")
    monkeypatch.setattr(FakeEngine, "load_seconds", 60.0)
    window.pair.load(PairSpec(policy="q", reference="r"))
    path = saved(window, qtbot, tmp_path / "s.qscope")
    found = session_file.read(path)
    assert found.record.pair.policy == "q" and not found.recording
    assert len(found.record.history) == 2
    assert all(it.ids_a is None and it.ids_b is None for it in found.record.history)
    window.close()


def test_numbers_of_a_pair_that_was_closed_are_saved(window, qtbot, tmp_path):
    do(window, "close_pair")
    qtbot.waitUntil(lambda: not window.client.busy(), timeout=10_000)
    found = session_file.read(saved(window, qtbot, tmp_path / "s.qscope"))
    assert found.record.pair.policy == "p" and len(found.recording.responses) == 2


def test_the_draft_before_a_session_is_kept_once_it_is_restored(
    window, open_window, qtbot, tmp_path
):
    path = saved(window, qtbot, tmp_path / "s.qscope")
    window.close()
    pair = PairSpec(policy="q", reference="r")
    other = open_window(spec=pair)
    rest(other, qtbot)
    write(other, qtbot, " Mine.")
    mine, drafts = editor(other).text(), other.texts.drafts
    qtbot.waitUntil(lambda: drafts.newest(pair) is not None, timeout=10_000)
    draft = drafts.newest(pair)
    assert draft.record.b.text == mine
    other.sessions.open(path)
    qtbot.waitUntil(lambda: other.sessions.path == path, timeout=10_000)
    rest(other, qtbot)
    os.utime(draft.path, (1e9, 1e9))
    do(other, "restore_session")
    assert editor(other).text() == mine
    qtbot.waitUntil(lambda: draft.path.stat().st_mtime > 1e9, timeout=10_000)
    rest(other, qtbot)
