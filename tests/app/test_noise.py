"""Noise in the window: what lies below the floor has no fill and is grey, and float32 is near."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette

from app import theme
from app.search.hypotheses import REWARD as REWARD_COLUMN
from app.widgets.colour_scale import ColourScale
from core.engine.protocol import Load, NoiseMeasured
from core.noise import NOISELESS, NoiseFloor
from core.present.measures import MEASURES, shown
from core.present.node_facts import node_facts
from core.present.pair import pair_noise, pair_numbers
from core.present.token_facts import popup_html, token_facts
from core.text import align
from tests.app.conftest import do, settled
from tests.app.fake_engine import INFO, FakeEngine, scoring_of, split, tokens_of

FLOOR = NoiseFloor("bfloat16", 1.6, 0.8, 0.0, 300, "against float32 on 300 tokens of sample text")
BETA = 0.1
FAINT, PLAIN = QPalette.ColorRole.PlaceholderText, QPalette.ColorRole.WindowText


@pytest.fixture
def narrow(monkeypatch):
    """Pairs are loaded in bfloat16."""
    monkeypatch.setattr(FakeEngine, "info", replace(INFO, dtype="bfloat16"))


def tell(window, qtbot, floor, id=None):
    """The engine tells of the noise of the pair that was loaded last."""
    id = FakeEngine.last.asked(Load)[-1].id if id is None else id
    with qtbot.waitSignal(window.client.noise_measured, timeout=3000):
        FakeEngine.last.emit(NoiseMeasured(id, floor))


def scored(text):
    return scoring_of(tokens_of(split(text)))


A, B = scored("They were offered a job."), scored("They were offered a good job, they said.")


def ratios(scoring):
    return scoring.logp_policy - scoring.logp_reference


def test_single_rewards_below_the_floor_are_shown_as_0():
    found = shown(MEASURES["reward"], "token", BETA, {"A": A}, None, FLOOR)["A"]
    expected = [0.0 if abs(r) < 1.6 else BETA * r for r in ratios(A)]
    assert found == pytest.approx(expected) and 0 < np.count_nonzero(found) < len(found)
    for key in ("kl", "logp_policy"):
        assert np.array_equal(
            shown(MEASURES[key], "token", BETA, {"A": A}, None, FLOOR)["A"],
            shown(MEASURES[key], "token", BETA, {"A": A}, None)["A"],
        )


def test_sums_are_held_against_the_noise_of_sums():
    """A running sum over n tokens against 1.6 times the root of n; a sentence, all its tokens."""
    found = shown(MEASURES["gain"], "token", BETA, {"A": A}, None, FLOOR)["A"]
    sums = np.cumsum(ratios(A))
    below = np.abs(sums) < 1.6 * np.sqrt(np.arange(1, len(A) + 1))
    assert found == pytest.approx(np.where(below, 0.0, BETA * sums)) and below.any()
    found = shown(MEASURES["reward"], "sentence", BETA, {"A": A}, None, FLOOR)["A"]
    total = ratios(A)[:-1].sum()
    hidden = abs(total) < 1.6 * np.sqrt(len(A) - 1)
    assert found[:-1] == pytest.approx(0.0 if hidden else BETA * total)


def test_a_difference_of_two_is_noisier():
    pairs = align(A.tokens, B.tokens)
    whole = shown(MEASURES["delta"], "token", BETA, {"A": A, "B": B}, pairs)
    found = shown(MEASURES["delta"], "token", BETA, {"A": A, "B": B}, pairs, FLOOR)
    for side in "AB":
        below = np.abs(whole[side]) < BETA * 1.6 * np.sqrt(2)
        expected = np.where(below, 0.0, whole[side])
        assert np.array_equal(found[side], expected, equal_nan=True)


def test_the_margin_is_free_of_what_both_share():
    """A and B begin with the same four words: their noise cancels."""
    found = pair_noise(A, B, BETA, FLOOR)
    assert A.tokens.ids[:4] == B.tokens.ids[:4] and A.tokens.ids[4] != B.tokens.ids[4]
    apart = [BETA * 1.6 * np.sqrt(len(side) - 4) for side in (A, B)]
    assert found[:2] == pytest.approx([BETA * 1.6 * np.sqrt(len(side)) for side in (A, B)])
    assert found[2] == pytest.approx(np.hypot(*apart))
    assert pair_noise(A, A, BETA, FLOOR)[2] == 0
    assert pair_noise(A, B, BETA, NOISELESS) == (0, 0, 0)


def test_a_scale_has_the_colour_of_0_below_its_floor():
    scale = ColourScale(1.0, floor=0.3)
    values = [0.0, 0.29, -0.29, 0.3, -1.0, np.nan]
    plain = ColourScale(1.0).classes(values)
    expected = [scale.zero, scale.zero, scale.zero, *plain[3:]]
    assert scale.classes(values).tolist() == expected
    assert scale.hides(-0.2) and not scale.hides(0.3) and not scale.hides(float("nan"))
    assert scale.css(0.2) == scale.css(0.0)


def test_facts_say_why_they_are_grey():
    index = int(np.abs(ratios(A)).argmin())
    found = {fact.name: fact for fact in token_facts(A, index, BETA, FLOOR)}
    assert found["reward r"].faint and not found["log π"].faint
    assert found["reward r"].meaning.endswith("below the noise floor of bfloat16 (±0.16)")
    assert not any(fact.faint for fact in token_facts(A, index, BETA))
    assert "(noise)" in popup_html(A, index, BETA, ("", 0.0, 1), FLOOR)
    assert "(noise)" not in popup_html(A, index, BETA, ("", 0.0, 1))


def test_the_window_shows_noise_as_noise(narrow, open_window, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    view, status = window.view, window.status
    assert not status.noise.isVisible()
    tell(window, qtbot, FLOOR)
    scoring = view.scorings()["A"]
    hidden = np.abs(ratios(scoring)) < 1.6
    spans = view.panels["A"].editor.spans()
    zero = view.scale.scale(view.controls.measure()).zero
    assert ((spans.colours == zero) == hidden[:-1]).all() and hidden.any() and not hidden.all()
    assert status.noise.isVisible() and "noise ±1.6 nat a token" in status.noise.text()
    assert FLOOR.measured in status.noise.toolTip()
    assert view.controls.legend.bar.ends()[1] == "0 ± 0.16 noise"
    assert "noise floor" in view.controls.legend.bar.toolTip()
    margin = view.summary.figures["margin"]
    pair = pair_numbers(*view.scorings().values(), BETA)
    floors = pair_noise(*view.scorings().values(), BETA, FLOOR)
    for key, floor in zip(("sum_a", "sum_b", "margin"), floors, strict=True):
        label = view.summary.figures[key]
        assert (label.foregroundRole() == FAINT) == (abs(getattr(pair, key)) < floor)
    assert margin.foregroundRole() == FAINT and "(±" in margin.toolTip()
    index = int(np.abs(ratios(scoring)).argmin())
    view.focus_on.pin("A", index)
    qtbot.waitUntil(lambda: view.inspector.inspection() is not None, timeout=3000)
    values = {name.text(): value for name, value in view.inspector.facts.rows}
    assert values["reward r"].foregroundRole() == FAINT
    assert values["log π"].foregroundRole() == PLAIN
    table, muted = view.inspector.by_policy, theme.colours(False).muted
    for row in range(table.rowCount()):
        choice, cell = table.choice(row), table.item(row, 1)
        grey = abs(choice.logp_policy - choice.logp_reference) < 1.6
        assert (cell.background().style() == Qt.BrushStyle.NoBrush) == grey
        assert (cell.foreground().color().name() == muted) == grey
    view.controls.set_beta(0.2)
    view._recolour()
    assert view.controls.legend.bar.ends()[1] == "0 ± 0.32 noise"


def test_float32_changes_nothing(window, qtbot):
    view = window.view
    before = view.panels["A"].editor.spans().colours.copy()
    tell(window, qtbot, replace(FLOOR, dtype="float32", token=8e-6, spread=3e-6))
    assert (view.panels["A"].editor.spans().colours == before).all()
    assert not window.status.noise.isVisible()
    assert view.controls.legend.bar.ends()[1] == "0"
    assert not window.menus.actions["compute_in_float32"].isEnabled()


def test_noise_that_cannot_be_measured_is_said(narrow, open_window, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    tell(window, qtbot, None)
    assert "the noise of bfloat16 is not known" in window.status.noise.text()


def test_the_noise_of_an_earlier_pair_is_dropped(narrow, open_window, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    tell(window, qtbot, FLOOR)
    old = FakeEngine.last.asked(Load)[-1].id
    window.pair.load(window.pair.spec)
    assert not window.status.noise.isVisible() and window.view.noise is NOISELESS
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    FakeEngine.last.emit(NoiseMeasured(old, FLOOR))
    tell(window, qtbot, replace(FLOOR, token=3.0))
    assert window.view.noise.token == 3.0


def test_float32_is_one_click_away_and_so_is_the_way_back(narrow, open_window, qtbot, monkeypatch):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    before, text = window.pair.spec, window.view.panels["A"].text()
    assert window.menus.actions["compute_in_float32"].isEnabled()
    tell(window, qtbot, FLOOR)
    monkeypatch.setattr(FakeEngine, "fail_load", "It needs 9 GB: close other programs.")
    window.status.noise.linkActivated.emit("float32")
    qtbot.waitUntil(window.notice.isVisible, timeout=3000)
    assert FakeEngine.last.asked(Load)[-1].spec.dtype == "float32"
    assert window.notice.action.text() == "Load it as before"
    monkeypatch.setattr(FakeEngine, "fail_load", "")
    window.notice.action.click()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert window.pair.spec == before and window.view.panels["A"].text() == text
    do(window, "compute_in_float32")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert window.pair.spec.dtype == "float32" and window.view.panels["A"].text() == text


def test_trees_show_noise_and_keep_that_of_their_pair(narrow, open_window, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    tell(window, qtbot, FLOOR)
    do(window, "show_search")
    view = window.searches.view
    view.grow()
    qtbot.waitUntil(lambda: view.trees.panes["left"].state == "done", timeout=10_000)
    picture = view.trees.panes["left"].picture
    scale = view.trees.panes["left"].canvas.ink.scale
    hidden = np.abs(picture.rewards) < 0.16
    assert (picture.classes[hidden] == scale.zero).all() and hidden[1:].any()
    assert (picture.classes[1:][~hidden[1:]] != scale.zero).all()
    entry = int(np.flatnonzero(hidden[1:])[0]) + 1
    assert next(f for f in node_facts(picture.tree, entry, BETA, FLOOR) if f.faint)
    model = view.hypotheses.table.found
    for place, row in enumerate(model.rows):
        cell = model.index(place, REWARD_COLUMN)
        grey = abs(row.reward(BETA)) < BETA * 1.6 * np.sqrt(row.found.length)
        assert (model.data(cell, Qt.ItemDataRole.BackgroundRole) is None) == grey
        assert ("noise" in model.data(cell, Qt.ItemDataRole.ToolTipRole)) == grey
    do(window, "compute_in_float32")
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    tell(window, qtbot, replace(FLOOR, dtype="float32", token=8e-6, spread=3e-6))
    assert view.trees.panes["left"].canvas.ink.scale.floor == pytest.approx(0.16)
