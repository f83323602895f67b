"""What a log's curves say of the loss: which it is, its beta, whether there is a reference.

Where files of the run name the loss they are believed first (core.checkpoints.loss). Knows the
names that trainers log under; knows nothing of files.
"""

from collections.abc import Mapping

import numpy as np

from core.losses import UNNAMED, TrainingLoss, trained_by
from core.runs.names import evaluation_sets
from core.runs.points import Floats
from core.runs.records import EVAL, HELD_OUT, KL, Series

Curves = Mapping[str, Series]
SOURCES = ("", EVAL, HELD_OUT)
NEAR_START = 0.1
"""Rewards that begin nearer to 0 than this part of where they go have begun at 0."""
NEAR_BELOW = 0.03
"""The same where all of them are below 0, as they are without a reference: log-probs are."""
SAME = 0.01
"""Ratios that differ by less, as a part of them, are the same but for rounding."""
FEW = 4
"""Points; fewer lie on a line by chance."""


def loss_of(curves: Curves) -> TrainingLoss:
    """Return the loss that curves are of; UNNAMED where they do not tell."""
    way = trained_by(curves)
    return TrainingLoss((way,)) if way else UNNAMED


def has_reference(curves: Curves) -> bool | None:
    """Return whether logged rewards are against a reference; None where that cannot be told.

    Against one they begin at 0, since policy and reference are the same then; without one they are
    always the same number, beta, times the log-probs that are logged beside them.
    """
    if any(source + KL in curves for source in SOURCES):
        return True
    for source in SOURCES:
        rewards, logps = (
            [curves.get(f"{source}{kind}/{side}") for side in ("chosen", "rejected")]
            for kind in ("rewards", "logps")
        )
        if any(_ratio(*both) for both in zip(rewards, logps, strict=True)):
            return False
        known = [it.values[np.isfinite(it.values)] for it in rewards if it is not None]
        if len(known) == 2 and all(len(values) for values in known):
            far = max(float(np.abs(values).max()) for values in known)
            begun = max(abs(float(values[0])) for values in known)
            above = max(float(values.max()) for values in known) > 0
            if far > 0 and begun <= (NEAR_START if above else NEAR_BELOW) * far:
                return True
    return None


def beta_of(curves: Curves) -> float | None:
    """Return beta, where logged rewards tell it; None where they do not, or not the same.

    On pairs that are the same at each step, an evaluation's, rewards are beta times what the
    log-probs are, less a constant of the reference: a line. Without one the ratio is beta on any.
    """
    found = []
    for source in [*SOURCES, *(f"{EVAL}{of}/" for of in evaluation_sets(curves))]:
        for side in ("chosen", "rejected"):
            both = curves.get(f"{source}rewards/{side}"), curves.get(f"{source}logps/{side}")
            if beta := _ratio(*both) or _slope(*both):
                found.append(beta)
    beta = float(np.median(found)) if found else 0.0
    same = all(abs(it - beta) <= SAME * beta for it in found)
    return float(f"{beta:.3g}") if found and same else None


def _both(rewards: Series | None, logps: Series | None) -> tuple[Floats, Floats]:
    """Return the values of both where both are numbers, [n] each; none if steps differ."""
    if rewards is None or logps is None or not np.array_equal(rewards.steps, logps.steps):
        return np.empty(0), np.empty(0)
    known = np.isfinite(rewards.values) & np.isfinite(logps.values) & (logps.values != 0)
    return rewards.values[known], logps.values[known]


def _ratio(rewards: Series | None, logps: Series | None) -> float:
    """Return the number that a curve of rewards is, times one of log-probs; 0 if it is none."""
    reward, logp = _both(rewards, logps)
    if len(logp) < FEW - 1 or np.ptp(logp) == 0:
        return 0.0
    ratio = reward / logp
    middle = float(np.median(ratio))
    return middle if middle > 0 and np.all(np.abs(ratio - middle) <= SAME * middle) else 0.0


def _slope(rewards: Series | None, logps: Series | None) -> float:
    """Return the slope of rewards over log-probs; 0 if they lie on no line that rises."""
    reward, logp = _both(rewards, logps)
    if len(logp) < FEW or np.ptp(logp) == 0:
        return 0.0
    around = logp - logp.mean()
    slope = float(around @ reward / (around @ around))
    off = np.abs(reward - reward.mean() - slope * around)
    return slope if slope > 0 and np.all(off <= SAME * np.ptp(reward)) else 0.0
