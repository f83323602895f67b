"""Shows the row of choices above the editors: colour by, units, beta, and the legend.

Knows the measures and the legend; signals what was chosen and knows nothing of scorings.
"""

from typing import cast

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.widgets.beta_box import ABOUT, BetaBox
from app.widgets.boxes import choice
from app.widgets.layouts import as_tip, fill
from app.widgets.legend import Legend
from core.losses import UNNAMED, TrainingLoss
from core.present.measures import MEASURES, Measure, of_training, why_not
from core.text import UNITS, Unit

HEIGHT = 36
"""Pixels of the row."""
UNIT_NAMES = {
    "token": "Tokens",
    "word": "Words",
    "sentence": "Sentences",
    "line": "Lines",
}
ASKED = (
    "The files of the policy do not say which β it was trained with, so rewards are log-ratios, "
    "log π/π_ref in nats. Type it here, and they rescale at once."
)
NO_REWARDS = "β scales rewards, which need a reference, and the policy is alone."


class Controls(QWidget):
    """A row of choices: what to colour by, over which units, with which beta and which scale."""

    measure_changed = Signal()
    units_changed = Signal()
    beta_changed = Signal(object)
    """The beta that was chosen; None for none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.colour_by = choice("Colour by", ((it.key, it.title) for it in MEASURES.values()))
        # The list opens as wide as its titles are; the box may be narrower.
        self.colour_by.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.colour_by.setMinimumContentsLength(14)
        self._objective = UNNAMED
        self.units = choice(
            "Units",
            ((unit, UNIT_NAMES[unit]) for unit in UNITS),
            as_tip(
                "Colour each token by itself, each word by its strongest token, or each sentence "
                "or line by the sum over it"
            ),
        )
        self.beta = BetaBox()
        self.beta.setMaximumWidth(88)
        self._source = ""
        self.legend = Legend()
        self.legend.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.choices = QWidget()
        """All but the legend."""
        row = fill(QHBoxLayout(self.choices), margins=(0, 0, 6, 0), spacing=6)
        named = ("&Colour by", self.colour_by), ("&over", self.units), ("&β", self.beta)
        for text, widget in named:
            label = QLabel(text)
            label.setBuddy(widget)
            fill(row, label, widget)
        parts = self.choices, (self.legend, 1)
        fill(QHBoxLayout(self), *parts, margins=(2, 0, 2, 0), spacing=6)
        self.setFixedHeight(HEIGHT)
        self.colour_by.currentIndexChanged.connect(self._measure_chosen)
        self.units.currentIndexChanged.connect(self._units_chosen)
        self.beta.valueChanged.connect(self._beta_chosen)
        self.set_training(UNNAMED, alone=False)

    def measure(self) -> Measure:
        """Return the measure that is chosen."""
        return of_training(cast(str, self.colour_by.currentData()), self._objective)

    def set_training(self, objective: TrainingLoss, alone: bool) -> None:
        """Offer what can be known of another pair; the rest is grey and says why.

        ``alone``: there is no reference. What was chosen stays chosen where it can.
        """
        self._objective = objective
        self.beta.setEnabled(not (alone and objective.main.reference))
        model = cast(QStandardItemModel, self.colour_by.model())
        offered = []
        for row, key in enumerate(MEASURES):
            measure = of_training(key, objective)
            why = why_not(measure, objective, alone)
            model.item(row).setEnabled(not why)
            model.item(row).setToolTip(as_tip(why or measure.explanation))
            offered += [] if why else [row]
        with QSignalBlocker(self.colour_by):
            if self.colour_by.currentIndex() not in offered:
                self.colour_by.setCurrentIndex(offered[0])
        self._describe()

    def unit(self) -> Unit:
        """Return the unit that is chosen."""
        return cast(Unit, self.units.currentData())

    def choose(self, measure: str, unit: str) -> None:
        """Choose by key, as remembered; unknown keys change nothing."""
        for box, key in ((self.colour_by, measure), (self.units, unit)):
            index = box.findData(key)
            flags = box.model().flags(box.model().index(index, 0))
            if index >= 0 and flags & Qt.ItemFlag.ItemIsEnabled:
                box.setCurrentIndex(index)

    def set_beta(self, beta: float | None, source: str = "") -> None:
        """Show a beta, or that it is not known, without a signal; ``source``: where it is from."""
        self.beta.show_beta(beta)
        self._source = source
        self._describe()

    def _describe(self) -> None:
        measure = self.measure()
        self.colour_by.setToolTip(as_tip(measure.explanation))
        quantity = measure.quantity
        if self.unit() != "token":
            sums = "strongest in" if self.unit() == "word" else "summed over"
            ends = "to the end of" if measure.running else sums
            quantity = f"{quantity}, {ends} each {self.unit()}"
        beta = self.beta.beta()
        self.legend.set_quantity(quantity, measure.unit_at(beta))
        tip = f"{ABOUT}\n{self._source}" if beta is not None else ASKED
        self.beta.setToolTip(as_tip(tip if self.beta.isEnabled() else NO_REWARDS))

    @Slot()
    def _beta_chosen(self) -> None:
        self._describe()
        self.beta_changed.emit(self.beta.beta())

    @Slot()
    def _measure_chosen(self) -> None:
        self._describe()
        self.measure_changed.emit()

    @Slot()
    def _units_chosen(self) -> None:
        self._describe()
        self.units_changed.emit()
