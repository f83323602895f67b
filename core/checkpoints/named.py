"""Pairs and bases that go by a name: whoever brings one registers it here at start.

Imports nothing heavy. Knows nothing of what is registered (core.demo.registration does it).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.checkpoints.plan import PairPlan
from core.errors import UserFacingError
from core.progress import Report, Stop

DEMO = "demo"
"""The name of the pair that ``PairSpec.demo`` asks for."""


@dataclass(frozen=True, slots=True)
class NamedBase:
    """A model that adapters name by its bare name, and that can be fetched."""

    name: str
    cached: Callable[[], Path | None]
    """Its folder if it is on this machine already, else None."""
    fetch: Callable[[Report, Stop], Path]
    """Its folder, fetched if it is not there."""


BASES: dict[str, NamedBase] = {}
"""By name."""
PAIRS: dict[str, Callable[[Report, Stop], PairPlan]] = {}
"""By name what says how the pair is loaded, fetched if need be."""


def usual_base() -> NamedBase:
    """Return the base that is trained where none was chosen: the one that was registered first.

    Raises:
        UserFacingError: there is none.
    """
    for base in BASES.values():
        return base
    raise UserFacingError("There is no base to train unless it is named: choose a model's folder.")


def named_plan(name: str, report: Report, stop: Stop) -> PairPlan:
    """Return how a registered pair is loaded.

    Raises:
        UserFacingError: none of that name is registered, or it cannot be fetched.
        Cancelled: soon after ``stop()`` turns true.
    """
    if name not in PAIRS:
        raise UserFacingError(
            f"No pair is registered under the name {name!r}: register it before it is opened, or "
            f"name the policy and its reference."
        )
    return PAIRS[name](report, stop)
