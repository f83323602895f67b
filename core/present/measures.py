"""What the credit view shows as colours and sums, from scorings and beta alone.

Arrays of one row per scored token, the closing token last. All sums, never means. Knows the
paper's quantities; knows nothing of widgets, colours or the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core import quantities
from core.engine.protocol import Side
from core.noise import NOISELESS, NoiseFloor
from core.present.spans import shared_units
from core.scoring import Scoring
from core.text import Alignment, Tokens, Unit, shared_prefix, units

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Key = Literal["reward", "excess", "logp_policy", "logp_reference", "kl", "gain", "delta"]


@dataclass(frozen=True)
class Mode:
    """One way to colour tokens."""

    key: Key
    title: str
    quantity: str
    unit: str
    meaning: str
    kind: Literal["diverging", "sequential"] = "diverging"
    negative: bool = False


MODES: tuple[Mode, ...] = (
    Mode(
        "reward",
        "Implicit reward",
        "implicit reward r",
        "β·nats",
        "r = β (log π − log π_ref): what DPO taught the policy to like (+) or avoid (−) here",
    ),
    Mode(
        "excess",
        "Reward less its expectation",
        "r − β·KL(π‖π_ref)",
        "β·nats",
        "The implicit reward less what the policy expects at that state, β·KL(π‖π_ref)",
    ),
    Mode(
        "logp_policy",
        "log π (policy)",
        "log π",
        "nats",
        "Log-probability under the policy; times β it is the advantage Q* − V*",
        "sequential",
        True,
    ),
    Mode(
        "logp_reference",
        "log π_ref (reference)",
        "log π_ref",
        "nats",
        "Log-probability under the reference: how surprising the token is without DPO",
        "sequential",
        True,
    ),
    Mode(
        "kl",
        "KL(π‖π_ref)",
        "KL(π‖π_ref)",
        "nats",
        "How far policy and reference differ at the state before the token, whole vocabulary",
        "sequential",
    ),
    Mode(
        "gain",
        "Prefix value gain",
        "Σr up to here",
        "β·nats",
        "Running sum of rewards: V*(s) − V*(s₀) plus the true rewards so far",
    ),
    Mode(
        "delta",
        "Δ (B − A) on equal tokens",
        "r(B) − r(A)",
        "β·nats",
        "How the reward of tokens that A and B share changed: what an edit did elsewhere. "
        "Edited tokens have no colour",
    ),
)
BY_KEY = {mode.key: mode for mode in MODES}
NOISES: dict[Key, float] = {"reward": 1.0, "excess": 1.0, "gain": 1.0, "delta": float(np.sqrt(2))}
"""The modes that show rewards, and how many times the noise of rewards theirs is: that of a
difference of two is larger, as their errors are independent."""


def rewards(scoring: Scoring, beta: float) -> Floats:
    """Implicit rewards, [n] (Eq. 11)."""
    return quantities.reward(scoring.logp_policy, scoring.logp_reference, beta)


def values(key: Key, scoring: Scoring, beta: float) -> Floats:
    """The numbers of every mode that needs one response only, [n]."""
    r = rewards(scoring, beta)
    match key:
        case "excess":
            return quantities.excess_reward(r, scoring.kl, beta)
        case "logp_policy":
            return scoring.logp_policy
        case "logp_reference":
            return scoring.logp_reference
        case "kl":
            return scoring.kl
        case "gain":
            return quantities.value_gain(r)
        case _:
            return r


def deltas(a: Scoring, b: Scoring, pairs: Alignment, beta: float) -> tuple[Floats, Floats]:
    """r(B) − r(A) on equal tokens and on the closing tokens, [n of A] and [n of B]; else NaN."""
    ra, rb = rewards(a, beta), rewards(b, beta)
    on_a, on_b = np.full(len(ra), np.nan), np.full(len(rb), np.nan)
    matched = [*pairs.pairs, (len(ra) - 1, len(rb) - 1)]
    for i, j in matched:
        on_a[i] = on_b[j] = rb[j] - ra[i]
    return on_a, on_b


def groups(tokens: Tokens, unit: Unit) -> Ints:
    """The group that each row belongs to, [n]; the closing token is a group of its own.

    Parts of one character are always together.
    """
    if unit == "token":
        found = shared_units(tokens.starts, tokens.ends)
    else:
        found = np.asarray(units(tokens, unit), dtype=np.int64)
    return np.append(found, found.max(initial=-1) + 1)


def roll_up(values: Floats, group: Ints, cumulative: bool = False) -> Floats:
    """Each row's value replaced by its group's sum, [n]; unknown values (NaN) count for nothing.

    ``cumulative`` values are sums already: the group has that of its last row.
    """
    size = int(group.max(initial=-1)) + 1
    total = np.zeros(size)
    if cumulative:
        total[group] = values  # of equal indices the last one stays
        return total[group]
    known = ~np.isnan(values)
    np.add.at(total, group[known], values[known])
    seen = np.zeros(size, dtype=bool)
    seen[group[known]] = True
    total[~seen] = np.nan
    return total[group]


def shown(
    key: Key,
    unit: Unit,
    beta: float,
    known: Mapping[Side, Scoring],
    pairs: Alignment | None,
    noise: NoiseFloor = NOISELESS,
) -> dict[Side, Floats]:
    """What the tokens of each side are coloured by, [n] each: summed over units, NaN if unknown,
    and 0 where noise hides it."""
    raw: dict[Side, Floats] = {}
    if key != "delta":
        raw = {side: values(key, scoring, beta) for side, scoring in known.items()}
    elif len(known) == 2 and pairs is not None:
        raw["A"], raw["B"] = deltas(known["A"], known["B"], pairs, beta)
    else:
        raw = {side: np.full(len(scoring), np.nan) for side, scoring in known.items()}
    found: dict[Side, Floats] = {}
    for side, scoring in known.items():
        group = groups(scoring.tokens, unit)
        found[side] = roll_up(raw[side], group, key == "gain")
        if key in NOISES:
            one = np.arange(1.0, len(group) + 1) if key == "gain" else np.isfinite(raw[side]) * 1.0
            count = roll_up(one, group, key == "gain")
            hidden = noise.hides(found[side], NOISES[key] * beta, count)
            found[side] = np.where(hidden, 0.0, found[side])
    return found


@dataclass(frozen=True)
class Split:
    """Why the response scores differ: total = edited + downstream."""

    total: float
    edited: float
    downstream: float
    tokens_a: int
    tokens_b: int


def split(a: Scoring, b: Scoring, pairs: Alignment, beta: float) -> Split:
    """Σr(B) − Σr(A) as the part of the edited spans and the part of the tokens after them.

    Tokens before the first edit have the same rewards in both, so they add nothing.
    """
    ra, rb = rewards(a, beta), rewards(b, beta)
    edited_a = [i for span in pairs.edited_a for i in span]
    edited_b = [j for span in pairs.edited_b for j in span]
    total = quantities.response_score(rb) - quantities.response_score(ra)
    edited = float(rb[edited_b].sum() - ra[edited_a].sum())
    return Split(total, edited, total - edited, len(edited_a), len(edited_b))


@dataclass(frozen=True)
class Pair:
    """A as the chosen and B as the rejected response, in numbers."""

    sum_a: float
    sum_b: float
    margin: float
    preference: float
    loss: float


def pair_numbers(a: Scoring, b: Scoring, beta: float) -> Pair:
    """The DPO quantities of the pair (Eqs. 8, 9)."""
    sum_a, sum_b = (quantities.response_score(rewards(s, beta)) for s in (a, b))
    return Pair(
        sum_a,
        sum_b,
        sum_a - sum_b,
        quantities.preference(sum_a, sum_b),
        quantities.dpo_loss(sum_a, sum_b),
    )


def pair_noise(a: Scoring, b: Scoring, beta: float, noise: NoiseFloor) -> tuple[float, ...]:
    """The noise of both sums and of their margin; 0 if it does not matter.

    The tokens before the first difference are the same states: what they err by cancels.
    """
    same = shared_prefix(tuple(a.ids.tolist()), tuple(b.ids.tolist()))
    sum_a, sum_b = (float(noise.of_rewards(beta, len(s))) for s in (a, b))
    apart_a, apart_b = (noise.of_rewards(beta, len(s) - same) for s in (a, b))
    return sum_a, sum_b, float(np.hypot(apart_a, apart_b))


def noise_words(noise: NoiseFloor, floor: float) -> str:
    """Why a number is grey."""
    return f"below the noise floor of {noise.dtype} (±{floor:.2g})"


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign, a real minus, and no minus zero."""
    text = f"{value:+.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "\u2212")


def split_shown(parts: Split, digits: int = 3) -> tuple[str, str, str]:
    """The three numbers as text, rounded so that the shown parts add up to the shown total."""
    total, edited = round(parts.total, digits), round(parts.edited, digits)
    return signed(total, digits), signed(edited, digits), signed(total - edited, digits)
