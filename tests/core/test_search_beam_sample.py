"""Beam sampling against beam search, the softmax by hand, and Hugging Face's generate."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from core.search.grown import Status
from core.search.spec import Objective, SearchSpec
from core.search.strategies.beam import Beam
from core.search.strategies.beam_sample import BeamSample
from tests.searches import PROMPT, grown, search_pair, sequence_logp, small_pair


def told(tree, spec):
    return [(h.ids, h.score, h.finished) for h in tree.hypotheses(spec)]


@pytest.mark.parametrize("objective", [Objective(), Objective.dial(1.5)])
@pytest.mark.parametrize("temperature", [1e-6, 1e-300])
def test_cold_it_is_beam_search(temperature, objective):
    for width, tokens, penalty in ((1, 6, 0.0), (3, 9, 1.0), (8, 5, 0.0)):
        given = {"objective": objective, "max_tokens": tokens, "length_penalty": penalty}
        expected, steps = grown(search_pair()[0], SearchSpec(Beam(width), **given))
        spec = SearchSpec(BeamSample(width, temperature, seed=width), **given)
        tree, growths = grown(search_pair()[0], spec)
        assert told(tree, spec) == told(expected, spec) and len(growths) == len(steps)
        for name in ("token", "parent", "status", "reason"):
            assert getattr(tree, name).tolist() == getattr(expected, name).tolist(), name


def test_a_seed_draws_the_same_again_and_another_one_does_not():
    found = {}
    for seed in (0, 1):
        spec = SearchSpec(BeamSample(3, 3.0, seed), max_tokens=6)
        first, again = (told(grown(search_pair()[0], spec)[0], spec) for _ in range(2))
        assert first == again and len({ids for ids, _, _ in first}) == 3
        found[seed] = first
    assert found[0] != found[1]


def test_scores_are_sums_of_plain_forwards_whatever_the_temperature():
    pair, models = search_pair()
    spec = SearchSpec(BeamSample(4, 5.0, 7), Objective.dial(1.5), max_tokens=6)
    tree, _ = grown(pair, spec)
    hypotheses = tree.hypotheses(spec)
    assert len(hypotheses) == 4
    for h in hypotheses:
        policy, reference = (sequence_logp(model, pair, h.ids) for model in models)
        assert [h.sum_policy, h.sum_reference] == pytest.approx([policy, reference], abs=1e-3)
        assert h.score == pytest.approx(1.5 * policy - 0.5 * reference, abs=2e-3)
    assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)


def exceeded_by_one_in_a_thousand(freedom):
    """Return the quantile of chi-square, by Wilson and Hilferty (27.9 with 9 degrees: 27.88)."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + 3.0902 * np.sqrt(part)) ** 3


def test_the_first_candidates_are_drawn_without_replacement():
    """P({i, j}) by hand: p_i p_j / (1 − p_i) + p_j p_i / (1 − p_j), of all pairs of 5 tokens."""
    pair, models = small_pair()
    temperature, trials = 8.0, 1000
    logp = np.array([sequence_logp(models[0], pair, (token,)) for token in range(5)])
    p = np.exp(logp / temperature)
    p /= p.sum()
    pairs = list(itertools.combinations(range(5), 2))
    probs = np.array([p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j])) for i, j in pairs])
    assert probs.sum() == pytest.approx(1)
    counts = Counter()
    for seed in range(trials):
        tree, _ = grown(pair, SearchSpec(BeamSample(1, temperature, seed), max_tokens=1))
        (best,) = tree.token[tree.status == Status.FINISHED]
        (other,) = tree.token[tree.status == Status.PRUNED]
        assert logp[best] > logp[other]
        counts[tuple(sorted((int(best), int(other))))] += 1
    expected = trials * probs
    assert expected.min() >= 5
    found = sum((counts[one] - n) ** 2 / n for one, n in zip(pairs, expected, strict=True))
    assert found < exceeded_by_one_in_a_thousand(len(pairs) - 1)


def test_it_draws_as_generate_does():
    """Two beams for three tokens: which two end, of many seeds and of one batch as large."""
    pair, models = small_pair(7)
    temperature, trials, tokens = 10.0, 800, 3
    ours, theirs = Counter(), Counter()
    for seed in range(trials):
        spec = SearchSpec(BeamSample(2, temperature, seed), max_tokens=tokens)
        tree, _ = grown(pair, spec)
        ours[tuple(h.ids for h in tree.hypotheses(spec))] += 1
    closing = pair.codec.end_of_turn
    ids = torch.tensor([pair.codec.prompt_ids(PROMPT)]).repeat(trials, 1)
    torch.manual_seed(0)
    sequences = models[0].generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        num_beams=2,
        num_return_sequences=2,
        temperature=temperature,
        top_k=0,
        length_penalty=0.0,
        early_stopping="never",
        max_new_tokens=tokens,
        eos_token_id=closing,
        pad_token_id=closing,
    )
    texts = [
        tuple(row[: row.index(closing) + 1] if closing in row else row)
        for row in sequences[:, ids.shape[1] :].tolist()
    ]
    theirs.update(zip(texts[::2], texts[1::2], strict=True))
    often = [ends for ends in ours | theirs if ours[ends] + theirs[ends] >= 20]
    rest = [trials - sum(counts[ends] for ends in often) for counts in (ours, theirs)]
    table = np.array([[ours[ends], theirs[ends]] for ends in often] + [rest])
    assert len(often) >= 10 and table.sum(1).min() >= 20
    found = ((table[:, 0] - table[:, 1]) ** 2 / table.sum(1)).sum()
    assert found < exceeded_by_one_in_a_thousand(len(often))
