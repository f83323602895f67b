"""Fills rectangles by the thousand from an array: with a painter, or into an image's pixels.

Boxes of some size are drawn in one call per colour; specks are put into the pixels without a
painter. Knows nothing of trees.
"""

from typing import Protocol

import numpy as np
import shiboken6
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QImage, QPainter

from app.search.layout import Floats, Ints

DASH = 3
"""Pixels of a dash, and of the gap after it."""


class Fill(Protocol):
    """A way to fill rectangles, [n, 4] as x, y, width, height; ``index`` [n] has their colours.

    ``dashed``: with gaps, through which is seen what lies below.
    """

    def __call__(
        self,
        rects: Floats,
        colours: list[QColor],
        index: Ints | None = None,
        *,
        dashed: bool = False,
    ) -> None: ...


class Brushes:
    """A filler that uses the painter: one call per colour. For boxes of some size."""

    def __init__(self, painter: QPainter) -> None:
        self._painter = painter

    def __call__(
        self,
        rects: Floats,
        colours: list[QColor],
        index: Ints | None = None,
        *,
        dashed: bool = False,
    ) -> None:
        if not len(rects):
            return
        self._painter.setPen(Qt.PenStyle.NoPen)
        if index is None:
            index = np.zeros(len(rects), dtype=np.int64)
        order = np.argsort(index, kind="stable")
        rects, index = np.ascontiguousarray(rects[order]), index[order]
        cuts = np.flatnonzero(np.diff(index)) + 1
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(index)], strict=True):
            part = rects[start:stop]
            colour = colours[int(index[start])]
            self._painter.setBrush(_dashes(colour) if dashed else colour)
            # The array's memory is what C++ has in an array of QRectF: four doubles each.
            first = shiboken6.wrapInstance(part.ctypes.data, QRectF)
            self._painter.drawRects(first, len(part))  # type: ignore[call-overload]


class Pixels:
    """A filler of an image's pixels: for thousands of specks, too many for a painter's calls."""

    def __init__(self) -> None:
        self._ratio = 1.0
        self._pixels = np.zeros((1, 1), dtype=np.uint32)

    def clear(self, size: QSize, ratio: float, paper: QColor) -> None:
        """Begin anew with paper alone; the memory is reused while the size stays."""
        high, wide = max(round(size.height() * ratio), 1), max(round(size.width() * ratio), 1)
        if self._pixels.shape != (high, wide):
            self._pixels = np.zeros((high, wide), dtype=np.uint32)
        self._ratio = ratio
        self._pixels.fill(paper.rgb())

    def __call__(
        self,
        rects: Floats,
        colours: list[QColor],
        index: Ints | None = None,
        *,
        dashed: bool = False,
    ) -> None:
        high, wide = self._pixels.shape
        ratio = self._ratio
        left = np.rint(rects[:, 0] * ratio).clip(0, wide).astype(np.int64)
        top = np.rint(rects[:, 1] * ratio).clip(0, high).astype(np.int64)
        right = np.rint((rects[:, 0] + rects[:, 2]) * ratio).clip(0, wide).astype(np.int64)
        bottom = np.rint((rects[:, 1] + rects[:, 3]) * ratio).clip(0, high).astype(np.int64)
        across = right - left
        counts = across * (bottom - top)
        of = np.repeat(np.arange(len(rects)), counts)
        nth = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
        down, along = np.divmod(nth, across[of])
        values = np.array([colour.rgb() for colour in colours], dtype=np.uint32)
        ink = np.broadcast_to(values[0], of.shape) if index is None else values[index][of]
        rows, columns = top[of] + down, left[of] + along
        if dashed:
            dash = max(round(DASH * ratio), 1)
            on = along // dash % 2 == 0
            rows, columns, ink = rows[on], columns[on], ink[on]
        self._pixels[rows, columns] = ink

    def put(self, painter: QPainter) -> None:
        """Draw all pixels. The image looks at the array's memory, so it must not stay."""
        high, wide = self._pixels.shape
        form = QImage.Format.Format_RGB32
        image = QImage(self._pixels.data, wide, high, 4 * wide, form)
        image.setDevicePixelRatio(self._ratio)
        painter.drawImage(0, 0, image)


def _dashes(colour: QColor) -> QBrush:
    """Return a brush that leaves gaps along lines, level or upright ones."""
    across, down = np.meshgrid(np.arange(2 * DASH), np.arange(2 * DASH))
    on = (across + down) // DASH % 2 == 0
    pixels = np.where(on, colour.rgba(), 0).astype(np.uint32)
    image = QImage(pixels.data, 2 * DASH, 2 * DASH, 8 * DASH, QImage.Format.Format_ARGB32)
    return QBrush(image.copy())
