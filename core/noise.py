"""How far rounding alone moves a log-ratio: the noise floor of a loaded pair, as a record.

In a format such as bfloat16 the two models' log-probs carry errors that can be larger than what a
light training has changed. What lies below the floor says nothing, and is shown so. Knows errors
and sums; how errors are measured is core.models.noise's business.
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
"""Nats; a floor below this, half of the last digit that is shown, changes nothing that is shown."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The noise of log pi(a|s) - log pi_ref(a|s) in the format that a pair runs in, in nats.

    Of the errors of single log-ratios about 95 in 100 are smaller than ``token``, of the errors of
    sums over n of them smaller than ``total(n)``. Rewards are beta times log-ratios, and so is
    their noise.
    """

    dtype: str
    """The number format, as "bfloat16"."""
    token: float
    """Twice the root mean square of the errors, and of that mean what a short sample may miss."""
    spread: float
    """The standard deviation of a sum over n tokens is ``spread`` times the square root of n."""
    bias: float
    """The part of the errors, a token, that does not average out; its magnitude."""
    tokens: int
    """How many log-ratios were measured."""
    measured: str
    """How they were, in words."""

    @property
    def matters(self) -> bool:
        """Whether anything that is shown is changed; not in float32."""
        return self.token >= LEAST

    def total(self, count: ArrayLike) -> Array:
        """The noise of sums over ``count`` tokens, any shape, in nats; of one it is ``token``, of
        none 0."""
        found = np.maximum(self.token, noise_of_sum(count, self.spread, self.bias))
        return np.where(np.asarray(count) > 0, found, 0.0)

    def of_rewards(self, beta: float, count: ArrayLike = 1) -> Array:
        """The noise of rewards summed over ``count`` tokens, in nats times beta; 0 if it does not
        matter."""
        return beta * self.total(count) * self.matters

    def hides(self, values: ArrayLike, beta: float, count: ArrayLike = 1) -> NDArray[np.bool_]:
        """Which rewards, each summed over ``count`` tokens, say nothing; False for NaN."""
        return below_noise(values, self.of_rewards(beta, count))


NOISELESS = NoiseFloor("", 0.0, 0.0, 0.0, 0, "")
"""Of a pair whose noise is not known: nothing is hidden."""


def floor_of(errors: Sequence[Array], dtype: str, measured: str) -> NoiseFloor:
    """The noise floor by the errors of log-ratios that were measured.

    Args:
        errors: of each sample text the errors of its tokens, [n_i], in nats and text order.
        dtype, measured: as in NoiseFloor.

    ``token`` is raised by twice the standard error of the mean square, since a short sample is as
    likely to have erred little as much. ``spread`` is that of sums over WINDOW neighbours, or of
    single tokens where that is more. Of the mean error, what chance alone would leave is no bias.
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
    """What a command prints of the noise of one log-ratio and of a sum of ``count``, in nats.

    Both are None where it could not be measured.
    """
    return {
        "dtype": dtype,
        "token": floor.token if floor else None,
        "total": total_of(floor, count),
        "measured": floor.measured if floor else "not measured",
    }


def total_of(floor: NoiseFloor | None, count: int) -> float | None:
    """The noise of a sum over ``count`` tokens in nats, None where it was not measured."""
    return float(floor.total(count)) if floor else None
