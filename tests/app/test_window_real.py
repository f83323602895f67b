"""The window on the real engine and a tiny random pair: from keys to colours."""

import numpy as np
import pytest

from app.engine_client import real_engine
from core.engine.protocol import Load, PairSpec
from tests.app.conftest import settled
from tests.tiny import save_pair

WAIT = 60_000


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    return PairSpec(policy=str(policy), reference=str(reference), beta=0.1)


@pytest.fixture
def window(open_window, qtbot, spec):
    window = open_window(spec=spec, engine=real_engine)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    return window


def test_the_same_text_typed_or_undone_has_the_same_numbers(window, qtbot):
    panel = window.view.panels["A"]
    before = panel.scoring
    assert len(before) == len(before.tokens) + 1
    cursor = panel.editor.textCursor()
    cursor.setPosition(panel.text().index("$53K") + 1)
    panel.editor.setTextCursor(cursor)
    qtbot.keyClicks(panel.editor, "2")
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert "$253K" in panel.scoring.tokens.text
    assert not np.array_equal(panel.scoring.ids, before.ids)
    panel.editor.undo()
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert np.array_equal(panel.scoring.ids, before.ids)
    assert np.array_equal(panel.scoring.logp_policy, before.logp_policy)
    assert panel.scoring.computed == 0


def test_a_token_is_replaced_and_the_rest_kept(window, qtbot):
    panel, view = window.view.panels["B"], window.view
    before = panel.scoring.tokens
    view.focus_on.pin("B", 4)
    qtbot.waitUntil(lambda: view.inspector.inspection() is not None, timeout=WAIT)
    inspection = view.inspector.inspection()
    assert len(inspection.by_policy) == len(inspection.by_reference) == 10
    first = next(a for a in inspection.by_policy if a.text.isprintable() and a.id != before.ids[4])
    view.inspector.chosen.emit(first.id)
    qtbot.waitUntil(lambda: panel.scoring.tokens.ids[4] == first.id, timeout=WAIT)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert panel.scoring.tokens.ids[5:] == before.ids[5:]
    assert panel.text() == panel.scoring.tokens.text
    shown = first.logp_policy
    assert panel.scoring.logp_policy[4] == pytest.approx(shown, abs=1e-4)
    panel.editor.undo()
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert panel.scoring.tokens.ids == before.ids


def test_the_q_function_of_a_real_pair(window, qtbot):
    view, page = window.view, window.view.q_page
    qtbot.waitUntil(lambda: view.chart is not None, timeout=WAIT)
    view.focus_on.pin("B", 4)
    view.inspector.tabs.setCurrentWidget(page)
    qtbot.waitUntil(lambda: page.vocabulary() is not None, timeout=WAIT)
    scoring, actions = view.panels["B"].scoring, page.vocabulary()
    assert page.check.text().startswith(
        ("Σ π_ref·exp(r/β) = 1.00000", "Σ π_ref·exp(r/β) = 0.99999")
    )
    expected = -view.beta() * scoring.kl_reverse[4]
    shown = page.check.text().replace("−", "-").rpartition(" ")[2]
    assert float(shown) == pytest.approx(expected, abs=2e-5)
    ratio = actions.logp_policy.astype(float) - actions.logp_reference
    assert page.promoted.choice(0).id == ratio.argmax()  # random models: all tokens are likely
    assert page.demoted.choice(0).id == ratio.argmin()
    view.replace("B", 4, page.demoted.choice(0).id)
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert page.vocabulary() is actions and scoring is not view.panels["B"].scoring
    assert page.demoted.item(0, 0).text().startswith("▸")


def test_a_huge_paste_is_refused_in_a_sentence_and_stays(window, qtbot):
    edit = window.view.panels["A"].editor
    edit.selectAll()
    edit.insertPlainText("word and word " * 7200)
    qtbot.waitUntil(lambda: "context" in window.notice.message.text(), timeout=WAIT)
    qtbot.waitUntil(lambda: not window.client.busy(), timeout=WAIT)
    assert len(edit.text()) > 100_000
    edit.undo()
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    assert not window.notice.isVisible()


def test_a_missing_folder_is_a_sentence(open_window, qtbot):
    window = open_window(
        spec=PairSpec(policy="/nowhere/p", reference="/nowhere/r"), engine=real_engine
    )
    qtbot.waitUntil(window.notice.isVisible, timeout=WAIT)
    assert "/nowhere/p" in window.notice.message.text()
    assert window.view.panels["A"].text()


def test_closing_while_the_real_engine_loads(open_window, qtbot, spec):
    window = open_window(spec=spec, engine=real_engine)
    qtbot.waitUntil(lambda: window.client.busy(Load), timeout=WAIT)
    window.close()
