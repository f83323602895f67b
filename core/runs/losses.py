"""What a log's curves say of the loss: which it is, and whether rewards are against a reference.

Where files of the run name the loss they are believed first (core.checkpoints.loss). Knows the
names that trainers log under; knows nothing of files.
"""

from collections.abc import Mapping

import numpy as np

from core.losses import UNNAMED, TrainingLoss
from core.runs.records import EVAL, HELD_OUT, KL, Series

Curves = Mapping[str, Series]
SOURCES = ("", EVAL, HELD_OUT)
_MARKS = (
    # A curve that only this training logs, by TRL, LLaMA-Factory and others.
    ("log_odds_ratio", "orpo"), ("log_odds_chosen", "orpo"), ("odds_ratio_loss", "orpo"),
    ("policy/approxkl_avg", "ppo"), ("objective/rlhf_reward", "ppo"),
    ("frac_reward_zero_std", "grpo"), ("reward_std", "grpo"),
)  # fmt: skip
NEAR_START = 0.1
"""Rewards that begin nearer to 0 than this part of where they go have begun at 0."""
SAME = 0.01
"""Ratios that differ by less, as a part of them, are the same but for rounding."""


def loss_of(curves: Curves) -> TrainingLoss:
    """Return the loss that curves are of; UNNAMED where they do not tell."""
    names = {name.removeprefix(EVAL) for name in curves}
    for mark, loss in _MARKS:
        if mark in names:
            return TrainingLoss((loss,))
    if {"kl", "rewards/chosen"} <= names and "rewards/accuracies" not in names:
        return TrainingLoss(("kto",))  # the only one that logs no accuracy of pairs
    return UNNAMED


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
        if any(_ratios(*both) for both in zip(rewards, logps, strict=True)):
            return False
        known = [it.values[np.isfinite(it.values)] for it in rewards if it is not None]
        if len(known) == 2 and all(len(values) for values in known):
            far = max(float(np.abs(values).max()) for values in known)
            begun = max(abs(float(values[0])) for values in known)
            if far > 0 and begun <= NEAR_START * far:
                return True
    return None


def _ratios(rewards: Series | None, logps: Series | None) -> bool:
    """Return whether a curve of rewards is one of log-probs times a number."""
    if rewards is None or logps is None or not np.array_equal(rewards.steps, logps.steps):
        return False
    known = np.isfinite(rewards.values) & np.isfinite(logps.values) & (logps.values != 0)
    if known.sum() < 3 or np.ptp(logps.values[known]) == 0:
        return False
    ratio = rewards.values[known] / logps.values[known]
    middle = float(np.median(ratio))
    return middle > 0 and bool(np.all(np.abs(ratio - middle) <= SAME * middle))
