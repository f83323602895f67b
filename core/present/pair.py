"""Compares two responses to one prompt in numbers: sums, margin, loss, and what an edit changed.

Knows scorings, beta and losses; knows nothing of widgets.
"""

from dataclasses import dataclass

import numpy as np

from core import quantities
from core.noise import NoiseFloor
from core.present.credit import IMPLICIT, Credit
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


def split(
    a: Scoring, b: Scoring, pairs: Alignment, beta: float, credit: Credit = IMPLICIT
) -> Split | None:
    """Return Σr(B) − Σr(A) as the part of the edited spans and that of the tokens after them.

    Tokens before the first edit have the same rewards in both, so they add nothing; None where
    they would, since the sums are divided by the responses' lengths.
    """
    if not credit.parts_cancel:
        return None
    ra, rb = credit.of(a, beta), credit.of(b, beta)
    edited_a = [i for span in pairs.edited_a for i in span]
    edited_b = [j for span in pairs.edited_b for j in span]
    total = quantities.response_score(rb) - quantities.response_score(ra)
    edited = float(rb[edited_b].sum() - ra[edited_a].sum())
    return Split(total, edited, total - edited, len(edited_a), len(edited_b))


@dataclass(frozen=True)
class PairNumbers:
    """What a loss makes of a pair, with A as the chosen and B as the rejected response.

    None where the loss has no such number, or it is not known.
    """

    sum_a: float
    sum_b: float
    margin: float | None
    preference: float | None
    loss: float | None


def pair_numbers(
    a: Scoring, b: Scoring, beta: float | None, credit: Credit = IMPLICIT
) -> PairNumbers:
    """Return what the loss makes of the pair; of DPO the quantities of Eqs. 8 and 9."""
    objective, main = credit.objective, credit.objective.main
    sum_a = objective.score(a.logps, beta, len(b))
    sum_b = objective.score(b.logps, beta, len(a))
    if sum_a is None or sum_b is None:
        scale = 1.0 if beta is None else beta
        sum_a, sum_b = (quantities.response_score(credit.of(it, scale)) for it in (a, b))
    margin = sum_a - sum_b if main.compares else None
    preference = None
    if beta is not None and margin is not None and credit.prefers:
        preference = quantities.preference(margin, 0.0)
    return PairNumbers(sum_a, sum_b, margin, preference, objective.loss(a.logps, b.logps, beta))


def pair_noise(
    a: Scoring, b: Scoring, beta: float, noise: NoiseFloor, credit: Credit = IMPLICIT
) -> tuple[float, ...]:
    """Return the noise of both sums and of their margin; 0 if it does not matter.

    The tokens before the first difference are the same states: what they err by cancels.
    """
    same = shared_prefix(tuple(a.ids.tolist()), tuple(b.ids.tolist()))
    sum_a, sum_b = (float(noise.of_rewards(credit.scale(beta, len(s)), len(s))) for s in (a, b))
    if not credit.parts_cancel:
        return sum_a, sum_b, float(np.hypot(sum_a, sum_b))
    apart_a, apart_b = (noise.of_rewards(credit.scale(beta), len(s) - same) for s in (a, b))
    return sum_a, sum_b, float(np.hypot(apart_a, apart_b))


def split_shown(parts: Split, digits: int = 3) -> tuple[str, str, str]:
    """Return the three numbers as text, rounded so that the parts add up to the total."""
    total, edited = round(parts.total, digits), round(parts.edited, digits)
    return signed(total, digits), signed(edited, digits), signed(total - edited, digits)
