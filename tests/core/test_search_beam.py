"""Beam search against Hugging Face's generate, and against exhaustive search."""

import numpy as np
import pytest
import torch

from core.models.lane import Way
from core.search.grown import GrownTree, Reason, Status
from core.search.run import Run
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.diverse import DiverseBeam
from tests.searches import (
    PROMPT,
    all_responses,
    grown,
    search_pair,
    sequence_logp,
    small_pair,
)

KINDS = ("llama", "qwen2", "gpt_neox", "gpt2")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_it_equals_generate(kind, length_penalty):
    pair, models = search_pair(kind)
    for width, tokens in ((1, 6), (3, 9), (8, 12)):
        spec = SearchSpec(Beam(width), max_tokens=tokens, length_penalty=length_penalty)
        tree, _ = grown(pair, spec)
        found = tree.hypotheses(spec)
        ids = torch.tensor([pair.codec.prompt_ids(PROMPT)])
        expected = models[0].generate(
            ids,
            attention_mask=torch.ones_like(ids),
            num_beams=width,
            num_return_sequences=width,
            early_stopping="never",
            length_penalty=length_penalty,
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=pair.codec.end_of_turn,
            pad_token_id=pair.codec.end_of_turn,
            return_dict_in_generate=True,
            output_scores=True,
        )
        for rank, sequence in enumerate(expected.sequences[:, ids.shape[1] :].tolist()):
            if pair.codec.end_of_turn in sequence:
                sequence = sequence[: sequence.index(pair.codec.end_of_turn) + 1]
            assert found[rank].ids == tuple(sequence)
            if width > 1:
                score = float(expected.sequences_scores[rank])
                assert found[rank].score == pytest.approx(score, abs=1e-3)


@pytest.mark.filterwarnings("ignore")  # what transformers says of kernels that are not installed
@pytest.mark.parametrize("kind", ["bloom", "mpt", "mamba"])
def test_models_without_tree_attention_are_searched_by_plain_paths(kind):
    pair, models = search_pair(kind)
    assert Way.TREE not in {lane.way for lane in pair.lanes}
    spec = SearchSpec(Beam(3), max_tokens=4)
    tree, _ = grown(pair, spec)
    for h in tree.hypotheses(spec):
        sums = [sequence_logp(model, pair, h.ids) for model in models]
        assert [h.sum_policy, h.sum_reference] == pytest.approx(sums, abs=1e-3)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 2.0])
def test_the_widest_beam_finds_what_exhaustive_search_finds(weight):
    pair, models = small_pair()
    objective = Objective.dial(weight)
    expected = {}
    for ids in all_responses(5, 4):
        policy, reference = (sequence_logp(model, pair, ids) for model in models)
        expected[ids] = objective.policy * policy + objective.reference * reference
    spec = SearchSpec(Beam(1000), objective=objective, max_tokens=4)
    tree, _ = grown(pair, spec)
    found = {h.ids: h.score for h in tree.hypotheses(spec) if h.ids[-1] == 4}
    assert found == pytest.approx(expected, abs=1e-3)
    assert max(found, key=found.get) == max(expected, key=expected.get)


def test_likelihood_and_regularised_reward_have_the_same_best_response():
    """Eq. 12 = Eq. 13, over every response: the rewards are the raw ones of Eq. 7, from logits."""
    pair, models = small_pair()
    spec = SearchSpec(Beam(1000), max_tokens=4)
    tree, _ = grown(pair, spec)
    hypotheses = [h for h in tree.hypotheses(spec) if h.ids[-1] == 4]
    assert len(hypotheses) == len(list(all_responses(5, 4)))
    by_likelihood = max(hypotheses, key=lambda h: h.likelihood_side)
    by_reward = max(hypotheses, key=lambda h: h.reward_side)
    assert by_likelihood.ids == by_reward.ids
    for h in hypotheses:
        assert h.reward_side == pytest.approx(h.likelihood_side, abs=1e-3)
        assert h.likelihood_side == pytest.approx(sequence_logp(models[0], pair, h.ids), abs=1e-3)


def test_every_node_says_what_became_of_it():
    pair, _ = search_pair("llama")
    spec = SearchSpec(Beam(3), max_tokens=5)
    tree, growths = grown(pair, spec)
    kept = tree.status == Status.KEPT
    assert [int((tree.depth[kept] == depth).sum()) for depth in range(5)] == [1, 3, 3, 3, 3]
    pruned = tree.status == Status.PRUNED
    assert (tree.reason[pruned] != Reason.NONE).all()
    assert {int(step) for step in tree.step[pruned]} <= set(range(1, 6))
    assert (tree.visits[kept] >= 1).all() and (tree.visits[pruned] == 0).all()
    ends = [h for h in tree.hypotheses(spec) if h.finished]
    assert len(ends) == 3
    sums = tree.column("sum_policy")
    for entry in range(1, len(tree)):
        parent = tree.parent[entry]
        assert parent < entry
        own = tree.column("logp_policy")[entry]
        assert sums[entry] == pytest.approx(sums[parent] + own)
    assert growths[-1].step.fraction == 1.0


def test_a_search_whose_beams_have_all_closed_is_over():
    pair, _ = small_pair()
    pair.codec.end_of_turn = 2  # this pair's favourite
    spec = SearchSpec(Beam(1), max_tokens=60)
    tree, growths = grown(pair, spec)
    assert len(growths) < 60 and growths[-1].step.fraction == 1.0
    ends = tree.hypotheses(spec)
    assert len(ends) == 1 and tree.is_closed(ends[0].index)
    assert not (tree.status == Status.OPEN).any()


def test_groups_avoid_each_other():
    pair, _ = search_pair("llama")
    alone, _ = grown(pair, SearchSpec(Beam(2), max_tokens=4))
    spec = SearchSpec(DiverseBeam(4, 2, diversity=50.0), max_tokens=4)
    tree, _ = grown(pair, spec)
    first = {h.ids for h in alone.hypotheses(spec)}
    texts = [h.ids for h in tree.hypotheses(spec)]
    assert first <= set(texts)  # the first group is plain beam search
    others = [ids for ids in texts if ids not in first]
    assert len(others) == 2
    # With so high a price no step's token of the first group is chosen by the second.
    kept = [tree.token[(tree.status == Status.KEPT) & (tree.depth == d)] for d in (1, 2, 3)]
    assert all(len(set(tokens.tolist())) == len(tokens) for tokens in kept)


def test_what_is_pruned_by_hand_is_left_and_what_is_pinned_goes_on():
    pair, _ = search_pair("llama")
    spec = SearchSpec(Beam(2), max_tokens=6)
    run, tree = Run(pair, PROMPT, (), spec), GrownTree()
    tree.add(run.step())
    best, second = (int(tree.node[entry]) for entry in tree.best[:2])
    run.steer(best, "prune")
    run.steer(second, "pin")
    tree.add(run.step())
    assert tree.status[tree.entry(best)] == Status.PRUNED
    assert [tree.reason[tree.entry(node)] for node in (best, second)] == [Reason.BY_HAND] * 2
    while (growth := run.step()) is not None:
        tree.add(growth)
    for hypothesis in tree.hypotheses(spec):
        way = {int(tree.node[entry]) for entry in tree.path(hypothesis.index)}
        assert best not in way and second in way


def test_a_prefix_is_part_of_the_state():
    pair, models = search_pair("gpt2")
    spec = SearchSpec(Beam(2), max_tokens=3)
    tree, _ = grown(pair, spec, prefix=(20, 21))
    for h in tree.hypotheses(spec):
        whole = sequence_logp(models[0], pair, (20, 21, *h.ids))
        assert h.sum_policy == pytest.approx(
            whole - sequence_logp(models[0], pair, (20, 21)), abs=1e-3
        )


def test_the_reference_can_be_left_out_and_asked_for_later():
    pair, models = search_pair("llama")
    spec = SearchSpec(Beam(3), max_tokens=5)
    lean, _ = grown(pair, SearchSpec(Beam(3), max_tokens=5, policy_only=True))
    assert np.isnan(lean.column("logp_reference")[1:]).all()
    tree, _ = grown(pair, spec)
    assert [h.ids for h in tree.hypotheses(spec)] == [h.ids for h in lean.hypotheses(spec)]
    for h in tree.hypotheses(spec):
        assert h.sum_reference == pytest.approx(sequence_logp(models[1], pair, h.ids), abs=1e-3)
