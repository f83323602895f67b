"""Localisation over the steps of a run: every checkpoint measured on the same held-out pairs.

Writes no file; knows nothing of the command line, nor how a checkpoint becomes the policy.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core import quantities as q
from core.evaluation.localisation import SCORES, Scored, figures, score_pairs
from core.preferences import Preference
from core.progress import Report
from core.runs.records import KL, START, Checkpoint

if TYPE_CHECKING:
    from core.models.pair import Pair

SHORT = {"auroc": "auroc", "top1_hit": "hit", "second_error_recall": "second"}
"""What a figure is called in the name of its curve."""


def measure_run(
    models: "Pair",
    checkpoints: Sequence[Checkpoint],
    pairs: Sequence[Preference],
    beta: float | None,
    report: Report,
) -> list[dict[str, float]]:
    """Return the figures of each checkpoint, by step; ``START`` is what the reference itself gives.

    Args:
        models: the run's pair, in which each of its checkpoints can be the policy.

    Raises:
        UserFacingError: a checkpoint does not belong to the run, or a pair cannot be scored.
    """
    trained = [checkpoint for checkpoint in checkpoints if checkpoint.path != START]
    scored = score_pairs(models, trained, pairs, report)
    rows = [{"step": step, **step_figures(items, beta)} for step, items in sorted(scored.items())]
    if rows and len(trained) < len(checkpoints):
        rows.insert(0, {"step": 0, **start_figures(rows[0])})
    return rows


def step_figures(scored: Sequence[Scored], beta: float | None) -> dict[str, float]:
    """Return what one checkpoint's curves get from its scored pairs.

    Rewards, margins and loss are those that DPO trains on (Eqs. 8, 9), β Σ (log π − log π_ref);
    KL(π_ref‖π) is summed over the chosen response, as its reward is, so that −β KL (Eq. 16) can
    be laid beside it. Without a beta they are log-ratios, and there is no loss. Localisation is
    over the pairs whose wrong words are known.
    """
    weight = 1.0 if beta is None else beta
    chosen = weight * np.array([item.chosen for item in scored])
    rejected = weight * np.array([item.rejected for item in scored])
    row = {
        "rewards/chosen": chosen.mean(),
        "rewards/rejected": rejected.mean(),
        "rewards/margins": (chosen - rejected).mean(),
        "rewards/accuracies": (chosen > rejected).mean(),
        KL: np.mean([item.kl for item in scored]),
    }
    if beta is not None:
        row["loss"] = np.mean([q.dpo_loss(a, b) for a, b in zip(chosen, rejected, strict=True)])
    known = [item for item in scored if item.spans]
    table = figures(known) if known else {}
    for unit in ("tokens", "words"):
        for score in SCORES if known else ():
            for name, short in SHORT.items():
                row[f"{unit}/{short}/{score}"] = table[unit][score][name]
    return {name: float(value) for name, value in row.items() if value is not None}


def start_figures(later: Mapping[str, float]) -> dict[str, float]:
    """Return the figures before the first step, where the policy is the reference.

    Every reward is 0, so the loss is log 2 and −log π localises as −log π_ref does. What a reward
    of 0 everywhere would rank is left out.
    """
    row = dict.fromkeys(("rewards/chosen", "rewards/rejected", "rewards/margins", KL), 0.0)
    if "loss" in later:
        row["loss"] = float(np.log(2))
    for name, value in later.items():
        if name.endswith("/-log_ref"):
            row[name] = row[name.replace("-log_ref", "-log_policy")] = value
    return row
