"""Draws two small curves over a run's checkpoints: the pair's margin, and how far credit spreads.

``margin_and_spread`` makes the numbers from scorings; MarginPlot draws them. Knows scorings and the
paper's quantities; knows nothing of where scorings come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QFontMetricsF,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.replay.checkpoint_slider import share_of
from app.widgets.drawing import painting, smaller, translucent
from app.widgets.layouts import as_tip
from core import quantities
from core.engine.protocol import Side
from core.present.credit import IMPLICIT, Credit
from core.present.numerals import signed
from core.present.pair import pair_numbers
from core.scoring import Scoring

Floats = NDArray[np.float64]
TIP = (
    "Margin: Σr(A) − Σr(B), the sum over each whole response, or what else the training's loss "
    "compares.\n"
    "Spread of credit: (Σ|r|)² / Σr² over the tokens of the response that is shown: k tokens of "
    "equal |r| and else 0 give k. It falls as credit gathers on a few tokens and grows as it "
    "smears over many. At first rewards are all near 0 and as good as even, so read it with the "
    "margin."
)


@dataclass(frozen=True, eq=False)
class MarginAndSpread:
    """Margin and spread by checkpoint, [n] each, NaN where a checkpoint is not known."""

    margin: Floats
    """Of A over B, as the training's loss has it: Σr(A) − Σr(B) of DPO, in nats times beta."""
    spread: Floats
    """Number of tokens over which the shown response's credit is spread."""
    tokens: int
    """Tokens of the shown response, with the closing one."""


def margin_and_spread(
    checkpoints: int,
    frames: Mapping[Side, Mapping[int, Scoring]],
    side: Side,
    beta: float,
    credit: Credit = IMPLICIT,
) -> MarginAndSpread:
    """Return margin and spread for the checkpoints that are known.

    ``frames`` has each side's scorings by checkpoint; ``side`` is the response that is shown.
    """
    margin, spread = np.full(checkpoints, np.nan), np.full(checkpoints, np.nan)
    for index in range(checkpoints):
        found = {s: known[index] for s, known in frames.items() if index in known}
        if len(found) == 2:
            numbers = pair_numbers(found["A"], found["B"], beta, credit)
            margin[index] = np.nan if numbers.margin is None else numbers.margin
        if side in found:
            spread[index] = quantities.credit_spread(credit.of(found[side], beta))
    tokens = max((len(scoring) for scoring in frames.get(side, {}).values()), default=0)
    return MarginAndSpread(margin, spread, tokens)


NOTHING = MarginAndSpread(np.zeros(0), np.zeros(0), 0)


class MarginPlot(QWidget):
    """A widget of two curves over the same steps: margin above, spread below."""

    step_wanted = Signal(int)
    """A checkpoint was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measures = NOTHING
        self.symbol = "Σr"
        """What a response's number is called."""
        self._steps: tuple[int, ...] = ()
        self._shown = -1
        self._side: Side = "A"
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(220, 120)
        self.setToolTip(as_tip(TIP))

    def sizeHint(self) -> QSize:
        return QSize(280, 200)

    def show_measures(
        self, steps: tuple[int, ...], measures: MarginAndSpread, side: Side, shown: int
    ) -> None:
        """Show both curves, and mark the checkpoint ``shown``; -1 for none."""
        self._steps, self.measures, self._side, self._shown = steps, measures, side, shown
        self.setAccessibleName(". ".join(self.headings()))
        self.update()

    def headings(self) -> tuple[str, str]:
        """Return what both curves are, with their numbers at the checkpoint that is shown."""
        margin = spread = ""
        if 0 <= self._shown < len(self.measures.margin):
            at_margin = self.measures.margin[self._shown]
            at_spread = self.measures.spread[self._shown]
            margin = f" = {signed(at_margin)}" if np.isfinite(at_margin) else ""
            if np.isfinite(at_spread):
                spread = f" = {at_spread:.1f} of {self.measures.tokens} tokens"
        return (
            f"Margin {self.symbol}(A) − {self.symbol}(B){margin}",
            f"Spread of credit in {self._side}{spread}",
        )

    def x_of(self, index: int) -> float:
        """Return where a checkpoint's points are, in pixels."""
        return 44 + share_of(self._steps, index) * (self.width() - 56)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self._steps:
            away = [abs(self.x_of(i) - event.position().x()) for i in range(len(self._steps))]
            self.step_wanted.emit(int(np.argmin(away)))

    def paintEvent(self, event: QPaintEvent) -> None:
        with painting(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            if self._steps:
                half = self.height() / 2
                margin, spread = self.headings()
                width = self.width()
                self._paint(painter, QRectF(0, 0, width, half), margin, self.measures.margin, False)
                self._paint(
                    painter, QRectF(0, half, width, half), spread, self.measures.spread, True
                )

    def _paint(
        self, painter: QPainter, area: QRectF, heading: str, values: Floats, counts: bool
    ) -> None:
        """Paint one curve with its heading and scale; ``counts``: of tokens, so from 1 on."""
        text = self.palette().color(QPalette.ColorRole.WindowText)
        accent = self.palette().color(QPalette.ColorRole.Highlight)
        faint = translucent(text, 90)
        metrics = QFontMetricsF(self.font())
        painter.setFont(self.font())
        painter.setPen(text)
        name = metrics.elidedText(heading, Qt.TextElideMode.ElideRight, area.width() - 8)
        painter.drawText(QPointF(4, area.top() + metrics.ascent()), name)
        plot = QRectF(40, area.top() + metrics.height() + 7, area.width() - 48, 0)
        plot.setBottom(area.bottom() - 9)
        floor = 1.0 if counts else 0.0
        known = np.flatnonzero(np.isfinite(values))
        low = min(floor, float(values[known].min(initial=floor)))
        high = max(floor + 1e-9, float(values[known].max(initial=floor)))

        def y_of(value: float) -> float:
            return plot.bottom() - (value - low) / (high - low) * plot.height()

        self._paint_scale(painter, plot, {y_of(v): v for v in (low, floor, high)}, counts)
        painter.setPen(QPen(faint, 1))
        painter.drawLine(QPointF(plot.left(), y_of(floor)), QPointF(plot.right(), y_of(floor)))
        if self._shown >= 0:
            x = self.x_of(self._shown)
            painter.setPen(QPen(faint, 1.5))
            painter.drawLine(QPointF(x, plot.top() - 3), QPointF(x, plot.bottom() + 3))
        points = {int(i): QPointF(self.x_of(int(i)), y_of(float(values[i]))) for i in known}
        painter.setPen(QPen(accent, 1.8))
        painter.drawPolyline(QPolygonF(list(points.values())))
        painter.setBrush(accent)
        for index, point in points.items():
            size = 4.0 if index == self._shown else 2.2
            painter.drawEllipse(point, size, size)

    def _paint_scale(
        self, painter: QPainter, plot: QRectF, places: dict[float, float], counts: bool
    ) -> None:
        """Write numbers left of the plot, but none over another."""
        painter.setFont(smaller(self.font(), 1.5))
        painter.setPen(translucent(self.palette().color(QPalette.ColorRole.WindowText), 170))
        taken: list[float] = []
        for y, value in sorted(places.items()):
            if all(abs(y - other) > 11 for other in taken):
                taken.append(y)
                name = f"{value:.1f}" if counts else signed(value, 2)
                box = QRectF(0, y - 8, plot.left() - 5, 16)
                align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                painter.drawText(box, align, name)
