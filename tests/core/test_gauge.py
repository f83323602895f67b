"""The raw-logit gauge and whole vocabularies against plain Hugging Face and brute force."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.codec import Codec
from core.gauge import check_state, extremes, gauge, response_gauge, state_rewards
from core.models.check import choose_way
from core.models.lane import Lane
from core.models.pair import Pair
from core.models.score import TOP, score, survey
from core.scoring import StateActions
from core.text import Prompt
from tests.tiny import byte_level_tokenizer, tiny_model

BETA = 0.3
PROMPT = Prompt.of("Summarise this post in one sentence.")
TEXT = "They were offered a job for $53K a year."


def pair_of(*models):
    lanes = [Lane(copy.deepcopy(model)) for model in models]
    for lane in lanes:
        choose_way(lane)
    return Pair(lanes, Codec(byte_level_tokenizer()), context_length=512)


@pytest.fixture(scope="module")
def models():
    """Twelve ids more than the tokenizer has: the padding of an embedding."""
    return [tiny_model("llama", len(byte_level_tokenizer()) + 12, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def pair(models):
    return pair_of(*models)


@pytest.fixture(scope="module")
def scoring(pair):
    return score(pair, PROMPT, pair.codec.encode(PROMPT, TEXT))


@pytest.fixture(scope="module")
def plain(models, pair, scoring):
    """Logits of both models at the state before each scored token, float64 [2, n, V]."""
    ids = [*pair.codec.prompt_ids(PROMPT), *map(int, scoring.ids)]
    with torch.no_grad():
        logits = [m(input_ids=torch.tensor([ids]), use_cache=False).logits[0] for m in models]
    return torch.stack(logits).double().numpy()[:, -len(scoring) - 1 : -1]


def logsumexp(z):
    return np.log(np.exp(z).sum(-1))


def test_a_response_against_plain_forwards(scoring, plain):
    """Every array from float64 logits; the residual is rounding, and raw rewards telescope."""
    found = response_gauge(scoring, BETA)
    taken = np.arange(len(scoring)), scoring.ids
    logp = plain - logsumexp(plain)[..., None]
    q, v = BETA * plain[0][taken], BETA * logsumexp(plain[0])
    v_next = np.append(v[1:], 0.0)
    close = {"abs": 1e-4}
    assert found.q == pytest.approx(q, **close)
    assert found.v == pytest.approx(v, **close)
    assert found.v_next == pytest.approx(v_next, **close)
    assert found.advantage == pytest.approx(q - v, **close)
    assert found.reward == pytest.approx(BETA * (logp[0] - logp[1])[taken], **close)
    assert found.raw == pytest.approx(q - BETA * logp[1][taken] - v_next, **close)
    assert 0 < found.worst_residual <= 1e-4
    assert abs(found.telescoping_gap) <= 1e-4
    assert found.raw.sum() == pytest.approx(found.reward.sum() + v[0], abs=1e-3)


def test_beta_scales_everything(scoring):
    one, two = response_gauge(scoring, 0.1), response_gauge(scoring, 0.2)
    for name in ("q", "v", "v_next", "advantage", "reward", "raw"):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name))


def test_a_wrong_logit_shows_in_the_residual(scoring):
    found = gauge(
        scoring.logit + 0.5,
        scoring.logsumexp,
        np.append(scoring.logsumexp[1:], 0.0),
        scoring.logp_policy,
        scoring.logp_reference,
        BETA,
    )
    assert found.residual == pytest.approx(np.full(len(scoring), 0.5 * BETA), abs=1e-4)


def test_a_state_that_is_not_known_has_no_raw_reward():
    found = gauge([1.0, 2.0], [3.0, 4.0], [4.0, np.nan], [-2.0, -2.0], [-1.0, -1.0], BETA)
    assert np.isnan(found.raw).tolist() == [False, True]
    assert found.q == pytest.approx([0.3, 0.6]) and found.worst_residual <= 1e-12
    assert np.isnan(found.telescoping_gap)


def test_a_survey_is_the_whole_vocabulary(pair, scoring, plain):
    for index in (0, 5, len(scoring) - 1):
        actions = survey(pair, int(pair.tree.parent[scoring.nodes[index]]))
        logp = (plain - logsumexp(plain)[..., None])[:, index]
        assert actions.logp_policy.dtype == actions.logp_reference.dtype == np.float32
        assert actions.logp_policy == pytest.approx(logp[0], abs=1e-4)
        assert actions.logp_reference == pytest.approx(logp[1], abs=1e-4)
        assert len(actions.logp_policy) == plain.shape[-1] == pair.vocab_size
        found = check_state(actions, BETA)
        assert found.normaliser == pytest.approx(1.0, abs=1e-5)
        expected = BETA * float((np.exp(logp[1]) * (logp[0] - logp[1])).sum())
        assert found.expected == pytest.approx(expected, abs=1e-5)
        assert found.expected_kl == pytest.approx(-BETA * scoring.kl_reverse[index], abs=1e-5)


def test_labels_are_of_the_whole_vocabulary_and_made_once(pair, scoring):
    labels = pair.codec.labels(pair.vocab_size)
    assert [labels[id] for id in scoring.ids] == list(scoring.labels)
    assert labels[-1] == "∅"
    assert pair.codec.labels(pair.vocab_size) is labels


def test_promoted_and_demoted_are_those_of_a_survey(pair, scoring, plain):
    actions = survey(pair, int(pair.tree.parent[scoring.nodes[3]]))
    logp = (plain - logsumexp(plain)[..., None])[:, 3]
    likely = [i for i in range(plain.shape[-1]) if max(np.exp(logp[:, i])) >= 1e-3]
    by_reward = sorted(likely, key=lambda i: logp[0, i] - logp[1, i])
    assert len(likely) > 2 * TOP
    assert [a.id for a in actions.demoted] == by_reward[:TOP]
    assert [a.id for a in actions.promoted] == by_reward[: -TOP - 1 : -1]
    first = actions.promoted[0]
    assert first.logp_policy == pytest.approx(logp[0, first.id], abs=1e-4)
    assert first.rank_policy == 1 + int((logp[0] > logp[0, first.id]).sum())


LOGP = arrays(np.float32, (2, 30), elements=st.sampled_from([-9.0, -7.0, -6.5, -3.0, -1.0, -0.5]))


@given(LOGP, st.integers(0, 40), st.sampled_from([1e-3, 0.01, 0.2]))
def test_extremes_equal_a_brute_force_list(logp, count, floor):
    """Ties, tokens under the floor and lists longer than there is to list."""
    rows = [i for i in range(30) if np.exp(logp[:, i].astype(float)).max() >= floor]
    ratio = {i: float(logp[0, i]) - float(logp[1, i]) for i in rows}
    up = sorted((i for i in rows if ratio[i] > 0), key=lambda i: (-ratio[i], i))
    down = sorted((i for i in rows if ratio[i] < 0), key=lambda i: (ratio[i], i))
    assert extremes(*logp, count, floor) == (up[:count], down[:count])


def test_one_checkpoint_twice_has_no_rewards_at_all(models):
    pair = pair_of(models[0])
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, TEXT))
    found = response_gauge(scoring, BETA)
    assert (found.reward == 0).all() and found.raw.any()
    actions = survey(pair, int(pair.tree.parent[scoring.nodes[2]]))
    assert (state_rewards(actions, BETA) == 0).all()
    assert actions.promoted == actions.demoted == ()
    checked = check_state(actions, BETA)
    assert checked.expected == checked.expected_kl == 0.0
    assert checked.normaliser == pytest.approx(1.0, abs=1e-5)


def test_tokens_that_both_models_forbid_are_left_out():
    logp = np.log(np.array([0.5, 0.5, 1.0])).astype(np.float32)
    logp[2] = -np.inf
    actions = StateActions(3, logp, logp, (), ())
    assert np.isnan(state_rewards(actions, BETA)).tolist() == [False, False, True]
    assert check_state(actions, BETA).normaliser == pytest.approx(1.0)
    assert extremes(logp, logp, 5) == ([], [])
