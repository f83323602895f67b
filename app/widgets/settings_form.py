"""Forms made from settings (core.setting): a control for each, with its title and its meaning.

A control takes more than its setting may be, so that what is typed can be refused with a sentence
instead of being changed unasked. Knows no record.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QSpinBox, QWidget

from app.widgets.boxes import ComboBox, DoubleSpinBox, SpinBox
from app.widgets.layouts import as_tip
from core.setting import Setting

WIDEST = 10_000_000
"""The largest whole number that a control takes, where its setting allows no larger one."""
WIDEST_FRACTION = 1_000_000.0

Control = QSpinBox | QDoubleSpinBox | QComboBox
C = TypeVar("C", QSpinBox, QDoubleSpinBox, QComboBox)


def control(setting: Setting) -> Control:
    """Return a control for a setting that shows its default."""
    if setting.words:
        words = ComboBox()
        words.addItems(list(setting.words))
        words.setCurrentText(setting.default)
        return _dressed(words, setting)
    return whole(setting) if setting.kind is int else fraction(setting)


def whole(setting: Setting) -> QSpinBox:
    """Return a control for a whole number that shows the setting's default."""
    number = SpinBox()
    number.setRange(-WIDEST, int(max(WIDEST, setting.maximum)))
    number.setValue(setting.default or 0)
    return _dressed(number, setting)


def fraction(setting: Setting) -> QDoubleSpinBox:
    """Return a control for any number that shows the setting's default."""
    number = DoubleSpinBox()
    number.setRange(-WIDEST_FRACTION, WIDEST_FRACTION)
    number.setDecimals(2)
    number.setSingleStep(setting.step)
    number.setSuffix(f" {setting.unit}" if setting.unit else "")
    number.setValue(setting.default or 0.0)
    return _dressed(number, setting)


def _dressed(made: C, setting: Setting) -> C:
    made.setAccessibleName(setting.title)
    made.setToolTip(as_tip(setting.described))
    return made


def value_of(shown: Control) -> Any:
    """Return what a control says."""
    return shown.currentText() if isinstance(shown, QComboBox) else shown.value()


def show_value(shown: Control, value: Any) -> None:
    """Have a control say a value."""
    if isinstance(shown, QComboBox):
        shown.setCurrentText(value)
    else:
        shown.setValue(value)


class SettingsForm(QFormLayout):
    """A row for each of some settings."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.fields: dict[str, Control] = {}

    def show_settings(
        self, settings: Iterable[Setting], labels: Mapping[str, str] | None = None
    ) -> None:
        """Make rows for these settings, in place of those that are there.

        ``labels``: names of settings to what stands before the control, if that is not the title
        (a letter to jump to it, say).
        """
        while self.rowCount():
            self.removeRow(0)
        self.fields = {setting.name: control(setting) for setting in settings}
        for setting in settings:
            field = self.fields[setting.name]
            signal = (
                field.currentIndexChanged if isinstance(field, QComboBox) else field.valueChanged
            )
            signal.connect(self._say_changed)
            self.addRow((labels or {}).get(setting.name, setting.title), field)

    def settle(self) -> None:
        """Take what is being typed as it stands."""
        for field in self.fields.values():
            if not isinstance(field, QComboBox):
                field.interpretText()

    def values(self) -> dict[str, Any]:
        """Return what is typed, by setting."""
        return {name: value_of(field) for name, field in self.fields.items()}

    def show_values(self, values: Mapping[str, Any]) -> None:
        """Show a value for each setting."""
        for name, field in self.fields.items():
            show_value(field, values[name])

    @Slot()
    def _say_changed(self) -> None:
        self.changed.emit()
