"""One look at a scored file: which rows a question leaves, in which order, and their figures.

A question is plain values, so that it can be asked again with another beta, order or filter. Knows
tables, filters and figures; knows nothing of windows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.dataset.derived import Array
from core.dataset.figures import (
    ALIKE,
    Calibration,
    Displaced,
    LengthBias,
    Share,
    accuracy,
    by_group,
    calibration,
    displaced,
    flip_threshold,
    length_bias,
)
from core.dataset.filters import Flags, compared, matching, parse, written
from core.dataset.scored import SOURCE
from core.dataset.table import Rows, ScoredTable
from core.errors import Cancelled
from core.progress import Report, Stop, never, silent

FEW = 12
"""Different numbers of a column up to which each is a group of its own."""
OF_MARGINS = "margin", "preference", "reward_chosen", "reward_rejected"
"""Columns by which who chooses rows chooses their accuracy too."""
PARTS = 5
"""Groups of equal size into which other numbers are cut."""


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of a column's numbers, both ends included; an end that is infinite leaves all."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be seen of a table."""

    text: str = ""
    """The filter (core.dataset.filters)."""
    bands: tuple[Band, ...] = ()
    """Stretches that were chosen in a chart; a row must lie in all of them."""
    by: str = "row"
    """The column that is sorted by."""
    descending: bool = False
    beta: float | None = None
    group: str = ""
    """The column by whose values accuracy is given; "" for none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one value of a column: what to call them, how a filter asks for them, and their
    accuracy."""

    label: str
    filter: str
    accuracy: Share


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of the rows that are shown. Of single responses only the first two."""

    rows: int
    mean_score: float
    """Of the chosen side, or of the single response; NaN: not known."""
    pairs: int
    """Rows with a margin."""
    accuracy: Share
    mean_margin: float
    within_noise: int
    """Pairs whose margin is no larger than what rounding may do."""
    lengths: LengthBias
    calibration: Calibration | None
    """None where no margin is a probability."""
    flips: int
    """Pairs that are likely flips, by the threshold of the whole file."""
    alike: int
    displaced: Displaced | None
    """None without a reference."""
    groups: tuple[Group, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Look:
    """The answer to a question."""

    question: Question
    matched: Rows
    """The rows that the filter leaves, in the file's order."""
    shown: Rows
    """Those of them within the bands, in the order that was asked for."""
    summary: Summary
    by_margin: bool = False
    """The rows were chosen by their margins, so that their accuracy says nothing."""


def look(
    table: ScoredTable, question: Question, cancelled: Stop = never, report: Report = silent
) -> Look:
    """Return the rows that a question leaves, and their figures.

    Raises:
        UserFacingError: the filter cannot be understood, or the file cannot be read any more.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    beta = question.beta
    terms = parse(question.text, table)
    flags = matching(table, terms, beta, cancelled, report)
    matched = np.flatnonzero(flags)
    for band in question.bands:
        flags = flags & _within(table, band, beta)
    if cancelled():
        raise Cancelled
    shown = table.order(np.flatnonzero(flags), question.by, beta, question.descending)
    if cancelled():
        raise Cancelled
    summary = summarise(table, np.sort(shown), beta, question.group)
    names = {*compared(terms), *(band.name for band in question.bands)}
    return Look(question, matched, shown, summary, not names.isdisjoint(OF_MARGINS))


def _within(table: ScoredTable, band: Band, beta: float | None) -> Flags:
    values = table.values(band.name, beta)
    found: Flags = (values >= band.low) & (values <= band.high)
    return found


def summarise(table: ScoredTable, rows: Rows, beta: float | None, group: str = "") -> Summary:
    """Return the figures of some rows; ``group``: a column by whose values accuracy is given."""
    known = {
        name: table.values(name, beta)[rows]
        for name in ("reward_chosen", "margin", "length_difference", "alike", "preference")
    }
    margins, prefers = known["margin"], table.prefers(beta)
    there = ~np.isnan(margins)
    noise = table.noise(beta)[rows]
    limit = threshold(table, beta) if prefers else math.nan
    log_ratios = table.numbers["log_ratio_chosen"][rows]
    return Summary(
        rows=len(rows),
        mean_score=_mean(known["reward_chosen"]),
        pairs=int(there.sum()),
        accuracy=accuracy(margins),
        mean_margin=_mean(margins),
        within_noise=int((np.abs(margins[there]) < noise[there]).sum()),
        lengths=length_bias(margins, known["length_difference"]),
        calibration=calibration(margins) if prefers else None,
        flips=int((known["preference"] <= limit).sum()) if prefers else 0,
        alike=int((known["alike"] >= ALIKE).sum()),
        displaced=None if np.isnan(log_ratios).all() else displaced(log_ratios, known["alike"]),
        groups=_groups(table, group, rows, margins, beta) if group else (),
    )


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def threshold(table: ScoredTable, beta: float | None) -> float:
    """Return the σ(m) up to which a pair of the file is a likely flip (flip_threshold), to the
    three digits that filters have."""
    return round(flip_threshold(table.values("margin", beta)), 3)


def groupings(table: ScoredTable) -> tuple[str, ...]:
    """Return the columns by whose values accuracy can be given; the source's words come first."""
    numbers = [name for name in table.numbers if name.startswith(SOURCE)]
    return (*table.words, *numbers, "length_chosen", "length_difference", "parts", "alike")


def _groups(
    table: ScoredTable, name: str, rows: Rows, margins: Array, beta: float | None
) -> tuple[Group, ...]:
    """Return the groups of a column's values that hold pairs, the least accurate first."""
    title = written(name.removeprefix(SOURCE))
    if name in table.words:
        words = table.words[name]
        labels = [(kind, f"{title} = {written(kind)}") for kind in words.kinds]
        codes = words.codes[rows]
    else:
        labels, codes = _cut(table.values(name, beta)[rows], title)
    shares = by_group(margins, codes, len(labels))
    found = [
        Group(label, asked, own)
        for (label, asked), own in zip(labels, shares, strict=True)
        if own.count
    ]
    return tuple(sorted(found, key=lambda it: it.accuracy.value))


def _cut(
    values: Array, title: str
) -> tuple[list[tuple[str, str]], "np.ndarray[tuple[int], np.dtype[np.int32]]"]:
    """Return what groups of numbers are called and how a filter asks for them, and each number's
    group, −1 for none: single values where there are few, else parts of about equal size."""
    known = np.isfinite(values)
    codes = np.full(len(values), -1, np.int32)
    kinds = np.unique(values[known])
    if len(kinds) <= FEW:
        codes[known] = np.searchsorted(kinds, values[known])
        return [(f"{kind:g}", f"{title} = {kind:.17g}") for kind in kinds.tolist()], codes
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, PARTS + 1)))
    codes[known] = np.clip(
        np.searchsorted(edges, values[known], side="right") - 1, 0, len(edges) - 2
    )
    labels = []
    for place, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        last = place == len(edges) - 2
        sign = "<=" if last else "<"
        label = f"{low:.4g} to {high:.4g}"
        labels.append((label, f"{title} >= {low:.17g} {title} {sign} {high:.17g}"))
    return labels, codes


# --- ready questions ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """A question that is ready to be asked: what to call it, and what it means."""

    title: str
    tip: str
    filter: str
    by: str
    descending: bool
    caveat: str = ""
    """What cannot be concluded of the rows."""


def ready(table: ScoredTable, beta: float | None) -> Sequence[Ready]:
    """Return the questions that are ready for a table; none of single responses."""
    if table.is_single:
        return ()
    found = [
        Ready(
            "Most wrong",
            "Pairs whose rejected side scores higher, the clearest first",
            "margin < 0", "margin", False,
        )
    ]  # fmt: skip
    if table.prefers(beta):
        limit = threshold(table, beta)
        if not math.isnan(limit):
            found.append(
                Ready(
                    "Likely flips",
                    f"Pairs that the policy gives the other label with at least the confidence "
                    f"that pairs have in their own on average (σ(m) ≤ {limit:.3f}; confident "
                    f"learning, arXiv 1911.00068)",
                    f"preference <= {limit:.3f}", "margin", False, FLIPS,
                )
            )  # fmt: skip
    found.append(
        Ready(
            "Alike",
            f"Pairs whose sides have at least {ALIKE:.0%} of their tokens in common: training on "
            f"such pairs can make both sides less likely (arXiv 2410.08847)",
            f"alike >= {ALIKE:g}", "alike", True,
        )
    )  # fmt: skip
    return found


FLIPS = (
    "Such a pair may be labelled the wrong way round, but also be hard, or of a kind that training "
    "never taught; if the policy was trained on these very pairs, fewer show."
)
"""What cannot be concluded of likely flips."""


def most_wrong(table: ScoredTable, shown: Rows, beta: float | None) -> Rows:
    """Return the rows that have a margin, the smallest margin first."""
    margins = table.values("margin", beta)[shown]
    known = np.flatnonzero(~np.isnan(margins))
    return shown[known[np.argsort(margins[known], kind="stable")]]
