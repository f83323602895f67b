"""One token in words and numbers: what the hover popup and the inspector show of it.

Knows scorings and beta; knows nothing of widgets.
"""

from dataclasses import dataclass

import numpy as np

from core import quantities
from core.gauge import Gauge
from core.noise import NOISELESS, NoiseFloor
from core.present.measures import noise_words, rewards, signed
from core.scoring import Alternative, Scoring


@dataclass(frozen=True)
class Fact:
    """A line of the inspector."""

    name: str
    value: str
    meaning: str = ""
    faint: bool = False
    """Noise may be all that it is."""


def reward_fact(
    name: str,
    value: float,
    beta: float,
    noise: NoiseFloor,
    meaning: str,
    count: int = 1,
    digits: int = 4,
) -> Fact:
    """A reward, or a sum of ``count`` of them, grey where noise hides it."""
    faint = bool(noise.hides(value, beta, count))
    if faint:
        meaning += "; " + noise_words(noise, float(noise.of_rewards(beta, count)))
    return Fact(name, signed(value, digits), meaning, faint)


def percent(logp: float) -> str:
    """A probability, with as many digits as it deserves."""
    p = 100.0 * float(np.exp(logp))
    if p >= 99.95:
        return f"{p:.1f}%" if p < 100 else "100%"
    if p >= 1:
        return f"{p:.1f}%"
    if p >= 0.0001:
        return f"{p:.2g}%"
    return f"{p:.0e}%".replace("e-0", "e\u2212") if p > 0 else "≈0%"


def plain(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}".replace("-", "\u2212")


def token_text(scoring: Scoring, index: int) -> str:
    """The token's text, quoted as Python would, so that white space shows."""
    if index >= len(scoring.tokens):
        return scoring.labels[index]
    tokens = scoring.tokens
    return repr(tokens.text[tokens.starts[index] : tokens.ends[index]])


def facts(
    scoring: Scoring, index: int, beta: float, noise: NoiseFloor = NOISELESS
) -> tuple[Fact, ...]:
    """Everything that is known of a token before anything more is asked for."""
    r = rewards(scoring, beta)
    closing = index >= len(scoring.tokens)
    data = b"" if closing else scoring.tokens.pieces[index]
    shown = data.hex(" ").upper() if data else "–"
    lp, lr = float(scoring.logp_policy[index]), float(scoring.logp_reference[index])
    expected = float(quantities.expected_reward(scoring.kl[index], beta))
    reward, total = float(r[index]), float(r[: index + 1].sum())
    origin = "closing (end of turn)" if closing else f"{index + 1} of {len(scoring.tokens)}"
    if not closing and scoring.tokens.forced[index]:
        origin += " · put in place, not the tokenizer's own"
    return (
        Fact("token", f"{token_text(scoring, index)}  ·  {origin}"),
        Fact("bytes, id", f"{shown}  ·  {int(scoring.ids[index])}"),
        reward_fact("reward r", reward, beta, noise, "β (log π − log π_ref)"),
        reward_fact("r − β·KL", reward - expected, beta, noise, "the reward less its expectation"),
        reward_fact("Σr up to here", total, beta, noise, "prefix value gain", index + 1),
        Fact(
            "log π",
            f"{plain(lp)}  ·  {percent(lp)}  ·  rank {int(scoring.rank_policy[index]):,}",
            "under the policy",
        ),
        Fact(
            "log π_ref",
            f"{plain(lr)}  ·  {percent(lr)}  ·  rank {int(scoring.rank_reference[index]):,}",
            "under the reference",
        ),
        Fact(
            "KL(π‖π_ref)",
            f"{plain(float(scoring.kl[index]), 4)}  ·  reverse "
            f"{plain(float(scoring.kl_reverse[index]), 4)}",
            "at the state before the token, in nats, over the whole vocabulary",
        ),
    )


def gauge_facts(gauge: Gauge, row: int, floor: float = 0.0) -> tuple[Fact, ...]:
    """The Q-function's numbers of one edge: three in the raw-logit gauge, then three that do not
    depend on it. A dash where a number is not known; ``floor``: the noise of a reward.
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


def tiny(value: float) -> str:
    """A number that should be 0, to its first digit."""
    if np.isnan(value):
        return "–"
    return f"{value:.0e}".replace("-", "\u2212") if value else "0"


def _known(value: float) -> str:
    return "–" if np.isnan(value) else signed(float(value), 4)


def told(value: str, faint: bool) -> str:
    """A number as rich text: bold, unless noise may be all that it is."""
    return f"{value} <small>(noise)</small>" if faint else f"<b>{value}</b>"


def popup_html(
    scoring: Scoring,
    index: int,
    beta: float,
    group: tuple[str, float, int],
    noise: NoiseFloor = NOISELESS,
) -> str:
    """The few key numbers beside a hovered token, as rich text.

    ``group``: the unit that it is coloured with ("" for none), its sum, and over how many tokens.
    """
    r = float(rewards(scoring, beta)[index])
    label = _escape(scoring.labels[index])
    lp, lr = float(scoring.logp_policy[index]), float(scoring.logp_reference[index])
    name, total, count = group
    unit = told(signed(total), bool(noise.hides(total, beta, count)))
    unit = f"<br>{name} Σ {unit}" if name else ""
    return (
        f"<b>{label}</b> &nbsp; r {told(signed(r), bool(noise.hides(r, beta)))}{unit}<br>"
        f"π {percent(lp)} <small>#{int(scoring.rank_policy[index]):,}</small> &nbsp; "
        f"π_ref {percent(lr)} <small>#{int(scoring.rank_reference[index]):,}</small>"
    )


def alternative_tip(choice: Alternative, beta: float, floor: float = 0.0) -> str:
    """All numbers of an alternative, for its row's tooltip; ``floor``: the noise of its reward."""
    r = beta * (choice.logp_policy - choice.logp_reference)
    noise = f", below the noise floor (±{floor:.2g})" if abs(r) < floor else ""
    return (
        f"{choice.text!r}, id {choice.id}\nreward {signed(r, 4)}{noise}\n"
        f"log π {plain(choice.logp_policy)}, rank {choice.rank_policy:,}\n"
        f"log π_ref {plain(choice.logp_reference)}, rank {choice.rank_reference:,}\n"
        "Double-click or Enter puts it in place."
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
