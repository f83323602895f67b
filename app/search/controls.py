"""The form that describes a search: strategy, its settings, the dial, length; and what is wrong.

Makes a SearchSpec from what is typed, and shows why it cannot be used. It is made from the
strategies that are registered and the settings of their records; what they may be is said there.
Knows nothing of trees or of the engine.
"""

import json
from dataclasses import asdict, replace
from typing import cast

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from app.widgets.boxes import Slider, choice
from app.widgets.layouts import as_tip
from app.widgets.settings_form import SettingsForm, fraction
from core.search.spec import WEIGHT, Objective, SearchSpec, Strategy, problems
from core.search.strategies import strategies
from core.search.strategies.beam import Beam
from core.setting import settings_of, values_of

TICKS = 20
"""Steps of the dial from one whole number to the next."""
FARTHEST_DIAL = 3
SUM = "Σ r with no tie to the reference: λ without bound"
ALONE = "It needs a reference, and the policy is alone."
LABELS = {"max_tokens": "Most &tokens", "length_penalty": "&Length penalty"}


class SearchForm(QScrollArea):
    """Chooses a SearchSpec."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._strategies = strategies()
        offered = ((name, it.title, it.meaning) for name, it in self._strategies.items())
        self.strategy = choice("Strategy", offered)
        self.meaning = QLabel()
        self.dial = Slider(Qt.Orientation.Horizontal)
        self.weight = fraction(WEIGHT)
        self.reward_alone = QCheckBox("Reward alone")
        self.emulated = QCheckBox()
        self.dial_meaning = QLabel()
        self.settings = SettingsForm()
        self.lengths = SettingsForm()
        self.problem = QLabel()
        self._typed: dict[str, Strategy] = {}
        """What was typed last for each strategy, by name."""
        self._quiet = False
        self._alone = False
        self._lay_out()
        self._connect()
        self.set_spec(SearchSpec(Beam()))

    def _lay_out(self) -> None:
        self.dial.setRange(0, FARTHEST_DIAL * TICKS)
        self.dial.setTickInterval(TICKS)
        self.dial.setPageStep(TICKS // 4)
        self.dial.setValue(round(WEIGHT.default * TICKS))
        self.dial.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.dial.setAccessibleName("Dial from the reference's to the reward's wish, lambda")
        self.dial.setToolTip(as_tip(WEIGHT.meaning))
        self.weight.setAccessibleName("Lambda")
        self.lengths.show_settings(settings_of(SearchSpec), LABELS)
        self.reward_alone.setToolTip(as_tip(SUM))
        self.emulated.setToolTip(
            as_tip(
                "Emulated fine-tuning: the likelihood of the larger model that was opened with the "
                "pair, plus λ times the pair's Σ r / β (Eqs. 14, 15)"
            )
        )
        self.emulated.hide()
        for label in (self.meaning, self.dial_meaning, self.problem):
            label.setWordWrap(True)
        for label in (self.meaning, self.dial_meaning):
            label.setObjectName("muted")
        self.problem.setObjectName("refusal")
        self.problem.hide()
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        column.addWidget(self.strategy)
        column.addWidget(self.meaning)
        column.addLayout(self.settings)
        title = QLabel("&Objective: λ")
        title.setBuddy(self.dial)
        title.setObjectName("heading")
        row = QHBoxLayout()
        row.addWidget(self.dial, 1)
        row.addWidget(self.weight)
        column.addSpacing(4)
        column.addWidget(title)
        column.addLayout(row)
        column.addWidget(self.reward_alone)
        column.addWidget(self.emulated)
        column.addWidget(self.dial_meaning)
        column.addSpacing(4)
        column.addLayout(self.lengths)
        column.addWidget(self.problem)
        column.addStretch(1)
        self.setWidget(inside)
        self.viewport().setAutoFillBackground(False)
        inside.setAutoFillBackground(False)

    def _connect(self) -> None:
        self.strategy.currentIndexChanged.connect(self._strategy_chosen)
        self.dial.valueChanged.connect(self._dialled)
        self.weight.valueChanged.connect(self._weighed)
        self.reward_alone.toggled.connect(self._say_changed)
        self.emulated.toggled.connect(self._say_changed)
        self.settings.changed.connect(self._say_changed)
        self.lengths.changed.connect(self._say_changed)

    # --- reading and showing ----------------------------------------------------------------

    def spec(self) -> SearchSpec:
        """Return what is typed, whether it makes sense or not."""
        return SearchSpec(self._strategy(), self._objective(), **self.lengths.values())

    def set_base(self, name: str) -> None:
        """Offer a third model, by name, to be steered; "" for none."""
        self.emulated.setText(f"Steer {name}")
        self.emulated.setVisible(bool(name))
        if not name:
            self.emulated.setChecked(False)

    def set_alone(self, alone: bool) -> None:
        """Offer only searches for the policy's likelihood where there is no reference."""
        self._alone = alone
        model = cast(QStandardItemModel, self.strategy.model())
        for row, kind in enumerate(self._strategies.values()):
            offered = not (alone and kind.needs_reference)
            model.item(row).setEnabled(offered)
            model.item(row).setToolTip(as_tip(kind.meaning if offered else ALONE))
        if alone:
            if self._strategies[self.strategy.currentData()].needs_reference:
                self.strategy.setCurrentIndex(self.strategy.findData(Beam.name))
            self.reward_alone.setChecked(False)
            self.emulated.setChecked(False)
            self.weight.setValue(1.0)
        self.emulated.setEnabled(not alone)
        for widget, tip in (
            (self.dial, WEIGHT.meaning),
            (self.weight, ""),
            (self.reward_alone, SUM),
        ):
            widget.setEnabled(not alone)
            widget.setToolTip(as_tip(ALONE if alone else tip))
        self._describe()

    def _objective(self) -> Objective:
        if self.emulated.isChecked():
            return Objective.emulated(self.weight.value())
        if self.reward_alone.isChecked():
            return Objective.reward()
        return Objective.dial(self.weight.value())

    def _strategy(self) -> Strategy:
        return self._strategies[self.strategy.currentData()](**self.settings.values())

    def checked(self) -> SearchSpec | None:
        """Return the search, if it makes sense; else show why it does not."""
        for form in (self.settings, self.lengths):
            form.settle()
        self.weight.interpretText()
        spec = self.spec()
        sentence = next(iter(problems(spec).values()), "")
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))
        if sentence:
            self.ensureWidgetVisible(self.problem)
        return None if sentence else spec

    def set_spec(self, spec: SearchSpec) -> None:
        """Show a search; emits nothing."""
        self._quiet = True
        index = self.strategy.findData(spec.strategy.name)
        if index >= 0:
            self._typed[spec.strategy.name] = spec.strategy
            self.strategy.setCurrentIndex(index)
            self._show_settings(spec.strategy)
        alone = spec.objective == Objective.reward()
        self.reward_alone.setChecked(alone)
        self.emulated.setChecked(bool(spec.objective.base))
        if not alone:
            self.weight.setValue(spec.objective.policy)
        self.lengths.show_values(values_of(spec))
        self._quiet = False
        self._describe()

    def remembered(self) -> str:
        """Return the form as a word for what is remembered between runs."""
        spec = self.spec()
        return json.dumps(
            {
                "strategy": type(spec.strategy).__name__,
                "settings": asdict(spec.strategy),
                "weight": self.weight.value(),
                "alone": self.reward_alone.isChecked(),
                "tokens": spec.max_tokens,
                "penalty": spec.length_penalty,
            }
        )

    def recall(self, word: str) -> None:
        """Show what ``remembered`` said; a word that says nothing changes nothing."""
        try:
            found = json.loads(word)
            kinds = {kind.__name__: kind for kind in self._strategies.values()}
            strategy = msgspec.convert(found["settings"], kinds[found["strategy"]])
            weight = float(found["weight"])
            spec = SearchSpec(
                strategy, Objective.dial(weight), int(found["tokens"]), float(found["penalty"])
            )
            alone = bool(found["alone"])
            if problems(spec):
                return
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return
        except msgspec.ValidationError:
            return
        self.set_spec(spec)
        if alone:
            self.set_spec(replace(spec, objective=Objective.reward()))

    # --- what is typed ----------------------------------------------------------------------

    def _show_settings(self, strategy: Strategy) -> None:
        self.settings.show_settings(settings_of(type(strategy)))
        self.settings.show_values(values_of(strategy))

    @Slot()
    def _strategy_chosen(self) -> None:
        if self._quiet:
            return
        name = self.strategy.currentData()
        self._quiet = True
        self._show_settings(self._typed.get(name) or self._strategies[name]())
        self._quiet = False
        self._say_changed()

    @Slot(int)
    def _dialled(self, value: int) -> None:
        if not self._quiet:
            self.reward_alone.setChecked(False)
            self.weight.setValue(value / TICKS)

    @Slot(float)
    def _weighed(self, value: float) -> None:
        blocked = self.dial.blockSignals(True)
        self.dial.setValue(round(value * TICKS))
        self.dial.blockSignals(blocked)
        self._say_changed()

    @Slot()
    def _say_changed(self) -> None:
        if self._quiet:
            return
        self.problem.hide()
        self._typed[self.strategy.currentData()] = self._strategy()
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        steered = self.emulated.isChecked()
        self.reward_alone.setEnabled(not steered and not self._alone)
        self.weight.setEnabled(not self._alone and (steered or not self.reward_alone.isChecked()))
        meaning = "The policy's likelihood." if self._alone else self._objective().meaning
        self.dial_meaning.setText(meaning)
        meaning = self._strategies[self.strategy.currentData()].meaning
        self.meaning.setText(meaning)
        self.strategy.setToolTip(as_tip(meaning))
