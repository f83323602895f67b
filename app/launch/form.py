"""Form that a training job is filled into: a field for each of its settings, and its paths.

The numbers are made from the job's settings; one that has no place in the tables here stands among
the last. Does nothing with the job (app.launch.dialog).
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from app.launch.fields import number_box
from app.launch.pairs import PairsShown
from app.widgets.boxes import ComboBox
from app.widgets.path_edit import PathEdit
from app.words import in_window
from core.checkpoints.named import usual_base
from core.setting import settings_of
from core.training.job import TrainingJob

SETTINGS = {setting.name: setting for setting in settings_of(TrainingJob)}
SFT = {"sft_steps": "S&teps", "sft_rate": "Learning &rate"}
DPO = {"beta": "&β", "steps": "Step&s", "learning_rate": "&Learning rate"}
ADAPTER = {"rank": "r&ank", "alpha": "alp&ha"}
HOW = {
    "batch_size": "&Batch of pairs",
    "accumulation": "Batches a st&ep",
    "max_length": "L&ongest text",
    "save_steps": "&Checkpoint every",
    "seed": "See&d",
}
PLACED = {**SFT, **DPO, **ADAPTER, **HOW}
HOW |= {name: setting.title for name, setting in SETTINGS.items() if name not in PLACED}
ORDER = ("base", "data", *SFT, *DPO, *ADAPTER, *HOW, "out")
"""The fields as they stand below one another."""
FILES = "Preference pairs (*.jsonl *.ndjson *.json *.parquet *.arrow *.csv *.tsv *.gz);;All (*)"


class JobForm(QWidget):
    """Fields of a job, each with a place for why it cannot be used."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.ask_file: Callable[[str, str], str] = self._ask_file
        self.ask_folder: Callable[[str], str] = self._ask_folder
        self.refusals = {name: _label("refusal") for name in ORDER}
        self.numbers = {name: number_box(setting) for name, setting in SETTINGS.items()}
        self.numbers["rank"].setMinimum(1)  # 0 is a choice of its own: all parameters
        self.demo_base = QRadioButton(f"The demo's base, {usual_base().name}")
        self.demo_base.setToolTip("Small enough for a CPU; fetched (93 MB) on first use")
        self.own_base = QRadioButton("A model folder")
        self.base = PathEdit(
            "Base",
            "A whole model, as Hugging Face saves it",
            {"Choose…": lambda: self.ask_folder("Folder of the base model")},
        )
        self.data = PathEdit(
            "Preference pairs",
            "JSON Lines, Parquet, … or a datasets folder with prompt, chosen, rejected",
            {
                "File…": lambda: self.ask_file("Preference pairs", FILES),
                "Folder…": lambda: self.ask_folder("Folder that datasets saved"),
            },
        )
        self.out = PathEdit(
            "Folder of the run",
            "A new folder",
            {"Choose…": lambda: self.ask_folder("Folder of the run")},
        )
        self.pairs = PairsShown()
        self.chat = QCheckBox("Put plain text into the base's chat template, if it has one")
        self.chat.setToolTip("As the window does when it scores: leave it on for chat models")
        self.sft = QGroupBox("Fine-tune on the chosen responses first (SFT)")
        self.sft.setCheckable(True)
        self.trained = ComboBox()
        self.trained.addItems(["a LoRA adapter", "all parameters"])
        self.trained.setAccessibleName("What is trained")
        self.adapter = QWidget()
        self.warning, self.cost = _label("muted"), _label("muted")
        self._lay_out()
        for signal in (
            self.own_base.toggled, self.sft.toggled, self.chat.toggled,
            self.trained.currentIndexChanged, self.base.edit.textChanged,
            self.out.edit.textChanged, self.data.edit.textChanged,
            *(box.valueChanged for box in self.numbers.values()),
        ):  # fmt: skip
            signal.connect(self._say_changed)
        self.refuse({})
        self.show_typed({})

    # --- what is filled in ------------------------------------------------------------------

    def job(self) -> TrainingJob:
        """Return what the fields ask for, right or not."""
        for box in self.numbers.values():
            box.interpretText()  # what is being typed counts too
        values: dict[str, Any] = {name: box.value() for name, box in self.numbers.items()}
        if self.trained.currentIndex():
            values["rank"] = 0
        return TrainingJob(
            data=self.data.path(),
            out=self.out.path(),
            base=self.base.path() if self.own_base.isChecked() else "",
            sft=self.sft.isChecked(),
            chat=self.chat.isChecked(),
            **values,
        )

    def typed(self) -> dict[str, Any]:
        """Return everything in the fields, to be shown again another time."""
        return {
            **asdict(self.job()),
            "base": self.base.path(),
            "own_base": self.own_base.isChecked(),
            "rank": self.numbers["rank"].value(),
            "all_parameters": self.trained.currentIndex() == 1,
            "out": self.out.path() if self.out.chosen else "",
        }

    def show_typed(self, typed: Mapping[str, Any]) -> None:
        """Show what ``typed`` gave; of another version's table, what fits."""
        table = {**asdict(TrainingJob(data="", out="")), **typed}
        with suppress(TypeError, ValueError, OverflowError):
            (self.own_base if table.get("own_base") else self.demo_base).setChecked(True)
            self.base.show_path(table["base"])
            self.data.show_path(table["data"])
            self.out.show_path(table["out"])
            self.sft.setChecked(bool(table["sft"]))
            self.chat.setChecked(bool(table["chat"]))
            self.trained.setCurrentIndex(int(bool(table.get("all_parameters"))))
            for name, box in self.numbers.items():
                box.setValue(table[name])

    def refuse(self, sentences: Mapping[str, str]) -> None:
        """Say beside each field why it cannot be used."""
        for name in self.refusals:
            self.say(name, sentences.get(name, ""))

    def say(self, name: str, sentence: str) -> None:
        """Say below a field why it cannot be used; "" if it can."""
        self.refusals[name].setText(in_window(sentence))
        self.refusals[name].setVisible(bool(sentence))

    def go_to(self, name: str) -> None:
        """Put the keyboard into a field."""
        {**self.numbers, "base": self.base, "data": self.data, "out": self.out}[name].setFocus()

    @Slot()
    def _say_changed(self) -> None:
        self.base.setVisible(self.own_base.isChecked())
        self.adapter.setVisible(self.trained.currentIndex() == 0)
        job = TrainingJob("", "", steps=int(self.numbers["steps"].value()))
        self.numbers["save_steps"].setSpecialValueText(f"{job.saves_every()} steps (auto)")
        self.changed.emit()

    # --- laying out -------------------------------------------------------------------------

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 2, 8, 2)
        column.setSpacing(10)
        bases = QWidget()
        row = QHBoxLayout(bases)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.demo_base)
        row.addWidget(self.own_base)
        row.addStretch(1)
        what = _form(column)
        _add_over(what, "Base model", bases, self.base, self.refusals["base"])
        _add_over(what, "&Pairs", self.data, self.refusals["data"], self.pairs, self.chat)
        note = "What SFT gives is the reference. Without it DPO starts from the base, which then "
        self._fill(self.sft, SFT).addWidget(_label("muted", f"{note}is the reference."))
        dpo, how = QGroupBox("DPO"), QGroupBox("How")
        self._fill(dpo, DPO).addWidget(self.warning)
        train = QHBoxLayout()
        train.addWidget(QLabel("Train"))
        train.addWidget(self.trained)
        train.addWidget(self.adapter, 1)
        self._fill(self.adapter, ADAPTER).setContentsMargins(0, 0, 0, 0)
        self._fill(how, HOW).insertLayout(0, train)
        for group in (self.sft, dpo, how):
            column.addWidget(group)
        _add_over(_form(column), "&Folder", self.out, self.refusals["out"], self.cost)
        column.addStretch(1)

    def _fill(self, group: QWidget, labels: Mapping[str, str]) -> QVBoxLayout:
        """Put labels and fields into a group, three to a row, each field's refusal below its row;
        return the group's layout."""
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        for place, (name, text) in enumerate(labels.items()):
            row, column = 4 * (place // 3), 2 * (place % 3)
            label = QLabel(text)
            label.setBuddy(self.numbers[name])
            grid.addWidget(label, row, column)
            grid.addWidget(self.numbers[name], row, column + 1)
            grid.addWidget(self.refusals[name], row + 1 + place % 3, 0, 1, 6)
        for column in (1, 3, 5):
            grid.setColumnStretch(column, 1)
        filled = QVBoxLayout(group)
        filled.addLayout(grid)
        return filled

    def _ask_file(self, title: str, filters: str) -> str:
        return QFileDialog.getOpenFileName(self, title, self.data.path(), filters)[0]

    def _ask_folder(self, title: str) -> str:
        return QFileDialog.getExistingDirectory(self, title)


def _label(kind: str, words: str = "") -> QLabel:
    label = QLabel(words)
    label.setObjectName(kind)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def _form(column: QVBoxLayout) -> QFormLayout:
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    column.addLayout(form)
    return form


def _add_over(form: QFormLayout, label: str, field: QWidget, *below: QWidget) -> None:
    """Add a row to a form: a field, and others below it."""
    column = QVBoxLayout()
    column.setSpacing(4)
    for widget in (field, *below):
        column.addWidget(widget)
    name = QLabel(label)
    name.setBuddy(field)
    form.addRow(name, column)
