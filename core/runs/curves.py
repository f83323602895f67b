"""What one log says: its curves and what of it could not be read.

Every reader of a format gives these; knows nothing of files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.runs.records import Series


@dataclass(frozen=True, eq=False, slots=True)
class Curves:
    """``kind``: the format, in words; ``run``: the run's name where a file holds several."""

    kind: str
    series: Mapping[str, Series]
    problems: tuple[str, ...] = ()
    run: str = ""

    def saying(self, problem: str) -> "Curves":
        """The same with one more sentence."""
        if problem in self.problems:
            return self
        return replace(self, problems=(*self.problems, problem))
