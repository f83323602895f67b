"""The figures of a look in words: a name, a value with its interval, and what it is.

Knows looks; knows nothing of windows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from core.dataset.figures import ALIKE, Share
from core.dataset.localised import Localised
from core.dataset.look import FLIPS, Look, Summary
from core.dataset.table import ScoredTable
from core.present.numerals import signed

WILSON = "95%: Wilson's interval."
BY_MARGIN = (
    "These rows were chosen by their margins, so their accuracy and calibration would say nothing "
    "about the policy: they are left out."
)
DISPLACED = (
    "Share of pairs whose chosen side is less likely under the policy than under the reference "
    f"(likelihood displacement, arXiv 2410.08847). {WILSON}"
)
CLUSTERED = "95%: over responses (Obuchowski 1997)."
LOCALISED = (
    "The chance that a wrong token has a lower reward than a right one of these pairs; −log π_ref: "
    "what finding rare tokens alone would give"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A figure."""

    name: str
    value: str
    tip: str


def lines(table: ScoredTable, look: Look, localised: Localised | None = None) -> tuple[Line, ...]:
    """Return the figures of the rows that a look shows.

    Args:
        localised: how known errors are found in them; None for none, or not known yet.
    """
    unit, symbol = table.credit.unit(look.question.beta), table.credit.of_pairs
    if table.is_single:
        tip = f"Of the responses shown: {table.credit.of_pairs_meaning}"
        return (Line(f"Mean {symbol}", _number(look.summary.mean_score, unit), tip),)
    of_margins = list(_of_margins(look.summary))
    return (
        *(of_margins if not look.by_margin else ()),
        *_of_pairs(table, look.summary, symbol, unit),
        *(_of_errors(localised) if localised is not None and not look.by_margin else ()),
    )


def _of_margins(found: Summary) -> Iterator[Line]:
    """Yield what says nothing where rows were chosen by their margins."""
    lengths = found.lengths
    yield Line(
        "Accuracy",
        share_words(found.accuracy),
        f"Share of pairs whose chosen side scores higher; a tie is half a pair. {WILSON}",
    )
    for name, own in (("longer", lengths.longer), ("shorter", lengths.shorter)):
        tip = f"Accuracy where the chosen side is {name}, in tokens. {WILSON}"
        yield Line(f"  chosen {name}", share_words(own, counted=True), tip)
    yield Line(
        "“Longer wins”",
        share_words(lengths.rule),
        f"What the rule that the longer side is preferred would score; of equal lengths half. "
        f"{WILSON}",
    )
    yield Line(
        "Margin ~ length",
        _correlation(lengths.correlation, lengths.low, lengths.high),
        "Pearson's correlation of the margin and n chosen − n rejected, with Fisher's 95% interval",
    )
    if found.calibration is not None:
        yield Line(
            "Calibration error",
            _plain(found.calibration.error),
            "Expected calibration error: how far σ(|m|) is from the share of pairs in which the "
            "policy is right, averaged over bins",
        )
    if found.displaced is not None:
        yield Line("Displaced, alike", share_words(found.displaced.alike, counted=True), DISPLACED)
        others = share_words(found.displaced.others, counted=True)
        yield Line("Displaced, others", others, DISPLACED)


def _of_pairs(table: ScoredTable, found: Summary, symbol: str, unit: str) -> Iterator[Line]:
    yield Line(
        "Mean margin", _number(found.mean_margin, unit), f"{symbol} chosen − {symbol} rejected"
    )
    noise = table.about.noise
    if noise is not None and noise.matters:
        yield Line(
            "Within noise",
            _part(found.within_noise, found.pairs),
            f"Pairs whose margin is no larger than what rounding in {noise.dtype} may do",
        )
    if found.calibration is not None:
        yield Line("Likely flips", _part(found.flips, found.pairs), FLIPS)
    tip = f"Pairs whose sides have at least {ALIKE:.0%} of their tokens in common"
    yield Line("Alike", _part(found.alike, found.pairs), tip)


def _of_errors(found: Localised) -> Iterator[Line]:
    pairs = f"{found.pairs:,} pair{'s' if found.pairs != 1 else ''} with known errors"
    tip = f"{LOCALISED}. {pairs}. {CLUSTERED}"
    yield Line("Errors, AUROC", share_words(found.auroc), tip)
    yield Line("  of −log π_ref", share_words(found.auroc_reference), tip)
    yield Line(
        "Errors, hit",
        share_words(found.hit, counted=True),
        f"Share of {pairs} whose most blamed token is wrong. {WILSON}",
    )


def share_words(found: Share, counted: bool = False) -> str:
    """Return a share with its interval, and of how many it is if that is asked; a dash for none."""
    if math.isnan(found.value):
        return "–"
    of = f", n {found.count:,}" if counted else ""
    if math.isnan(found.low):
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}{of})"


def _plain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _part(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if total else "–"


def _number(value: float, unit: str) -> str:
    return "–" if math.isnan(value) else f"{signed(value)} {unit}"


def _correlation(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{signed(value)} ({signed(low)} to {signed(high)})"
