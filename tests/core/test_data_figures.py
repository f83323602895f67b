"""The figures of scored pairs against plain Python, and against what is known of made-up pairs."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import figures
from core.dataset.figures import (
    accuracy,
    by_group,
    calibration,
    displaced,
    flip_threshold,
    histogram,
    length_bias,
)

MARGINS = st.lists(
    st.one_of(st.just(math.nan), st.sampled_from([0.0, 1.0, -1.0]), st.floats(-9, 9)), max_size=40
)


def wilson(p, n):
    """As in Wilson (1927): the two roots of |p − x| = z √(x (1 − x) / n)."""
    z = 1.959963984540054
    a, b, c = n + z * z, -(2 * n * p + z * z), n * p * p
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@given(margins=MARGINS)
def test_accuracy_counts_a_tie_as_half(margins):
    known = [m for m in margins if not math.isnan(m)]
    found = accuracy(np.array(margins))
    assert found.count == len(known)
    if not known:
        assert math.isnan(found.value) and math.isnan(found.low)
        return
    points = sum(1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in known)
    assert found.value == pytest.approx(points / len(known))
    low, high = wilson(points / len(known), len(known))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


@given(rows=st.lists(st.tuples(st.floats(-2, 2), st.integers(-1, 3)), max_size=30))
def test_groups_are_their_own_accuracy(rows):
    margins, codes = np.array([m for m, _ in rows]), np.array([c for _, c in rows], np.int32)
    found = by_group(margins, codes, 4)
    for code, share in enumerate(found):
        wanted = accuracy(margins[codes == code] if len(rows) else margins)
        assert repr(share) == repr(wanted)


@given(rows=st.lists(st.tuples(st.floats(-5, 5), st.integers(-9, 9)), max_size=30))
def test_length_bias_is_that_of_its_parts(rows):
    margins, lengths = np.array([m for m, _ in rows]), np.array([n for _, n in rows], np.float64)
    found = length_bias(margins, lengths)
    for part, keep in ((found.longer, lambda n: n > 0), (found.shorter, lambda n: n < 0),
                       (found.equal, lambda n: n == 0)):  # fmt: skip
        own = [m for m, n in rows if keep(n)]
        assert repr(part) == repr(accuracy(np.array(own, np.float64)))
    points = [1.0 if n > 0 else 0.5 if n == 0 else 0.0 for _, n in rows]
    assert found.rule.count == len(rows)
    if rows:
        assert found.rule.value == pytest.approx(statistics.fmean(points))


def test_correlation_has_fishers_interval():
    rng = np.random.default_rng(1)
    lengths = rng.normal(size=200).round(1)
    margins = 0.5 * lengths + rng.normal(size=200)
    found = length_bias(margins, lengths)
    r = statistics.correlation(margins.tolist(), lengths.tolist())
    assert found.correlation == pytest.approx(r)
    low, high = (math.tanh(math.atanh(r) + side * 1.96 / math.sqrt(197)) for side in (-1, 1))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert length_bias(margins, margins).correlation == pytest.approx(1.0)
    assert math.isnan(length_bias(margins, np.ones(200)).correlation)


@given(margins=MARGINS)
def test_calibration_is_the_mean_gap_of_its_bins(margins):
    known = [m for m in margins if not math.isnan(m)]
    found = calibration(np.array(margins, np.float64))
    assert sum(it.accuracy.count for it in found.bins) == len(known)
    if not known:
        assert math.isnan(found.error) and not found.bins
        return
    sure = [1 / (1 + math.exp(-abs(m))) for m in known]
    own = [min(int((p - 0.5) * 20), 9) for p in sure]
    gap = 0.0
    for number in set(own):
        mine = [i for i, it in enumerate(own) if it == number]
        right = statistics.fmean(0.5 + 0.5 * float(np.sign(known[i])) for i in mine)
        gap += len(mine) / len(known) * abs(right - statistics.fmean(sure[i] for i in mine))
    assert found.error == pytest.approx(gap, abs=1e-12)


def test_what_is_as_sure_as_right_is_calibrated():
    rng = np.random.default_rng(1)
    truth = rng.normal(1.0, 1.5, 60_000)
    chosen = rng.random(len(truth)) < 1 / (1 + np.exp(-truth))
    margins = np.where(chosen, truth, -truth)
    assert calibration(margins).error < 0.01
    assert calibration(3 * margins).error > 0.1
    for it in calibration(margins).bins:
        assert it.accuracy.low - 0.01 < it.confidence < it.accuracy.high + 0.01


def test_flips_that_were_made_are_found_before_others():
    rng = np.random.default_rng(0)
    margins = rng.normal(2.0, 1.0, 10_000)
    swapped = rng.random(len(margins)) < 0.1
    margins[swapped] *= -1
    limit = flip_threshold(margins)
    found = 1 / (1 + np.exp(-margins)) <= limit
    assert swapped[found].mean() > 0.95 and found[swapped].mean() > 0.75
    assert limit == pytest.approx(1 - np.mean(1 / (1 + np.exp(-margins))))
    assert flip_threshold(-np.abs(margins)) == 0.5  # never are pairs flips that it gets right
    assert math.isnan(flip_threshold(np.array([math.nan])))


def test_displacement_is_told_apart_for_pairs_alike():
    ratios = np.array([-1.0, -2.0, 1.0, -0.5, math.nan, 3.0])
    alike = np.array([0.9, 0.8, 0.95, 0.2, 0.9, 0.1])
    found = displaced(ratios, alike)
    assert (found.alike.value, found.alike.count) == (pytest.approx(2 / 3), 3)
    assert (found.others.value, found.others.count) == (0.5, 2)


def test_values_beyond_the_edges_are_in_the_outer_bars():
    assert histogram(np.array([-9.0, 0.5, 1.5, 9.0, math.nan]), [0.0, 1.0, 2.0]).tolist() == [2, 2]
    assert figures.BINS == 10
