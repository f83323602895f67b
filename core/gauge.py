"""The Q-function in the raw-logit gauge, along a response and over the whole vocabulary.

It is computed from records and beta alone, without a model. Q, V and the raw reward are fixed by
the two checkpoints only up to a constant per state (Theorem 1 of arXiv 2404.12358); the raw logits
choose that constant. Whoever draws them says "raw-logit gauge". Knows scorings and the quantities;
knows nothing of trees, models or windows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core import quantities
from core.scoring import Floats, Floats32, Scoring, StateActions

FLOOR = 1e-3
"""Probability below which a token is not listed as promoted or demoted: it must be at least so
likely under one of the two models. Far down the vocabulary log-ratios are large and mean nothing.
"""


@dataclass(frozen=True, eq=False, slots=True)
class Gauge:
    """Edges of the token tree in the raw-logit gauge, one row a token, [n]; in nats times beta.

    ``q`` and ``advantage`` are of the token at the state before it, whose value is ``v``;
    ``v_next`` is the value of the state after it, 0 after a closing token and NaN where that
    state is not known. ``reward`` is the implicit reward (Eq. 11) and ``raw`` the raw reward
    (Eq. 7). Each row has the Bellman identity raw = reward + v - v_next, and q - v = advantage;
    ``residual`` is what rounding leaves of the first.
    """

    q: Floats
    v: Floats
    v_next: Floats
    advantage: Floats
    reward: Floats
    raw: Floats
    residual: Floats

    def __len__(self) -> int:
        return len(self.q)

    @property
    def worst_residual(self) -> float:
        """The largest Bellman residual in magnitude; 0 where nothing is known."""
        return float(np.nanmax(np.abs(self.residual), initial=0.0))

    @property
    def telescoping_gap(self) -> float:
        """sum(raw) - sum(reward) - V(s_0), 0 but for rounding; NaN for a part of a response.

        Raw rewards add up to the response score and one number that all responses share.
        """
        if not len(self) or self.v_next[-1] != 0:
            return float("nan")
        return float(np.sum(self.raw) - np.sum(self.reward) - self.v[0])


def gauge(
    logit: ArrayLike,
    logsumexp: ArrayLike,
    logsumexp_next: ArrayLike,
    logp_policy: ArrayLike,
    logp_reference: ArrayLike,
    beta: float,
) -> Gauge:
    """Return edges of the tree in the raw-logit gauge, [n].

    Args:
        logit: the policy's raw logit of each token.
        logsumexp: of the policy's logits at the state before the token.
        logsumexp_next: at the state after it; 0 after a closing token, NaN if not known.
        logp_policy, logp_reference: log-probs of the token, in nats.
    """
    q, v = quantities.q_raw(logit, beta), quantities.v_raw(logsumexp, beta)
    v_next = quantities.v_raw(logsumexp_next, beta)
    rewards = quantities.reward(logp_policy, logp_reference, beta)
    raw = quantities.reward_raw(q, logp_reference, v_next, beta)
    return Gauge(
        q=q,
        v=v,
        v_next=v_next,
        advantage=quantities.advantage(logp_policy, beta),
        reward=rewards,
        raw=raw,
        residual=quantities.bellman_residual(raw, rewards, v, v_next),
    )


def response_gauge(scoring: Scoring, beta: float) -> Gauge | None:
    """Return a whole response in the raw-logit gauge; its closing token leads to V = 0.

    None without a reference, which its rewards need.
    """
    if scoring.logp_reference is None:
        return None
    ended = len(scoring) > len(scoring.tokens)  # some templates write nothing after a response
    return gauge(
        scoring.logit,
        scoring.logsumexp,
        np.append(scoring.logsumexp[1:], 0.0 if ended else np.nan),
        scoring.logp_policy,
        scoring.logp_reference,
        beta,
    )


def extremes(
    logp_policy: ArrayLike, logp_reference: ArrayLike, count: int, floor: float = FLOOR
) -> tuple[list[int], list[int]]:
    """Return the actions that the training promoted and demoted most, as rows of arrays [V].

    Most promoted: the largest positive rewards, the largest first; most demoted: the smallest
    negative ones, the smallest first. Only actions that one of the two models gives at least the
    probability ``floor`` are considered. Beta does not change the order. Of equal rewards the
    earlier row comes first.
    """
    policy, reference = np.asarray(logp_policy), np.asarray(logp_reference)
    rows = np.flatnonzero(np.maximum(policy, reference) >= np.log(floor))
    ratio = quantities.reward(policy[rows], reference[rows], 1.0)
    order = np.argsort(ratio, kind="stable")
    fallen = [int(rows[i]) for i in order[:count] if ratio[i] < 0]
    order = np.argsort(-ratio, kind="stable")
    risen = [int(rows[i]) for i in order[:count] if ratio[i] > 0]
    return risen, fallen


@dataclass(frozen=True, slots=True)
class StateCheck:
    """Both sides of the identities of the rewards at one state, from the arrays that are shown."""

    normaliser: float
    """Sum of pi_ref exp(r / beta) over the vocabulary, which must be 1 (Eq. 11 inverted)."""
    expected: float
    """The reward that the reference expects, the sum of pi_ref r."""
    expected_kl: float
    """-beta KL(pi_ref || pi), which must be the same number (Eq. 16)."""


def state_rewards(actions: StateActions, beta: float) -> NDArray[np.float64]:
    """Return the implicit rewards of all actions at a state, [V] (Eq. 11).

    NaN for a token to which both models give probability 0.
    """
    policy, reference = _of_both(actions)
    known = np.isfinite(policy) & np.isfinite(reference)
    found = np.full(len(known), np.nan)
    found[known] = quantities.reward(policy[known], reference[known], beta)
    return found


def _of_both(actions: StateActions) -> tuple[Floats32, Floats32]:
    """Return the log-probs under policy and reference, which there must be."""
    assert actions.logp_reference is not None, "asked of a policy alone"
    return actions.logp_policy, actions.logp_reference


def check_state(actions: StateActions, beta: float) -> StateCheck:
    """Return both sides of the identities that hold at one state, computed in float64."""
    rewards = state_rewards(actions, beta)
    known = ~np.isnan(rewards)
    policy, reference = (it[known].astype(np.float64) for it in _of_both(actions))
    likely = np.exp(reference)
    reverse = quantities.kl_divergence(reference, policy)
    return StateCheck(
        normaliser=float(np.sum(likely * np.exp(rewards[known] / beta))),
        expected=float(np.sum(likely * rewards[known])),
        expected_kl=float(quantities.reference_expected_reward(reverse, beta)),
    )
