"""How long work reports its progress, and hears that it is no longer wanted. Knows no work."""

import time
from collections.abc import Callable

Report = Callable[[str, float | None], None]
"""Told what is being done and how far it is, 0..1 or None while that cannot be known."""
StepReport = Callable[[int, int], None]
"""Told the step that a training is at, and how many it has."""
Stop = Callable[[], bool]
"""True as soon as the work is no longer wanted: then it ends with Cancelled."""
SOON, BETWEEN = 0.4, 0.1
"""Seconds of work before anything is told of it, and between two reports."""


def silent(what: str, fraction: float | None) -> None:
    """Report nothing."""


def calm(report: Report) -> Report:
    """Return what passes on few reports: none of short work, and of longer work some a second."""
    due = time.perf_counter() + SOON

    def passed_on(what: str, fraction: float | None) -> None:
        nonlocal due
        if (now := time.perf_counter()) >= due:
            due = now + BETWEEN
            report(what, fraction)

    return passed_on


def part(report: Report, done: int, of: int) -> Report:
    """Return what reports one of several like pieces of work, of which some are done, as a part of
    all."""

    def passed_on(what: str, fraction: float | None) -> None:
        report(what, None if fraction is None else (done + fraction) / of)

    return passed_on


def nothing() -> None:
    """Do nothing: nobody wants to know."""


def never() -> bool:
    """Never stop."""
    return False
