"""Places and paints the chip of the closing token, behind the last letter of a response.

Knows a line of laid-out text and an ink; knows nothing of editors or tokens.
"""

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPen, QTextLine

from app.widgets.line_painting import Ink, line_end

_GAP = 6


@dataclass(frozen=True)
class Chip:
    """A chip's box, its label and the label's font."""

    box: QRectF
    label: str
    font: QFont


def place_chip(
    label: str, line: QTextLine, origin: QPointF, rtl: bool, width: float, font: QFont
) -> Chip:
    """Return the chip that follows ``line``.

    ``origin`` is where the line's layout stands in a viewport of this ``width`` (pixels). Where the
    label does not fit, a square stands for it.
    """
    font = QFont(font)
    font.setPointSizeF(max(font.pointSizeF() * 0.78, 6.5))
    wide = QFontMetricsF(font).horizontalAdvance(label) + 12
    edge = line_end(line, rtl) + origin.x()
    room = edge if rtl else width - edge
    if wide + _GAP + 4 > room:  # always fits: the layout leaves a newline's width
        label, wide = "■", min(14.0, max(room - _GAP - 2, 8.0))
    left = edge - _GAP - wide if rtl else edge + _GAP
    top = origin.y() + line.y()
    box = QRectF(round(left), round(top) + 1, round(wide), round(line.height()) - 2)
    return Chip(box, label, font)


def paint_chip(painter: QPainter, chip: Chip, colour: int, ink: Ink) -> None:
    """Draw a chip filled with one of the ink's colours."""
    painter.setBrush(ink.colour(colour))
    painter.setPen(QPen(ink.faint.color(), 1))
    painter.drawRoundedRect(chip.box.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
    painter.setPen(ink.text)
    painter.setFont(chip.font)
    painter.drawText(chip.box, int(Qt.AlignmentFlag.AlignCenter), chip.label)
