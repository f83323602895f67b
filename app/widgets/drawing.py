"""Draws small things that many widgets need: mixed colours, pictures from arrays, icons.

Knows Qt's painting classes and NumPy; knows no widgets and no values.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QRect, Qt, QTimer
from PySide6.QtGui import QColor, QFont, QImage, QPaintDevice, QPainter, QPixmap

Pixels = NDArray[np.uint32]
_said: set[tuple[type[BaseException], str, int]] = set()
"""What was raised in paint events: the kind, and the file and line of it."""


@contextmanager
def painting(device: QPaintDevice) -> Iterator[QPainter]:
    """Yield a painter for a paint event; it ends whatever is raised, and that is said once."""
    with QPainter(device) as painter, said_once():
        yield painter


@contextmanager
def said_once() -> Iterator[None]:
    """Give what is raised within a paint event to ``sys.excepthook``, once for each line of code.

    What tells of it changes the window, which is then painted again, so all others are silent; and
    it is told after the event, in which no widget may be shown.
    """
    try:
        yield
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ("", 0)
        if (type(error), *at) not in _said:
            _said.add((type(error), *at))
            QTimer.singleShot(0, partial(sys.excepthook, type(error), error, error.__traceback__))


def mix(one: QColor, other: QColor, share: float) -> QColor:
    """Return the opaque colour that lies ``share`` (0..1) of the way from one colour to another."""
    a, b = np.array(one.getRgb()[:3]), np.array(other.getRgb()[:3])  # type: ignore[index]
    return QColor(*np.rint(a + (b - a) * share).astype(int).tolist())


def translucent(colour: QColor | str, alpha: int) -> QColor:
    """Return a colour with an alpha of 0..255."""
    made = QColor(colour)
    made.setAlpha(alpha)
    return made


def write(painter: QPainter, room: QRect, place: Qt.AlignmentFlag, words: str, colour: str) -> int:
    """Write one line somewhere in a room, with dots where it is too long for that; return how many
    pixels wide it is."""
    metrics = painter.fontMetrics()
    shown = metrics.elidedText(words, Qt.TextElideMode.ElideRight, max(room.width(), 0))
    painter.setPen(QColor(colour))
    painter.drawText(room, place, shown)
    return metrics.horizontalAdvance(shown)


def bold(font: QFont) -> QFont:
    """Return a font that is bold."""
    made = QFont(font)
    made.setBold(True)
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
    with QPainter(picture) as painter:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        draw(painter)
    return picture
