"""The figure of a sweep of beam widths: win rate and mean length over width, with intervals.

Two panels over one logarithmic axis of widths, under a title that says what was compared and who
judged. Importing this module imports pyqtgraph. Knows the records of core.sweeps.record; knows
nothing of models or engines.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from core.errors import UserFacingError
from core.sweeps.record import SweepInfo, SweepRow, WidthFigures, figures

EMPTY = "Win rate and length appear here, prompt by prompt, once the sweep runs."
NOTE = "Bars: 95% intervals, Wilson's for the win rate (a tie is half a win), bootstrap for length"


class SweepPlot(QWidget):
    """What a sweep has found so far."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dark = False
        self._figures: list[WidthFigures] = []
        self._widths: tuple[int, ...] = ()
        self.title, self.subtitle, self.note = QLabel(), QLabel(), QLabel(NOTE)
        self.win = Panel("win rate")
        self.length = Panel("mean length (tokens)")
        self._empty = QLabel(EMPTY, self)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName("Win rate and mean length of the responses over beam width")
        for label in (self.title, self.subtitle, self.note):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setContentsMargins(8, 0, 8, 0)
        panels = QHBoxLayout()
        panels.setSpacing(14)
        panels.addWidget(self.win, 1)
        panels.addWidget(self.length, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 8, 8, 6)
        column.setSpacing(3)
        for label in (self.title, self.subtitle):
            column.addWidget(label)
        column.addLayout(panels, 1)
        column.addWidget(self.note)
        self.set_dark(False)
        self.show_sweep(None, ())

    def show_sweep(self, info: SweepInfo | None, rows: Sequence[SweepRow]) -> None:
        """Draw a sweep as far as it is; None for nothing."""
        self._figures = figures(rows)
        self._widths = info.widths if info is not None else ()
        self.title.setText(info.title if info is not None else "")
        self.subtitle.setText(info.subtitle(rows) if info is not None else "")
        empty = not self._figures
        for widget in (self.title, self.subtitle, self.note, self.win, self.length):
            widget.setVisible(not empty)
        self._empty.setVisible(empty)
        self._place()
        self._refresh()

    def set_dark(self, dark: bool) -> None:
        """Light or dark."""
        self._dark = dark
        c = theme.colours(dark)
        self.title.setStyleSheet(f"color: {c.text}; font-weight: 600; background: transparent;")
        for label in (self.subtitle, self.note, self._empty):
            label.setStyleSheet(f"color: {c.muted}; background: transparent;")
        a, b = (theme.SIDE_COLOURS[dark][side] for side in ("A", "B"))
        self.win.set_colours(c, b)
        self.length.set_colours(c, a)
        self._refresh()

    def _refresh(self) -> None:
        found = self._figures
        self.win.show_points(
            self._widths, [(f.width, f.win_rate, f.win_rate_low, f.win_rate_high) for f in found]
        )
        self.length.show_points(
            self._widths, [(f.width, f.tokens, f.tokens_low, f.tokens_high) for f in found]
        )
        rates = [f for f in found if not math.isnan(f.win_rate)]
        highest = max((f.win_rate_high for f in rates), default=1.0)
        self.win.fit(self._widths, 0.0, max(0.55, min(1.0, highest * 1.08)))
        tops = [f.tokens if math.isnan(f.tokens_high) else f.tokens_high for f in found]
        self.length.fit(self._widths, 0.0, 1.15 * max(tops, default=1.0))
        judged = any(f.judged for f in found)
        self.win.plot.setTitle(None if judged else "no verdicts yet", color=self.win.text)

    def paintEvent(self, event: QPaintEvent) -> None:
        # Not by the palette: the application's style sheet would put its own in place.
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(theme.colours(self._dark).surface))
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def _place(self) -> None:
        self._empty.setGeometry(self.rect().adjusted(16, 0, -16, 0))


class Panel(QWidget):
    """One quantity over widths: points, a line, and bars from low to high."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.text = ""
        self.plot = pg.PlotWidget()
        self.plot.setAntialiasing(True)
        item: Any = self.plot.getPlotItem()
        item.hideButtons()
        item.setMenuEnabled(False)
        item.getViewBox().setMouseEnabled(x=False, y=False)
        item.getViewBox().disableAutoRange()
        for side in ("left", "bottom"):
            item.getAxis(side).enableAutoSIPrefix(False)
        self._even = pg.InfiniteLine(0.5, angle=0)
        self._bars = pg.ErrorBarItem(x=np.zeros(0), y=np.zeros(0), beam=0.05)
        self._line = pg.PlotDataItem(connect="finite", symbol="o", symbolSize=8)
        for part in (self._even, self._bars, self._line):
            item.addItem(part)
        self._even.setVisible(name == "win rate")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        self.setAccessibleName(name)

    def points(self) -> list[tuple[float, float]]:
        """What is drawn: (log2 width, value)."""
        x, y = self._line.getOriginalDataset()
        return [] if x is None else list(zip(x.tolist(), y.tolist(), strict=True))

    def show_points(
        self, widths: Sequence[int], found: Sequence[tuple[int, float, float, float]]
    ) -> None:
        """Draw (width, value, low, high) for each; NaN is left out."""
        known = np.array([f for f in found if not math.isnan(f[1])], dtype=np.float64)
        known = known.reshape(-1, 4)
        x, y, low, high = np.log2(known[:, 0]), known[:, 1], known[:, 2], known[:, 3]
        self._line.setData(x, y)
        self._bars.setData(
            x=x, y=y, bottom=np.nan_to_num(y - low), top=np.nan_to_num(high - y), beam=0.05
        )
        axis = self.plot.getPlotItem().getAxis("bottom")
        axis.setTicks([[(math.log2(width), str(width)) for width in widths]])

    def fit(self, widths: Sequence[int], low: float, high: float) -> None:
        """Show all widths, and values from ``low`` to ``high``."""
        ends = [math.log2(width) for width in widths] or [0.0]
        self.plot.getPlotItem().getViewBox().setRange(
            # A little below, so that a point at the bottom is whole.
            xRange=(min(ends) - 0.4, max(ends) + 0.4),
            yRange=(low - 0.03 * (high - low), high),
            padding=0,
        )

    def set_colours(self, c: theme.Colours, colour: str) -> None:
        self.text = c.text
        self.plot.setBackground(c.surface)
        item: Any = self.plot.getPlotItem()
        faint = QColor(c.muted)
        faint.setAlpha(130)
        for side in ("left", "bottom"):
            item.getAxis(side).setPen(faint)
            item.getAxis(side).setTextPen(c.text)
        item.getAxis("left").setGrid(40)
        item.setLabel("left", self._name, color=c.text)
        item.setLabel("bottom", "beams", color=c.text)
        self._even.setPen(pg.mkPen(faint, style=Qt.PenStyle.DashLine))
        self._bars.setData(pen=pg.mkPen(colour, width=1.5))
        self._line.setPen(pg.mkPen(colour, width=2))
        self._line.setSymbolBrush(colour)
        self._line.setSymbolPen(None)


def draw(
    info: SweepInfo, rows: Sequence[SweepRow], path: Path, look: str, size: tuple[int, int]
) -> None:
    """Draw the figure into a PNG file, without a window.

    Raises:
        UserFacingError: the file cannot be written.
    """
    application = QApplication.instance() or QApplication(["qscope"])
    assert isinstance(application, QApplication)
    theme.apply(application, look == "dark")
    plot = SweepPlot()
    plot.set_dark(look == "dark")
    plot.resize(*size)
    plot.show_sweep(info, rows)
    save(plot, path)


def save(plot: SweepPlot, path: Path) -> None:
    """Write the figure as it is shown into a PNG file.

    Raises:
        UserFacingError: the file cannot be written.
    """
    if not plot.grab().save(str(path), "PNG"):
        raise UserFacingError(f"{path} cannot be written: choose another file.")
