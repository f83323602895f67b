"""The strip on the real engine and a tiny run: from the mouse to colours, against fresh pairs."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from app.engine_client import real_engine
from app.replay import scrubbing
from core.engine.protocol import PairSpec
from core.models.score import score
from tests.app.conftest import do, settled
from tests.tiny import save_model, save_run

WAIT = 60_000
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))[1]


@pytest.fixture
def window(open_window, qtbot, run, monkeypatch):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 10_000_000)
    window = open_window(spec=PairSpec(run=str(run)), engine=real_engine)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    return window


def fresh(window, run, index, side):
    """What a pair of this checkpoint alone says of a side's tokens."""
    from core.models.load import load_pair

    policy = str(window.checkpoints.scrubbing.checkpoints[index].path)
    spec = PairSpec(policy=policy, reference=str(run / "ref"))
    pair, _ = load_pair(spec, lambda *_: None, lambda: False)
    tokens = window.view.panels[side].scoring.tokens
    return score(pair, window.view.prompt.prompt(), tokens, lambda: False, hold=side)


def drag_to(qtbot, window, index):
    axis = window.strip.axis

    def at(i):
        return QPoint(round(axis.x_of(i)), axis.height() // 2)

    qtbot.mousePress(axis, LEFT, pos=at(axis.value()))
    qtbot.mouseMove(axis, at(index))
    qtbot.mouseRelease(axis, LEFT, pos=at(index))
    shown = lambda: window.view.by_checkpoint.shown == index and settled(window)  # noqa: E731
    qtbot.waitUntil(shown, timeout=WAIT)


def test_dragging_shows_what_a_fresh_pair_of_that_checkpoint_says(window, qtbot, run):
    view, texts = window.view, [window.view.panels[side].text() for side in "AB"]
    assert window.strip.axis.steps == (0, 10, 20, 30)
    for index in (1, 2):
        drag_to(qtbot, window, index)
        for side in "AB":
            expected = fresh(window, run, index, side)
            r = view.beta() * (expected.logp_policy - expected.logp_reference)
            shown = view.panels[side].scoring
            assert shown.logp_policy == pytest.approx(expected.logp_policy, abs=1e-4)
            painted = view.panels[side].editor.spans().colours
            # A value on the edge between two colours may fall to either side of it.
            near = np.abs(painted - view.numbers.reward_scale().classes(r)[:-1])
            assert near.max() <= 1 and (near == 0).mean() > 0.9
    assert [view.panels[side].text() for side in "AB"] == texts
    drag_to(qtbot, window, 0)
    assert view.panels["A"].scoring.logp_policy.tolist() == (
        view.panels["A"].scoring.logp_reference.tolist()
    )


def test_a_replay_knows_all_and_an_edit_is_scored_under_what_is_shown(window, qtbot, run):
    drag_to(qtbot, window, 1)
    do(window, "replay_checkpoints")
    qtbot.waitUntil(lambda: len(window.view.by_checkpoint.known()) == 4, timeout=WAIT)
    for index in (1, 3):
        expected = fresh(window, run, index, "B").logp_policy
        known = window.view.by_checkpoint.of("B")[index].logp_policy
        assert known == pytest.approx(expected, abs=1e-4)
    editor = window.view.panels["B"].editor
    qtbot.keyClicks(editor, "Well, ")
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    scoring = window.view.panels["B"].scoring
    assert scoring.tokens.text.startswith("Well, ")
    expected = fresh(window, run, 1, "B").logp_policy
    assert scoring.logp_policy == pytest.approx(expected, abs=1e-4)


def test_whole_models_are_replayed_when_their_cost_has_been_agreed_to(
    open_window, qtbot, tmp_path, monkeypatch
):
    monkeypatch.setattr(scrubbing, "IDLE_MS", 10)
    reference = save_model(tmp_path / "reference", seed=0)
    for step in (10, 20):
        save_model(tmp_path / "run" / f"checkpoint-{step}", seed=step)
    spec = PairSpec(run=str(tmp_path / "run"), reference=str(reference))
    window = open_window(spec=spec, engine=real_engine)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    qtbot.wait(300)
    assert window.view.by_checkpoint.known() == (2,)  # nothing that is dear happens by itself
    asked = []
    window.checkpoints.scrubbing.confirm = lambda parent, question: asked.append(question)
    do(window, "replay_checkpoints")
    assert len(asked) == 1 and "is a whole model of" in asked[0]
    assert window.view.by_checkpoint.known() == (2,)
    window.checkpoints.scrubbing.confirm = lambda parent, question: True
    do(window, "replay_checkpoints")
    qtbot.waitUntil(lambda: window.view.by_checkpoint.known() == (0, 1, 2), timeout=WAIT)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    from core.models.load import load_pair

    policy = str(tmp_path / "run" / "checkpoint-10")
    pair, _ = load_pair(PairSpec(policy=policy, reference=str(reference)), lambda *_: None)
    for side in "AB":
        tokens = window.view.panels[side].scoring.tokens
        expected = score(pair, window.view.prompt.prompt(), tokens)
        found = window.view.by_checkpoint.of(side)[1]
        assert found.logp_policy == pytest.approx(expected.logp_policy, abs=1e-4)
        start = window.view.by_checkpoint.of(side)[0]
        assert (start.logp_policy == start.logp_reference).all()
