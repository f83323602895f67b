"""Places and paints the chip of the closing token, behind the last letter of a response.

Knows a line of laid-out text and an ink; knows nothing of editors or tokens.
"""

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QFont, QFontInfo, QFontMetricsF, QPainter, QPen, QTextLine

from app.widgets.line_painting import Ink, line_end

_GAP = 6
_SHORT = "end"
"""Stands for the label where there is no room for it."""
_SMALLEST = 8
"""Pixels below which no letter is drawn."""


@dataclass(frozen=True)
class Chip:
    """A chip's box, its label and the label's font."""

    box: QRectF
    label: str
    font: QFont


def place_chip(
    label: str, line: QTextLine, origin: QPointF, rtl: bool, room: QSizeF, font: QFont, free: int
) -> Chip:
    """Return the chip that follows ``line``: behind it, else below it, else a short one behind it.

    ``origin`` is where the line's layout stands in a viewport with this ``room`` (pixels); a height
    of 0 says that nothing can stand below the last line. ``free`` pixels of its line stay so above
    the chip and below it.
    """
    font = QFont(font)
    font.setPointSizeF(max(font.pointSizeF() * 0.78, 6.5))
    wide = QFontMetricsF(font).horizontalAdvance(label) + 12
    edge = line_end(line, rtl) + origin.x()
    far = line_end(line, not rtl) + origin.x()
    top, high = origin.y() + line.y(), line.height()
    space, margin = (edge if rtl else room.width() - edge), origin.x() + line.x()
    start = edge
    if wide + _GAP + 4 > space:
        if top + 2 * high <= room.height() and wide + 2 * margin <= room.width():
            # Lines begin at the left whatever they are written in, and so would one more.
            top, start, rtl = top + high, margin - _GAP, False
        else:
            if rtl and room.width() - far > space:
                start, space, rtl = far, room.width() - far, False
            # A little room there always is: the document's margin, and what a newline takes.
            label = _SHORT
            font, wide = _fitting(label, space - _GAP - 2, font)
    left = start - _GAP - wide if rtl else start + _GAP
    left = min(max(left, 1.0), max(room.width() - wide - 1, 1.0))
    box = QRectF(round(left), round(top) + free, round(wide), round(high) - 2 * free)
    return Chip(box, label, font)


def _fitting(label: str, room: float, font: QFont) -> tuple[QFont, float]:
    """Return the largest font, no larger than this one, in which a label fits, and its box's width,
    in pixels."""
    made = QFont(font)
    size = QFontInfo(font).pixelSize()
    while True:
        made.setPixelSize(size)
        wide = QFontMetricsF(made).horizontalAdvance(label) + 4
        if wide <= room or size <= _SMALLEST:
            return made, wide
        size -= 1


def paint_chip(painter: QPainter, chip: Chip, colour: int, ink: Ink) -> None:
    """Draw a chip filled with one of the ink's colours."""
    painter.setBrush(ink.colour(colour))
    painter.setPen(QPen(ink.faint.color(), 1))
    painter.drawRoundedRect(chip.box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
    painter.setPen(ink.text)
    painter.setFont(chip.font)
    painter.drawText(chip.box, int(Qt.AlignmentFlag.AlignCenter), chip.label)
