"""Asks for the beta of a training, which may not be known; knows nothing of pairs or runs."""

from PySide6.QtCore import QSignalBlocker, Slot
from PySide6.QtWidgets import QDoubleSpinBox, QWidget

from app.widgets.boxes import DoubleSpinBox
from app.widgets.layouts import as_tip

USUAL = 0.1
"""What the arrows begin with where nothing is known: the beta of most DPO runs."""
ABOUT = (
    "β: the strength of the KL penalty that the policy was trained with. "
    "Rewards rescale at once; nothing is computed anew."
)


class BetaBox(DoubleSpinBox):
    """A field for the beta of a training; its arrows change it by a tenth of itself.

    Its value 0 stands for a beta that is not known, and ``unknown`` is shown for it.
    """

    def __init__(self, parent: QWidget | None = None, unknown: str = "unknown") -> None:
        super().__init__(parent)
        self.setDecimals(6)
        self.setRange(0.0, 1000.0)
        self.setSpecialValueText(unknown)
        self.setKeyboardTracking(False)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.setAccessibleName("Beta")
        self.setToolTip(as_tip(ABOUT))
        self.lineEdit().cursorPositionChanged.connect(self._select_word)

    def beta(self) -> float | None:
        """Return the beta; None where it is not known."""
        return self.value() or None

    def show_beta(self, beta: float | None) -> None:
        """Show a beta without a signal."""
        with QSignalBlocker(self):
            self.setValue(beta or 0.0)

    def stepBy(self, steps: int) -> None:
        """Begin with the usual beta where none is known."""
        if self.beta() is None:
            self.setValue(USUAL)
        else:
            super().stepBy(steps)

    def textFromValue(self, value: float) -> str:
        return self.locale().toString(value, "g", 6)

    @Slot()
    def _select_word(self) -> None:
        """Select the word that stands for no number, so that typing replaces it."""
        line = self.lineEdit()
        if line.text() == self.specialValueText() and not line.hasSelectedText():
            line.selectAll()
