"""Compares two responses to one prompt in numbers: sums, margin, loss, and what an edit changed.

Knows scorings and beta; knows nothing of widgets.
"""

from dataclasses import dataclass

import numpy as np

from core import quantities
from core.noise import NoiseFloor
from core.present.measures import rewards
from core.present.numerals import signed
from core.scoring import Scoring
from core.text import Alignment, shared_prefix


@dataclass(frozen=True)
class Split:
    """The difference of two response scores and its parts: total = edited + downstream."""

    total: float
    edited: float
    downstream: float
    tokens_a: int
    tokens_b: int


def split(a: Scoring, b: Scoring, pairs: Alignment, beta: float) -> Split:
    """Return Σr(B) − Σr(A) as the part of the edited spans and that of the tokens after them.

    Tokens before the first edit have the same rewards in both, so they add nothing.
    """
    ra, rb = rewards(a, beta), rewards(b, beta)
    edited_a = [i for span in pairs.edited_a for i in span]
    edited_b = [j for span in pairs.edited_b for j in span]
    total = quantities.response_score(rb) - quantities.response_score(ra)
    edited = float(rb[edited_b].sum() - ra[edited_a].sum())
    return Split(total, edited, total - edited, len(edited_a), len(edited_b))


@dataclass(frozen=True)
class PairNumbers:
    """The DPO quantities of a pair, with A as the chosen and B as the rejected response."""

    sum_a: float
    sum_b: float
    margin: float
    preference: float | None
    """None without a beta, and so is the loss: they are not made of log-ratios alone."""
    loss: float | None


def pair_numbers(a: Scoring, b: Scoring, beta: float | None) -> PairNumbers:
    """Return the DPO quantities of the pair (Eqs. 8, 9)."""
    weight = 1.0 if beta is None else beta
    sum_a, sum_b = (quantities.response_score(rewards(s, weight)) for s in (a, b))
    return PairNumbers(
        sum_a,
        sum_b,
        sum_a - sum_b,
        None if beta is None else quantities.preference(sum_a, sum_b),
        None if beta is None else quantities.dpo_loss(sum_a, sum_b),
    )


def pair_noise(a: Scoring, b: Scoring, beta: float, noise: NoiseFloor) -> tuple[float, ...]:
    """Return the noise of both sums and of their margin; 0 if it does not matter.

    The tokens before the first difference are the same states: what they err by cancels.
    """
    same = shared_prefix(tuple(a.ids.tolist()), tuple(b.ids.tolist()))
    sum_a, sum_b = (float(noise.of_rewards(beta, len(s))) for s in (a, b))
    apart_a, apart_b = (noise.of_rewards(beta, len(s) - same) for s in (a, b))
    return sum_a, sum_b, float(np.hypot(apart_a, apart_b))


def split_shown(parts: Split, digits: int = 3) -> tuple[str, str, str]:
    """Return the three numbers as text, rounded so that the parts add up to the total."""
    total, edited = round(parts.total, digits), round(parts.edited, digits)
    return signed(total, digits), signed(edited, digits), signed(total - edited, digits)
