"""Makes labels and fills rows and columns in one line each.

Knows Qt's widgets and the object names of app.theme; knows nothing of what they say.
"""

import textwrap
from functools import lru_cache
from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout, QFrame, QLabel, QLayout, QScrollArea, QWidget

Box = TypeVar("Box", bound=QBoxLayout)
Part = QWidget | QLayout
TIP = 90
"""Letters in a line of a tool tip."""
FRAME = 40
"""Pixels that the frame of a dialog may take of a small screen."""


def fill(
    box: Box,
    *parts: Part | int | tuple[Part, int],
    margins: tuple[int, int, int, int] | None = None,
    spacing: int | None = None,
) -> Box:
    """Add parts to a row or a column and return it: widgets or layouts, with a stretch or none.

    A number alone is room that stretches. Margins are left, top, right and bottom in pixels.
    """
    if margins is not None:
        box.setContentsMargins(*margins)
    if spacing is not None:
        box.setSpacing(spacing)
    for each in parts:
        part, stretch = each if isinstance(each, tuple) else (each, 0)
        if isinstance(part, int):
            box.addStretch(part)
        elif isinstance(part, QLayout):
            box.addLayout(part, stretch)
        else:
            box.addWidget(part, stretch)
    return box


def fill_with(place: QWidget, widget: QWidget) -> None:
    """Put a widget into the layout of a place, whatever place it had before."""
    layout = place.layout()
    if layout is not None:
        layout.addWidget(widget)
        widget.show()


def label(text: str, kind: str, tip: str = "") -> QLabel:
    """Return a label that is styled as its kind: "heading", "muted" or "figure"."""
    made = QLabel(text)
    made.setObjectName(kind)
    made.setToolTip(as_tip(tip))
    return made


@lru_cache(256)
def as_tip(text: str) -> str:
    """Return what a tool tip says in lines that can be read: Qt breaks those of rich text alone."""
    lines = (
        textwrap.fill(line, TIP, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )
    return "\n".join(lines)


def scrolled(inside: QWidget) -> QScrollArea:
    """Return an area in which a form is scrolled up and down where it is too high."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # what is in it takes the focus
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(inside)
    return area


def resize_on_screen(dialog: QWidget, width: int, height: int) -> None:
    """Give a dialog its usual size, but no more height than its screen has."""
    dialog.resize(width, min(height, dialog.screen().availableGeometry().height() - FRAME))
