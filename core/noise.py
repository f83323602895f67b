"""The noise floor of a loaded pair: how far rounding alone moves a log-ratio, as a record.

In a format such as bfloat16 rounding errors of the two models' log-probs can be larger than what a
light training has changed. A value below the floor says nothing, and views show it so. Knows errors
and their sums; measuring them is core.models.noise's business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.quantities import Array, below_noise, noise_of_sum

WINDOW = 16
"""Tokens whose errors are summed to see whether neighbours err together."""
LEAST = 5e-4
"""Nats: half of the last digit that is shown; a lower floor changes nothing that is shown."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The noise of log pi(a|s) - log pi_ref(a|s) in the number format that a pair runs in, in nats.

    About 95 in 100 errors of single log-ratios are smaller than ``token``, and as many errors of
    sums over n of them are smaller than ``total(n)``. Rewards are beta times log-ratios, and so is
    their noise.
    """

    dtype: str
    """The number format, as "bfloat16"."""
    token: float
    """Twice the root mean square of the errors, plus what so short a sample may have missed."""
    spread: float
    """The standard deviation of a sum over n tokens is ``spread`` times the square root of n."""
    bias: float
    """The magnitude of the mean error of a token, which does not average out in a sum."""
    tokens: int
    """The number of log-ratios that were measured."""
    measured: str
    """In words, how they were measured."""

    @property
    def matters(self) -> bool:
        """True where the noise is large enough to change a digit that is shown: not in float32."""
        return self.token >= LEAST

    def total(self, count: ArrayLike) -> Array:
        """Return the noise of sums over ``count`` tokens, any shape, in nats; 0 for no token."""
        found = np.maximum(self.token, noise_of_sum(count, self.spread, self.bias))
        return np.where(np.asarray(count) > 0, found, 0.0)

    def of_rewards(self, beta: float, count: ArrayLike = 1) -> Array:
        """Return the noise of sums of ``count`` rewards, nats times beta; 0 unless it
        ``matters``."""
        return beta * self.total(count) * self.matters

    def hides(self, values: ArrayLike, beta: float, count: ArrayLike = 1) -> NDArray[np.bool_]:
        """Return which sums of ``count`` rewards are below their noise; False for NaN."""
        return below_noise(values, self.of_rewards(beta, count))


NOISELESS = NoiseFloor("", 0.0, 0.0, 0.0, 0, "")
"""For a pair whose noise is not known: it hides nothing."""


def floor_of(errors: Sequence[Array], dtype: str, measured: str) -> NoiseFloor:
    """Return the noise floor by measured errors of log-ratios.

    Args:
        errors: for each sample text the errors of its tokens, [n_i], in nats and text order.
        dtype, measured: as in NoiseFloor.

    ``token`` is raised by twice the standard error of the mean square, since a short sample may
    have erred little by luck. ``spread`` is that of sums over WINDOW neighbours, or of single
    tokens where that is more. A mean error that chance alone would leave is not counted as bias.
    """
    every = np.concatenate([np.zeros(0), *errors])
    n = len(every)
    if not n:
        raise ValueError("a noise floor needs errors")
    squares = every**2
    square, doubt = float(squares.mean()), float(squares.std()) / np.sqrt(n)
    mean = float(every.mean())
    scatter = float(every.var())
    sums = [
        np.convolve(own - mean, np.ones(WINDOW), "valid") for own in errors if len(own) >= WINDOW
    ]
    if sums:
        scatter = max(scatter, float(np.mean(np.concatenate(sums) ** 2)) / WINDOW)
    bias = np.sqrt(max(0.0, mean**2 - scatter / n))
    return NoiseFloor(
        dtype=dtype,
        token=float(2 * np.sqrt(square + 2 * doubt)),
        spread=float(np.sqrt(scatter)),
        bias=float(bias),
        tokens=n,
        measured=measured,
    )


def as_json(floor: NoiseFloor | None, dtype: str, count: int) -> dict[str, Any]:
    """Return the noise of one log-ratio and of a sum of ``count``, in nats, as commands print it.

    Both are None where it could not be measured.
    """
    return {
        "dtype": dtype,
        "token": floor.token if floor else None,
        "total": total_of(floor, count),
        "measured": floor.measured if floor else "not measured",
    }


def total_of(floor: NoiseFloor | None, count: int) -> float | None:
    """Return the noise of a sum over ``count`` tokens in nats, None where it was not measured."""
    return float(floor.total(count)) if floor else None
