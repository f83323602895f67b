"""The figure of a sweep of beam widths: win rate and mean length over width, with intervals.

Two panels over one logarithmic axis of widths, under a title that says what was compared and who
judged. Importing this module imports pyqtgraph. Knows the records of core.sweeps.record; knows
nothing of models or engines.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.widgets.plots import pen
from core.errors import UserFacingError
from core.sweeps.record import SweepInfo, SweepRow, figures

EMPTY = "Win rate and length appear here, prompt by prompt, once the sweep runs."
NOTE = "Bars: 95% intervals, Wilson's for the win rate (a tie is half a win), bootstrap for length"


class SweepPlot(QWidget):
    """What a sweep has found so far."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # The application's style sheet would put its own background in place of the palette's.
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Win rate and mean length of the responses over beam width")
        self.title, self.subtitle, note = QLabel(), QLabel(), QLabel(NOTE)
        self.title.setObjectName("title")
        self.win = Panel("win rate")
        self.length = Panel("mean length (tokens)")
        self.win.show_level(0.5)
        empty, figure = QLabel(EMPTY), QWidget()
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        for label in (self.title, self.subtitle, note, empty):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setContentsMargins(8, 0, 8, 0)
        panels = QHBoxLayout()
        panels.setSpacing(14)
        panels.addWidget(self.win, 1)
        panels.addWidget(self.length, 1)
        column = QVBoxLayout(figure)
        column.setContentsMargins(4, 8, 8, 6)
        column.setSpacing(3)
        column.addWidget(self.title)
        column.addWidget(self.subtitle)
        column.addLayout(panels, 1)
        column.addWidget(note)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(empty)
        self._pages.addWidget(figure)
        self.set_dark(False)

    def show_sweep(self, info: SweepInfo | None, rows: Sequence[SweepRow]) -> None:
        """Draw a sweep as far as it is; None for nothing."""
        self._pages.setCurrentIndex(1 if info is not None and rows else 0)
        if info is None or not rows:
            return
        self.title.setText(info.title)
        self.subtitle.setText(info.subtitle(rows))
        found = figures(rows)
        rates = [(f.width, f.win_rate, f.win_rate_low, f.win_rate_high) for f in found if f.judged]
        highest = max((rate[3] for rate in rates), default=1.0)
        self.win.show_points(info.widths, rates, max(0.55, min(1.0, highest * 1.08)))
        self.win.say("" if rates else "no verdicts yet")
        lengths = [(f.width, f.tokens, f.tokens_low, f.tokens_high) for f in found]
        tops = (length[1] if math.isnan(length[3]) else length[3] for length in lengths)
        self.length.show_points(info.widths, lengths, 1.15 * max(tops))

    def set_dark(self, dark: bool) -> None:
        """Draw on a light ground, or on a dark one."""
        c = theme.colours(dark)
        self.setStyleSheet(
            f"SweepPlot {{ background: {c.surface}; }}"
            f"QLabel {{ color: {c.muted}; background: transparent; }}"
            f"#title {{ color: {c.text}; font-weight: 600; }}"
        )
        self.win.set_colours(c, theme.SIDE_COLOURS[dark]["B"])
        self.length.set_colours(c, theme.SIDE_COLOURS[dark]["A"])


class Panel(QWidget):
    """One quantity over widths: points, a line, and bars from low to high."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self.setAccessibleName(name)
        self._note, self._text = "", ""
        self.plot = pg.PlotWidget(enableMenu=False)
        self.plot.setAntialiasing(True)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.disableAutoRange()
        self._axes = [self.plot.getAxis(side) for side in ("left", "bottom")]
        for axis in self._axes:
            axis.enableAutoSIPrefix(False)
        self._level = pg.InfiniteLine(angle=0)
        self._level.hide()
        self._bars = pg.ErrorBarItem(x=np.zeros(0), y=np.zeros(0), beam=0.05)
        self._line = pg.PlotDataItem(symbol="o", symbolSize=8)
        for part in (self._level, self._bars, self._line):
            self.plot.addItem(part)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)

    def points(self) -> list[tuple[float, float]]:
        """Return what is drawn: (log2 width, value)."""
        x, y = self._line.getOriginalDataset()
        return [] if x is None else list(zip(x.tolist(), y.tolist(), strict=True))

    def say(self, note: str) -> None:
        """Write a note above the plot; "" for none."""
        self._note = note
        self.plot.setTitle(note or None, color=self._text)

    def show_level(self, value: float) -> None:
        """Draw a dashed line at a value."""
        self._level.setValue(value)
        self._level.show()

    def show_points(
        self, widths: Sequence[int], found: Sequence[tuple[int, float, float, float]], top: float
    ) -> None:
        """Draw (width, value, low, high) for each, over all widths and values from 0 to ``top``.

        A bar that is not known (NaN) has no length.
        """
        width, y, low, high = np.array(found, dtype=np.float64).reshape(-1, 4).T
        x = np.log2(width)
        self._line.setData(x, y)
        self._bars.setData(x=x, y=y, bottom=np.nan_to_num(y - low), top=np.nan_to_num(high - y))
        ticks = [(math.log2(width), str(width)) for width in widths]
        self._axes[1].setTicks([ticks])
        # A little below 0, so that a point at the bottom is whole.
        self.plot.setRange(
            xRange=(ticks[0][0] - 0.4, ticks[-1][0] + 0.4), yRange=(-0.03 * top, top), padding=0
        )

    def set_colours(self, c: theme.Colours, colour: str) -> None:
        """Draw in a colour, on the ground of a theme."""
        self._text = c.text
        self.say(self._note)
        self.plot.setBackground(c.surface)
        faint = QColor(c.muted)
        faint.setAlpha(130)
        for axis, name in zip(self._axes, (self._name, "beams"), strict=True):
            axis.setPen(pen(faint))
            axis.setTextPen(c.text)
            axis.setLabel(name, color=c.text)
        self._axes[0].setGrid(40)
        self._level.setPen(pen(faint, style=Qt.PenStyle.DashLine))
        self._bars.setData(pen=pen(colour, 1.5))
        self._line.setPen(pen(colour, theme.PEN))
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
