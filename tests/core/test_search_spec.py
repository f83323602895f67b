"""What a search may be, as its records say: limits, sentences, words; a strategy of one's own."""

import math
from dataclasses import asdict, dataclass, fields

import pytest

import main
from core.search.grown import Status
from core.search.spec import Objective, SearchSpec, Strategy, at_once, named, problems
from core.search.strategies import (
    records,
    register,
    strategies,
    unregister,
)
from core.search.strategies.beam import Beam
from core.search.strategies.best_first import BestFirst
from core.search.strategies.chunks import ChunkBeam
from core.search.strategies.diverse import DiverseBeam
from core.search.strategies.given import Given
from core.search.strategies.mcts import TreeSearch
from core.search.strategies.sampling import Sampling
from core.setting import settings_of
from tests.searches import grown, search_pair, sequence_logp
from tests.test_layers import MODELS, brought_along
from tests.tiny import save_pair


@pytest.mark.parametrize(
    ("spec", "setting", "words"),
    [
        (SearchSpec(Beam(0)), "width", "Width must be from 1 to 4096, not 0."),
        (SearchSpec(Beam(100_000)), "width", "to 4096, not 100000."),
        (SearchSpec(Beam(2.5)), "width", "Width must be a whole number, not 2.5."),
        (SearchSpec(Beam("wide")), "width", "not 'wide'."),
        (SearchSpec(Beam(True)), "width", "not True."),
        (SearchSpec(Beam(), max_tokens=0), "max_tokens", "Most tokens must be from 1"),
        (SearchSpec(Beam(), max_tokens=10**7), "max_tokens", "to 1000000, not 10000000."),
        (SearchSpec(Beam(), length_penalty=-51), "length_penalty", "from -50 to 50, not -51."),
        (SearchSpec(Beam(), Objective.dial(-2e6)), "objective", "λ must be from -1000000"),
        (SearchSpec(Beam(), Objective.dial(2e6)), "objective", "to 1000000, not 2000000."),
        (SearchSpec(Beam(), Objective(1, math.inf)), "objective", "must be finite numbers."),
        (SearchSpec(DiverseBeam(5, 3)), "groups", "5 beams cannot be shared by 3 groups"),
        (SearchSpec(Sampling(temperature=0)), "temperature", "Temperature must be above 0, not 0."),
        (SearchSpec(Sampling(temperature=math.inf)), "temperature", "must be above 0, not inf."),
        (SearchSpec(Sampling(top_p=0)), "top_p", "Top p must be above 0 and at most 1, not 0."),
        (SearchSpec(Sampling(min_p=1.5)), "min_p", "Min p must be from 0 to 1, not 1.5."),
        (SearchSpec(BestFirst(optimism=math.nan)), "optimism", "must be a finite number, not nan."),
        (SearchSpec(TreeSearch(value="luck")), "value", "must be 'gain' or 'rollout', not 'luck'."),
        (SearchSpec(Given()), "tokens", "There is no token to put in place"),
        (SearchSpec(ChunkBeam(), policy_only=True), "policy_only", "needs the reference"),
    ],
)
def test_what_cannot_be_used_is_named_in_a_sentence(spec, setting, words):
    found = problems(spec)
    assert list(found) == [setting]
    assert words in found[setting] and found[setting].endswith(".")


def test_all_that_cannot_be_used_is_told_at_once():
    found = problems(SearchSpec(Sampling(0, top_p=2), max_tokens=0, length_penalty=math.nan))
    assert list(found) == ["count", "top_p", "max_tokens", "length_penalty"]


def test_the_limits_themselves_can_be_used():
    for width in (1, 4096):
        assert problems(SearchSpec(Beam(width), max_tokens=10**6, length_penalty=50)) == {}
    assert problems(SearchSpec(Sampling(top_p=1, min_p=1, seed=2**31 - 1))) == {}
    assert problems(SearchSpec(Beam(), Objective.reward())) == {}
    assert problems(SearchSpec(Beam(), Objective.emulated(-3))) == {}
    assert math.inf > (10.0**6) ** 50


def test_every_strategy_is_fine_as_it_comes_and_has_words():
    assert {"beam", "diverse", "stochastic", "best-first", "sample", "mcts", "chunk"} <= set(
        strategies()
    )
    for name, kind in strategies().items():
        spec = SearchSpec(kind())
        assert problems(spec) == {} and name == kind.name
        assert named(spec).startswith(kind.title) and named(spec).endswith("λ = 1")
        assert [found.name for found in settings_of(kind)] == [found.name for found in fields(kind)]
        assert all(found.title and found.meaning for found in settings_of(kind))
    assert named(SearchSpec(Given((3,)))) == "Given tokens"


def test_every_place_on_the_dial_has_words_of_its_own():
    objectives = [Objective.dial(weight) for weight in (-1, 0, 0.5, 1, 1.5, 3)]
    objectives += [Objective.reward(), Objective.emulated(0.5)]
    assert len({objective.meaning for objective in objectives}) == len(objectives)
    assert len({objective.name for objective in objectives}) == len(objectives)
    assert "over-optimises" in Objective.reward().meaning


def test_all_records_are_listed_and_told_apart_by_their_names():
    kinds = records()
    assert {*strategies().values(), Given} == set(kinds)
    assert (
        len({kind.__name__ for kind in kinds}) == len({kind.name for kind in kinds}) == len(kinds)
    )
    for kind in kinds:
        assert kind(**asdict(kind())) == kind()


def test_strategies_are_known_without_torch():
    statement = "from core.search.strategies import strategies; assert len(strategies()) >= 7"
    assert brought_along(statement, MODELS) == ""


# --- a strategy of one's own --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stubborn(Strategy):
    """Takes the best token each time, some of them together."""

    name = "stubborn"
    title = "Stubborn search"
    meaning = "Never looks to the left or right"

    strides: int = at_once(2, "Strides", "Tokens that are taken in each step")


class StubbornSearch:
    """The algorithm of Stubborn."""

    def __init__(self, field, settings):
        self._field, self._settings, self._node = field, settings, field.start

    def step(self):
        field, node = self._field, self._node
        if field.length(node) >= field.max_tokens:
            return None
        for _ in range(self._settings.strides):
            actions = field.expand([node])
            node = int(actions.take([0], actions.best(1)[1][0])[0])
            field.ledger.mark(node, Status.KEPT)
        step = field.ledger.step([node], field.length(node) / field.max_tokens)
        self._node = node
        return step


@pytest.fixture
def stubborn():
    register(Stubborn, StubbornSearch)
    yield
    unregister(Stubborn)
    assert "stubborn" not in strategies()


def test_a_strategy_of_ones_own_runs_through_a_pair(stubborn):
    pair, (policy, _) = search_pair()
    spec = SearchSpec(Stubborn(3), max_tokens=6)
    tree, growths = grown(pair, spec)
    assert len(growths) == 2
    found = tree.hypotheses(spec)[0]
    greedy = grown(pair, SearchSpec(Beam(1), max_tokens=6))[0].hypotheses(spec)[0]
    assert found.ids[: greedy.length] == greedy.ids
    assert found.sum_policy == pytest.approx(sequence_logp(policy, pair, found.ids), abs=1e-3)
    assert problems(SearchSpec(Stubborn(0))) == {
        "strides": "Strides must be from 1 to 4096, not 0."
    }


def test_a_strategy_of_ones_own_is_on_the_command_line(stubborn, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(["search", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "stubborn" in said and "Never looks to the left" in said and "strides=2" in said
    policy, reference = save_pair(tmp_path)
    (tmp_path / "prompt.txt").write_text("Summarise this post.", "utf-8")
    argv = ["search", "--policy", policy, "--reference", reference, "--max-new-tokens", 4]
    argv += ["--prompt-file", tmp_path / "prompt.txt", "--strategy", "stubborn", "--json"]
    assert main.main([*map(str, argv), "--set", "strides=4"]) == 0
    assert '"strategy": "Stubborn"' in capsys.readouterr().out
