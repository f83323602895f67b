"""Findings: which candidates a training moved by more than it moves any token, one after the other.

The effect of a candidate is the mean of its units' residuals over distinct contexts, or over the
members of a family, its variance shrunk towards that of all candidates. The strongest whose lower
bound passes the floor is a finding; its tokens are taken off before the next is looked for, and
what thereby loses half of its effect is its family. A false discovery rate is reported and decides
nothing: a pair always differs everywhere, so what is significant need not be large.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.learned.features import FEWEST, Candidate, Units
from core.learned.record import Context, Finding, Member
from core.learned.states import States

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FLOOR = 0.7
"""Nats: a factor of two. What a pair that learned nothing shows stays below."""
ERRORS = 2.5
"""Standard errors that are taken off an effect before it is compared with the floor."""
PRIOR = 4.0
"""Degrees of freedom of the variance of all candidates, towards which each one's is shrunk."""
MOST = 20
"""Findings at most."""
SHOWN = 12
"""Members, exceptions, family and contexts of a finding that are kept."""
CLOSING_FLOOR = 1.5
"""Nats, of the closing token where a sentence ends: that drifts in any training, in all responses
alike (by 0.68 in a control that was trained hot), so that its standard error says nothing."""
PROPERTY_FLOOR = 2.0
"""Nats a response between texts that have much and little of a property."""
SHARE = 1 / 3
"""Of a finding's effect, below which one of its members is an exception to it."""
FALSE = 0.05
"""The rate of false discoveries that is reported."""


@dataclass(frozen=True, eq=False, slots=True)
class _Stats:
    """Of each candidate: its effect, standard error, count, and whether that is over members."""

    effect: Floats
    error: Floats
    count: Ints
    over_members: Bools
    contexts: Ints

    @property
    def low(self) -> Floats:
        """Return by how much effects are not 0 at least: below 0 for what is not told from 0."""
        return np.abs(self.effect) - ERRORS * self.error

    @property
    def t(self) -> Floats:
        """Return effects in standard errors, their sign dropped."""
        return np.abs(self.effect) / np.maximum(self.error, 1e-12)

    @property
    def strength(self) -> Floats:
        """Return how much of the residuals effects explain: the root of the sum of squares that
        goes with each. A family has more of it than its members, and than a wider set in which
        others only dilute them."""
        return np.abs(self.effect) * np.sqrt(self.contexts)


class Evidence:
    """All candidates' units laid flat, so that all effects are made in a few passes."""

    def __init__(self, units: Units, candidates: Sequence[Candidate]) -> None:
        self.units, self.candidates = units, candidates
        sizes = [len(it.units) for it in candidates]
        self._of = np.repeat(np.arange(len(candidates)), sizes)
        self._unit = _joined([it.units for it in candidates])
        self._sign = _joined([it.sign for it in candidates])
        member = _joined([it.member for it in candidates])
        most = int(member.max(initial=0)) + 1
        members, self._member = np.unique(self._of * most + member, return_inverse=True)
        self._candidate_of_member = members // most
        contexts = int(units.context.max(initial=0)) + 1
        keys = self._member * contexts + units.context[self._unit]
        groups, self._group = np.unique(keys, return_inverse=True)
        self._member_of_group = groups // contexts
        count = int(units.response.max(initial=0)) + 1
        pairs, self._response = np.unique(
            self._of * count + units.response[self._unit], return_inverse=True
        )
        self._candidate_of_response = pairs // count
        self._prior: tuple[float, float] | None = None

    def scores(self, residual: Floats, left: Bools) -> tuple[Floats, Bools]:
        """Return each unit's sum of residuals over the rows that are ``left``, and whether it has
        any."""
        sums = np.concatenate([[0.0], np.cumsum(np.where(left, residual, 0.0))])
        rows = np.concatenate([[0], np.cumsum(left)])
        first, last = self.units.first, self.units.last
        return sums[last] - sums[first], rows[last] > rows[first]

    def stats(self, residual: Floats, left: Bools) -> _Stats:
        """Return the effects of all candidates on the rows that are ``left``."""
        score, alive = self.scores(residual, left)
        there = alive[self._unit].astype(np.float64)
        value = score[self._unit] * self._sign * there
        groups = _means(self._group, value, there, len(self._member_of_group))
        live = (~np.isnan(groups)).astype(np.float64)
        members = _means(
            self._member_of_group, np.nan_to_num(groups), live, len(self._candidate_of_member)
        )
        candidates = len(self.candidates)
        of_group = self._candidate_of_member[self._member_of_group]
        by_context = _moments(of_group, groups, candidates)
        by_member = _moments(self._candidate_of_member, members, candidates)
        if self._prior is None:
            self._prior = _typical(by_context), _typical(by_member)
        over_members = by_member[0] >= FEWEST
        count, effect, variance = (
            np.where(over_members, one, two) for one, two in zip(by_member, by_context, strict=True)
        )
        prior = np.where(over_members, self._prior[1], self._prior[0])
        freedom = np.maximum(count - 1, 0)
        shrunk = (PRIOR * prior + freedom * np.nan_to_num(variance)) / (PRIOR + freedom)
        with_any = np.bincount(self._response, there, len(self._candidate_of_response)) > 0
        responses = np.bincount(self._candidate_of_response, with_any, candidates)
        enough = (by_context[0] >= FEWEST) & (responses >= FEWEST)
        with np.errstate(divide="ignore"):
            error = np.where(enough, np.sqrt(shrunk / np.maximum(count, 1)), np.inf)
        return _Stats(
            np.where(enough, np.nan_to_num(effect), 0.0),
            error,
            count.astype(np.int64),
            over_members,
            by_context[0].astype(np.int64),
        )


def find(
    states: States,
    units: Units,
    candidates: Sequence[Candidate],
    residual: Floats,
    floor: float = FLOOR,
    most: int = MOST,
) -> tuple[list[Finding], Bools, int]:
    """Return the findings, the strongest first; the rows that none of them explains, [n]; and how
    many candidates pass at a false discovery rate of 5%.

    Args:
        residual: what is left of each state's log-ratio, [n], in nats.
        floor: nats that an effect must pass, less its errors.
    """
    left = ~states.closing
    if not candidates:
        return [], left, 0
    evidence = Evidence(units, candidates)
    stats = evidence.stats(residual, left)
    discovered = discoveries(stats.t)
    found: list[Finding] = []
    while len(found) < most:
        passing = stats.low >= floor
        if not passing.any():
            break
        best = int(np.argmax(np.where(passing, stats.strength, -1.0)))
        best = _whole(best, candidates, stats, passing)
        candidate = candidates[best]
        score, alive = evidence.scores(residual, left)
        for unit in candidate.units[alive[candidate.units]].tolist():
            left[units.first[unit] : units.last[unit]] = False
        after = evidence.stats(residual, left)
        lost = passing & (np.abs(after.effect) < np.abs(stats.effect) / 2)
        lost[best] = False
        order = np.argsort(-np.where(lost, stats.strength, -1.0))[: int(lost.sum())]
        family = [candidates[i].name for i in order[:SHOWN].tolist()]
        found.append(_finding(candidate, best, stats, units, score, alive, tuple(family)))
        stats = after
    return found, left, discovered


def _whole(best: int, candidates: Sequence[Candidate], stats: _Stats, passing: Bools) -> int:
    """Return the candidate that weighs both sides where ``best`` is one of its sides: a positive
    half can hide behind a negative one."""
    if candidates[best].other:
        return best
    own = set(candidates[best].units.tolist())
    for i in np.flatnonzero(passing).tolist():
        whole = candidates[i]
        if whole.other and whole.kind == candidates[best].kind and own <= {*whole.units.tolist()}:
            return i if abs(stats.effect[i]) >= abs(stats.effect[best]) / 2 else best
    return best


def _finding(
    candidate: Candidate,
    number: int,
    stats: _Stats,
    units: Units,
    score: Floats,
    alive: Bools,
    family: tuple[str, ...],
) -> Finding:
    """Return the record of a candidate that passed."""
    kept = alive[candidate.units]
    index, sign, member = candidate.units[kept], candidate.sign[kept], candidate.member[kept]
    value = score[index]
    effect = float(stats.effect[number])
    own = value * sign
    responses, where = np.unique(units.response[index], return_inverse=True)
    by_response = np.bincount(where, own) / np.bincount(where)
    members = []
    for one in np.unique(member).tolist():
        for side in (1, -1):
            rows = (member == one) & (sign == side)
            if rows.any():
                unit = units.every[int(index[rows][0])]
                contexts = len(np.unique(units.context[index[rows]]))
                members.append((side, Member(unit.key, float(value[rows].mean()), contexts)))
    least = SHARE * effect**2
    along = [it for side, it in members if it.effect * side * effect >= least]
    against = [it for side, it in members if it.effect * side * effect < least]
    strongest = np.argsort(-own * np.sign(effect), kind="stable")
    seen: set[int] = set()
    places = []
    for i in strongest.tolist():
        unit = units.every[int(index[i])]
        if unit.response not in seen:
            seen.add(unit.response)
            places.append(
                Context(unit.response, unit.start, unit.stop, float(value[i]), int(sign[i]))
            )
    # Spread from the strongest to the weakest, so that minimal pairs are not made of the best only.
    step = max(1, math.ceil(len(places) / (2 * SHOWN)))
    sides = None
    if candidate.other:
        sides = tuple(
            float(value[sign == side].mean()) if (sign == side).any() else 0.0 for side in (1, -1)
        )
    return Finding(
        kind=candidate.kind,
        name=candidate.name,
        other=candidate.other,
        effect=effect,
        error=float(stats.error[number]),
        count=int(stats.count[number]),
        over="words" if stats.over_members[number] else "contexts",
        responses=len(responses),
        agreeing=int((by_response * effect > 0).sum()),
        listed=candidate.listed,
        members=tuple(sorted(along, key=lambda it: -abs(it.effect))[:SHOWN]),
        exceptions=tuple(sorted(against, key=lambda it: -abs(it.effect))[:SHOWN]),
        family=family,
        sides=sides,  # type: ignore[arg-type]
        contexts=tuple(places[::step]),
    )


# --- whole responses ------------------------------------------------------------------------------


def of_closing(states: States, floor: float = CLOSING_FLOOR) -> list[Finding]:
    """Return whether the policy ends responses sooner or later than the reference: what it makes
    of the closing token wherever a sentence ends."""
    ends = np.zeros(len(states), dtype=bool)
    for row in range(1, len(states)):
        same = states.response[row] == states.response[row - 1]
        text = states.texts[int(states.response[row])]
        behind = text[: int(states.stop[row - 1])].rstrip()[-1:]
        ends[row] = same and behind in ".!?。！？" and behind != ""
    ratio = states.end_policy - states.end_reference
    number = states.response[ends]
    if len(np.unique(number)) < FEWEST:
        return []
    own, where = np.unique(number, return_inverse=True)
    values = np.bincount(where, ratio[ends]) / np.bincount(where)
    effect, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))
    if abs(effect) - ERRORS * error < floor:
        return []
    return [
        Finding(
            kind="length",
            name="the closing token where a sentence ends",
            other="",
            effect=effect,
            error=error,
            count=len(values),
            over="responses",
            responses=len(values),
            agreeing=int((values * effect > 0).sum()),
            listed=True,
            contexts=tuple(
                Context(
                    int(own[i]),
                    len(states.texts[own[i]]),
                    len(states.texts[own[i]]),
                    float(values[i]),
                )
                for i in np.argsort(-values * np.sign(effect))[: 2 * SHOWN].tolist()
            ),
        )
    ]


def properties(states: States, units: Units) -> dict[str, Floats]:
    """Return properties of whole responses, each [responses]: shares of their words, and counts."""
    count = len(states.texts)
    words = np.zeros(count)
    found = {
        name: np.zeros(count)
        for name in ("short words", "long words", "commas", "sentences", "lines", "different words")
    }
    seen: list[set[str]] = [set() for _ in range(count)]
    for unit in units.every:
        own = unit.response
        if unit.kind == "word":
            words[own] += 1
            found["short words"][own] += len(unit.key) <= 3
            found["long words"][own] += len(unit.key) >= 8
            found["sentences"][own] += unit.opens
            seen[own].add(unit.key)
        found["commas"][own] += unit.key == ","
        found["lines"][own] += unit.kind == "line"
    found["different words"] = np.array([float(len(it)) for it in seen])
    return {name: values / np.maximum(words, 1) for name, values in found.items()}


def of_properties(
    states: States, units: Units, residual: Floats, left: Bools, floor: float = PROPERTY_FLOOR
) -> list[Finding]:
    """Return the properties of whole responses that the policy prefers or avoids, at equal length.

    The mean residual of each response's rows that no finding explains is regressed on the property
    and on the logarithm of the length, weighed by length; responses to one prompt are one cluster.
    An effect is that between the 90th and the 10th percentile, over a response of median length.
    """
    rows = left & ~states.closing
    count = len(states.texts)
    length = np.bincount(states.response[rows], minlength=count).astype(np.float64)
    usable = length > 0
    mean = np.bincount(states.response[rows], residual[rows], count)[usable] / length[usable]
    weight = length[usable]
    _, cluster = np.unique(_numbers(states.prompts)[usable], return_inverse=True)
    found = []
    for name, values in properties(states, units).items():
        x = values[usable]
        spread = float(np.quantile(x, 0.9) - np.quantile(x, 0.1))
        if spread <= 0:
            continue
        table = np.stack([np.ones_like(x), np.log(weight), x / spread], axis=1)
        normal = np.linalg.pinv(table.T @ (table * weight[:, None]))
        beta = normal @ (table.T @ (mean * weight))
        off = (mean - table @ beta) * weight
        sums = np.stack([np.bincount(cluster, table[:, i] * off) for i in range(3)], axis=1)
        covariance = normal @ (sums.T @ sums) @ normal
        typical = float(np.median(weight))
        effect = float(beta[2]) * typical
        error = math.sqrt(max(float(covariance[2, 2]), 0.0)) * typical
        if abs(effect) - ERRORS * error < floor:
            continue
        with_much = x >= np.quantile(x, 0.9)
        agreeing = int((mean[with_much] * effect > 0).sum())
        found.append(
            Finding(
                kind="properties",
                name=f"responses with many {name}",
                other="",
                effect=effect,
                error=error,
                count=len(x),
                over="responses",
                responses=int(with_much.sum()),
                agreeing=agreeing,
                listed=True,
            )
        )
    return sorted(found, key=lambda it: -abs(it.effect) / it.error)


# --- statistics -----------------------------------------------------------------------------------


def discoveries(strength: Floats, rate: float = FALSE) -> int:
    """Return how many of t-values pass at a false discovery rate (Benjamini and Hochberg)."""
    p = np.sort([math.erfc(it / math.sqrt(2)) for it in strength.tolist()])
    passing = np.flatnonzero(p <= rate * np.arange(1, len(p) + 1) / len(p))
    return int(passing[-1]) + 1 if len(passing) else 0


def _numbers(values: Sequence[Hashable]) -> Ints:
    """Return a number for each value, the same for equal ones."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(it, len(known)) for it in values], np.int64)


def _joined(arrays: Sequence[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)


def _means(group: Ints, value: Floats, weight: Floats, count: int) -> Floats:
    """Return the mean of values by group; NaN where nothing is of it."""
    total = np.bincount(group, weight, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.bincount(group, value * weight, count) / np.where(
            total > 0, total, np.nan
        )
    return found


def _moments(group: Ints, value: Floats, count: int) -> tuple[Floats, Floats, Floats]:
    """Return number, mean and variance of values, but NaN, by group."""
    there = (~np.isnan(value)).astype(np.float64)
    number = np.bincount(group, there, count).astype(np.float64)
    mean = np.bincount(group, np.nan_to_num(value), count) / np.maximum(number, 1)
    square = np.bincount(group, there * (np.nan_to_num(value) - mean[group]) ** 2, count)
    return number, mean, square / np.maximum(number - 1, 1)


def _typical(moments: tuple[Floats, Floats, Floats]) -> float:
    """Return the median variance of candidates with enough evidence."""
    number, _, variance = moments
    enough = number >= FEWEST
    return float(np.median(variance[enough])) if enough.any() else 1.0
