"""The checkpoints in a run's folder: their steps, what they are, how large.

Looks at names, sizes and the headers of weights; opens no pickle. Knows nothing of logs.
"""

import os
from collections.abc import Collection
from pathlib import Path

from core.checkpoints.describe import weight_files
from core.checkpoints.headers import read_header
from core.errors import UserFacingError
from core.runs.records import STEP, Checkpoint

_WEIGHTS = (".safetensors", ".json", ".bin", ".pt", ".pth")
_Marks = tuple[tuple[str, int, int], ...]
NO_WEIGHTS = "no weights are there, or not yet"
MOST = 2000
"""So many checkpoints of a run are looked at, the last ones."""
NAMED = 3
"""So many folders are named in a sentence."""


def folders(run: Path) -> list[Path]:
    """Return the folders of a run that are named as checkpoints are, by step."""
    try:
        with os.scandir(run) as entries:
            names = [entry.name for entry in entries if STEP.fullmatch(entry.name)]
    except OSError:
        return []
    return [run / name for name in sorted(names, key=lambda name: (_step(name), name))[-MOST:]]


def _step(name: str) -> int:
    found = STEP.fullmatch(name)
    return int(found[1]) if found else 0


class Saved:
    """Looks at a run's checkpoints, again whenever their files have changed."""

    def __init__(self) -> None:
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self.problems: tuple[str, ...] = ()
        self._known: dict[Path, tuple[_Marks, Checkpoint | str]] = {}

    def refresh(self, places: Collection[Path]) -> bool:
        """Look at ``places``, in the order of their steps; return whether anything is different."""
        known = {}
        for place in places:
            if (marks := _marks(place)) is None:
                continue
            old = self._known.get(place)
            known[place] = old if old and old[0] == marks else (marks, _look(place, marks))
        if known == self._known:
            return False
        self._known = known
        found: dict[int, Checkpoint] = {}
        left_out: dict[str, list[str]] = {}
        for place, (_, checkpoint) in known.items():
            if isinstance(checkpoint, str):
                left_out.setdefault(checkpoint, []).append(place.name)
            else:
                found.setdefault(checkpoint.step, checkpoint)
        self.checkpoints = tuple(found.values())
        self.problems = tuple(f"{_list(names)} left out: {why}." for why, names in left_out.items())
        return True


def _list(names: list[str]) -> str:
    """Return some names and how many more there are, with the verb: "a and b are"."""
    parts = names if len(names) <= NAMED else [*names[:NAMED], f"{len(names) - NAMED} more"]
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{text} {'is' if len(names) == 1 else 'are'}"


def _marks(place: Path) -> _Marks | None:
    """Return what changes whenever a file that matters is written; None: no readable folder."""
    try:
        with os.scandir(place) as entries:
            files = [entry for entry in entries if entry.name.endswith(_WEIGHTS)]
            stats = [(entry.name, entry.stat()) for entry in files]
    except OSError:
        return None
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))


def _look(place: Path, marks: _Marks) -> Checkpoint | str:
    """Return the checkpoint in a folder, or why it is none."""
    names = {name for name, _, _ in marks}
    adapter = "adapter_config.json" in names
    if not adapter and "config.json" not in names:
        if any(name.endswith((".pt", ".pth")) for name in names):
            return "pickled weights (.pt) are never opened, so save them as safetensors"
        return NO_WEIGHTS
    try:
        files, pickles = weight_files(place, "adapter_model" if adapter else "model")
        for file in files:
            read_header(file)
        size = sum(file.stat().st_size for file in files or pickles)
    except (UserFacingError, OSError):
        return "the weights there are not whole, or not yet"
    if not size:
        return NO_WEIGHTS
    return Checkpoint(_step(place.name), str(place), whole=not adapter, bytes=size)
