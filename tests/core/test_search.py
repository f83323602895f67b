"""Every strategy: what it finds, that it may be stopped anywhere, and what it refuses."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch

from core.codec import Codec
from core.errors import Cancelled, UserFacingError
from core.models.check import choose_way
from core.models.lane import Lane
from core.search.grown import GrownTree, Status
from core.search.run import Run
from core.search.spec import Objective, SearchSpec
from core.search.strategies import records
from core.search.strategies.beam import Beam
from core.search.strategies.beam_sample import BeamSample
from core.search.strategies.best_first import BestFirst
from core.search.strategies.chunks import ChunkBeam
from core.search.strategies.diverse import DiverseBeam
from core.search.strategies.given import Given
from core.search.strategies.mcts import TreeSearch
from core.search.strategies.sampling import Sampling
from core.search.strategies.stochastic import StochasticBeam
from core.text import Prompt
from tests.searches import (
    PROMPT,
    all_responses,
    grown,
    search_pair,
    sequence_logp,
    small_pair,
)
from tests.tiny import byte_level_tokenizer, tiny_model

ALL = [
    Beam(3),
    DiverseBeam(4, 2),
    BeamSample(3, temperature=2.0, seed=4),
    StochasticBeam(3, seed=4),
    BestFirst(12, children=4, batch=2),
    Sampling(4, seed=4),
    TreeSearch(12, children=3),
    TreeSearch(5, children=3, value="rollout", rollout=3, seed=2),
    ChunkBeam(2, 2, chunk=2, seed=4),
    Given((20, 21, 22), closed=True),
]
NAMES = [f"{type(s).__name__}{i}" for i, s in enumerate(ALL)]


def test_every_strategy_is_among_them():
    assert {type(strategy) for strategy in ALL} == set(records())


def shape(tree):
    """Everything a search did, to be compared."""
    columns = (tree.token, tree.parent, tree.status, tree.reason, tree.visits, tree.best)
    return [column.tolist() for column in columns]


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_stopped_anywhere_and_gone_on_with_it_does_the_same(strategy):
    spec = SearchSpec(strategy, objective=Objective.dial(1.5), max_tokens=6)
    expected, _ = grown(search_pair("llama")[0], spec)
    pair, models = search_pair("llama")
    run, tree, patience = Run(pair, PROMPT, (), spec), GrownTree(), 0
    while True:
        calls = iter(range(10**6))
        try:
            growth = run.step(lambda calls=calls, limit=patience: next(calls) >= limit)
        except Cancelled:
            patience += 1  # the next try comes a little further
            continue
        patience = 0
        if growth is None:
            break
        tree.add(growth)
    assert shape(tree) == shape(expected)
    for h in tree.hypotheses(spec):
        sums = [sequence_logp(model, pair, h.ids) for model in models]
        assert [h.sum_policy, h.sum_reference] == pytest.approx(sums, abs=1e-3)
        assert h.score == pytest.approx(1.5 * sums[0] - 0.5 * sums[1], abs=2e-3)
        assert h.reward_side == pytest.approx(h.likelihood_side, abs=1e-3)


@pytest.mark.parametrize("strategy", ALL[:-1], ids=NAMES[:-1])
def test_a_node_that_was_left_and_is_pinned_goes_on_when_the_search_is_resumed(strategy):
    spec = SearchSpec(strategy, max_tokens=6)
    pair, models = search_pair("llama")
    run, tree = Run(pair, PROMPT, (), spec), GrownTree()
    for _ in range(3):
        tree.add(run.step())
    ways = [set(tree.path(int(entry)).tolist()) for entry in tree.best]
    left = [e for e in range(1, len(tree)) if not any(e in way for way in ways)]
    left = [e for e in left if not tree.is_closed(e)]
    # What no hypothesis runs through; a strategy that leaves nothing has another token forced.
    start = int(tree.node[0])
    pin = int(tree.node[left[0]]) if left else int(pair.tree.extend(start, [20])[-1])
    run.steer(pin, "pin")
    patience = 0
    while True:
        calls = iter(range(10**6))
        try:
            growth = run.step(lambda calls=calls, limit=patience: next(calls) >= limit)
        except Cancelled:
            patience += 1
            continue
        patience = 0
        if growth is None:
            break
        tree.add(growth)
    pinned = tree.entry(pin)
    assert pinned is not None and tree.status[pinned] == Status.KEPT
    through = [h for h in tree.hypotheses(spec) if pinned in tree.path(h.index)]
    assert any(h.finished and (h.closed or h.length == 6) for h in through)
    for h in through:
        assert h.sum_policy == pytest.approx(sequence_logp(models[0], pair, h.ids), abs=1e-3)


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_it_ends_and_says_so(strategy):
    spec = SearchSpec(strategy, max_tokens=4)
    tree, growths = grown(search_pair("llama")[0], spec)
    assert len(tree.best) >= 1 and len(set(tree.best.tolist())) == len(tree.best)
    assert int(tree.depth.max()) <= 4
    fractions = [growth.step.fraction for growth in growths]
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1
    assert [growth.step.number for growth in growths] == list(range(1, len(growths) + 1))
    if not isinstance(strategy, BestFirst):
        assert fractions[-1] == 1.0


def test_best_first_finds_the_best_first():
    pair, models = small_pair()
    spec = SearchSpec(BestFirst(expansions=400, children=5, batch=1), max_tokens=4)
    expected = {ids: sequence_logp(models[0], pair, ids) for ids in all_responses(5, 4)}
    run, tree = Run(pair, PROMPT, (), spec), GrownTree()
    first = None
    while (growth := run.step()) is not None:
        tree.add(growth)
        ended = [entry for entry in tree.best if tree.is_closed(int(entry))]
        if first is None and ended:
            first = tree.ids(int(ended[0]))
    assert first == max(expected, key=expected.get)
    found = {h.ids: h.score for h in tree.hypotheses(spec) if h.ids[-1] == 4}
    assert found == pytest.approx(expected, abs=1e-3)  # it went on until nothing was open


def frequencies(pair, strategy, trials):
    """How often each first token is chosen over many seeds."""
    counts = Counter()
    for seed in range(trials):
        tree, _ = grown(pair, SearchSpec(strategy(seed), max_tokens=1))
        counts.update(tree.ids(int(entry))[0] for entry in tree.best)
    return np.array([counts[token] for token in range(5)]) / trials


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("strategy", [Sampling, StochasticBeam])
def test_one_sample_follows_the_distribution(strategy, temperature):
    pair, models = small_pair()
    logits = np.array([sequence_logp(models[0], pair, (token,)) for token in range(5)])
    probs = np.exp(logits / temperature)
    probs /= probs.sum()
    trials = 400
    found = frequencies(pair, lambda seed: strategy(1, temperature, seed=seed), trials)
    assert np.abs(found - probs).max() < 4 * np.sqrt(0.25 / trials)


def test_samples_without_replacement_are_in_the_end_all_there_are():
    pair, _ = small_pair()
    tree, _ = grown(pair, SearchSpec(StochasticBeam(1000), max_tokens=3))
    closed = {h.ids for h in tree.hypotheses(SearchSpec(Beam())) if h.ids[-1] == 4}
    assert closed == set(all_responses(5, 3))


def test_two_samples_without_replacement_follow_the_order_of_their_draws():
    """P(first token i is among two draws) by hand: p_i + Σ_j p_j p_i / (1 − p_j)."""
    pair, models = small_pair()
    p = np.exp([sequence_logp(models[0], pair, (token,)) for token in range(5)])
    expected = [p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(5) if j != i) for i in range(5)]
    found = frequencies(pair, lambda seed: StochasticBeam(2, seed=seed), 400)
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / 400)


@pytest.mark.parametrize("filters", [{"top_p": 1e-6}, {"min_p": 1.0}])
def test_the_likeliest_token_passes_every_filter(filters):
    pair, _ = search_pair("llama")
    greedy, _ = grown(pair, SearchSpec(Beam(1), max_tokens=6))
    tree, _ = grown(pair, SearchSpec(Sampling(3, **filters), max_tokens=6))
    spec = SearchSpec(Beam(1))
    assert [h.ids for h in tree.hypotheses(spec)] == [h.ids for h in greedy.hypotheses(spec)]


def test_the_nucleus_holds_the_fewest_tokens_that_reach_p():
    pair, models = small_pair()
    p = np.exp([sequence_logp(models[0], pair, (token,)) for token in range(5)])
    order = np.argsort(-p)
    for top_p in (0.3, 0.6, 0.9):
        nucleus = {int(t) for n, t in enumerate(order) if p[order[:n]].sum() < top_p}
        found = frequencies(pair, lambda seed, q=top_p: Sampling(8, top_p=q, seed=seed), 60)
        assert set(np.flatnonzero(found).tolist()) == nucleus


@pytest.mark.parametrize("value", ["gain", "rollout"])
def test_tree_search_finds_the_highest_reward(value):
    pair, models = small_pair()
    expected = {
        ids: sequence_logp(models[0], pair, ids) - sequence_logp(models[1], pair, ids)
        for ids in all_responses(5, 3)
    }
    strategy = TreeSearch(400, children=5, exploration=1.0, value=value, rollout=3, temperature=5.0)
    spec = SearchSpec(strategy, objective=Objective.reward(), max_tokens=3)
    tree, _ = grown(pair, spec)
    assert int(tree.visits[0]) == 400
    closed = [h for h in tree.hypotheses(spec) if h.ids[-1] == 4]
    assert closed[0].ids == max(expected, key=expected.get)
    for entry in range(len(tree)):
        children = tree.visits[tree.parent == entry].sum()
        assert tree.visits[entry] >= children


def test_chunks_end_where_the_best_go_on():
    pair, _ = search_pair("llama", sharp=3.0)
    spec = SearchSpec(ChunkBeam(2, 3, chunk=2), objective=Objective.reward(), max_tokens=6)
    run, tree = Run(pair, PROMPT, (), spec), GrownTree()
    for _ in range(2):
        tree.add(run.step())
    ends = np.flatnonzero(tree.depth == 2)
    scores = tree.score(spec.objective)
    going = ends[tree.status[ends] == Status.KEPT]
    cut = ends[tree.status[ends] == Status.PRUNED]
    assert len(going) == 2 and len(cut) >= 1
    assert scores[going].min() >= scores[cut].max()


def test_a_third_model_is_the_base_of_emulated_fine_tuning():
    pair, models = search_pair("llama")
    with pytest.raises(UserFacingError, match="third model"):
        grown(pair, SearchSpec(Beam(2), objective=Objective.emulated(1.0)))
    base = tiny_model("gpt2", models[0].config.vocab_size, 3)
    lane = Lane(copy.deepcopy(base))
    choose_way(lane)
    pair, models = search_pair("llama", base=lane)
    spec = SearchSpec(Beam(3), objective=Objective.emulated(0.5), max_tokens=5)
    tree, _ = grown(pair, spec)
    for h in tree.hypotheses(spec):
        policy, reference, other = (sequence_logp(m, pair, h.ids) for m in (*models, base))
        assert h.score == pytest.approx(other + 0.5 * (policy - reference), abs=1e-3)
        assert tree.column("sum_base")[h.index] == pytest.approx(other, abs=1e-3)


def test_numbers_do_not_depend_on_the_room_for_kv():
    spec = SearchSpec(Beam(4), max_tokens=12)
    roomy, _ = grown(search_pair("llama")[0], spec)
    pair, _ = search_pair("llama", kv_budget=60_000)
    grown(pair, SearchSpec(Sampling(6, seed=3), max_tokens=12))
    tree, _ = grown(pair, spec)
    assert shape(tree) == shape(roomy)
    assert tree.column("logp_policy")[1:] == pytest.approx(
        roomy.column("logp_policy")[1:], abs=1e-4
    )


def test_a_branch_that_was_pruned_grows_on_without_recomputing():
    pair, _ = search_pair("llama")
    tree, _ = grown(pair, SearchSpec(Beam(3), max_tokens=6))
    pruned = np.flatnonzero((tree.status == Status.PRUNED) & (tree.depth == 3))[0]
    run = Run(pair, PROMPT, tree.ids(int(pruned)), SearchSpec(Beam(1), max_tokens=1))
    run.step()
    assert run.computed == 1  # the pruned token itself; its ancestors were kept


def test_the_context_bounds_the_search():
    pair, _ = search_pair("llama")
    room = len(pair.codec.prompt_ids(PROMPT)) + 3
    pair, _ = search_pair("llama", context_length=room)
    tree, _ = grown(pair, SearchSpec(Beam(2), max_tokens=50))
    assert int(tree.depth.max()) == 3
    with pytest.raises(UserFacingError, match="prompt fills the models' context"):
        Run(pair, PROMPT, (20, 21, 22), SearchSpec(Beam(2)))


def test_nan_is_a_sentence_and_the_tree_so_far_stays():
    pair, _ = search_pair("llama")
    run, tree = Run(pair, PROMPT, (), SearchSpec(Beam(2), max_tokens=6)), GrownTree()
    tree.add(run.step())
    with torch.no_grad():
        pair.lanes[0].model.get_output_embeddings().weight[7] = float("nan")
    with pytest.raises(UserFacingError, match="NaN"):
        run.step()
    assert len(tree) > 1


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (SearchSpec(Beam(0)), "Width must be from 1 to 4096, not 0"),
        (SearchSpec(Beam(-3)), "Width must be"),
        (SearchSpec(Beam(10**9)), "Width must be"),
        (SearchSpec(Beam(), max_tokens=0), "Most tokens must be from 1 to 1000000, not 0"),
        (SearchSpec(DiverseBeam(5, 2)), "cannot be shared by 2 groups"),
        (SearchSpec(Sampling(temperature=0.0)), "Temperature must be above 0"),
        (SearchSpec(Sampling(temperature=float("nan"))), "Temperature must be above 0"),
        (SearchSpec(Sampling(top_p=0.0)), "Top p must be above 0 and at most 1, not 0"),
        (SearchSpec(Sampling(min_p=1.5)), "Min p must be from 0 to 1, not 1.5"),
        (SearchSpec(TreeSearch(value="luck")), "'gain' or 'rollout'"),
        (SearchSpec(Beam(), objective=Objective(float("inf"))), "λ must be from -1000000"),
        (SearchSpec(Beam(), objective=Objective(1.0, float("nan"))), "finite"),
        (SearchSpec(Beam(), length_penalty=51), "Length penalty must be from -50 to 50, not 51"),
        (SearchSpec(Sampling(seed=-1)), "Seed must be from 0"),
        (SearchSpec(DiverseBeam(diversity=-0.5)), "Diversity must be at least 0 nats, not -0.5"),
        (SearchSpec(TreeSearch(exploration=float("nan"))), "Exploration must be at least 0"),
        (SearchSpec(Given()), "no token to put in place"),
        (SearchSpec(ChunkBeam(), policy_only=True), "needs the reference"),
    ],
)
def test_settings_that_make_no_sense_are_a_sentence(spec, sentence):
    with pytest.raises(UserFacingError, match=sentence):
        Run(search_pair("llama")[0], PROMPT, (), spec)


def test_an_empty_prompt_and_a_foreign_node_are_a_sentence():
    pair, _ = search_pair("llama")
    pair.codec = Codec(byte_level_tokenizer(), plain=True)
    with pytest.raises(UserFacingError, match="prompt is empty"):
        Run(pair, Prompt.of(""), (), SearchSpec(Beam(2)))
    run = Run(pair, PROMPT, (), SearchSpec(Beam(2)))
    with pytest.raises(UserFacingError, match="no such node"):
        run.steer(10**6, "prune")
