"""The form that describes a search: strategy, its settings, the dial, length; and what is wrong.

Makes a SearchSpec from what is typed, and refuses with a sentence what makes no sense. Knows the
table of strategies; knows nothing of trees or of the engine.
"""

import json
from dataclasses import asdict, replace
from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.search.settings_form import (
    BY_NAME,
    EMULATED,
    FARTHEST_DIAL,
    KINDS,
    Field,
    dial_words,
    objection,
)
from core.search.spec import Beam, Objective, SearchSpec, Strategy

TICKS = 20
"""Steps of the dial from one whole number to the next."""


class SearchForm(QScrollArea):
    """Chooses a SearchSpec."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.strategy = QComboBox()
        self.strategy.setAccessibleName("Strategy")
        for kind in KINDS:
            self.strategy.addItem(kind.title, kind.kind.__name__)
            self.strategy.setItemData(
                self.strategy.count() - 1, kind.meaning, Qt.ItemDataRole.ToolTipRole
            )
        self.meaning = QLabel()
        self.dial = QSlider(Qt.Orientation.Horizontal)
        self.weight = QDoubleSpinBox()
        self.reward_alone = QCheckBox("Reward alone")
        self.emulated = QCheckBox()
        self.dial_meaning = QLabel()
        self.max_tokens = _number("Most tokens", 64)
        self.length_penalty = QDoubleSpinBox()
        self.problem = QLabel()
        self.fields: dict[str, QAbstractSpinBox | QComboBox] = {}
        self._rows: list[QWidget] = []
        self._kept: dict[str, Strategy] = {}
        self._quiet = False
        self._lay_out()
        self._connect()
        self.set_spec(SearchSpec(Beam()))

    def _lay_out(self) -> None:
        self.dial.setRange(0, round(FARTHEST_DIAL * TICKS))
        self.dial.setTickInterval(TICKS)
        self.dial.setPageStep(TICKS // 4)
        self.dial.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.dial.setAccessibleName("Dial from the reference's to the reward's wish, lambda")
        tip = (
            "λ: score(y) = Σ [log π_ref + (λ/β) r]. 0 the reference, 1 the policy, above 1 more "
            "reward than the training asked for"
        )
        self.weight.setRange(-1000, 1000)
        self.weight.setDecimals(2)
        self.weight.setSingleStep(1 / TICKS)
        self.weight.setAccessibleName("Lambda")
        for widget in (self.dial, self.weight):
            widget.setToolTip(tip)
        self.reward_alone.setToolTip("Σ r with no tie to the reference: λ without bound")
        self.emulated.setToolTip(
            "Emulated fine-tuning: the likelihood of the larger model that was opened with the "
            "pair, plus λ times the pair's Σ r / β (Eqs. 14, 15)"
        )
        self.emulated.hide()
        self.length_penalty.setRange(-1000, 1000)
        self.length_penalty.setSingleStep(0.1)
        self.length_penalty.setAccessibleName("Length penalty")
        self.length_penalty.setToolTip(
            "Finished hypotheses are ranked by score / length ** penalty. 0: the sum, as the paper "
            "has it; 1: the mean"
        )
        self.max_tokens.setToolTip("Where a response is cut off, counted from the search's start")
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
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        column.addLayout(self._form)
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
        lengths = QFormLayout()
        lengths.addRow("Most &tokens", self.max_tokens)
        lengths.addRow("&Length penalty", self.length_penalty)
        column.addSpacing(4)
        column.addLayout(lengths)
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
        self.max_tokens.valueChanged.connect(self._say_changed)
        self.length_penalty.valueChanged.connect(self._say_changed)

    # --- reading and showing ----------------------------------------------------------------

    def spec(self) -> SearchSpec:
        """What is typed, whether it makes sense or not."""
        return SearchSpec(
            self._strategy(),
            self._objective(),
            self.max_tokens.value(),
            self.length_penalty.value(),
        )

    def set_base(self, name: str) -> None:
        """The third model that can be steered; "" for none, and nothing is said of it."""
        self.emulated.setText(f"Steer {name}")
        self.emulated.setVisible(bool(name))
        if not name:
            self.emulated.setChecked(False)

    def _objective(self) -> Objective:
        if self.emulated.isChecked():
            return Objective.emulated(self.weight.value())
        if self.reward_alone.isChecked():
            return Objective.reward()
        return Objective.dial(self.weight.value())

    def _strategy(self) -> Strategy:
        values: dict[str, Any] = {}
        for name, widget in self.fields.items():
            if isinstance(widget, QComboBox):
                values[name] = widget.currentText()
            elif isinstance(widget, QSpinBox | QDoubleSpinBox):
                values[name] = widget.value()
        made = BY_NAME[self.strategy.currentData()].kind(**values)
        return made

    def checked(self) -> SearchSpec | None:
        """The search, if it makes sense; else the form says why it does not."""
        for widget in (*self.fields.values(), self.max_tokens, self.weight, self.length_penalty):
            if isinstance(widget, QAbstractSpinBox):
                widget.interpretText()
        spec = self.spec()
        sentence = objection(spec)
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))
        if sentence:
            self.ensureWidgetVisible(self.problem)
        return None if sentence else spec

    def set_spec(self, spec: SearchSpec) -> None:
        """Show a search; emits nothing."""
        self._quiet = True
        index = self.strategy.findData(type(spec.strategy).__name__)
        if index >= 0:
            self._kept[type(spec.strategy).__name__] = spec.strategy
            self.strategy.setCurrentIndex(index)
            self._show_fields(spec.strategy)
        alone = spec.objective == Objective.reward()
        self.reward_alone.setChecked(alone)
        self.emulated.setChecked(bool(spec.objective.base))
        if not alone:
            self.weight.setValue(spec.objective.policy)
        self.max_tokens.setValue(spec.max_tokens)
        self.length_penalty.setValue(spec.length_penalty)
        self._quiet = False
        self._describe()

    def remembered(self) -> str:
        """The form as a word for the settings."""
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
            strategy = BY_NAME[found["strategy"]].kind(**found["settings"])
            weight = float(found["weight"])
            spec = SearchSpec(
                strategy, Objective.dial(weight), int(found["tokens"]), float(found["penalty"])
            )
            alone = bool(found["alone"])
        except (ValueError, KeyError, TypeError):
            return
        if objection(spec):
            return
        self.set_spec(spec)
        if alone:
            self.set_spec(replace(spec, objective=Objective.reward()))

    # --- what is typed ----------------------------------------------------------------------

    def _show_fields(self, strategy: Strategy) -> None:
        while self._form.rowCount():
            self._form.removeRow(0)
        self.fields.clear()
        for field in BY_NAME[type(strategy).__name__].fields:
            widget = _widget(field, getattr(strategy, field.name))
            signal = (
                widget.currentIndexChanged if isinstance(widget, QComboBox) else widget.valueChanged
            )
            signal.connect(self._say_changed)
            self.fields[field.name] = widget
            self._form.addRow(field.title, widget)

    @Slot()
    def _strategy_chosen(self) -> None:
        if self._quiet:
            return
        name = self.strategy.currentData()
        self._show_fields(self._kept.get(name) or BY_NAME[name].kind())
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
        self._kept[self.strategy.currentData()] = self._strategy()
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        steered = self.emulated.isChecked()
        self.reward_alone.setEnabled(not steered)
        alone = self.reward_alone.isChecked() and not steered
        self.weight.setEnabled(not alone)
        weight = None if alone else round(self.weight.value(), 4)
        self.dial_meaning.setText(EMULATED if steered else dial_words(weight))
        meaning = BY_NAME[self.strategy.currentData()].meaning
        self.meaning.setText(meaning)
        self.strategy.setToolTip(meaning)


def _number(name: str, value: int) -> QSpinBox:
    box = QSpinBox()
    # Wide enough to type what is then refused with a sentence.
    box.setRange(-10_000_000, 10_000_000)
    box.setValue(value)
    box.setAccessibleName(name)
    return box


def _widget(field: Field, value: Any) -> QSpinBox | QDoubleSpinBox | QComboBox:
    """The field's control, showing a value."""
    made: QSpinBox | QDoubleSpinBox | QComboBox
    if field.words:
        made = QComboBox()
        made.addItems(list(field.words))
        made.setCurrentText(str(value))
    elif field.decimals:
        made = QDoubleSpinBox()
        made.setRange(-1000, 1000)
        made.setDecimals(field.decimals)
        made.setSingleStep(0.1)
        made.setValue(float(value))
    else:
        made = _number(field.title, int(value))
    made.setAccessibleName(field.title)
    made.setToolTip(field.tip)
    return made
