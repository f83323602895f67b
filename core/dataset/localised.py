"""How well a scored file's rewards find the errors that are known of its rejected sides.

Of rows with spans (``wrong``) it reads the tokens' log-probs and places, and leaves the figures to
core.evaluation. Knows tables; knows nothing of windows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.dataset.figures import Share, share
from core.dataset.table import PLACES, WHOLE, Rows, ScoredTable
from core.errors import Cancelled
from core.evaluation.localisation import Scored, figures, scored
from core.preferences import Side
from core.progress import Report, Stop, never, silent

AT_ONCE = 512
"""Rows that are read at once."""
FINDING = "Looking for known errors"
READ = (*WHOLE, PLACES, "policy_rejected", "reference_rejected", "log_ratio_chosen",
        "log_ratio_rejected")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Localised:
    """How well tokens that are blamed are those that are wrong, over some pairs."""

    pairs: int
    auroc: Share
    """The chance that a wrong token has a lower reward than a right one, with its interval over
    responses (core.evaluation.localisation.auroc_interval); NaN where all tokens of each pair are
    wrong."""
    auroc_reference: Share
    """The same of −log π_ref: what finding rare tokens alone would give."""
    hit: Share
    """Of pairs, those whose most blamed token is wrong."""


def localise(
    table: ScoredTable, rows: Rows, report: Report = silent, cancelled: Stop = never
) -> Localised | None:
    """Return how well errors are found in those of some rows that have any; None if none has.

    Raises:
        UserFacingError: the file cannot be read any more.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    if not table.has_errors:
        return None
    known = rows[table.numbers["errors"][rows] > 0]
    found = list(_scored(table, np.sort(known), report, cancelled))
    if not found:
        return None
    of_tokens = figures(found)["tokens"]
    rewards, reference = (_auroc(of_tokens[it], len(found)) for it in ("-reward", "-log_ref"))
    hits = np.array([_hits(it) for it in found])
    return Localised(len(found), rewards, reference, share(hits))


def _hits(item: Scored) -> float:
    """Return 1 where the token with the lowest reward is wrong."""
    blamed = int((item.reference - item.policy).argmax())
    return float(any(blamed in span for span in item.spans))


def _auroc(of: dict[str, Any], pairs: int) -> Share:
    value = math.nan if of["auroc"] is None else of["auroc"]
    low, high = of["auroc_interval"] or (math.nan, math.nan)
    return Share(value, low, high, pairs)


def _scored(table: ScoredTable, rows: Rows, report: Report, cancelled: Stop) -> Iterator[Scored]:
    for first in range(0, len(rows), AT_ONCE):
        if cancelled():
            raise Cancelled
        for row in table.read(rows[first : first + AT_ONCE], READ):
            if row["reference_rejected"] is None:
                continue
            places = [(start, end) for start, end in row[PLACES]]
            inside = [place for place in places if place[0] >= 0]
            if not inside:
                continue
            at = places.index(inside[0])
            pair = table.preference_of(row)
            policy, reference = (
                np.array(row[f"{name}_rejected"], np.float64)[at:]
                for name in ("policy", "reference")
            )
            item = scored(
                pair,
                _answer(pair.rejected),
                inside,
                policy,
                reference,
                chosen=row["log_ratio_chosen"],
                rejected=row["log_ratio_rejected"],
            )
            if any(item.spans):
                yield item
        report(FINDING, min(1.0, (first + AT_ONCE) / len(rows)))


def _answer(side: Side) -> str:
    return side if isinstance(side, str) else side[-1].content
