"""Makes arrays ready to be drawn: smooths them, and thins them to what pixels can show.

All points at once; knows NumPy only.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BLOCK = 64


def smooth(values: Floats, weight: float) -> Floats:
    """Return the debiased exponential moving average, [n], of values, [n].

    Each value counts ``weight`` times the one after; 0 gives the values themselves. NaN stays where
    it is and counts for nothing.
    """
    if weight <= 0 or not len(values):
        return values
    known = np.isfinite(values)
    total = _decayed_sum(np.where(known, values, 0.0), weight)
    count = _decayed_sum(known.astype(np.float64), weight)
    return np.where(known, total / np.where(known, count, 1.0), np.nan)


def _decayed_sum(values: Floats, weight: float) -> Floats:
    """Return s[i] = values[i] + weight * s[i-1], [n].

    In blocks: what one block carries into the next is a sum of the same kind over the blocks.
    """
    if len(values) <= BLOCK:
        return values @ _kernel(weight, len(values))
    blocks = -(-len(values) // BLOCK)
    padded = np.zeros(blocks * BLOCK)
    padded[: len(values)] = values
    within = padded.reshape(blocks, BLOCK) @ _kernel(weight, BLOCK)
    carried = np.zeros(blocks)
    carried[1:] = _decayed_sum(within[:-1, -1].copy(), weight**BLOCK)
    fading = weight ** np.arange(1, BLOCK + 1)
    return (within + carried[:, None] * fading).reshape(-1)[: len(values)]


def _kernel(weight: float, size: int) -> Floats:
    """Return [from, to]: how much a value counts for a later sum."""
    later = np.arange(size)[None, :] - np.arange(size)[:, None]
    return np.where(later >= 0, weight ** np.maximum(later, 0.0), 0.0)


def thin(x: Floats, y: Floats, left: float, right: float, pixels: int) -> tuple[Floats, Floats]:
    """Return the part of a curve between ``left`` and ``right`` with a point beyond each.

    At most its lowest and highest value in each column of pixels; ``x`` increases. The columns lie
    on a fixed grid, so that a curve that is moved has the same shape.
    """
    if not len(x) or right <= left or pixels < 1:
        return x[:0], y[:0]
    first = max(int(np.searchsorted(x, left)) - 1, 0)
    last = min(int(np.searchsorted(x, right, side="right")) + 1, len(x))
    x, y = x[first:last], y[first:last]
    if len(x) <= 2 * pixels:
        return x, y
    column = (right - left) / pixels
    edges = np.arange(np.floor(x[0] / column), np.floor(x[-1] / column) + 1) * column
    starts = np.searchsorted(x, edges)
    starts[0] = 0
    kept = np.empty(len(starts), dtype=bool)
    kept[0], kept[1:] = True, np.diff(starts) > 0
    starts = starts[kept & (starts < len(x))]
    low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
    ends = np.append(starts[1:], len(x))
    # In the order in which the curve meets them, by whether it rises over the column.
    rising = y[ends - 1] >= y[starts]
    both = np.empty((len(starts), 2))
    both[:, 0] = np.where(rising, low, high)
    both[:, 1] = np.where(rising, high, low)
    return np.repeat(x[starts], 2), both.reshape(-1)
