"""How long work reports its progress, and hears that it is no longer wanted. Knows no work."""

from collections.abc import Callable

Report = Callable[[str, float | None], None]
"""Told what is being done and how far it is, 0..1 or None while that cannot be known."""
StepReport = Callable[[int, int], None]
"""Told the step that a training is at, and how many it has."""
Stop = Callable[[], bool]
"""True as soon as the work is no longer wanted: then it ends with Cancelled."""


def silent(what: str, fraction: float | None) -> None:
    """Report nothing."""


def never() -> bool:
    """Never stop."""
    return False
