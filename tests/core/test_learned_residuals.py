"""What is taken off log-ratios: a robust regression, against numpy's least squares."""

import numpy as np
import pytest

from core.learned.residuals import columns, fit, spread
from tests.core.made_states import made


def table(n=500, seed=1):
    rng = np.random.default_rng(seed)
    return {"constant": np.ones(n), "a": rng.normal(size=n) * 5, "b": rng.gamma(2, 1, n)}, rng


def test_on_a_clean_line_it_is_the_line():
    x, _ = table()
    y = 2.0 - 0.3 * x["a"] + 0.8 * x["b"]
    found = fit(y, x)
    assert found.coefficients == pytest.approx({"constant": 2.0, "a": -0.3, "b": 0.8})
    assert np.abs(found.residual).max() < 1e-9


def test_where_no_residual_is_large_it_is_least_squares():
    x, rng = table()
    y = 1.0 + 0.5 * x["a"] + rng.choice([-0.1, 0.1], len(x["a"]))  # all of one size: none is bent
    expected = np.linalg.lstsq(np.stack(list(x.values()), axis=1), y, rcond=None)[0]
    assert list(fit(y, x).coefficients.values()) == pytest.approx(expected, abs=1e-6)


def test_outliers_do_not_pull_the_line():
    x, rng = table()
    y = 1.0 + 0.5 * x["a"] + rng.normal(0, 0.1, len(x["a"]))
    y[x["a"] > 6] -= 20
    plain = np.linalg.lstsq(np.stack(list(x.values()), axis=1), y, rcond=None)[0]
    found = fit(y, x)
    assert abs(found.coefficients["a"] - 0.5) < 0.05 < abs(plain[1] - 0.5)
    assert found.scale == pytest.approx(spread(found.residual))


def test_what_sft_had_pushed_is_taken_off_where_the_base_is_known():
    states = made(base=0.6)
    found = fit(states.ratio, columns(states))
    assert found.coefficients["log π_ref − log π_base"] == pytest.approx(0.6, abs=0.02)
    assert found.scale == pytest.approx(0.3, abs=0.03)
    without = made()
    assert "log π_ref − log π_base" not in columns(without)
    assert fit(without.ratio, columns(without)).coefficients["log π_ref"] == pytest.approx(
        0.05, abs=0.02
    )
