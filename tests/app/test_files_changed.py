"""The notice that a pair's files have changed on disk, and what its button does."""

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from safetensors.torch import load_file, save

from app.engine_client import real_engine
from app.replay import scrubbing
from core.checkpoints import watch
from core.engine.protocol import FilesChanged, Inspect, Load, PairSpec, Score, Scrub, Scrubbed
from tests.app.conftest import PAIR, settled
from tests.app.fake_engine import CHECKPOINTS, RUN_INFO, FakeEngine, scoring_of
from tests.app.test_scrubbing_real import fresh
from tests.tiny import save_run

WAIT = 60_000
LEFT = Qt.MouseButton.LeftButton
SENTENCE = "The policy's files on disk have changed since they were loaded (/p/model.safetensors)."


class Changed(FakeEngine):
    """Tells of files with the score of a text that says so."""

    checkpoint = ""

    def _answer(self, request):
        if isinstance(request, Score) and "changed" in (request.text or ""):
            self.emit(FilesChanged(self.asked(Load)[0].id, SENTENCE, self.checkpoint))
        return super()._answer(request)


class ChangedRun(Changed):
    """The checkpoint of step 10 is written anew; scrubbed to, it says other numbers."""

    info = RUN_INFO
    checkpoint = CHECKPOINTS[1].path

    def _answer(self, request):
        event = super()._answer(request)
        if isinstance(event, Scrubbed) and len(self.asked(Scrub)) > 1:
            frame = {side: scoring_of(it, "anew") for side, it in self._last.items()}
            return Scrubbed(event.id, event.checkpoint, frame, 0.01, anew=True)
        return event


def type_into(qtbot, window, side, text):
    editor = window.view.panels[side].editor
    editor.setFocus()
    qtbot.keyClick(editor, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(editor, text)


def press_load_anew(qtbot, window):
    button = window.notice.action
    assert button.isVisible() and button.text() == "Load anew"
    qtbot.mouseClick(button, LEFT, pos=QPoint(button.width() // 2, button.height() // 2))


def test_the_pair_is_loaded_anew_by_a_click_and_the_texts_stay(open_window, qtbot):
    window = open_window(engine=Changed)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    type_into(qtbot, window, "B", " changed")
    qtbot.waitUntil(lambda: window.notice.topic() == "files", timeout=WAIT)
    assert window.notice.message.text() == SENTENCE
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)  # nothing is kept from the user
    text = window.view.panels["B"].text()
    assert len(window.view.panels["B"].scoring.tokens.ids) and text.endswith(" changed")
    press_load_anew(qtbot, window)
    loads = FakeEngine.last.asked(Load)
    assert [it.spec for it in loads] == [
        replace(PAIR, download="ask")
    ] * 2 and window.notice.topic() != "files"
    # The scripted engine tells of the first pair again, which is let go.
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert window.view.panels["B"].text() == text and window.notice.topic() != "files"


def test_the_notice_can_be_closed_and_the_pair_stays(open_window, qtbot):
    window = open_window(engine=Changed)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    type_into(qtbot, window, "A", " changed")
    qtbot.waitUntil(lambda: window.notice.topic() == "files", timeout=WAIT)
    qtbot.mouseClick(window.notice.close_button, LEFT)
    assert window.notice.isHidden()
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert len(FakeEngine.last.asked(Load)) == 1


def at(window, index):
    axis = window.strip.axis
    return QPoint(round(axis.x_of(index)), axis.height() // 2)


def scrub(qtbot, window, index):
    qtbot.mouseClick(window.strip.axis, LEFT, pos=at(window, index))
    shown = lambda: window.view.by_checkpoint.shown == index and settled(window)  # noqa: E731
    qtbot.waitUntil(shown, timeout=WAIT)


@pytest.fixture
def no_replays(monkeypatch):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 10_000_000)
    monkeypatch.setattr(scrubbing, "EDITED_MS", 10_000_000)


@pytest.mark.usefixtures("no_replays")
def test_a_checkpoint_of_a_run_is_shown_anew_and_nothing_old_of_it_stays(open_window, qtbot):
    window = open_window(spec=PairSpec(run="/runs/fake"), engine=ChangedRun)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    scrub(qtbot, window, 1)
    window.view.focus_on.pin("A", 2)
    asked = lambda: len(FakeEngine.last.asked(Inspect))  # noqa: E731
    qtbot.waitUntil(lambda: asked() == 1 and not window.client.busy(), timeout=WAIT)
    type_into(qtbot, window, "B", " changed")
    qtbot.waitUntil(lambda: window.notice.topic() == "files", timeout=WAIT)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    before = asked()
    press_load_anew(qtbot, window)
    new = lambda: window.view.panels["A"].scoring  # noqa: E731
    expected = scoring_of(new().tokens, "anew").logp_policy.tolist()
    qtbot.waitUntil(lambda: new().logp_policy.tolist() == expected, timeout=WAIT)
    assert [it.checkpoint for it in FakeEngine.last.asked(Scrub)] == [CHECKPOINTS[1].path] * 2
    assert len(FakeEngine.last.asked(Load)) == 1 and window.view.by_checkpoint.shown == 1
    qtbot.waitUntil(lambda: asked() > before, timeout=WAIT)  # of the token that is pinned


@pytest.mark.usefixtures("no_replays")
def test_on_the_real_engine_a_rewritten_checkpoint_is_noticed_and_shown(
    open_window, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setattr(watch, "EVERY", 0.0)
    run = save_run(tmp_path)[1]
    window = open_window(spec=PairSpec(run=str(run)), engine=real_engine)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    old = fresh(window, run, 3, "A").logp_policy
    path = run / "checkpoint-30" / "adapter_model.safetensors"
    path.write_bytes(
        save({name: 1.5 * it for name, it in load_file(path).items()}, {"format": "pt"})
    )
    type_into(qtbot, window, "B", " More.")
    qtbot.waitUntil(lambda: window.notice.topic() == "files", timeout=WAIT)
    assert str(path) in window.notice.message.text()
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    shown = lambda: window.view.panels["A"].scoring.logp_policy  # noqa: E731
    assert shown() == pytest.approx(old, abs=1e-4)
    press_load_anew(qtbot, window)
    qtbot.waitUntil(lambda: settled(window) and abs(shown() - old).max() > 0.01, timeout=WAIT)
    for side in "AB":
        expected = fresh(window, run, 3, side).logp_policy
        assert window.view.panels[side].scoring.logp_policy == pytest.approx(expected, abs=1e-4)
