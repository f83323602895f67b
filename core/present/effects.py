"""What another text in a place of a response does: to itself, to what comes after, to the margin.

The total change is what stands there less what stood there, plus the change downstream: tokens
before are the same states. Knows scorings, beta and losses; knows nothing of widgets.
"""

from collections.abc import Callable
from dataclasses import dataclass

from core.present.credit import IMPLICIT, Credit
from core.present.numerals import percent, signed
from core.present.pair import pair_numbers
from core.scoring import Scoring
from core.substitution import Idea, Site, rows_apart


@dataclass(frozen=True, slots=True)
class Effect:
    """What one idea does; None where there is no such number.

    ``own``: what the tokens in the place add to the sum; ``downstream``, ``total``: the changes of
    those after it and of the whole sum; ``margin``: that of A over B with it. Log-probs of all its
    tokens together, in nats.
    """

    own: float
    downstream: float | None
    total: float
    margin: float | None
    logp_policy: float | None
    logp_reference: float | None


COLUMNS = "text", "π", "π_ref", "own r", "after Δ", "total Δ", "margin"
COPIED = "text", "logp_policy", "logp_reference", "own", "downstream_change", "change", "margin"
MEANINGS = (
    "What stands in the place",
    "Probability of its tokens together under the policy",
    "The same under the reference",
    "What its tokens add to the sum",
    "Downstream: how the sum of all tokens after it changes",
    "How the sum of the response changes",
    "The margin of A over B with it in place",
)


def effect(
    old: Scoring,
    new: Scoring,
    site: Site,
    idea: Idea,
    beta: float | None,
    credit: Credit = IMPLICIT,
    other: tuple[str, Scoring] | None = None,
) -> Effect:
    """Return what an idea does, by the response's scoring as it was and with the idea in place.

    ``beta``: None where it is not known, numbers are then in nats; ``other``: the side, "A" or "B",
    and the scoring of the response that it is compared with.
    """
    scale = 1.0 if beta is None else beta
    was, now = credit.of(old, scale), credit.of(new, scale)
    here, there = rows_apart(old.tokens, new.tokens, site, idea)
    own = float(now[there.start : there.stop].sum())
    total = float(now.sum() - was.sum())
    downstream = float(now[there.stop :].sum() - was[here.stop :].sum())
    margin = None
    if other is not None:
        a, b = (new, other[1]) if other[0] == "B" else (other[1], new)
        margin = pair_numbers(a, b, beta, credit).margin
    logps = [
        float(values[there.start : there.stop].sum()) if values is not None and there else None
        for values in (new.logp_policy, new.logp_reference)
    ]
    return Effect(own, downstream if credit.parts_cancel else None, total, margin, *logps)


def cells(text: str, found: Effect | None) -> tuple[str, ...]:
    """Return a row of the table of effects, as ``COLUMNS`` names them; dashes where unknown."""
    if found is None:
        return (text, *["–"] * (len(COLUMNS) - 1))
    numbers = found.own, found.downstream, found.total, found.margin
    return (
        text,
        *("–" if it is None else percent(it) for it in (found.logp_policy, found.logp_reference)),
        *("–" if it is None else signed(it) for it in numbers),
    )


def sort_key(column: int) -> Callable[[tuple[str, Effect | None]], tuple[bool, str | float]]:
    """Return what rows of texts and effects are sorted by, of a column; unknown ones come last."""

    def key(row: tuple[str, Effect | None]) -> tuple[bool, str | float]:
        text, found = row
        if column == 0:
            return False, text.casefold()
        value = numbers(found)[column - 1] if found is not None else None
        return value is None, value if value is not None else 0.0

    return key


def numbers(found: Effect) -> tuple[float | None, ...]:
    """Return the numbers of an effect in the order of the columns, log-probs in nats."""
    logps = found.logp_policy, found.logp_reference
    return *logps, found.own, found.downstream, found.total, found.margin


def copied(text: str, found: Effect | None) -> tuple[object, ...]:
    """Return a row to copy, as ``COPIED`` names it: full precision, log-probs in nats."""
    known = numbers(found) if found is not None else (None,) * (len(COPIED) - 1)
    return (text, *("" if it is None else it for it in known))


def flips(before: float | None, after: float | None) -> bool:
    """Return whether a margin changes its sign; False where one is not known."""
    return before is not None and after is not None and before * after < 0
