"""The form that describes a search, made from the records of the strategies."""

import json
from dataclasses import dataclass

import pytest
from PySide6.QtCore import Qt

from app.search.controls import SearchForm
from core.search.spec import Objective, SearchSpec, Strategy, at_once
from core.search.strategies import register, strategies, unregister
from core.search.strategies.beam import Beam
from core.search.strategies.diverse import DiverseBeam
from core.search.strategies.mcts import TreeSearch
from core.setting import settings_of, values_of


@pytest.fixture
def form(qtbot):
    form = SearchForm()
    qtbot.addWidget(form)
    form.show()
    return form


def choose(form, name):
    form.strategy.setCurrentIndex(form.strategy.findData(name))


def test_it_offers_every_strategy_with_its_settings_as_they_come(form):
    offered = [form.strategy.itemData(i) for i in range(form.strategy.count())]
    assert offered == list(strategies())
    for name, kind in strategies().items():
        choose(form, name)
        assert form.spec() == SearchSpec(kind())
        assert form.settings.values() == values_of(kind())
        assert form.meaning.text() == kind.meaning
        for setting in settings_of(kind):
            field = form.settings.fields[setting.name]
            assert field.accessibleName() == setting.title
            assert field.toolTip().split() == setting.described.split()


def test_the_dial_stands_where_lambda_is(form):
    assert form.weight.value() == 1.0 and form.dial.value() == 20
    form.weight.setValue(-2.0)
    assert form.dial.value() == 0 and form.weight.value() == -2.0
    assert form.checked() == SearchSpec(form.spec().strategy, Objective.dial(-2.0))
    assert "Away from" in form.dial_meaning.text()
    form.dial.setValue(30)
    assert form.weight.value() == 1.5


def test_what_was_typed_for_a_strategy_comes_back_with_it(form, qtbot):
    choose(form, "mcts")
    form.settings.fields["value"].setCurrentText("rollout")
    form.settings.fields["exploration"].setValue(0.25)
    choose(form, "beam")
    choose(form, "mcts")
    assert form.spec().strategy == TreeSearch(value="rollout", exploration=0.25)


def test_digits_of_a_fraction_can_be_typed_one_by_one(form, qtbot):
    choose(form, "sample")
    field = form.settings.fields["temperature"]
    field.selectAll()
    qtbot.keyClicks(field, "0.75")
    assert field.text() == "0.75" and form.spec().strategy.temperature == 0.75


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SearchSpec(Beam(100_000)), "Width must be from 1 to 4096, not 100000."),
        (SearchSpec(Beam(), max_tokens=0), "Most tokens must be from 1 to 1000000, not 0."),
        (SearchSpec(Beam(), length_penalty=60), "Length penalty must be from -50 to 50, not 60."),
        (SearchSpec(DiverseBeam(5, 3)), "5 beams cannot be shared by 3 groups"),
    ],
)
def test_what_cannot_be_used_is_told_in_the_records_sentence(form, spec, words):
    form.set_spec(spec)
    assert form.spec() == spec
    assert form.checked() is None
    assert form.problem.isVisible() and words in form.problem.text()


def test_a_form_that_was_remembered_by_an_earlier_version_comes_back(form):
    word = json.dumps(
        {
            "strategy": "DiverseBeam",
            "settings": {"width": 4, "groups": 2, "diversity": 0.5},
            "weight": 1.5,
            "alone": False,
            "tokens": 20,
            "penalty": 1.0,
        }
    )
    form.recall(word)
    wanted = SearchSpec(DiverseBeam(4, 2, 0.5), Objective.dial(1.5), 20, 1.0)
    assert form.spec() == wanted and json.loads(form.remembered()) == json.loads(word)
    for nothing in ("", "{}", word.replace("DiverseBeam", "Hope"), word.replace("20", "0")):
        form.recall(nothing)
        assert form.spec() == wanted


@dataclass(frozen=True, slots=True)
class Toy(Strategy):
    """A strategy of a plugin."""

    name = "toy"
    title = "A toy"
    meaning = "It is registered by a test"

    blocks: int = at_once(3, "Blocks", "Wooden ones")


def test_a_strategy_of_ones_own_is_in_the_form(qtbot):
    register(Toy, lambda field, settings: None)
    try:
        form = SearchForm()
        qtbot.addWidget(form)
        form.show()
        choose(form, "toy")
        assert form.strategy.currentText() == "A toy"
        field = form.settings.fields["blocks"]
        field.selectAll()
        qtbot.keyClicks(field, "5")
        assert form.checked() == SearchSpec(Toy(5))
        tip = form.strategy.itemData(form.strategy.currentIndex(), Qt.ItemDataRole.ToolTipRole)
        assert tip == Toy.meaning
    finally:
        unregister(Toy)


def test_without_a_reference_only_the_policys_likelihood_is_offered(form):
    choose(form, "mcts")
    form.weight.setValue(2.0)
    form.set_alone(True)
    assert form.spec() == SearchSpec(Beam()) and form.checked() is not None
    assert not form.dial.isEnabled() and not form.weight.isEnabled()
    assert "needs a reference" in form.reward_alone.toolTip()
    assert "reward" not in form.dial_meaning.text()
    grey = {n for i, n in enumerate(strategies()) if not form.strategy.model().item(i).isEnabled()}
    assert grey == {name for name, kind in strategies().items() if kind.needs_reference}
    form.set_alone(False)
    assert form.dial.isEnabled() and form.weight.isEnabled() and form.reward_alone.isEnabled()
