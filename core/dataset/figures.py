"""What the margins of scored pairs say together: accuracy, length bias, calibration, likely flips.

Pure functions of arrays with an entry for each pair; NaN is what is not known, and counts nowhere.
Each share comes with Wilson's 95% interval. Knows nothing of files or windows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.dataset.derived import Array, preference, right
from core.sweeps.record import wilson

BINS = 10
"""Of a calibration, from a confidence of ½ to 1."""
ALIKE = 0.8
"""Share of tokens from which on two sides are called alike."""
Z = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """A share of some pairs, with its interval; NaN of none."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class LengthBias:
    """What lengths have to do with margins."""

    longer: Share
    """Accuracy where the chosen side is longer, shorter, or as long."""
    shorter: Share
    equal: Share
    rule: Share
    """What a rule "the longer side wins" would score; of equal lengths half."""
    correlation: float
    """Pearson's, of the margin and the length difference; NaN where one of them never varies."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of about one confidence: its mean, and how often the policy is right."""

    confidence: float
    accuracy: Share


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the policy's confidence is its accuracy."""

    bins: tuple[Bin, ...]
    """Those that hold pairs, ascending."""
    error: float
    """The expected calibration error, Σ_b n_b / n · |accuracy_b − confidence_b|."""


def share(points: Array) -> Share:
    """Return the mean of points from 0 to 1, [n], with Wilson's 95% interval."""
    known = points[~np.isnan(points)]
    total = float(known.sum())
    low, high = wilson(total, len(known))
    return Share(total / len(known) if len(known) else math.nan, low, high, len(known))


def accuracy(margins: Array) -> Share:
    """Return the share of pairs whose chosen side scores higher (m > 0); a tie is half a pair."""
    return share(right(margins))


def by_group(margins: Array, codes: NDArray[np.int32], groups: int) -> list[Share]:
    """Return the accuracy within each of some groups; pair i is in group codes[i], −1: in none."""
    points = right(margins)
    known = ~np.isnan(points) & (codes >= 0)
    totals = np.bincount(codes[known], weights=points[known], minlength=groups)
    counts = np.bincount(codes[known], minlength=groups)
    found = []
    for total, count in zip(totals.tolist(), counts.tolist(), strict=True):
        low, high = wilson(total, count)
        found.append(Share(total / count if count else math.nan, low, high, count))
    return found


def length_bias(margins: Array, differences: Array) -> LengthBias:
    """Return what the difference n_chosen − n_rejected has to do with the margin.

    The correlation's interval is Fisher's, tanh(atanh r ± 1.96 / √(n − 3)).
    """
    known = ~(np.isnan(margins) | np.isnan(differences))
    m, d = margins[known], differences[known]
    r = low = high = math.nan
    if len(m) > 3 and m.std() > 0 and d.std() > 0:
        r = float(np.corrcoef(m, d)[0, 1])
        middle, half = math.atanh(max(-1 + 1e-15, min(1 - 1e-15, r))), Z / math.sqrt(len(m) - 3)
        low, high = math.tanh(middle - half), math.tanh(middle + half)
    return LengthBias(
        accuracy(m[d > 0]), accuracy(m[d < 0]), accuracy(m[d == 0]), share(right(d)), r, low, high
    )


def calibration(margins: Array, bins: int = BINS) -> Calibration:
    """Return how far confidence is accuracy, where confidence is σ(|m|): the probability that the
    policy gives to the side which it prefers, from ½ to 1, in bins of equal width."""
    m = margins[~np.isnan(margins)]
    confidence, points = preference(np.abs(m)), right(m)
    own = np.minimum(((confidence - 0.5) * 2 * bins).astype(np.int64), bins - 1)
    found, error = [], 0.0
    for number in range(bins):
        inside = own == number
        if inside.any():
            mean, got = float(confidence[inside].mean()), share(points[inside])
            found.append(Bin(mean, got))
            error += got.count / len(m) * abs(got.value - mean)
    return Calibration(tuple(found), error if len(m) else math.nan)


def flip_threshold(margins: Array) -> float:
    """Return the σ(m) up to which a pair's label may well be the wrong way round.

    Confident learning (arXiv 1911.00068): such a pair is given the other label with at least the
    confidence that pairs have in their own label on average, σ(−m) ≥ t = mean σ(m), which is
    σ(m) ≤ 1 − t. Never above ½; NaN without pairs.
    """
    m = margins[~np.isnan(margins)]
    if not len(m):
        return math.nan
    return min(0.5, 1.0 - float(preference(m).mean()))


@dataclass(frozen=True, slots=True)
class Displaced:
    """How often the chosen side has become less likely, in pairs alike and in the others."""

    alike: Share
    others: Share


def displaced(log_ratios: Array, alike: Array, least: float = ALIKE) -> Displaced:
    """Return the share of pairs with Σ log π − log π_ref of the chosen side below 0, which is
    likelihood displacement (arXiv 2410.08847), of pairs alike (≥ ``least``) and of the others."""
    unknown = np.isnan(log_ratios) | np.isnan(alike)
    below = np.where(unknown, np.nan, (log_ratios < 0).astype(np.float64))
    return Displaced(share(below[alike >= least]), share(below[alike < least]))


def histogram(values: Array, edges: Sequence[float] | Array) -> NDArray[np.int64]:
    """Return how many values lie between each two edges; those beyond lie in the outer bins."""
    inside = np.clip(values[~np.isnan(values)], edges[0], edges[-1])
    return np.histogram(inside, edges)[0]
