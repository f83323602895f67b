"""Boxes and sliders for whom the mouse wheel is no choice.

The wheel never changes a combo box, which keeps the keys once something was chosen from its list;
a number or a slider it changes only while that has the keys. Else it scrolls what is behind: who
scrolls a form must not choose anything by the way. Every box of Qscope is one of these
(tests/app/test_wheel.py). Knows nothing of what is chosen.
"""

from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QSlider, QSpinBox, QWidget

# Each class says the same, since with a mixin of ours PySide 6.11 crashes at a change of style.
# Qt's own boxes take the keys when the wheel turns over them (WheelFocus).
KEYS = Qt.FocusPolicy.StrongFocus
INDENT = 4
"""Pixels before a number, which a style sheet gives to no line within another widget."""


class ComboBox(QComboBox):
    """A box that chooses one of some words."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(KEYS)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


def choice(name: str, offered: Iterable[tuple[Any, ...]], tip: str = "") -> ComboBox:
    """Return a box to choose from; ``name`` is what screen readers call it.

    ``offered``: of each line its value, its words and, if it has one, its own tip.
    """
    box = ComboBox()
    box.setAccessibleName(name)
    box.setToolTip(tip)
    for row, (value, words, *tips) in enumerate(offered):
        box.addItem(words, value)
        for own in tips:
            box.setItemData(row, own, Qt.ItemDataRole.ToolTipRole)
    return box


class SpinBox(QSpinBox):
    """A box for a whole number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(KEYS)
        self.lineEdit().setTextMargins(INDENT, 0, 0, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class DoubleSpinBox(QDoubleSpinBox):
    """A box for any number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(KEYS)
        self.lineEdit().setTextMargins(INDENT, 0, 0, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class Slider(QSlider):
    """A handle on a line."""

    def __init__(self, orientation: Qt.Orientation, parent: QWidget | None = None) -> None:
        super().__init__(orientation, parent)
        self.setFocusPolicy(KEYS)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()
