"""Fields of the form that starts a training run: numbers and paths.

Knows settings (core.setting); knows nothing of jobs.
"""

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import Slot
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from core.setting import Setting

MOST = 2**31 - 1
"""The largest number that a QSpinBox takes."""


class RateBox(QDoubleSpinBox):
    """A number above 0 of any size, written as 5e-05 or as 0.00005."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(12)
        self.setRange(1e-12, 1000.0)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        return f"{value:g}"

    def valueFromText(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return self.value()

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        try:
            good = self.minimum() <= float(text) <= self.maximum()
        except ValueError:
            good = False
        typed = all(letter in "0123456789.eE+-" for letter in text)
        state = QValidator.State
        return (state.Acceptable if good else state.Intermediate if typed else state.Invalid,
                text, position)  # fmt: skip


def number_box(setting: Setting) -> QSpinBox | RateBox:
    """Return a field for a setting's number, showing its default."""
    if setting.kind is int:
        box: QSpinBox | RateBox = QSpinBox()
        box.setRange(int(setting.minimum), int(min(setting.maximum, MOST)))
    else:
        box = RateBox()
    box.setValue(setting.default)
    box.setSuffix(f" {setting.unit}" if setting.unit else "")
    box.setAccessibleName(setting.title)
    box.setToolTip(setting.meaning)
    return box


class PathEdit(QWidget):
    """A path, with a button for each of the ``ways`` to choose it; "" chooses none."""

    def __init__(self, name: str, hint: str, ways: Mapping[str, Callable[[], str]]) -> None:
        super().__init__()
        self.chosen = False
        """Whether the user has said which path, by a button or by typing it."""
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(hint)
        self.edit.setClearButtonEnabled(True)
        self.edit.textEdited.connect(self._typed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit, 1)
        self.buttons = {text: QPushButton(text) for text in ways}
        for text, button in self.buttons.items():
            button.setAutoDefault(False)
            button.clicked.connect(partial(self._choose, ways[text]))
            row.addWidget(button)
        self.setFocusProxy(self.edit)

    def path(self) -> str:
        """Return what is typed."""
        return self.edit.text().strip()

    def show_path(self, path: str) -> None:
        """Show what the user has said before; "" if that was nothing."""
        self.edit.setText(path)
        self._typed()

    def suggest(self, path: str) -> None:
        """Show a path until the user says another one."""
        if not self.chosen:
            self.edit.setText(path)

    @Slot()
    def _typed(self) -> None:
        self.chosen = bool(self.path())

    def _choose(self, ask: Callable[[], str], *_: object) -> None:
        if path := ask():
            self.show_path(path)
