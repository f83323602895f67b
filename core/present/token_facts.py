"""Describes one token in words and numbers, for the hover popup and the inspector.

Knows scorings and beta; knows nothing of widgets.
"""

from dataclasses import dataclass
from html import escape

import numpy as np

from core import quantities
from core.gauge import Gauge
from core.noise import NOISELESS, NoiseFloor
from core.present.measures import Measure, rewards
from core.present.numerals import emphasised, noise_words, percent, plain, signed, tiny
from core.scoring import Alternative, Scoring
from core.text import Unit


@dataclass(frozen=True)
class Fact:
    """A line of the inspector: a name, a value and what it means."""

    name: str
    value: str
    meaning: str = ""
    faint: bool = False
    """Whether noise may be all that it is."""


def reward_fact(
    name: str,
    value: float,
    beta: float,
    noise: NoiseFloor,
    meaning: str,
    count: int = 1,
    digits: int = 4,
) -> Fact:
    """Return a reward, or a sum of ``count`` of them, grey where noise hides it."""
    faint = bool(noise.hides(value, beta, count))
    if faint:
        meaning += "; " + noise_words(noise, float(noise.of_rewards(beta, count)))
    return Fact(name, signed(value, digits), meaning, faint)


def token_text(scoring: Scoring, index: int) -> str:
    """Return the token's text, quoted as Python would, so that white space shows."""
    if index >= len(scoring.tokens):
        return scoring.labels[index]
    tokens = scoring.tokens
    if index < tokens.opening:
        return scoring.labels[index]
    return repr(tokens.text[tokens.starts[index] : tokens.ends[index]])


def token_facts(
    scoring: Scoring, index: int, beta: float, noise: NoiseFloor = NOISELESS
) -> tuple[Fact, ...]:
    """Return everything that is known of a token before anything more is asked for."""
    tokens = scoring.tokens
    closing = index >= len(tokens)
    data = b"" if closing else tokens.pieces[index]
    shown = data.hex(" ").upper() if data else "–"
    lp = float(scoring.logp_policy[index])
    origin = f"{index + 1} of {len(tokens)}"
    if index == len(tokens):
        origin = "closing (end of turn)"
    elif closing or index < tokens.opening:
        origin = "written by the template"
    if not closing and tokens.forced[index]:
        origin += " · put in place, not the tokenizer's own"
    return (
        Fact("token", f"{token_text(scoring, index)}  ·  {origin}"),
        Fact("bytes, id", f"{shown}  ·  {int(scoring.ids[index])}"),
        *_reward_facts(scoring, index, beta, noise),
        Fact(
            "log π",
            f"{plain(lp)}  ·  {percent(lp)}  ·  rank {int(scoring.rank_policy[index]):,}",
            "under the policy",
        ),
        *_reference_facts(scoring, index),
    )


def _reward_facts(scoring: Scoring, index: int, beta: float, noise: NoiseFloor) -> tuple[Fact, ...]:
    r = rewards(scoring, beta)
    if r is None or scoring.kl is None:
        return ()
    reward, total = float(r[index]), float(r[: index + 1].sum())
    excess = reward - float(quantities.expected_reward(scoring.kl[index], beta))
    return (
        reward_fact("reward r", reward, beta, noise, "β (log π − log π_ref)"),
        reward_fact("r − β·KL", excess, beta, noise, "the reward less its expectation"),
        reward_fact("Σr up to here", total, beta, noise, "prefix value gain", index + 1),
    )


def _reference_facts(scoring: Scoring, index: int) -> tuple[Fact, ...]:
    if scoring.logp_reference is None or scoring.rank_reference is None:
        return ()
    lr = float(scoring.logp_reference[index])
    rank = int(scoring.rank_reference[index])
    said = [Fact("log π_ref", f"{plain(lr)}  ·  {percent(lr)}  ·  rank {rank:,}",
                 "under the reference")]  # fmt: skip
    if scoring.kl is not None and scoring.kl_reverse is not None:
        kl, reverse = float(scoring.kl[index]), float(scoring.kl_reverse[index])
        meaning = "at the state before the token, in nats, over the whole vocabulary"
        said.append(
            Fact(quantities.KL_FORWARD, f"{plain(kl, 4)}  ·  reverse {plain(reverse, 4)}", meaning)
        )
    return tuple(said)


def colour_fact(measure: Measure, unit: Unit, value: float, beta: float | None) -> Fact:
    """Return the number behind a token's colour; NaN where it has none, 0 where noise hides it."""
    number = signed(value, 4) if measure.kind == "diverging" else plain(value, 4)
    ways = {"token": "", "word": " of its word's strongest token"}
    over = ways.get(unit, f" over its {unit}")
    meaning = f"{measure.quantity}{over}, in {measure.unit_at(beta)}"
    return Fact("coloured by", "–" if np.isnan(value) else number, meaning)


def gauge_facts(gauge: Gauge, row: int, floor: float = 0.0) -> tuple[Fact, ...]:
    """Return the Q-function's numbers of one edge.

    Three in the raw-logit gauge, then three that do not depend on it. A dash where a number is
    not known; ``floor``: the noise of a reward.
    """
    faint = bool(abs(gauge.reward[row]) < floor)
    noise = f"; below the noise floor (±{floor:.2g})" if faint else ""
    return (
        Fact("Q", _known(gauge.q[row]), "Q(s, a) = β z, the policy's raw logit of the token"),
        Fact("V", _known(gauge.v[row]), "V(s) = β log Σ exp z, at the state before the token"),
        Fact(
            "r raw",
            _known(gauge.raw[row]),
            "The raw reward Q(s, a) − β log π_ref − V(s′); V = 0 after the closing token",
        ),
        Fact("advantage", _known(gauge.advantage[row]), "Q − V = β log π"),
        Fact(
            "reward r",
            _known(gauge.reward[row]),
            f"The implicit reward β (log π − log π_ref){noise}",
            faint,
        ),
        Fact(
            "residual",
            tiny(float(gauge.residual[row])),
            "Bellman residual: what is left of r raw = r + V(s) − V(s′); rounding, and no more",
        ),
    )


def _known(value: float) -> str:
    return "–" if np.isnan(value) else signed(float(value), 4)


def popup_html(
    scoring: Scoring,
    index: int,
    beta: float,
    group: tuple[str, float, int],
    noise: NoiseFloor = NOISELESS,
) -> str:
    """Return the few key numbers beside a hovered token, as rich text.

    ``group``: the unit that it is coloured with ("" for none), its sum, and over how many tokens.
    """
    r = rewards(scoring, beta)
    label = escape(scoring.labels[index])
    lp = float(scoring.logp_policy[index])
    name, total, count = group
    unit = emphasised(signed(total), bool(noise.hides(total, beta, count)))
    unit = f"<br>{name} Σ {unit}" if name else ""
    reward = reference = ""
    if r is not None:
        hidden = bool(noise.hides(r[index], beta))
        reward = f" &nbsp; r {emphasised(signed(float(r[index])), hidden)}"
    if scoring.logp_reference is not None and scoring.rank_reference is not None:
        lr, rank = float(scoring.logp_reference[index]), int(scoring.rank_reference[index])
        reference = f" &nbsp; π_ref {percent(lr)} <small>#{rank:,}</small>"
    return (
        f"<b>{label}</b>{reward}{unit}<br>"
        f"π {percent(lp)} <small>#{int(scoring.rank_policy[index]):,}</small>{reference}"
    )


def alternative_tip(choice: Alternative, beta: float, floor: float = 0.0) -> str:
    """Return all numbers of an alternative for its tooltip; ``floor``: the noise of its reward."""
    lines = [
        f"{choice.text!r}, id {choice.id}",
        f"log π {plain(choice.logp_policy)}, rank {choice.rank_policy:,}",
        "Double-click or Enter puts it in place.",
    ]
    if choice.logp_reference is not None:
        r = beta * (choice.logp_policy - choice.logp_reference)
        noise = f", below the noise floor (±{floor:.2g})" if abs(r) < floor else ""
        lines.insert(1, f"reward {signed(r, 4)}{noise}")
        lines.insert(3, f"log π_ref {plain(choice.logp_reference)}, rank {choice.rank_reference:,}")
    return "\n".join(lines)
