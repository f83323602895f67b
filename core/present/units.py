"""Groups tokens: parts of one character, words, sentences or lines, and what a group shows.

Arrays of one row per token; knows tokens and their spans, nothing of scores or Qt.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.text import Tokens, Unit, units

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def shared_units(starts: ArrayLike, ends: ArrayLike) -> Ints:
    """Return a unit number for every token, [n]: tokens whose spans overlap are one unit."""
    s, e = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    if not len(s):
        return np.zeros(0, dtype=np.int64)
    reach = np.maximum.accumulate(e)
    fresh = np.concatenate([[True], s[1:] >= reach[:-1]])
    # Two empty spans in one place are two tokens; two equal characters' parts are one.
    return np.cumsum(fresh) - 1


def groups(tokens: Tokens, unit: Unit, rows: int) -> Ints:
    """Return the group that each row belongs to, [rows]; each of those that the template writes is
    one of its own.

    Parts of one character are always together.
    """
    if unit == "token":
        found = shared_units(tokens.starts, tokens.ends)
    else:
        found = np.asarray(units(tokens, unit), dtype=np.int64) + tokens.opening
        found[: tokens.opening] = np.arange(tokens.opening)
    return np.append(found, np.arange(rows - len(found)) + found.max(initial=-1) + 1)


def roll_up(values: Floats, group: Ints, running: bool = False) -> Floats:
    """Return each row's value replaced by its group's sum, [n]; NaN counts for nothing.

    ``running`` values are sums already: the group has that of its last row.
    """
    size = int(group.max(initial=-1)) + 1
    total = np.zeros(size)
    if running:
        total[group] = values  # of equal indices the last one stays
        return total[group]
    known = ~np.isnan(values)
    np.add.at(total, group[known], values[known])
    seen = np.zeros(size, dtype=bool)
    seen[group[known]] = True
    total[~seen] = np.nan
    return total[group]


def strongest(values: Floats, group: Ints) -> Floats:
    """Return each row's value replaced by that of its group furthest from 0, [n].

    NaN counts for nothing; of two as far from 0 the first counts.
    """
    size = np.where(np.isnan(values), -1.0, np.abs(values))
    order = np.lexsort((-np.arange(len(values)), size))
    chosen = np.full(int(group.max(initial=-1)) + 1, np.nan)
    chosen[group[order]] = values[order]  # of equal indices the last one stays
    return chosen[group]
