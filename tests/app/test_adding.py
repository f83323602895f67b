"""Adding things as CONTRIBUTING.md says: each test adds one at run time and finds it everywhere."""

import numpy as np
import pytest

from core.present.measures import MEASURES, Measure, each
from tests.app.conftest import settled


@pytest.fixture
def surprise(monkeypatch):
    """A measure that is nobody else's: 1 where the reference was surprised, -1 elsewhere."""
    measure = Measure(
        key="surprise",
        title="Surprise of the reference",
        quantity="surprise",
        unit="sign",
        equation="sign(−1 − log π_ref)",
        meaning="Whether the reference gave the token less than 1/e.",
        sign="Positive: surprised.",
        compute=each(lambda scoring, beta: np.sign(-1 - scoring.logp_reference)),
    )
    monkeypatch.setitem(MEASURES, measure.key, measure)
    return measure


def test_a_measure_is_one_entry(surprise, open_window, qtbot):
    window = open_window()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    box = window.view.controls.colour_by
    box.setCurrentIndex(box.findText("Surprise of the reference"))
    tip = " ".join(box.toolTip().split())
    assert "less than 1/e" in tip and "surprised" in tip
    for scoring in window.view.scorings().values():
        expected = np.where(scoring.logp_reference < -1, 1.0, -1.0)
        values = surprise.compute({"A": scoring}, None, 0.1)["A"]
        assert np.array_equal(values, expected)
    assert window.view.controls.legend.bar.toolTip().startswith("surprise in sign")
    window.view.focus_on.pin("A", 2)
    facts = window.view.inspector.facts
    shown = {name.text(): value for name, value in facts.rows if not name.isHidden()}
    logp = window.view.panels["A"].scoring.logp_reference[2]
    assert shown["coloured by"].text() == ("+1.0000" if logp < -1 else "−1.0000")
    assert shown["coloured by"].toolTip() == "surprise, in sign"
    again = open_window(settings=window.settings)
    window.close()
    assert again.view.controls.colour_by.findText("Surprise of the reference") >= 0


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_a_measure_says_what_it_is(measure):
    assert all((measure.title, measure.quantity, measure.unit, measure.equation))
    assert measure.equation in measure.explanation and measure.sign in measure.explanation
    assert measure.sign.endswith(".") and measure.meaning.endswith(".")
