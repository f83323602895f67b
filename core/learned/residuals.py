"""What of each log-ratio is left when what any training does is taken off.

A training moves all tokens by how likely they were, where they stand and which way SFT had already
pushed them; what is left over is what it makes of *these* tokens. A robust regression (Huber), so
that the tokens that a preference moves most do not pull the line towards them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.learned.states import States

Floats = NDArray[np.float64]

BEND = 1.345
"""Residuals beyond so many standard deviations count linearly: Huber's constant for 95%
efficiency."""
ROUNDS = 50
STILL = 1e-9
"""A change of coefficients, in their own size, that ends the rounds."""
FLAT = 1e-6
"""Spread below which a column says nothing, in nats."""


@dataclass(frozen=True, eq=False, slots=True)
class Fit:
    """A regression: y = fitted + residual."""

    coefficients: Mapping[str, float]
    """By column, in nats per unit."""
    residual: Floats
    scale: float
    """The residuals' spread, robustly: 1.4826 times their median size."""


def columns(states: States) -> dict[str, Floats]:
    """Return what log π − log π_ref is expected to depend on whatever was taught, each [n]."""
    reference = states.logp_reference
    found = {
        "constant": np.ones(len(states)),
        "log π_ref": reference,
        "(log π_ref)²": reference**2,
        "log position": np.log1p(states.place),
        "first place": (states.place == 0).astype(np.float64),
        "entropy": states.entropy,
        "closing": states.closing.astype(np.float64),
    }
    if states.logp_base is not None:
        found["log π_ref − log π_base"] = reference - states.logp_base
    return {name: it for name, it in found.items() if name == "constant" or it.std() > FLAT}


def fit(y: Floats, x: Mapping[str, Floats]) -> Fit:
    """Return the Huber regression of y [n] on columns [n], by reweighted least squares.

    The scale is estimated anew in each round; where the residuals are nothing but rounding it is
    that of least squares.
    """
    table = np.stack(list(x.values()), axis=1)
    size = np.maximum(np.abs(table).max(axis=0), 1e-12)
    scaled = table / size
    beta = np.linalg.lstsq(scaled, y, rcond=None)[0]
    scale = 0.0
    for _ in range(ROUNDS):
        residual = y - scaled @ beta
        scale = spread(residual)
        if scale < 1e-12:
            break
        weight = np.sqrt(np.minimum(1.0, BEND * scale / np.maximum(np.abs(residual), 1e-300)))
        new = np.linalg.lstsq(scaled * weight[:, None], y * weight, rcond=None)[0]
        moved = float(np.abs(new - beta).max())
        beta = new
        if moved <= STILL * max(1.0, float(np.abs(beta).max())):
            break
    residual = y - scaled @ beta
    values = (beta / size).tolist()
    return Fit(dict(zip(x, values, strict=True)), residual, spread(residual))


def spread(values: Floats) -> float:
    """Return 1.4826 times the median size of values around 0: the standard deviation of a normal
    distribution, whatever its tails do."""
    return float(1.4826 * np.median(np.abs(values))) if len(values) else 0.0
