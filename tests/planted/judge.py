"""Counts what ``learned`` found of what was planted."""

import re
from dataclasses import dataclass

from core.learned.record import Finding, Learned
from tests.planted.data import Planted

FIRST = 5
"""Among so many findings a planted preference must be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one training."""

    planted: Planted
    places: tuple[int | None, ...]
    """The rank, from 1, of the first finding that tells of each planted preference."""
    findings: int
    unconfirmed: int
    kl: float

    @property
    def found(self) -> bool:
        """Whether each of its preferences is among the first findings; of a control, that there
        are none."""
        if not self.planted.wanted:
            return not self.findings
        return all(place is not None and place <= FIRST for place in self.places)

    def line(self) -> str:
        """Return the verdict as a row of the table in Markdown."""
        places = ", ".join("–" if it is None else str(it) for it in self.places) or "–"
        return (
            f"| {self.planted.name} | {self.planted.says} | {places} | {self.findings} | "
            f"{self.unconfirmed} | {self.kl:+.3f} | {'yes' if self.found else 'no'} |"
        )


HEAD = (
    "| training | planted | rank | findings | not confirmed | mean log π_ref − log π | found |\n"
    "|---|---|---|---|---|---|---|"
)


def described(finding: Finding) -> str:
    """Return what a planted preference's patterns are matched with."""
    return f"{finding.claim}: {', '.join(it.name for it in finding.members)}"


def judged(planted: Planted, learned: Learned) -> Verdict:
    """Return what was found of a training."""
    said = [described(it) for it in learned.findings]
    places = tuple(
        next((i for i, text in enumerate(said, 1) if re.search(pattern, text)), None)
        for pattern in planted.wanted
    )
    return Verdict(
        planted,
        places,
        len(learned.findings),
        sum(it.status != "confirmed" for it in learned.findings),
        learned.method.kl,
    )
