"""The plan of the pair that was asked for, whichever way it was named, and what is said of it.

Reads files on disk; loads nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from core.checkpoints.hub import Hub
from core.checkpoints.limited import path_of
from core.checkpoints.named import DEMO, named_plan
from core.checkpoints.plan import PairPlan
from core.checkpoints.resolve import resolve_pair, with_search_base
from core.checkpoints.runs import is_run, run_checkpoints, run_plan
from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.failures import in_words
from core.progress import Report, never


def as_run(spec: PairSpec) -> tuple[PairSpec, tuple[str, ...]]:
    """Return a pair whose policy is a run's folder as that run, and what there is to say of it."""
    folder = path_of(spec.policy)
    if not spec.policy or not is_run(folder):
        return spec, ()
    found = run_checkpoints(folder)
    newest = f"newest checkpoint, {Path(found[-1].path).name}," if found else "newest checkpoint"
    note = f"{folder} is the folder of a run: its {newest} is the policy."
    return replace(spec, policy="", run=spec.policy), (note,)


def asked_plan(spec: PairSpec, progress: Report, cancelled: Callable[[], bool] = never) -> PairPlan:
    """Return how the pair that ``spec`` names is loaded.

    Raises:
        UserFacingError: it cannot be; the sentence says what to do.
        Cancelled: soon after ``cancelled()`` turns true, in a download or a fetch.
    """
    place = Hub(spec.download, spec.allow_pickle, progress, cancelled).place
    named = spec.run or spec.policy or "the demo pair"
    with in_words("The files of", named, "copy or download the checkpoint again"):
        plan = _pair_plan(spec, place, progress, cancelled)
        return with_search_base(plan, place(spec.search_base)) if spec.search_base else plan


def _pair_plan(
    spec: PairSpec,
    place: Callable[[str], Path],
    progress: Report,
    cancelled: Callable[[], bool],
) -> PairPlan:
    policy, reference, base = (
        place(text) if text else None for text in (spec.policy, spec.reference, spec.base)
    )
    fetch = place if spec.download else None
    if spec.run:
        return run_plan(
            path_of(spec.run),
            reference,
            base,
            progress,
            cancelled,
            allow_pickle=spec.allow_pickle,
            allow_remote_code=spec.allow_remote_code,
            loss=spec.loss,
            place=fetch,
            download=spec.download == "yes",
        )
    if spec.demo:
        return named_plan(DEMO, progress, cancelled)
    if policy is None:
        raise UserFacingError("No policy was named: name it with --policy DIR.")
    return resolve_pair(
        policy,
        reference,
        base,
        allow_pickle=spec.allow_pickle,
        allow_remote_code=spec.allow_remote_code,
        loss=spec.loss,
        place=fetch,
    )


def remarks(plan: PairPlan) -> Iterator[str]:
    """Yield what there is to say of a policy alone, and of a loss that is unlike DPO."""
    if plan.reference is None:
        yield "The policy is alone: rewards, and all else that needs a reference, are left out."
    if plan.objective.losses and plan.objective.note:
        yield f"{plan.objective.title}: {plan.objective.note}"
