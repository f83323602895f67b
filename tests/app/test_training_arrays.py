"""What is drawn of a run: which curves, smoothed and thinned as they should be."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.curves.charts import BY_KEY, as_csv, curves, kind_of, other_curves, value_at
from app.curves.smoothing import BLOCK, smooth, thin
from core.runs.records import HELD_OUT, KL, RunLog, Series

STEPS = np.array([10, 20, 30])


def log(beta=0.1, **series):
    named = {name: Series(STEPS, np.array(values, dtype=float)) for name, values in series.items()}
    return RunLog(Path("/r"), "r", "TRL", named, beta=beta)


def average_by_hand(values, weight):
    """The definition, point by point."""
    found, total, count = [], 0.0, 0.0
    for value in values:
        known = value == value
        total, count = weight * total + (value if known else 0.0), weight * count + known
        found.append(total / count if known else np.nan)
    return np.array(found)


@pytest.mark.parametrize("count", [1, 2, BLOCK, BLOCK + 1, BLOCK**2 + 77])
@pytest.mark.parametrize("weight", [0.3, 0.9, 0.999])
def test_smoothing_is_the_debiased_average(count, weight):
    values = np.random.default_rng(count).normal(size=count)
    values[count // 3 : count // 3 + 2] = np.nan
    np.testing.assert_allclose(smooth(values, weight), average_by_hand(values, weight), rtol=1e-9)


def test_smoothing_keeps_what_is_constant_and_does_nothing_at_0():
    np.testing.assert_allclose(smooth(np.full(500, 3.0), 0.97), 3.0)
    values = np.array([1.0, np.nan, 2.0])
    assert smooth(values, 0.0) is values


@given(st.integers(0, 10_000), st.integers(1, 3000), st.integers(1, 50))
def test_thinning_keeps_what_every_column_of_pixels_shows(seed, count, pixels):
    rng = np.random.default_rng(seed)
    x = np.unique(rng.integers(0, 5000, count)).astype(float)
    y = rng.normal(size=len(x))
    y[rng.random(len(x)) < 0.1] = np.nan
    left, right = sorted(rng.uniform(-500, 5500, 2))
    xs, ys = thin(x, y, left, right, pixels)
    assert (np.diff(xs) >= 0).all() and set(ys[np.isfinite(ys)]) <= set(y[np.isfinite(y)])
    # A column may lie over an edge of the view, with a point beyond it.
    assert len(xs) <= max(2 * pixels, 2 * (pixels + 4))
    inside = (x >= left) & (x <= right) & np.isfinite(y)
    if inside.any():
        assert np.nanmax(ys) >= y[inside].max() and np.nanmin(ys) <= y[inside].min()


def test_thinning_keeps_a_spike_of_one_point():
    x, y = np.arange(100_000.0), np.zeros(100_000)
    y[61_803] = 9.0
    xs, ys = thin(x, y, 0, 100_000, 400)
    assert len(xs) <= 820 and ys.max() == 9.0
    assert abs(xs[int(ys.argmax())] - 61_803) <= 250


def test_a_curve_that_is_moved_keeps_its_shape():
    x = np.arange(10_000.0)
    y = np.random.default_rng(0).normal(size=10_000)
    one, two = (set(zip(*thin(x, y, left, left + 5000, 100), strict=True)) for left in (0, 1000))
    both = {point for point in one if 1100 < point[0] < 4900}
    assert both and both <= two


def test_the_rewards_chart_has_minus_beta_kl_beside_them():
    run = log(
        **{"rewards/chosen": [0, -1, -2], KL: [0, 10, 20], "heldout/rewards/chosen": [1, 1, 1]}
    )
    found = curves(BY_KEY["rewards"], run, 0.1)
    assert [(c.place, c.source, c.name) for c in found] == [
        (0, "", "rewards/chosen"),
        (2, "", "-beta*kl/ref_policy"),
        (0, HELD_OUT, "heldout/rewards/chosen"),
    ]
    assert found[1].values.tolist() == [0, -1, -2]
    assert [c.place for c in curves(BY_KEY["rewards"], run, None)] == [0, 0]


def test_every_curve_of_a_log_is_drawn_by_some_chart():
    names = (
        "loss lr/mine eval/loss eval/a/loss eval/a/rewards/chosen eval/a/runtime eval/x/y accuracy"
    )
    run = log(**{name: [1, 2, 3] for name in names.split()})
    others = other_curves([run])
    assert others == ["lr/mine", "runtime", "x/y"]
    kinds = [*BY_KEY.values(), *map(kind_of, others)]
    drawn = [curve.name for kind in kinds for curve in curves(kind, run, 0.1)]
    assert sorted(drawn) == sorted(names.split())


def test_margins_follow_from_rewards_where_they_were_not_logged():
    run = log(**{"rewards/chosen": [1, 2, 3], "rewards/rejected": [0, 0, -1]})
    (curve,) = curves(BY_KEY["margin"], run, 0.1)
    assert curve.values.tolist() == [1, 2, 4]


def test_words_come_before_tokens():
    run = log(
        **{"heldout/words/auroc/-reward": [0.7, 0.8, 0.9], "heldout/tokens/auroc/-reward": [0] * 3}
    )
    (curve,) = curves(BY_KEY["localisation"], run, 0.1)
    assert curve.name == "heldout/words/auroc/-reward"


def test_the_value_at_a_step_is_the_last_logged_one():
    (curve,) = curves(BY_KEY["loss"], log(loss=[3, np.nan, 1]), None)
    at = {step: value_at(curve, curve.values, step) for step in (9, 10, 29, 30, 40, 41, None)}
    assert at == {
        9: None, 10: (10, 3.0), 29: (10, 3.0), 30: (30, 1.0), 40: (30, 1.0), 41: None,
        None: (30, 1.0),
    }  # fmt: skip
    assert value_at(curve, np.full(3, np.nan), 10) is None
    assert value_at(curve, np.array([1.0, 2.0, np.nan]), None) == (20, 2.0)


def test_csv_has_a_line_for_each_run_and_step():
    one = log(loss=[0.1, np.nan, 1 / 3])
    two = RunLog(
        Path("/b"), "b, c", "CSV", {"loss": Series(np.array([5, 30]), np.array([1.0, 2.0]))}
    )
    text = as_csv([(one, 0.1), (two, None)], [BY_KEY["loss"], BY_KEY["margin"]])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [
        ["run", "step", "loss"], ["r", "10", "0.1"], ["r", "20", ""], ["r", "30", repr(1 / 3)],
        ["b, c", "5", "1.0"], ["b, c", "30", "2.0"],
    ]  # fmt: skip
