"""The window on a policy alone and on pairs of other losses: names, numbers, what is grey, why."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtGui import QGuiApplication

from core.engine.protocol import Inspected, Scored
from core.losses import TrainingLoss
from core.present.measures import MEASURES
from tests.app.conftest import do, settled
from tests.app.fake_engine import INFO, FakeEngine

ABSENT = dict.fromkeys("logp_reference rank_reference kl kl_reverse entropy_reference".split())


def lone(choices):
    return tuple(replace(it, logp_reference=None, rank_reference=None) for it in choices)


class Alone(FakeEngine):
    """Knows nothing of a reference."""

    info = replace(INFO, reference="", base_shared=False)

    def _answer(self, request):
        event = super()._answer(request)
        if isinstance(event, Scored):
            return replace(event, scoring=replace(event.scoring, **ABSENT))
        if isinstance(event, Inspected):
            seen = event.inspection
            found = replace(
                seen, by_policy=lone(seen.by_policy), by_reference=(), found=lone(seen.found)
            )
            return replace(event, inspection=found)
        return event


class OfSimPO(Alone):
    info = replace(Alone.info, objective=TrainingLoss(("simpo",), gamma=0.5), beta=2.0)


class OfIPO(FakeEngine):
    info = replace(INFO, objective=TrainingLoss(("ipo",)))


class OfAOT(FakeEngine):
    info = replace(INFO, objective=TrainingLoss(("aot",)))


def opened(open_window, qtbot, engine):
    window = open_window(engine=engine)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    return window


def figures(window):
    """The strip's numbers by the names that stand before them."""
    lines = window.view.summary.as_text().splitlines()
    return {
        name: value.replace("−", "-") for name, _, value in (it.partition("\t") for it in lines)
    }


def offered(window):
    model = window.view.controls.colour_by.model()
    return [key for row, key in enumerate(MEASURES) if model.item(row).isEnabled()]


def test_a_policy_alone(open_window, qtbot):
    window = opened(open_window, qtbot, Alone)
    view = window.view
    a, b = (view.scorings()[side].logp_policy for side in ("A", "B"))
    found = figures(window)
    assert float(found["Σ log π A"]) == pytest.approx(a.sum(), abs=1e-3)
    assert float(found["margin A − B"]) == pytest.approx(a.sum() - b.sum(), abs=1e-3)
    assert not {"σ(margin)", "DPO loss"} & {*found}
    assert not view.controls.beta.isEnabled() and "alone" in view.controls.beta.toolTip()
    assert offered(window) == ["logp_policy"]
    assert view.controls.measure().key == "logp_policy"
    tip = view.controls.colour_by.model().item(0).toolTip()
    assert "needs a reference" in tip
    view.focus_on.pin("A", 2)
    inspector = view.inspector
    qtbot.waitUntil(lambda: inspector.inspection() is not None, timeout=5000)
    assert not inspector.tabs.isTabEnabled(1) and "reference" in inspector.tabs.tabToolTip(1)
    assert not inspector.by_reference.isVisible() and inspector.by_policy.isColumnHidden(3)
    shown = [name.text() for name, _ in inspector.facts.rows if not name.isHidden()]
    assert "log π" in shown and not {"log π_ref", "reward r", "KL(π\u202f||\u202fπ_ref)"} & {*shown}
    assert view.panels["A"].sum.text().startswith("Σ log π = ")
    assert "π_ref: none" in window.status.pair.text()
    view.make_chart()
    qtbot.waitUntil(lambda: "log π" in view.chart.key.text(), timeout=5000)
    assert "reward" not in view.chart.key.text()
    choice = view.chart.header.itemAt(0).widget()
    assert choice.currentText() == "log π" and not choice.model().item(1).isEnabled()
    do(window, "copy_table")
    header = QGuiApplication.clipboard().text().partition("\n")[0].split("\t")
    assert "logp_policy" in header and not {"reward", "logp_reference", "kl"} & {*header}


def test_simpo_shows_its_own_score_margin_and_loss(open_window, qtbot):
    window = opened(open_window, qtbot, OfSimPO)
    a, b = (window.view.scorings()[side].logp_policy for side in ("A", "B"))
    found = figures(window)
    margin = 2.0 * (a.mean() - b.mean())
    assert float(found["score A"]) == pytest.approx(2.0 * a.mean(), abs=1e-3)
    assert float(found["margin A − B"]) == pytest.approx(margin, abs=1e-3)
    assert float(found["SimPO loss"]) == pytest.approx(np.logaddexp(0, 0.5 - margin), abs=1e-3)
    assert "lengths" in window.view.summary.delta.words
    assert offered(window) == ["logp_policy", "share"]
    box = window.view.controls.colour_by
    box.setCurrentIndex(box.findData("share"))
    assert window.view.numbers.values["A"] == pytest.approx(2.0 * a / len(a))
    assert "SimPO" in window.status.pair.toolTip()


def test_ipo_compares_means_and_aot_no_pair(open_window, qtbot):
    window = opened(open_window, qtbot, OfIPO)
    a, b = window.view.scorings().values()
    means = [(it.logp_policy - it.logp_reference).mean() for it in (a, b)]
    found = figures(window)
    assert float(found["score A"]) == pytest.approx(means[0], abs=1e-3)
    assert "σ(margin)" not in found
    loss = (means[0] - means[1] - 1 / (2 * INFO.beta)) ** 2
    assert float(found["IPO loss"]) == pytest.approx(loss, abs=1e-3)
    window.close()
    window = opened(open_window, qtbot, OfAOT)
    found = figures(window)
    assert found["margin A − B"] == found["AOT loss"] == "–" and "Σr A" in found
    assert "batch" in window.view.summary.figures["loss"].toolTip()


def test_a_pair_of_dpo_comes_back_after_a_policy_alone(open_window, qtbot):
    window = opened(open_window, qtbot, Alone)
    Alone.last.info = INFO
    Alone.last._answer = FakeEngine._answer.__get__(Alone.last)
    window.pair.load_again()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    assert "Σr A" in figures(window) and window.view.inspector.tabs.isTabEnabled(1)
    assert "reward" in offered(window) and "share" not in offered(window)
    assert "σ(margin)" in figures(window) and window.view.controls.beta.isEnabled()
