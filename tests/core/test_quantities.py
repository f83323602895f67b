"""The quantities against hand-computed values and against the paper's identities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core import quantities as q

LOGITS = arrays(np.float64, (2, 5, 7), elements=st.floats(-8, 8))
"""Policy and reference, five states in a row, seven tokens."""
TOKENS = arrays(np.int64, 5, elements=st.integers(0, 6))
BETA = st.floats(0.01, 2)


def log_softmax(z):
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def test_by_hand():
    """A two-token vocabulary, beta 0.5: pi = (0.8, 0.2), pi_ref = (0.5, 0.5)."""
    up, down = math.log(0.8), math.log(0.2)
    flat = math.log(0.5)
    assert q.reward([up, down], [flat, flat], 0.5) == pytest.approx([0.2350018, -0.4581454])
    assert q.advantage([up], 0.5) == pytest.approx([-0.1115718])
    assert q.value_gain([1.0, -2.0, 0.5]) == pytest.approx([1.0, -1.0, -0.5])
    assert q.response_score([1.0, -2.0, 0.5]) == pytest.approx(-0.5)
    assert q.kl_divergence([up, down], [flat, flat]) == pytest.approx(0.1927448)
    assert q.expected_reward(0.1927448, 0.5) == pytest.approx(0.0963724)
    assert q.excess_reward([0.2350018], [0.1927448], 0.5) == pytest.approx([0.1386294])
    assert q.reference_expected_reward(0.2231436, 0.5) == pytest.approx(-0.1115718)
    assert q.preference(1.0, -1.0) == pytest.approx(0.8807971)
    assert q.dpo_loss(1.0, -1.0) == pytest.approx(0.1269280)
    assert q.v_raw(2.0, 0.5) == pytest.approx(1.0)
    assert q.q_raw([2.0, 4.0], 0.5) == pytest.approx([1.0, 2.0])
    assert q.reward_raw(2.0, flat, 0.25, 0.5) == pytest.approx(2.0965736)


def test_noise_of_sums_and_what_lies_below_it():
    """Four errors of standard deviation 0.5 scatter by 1; a mean error of -0.25 moves four by 1."""
    assert q.noise_of_sum([1, 4, 16], 0.5, 0.0) == pytest.approx([1.0, 2.0, 4.0])
    assert q.noise_of_sum([1, 4], 0.0, -0.25) == pytest.approx([0.25, 1.0])
    assert q.noise_of_sum(4, 0.5, 0.25) == pytest.approx(3.0)
    below = q.below_noise([0.0, 0.9, -0.9, 1.0, -2.0, math.nan], 1.0)
    assert below.tolist() == [True, True, True, False, False, False]
    assert q.below_noise([1.5, 1.5], [1.0, 2.0]).tolist() == [False, True]
    assert not q.below_noise([0.0], 0.0).any()


def test_loss_of_a_hopeless_pair_does_not_overflow():
    assert q.dpo_loss(-4000.0, 4000.0) == pytest.approx(8000.0)
    assert q.preference(-4000.0, 4000.0) == 0.0


def test_the_spread_of_credit_counts_tokens():
    assert q.credit_spread([0.0, -0.7, 0.0]) == pytest.approx(1.0)
    assert q.credit_spread([0.2, -0.2, 0.0, 0.2]) == pytest.approx(3.0)
    assert q.credit_spread([3.0, 1.0]) == pytest.approx(1.6)  # (3 + 1)^2 / (9 + 1)
    assert q.credit_spread([3e-200, -1e-200]) == pytest.approx(1.6)
    assert math.isnan(q.credit_spread([0.0, 0.0])) and math.isnan(q.credit_spread([]))


@given(LOGITS, TOKENS, BETA)
def test_raw_reward_is_the_implicit_reward_shaped_by_v(logits, tokens, beta):
    """Bellman: r_raw = r + V(s) - V(s'), V(terminal) = 0; and Eq. 7 telescopes over a path."""
    policy, reference = log_softmax(logits)
    taken = np.arange(5), tokens
    v = q.v_raw(np.log(np.exp(logits[0]).sum(-1)), beta)
    v_next = np.append(v[1:], 0.0)
    raw = q.reward_raw(q.q_raw(logits[0][taken], beta), reference[taken], v_next, beta)
    rewards = q.reward(policy[taken], reference[taken], beta)
    assert np.abs(q.bellman_residual(raw, rewards, v, v_next)).max() <= 1e-4
    assert raw.sum() == pytest.approx(q.response_score(rewards) + v[0], abs=1e-9)
    assert q.value_gain(rewards)[-1] == pytest.approx(q.response_score(rewards), abs=1e-9)


@given(LOGITS, BETA)
def test_expectations(logits, beta):
    """E_pi[r] = beta KL(pi||pi_ref) and E_pi_ref[r] = -beta KL(pi_ref||pi) (Eq. 16)."""
    policy, reference = log_softmax(logits)
    rewards = q.reward(policy, reference, beta)
    under_policy = (np.exp(policy) * rewards).sum(-1)
    under_reference = (np.exp(reference) * rewards).sum(-1)
    assert under_policy == pytest.approx(
        q.expected_reward(q.kl_divergence(policy, reference), beta), abs=1e-9
    )
    assert under_reference == pytest.approx(
        q.reference_expected_reward(q.kl_divergence(reference, policy), beta), abs=1e-9
    )


@given(LOGITS, BETA)
def test_equal_models_have_no_reward_at_all(logits, beta):
    policy = log_softmax(logits[0])
    assert (q.reward(policy, policy, beta) == 0.0).all()


@given(LOGITS, BETA)
def test_policy_is_the_reference_reweighted_by_reward(logits, beta):
    """sum_a pi_ref(a|s) exp(r(s,a)/beta) = 1 (Eq. 11 inverted)."""
    policy, reference = log_softmax(logits)
    total = (np.exp(reference) * np.exp(q.reward(policy, reference, beta) / beta)).sum(-1)
    assert total == pytest.approx(np.ones(5), rel=1e-6)
