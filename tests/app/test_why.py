"""The inspector says in words why a token has its colour, and since when in a run."""

import pytest

from tests.app.conftest import do, settled
from tests.app.fake_engine import RUN_INFO, FakeEngine


def test_the_inspector_says_why_a_token_has_its_colour(window, qtbot):
    view = window.view
    view.focus_on.pin("B", 6)
    scoring = view.panels["B"].scoring
    ratio = float(scoring.logp_policy[6] - scoring.logp_reference[6])
    assert f"{abs(0.1 * ratio):.3f} β·nats" in view.inspector.why.text()
    qtbot.waitUntil(lambda: "and expected “" in view.inspector.why.text(), timeout=10_000)
    assert "and prefers “·forty”" in view.inspector.why.text()
    assert view.inspector.why.isVisible()


def test_it_says_since_which_step_of_a_run(open_window, qtbot, monkeypatch):
    monkeypatch.setattr(FakeEngine, "info", RUN_INFO)
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "replay_checkpoints")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    view = window.view
    view.focus_on.pin("B", 6)
    steps = view.numbers.by_step("B")
    assert [step for step, _ in steps] == [0, 10, 20, 30]
    values = [float(it.logp_policy[6] - it.logp_reference[6]) for _, it in steps]
    since = 3
    while since and values[since - 1] * values[3] > 0:
        since -= 1
    assert values[0] == 0 and since > 0
    assert f"since step {steps[since][0]} (" in view.inspector.why.text()
    assert f"{0.1 * values[since]:+.3f}".replace("-", "−") in view.inspector.why.text()


@pytest.mark.parametrize("index", [8, 9])
def test_the_closing_token_has_its_words_too(window, index):
    count = len(window.view.panels["B"].scoring)
    window.view.focus_on.pin("B", min(index, count - 1))
    assert window.view.inspector.why.text().startswith("“")
