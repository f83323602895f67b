"""Sets up pyqtgraph's plots as Qscope's charts have them: axes, colours, notes, the Fit button.

Importing this module imports pyqtgraph. Knows plots; knows nothing of what they show.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QPen
from PySide6.QtWidgets import QApplication, QToolButton

from app import theme

TOP = 7
"""Pixels above a plot, for the upper half of the numbers at its upper edge."""


def note_font() -> QFont:
    """Return the font of numbers and names at axes."""
    font = QFont(QApplication.font())
    font.setPixelSize(theme.NOTE)
    return font


def prepare(item: Any, axes: Sequence[str]) -> None:
    """Show these axes of a plot item, with plain numbers, and leave the range to the chart."""
    item.hideButtons()
    item.layout.setContentsMargins(1, TOP, 1, 1)
    item.getViewBox().disableAutoRange()
    for name in axes:
        item.showAxis(name)
        axis = item.getAxis(name)
        axis.enableAutoSIPrefix(False)
        # Of the finer ticks' faint lines each takes as long to draw as all bars together.
        axis.setStyle(maxTickLevel=0)


def pen(
    colour: QColor | str,
    width: float = theme.HAIR,
    style: Qt.PenStyle = Qt.PenStyle.SolidLine,
) -> QPen:
    """Return a pen that is as wide on every screen: pyqtgraph's count the screen's own pixels."""
    application = QApplication.instance()
    ratio = application.devicePixelRatio() if isinstance(application, QApplication) else 1.0
    made: QPen = pg.mkPen(colour, width=width * ratio, style=style)
    return made


def dress(
    plot: Any, titles: Mapping[str, str], surface: QColor, text: QColor, faint: QColor
) -> None:
    """Give a plot its colours, and its axes (by name) their titles."""
    plot.setBackground(surface)
    item = plot.getPlotItem()
    for name, title in titles.items():
        axis = item.getAxis(name)
        axis.setPen(pen(faint))
        axis.setTextPen(text)
        item.setLabel(name, title, color=text.name())


def dress_note(note: Any, surface: QColor, text: QColor, faint: QColor) -> None:
    """Give a text item a ground and a border, so that it can be read over curves."""
    note.setColor(text)
    note.fill = pg.mkBrush(surface)
    note.border = pen(faint)


def fit_button(fit: Callable[[], object]) -> QToolButton:
    """Return the button that shows all tokens again."""
    button = QToolButton()
    button.setText("Fit")
    button.setToolTip("Show all tokens (the wheel zooms, dragging moves)")
    button.clicked.connect(fit)
    return button
