"""The plan of the pair that was asked for, whichever way it was named, and what is said of it.

Reads files on disk; loads nothing.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from core.checkpoints.named import DEMO, named_plan
from core.checkpoints.plan import PairPlan
from core.checkpoints.resolve import resolve_pair, with_search_base
from core.checkpoints.runs import run_plan
from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.progress import Report, never


def asked_plan(spec: PairSpec, progress: Report, cancelled: Callable[[], bool] = never) -> PairPlan:
    """Return how the pair that ``spec`` names is loaded.

    Raises:
        UserFacingError: it cannot be; the sentence says what to do.
        Cancelled: soon after ``cancelled()`` turns true, in a fetch.
    """
    plan = _pair_plan(spec, progress, cancelled)
    return with_search_base(plan, Path(spec.search_base)) if spec.search_base else plan


def _pair_plan(spec: PairSpec, progress: Report, cancelled: Callable[[], bool]) -> PairPlan:
    reference, base = (
        Path(text).expanduser() if text else None for text in (spec.reference, spec.base)
    )
    if spec.run:
        return run_plan(
            Path(spec.run),
            reference,
            base,
            progress,
            cancelled,
            allow_pickle=spec.allow_pickle,
            allow_remote_code=spec.allow_remote_code,
            loss=spec.loss,
        )
    if spec.demo:
        return named_plan(DEMO, progress, cancelled)
    if not spec.policy:
        raise UserFacingError("No policy was named: name it with --policy DIR.")
    return resolve_pair(
        Path(spec.policy).expanduser(),
        reference,
        base,
        allow_pickle=spec.allow_pickle,
        allow_remote_code=spec.allow_remote_code,
        loss=spec.loss,
    )


def remarks(plan: PairPlan) -> Iterator[str]:
    """Yield what there is to say of a policy alone, and of a loss that is unlike DPO."""
    if plan.reference is None:
        yield "There is no reference: rewards, and all else that needs one, are left out."
    if plan.objective.losses and plan.objective.note:
        yield f"{plan.objective.title}: {plan.objective.note}"
