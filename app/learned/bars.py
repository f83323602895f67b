"""Draws an effect as a bar from 0 with its 95% interval, against the floor that it must pass.

Knows numbers and colours; knows nothing of findings.
"""

from dataclasses import dataclass

from PySide6.QtCore import QLineF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app import theme
from app.widgets.colour_scale import ColourScale

BAR, NARROW_BAR = 168, 96
"""Pixels of a bar beside words, and of one where a row is narrow."""
NARROW = 460
HIGH = 7.0
"""Pixels of a bar."""
CAP = 4.0
"""Pixels of the ends of an interval, above and below its line."""


def bar_width(row: QRect) -> int:
    """Return how many pixels of a row its bars have, at the right."""
    return BAR if row.width() >= NARROW else NARROW_BAR


@dataclass(frozen=True)
class Bars:
    """How bars are drawn that are to be compared: all on one axis of nats.

    ``widest``: the most nats of either sign; ``floor``: what an effect must pass.
    """

    widest: float
    floor: float
    dark: bool

    def paint(
        self, painter: QPainter, room: QRectF, effect: float, low: float, high: float
    ) -> None:
        """Paint one effect and its interval into a room."""
        colours = theme.colours(self.dark)
        y = room.center().y()

        def at(value: float) -> float:
            value = min(max(value / self.widest, -1.0), 1.0)
            return room.center().x() + value * (room.width() / 2 - CAP)

        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(colours.line), 1))
        painter.drawLine(QLineF(room.left(), y, room.right(), y))
        dashed = QPen(QColor(colours.muted), 1, Qt.PenStyle.DotLine)
        painter.setPen(dashed)
        for floor in (-self.floor, self.floor):
            painter.drawLine(QLineF(at(floor), room.top(), at(floor), room.bottom()))
        scale = ColourScale(dark=self.dark)
        painter.fillRect(
            QRectF(min(at(0), at(effect)), y - HIGH / 2, abs(at(effect) - at(0)), HIGH),
            QColor(scale.css(1.0 if effect > 0 else -1.0)),
        )
        painter.setPen(QPen(QColor(colours.text), 1.4))
        painter.drawLine(QLineF(at(low), y, at(high), y))
        for end in (low, high):
            painter.drawLine(QLineF(at(end), y - CAP, at(end), y + CAP))
        painter.setPen(QPen(QColor(colours.muted), 1))
        painter.drawLine(QLineF(at(0), room.top(), at(0), room.bottom()))
        painter.restore()
