"""Asks for the beta of a DPO training; knows nothing of pairs or runs."""

from PySide6.QtWidgets import QDoubleSpinBox, QWidget


class BetaBox(QDoubleSpinBox):
    """A field for the beta of the DPO training; its arrows change it by a tenth of itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(4)
        self.setRange(0.0001, 1000.0)
        self.setValue(0.1)
        self.setKeyboardTracking(False)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.setAccessibleName("Beta")
        self.setToolTip(
            "β: the strength of the KL penalty that the policy was trained with. "
            "Rewards rescale at once; nothing is computed anew."
        )

    def textFromValue(self, value: float) -> str:
        return self.locale().toString(value, "g", 6)
