"""What the pair has learned, by mouse and keys in the real window, on a scripted engine."""

import json
from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication

from app.learned.view import ALONE, NO_PAIR, NOTHING, READY, UNDER_WAY
from app.start import LearnedPhotographer
from core.engine.protocol import Learn, ScoreVariants
from core.learned.examples import Example
from core.learned.report import as_json
from core.recording import RecordedLearning
from tests.app.conftest import PAIR, do, settled
from tests.app.fake_engine import INFO, RUN_INFO, FakeEngine
from tests.core.made_learned import FINDINGS, MARK, PROMPTS, SPELLING, TEXTS, learned


@pytest.fixture
def engine():
    """A class of engines of this test alone."""
    return type("ThisEngine", (FakeEngine,), {"info": RUN_INFO})


@pytest.fixture
def window(open_window, engine, qtbot):
    window = open_window(engine=engine)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    return window


@pytest.fixture
def view(window, qtbot):
    do(window, "show_learned")
    qtbot.waitUntil(window.learned.view.isVisible)
    return window.learned.view


def click(qtbot, widget, place=None):
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place or QPoint())


def asked(kind=Learn):
    return FakeEngine.last.asked(kind)


@pytest.fixture
def found(view, qtbot):
    """The view once it has found what the engine says."""
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    return view


def shown(window):
    """The texts in the credit view."""
    panels = window.view.panels
    return window.view.prompt.prompt(), panels["A"].text(), panels["B"].text()


# --- asking ---------------------------------------------------------------------------------------


def test_one_click_looks_and_lists_the_findings_in_their_order(view, qtbot):
    assert view.hint.text() == READY and not view.export.isEnabled()
    FakeEngine.last.gated, FakeEngine.last.steps = (Learn,), 2
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.bar.value() == 500, timeout=10_000)
    assert view.progress.isVisible() and "Step 2, 50 %" in view.bar.text()
    assert view.hint.text() == UNDER_WAY and not view.start.isEnabled()
    FakeEngine.last.allow()
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    model = view.findings.findings
    assert [model.data(model.index(row)) for row in range(model.rowCount())] == [
        it.claim for it in FINDINGS
    ]
    spoken = model.data(model.index(1), Qt.ItemDataRole.AccessibleTextRole)
    assert "−1.46 nats" in spoken and "10 of 10 responses" in spoken and "confirmed" in spoken
    assert not view.progress.isVisible() and view.start.isEnabled()
    assert asked()[-1].data == "" and asked()[-1].responses == () and asked()[-1].amplify
    assert view.tabs.tabText(0) == "Findings (3)" and view.tabs.tabText(1) == "Swaps (2)"


def test_it_is_cancelled_and_what_was_there_stays(found, qtbot):
    FakeEngine.last.gated, FakeEngine.last.steps = (Learn,), 1
    click(qtbot, found.start)
    qtbot.waitUntil(lambda: found.bar.value() == 250, timeout=10_000)
    click(qtbot, found.cancel)
    qtbot.waitUntil(lambda: not found.running, timeout=10_000)
    assert found.found == replace(learned(), over=()) and found.start.isEnabled()


def test_the_menu_looks_too_and_samples_are_left_out_if_wished(window, qtbot):
    do(window, "look")
    view = window.learned.view
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    qtbot.keyClick(view.samples, Qt.Key.Key_Space)
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: len(asked()) == 2 and not view.running, timeout=10_000)
    assert not asked()[-1].amplify


def test_a_file_is_chosen_and_remembered_and_none_leaves_what_was_chosen(window, view, qtbot):
    answers = ["/data/mine.jsonl", ""]
    window.ask.file = lambda title, kinds: answers.pop(0)
    for _ in range(2):
        view.source.setFocus()
        qtbot.keyClick(view.source, Qt.Key.Key_End)
        assert view.source.currentText() == "mine.jsonl"
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    assert asked()[-1].data == "/data/mine.jsonl"


def test_what_was_scored_here_is_what_the_history_has(window, view, qtbot):
    view.source.setFocus()
    for _ in range(2):
        qtbot.keyClick(view.source, Qt.Key.Key_Down)
    assert view.source.currentText() == "Responses scored here"
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    prompt, a, b = shown(window)
    assert [(it.prompt, it.text) for it in asked()[-1].responses] == [(prompt, a), (prompt, b)]


def test_what_the_reference_says_is_sampled_and_chosen_again(view, qtbot):
    view.source.setFocus()
    qtbot.keyClick(view.source, Qt.Key.Key_Down)
    assert view.source.currentText() == "What the reference says"
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    it = asked()[-1]
    assert (it.sampled, it.data, it.responses) == (200, "", ())
    click(qtbot, view.over)
    qtbot.waitUntil(lambda: len(asked()) == 2 and not view.running, timeout=10_000)
    assert asked()[-1] == replace(it, id=asked()[-1].id, over_checkpoints=True)
    view.show_again(RecordedLearning(Learn(0), learned()))
    assert view.source.currentText() == "Neutral corpus"
    view.show_again(RecordedLearning(it, learned()))
    assert view.source.currentText() == "What the reference says"


def test_a_refusal_is_one_sentence_and_goes_with_the_next(window, view, engine, qtbot):
    engine.fail_learn = "X has 3 different responses: leave --data out for the neutral corpus."
    click(qtbot, view.start)
    qtbot.waitUntil(window.notice.isVisible, timeout=10_000)
    assert "choose the neutral corpus" in window.notice.message.text()
    assert "--data" not in window.notice.message.text() and view.start.isEnabled()
    engine.fail_learn = ""
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    assert not window.notice.isVisible()


def test_without_a_pair_or_a_reference_it_says_what_to_do(open_window, engine, qtbot):
    window = open_window(spec=None, engine=engine)
    do(window, "show_learned")
    view = window.learned.view
    assert view.hint.text() == NO_PAIR and not view.start.isEnabled()
    engine.info = replace(INFO, reference="")
    window.pair.load(PAIR)
    qtbot.waitUntil(lambda: view.hint.text() == ALONE, timeout=10_000)
    assert not view.start.isEnabled()
    qtbot.waitUntil(lambda: not window.client.busy(), timeout=10_000)


def test_nothing_found_says_what_that_means(view, engine, qtbot):
    engine.learned = learned(findings=())
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    assert view.no_findings.isVisible() and view.no_findings.text() == NOTHING
    assert not view.panel.isVisible()


def test_another_pair_takes_it_away(window, found, qtbot):
    window.pair.load(PAIR)
    qtbot.waitUntil(lambda: found.found is None, timeout=10_000)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert found.hint.text() == READY


# --- saved reports --------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """Write a report as JSON and return its path."""

    def save(**more):
        path = tmp_path / "report.json"
        path.write_bytes(as_json(learned(**more)))
        return path

    return save


def test_a_click_opens_an_example_and_what_was_found_of_it(
    open_window, engine, saved, monkeypatch, qtbot
):
    example = Example("spelling", "British spellings", PAIR, saved())
    monkeypatch.setattr("app.learned.view.examples", lambda: (example,))
    window = open_window(spec=None, engine=engine)
    do(window, "show_learned")
    view = window.learned.view
    qtbot.waitUntil(view.isVisible)
    (button,) = view.examples
    assert button.isVisible() and button.text() == "British spellings"
    click(qtbot, button)
    assert view.found == learned()
    qtbot.waitUntil(lambda: settled(window) and view.start.isEnabled(), timeout=10_000)
    assert window.pair.spec == PAIR and view.found == learned()


def test_a_saved_report_is_shown_without_a_pair_and_stays_with_another(
    open_window, engine, saved, qtbot
):
    window = open_window(spec=None, engine=engine)
    window.ask.file = lambda title, kinds: str(saved())
    do(window, "open_report")
    view = window.learned.view
    assert view.found == learned() and window.pages.front() == "show_learned"
    assert view.panel.claim.text().lower() == SPELLING.claim.lower()
    window.pair.load(PAIR)
    qtbot.waitUntil(lambda: settled(window) and view.start.isEnabled(), timeout=10_000)
    qtbot.waitUntil(view.panel.is_coloured, timeout=10_000)
    assert view.found == learned()
    # The pair is another one, so its numbers are not those of the report's places.
    assert not asked(ScoreVariants) and not view.over.isEnabled()
    assert view.panel.places.contexts.rows[0].scoring is None
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: len(asked()) == 1 and not view.running, timeout=10_000)
    assert view.found.policy == learned().policy and view.found.over == ()


def test_places_of_a_saved_report_of_the_same_pair_are_coloured(window, saved, qtbot):
    window.learned.open(saved(policy=RUN_INFO.policy, reference=RUN_INFO.reference))
    rows = window.learned.view.panel.places.contexts.rows
    qtbot.waitUntil(lambda: all(it.scoring is not None for it in rows), timeout=10_000)
    assert len(asked(ScoreVariants)[-1].variants) == len(SPELLING.contexts)


def test_no_report_is_refused_and_what_was_there_stays(window, found, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    window.ask.file = lambda title, kinds: str(bad)
    do(window, "open_report")
    assert "no report of what a pair has learned" in window.notice.message.text()
    assert found.found == replace(learned(), over=())


def test_a_picture_without_a_report_has_what_the_pair_has_learned(window, qtbot):
    photographer = LearnedPhotographer(window)
    qtbot.waitUntil(lambda: not photographer.picture.isNull(), timeout=20_000)
    assert not photographer.problem and asked()[-1].data == ""
    view = window.learned.view
    assert view.isVisible() and view.found == replace(learned(), over=())
    assert all(it.scoring is not None for it in view.panel.places.contexts.rows)


# --- one finding ----------------------------------------------------------------------------------


def test_keys_go_through_findings_and_their_places_are_coloured(found, qtbot):
    assert found.panel.claim.text().lower() == SPELLING.claim.lower()
    rows = found.panel.places.contexts.rows
    assert [it.found for it in rows] == ["harbor", "labor", "colour", "favor"]
    qtbot.keyClick(found.findings, Qt.Key.Key_Down)
    assert found.panel.claim.text() == "Avoids “!”"
    assert "3 of 3 minimal pairs" in found.panel.status.text()
    qtbot.waitUntil(
        lambda: all(it.scoring is not None for it in found.panel.places.contexts.rows),
        timeout=10_000,
    )
    wanted = [TEXTS[it.response] for it in MARK.contexts]
    assert [it.text for it in asked(ScoreVariants)[-1].variants] == wanted
    row = found.panel.places.contexts.rows[0]
    tokens = row.scoring.tokens
    values = (row.scoring.logp_policy - row.scoring.logp_reference).tolist()
    assert row.spans() == [*zip(tokens.starts, tokens.ends, values, strict=False)]
    qtbot.keyClick(found.findings, Qt.Key.Key_Down)
    assert found.panel.nothing.isVisible() and not found.panel.open.isEnabled()


def test_members_exceptions_and_both_sides_are_told(found):
    said = found.panel.figures.text()
    assert "95% interval +1.72 to +2.90" in said and "over 5 words" in said
    assert "harbor −3.1" in said and "but not grey −0.3" in said
    assert "British spellings +1.20 a time, American spellings −2.40" in said


def test_a_double_click_opens_the_response_as_a_in_one_step_of_undo(window, found, qtbot):
    before = shown(window)
    places = found.panel.places
    centre = places.visualRect(places.contexts.index(1)).center()
    qtbot.mouseClick(places.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    qtbot.mouseDClick(places.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    assert shown(window) == (PROMPTS[3], TEXTS[3], "")
    assert window.pages.front() == "show_credit"
    do(window, "undo")
    assert shown(window) == before


def test_enter_opens_too(window, found, qtbot):
    found.findings.setFocus()
    qtbot.keyClick(found.findings, Qt.Key.Key_Return)
    assert shown(window)[1] == TEXTS[0]
    do(window, "show_learned")
    found.panel.places.setFocus()
    qtbot.keyClick(found.panel.places, Qt.Key.Key_Down)
    qtbot.keyClick(found.panel.places, Qt.Key.Key_Return)
    assert shown(window)[1] == TEXTS[3]


def test_the_counterfactual_is_the_minimal_pairs_other_side(window, found, qtbot):
    places = found.panel.places
    assert found.panel.counterfactual.isEnabled()
    qtbot.keyClick(places, Qt.Key.Key_Down)
    click(qtbot, found.panel.counterfactual)
    assert shown(window) == (PROMPTS[3], TEXTS[3], TEXTS[3].replace("labor", "labour"))
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    do(window, "show_learned")
    qtbot.keyClick(places, Qt.Key.Key_Down)  # of this place there is no minimal pair
    assert not found.panel.counterfactual.isEnabled() and found.panel.open.isEnabled()
    assert "choose another" in found.panel.counterfactual.toolTip()


# --- checkpoints ----------------------------------------------------------------------------------


def test_when_it_appeared_is_asked_for_and_drawn(found, qtbot):
    qtbot.keyClick(found.findings, Qt.Key.Key_Down)
    assert found.over.isEnabled() and not found.panel.over.isVisible()
    click(qtbot, found.over)
    qtbot.waitUntil(lambda: bool(found.found.over), timeout=10_000)
    assert asked()[-1].over_checkpoints and not found.over.isEnabled()
    assert found.findings.current() == 1  # what was chosen stays chosen
    drawn = found.panel.over
    assert drawn.isVisible() and drawn.said == "It appeared by step 20 of 30."
    assert [it[:2] for it in drawn.points] == [
        (step, pytest.approx(share * MARK.effect))
        for step, share in ((0, 0.0), (10, 0.2), (20, 0.9), (30, 1.0))
    ]


def test_a_pair_of_no_run_has_no_checkpoints(view, engine, window, qtbot):
    engine.info = INFO
    window.pair.load(PAIR)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert not view.over.isVisible()


# --- the other pages, and taking it away ----------------------------------------------------------


def test_swaps_and_tokens_are_listed_and_copied(found, qtbot):
    found.tabs.setCurrentIndex(1)
    line = found.swaps.table.line(0)
    assert line.cells[0].text == "·harbor → ·harbour" and line.cells[1].text == "0.60"
    found.swaps.table.setCurrentCell(0, 0)
    qtbot.keyClick(found.swaps.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QApplication.clipboard().text().split("\t")[:2] == [" harbor", " harbour"]
    found.tabs.setCurrentIndex(2)
    assert [cell.text for cell in found.unseen.table.line(1).cells] == [
        "Sure", "−2.20", "0.50", "0.06", "first token",
    ]  # fmt: skip


def test_samples_and_the_method_are_told(found):
    said = found.amplified.toPlainText()
    assert "harbour (in 9 of 12; under the reference in 0)" in said and "λ = 4" in said
    method = found.method.toPlainText()
    assert "What cannot be concluded" in method and "0.7 nats" in method


def test_what_models_say_is_shown_as_it_is(view, engine, qtbot):
    evil = "<b>x</b><img src='a'>"
    engine.learned = learned(
        samples=(replace(learned().samples[0], text=evil, prompt=evil),),
        notes=(evil,),
    )
    click(qtbot, view.start)
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    assert evil in view.amplified.toPlainText() and evil in view.method.toPlainText()


def test_what_a_file_says_may_be_of_any_length(view, qtbot):
    """And is painted all the same, as far as there is room."""
    long = replace(MARK, name="“" + "no " * 500_000, family=("x" * 1_000_000,))
    texts = ("word " * 200_000 + "!", *TEXTS[1:])
    long = replace(long, contexts=(replace(MARK.contexts[0], start=10, stop=900_000),))
    view.show_again(RecordedLearning(Learn(0), learned([long], texts=texts, over=())))
    view.grab()
    model = view.findings.findings
    assert len(model.data(model.index(0), Qt.ItemDataRole.ToolTipRole)) < 10_000
    places = view.panel.places.contexts
    assert len(places.data(places.index(0), Qt.ItemDataRole.ToolTipRole)) < 10_000
    assert len(view.panel.claim.text()) < 1000


def test_the_report_is_saved_and_copied(window, found, tmp_path):
    page, numbers = tmp_path / "a.html", tmp_path / "a.json"
    answers = [str(page), str(numbers), str(tmp_path / "no" / "a.json")]
    window.ask.new_file = lambda title, name, kinds: answers.pop(0)
    page_action, json_action, _, copy = found.export.menu().actions()
    page_action.trigger()
    json_action.trigger()
    assert "<!doctype html>" in page.read_text("utf-8")
    assert len(json.loads(numbers.read_text("utf-8"))["findings"]) == 3
    json_action.trigger()
    assert "cannot be written" in window.notice.message.text()
    copy.trigger()
    assert "avoids “!”" in QApplication.clipboard().text()


# --- another pair beside it -----------------------------------------------------------------------


def compared(view):
    model = view.compared.list.compared
    return [model.words(row) for row in range(model.rowCount())]


def test_a_saved_report_is_compared_with_and_goes_into_what_is_saved(window, found, tmp_path):
    other = tmp_path / "other.json"
    other.write_bytes(as_json(learned([SPELLING], policy="runs/other")))
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    answers = ["", str(bad), str(other)]
    window.ask.file = lambda title, kinds: answers.pop(0)
    before, saved = found.compare.menu().actions()
    assert not before.isEnabled()
    saved.trigger()
    assert found.tabs.indexOf(found.compared) < 0 and not window.notice.isVisible()
    saved.trigger()
    assert "is no report" in window.notice.message.text()
    saved.trigger()
    assert found.tabs.currentWidget() is found.compared and not window.notice.isVisible()
    assert "There: runs/other" in found.compared.about.text()
    assert [it.partition(":")[0] for it in compared(found)] == ["Only here", "Only here", "In both"]
    assert "here −1.46 ± 0.29, there –: not weighed there" in compared(found)[0]
    page = tmp_path / "a.html"
    window.ask.new_file = lambda *_: str(page)
    found.export.menu().actions()[0].trigger()
    assert "Compared with runs/other" in page.read_text("utf-8")


def test_the_pair_before_is_compared_with(window, found, engine, qtbot):
    engine.learned = learned([MARK], policy="runs/b", weighed=learned().weighed)
    window.pair.load(PAIR)
    qtbot.waitUntil(lambda: settled(window) and found.found is None, timeout=10_000)
    click(qtbot, found.start)
    qtbot.waitUntil(lambda: found.found is not None, timeout=10_000)
    before, _ = found.compare.menu().actions()
    assert "runs/dpo/checkpoint-30" in before.text()
    before.trigger()
    assert [it.partition(":")[0] for it in compared(found)] == [
        "In both", "Only there", "Only there",
    ]  # fmt: skip
    click(qtbot, found.start)
    qtbot.waitUntil(lambda: len(asked()) == 3 and not found.running, timeout=10_000)
    assert found.tabs.indexOf(found.compared) < 0  # it was of the report before


# --- sessions -------------------------------------------------------------------------------------


def test_it_goes_round_with_a_session_without_the_pair(window, found, open_window, tmp_path, qtbot):
    click(qtbot, found.over)
    qtbot.waitUntil(lambda: bool(found.found.over), timeout=10_000)
    qtbot.keyClick(found.findings, Qt.Key.Key_Down)
    qtbot.waitUntil(
        lambda: all(it.scoring is not None for it in found.panel.places.contexts.rows),
        timeout=10_000,
    )
    file = tmp_path / "a.qscope"
    window.ask.new_file = lambda *_: str(file)
    do(window, "save_as")
    qtbot.waitUntil(lambda: window.sessions.path == file, timeout=10_000)
    qtbot.waitUntil(lambda: not window.client.busy(), timeout=10_000)

    gone = type("Gone", (FakeEngine,), {"fail_load": "It is not there."})
    other = open_window(spec=None, engine=gone, session=file)
    qtbot.waitUntil(lambda: other.pages.front() == "show_learned", timeout=10_000)
    view = other.learned.view
    qtbot.waitUntil(lambda: view.found is not None, timeout=10_000)
    assert view.found == learned()
    assert other.client.recording.learned.found == learned()
    qtbot.keyClick(view.findings, Qt.Key.Key_Down)
    qtbot.waitUntil(
        lambda: all(it.scoring is not None for it in view.panel.places.contexts.rows),
        timeout=10_000,
    )
    view.panel.open_counterfactual()
    assert shown(other) == (PROMPTS[0], TEXTS[0], MARK.pairs[0].text)


def test_the_pair_that_takes_over_keeps_what_was_recorded(
    window, found, open_window, engine, tmp_path, qtbot
):
    file = tmp_path / "a.qscope"
    window.ask.new_file = lambda *_: str(file)
    do(window, "save_as")
    qtbot.waitUntil(lambda: window.sessions.path == file, timeout=10_000)
    qtbot.waitUntil(lambda: not window.client.busy(), timeout=10_000)
    other = open_window(spec=None, engine=engine, session=file)
    qtbot.waitUntil(
        lambda: other.pair.info is not None and not other.pair.info.recorded, timeout=10_000
    )
    view = other.learned.view
    assert view.found == replace(learned(), over=()) and not asked()
    assert view.over.isEnabled() and view.start.isEnabled()
