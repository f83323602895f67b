"""Localisation over the steps of a run: every checkpoint measured on the same held-out pairs.

Adapters lie over one base together, so that the reference runs once for all of them; of whole
models one is in memory at a time, beside the reference. Writes no file; knows nothing of the
command line.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core import quantities as q
from core.checkpoints.plan import PairPlan
from core.errors import UserFacingError
from core.evaluation.localisation import SCORES, Entered, Scored, adapter, figures, score_pairs
from core.failures import is_out_of_memory, reason
from core.preferences import Preference
from core.progress import Report
from core.runs.records import KL, START, Checkpoint
from core.training.stages import load

SHORT = {"auroc": "auroc", "top1_hit": "hit", "second_error_recall": "second"}
"""What a figure is called in the name of its curve."""


def measure_run(
    plan: PairPlan,
    checkpoints: Sequence[Checkpoint],
    pairs: Sequence[Preference],
    beta: float | None,
    report: Report,
) -> list[dict[str, float]]:
    """Return the figures of each checkpoint, by step; ``START`` is what the reference itself gives.

    Args:
        plan: how the run's last checkpoint and its reference are loaded.

    Raises:
        UserFacingError: a checkpoint cannot be loaded over the base.
    """
    trained = [checkpoint for checkpoint in checkpoints if checkpoint.path != START]
    scored: dict[int, list[Scored]] = {}
    if plan.policy_adapter is not None:
        scored = _measure_adapters(plan, trained, pairs, report)
    else:
        reference, tokenizer = _reference(plan)
        for number, checkpoint in enumerate(trained):
            report(f"Loading step {checkpoint.step}", number / len(trained))
            with _loading(checkpoint):
                model, _ = load(Path(checkpoint.path))
            policies: Mapping[int, Entered] = {checkpoint.step: _whole(model)}
            scored |= score_pairs(reference, policies, tokenizer, pairs, report)
            del model, policies
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


def _measure_adapters(
    plan: PairPlan, trained: Sequence[Checkpoint], pairs: Sequence[Preference], report: Report
) -> dict[int, list[Scored]]:
    from peft import PeftModel

    report("Loading the base", None)
    model, tokenizer = load(plan.policy_model, tokenizer=plan.tokenizer)
    for checkpoint in trained:
        with _loading(checkpoint):
            if not isinstance(model, PeftModel):
                model = PeftModel.from_pretrained(
                    model, checkpoint.path, adapter_name=str(checkpoint.step)
                )
            else:
                model.load_adapter(checkpoint.path, adapter_name=str(checkpoint.step))
    if not plan.shared:
        reference, _ = _reference(plan)
    elif plan.reference_adapter is not None:
        model.load_adapter(str(plan.reference_adapter), adapter_name="reference")
        reference = adapter(model, "reference")
    else:
        reference = adapter(model, None)
    model.eval()
    policies = {at.step: adapter(model, str(at.step)) for at in trained}
    return score_pairs(reference, policies, tokenizer, pairs, report)


def _reference(plan: PairPlan) -> tuple[Entered, Any]:
    """Load the reference as a model of its own, and the tokenizer."""
    model, tokenizer = load(plan.reference_model, plan.reference_adapter, tokenizer=plan.tokenizer)
    model.eval()
    return _whole(model), tokenizer


def _whole(model: Any) -> Entered:
    return lambda: contextlib.nullcontext(model.eval())


@contextlib.contextmanager
def _loading(checkpoint: Checkpoint) -> Iterator[None]:
    """Turn what the libraries raise at a checkpoint that does not fit into a sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        first = reason(error)
        raise UserFacingError(
            f"{checkpoint.path} could not be loaded over this run's base ({first}): leave it out "
            f"with --steps, or save it again."
        ) from error
