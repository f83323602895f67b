"""Ways that take turns, timed: medians, the fastest of each, and the process's own time.

Other work on the machine only ever slows, so the fastest says more than the median of a machine
that is shared; a process's own time (all its threads together) says what a way costs where even the
fastest had to wait, best with one thread (OMP_NUM_THREADS=1), since threads that wait for each
other count too.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")
Values = dict[str, float]


class Timing:
    """Seconds that each way took, by its name, run by run."""

    def __init__(self) -> None:
        self._wall: dict[str, list[float]] = {}
        self._own: dict[str, list[float]] = {}

    def time(self, name: str, work: Callable[[], Found]) -> Found:
        """Run one way once; what it returns."""
        began, own = time.perf_counter(), time.process_time()
        found = work()
        self.add(name, time.perf_counter() - began, time.process_time() - own)
        return found

    def add(self, name: str, wall: float, own: float) -> None:
        """One run that was timed elsewhere."""
        self._wall.setdefault(name, []).append(wall)
        self._own.setdefault(name, []).append(own)

    def clear(self) -> None:
        """Forget all runs: those so far have warmed up."""
        self._wall.clear()
        self._own.clear()

    def medians(self) -> Values:
        return {name: statistics.median(runs) for name, runs in self._wall.items()}

    def fastest(self) -> Values:
        return {name: min(runs) for name, runs in self._wall.items()}

    def own(self) -> Values:
        """Medians of the process's own seconds."""
        return {name: statistics.median(runs) for name, runs in self._own.items()}

    def report(self, compare: Callable[[Values], Any], name: str = "ratio") -> dict[str, Any]:
        """Seconds and what ``compare`` makes of them: medians, the fastest, the process's own."""
        return {
            "seconds": self.medians(),
            name: compare(self.medians()),
            "fastest": {"seconds": self.fastest(), name: compare(self.fastest())},
            "process's own": {"seconds": self.own(), name: compare(self.own())},
        }
