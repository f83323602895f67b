"""What a reader of logs is, what it finds, and where it is registered.

A format is one module of core.runs.readers: it reads the logs of that format at one place and
registers its reader in ``FORMATS``. Knows no format, and nothing of what is made of the curves.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from core.runs.records import Series


@dataclass(frozen=True, eq=False, slots=True)
class Curves:
    """What one log says, and what of it could not be read."""

    kind: str
    """The format, in words."""
    series: Mapping[str, Series]
    """Curves by TRL's names."""
    problems: tuple[str, ...] = ()
    run: str = ""
    """The run's name, where the log says it."""
    unsure: bool = False
    """Whether the log says no steps, so that those of the curves need not be the run's."""

    def saying(self, problem: str) -> "Curves":
        """Return the same with one more sentence."""
        if problem in self.problems:
            return self
        return replace(self, problems=(*self.problems, problem))


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What the logs of one format say at one look."""

    curves: tuple[Curves, ...] = ()
    """Of each log, the one that leads first; they should be of one run."""
    several: tuple[Curves, ...] = ()
    """Of each run, where one log holds several."""
    broken: bool = False
    """True where there is a log, but none that is whole."""
    strangers: frozenset[Path] = frozenset()
    """Folders of checkpoints that are of another run than the curves."""


class Reader(Protocol):
    """Reads the logs of one format at one place, again and again."""

    def look(self, place: Path) -> Found:
        """Return what the logs say now; the very record of the last look if nothing is new.

        What cannot be read any more takes nothing away from what was read before.

        Args:
            place: a run's folder or a file, the same one at every look; it may not be there.

        Raises:
            Cancelled: core.runs.tail says that the look is to end; the next one goes on from there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format: what makes a reader for one place, and how far its word goes."""

    make: Callable[[], Reader]
    standing: int = 2
    """Where several have a curve the lower one leads: 0 what the trainer itself knows, 1 all steps
    but rounded, 2 whatever somebody logged."""


FORMATS: dict[str, Format] = {}
"""By name; each module of core.runs.readers puts its own here."""


def formats() -> list[Format]:
    """Return all formats, those that lead first."""
    package = importlib.import_module("core.runs.readers")
    for module in pkgutil.iter_modules(package.__path__, "core.runs.readers."):
        importlib.import_module(module.name)
    return [FORMATS[name] for name in sorted(FORMATS, key=lambda it: (FORMATS[it].standing, it))]
