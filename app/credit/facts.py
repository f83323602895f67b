"""One token in words and numbers: what the hover popup and the inspector show of it.

Knows scorings and beta; knows nothing of widgets.
"""

from dataclasses import dataclass

import numpy as np

from app.credit.numbers import rewards, signed
from core import quantities
from core.gauge import Gauge
from core.scoring import Alternative, Scoring


@dataclass(frozen=True)
class Fact:
    """A line of the inspector."""

    name: str
    value: str
    meaning: str = ""


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


def facts(scoring: Scoring, index: int, beta: float) -> tuple[Fact, ...]:
    """Everything that is known of a token before anything more is asked for."""
    r = rewards(scoring, beta)
    closing = index >= len(scoring.tokens)
    data = b"" if closing else scoring.tokens.pieces[index]
    shown = data.hex(" ").upper() if data else "–"
    lp, lr = float(scoring.logp_policy[index]), float(scoring.logp_reference[index])
    expected = float(quantities.expected_reward(scoring.kl[index], beta))
    origin = "closing (end of turn)" if closing else f"{index + 1} of {len(scoring.tokens)}"
    if not closing and scoring.tokens.forced[index]:
        origin += " · put in place, not the tokenizer's own"
    return (
        Fact("token", f"{token_text(scoring, index)}  ·  {origin}"),
        Fact("bytes, id", f"{shown}  ·  {int(scoring.ids[index])}"),
        Fact("reward r", signed(float(r[index]), 4), "β (log π − log π_ref)"),
        Fact("r − β·KL", signed(float(r[index]) - expected, 4), "the reward less its expectation"),
        Fact("Σr up to here", signed(float(r[: index + 1].sum()), 4), "prefix value gain"),
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


def gauge_facts(gauge: Gauge, row: int) -> tuple[Fact, ...]:
    """The Q-function's numbers of one edge: three in the raw-logit gauge, then three that do not
    depend on it. A dash where a number is not known.
    """
    return (
        Fact("Q", _known(gauge.q[row]), "Q(s, a) = β z, the policy's raw logit of the token"),
        Fact("V", _known(gauge.v[row]), "V(s) = β log Σ exp z, at the state before the token"),
        Fact(
            "r raw",
            _known(gauge.raw[row]),
            "The raw reward Q(s, a) − β log π_ref − V(s′); V = 0 after the closing token",
        ),
        Fact("advantage", _known(gauge.advantage[row]), "Q − V = β log π"),
        Fact("reward r", _known(gauge.reward[row]), "The implicit reward β (log π − log π_ref)"),
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


def popup_html(scoring: Scoring, index: int, beta: float, group: str, group_sum: float) -> str:
    """The few key numbers beside a hovered token, as rich text."""
    r = float(rewards(scoring, beta)[index])
    label = _escape(scoring.labels[index])
    lp, lr = float(scoring.logp_policy[index]), float(scoring.logp_reference[index])
    unit = f"<br>{group} Σ <b>{signed(group_sum)}</b>" if group else ""
    return (
        f"<b>{label}</b> &nbsp; r <b>{signed(r)}</b>{unit}<br>"
        f"π {percent(lp)} <small>#{int(scoring.rank_policy[index]):,}</small> &nbsp; "
        f"π_ref {percent(lr)} <small>#{int(scoring.rank_reference[index]):,}</small>"
    )


def alternative_tip(choice: Alternative, beta: float) -> str:
    """All numbers of an alternative, for its row's tooltip."""
    r = beta * (choice.logp_policy - choice.logp_reference)
    return (
        f"{choice.text!r}, id {choice.id}\nreward {signed(r, 4)}\n"
        f"log π {plain(choice.logp_policy)}, rank {choice.rank_policy:,}\n"
        f"log π_ref {plain(choice.logp_reference)}, rank {choice.rank_reference:,}\n"
        "Double-click or Enter puts it in place."
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
