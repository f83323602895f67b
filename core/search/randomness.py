"""Distributions that searches sample from, and their random numbers.

Drawn on the CPU in float64, so that the same seed gives the same search on every device.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]


def uniform(seed: int) -> np.random.Generator:
    """Return the random numbers of one search."""
    return np.random.default_rng(seed)


def forked(random: np.random.Generator) -> np.random.Generator:
    """Return a twin that gives the same numbers, so that a step that fails draws them again."""
    twin = uniform(0)  # a third of the time of a deep copy
    twin.bit_generator.state = random.bit_generator.state
    return twin


def log_softmax(scores: "torch.Tensor", temperature: float) -> Floats:
    """Return log-probs of softmax(scores / temperature), [V] -> [V]."""
    scaled: Floats = scores.double().cpu().numpy() / temperature
    scaled = scaled - scaled.max()
    logp: Floats = scaled - np.log(np.exp(scaled).sum())
    return logp


def draw(logp: Floats, random: np.random.Generator, top_p: float = 1.0, min_p: float = 0.0) -> int:
    """Return a token drawn from exp(logp) [V], after the filters; the likeliest is always left in.

    ``top_p``: the fewest tokens whose probabilities reach it (nucleus sampling). ``min_p``: tokens
    at least so probable as this share of the likeliest.
    """
    probs = np.exp(logp)
    if min_p > 0:
        probs = np.where(probs >= min_p * probs.max(), probs, 0.0)
    if top_p < 1:
        order = np.argsort(-probs, kind="stable")
        before = np.cumsum(probs[order]) - probs[order]
        probs[order[before >= top_p * probs.sum()]] = 0.0
    # By the inverse of the distribution function: one uniform number a token.
    steps = np.cumsum(probs)
    return int(np.searchsorted(steps, random.random() * steps[-1], side="right"))
