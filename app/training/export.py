"""The charts as a picture: PNG or SVG, with the note, but without crosshair and scroll bars.

Knows widgets and files; knows nothing of runs.
"""

from pathlib import Path

from PySide6.QtCore import QPoint, QRect
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtWidgets import QWidget

from core.errors import UserFacingError

SCALE = 2.0
"""Pixels of a PNG for each of the screen's."""


def picture(widget: QWidget) -> QPixmap:
    """All of a widget, what is scrolled out of sight too."""
    made = QPixmap(widget.size() * SCALE)
    made.setDevicePixelRatio(SCALE)
    made.fill(widget.palette().window().color())
    widget.render(made)
    return made


def save_png(widget: QWidget, path: Path) -> None:
    """Write the picture.

    Raises:
        UserFacingError: the file cannot be written.
    """
    if not picture(widget).save(str(path), "PNG"):
        raise UserFacingError(f"{path} cannot be written: choose another file.")


def save_svg(widget: QWidget, path: Path) -> None:
    """Write the charts as lines and letters.

    Raises:
        UserFacingError: the file cannot be written.
    """
    from PySide6.QtSvg import QSvgGenerator

    generator = QSvgGenerator()
    generator.setFileName(str(path))
    generator.setSize(widget.size())
    generator.setViewBox(QRect(QPoint(0, 0), widget.size()))
    generator.setTitle("Qscope: training")
    painter = QPainter()
    if not painter.begin(generator):
        raise UserFacingError(f"{path} cannot be written: choose another file.")
    painter.fillRect(widget.rect(), widget.palette().window())
    widget.render(painter, QPoint(0, 0))
    painter.end()
