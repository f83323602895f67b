"""Draws small things that many widgets need: mixed colours, pictures from arrays, icons.

Knows Qt's painting classes and NumPy; knows no widgets and no values.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPixmap

Pixels = NDArray[np.uint32]


def mix(one: QColor, other: QColor, share: float) -> QColor:
    """Return the opaque colour that lies ``share`` (0..1) of the way from one colour to another."""
    a, b = np.array(one.getRgb()[:3]), np.array(other.getRgb()[:3])  # type: ignore[index]
    return QColor(*np.rint(a + (b - a) * share).astype(int).tolist())


def translucent(colour: QColor | str, alpha: int) -> QColor:
    """Return a colour with an alpha of 0..255."""
    made = QColor(colour)
    made.setAlpha(alpha)
    return made


def smaller(font: QFont, points: float) -> QFont:
    """Return a font smaller by some points, but still legible."""
    made = QFont(font)
    made.setPointSizeF(max(font.pointSizeF() - points, 6.5))
    return made


def pack(rgb: ArrayLike) -> Pixels:
    """Return sRGB components 0..255, [..., 3], as opaque pixels 0xffRRGGBB, [...]."""
    parts = np.asarray(rgb).astype(np.uint32)
    pixels: Pixels = 0xFF000000 + (parts[..., 0] << 16) + (parts[..., 1] << 8) + parts[..., 2]
    return pixels


def picture_of(pixels: Pixels, form: QImage.Format = QImage.Format.Format_RGB32) -> QImage:
    """Return pixels [high, wide] as a picture with memory of its own."""
    high, wide = pixels.shape
    # The copy owns its pixels; without it the image would outlive the array.
    return QImage(np.ascontiguousarray(pixels).data, wide, high, 4 * wide, form).copy()


def draw_picture(
    width: int, height: int, ratio: float, draw: Callable[[QPainter], object]
) -> QPixmap:
    """Return what ``draw`` paints on a transparent ground, at a device pixel ratio."""
    picture = QPixmap(round(width * ratio), round(height * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw(painter)
    painter.end()
    return picture
