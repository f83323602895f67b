"""A training run's folder: the checkpoints in it, and the plan to open it as a pair.

The policy is the run's last checkpoint. The reference is never guessed: it is what was named, what
the trainer saved beside the policy, what the run says of itself, or the base with the adapter off;
else there is none.
Knows nothing of curves (core.runs reads those) or of loading.
"""

from pathlib import Path
from typing import Any

from core.checkpoints.describe import describe, read_json
from core.checkpoints.named import BASES, NamedBase
from core.checkpoints.plan import PairPlan
from core.checkpoints.resolve import resolve_pair
from core.checkpoints.saved import Saved, folders
from core.errors import UserFacingError
from core.progress import Report, Stop
from core.runs.records import ABOUT, START, STEP, Checkpoint

OF_TRAINER = "ref"
"""The folder in which TRL saves the adapter that DPO began with."""


def run_checkpoints(folder: Path) -> tuple[Checkpoint, ...]:
    """Return the checkpoints in a run's folder, by step; what is half-written or gone is left out.

    They are adapters or whole models: where there are both, those of the kind of the last one.
    """
    saved = Saved()
    saved.refresh(folders(folder.expanduser().resolve()))
    found = saved.checkpoints
    return tuple(it for it in found if it.whole == found[-1].whole)


def with_start(checkpoints: tuple[Checkpoint, ...]) -> tuple[Checkpoint, ...]:
    """Return the checkpoints with START before them, where the policy is the reference."""
    whole = bool(checkpoints) and checkpoints[0].whole
    return (Checkpoint(0, START, whole), *checkpoints)


def run_plan(
    folder: Path,
    reference: Path | None,
    base: Path | None,
    report: Report,
    cancelled: Stop,
    allow_pickle: bool = False,
    allow_remote_code: bool = False,
    loss: str = "",
) -> PairPlan:
    """Return the plan to load a run with its last checkpoint as the policy.

    Args:
        reference: the folder that was named; None to find it (see the module).
        report: told of a registered base that must be fetched.
        loss: as for ``resolve_pair``.

    Raises:
        UserFacingError: there is no whole checkpoint, or the two do not fit.
        Cancelled: soon after ``cancelled()`` turns true, in a fetch.
    """
    folder = folder.expanduser().resolve()
    checkpoints = run_checkpoints(folder)
    if not checkpoints:
        raise UserFacingError(_why_none(folder))
    last = Path(checkpoints[-1].path)
    if reference is None:
        reference = _reference(folder, last)
    if base is None and not checkpoints[-1].whole and (named := _named_base(last)):
        base = named.fetch(report, cancelled)
    return resolve_pair(last, reference, base, allow_pickle, allow_remote_code, loss)


def _reference(folder: Path, last: Path) -> Path | None:
    """Return the reference's folder by the run's own files; None for the base with adapters off."""
    for place in (last / OF_TRAINER, folder / OF_TRAINER):
        if place.is_dir():
            return place
    said = _about(folder).get("reference")
    return folder / Path(said).expanduser() if isinstance(said, str) and said else None


def _about(folder: Path) -> dict[str, Any]:
    place = folder.expanduser() / ABOUT
    if not place.is_file():
        return {}
    try:
        return read_json(place)
    except UserFacingError as error:
        raise UserFacingError(
            f"{place} is damaged: mend or delete it, and name the run's reference and beta."
        ) from error


def _named_base(adapter: Path) -> NamedBase | None:
    """Return the registered base that an adapter names, if no folder of that name is meant."""
    name = str(read_json(adapter / "adapter_config.json").get("base_model_name_or_path"))
    named = BASES.get(name)
    if named and any((place / name).is_dir() for place in (adapter, adapter.parent, Path())):
        return None
    return named


def _why_none(folder: Path) -> str:
    if not folder.is_dir():
        return f"There is no folder {folder}: check the path of the run."
    if STEP.fullmatch(folder.name):
        return (
            f"{folder} is one checkpoint of a run: choose the folder around it, {folder.parent}, "
            f"or open it with --policy."
        )
    inside = [(int(m[1]), it) for it in folder.iterdir() if (m := STEP.fullmatch(it.name))]
    if inside:
        try:
            describe(max(inside)[1], allow_pickle=True, allow_remote_code=True)
        except UserFacingError as error:
            return str(error)
    for path in sorted(folder.iterdir()):
        if path.is_dir() and run_checkpoints(path):
            return f"{folder} has no checkpoints itself: choose the run inside it, {path}."
    return (
        f"{folder} has no whole checkpoint (a folder checkpoint-N with an adapter or a model): "
        f"choose the folder that the trainer saves to."
    )
