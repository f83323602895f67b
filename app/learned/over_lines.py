"""Draws when a finding appeared: its effect at each checkpoint of the run, with its interval.

Knows a report; knows nothing of where it comes from.
"""

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme
from app.widgets.colour_scale import ColourScale
from app.widgets.drawing import painting, smaller, translucent, write
from app.widgets.layouts import as_tip
from core.learned.record import Learned
from core.learned.report import appeared
from core.present.numerals import with_minuses

HIGH = 64
EDGE = 4.0


class OverLines(QWidget):
    """One finding's effect over the checkpoints; hidden where these were not asked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dark = False
        self.points: list[tuple[int, float, float]] = []
        """Step, effect and standard error, in nats."""
        self.said = ""
        self._floor = self._widest = 1.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(240, HIGH + self.fontMetrics().height())

    def show_finding(self, found: Learned, number: int) -> None:
        """Show one of a report's findings."""
        self.points = []
        for at in found.over:
            effect, error = at.effects[number], at.errors[number]
            if effect is not None and error is not None:
                self.points.append((at.step, effect, error))
        self._floor = found.method.floor
        sizes = [abs(effect) + 1.96 * error for _, effect, error in self.points]
        self._widest = max([self._floor * 1.2, *sizes])
        self.said = with_minuses(appeared(found, number))
        self.setVisible(len(self.points) > 1)
        lines = [f"step {step}: {effect:+.2f} ± {1.96 * error:.2f}" for step, effect, error in
                 self.points]  # fmt: skip
        self.setToolTip(as_tip(with_minuses("\n".join([self.said, *lines]))))
        self.setAccessibleName(self.said)
        self.update()

    def set_dark(self, dark: bool) -> None:
        """Draw for a dark or a light theme."""
        self._dark = dark
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        with painting(self) as painter:
            colours = theme.colours(self._dark)
            painter.setRenderHint(painter.RenderHint.Antialiasing)
            painter.setFont(smaller(self.font(), 1))
            words = painter.fontMetrics().height()
            above = QRect(0, 0, self.width(), words)
            write(painter, above, Qt.AlignmentFlag.AlignLeft, self.said, colours.muted)
            room = QRectF(EDGE, words + 2, self.width() - 2 * EDGE, self.height() - 2 * words - 4)
            steps = [step for step, _, _ in self.points]
            span = max(steps[-1] - steps[0], 1) if steps else 1

            def at(step: int, value: float) -> QPointF:
                x = room.left() + (step - steps[0]) / span * room.width()
                return QPointF(x, room.center().y() - value / self._widest * room.height() / 2)

            for value, style in ((0.0, Qt.PenStyle.SolidLine), (self._floor, Qt.PenStyle.DotLine),
                                 (-self._floor, Qt.PenStyle.DotLine)):  # fmt: skip
                painter.setPen(
                    QPen(QColor(colours.line if value == 0 else colours.muted), 1, style)
                )
                y = room.center().y() - value / self._widest * room.height() / 2
                painter.drawLine(QPointF(room.left(), y), QPointF(room.right(), y))
            last = self.points[-1][1] if self.points else 0.0
            hue = QColor(ColourScale(dark=self._dark).css(1.0 if last > 0 else -1.0))
            upper = [at(step, effect + 1.96 * error) for step, effect, error in self.points]
            lower = [at(step, effect - 1.96 * error) for step, effect, error in self.points]
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(translucent(hue, 60))
            painter.drawPolygon(QPolygonF([*upper, *reversed(lower)]))
            painter.setBrush(hue)
            line = [at(step, effect) for step, effect, _ in self.points]
            painter.setPen(QPen(hue, 2))
            painter.drawPolyline(QPolygonF(line))
            for point in line:
                painter.drawEllipse(point, 2.2, 2.2)
            painter.setPen(QColor(colours.muted))
            foot = QRectF(0, self.height() - words, self.width(), words)
            if steps:
                painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, f"step {steps[0]}")
                painter.drawText(foot, Qt.AlignmentFlag.AlignRight, f"step {steps[-1]}")
