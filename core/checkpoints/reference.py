"""Finding the reference of a policy where none was named, and doubting one that does not fit.

It is what lies with the policy, or what its files name. Never guesses: what they name must be on
this machine, or may be fetched. Asks no network itself.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from core.checkpoints.describe import StoredModel, checkpoint_name
from core.checkpoints.hub import NAME, in_hugging_face_cache
from core.checkpoints.limited import path_of
from core.checkpoints.plan import PairPlan
from core.provenance import Provenance
from core.runs.records import STEP

FOLDERS = ("ref", "reference", "ref_model", "reference_model")
"""Where trainers, and people by hand, save what DPO began with; TRL's is the first."""


class Found(NamedTuple):
    """The reference's folder; None for an adapter's base, the adapter off, or, if the policy is
    ``alone``, for none. ``notes``: sentences on how it was found, or why not."""

    reference: Path | None
    alone: bool = False
    notes: tuple[str, ...] = ()


def find_reference(
    policy: StoredModel, known: Provenance, fetch: Callable[[str], Path] | None = None
) -> Found:
    """Return the reference of a policy, as far as it is said and on this machine.

    Args:
        fetch: brings what is named as on huggingface.co; None: only the cache is looked into.
    """
    run = _run(policy.path)
    for place in (
        near / name for near in (policy.path, policy.path.parent, run) for name in FOLDERS
    ):
        if place != policy.path and _holds_model(place):
            saved = policy.path in place.parents or run in place.parents
            note = f"The reference is {place}, which lies beside the policy."
            return Found(place, notes=() if saved else (note,))
    whole = policy.kind == "model"
    field = "reference" if known.reference else "base"
    named = known.reference or (known.base if whole else "")
    if not named:
        if not whole:
            return Found(None)
        note = (
            f"Nothing with {policy.name} says what it was trained from: name that model as the "
            f"reference (with --reference DIR, or in Open a pair) to see rewards."
        )
        return Found(None, True, (note,))
    for near in (run, *list(run.parents)[:2], Path.cwd()):
        place = (near / path_of(named)).resolve()
        if _holds_model(place) and place != policy.path:
            said = f"The reference is {place}, as {known.sources[field]} says."
            return Found(place, notes=(said,))
    if (cached := in_hugging_face_cache(named)) is not None:
        return Found(cached, notes=(f"The reference is {named}, as {known.sources[field]} says.",))
    if fetch is not None and NAME.fullmatch(named):
        said = f"The reference is {named}, as {known.sources[field]} says."
        return Found(fetch(named), notes=(said,))
    what = "trained against" if field == "reference" else "trained from"
    note = (
        f"{policy.name} was {what} {named} ({known.sources[field]}), which is not on this machine: "
        f"name the reference's folder (with --reference DIR, or in Open a pair) to see rewards."
    )
    return Found(None, True, (note,))


def doubts(plan: PairPlan) -> tuple[str, ...]:
    """Return what the files themselves say against a pair's roles, a sentence each."""
    policy, reference, known = plan.policy, plan.reference, plan.provenance
    if reference is None:
        return ()
    said = []
    if not policy.adapter and reference.adapter and policy.model.path == reference.model.path:
        said.append(
            f"The reference {reference.name} is an adapter over the policy itself: if it is what "
            f"was trained, policy and reference are swapped."
        )
    steps = [_step(side.adapter or side.model) for side in (policy, reference)]
    if steps[0] and steps[1] and steps[0][0] == steps[1][0] and steps[0][1] < steps[1][1]:
        said.append(
            f"The reference is step {steps[1][1]} of the run that the policy is step "
            f"{steps[0][1]} of: if the later one is the policy, they are swapped."
        )
    kinds = [
        f"{m.architecture or m.model_type} of {m.layers} layers of width {m.hidden_size}"
        for m in (policy.model, reference.model)
    ]
    if kinds[0] != kinds[1]:
        said.append(
            f"The policy is a {kinds[0]}, the reference a {kinds[1]}: is that the model that the "
            f"training began with?"
        )
    adapter = policy.adapter
    bases = [known.base, adapter.base if adapter else ""]
    if adapter and all(bases) and len({last_part(checkpoint_name(Path(it))) for it in bases}) > 1:
        said.append(
            f"The training began with {known.base} ({known.sources['base']}), but the adapter "
            f"names {adapter.base} as its base: if they differ, name the right one (with --base "
            f"DIR, or in Open a pair)."
        )
    if known.sync_ref_model:
        said.append(
            f"The reference was moved along in the training ({known.sources['sync_ref_model']}): "
            f"rewards are against the one that is loaded, not against that of a step."
        )
    return tuple(said)


def _step(model: StoredModel) -> tuple[Path, int] | None:
    """Return the run and the step that a checkpoint's folder names."""
    found = STEP.fullmatch(model.path.name)
    return (model.path.parent, int(found[1])) if found else None


def last_part(base: str) -> str:
    """Return the last part of a path or a repository's name."""
    return base.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def _run(policy: Path) -> Path:
    """Return the folder of the run that a policy is a checkpoint of, else its own."""
    return next((it.parent for it in (policy, policy.parent) if STEP.fullmatch(it.name)), policy)


def _holds_model(place: Path) -> bool:
    return any((place / name).is_file() for name in ("config.json", "adapter_config.json"))
