"""The paper's quantities, one pure function per equation.

NumPy arrays in, NumPy arrays out, computed in float64. Everything is in nats; rewards are in nats
times beta. Knows nothing of models, trees or text. Equation numbers are those of Rafailov et al.,
"From r to Q*: Your Language Model is Secretly a Q-Function" (arXiv 2404.12358).

Only differences that both checkpoints fix are called by their plain name. Q and V on their own are
fixed up to a constant per state (Lemma 1, Theorem 1): the functions that use raw logits say "raw"
and are in the raw-logit gauge.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

KL_FORWARD, KL_REVERSE = "KL(π\u202f||\u202fπ_ref)", "KL(π_ref\u202f||\u202fπ)"
"""How the two divergences are written: the one sign for the bars has no air in many fonts."""


def _float64(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def reward(logp_policy: ArrayLike, logp_reference: ArrayLike, beta: float) -> Array:
    """Return the implicit reward r(s, a) = beta (log pi(a|s) - log pi_ref(a|s)) of tokens (Eq. 11).

    Any shape, broadcast. It is exactly 0 where the two log-probs are the same number.
    """
    return beta * (_float64(logp_policy) - _float64(logp_reference))


def reward_unit(beta: float | None) -> str:
    """Return the unit of rewards; where beta is not known it is taken as 1, and they are nats."""
    return "nat" if beta is None else "β·nat"


def advantage(logp_policy: ArrayLike, beta: float) -> Array:
    """Return the advantage Q*(s, a) - V*(s) = beta log pi(a|s) of each token (Eq. 5)."""
    return beta * _float64(logp_policy)


def value_gain(rewards: ArrayLike) -> Array:
    """Return the value gain V*(s_t+1) - V*(s_0) of each prefix up to true rewards, [n] (Eq. 10)."""
    return np.cumsum(_float64(rewards))


def response_score(rewards: ArrayLike) -> float:
    """Return the score of a whole response: the sum (never the mean) of its rewards (Eq. 8)."""
    return float(np.sum(_float64(rewards)))


def credit_spread(rewards: ArrayLike) -> float:
    """Return over how many tokens the credit of a response is spread: (sum |r|)^2 / sum r^2.

    This is the inverse participation ratio of |r|: where k tokens have equal |r| and the others 0
    it is k, so it goes from 1 (one token has all of it) to n (all have the same). Scaling all
    rewards does not change it. NaN where no token has any reward.
    """
    size = np.abs(_float64(rewards))
    top = float(np.max(size, initial=0.0))
    if not top > 0:
        return float("nan")
    share = size / top  # squares of tiny rewards would vanish
    return float(np.sum(share) ** 2 / np.sum(share**2))


def preference(chosen: float, rejected: float) -> float:
    """Return the probability sigma(chosen - rejected) that the first one is preferred (Eq. 8)."""
    return float(np.exp(-dpo_loss(chosen, rejected)))


def dpo_loss(chosen: float, rejected: float) -> float:
    """Return the DPO loss -log sigma(chosen - rejected) of two response scores (Eqs. 8, 9)."""
    return float(np.logaddexp(0.0, rejected - chosen))


def expected_reward(kl: ArrayLike, beta: float) -> Array:
    """Return the policy's expected reward, E_pi[r] = beta KL(pi || pi_ref) (from Eq. 11)."""
    return beta * _float64(kl)


def excess_reward(rewards: ArrayLike, kl: ArrayLike, beta: float) -> Array:
    """Return the implicit reward minus the reward that the policy expects at that state."""
    return _float64(rewards) - expected_reward(kl, beta)


def reference_expected_reward(kl_reverse: ArrayLike, beta: float) -> Array:
    """Return the reference's expected reward, E_pi_ref[r] = -beta KL(pi_ref || pi) (Eq. 16)."""
    return -beta * _float64(kl_reverse)


def kl_divergence(logp: ArrayLike, logq: ArrayLike) -> Array:
    """Return KL(p || q) over the last axis, the whole vocabulary, [..., V] -> [...]."""
    logp, logq = _float64(logp), _float64(logq)
    total: Array = np.sum(np.exp(logp) * (logp - logq), axis=-1)
    return total


def q_raw(logits: ArrayLike, beta: float) -> Array:
    """Return Q(s, a) = beta z_a in the raw-logit gauge (Eq. 7)."""
    return beta * _float64(logits)


def v_raw(logsumexp: ArrayLike, beta: float) -> Array:
    """Return V(s) = beta logsumexp(z) in the raw-logit gauge (Eq. 6)."""
    return beta * _float64(logsumexp)


def reward_raw(q: ArrayLike, logp_reference: ArrayLike, v_next: ArrayLike, beta: float) -> Array:
    """Return the raw reward Q(s, a) - beta log pi_ref(a|s) - V(s') in the raw-logit gauge (Eq. 7).

    ``v_next`` is V of the state that the token leads to; 0 after the closing token.
    """
    return _float64(q) - beta * _float64(logp_reference) - _float64(v_next)


def bellman_residual(raw: ArrayLike, rewards: ArrayLike, v: ArrayLike, v_next: ArrayLike) -> Array:
    """Return r_raw - (r + V(s) - V(s')), which is 0 but for rounding (Definition 1, Eq. 7)."""
    return _float64(raw) - (_float64(rewards) + _float64(v) - _float64(v_next))


def noise_of_sum(count: ArrayLike, spread: float, bias: float) -> Array:
    """Return how far errors move a sum of ``count`` terms: n |bias| + 2 sqrt(n) spread, in nats.

    Random errors add up as the square root of their number; their mean, the bias, adds up in
    proportion to it. These are two standard deviations: about 95 sums in 100 are moved by less.
    """
    n = _float64(count)
    total: Array = n * abs(bias) + 2.0 * np.sqrt(n) * spread
    return total


def below_noise(values: ArrayLike, floor: ArrayLike) -> NDArray[np.bool_]:
    """Return which values are smaller in magnitude than their noise; False where one is NaN."""
    found: NDArray[np.bool_] = np.abs(_float64(values)) < _float64(floor)
    return found
