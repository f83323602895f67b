"""Counts what ``learned`` found of what was planted, and what it found besides.

A finding is judged twice more: on minimal pairs, and on the held-out corpus, of which no finding is
made. One that fails on either is false; one that is not planted and holds is by-catch, which the
training taught along with what was meant. Knows only records.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.learned.pairs import FEWEST
from core.learned.record import Finding, Learned
from tests.planted.data import Planted

FIRST = 5
"""Among so many findings a planted preference must be."""
HOLDS = 0.35
"""Nats that a finding must have on the held-out corpus, with the same sign: half of its floor."""
Fate = Literal["holds", "false", "untested"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding, which of the planted preferences it tells of, and what became of it."""

    finding: Finding
    planted: tuple[int, ...]
    held_out: float | None
    """Its effect on the held-out corpus, in nats; None where that has too little of it."""
    fate: Fate

    def said(self) -> str:
        """Return it in a few words, and why it is false where it is."""
        held = "–" if self.held_out is None else f"{self.held_out:+.2f}"
        pairs = self.finding.pairs
        agree = sum(it.change * self.finding.effect > 0 for it in pairs)
        return (
            f"{self.finding.claim} {self.finding.effect:+.2f} (held out {held}, minimal pairs "
            f"{agree}/{len(pairs)})"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one training."""

    planted: Planted
    places: tuple[int | None, ...]
    """The rank, from 1, of the first finding that tells of each planted preference."""
    findings: tuple[Judged, ...]
    divergence: float
    """What KL(π_ref ‖ π) is at least, a state of the corpus, in nats."""

    @property
    def found(self) -> bool:
        """Whether each of its preferences is among the first findings; of a control, that there
        are none."""
        if not self.planted.wanted:
            return not self.findings
        return all(place is not None and place <= FIRST for place in self.places)

    def of(self, fate: Fate) -> list[Judged]:
        """Return the findings of a fate."""
        return [it for it in self.findings if it.fate == fate]

    @property
    def bycatch(self) -> list[Judged]:
        """Return the findings that hold and were not planted."""
        return [it for it in self.of("holds") if not it.planted]

    def line(self) -> str:
        """Return the verdict as a row of the table in Markdown."""
        places = ", ".join("–" if it is None else str(it) for it in self.places) or "–"
        listed = {it.finding.listed for it in self.findings if it.planted and self.planted.wanted}
        where = {frozenset(): "–", frozenset((True,)): "list", frozenset((False,)): "data"}
        return " | ".join(
            (
                f"| {self.planted.name}",
                self.planted.says,
                places,
                where.get(frozenset(listed), "both"),
                str(len(self.findings)),
                str(len(self.bycatch)),
                str(len(self.of("false"))),
                str(len(self.of("untested"))),
                f"{self.divergence:.3f}",
                f"{'yes' if self.found else 'no'} |",
            )
        )


HEAD = (
    "| training | planted | rank | from | findings | by-catch | false | untested "
    "| KL a state ≥ | found |\n|---|---|---|---|---|---|---|---|---|---|"
)


def described(finding: Finding) -> str:
    """Return what a planted preference's patterns are matched with."""
    return f"{finding.claim}: {', '.join(it.name for it in finding.members)}"


def judged(planted: Planted, learned: Learned, held_out: Learned) -> Verdict:
    """Return what was found of a training; ``held_out`` is the same pair over other texts."""
    again = {(it.kind, it.name, it.other): it.effect for it in held_out.weighed}
    findings = tuple(_judged(planted, it, again.get(it.key)) for it in learned.findings)
    places = tuple(
        next((rank for rank, it in enumerate(findings, 1) if number in it.planted), None)
        for number in range(len(planted.wanted))
    )
    return Verdict(planted, places, findings, learned.method.divergence or 0.0)


def _judged(planted: Planted, finding: Finding, again: float | None) -> Judged:
    text = described(finding)
    tells = tuple(i for i, pattern in enumerate(planted.wanted) if re.search(pattern, text))
    tests = _by_pairs(finding), _held(finding, again)
    fate: Fate = "false" if False in tests else "holds" if True in tests else "untested"
    return Judged(finding, tells, again, fate)


def _by_pairs(finding: Finding) -> bool | None:
    """Return whether a finding's minimal pairs confirm it; None where they are too few."""
    return finding.status == "confirmed" if len(finding.pairs) >= FEWEST else None


def _held(finding: Finding, again: float | None) -> bool | None:
    """Return whether a finding holds on the held-out corpus; None where that has too little."""
    return None if again is None else again * finding.effect > 0 and abs(again) >= HOLDS


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the counts over all trainings, as lines."""
    pairs = [it for it in verdicts if it.planted.wanted]
    controls = [it for it in verdicts if not it.planted.wanted]
    first = [place is not None and place <= FIRST for it in pairs for place in it.places]
    fates = Counter(it.fate for verdict in pairs for it in verdict.findings)
    total = sum(fates.values())
    every = [it for verdict in pairs for it in verdict.findings]
    by_pairs = sum(_by_pairs(it.finding) is False for it in every)
    by_texts = sum(_held(it.finding, it.held_out) is False for it in every)
    held = sum(it.held_out is not None for it in every)
    lines = [
        f"Trainings all of whose planted preferences are among the first {FIRST} findings: "
        f"{sum(it.found for it in pairs)} of {len(pairs)}; preferences {sum(first)} of "
        f"{len(first)}.",
        f"Of {total} findings {fates['false']} are false"
        + (f" ({fates['false'] / total:.0%})" if total else "")
        + f": {by_pairs} fail on minimal pairs (and are marked so), {by_texts} of {held} on the "
        f"held-out corpus; {sum(len(it.bycatch) for it in pairs)} are by-catch, "
        f"{fates['untested']} could not be tested.",
        f"Findings of {len(controls)} controls: {sum(len(it.findings) for it in controls)}.",
    ]
    for verdict in verdicts:
        for name, some in ("by-catch", verdict.bycatch), ("false", verdict.of("false")):
            if some:
                said = "; ".join(it.said() for it in some)
                lines.append(f"- {verdict.planted.name}, {name}: {said}")
    return "\n".join(lines)
