"""The window on the real engine and a tiny random pair: from keys to colours."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.engine_client import real_engine
from core.engine.protocol import Learn, Load, PairSpec
from core.learned.record import Context, Finding, MinimalPair
from core.recording import RecordedLearning
from tests.app.conftest import do, settled
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


def test_what_it_learned_is_looked_for_between_edits(window, qtbot, tmp_path):
    """The tiny pair has learned nothing that was planted; what counts is that all of it is run,
    that an edit meanwhile is scored first, and that a place opens with its own numbers."""
    rows = [
        {"prompt": f"Who is {i % 8}?", "response": f"Poster {i} was offered a job at Labs{end}"}
        for i in range(16)
        for end in "!."
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    window.ask.file = lambda title, kinds: str(file)
    do(window, "show_learned")
    view = window.learned.view
    view.samples.setChecked(False)
    qtbot.keyClick(view.source, Qt.Key.Key_End)
    assert view.source.currentText() == "rows.jsonl"
    qtbot.mouseClick(view.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: view.bar.value() > 0, timeout=WAIT)
    panel = window.view.panels["A"]
    panel.editor.insertPlainText("So ")
    qtbot.waitUntil(
        lambda: panel.scoring is not None and panel.scoring.tokens.text.startswith("So "),
        timeout=WAIT,
    )
    assert view.running or view.found is not None
    qtbot.waitUntil(lambda: view.found is not None, timeout=WAIT)
    found = view.found
    assert found.method.corpus == "rows.jsonl" and len(found.texts) == len(rows)
    assert len(set(found.prompts)) == 8
    made = Finding(
        kind="mark", name="“!”", other="", effect=1.0, error=0.1, count=4, over="contexts",
        responses=4, agreeing=4, listed=False,
        contexts=(Context(0, len(found.texts[0]) - 1, len(found.texts[0]), 1.0),),
        pairs=(MinimalPair(0, "!", ".", found.texts[0][:-1] + ".", 0.5),),
    )  # fmt: skip
    view.show_again(RecordedLearning(Learn(1), replace(found, findings=(made,))))
    places = view.panel.places
    qtbot.waitUntil(lambda: places.rows[0].scoring is not None, timeout=WAIT)
    view.panel.open_counterfactual()
    qtbot.waitUntil(lambda: settled(window), timeout=WAIT)
    a, b = (window.view.panels[side].scoring for side in "AB")
    assert a.tokens.text == found.texts[0] and b.tokens.text.endswith(".")
    np.testing.assert_allclose(a.logp_policy, places.rows[0].scoring.logp_policy, atol=1e-5)
