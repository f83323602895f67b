"""Tokens that share characters, as the byte-level parts of one letter do: one unit of a view.

Arrays of one row per token; knows nothing of text, Qt or colours.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def shared_units(starts: ArrayLike, ends: ArrayLike) -> Ints:
    """A unit number for every token, [n]: tokens whose spans overlap are one unit."""
    s, e = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    if not len(s):
        return np.zeros(0, dtype=np.int64)
    reach = np.maximum.accumulate(e)
    fresh = np.concatenate([[True], s[1:] >= reach[:-1]])
    # Two empty spans in one place are two tokens; two equal characters' parts are one.
    return np.cumsum(fresh) - 1


def sum_shared(starts: ArrayLike, ends: ArrayLike, values: ArrayLike) -> Floats:
    """Values with those of tokens that share a character summed and given to each, [n]."""
    units = shared_units(starts, ends)
    v = np.asarray(values, dtype=np.float64)
    sums: Floats = np.zeros(units.max(initial=-1) + 1)
    np.add.at(sums, units, v)
    return sums[units]
