"""Converts between a tree's layout and a window's pixels: where one looks from, and how near.

Knows arithmetic; knows nothing of painting or widgets.
"""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QSize

from app.search.layout import Floats, Ints, Placed

ROW = 27.0
"""Height from one row to the next, in layout units."""
BOX = 21.0
"""Height of a box, in layout units."""
MARGIN = 18
"""Pixels left free around the tree when it is fitted."""
NEAREST, FARTHEST = 4.0, 0.004


@dataclass(frozen=True)
class Viewpoint:
    """A zoom, and what stands at the window's corner: ``left`` and ``top`` in layout units."""

    zoom: float = 1.0
    left: float = 0.0
    top: float = 0.0

    def x(self, values: Floats) -> Floats:
        """Return pixels from the window's left of values in layout units."""
        pixels: Floats = (values - self.left) * self.zoom
        return pixels

    def y(self, rows: Ints) -> Floats:
        """Return pixels from the window's top to the boxes in these rows."""
        pixels: Floats = (rows.astype(np.float64) * ROW - self.top) * self.zoom
        return pixels

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the window as layout x and row; -1 as row for the gap between rows."""
        down = y / self.zoom + self.top
        row = down / ROW
        return x / self.zoom + self.left, row if down - np.floor(row) * ROW <= BOX else -1.0


def fitted(placed: Placed, size: QSize, usual: float) -> Viewpoint:
    """Return the viewpoint of a whole tree in a window, at the ``usual`` zoom at most."""
    wide, high = max(placed.right, 1.0), max(placed.rows * ROW, 1.0)
    room_x, room_y = max(size.width() - 2 * MARGIN, 20), max(size.height() - 2 * MARGIN, 20)
    zoom = min(max(min(room_x / wide, room_y / high), FARTHEST), usual)
    left = -MARGIN / zoom
    # A picture lower than the window stands in its middle.
    top = min(-MARGIN / zoom, (high - size.height() / zoom) / 2)
    return Viewpoint(zoom, left, top)
