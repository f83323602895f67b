"""What one pair has learned and another has not: two reports beside each other.

Findings are the same by what they are called, else where most of their members are. That a finding
is of one alone does not say that the other has nothing of it: so both effects are told, and whether
the interval of their difference leaves 0 out. Effects are compared as they were before anything was
taken off. Pure; knows records alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core.learned.record import Finding, Learned, Member

Where = Literal["only here", "both", "only there"]
ORDER: tuple[Where, ...] = ("only here", "both", "only there")
SHARED = 0.5
"""The share of the members of two families that both have, from which on they are the same."""
FEWEST = 2
"""Members that two families must share at least to be the same."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An effect and its standard error, in nats; above 0 as the row's finding says it."""

    effect: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95% interval."""
        return self.effect - 1.96 * self.error, self.effect + 1.96 * self.error


@dataclass(frozen=True, slots=True)
class Row:
    """A finding of one report, or of both; the effects None where it was not weighed."""

    finding: Finding
    """Here, if it was found here."""
    where: Where
    here: Measured | None
    there: Measured | None

    @property
    def apart(self) -> bool | None:
        """Return whether the effects differ by more than chance: the 95% interval of their
        difference leaves 0 out. None where one of them is not known."""
        if self.here is None or self.there is None:
            return None
        error = 1.96 * math.hypot(self.here.error, self.there.error)
        return abs(self.here.effect - self.there.effect) > error

    @property
    def figures(self) -> str:
        """Return both effects and what can be said of their difference."""
        if self.apart is None:
            judged = "not weighed there" if self.there is None else "not weighed here"
        elif self.where == "both" and self.here.effect * self.there.effect < 0:  # type: ignore[union-attr]
            judged = "opposite ways"
        else:
            judged = "apart" if self.apart else "not to be told apart"
        return f"here {_said(self.here)}, there {_said(self.there)}: {judged}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reports beside each other."""

    here: str
    there: str
    """The policies."""
    rows: tuple[Row, ...]
    """Those of this report alone first, then those of both, then those of the other alone; the
    strongest first in each."""
    notes: tuple[str, ...] = ()
    """What stands in the way of comparing them."""


def compared(here: Learned, there: Learned) -> Comparison:
    """Return which findings two reports share, and which are of one of them alone."""
    others = dict(enumerate(there.findings))
    rows = []
    for finding in here.findings:
        place = _same(finding, others)
        other = others.pop(place) if place is not None else None
        rows.append(_row(finding, other, here, there))
    for finding in others.values():
        row = _row(finding, None, there, here)
        rows.append(replace(row, where="only there", here=row.there, there=row.here))
    rows.sort(key=lambda it: ORDER.index(it.where))
    notes = []
    if here.texts != there.texts:
        notes.append(
            f"They are over other responses ({here.method.corpus}; {there.method.corpus}): what is "
            "missing in one may be missing in its texts."
        )
    if here.method.base != there.method.base:
        notes.append(
            "Of one of them the base is not known, so what SFT had pushed may look like a "
            "preference there alone."
        )
    return Comparison(here.policy, there.policy, tuple(rows), tuple(notes))


def _row(finding: Finding, other: Finding | None, own: Learned, theirs: Learned) -> Row:
    """Return the row of a finding, and of the same one in the other report, if it is there."""
    turned = other is not None and _sign(finding, other) < 0
    mine, known = _weighed(finding.key, own), _weighed((other or finding).key, theirs)
    if mine is None or known is None:
        mine = Measured(finding.effect, finding.error)
        known = Measured(other.effect, other.error) if other is not None else known
    if turned and known is not None:
        known = Measured(-known.effect, known.error)
    return Row(finding, "both" if other is not None else "only here", mine, known)


def _weighed(key: tuple[str, str, str], found: Learned) -> Measured | None:
    """Return what a candidate came to in a report, before anything was taken off."""
    for it in found.weighed:
        if (it.kind, it.name, it.other) == key:
            return Measured(it.effect, it.error)
    return None


def _same(finding: Finding, others: dict[int, Finding]) -> int | None:
    """Return the place of the same finding among others; None where it is not there."""
    for place, other in others.items():
        if other.key == finding.key:
            return place
    shares = {place: _share(finding, other) for place, other in others.items()}
    best = max(shares, key=lambda it: shares[it], default=None)
    return best if best is not None and shares[best] >= SHARED else None


def _share(one: Finding, two: Finding) -> float:
    """Return which share of the members of two findings both have; 0 where that is too few."""
    a, b = ({it.name for it in _members(each)} for each in (one, two))
    both = len(a & b)
    return both / len(a | b) if both >= FEWEST else 0.0


def _sign(one: Finding, two: Finding) -> int:
    """Return −1 where two findings call the same thing by opposite sides, else 1."""
    if one.key == two.key:
        return 1
    effects = {it.name: it.effect for it in _members(two)}
    agree = sum(
        math.copysign(1, it.effect * effects[it.name] * one.effect * two.effect)
        for it in _members(one)
        if it.name in effects
    )
    return 1 if agree >= 0 else -1


def _members(finding: Finding) -> Sequence[Member]:
    return (*finding.members, *finding.exceptions)


def _said(measured: Measured | None) -> str:
    if measured is None:
        return "–"
    return f"{measured.effect:+.2f} ± {1.96 * measured.error:.2f}"
