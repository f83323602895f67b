"""Fields for the numbers of the form that starts a training run.

Knows settings (core.setting); knows nothing of jobs.
"""

from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QDoubleSpinBox, QSpinBox

from app.widgets.boxes import DoubleSpinBox, SpinBox
from app.widgets.layouts import as_tip
from core.setting import Setting

MOST = 2**31 - 1
"""The largest number that a QSpinBox takes."""


class RateBox(DoubleSpinBox):
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
        box: QSpinBox | RateBox = SpinBox()
        box.setRange(int(setting.minimum), int(min(setting.maximum, MOST)))
    else:
        box = RateBox()
    box.setValue(setting.default)
    box.setSuffix(f" {setting.unit}" if setting.unit else "")
    box.setAccessibleName(setting.title)
    box.setToolTip(as_tip(setting.meaning))
    return box
