"""What follows from a scored pair's sums and tokens: a pure function for each derived column.

Arrays in, arrays out, one entry a row; NaN is what is not known. Sums are in nats and hold no
beta, so that another beta needs nothing but a product. Knows nothing of files.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.losses import TrainingLoss

Array = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


def scale(objective: TrainingLoss, beta: float | None) -> float:
    """Return what a score of ``objective`` is multiplied by: beta, or 1 where the loss has none or
    it is not known."""
    return beta if beta is not None and objective.main.scaled else 1.0


def scores(objective: TrainingLoss, log_ratio: Array, logp: Array, length: Array) -> Array:
    """Return the score of responses without beta, [n], for a loss that ``is_plain``.

    s = Σ log π − log π_ref (DPO, Eq. 8), or Σ log π where the loss has no reference; divided by the
    number of tokens where it takes means.

    Args:
        log_ratio: Σ log π − log π_ref in nats; logp: Σ log π in nats; length: scored tokens.
    """
    total = log_ratio if objective.main.reference else logp
    return total / length if objective.main.kind == "mean" else total


def is_plain(objective: TrainingLoss) -> bool:
    """Return whether a loss's score is a sum or a mean over tokens, all counted alike."""
    return (
        objective.additive and objective.ld_alpha is None and objective.main.kind in ("sum", "mean")
    )


def margin(chosen: Array, rejected: Array, scale: float) -> Array:
    """Return the margin of pairs, m = β (s_chosen − s_rejected), [n] (Eq. 9); ``scale`` is β."""
    with np.errstate(invalid="ignore"):  # what is not finite is not known
        return scale * (chosen - rejected)


def preference(margins: Array) -> Array:
    """Return the probability σ(m) = 1 / (1 + exp(−m)) that the chosen side is preferred (Eq. 8)."""
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        found: Array = np.exp(-np.logaddexp(0.0, -margins))
    return found


def right(margins: Array) -> Array:
    """Return 1 where the chosen side scores higher (m > 0), 0 where it scores lower, ½ for a tie;
    NaN where the margin is not known."""
    return np.where(np.isnan(margins), np.nan, 0.5 + 0.5 * np.sign(margins))


def length_difference(chosen: Array, rejected: Array) -> Array:
    """Return n_chosen − n_rejected, [n]: positive where the chosen side is longer."""
    return chosen - rejected


def alike(ids: Ints, offsets: Ints, other_ids: Ints, other_offsets: Ints) -> Array:
    """Return the share of tokens that two sides have in common, in any order, [n], 0 to 1.

    a = 2 |A ∩ B| / (|A| + |B|), where A and B hold each token as often as it stands there (Dice).
    CHES (arXiv 2410.08847) compares hidden states, which a scored file does not hold; this is a
    likeness of the texts alone. NaN where both sides are empty.

    Args:
        ids: the tokens of all rows' first sides, one after the other; row i has those from
            offsets[i] to offsets[i + 1]. The other two likewise.
    """
    rows = len(offsets) - 1
    own, counts = _counted(ids, offsets)
    other, other_counts = _counted(other_ids, other_offsets)
    shared, at, there = np.intersect1d(own, other, assume_unique=True, return_indices=True)
    both = np.minimum(counts[at], other_counts[there])
    common = np.bincount((shared >> 32).astype(np.int64), weights=both, minlength=rows)
    total = (np.diff(offsets) + np.diff(other_offsets)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return 2.0 * common / total


def _counted(ids: Ints, offsets: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each token of each row as one number (row · 2^32 + id), ascending, and how often it
    stands there."""
    rows = np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets))
    tokens = ids.astype(np.int64) & 0xFFFFFFFF
    return np.unique((rows << 32) + tokens, return_counts=True)
