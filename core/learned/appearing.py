"""When a finding appeared: what its effect is at other checkpoints of the same run.

The candidates are made of texts alone, so they are the same at each checkpoint; findings are taken
off in the order in which they were found. At the checkpoint that they were found at, their effects
are those that are told. Knows states and findings; knows no models.
"""

from collections.abc import Sequence

from core.learned.features import candidates, units_of
from core.learned.findings import Evidence, of_closing, of_properties
from core.learned.record import Finding
from core.learned.residuals import columns, fit
from core.learned.states import States

ANY = -float("inf")
"""A floor that everything passes."""
Effects = tuple[tuple[float | None, ...], tuple[float | None, ...]]
"""Of each finding: its effect and its standard error, in nats; None where it cannot be weighed."""


class Watched:
    """Findings with the candidates that they are of, to be weighed again on other states."""

    def __init__(self, findings: Sequence[Finding], states: States) -> None:
        self._findings = tuple(findings)
        self._units = units_of(states)
        self._candidates = candidates(states, self._units)
        known = {(it.kind, it.name, it.other): i for i, it in enumerate(self._candidates)}
        self._place = [known.get(it.key) for it in self._findings]

    def at_start(self) -> Effects:
        """Return the effects at the start of a run, where the policy is the reference: none."""
        none = (0.0,) * len(self._findings)
        return none, none

    def effects(self, states: States) -> Effects:
        """Return the effects on the same texts' states under another checkpoint."""
        residual = fit(states.ratio, columns(states)).residual
        left = ~states.closing
        found: dict[int, tuple[float, float]] = {}
        if self._candidates:
            evidence = Evidence(self._units, self._candidates)
            order = [i for i, place in enumerate(self._place) if place is not None]
            for number in sorted(order, key=lambda i: self._findings[i].after):
                place = self._place[number]
                assert place is not None
                stats = evidence.stats(residual, left)
                found[number] = float(stats.effect[place]), float(stats.error[place])
                _, alive = evidence.scores(residual, left)
                own = self._candidates[place].units
                for unit in own[alive[own]].tolist():
                    left[self._units.first[unit] : self._units.last[unit]] = False
        whole = [*of_closing(states, ANY), *of_properties(states, self._units, residual, left, ANY)]
        by_key = {it.key: (it.effect, it.error) for it in whole}
        each = [found.get(i) or by_key.get(it.key) for i, it in enumerate(self._findings)]
        return (
            tuple(it[0] if it is not None else None for it in each),
            tuple(it[1] if it is not None else None for it in each),
        )
