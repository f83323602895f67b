"""A training run's folder: the checkpoints in it, and the plan to open it as a pair.

The policy is the run's last checkpoint, the reference what was named, or what resolving finds.
Knows nothing of curves (core.runs reads those) or of loading.
"""

from collections.abc import Callable
from pathlib import Path

from core.checkpoints.describe import describe
from core.checkpoints.forms import other_form
from core.checkpoints.hub import NotDownloaded
from core.checkpoints.limited import read_json
from core.checkpoints.named import BASES, NamedBase
from core.checkpoints.plan import PairPlan
from core.checkpoints.resolve import resolve_pair
from core.checkpoints.saved import Saved, folders
from core.errors import UserFacingError
from core.progress import Report, Stop
from core.runs.records import START, STEP, Checkpoint


def run_checkpoints(folder: Path) -> tuple[Checkpoint, ...]:
    """Return the checkpoints in a run's folder, by step; what is half-written or gone is left out.

    They are adapters or whole models: where there are both, those of the kind of the last one.
    """
    saved = Saved()
    saved.refresh(folders(folder.expanduser().resolve()))
    found = saved.checkpoints
    return tuple(it for it in found if it.whole == found[-1].whole)


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run's checkpoints, whole or not, and is none itself."""
    if not folder.is_dir() or any(
        (folder / name).is_file() for name in ("config.json", "adapter_config.json")
    ):
        return False
    return any(STEP.fullmatch(it.name) and it.is_dir() for it in folder.iterdir())


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
    place: Callable[[str], Path] | None = None,
    download: bool = False,
) -> PairPlan:
    """Return the plan to load a run with its last checkpoint as the policy.

    Args:
        reference: the folder that was named; None to find it (core.checkpoints.reference).
        report: told of a registered base that must be fetched.
        loss: as for ``resolve_pair``.
        place: as for ``resolve_pair``.
        download: whether a registered base may be fetched.

    Raises:
        NotDownloaded: such a base would have to be.
        UserFacingError: there is no whole checkpoint, or the two do not fit.
        Cancelled: soon after ``cancelled()`` turns true, in a fetch.
    """
    folder = folder.expanduser().resolve()
    checkpoints = run_checkpoints(folder)
    if not checkpoints:
        raise UserFacingError(_why_none(folder))
    last = Path(checkpoints[-1].path)
    if base is None and not checkpoints[-1].whole and (named := _named_base(last)):
        base = named.cached()
        if base is None and not download:
            raise NotDownloaded(
                f"{folder} is over the base {named.name}, which is not on this machine: it can be "
                f"downloaded from huggingface.co (with --download, or in Open a pair)."
            )
        base = base or named.fetch(report, cancelled)
    return resolve_pair(last, reference, base, allow_pickle, allow_remote_code, loss, place)


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
            f"or open it with --policy DIR."
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
    if said := other_form(folder, [it.name for it in folder.iterdir()]):
        return said
    return (
        f"{folder} has no whole checkpoint (a folder checkpoint-N with an adapter or a model): "
        f"choose the folder that the trainer saves to."
    )
