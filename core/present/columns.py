"""Places the bars of two responses: one for each token or word, what is the same in one column.

Knows groups of rows and alignments as arrays and records; knows no widget.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from core.present.units import Floats, Ints, groups
from core.scoring import Scoring
from core.text import Alignment, Unit


@dataclass(frozen=True, eq=False)
class Bars:
    """One response's bars: what each is worth and says, its column, and which bar a row is in."""

    values: Floats
    """Sums over the rows of each bar, [bars]."""
    labels: tuple[str, ...]
    places: Ints
    """The column of each bar, ascending, [bars]."""
    rows: Ints
    """The bar that each row (token) belongs to, [n]."""


NO_BARS = Bars(np.zeros(0), (), np.zeros(0, np.int64), np.zeros(0, np.int64))


def bare(label: str) -> str:
    """Return a label without the mark of the space before it."""
    return label.strip("·") or label


def bars(values: Floats, scoring: Scoring, unit: Unit) -> Bars:
    """Return the bars of a response by its rows' values [n], in columns of its own.

    Sentences and lines are too coarse for a chart: words are drawn then.
    """
    wanted: Unit = "token" if unit == "token" else "word"
    _, rows = np.unique(groups(scoring.tokens, wanted, len(values)), return_inverse=True)
    sums = np.zeros(int(rows.max(initial=-1)) + 1)
    np.add.at(sums, rows, values)
    labels: list[list[str]] = [[] for _ in sums]
    for row, label in zip(rows.tolist(), scoring.labels, strict=True):
        labels[row].append(label)
    said = tuple("".join(parts) for parts in labels)
    return Bars(sums, said, np.arange(len(sums)), rows.astype(np.int64))


def side_by_side(
    a: Bars, b: Bars, alignment: Alignment, lengths: tuple[int, int]
) -> tuple[Bars, Bars]:
    """Return the bars of two responses with what is the same in both in the same columns.

    What differs stands beside each other too, as far as there is something on both sides.

    Args:
        lengths: how many tokens each has, the closing ones left out: those pair in their order.
    """
    closing = zip(range(lengths[0], len(a.rows)), range(lengths[1], len(b.rows)), strict=False)
    shared: list[tuple[int, int]] = []
    for i, j in (*alignment.pairs, *closing):
        here, there = int(a.rows[i]), int(b.rows[j])
        if not shared or (here > shared[-1][0] and there > shared[-1][1]):
            shared.append((here, there))
    places_a, places_b = _places(shared, len(a.values), len(b.values))
    return (
        Bars(a.values, a.labels, places_a, a.rows),
        Bars(b.values, b.labels, places_b, b.rows),
    )


def _places(shared: Iterable[tuple[int, int]], count_a: int, count_b: int) -> tuple[Ints, Ints]:
    places: tuple[list[int], list[int]] = [], []
    column = 0
    for here, there in (*shared, (count_a, count_b)):
        gaps = here - len(places[0]), there - len(places[1])
        for side, gap in zip(places, gaps, strict=True):
            side.extend(range(column, column + gap))
        column += max(gaps)
        if here < count_a and there < count_b:
            for side in places:
                side.append(column)
            column += 1
    return _array(places[0]), _array(places[1])


def _array(places: Sequence[int]) -> Ints:
    return np.array(places, dtype=np.int64)
