"""Makes labels and fills rows and columns in one line each.

Knows Qt's widgets and the object names of app.theme; knows nothing of what they say.
"""

from typing import TypeVar

from PySide6.QtWidgets import QBoxLayout, QLabel, QLayout, QWidget

Box = TypeVar("Box", bound=QBoxLayout)
Part = QWidget | QLayout


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


def label(text: str, kind: str, tip: str = "") -> QLabel:
    """Return a label that is styled as its kind: "heading", "muted" or "figure"."""
    made = QLabel(text)
    made.setObjectName(kind)
    made.setToolTip(tip)
    return made
