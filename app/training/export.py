"""The charts as a picture, with their note: all of them, what is scrolled out of sight too.

Knows widgets and files; knows nothing of runs.
"""

from pathlib import Path

from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QWidget

from core.errors import UserFacingError

SCALE = 2.0
"""Pixels of a PNG for each of the screen's."""


def picture(widget: QWidget) -> QPixmap:
    """All of a widget."""
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
