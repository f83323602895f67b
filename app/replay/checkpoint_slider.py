"""Draws the axis of a run's training steps: a tick per checkpoint, a handle that snaps to them.

A slider over checkpoint numbers, so that keys, wheel and screen readers work as usual; it is
painted and dragged by step. Its value is the checkpoint that is asked for; the one that is shown is
marked too. Knows steps; knows nothing of runs, scores or the engine.
"""

from collections.abc import Collection, Sequence

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.widgets.boxes import Slider
from app.widgets.drawing import painting, smaller, translucent

MARGIN = 14.0
LINE = 12.0
"""Pixels from the top to the axis."""
APART = 7.0
"""Least pixels between two numbers under the axis."""


def share_of(steps: Sequence[int], index: int) -> float:
    """Return how far a checkpoint's step lies between the first and the last, 0..1."""
    first, last = steps[0], steps[-1]
    return (steps[index] - first) / (last - first) if last > first else 0.5


class CheckpointSlider(Slider):
    """A slider over checkpoints: which is asked for, which is shown, which are known."""

    play_wanted = Signal()
    """Space was pressed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.steps: tuple[int, ...] = ()
        self.shown = -1
        self.known: frozenset[int] = frozenset()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(150)
        self.setAccessibleName("Checkpoint of the training run")
        self.set_steps(())

    def set_steps(self, steps: Sequence[int]) -> None:
        """Take the checkpoints' steps, ascending; the last is asked for and shown."""
        self.steps = tuple(steps)
        self.known = frozenset()
        self.shown = len(steps) - 1
        with QSignalBlocker(self):
            self.setRange(0, max(len(steps) - 1, 0))
            self.setPageStep(max(len(steps) // 5, 1))
            self.setValue(self.shown)
        self._describe()

    def set_known(self, known: Collection[int]) -> None:
        """Mark the checkpoints whose colours are there without computing."""
        self.known = frozenset(known)
        self.update()

    def set_shown(self, index: int) -> None:
        """Mark the checkpoint whose colours are on the screen."""
        self.shown = index
        self._describe()

    def ask(self, index: int) -> None:
        """Put the handle at a checkpoint without a signal."""
        with QSignalBlocker(self):
            self.setValue(index)
        self._describe()

    def x_of(self, index: int) -> float:
        """Return where a checkpoint's tick is, in pixels."""
        return MARGIN + share_of(self.steps, index) * (self.width() - 2 * MARGIN)

    def nearest(self, x: float) -> int:
        """Return the checkpoint whose tick is nearest to x; -1 without checkpoints."""
        if not self.steps:
            return -1
        return int(np.argmin([abs(self.x_of(i) - x) for i in range(len(self.steps))]))

    def _describe(self) -> None:
        if self.steps:
            asked = f"step {self.steps[self.value()]} of {self.steps[-1]}"
            self.setAccessibleDescription(
                f"{asked}; checkpoint {self.value() + 1} of {len(self.steps)}"
            )
        self.update()

    # --- mouse and keys ---------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton or not self.steps:
            event.ignore()
            return
        self.setSliderDown(True)
        self._drag_to(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self.isSliderDown():
            self._drag_to(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.isSliderDown():
            self.setSliderDown(False)

    def _drag_to(self, event: QMouseEvent) -> None:
        self.setValue(self.nearest(event.position().x()))
        self._describe()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self.play_wanted.emit()
            return
        super().keyPressEvent(event)
        self._describe()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and self.steps:
            index = self.nearest(event.pos().x())
            known = "its colours are known" if index in self.known else "not computed yet"
            start = ", before the training" if self.steps[index] == 0 else ""
            QToolTip.showText(
                event.globalPos(),
                f"Step {self.steps[index]}{start}: checkpoint {index + 1} of {len(self.steps)}, "
                f"{known}.\nDrag, or use the arrow keys, Home and End; Space plays.",
                self,
            )
            return True
        return super().event(event)

    # --- painting ---------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        return QSize(400, 34)

    def minimumSizeHint(self) -> QSize:
        return QSize(150, 34)

    def paintEvent(self, event: QPaintEvent) -> None:
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            palette = self.palette()
            text = palette.color(QPalette.ColorRole.WindowText)
            accent = palette.color(QPalette.ColorRole.Highlight)
            if self.hasFocus():
                painter.setPen(QPen(accent, 1.5))
                painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 5, 5)
            if self.steps:
                self._paint_ticks(painter, text, accent)
                self._paint_numbers(painter, text)
                self._paint_marks(painter, text, accent)

    def _paint_ticks(self, painter: QPainter, text: QColor, accent: QColor) -> None:
        faint = translucent(text, 90)
        painter.setPen(QPen(faint, 1.5))
        painter.drawLine(QPointF(self.x_of(0), LINE), QPointF(self.x_of(-1), LINE))
        for index in range(len(self.steps)):
            x = self.x_of(index)
            known = QPen(accent, 3.0, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
            painter.setPen(known if index in self.known else QPen(faint, 1.5))
            painter.drawLine(QPointF(x, LINE - 4), QPointF(x, LINE + 4))

    def _paint_numbers(self, painter: QPainter, text: QColor) -> None:
        """Write the steps, as many as fit: the first and the last, then from the left."""
        font = smaller(self.font(), 2.0)
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        painter.setPen(translucent(text, 170))
        taken: list[tuple[float, float]] = []
        for index in dict.fromkeys((0, len(self.steps) - 1, *range(len(self.steps)))):
            name = str(self.steps[index])
            wide = metrics.horizontalAdvance(name)
            left = self.x_of(index) - wide / 2
            if all(left > end + APART or left + wide < begin - APART for begin, end in taken):
                taken.append((left, left + wide))
                painter.drawText(QPointF(left, LINE + 8 + metrics.ascent()), name)

    def _paint_marks(self, painter: QPainter, text: QColor, accent: QColor) -> None:
        """Paint a ring at the checkpoint that is shown, the handle at the one that is asked for."""
        surface = self.palette().color(QPalette.ColorRole.Base)
        if self.shown >= 0 and self.shown != self.value():
            painter.setPen(QPen(text, 1.6))
            painter.setBrush(surface)
            painter.drawEllipse(QPointF(self.x_of(self.shown), LINE), 4.5, 4.5)
        painter.setPen(QPen(surface, 1.2))
        painter.setBrush(accent)
        painter.drawRoundedRect(QRectF(self.x_of(self.value()) - 5, LINE - 9, 10, 18), 3.5, 3.5)
