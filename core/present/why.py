"""Says in words with numbers why a token has its colour: what each model expected there, and since
when.

Knows one token's numbers and what stood to choose; knows nothing of widgets.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from core.noise import NOISELESS, NoiseFloor
from core.present.credit import IMPLICIT, Credit
from core.present.numerals import percent, signed
from core.scoring import Alternative, Inspection, Scoring

NAMED, LIKELY = 3, np.log(0.05)
"""Tokens of a model that are named at most, and the log-prob of those after the first at least."""
EVEN = 0.05
"""Nats of log π − log π_ref below which the two models are said to agree."""


def why(
    scoring: Scoring,
    index: int,
    beta: float | None,
    credit: Credit = IMPLICIT,
    noise: NoiseFloor = NOISELESS,
    inspection: Inspection | None = None,
    by_step: Sequence[tuple[int, Scoring]] = (),
) -> tuple[str, ...]:
    """Return sentences on why a token is red or blue; () without a reference.

    Args:
        beta: None where it is not known; numbers are then in nats.
        inspection: of the state before the token, if it is known.
        by_step: the same response at a run's steps, ascending, the last at most the one shown.
    """
    if scoring.logp_reference is None or scoring.rank_reference is None:
        return ()
    scale = 1.0 if beta is None else beta
    agree = abs(scoring.logp_policy[index] - scoring.logp_reference[index]) < EVEN
    value = float(credit.of(scoring, scale)[index])
    ratio = float(scoring.logp_policy[index] - scoring.logp_reference[index])
    floor = float(noise.of_rewards(credit.scale(scale, len(scoring))))
    return (
        _verdict(scoring.labels[index], value, ratio, credit.unit(beta), floor, noise.dtype),
        _expected(scoring, index, inspection),
        *_preferred(scoring, index, inspection),
        *(() if agree else _since(index, scale, credit, noise, by_step)),
    )


def _verdict(label: str, value: float, ratio: float, unit: str, floor: float, dtype: str) -> str:
    """Return what the sign is, and whether it is more than noise."""
    number = f"{signed(value)} {unit}"
    if abs(value) < floor:
        return (
            f"“{label}” adds {number}: below the noise floor of {dtype} (±{floor:.2g}), which "
            f"says nothing."
        )
    if abs(ratio) < EVEN:
        return f"“{label}” adds {number}, next to nothing: both models agree."
    times = float(np.exp(abs(ratio)))
    how = f"{times:.1f} times" if times < 1000 else f"more than {int(min(times, 1e9)):,} times"
    less = "more" if ratio > 0 else "less"
    sure = f", above the noise floor (±{floor:.2g})" if floor else ""
    colour = "positive" if value > 0 else "negative"
    return (
        f"“{label}” is {colour}: it adds {number}{sure}. The policy makes it {how} {less} likely "
        f"than the reference."
    )


def _expected(scoring: Scoring, index: int, inspection: Inspection | None) -> str:
    """Return what the reference expected in its place."""
    assert scoring.logp_reference is not None and scoring.rank_reference is not None
    rank, chance = int(scoring.rank_reference[index]), percent(scoring.logp_reference[index])
    if rank == 1:
        return f"The reference expected just this, with {chance}."
    said = f"The reference gave it {chance} (rank {rank:,})"
    if inspection is None or not inspection.by_reference:
        return f"{said}."
    names = _names(inspection.by_reference, "logp_reference")
    return f"{said} and expected {names}."


def _preferred(scoring: Scoring, index: int, inspection: Inspection | None) -> tuple[str, ...]:
    """Return what the policy prefers there."""
    rank, chance = int(scoring.rank_policy[index]), percent(scoring.logp_policy[index])
    if rank == 1:
        return (f"The policy prefers just this, with {chance}.",)
    said = f"The policy gives it {chance} (rank {rank:,})"
    if inspection is None or not inspection.by_policy:
        return (f"{said}.",)
    return (f"{said} and prefers {_names(inspection.by_policy, 'logp_policy')}.",)


def _names(choices: Sequence[Alternative], column: str) -> str:
    likely = [it for it in choices[:NAMED] if it is choices[0] or getattr(it, column) >= LIKELY]
    named = [f"“{it.label}” ({percent(getattr(it, column))})" for it in likely]
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + " or " + named[-1]


def _since(
    index: int,
    beta: float,
    credit: Credit,
    noise: NoiseFloor,
    by_step: Sequence[tuple[int, Scoring]],
) -> tuple[str, ...]:
    """Return since which step of a run the token has had its sign without a break, and since which
    at least half of what it has."""
    if len(by_step) < 2:
        return ()
    values: Mapping[int, float] = {
        step: float(credit.of(scoring, beta)[index]) for step, scoring in by_step
    }
    floor = float(noise.of_rewards(credit.scale(beta, len(by_step[-1][1]))))
    steps = [*values]
    sign = np.sign(values[steps[-1]])
    if sign == 0 or abs(values[steps[-1]]) < floor:
        return ()
    size = [sign * value for value in values.values()]
    since = _first(size, max(floor, np.finfo(float).tiny))
    half = _first(size, max(floor, size[-1] / 2))
    said = f"It has been {'positive' if sign > 0 else 'negative'} since step {steps[since]:,}"
    if since:
        now, before = signed(values[steps[since]]), steps[since - 1]
        said += f" ({now}; {signed(values[before])} at step {before:,})"
    else:
        said += ", the first"
    if half > since:
        said += f", at least half as much as now since step {steps[half]:,}"
    return (f"{said}, of the {len(steps)} checkpoints that are scored.",)


def _first(values: Sequence[float], least: float) -> int:
    """Return from where on all values are at least so large; the last is taken to be."""
    at = len(values) - 1
    while at and values[at - 1] >= least:
        at -= 1
    return at
