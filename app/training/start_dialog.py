"""The dialog that starts a training run: on what, from where, how, and what it will take.

Gives a TrainingJob to ``start`` and stays open while that refuses; a fault stands below its field
and nothing typed is lost, not even by cancelling. Knows jobs and their costs; knows nothing of
processes or models.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from app.credit.controls import BetaBox
from app.notices import NoticeBar
from app.status import size_text
from app.training.start_fields import PairsCheck, PairsShown, PathEdit, RateBox, Refusal, count_box
from core.checkpoints.fetch import DEMO_BASE, cached_base
from core.errors import UserFacingError
from core.training.cost import Cost, cost_of
from core.training.job import MOST_STEPS, TrainingJob, problems
from core.training.preferences import PreferencesInfo

USUAL = TrainingJob(data="", out="")
NUMBERS = (
    "sft_steps", "sft_rate", "beta", "steps", "learning_rate", "rank", "alpha", "batch_size",
    "accumulation", "max_length", "save_steps", "seed",
)  # fmt: skip
"""The fields with a number, as they stand below one another."""
ORDER = ("base", "data", *NUMBERS, "out")
REST_MS = 150
HOT = 1e-5
"""A learning rate above this is unusual where all parameters are trained."""
FILES = "Preference pairs (*.jsonl *.ndjson *.json *.parquet *.csv *.tsv);;All files (*)"


@dataclass(frozen=True)
class Ask:
    """How to ask for paths; "" is an answer too."""

    file: Callable[[str, str], str]
    folder: Callable[[str], str]


class StartDialog(QDialog):
    """Choose and start."""

    def __init__(
        self,
        start: Callable[[TrainingJob], Path],
        runs_folder: Path,
        typed: str = "",
        ask: Ask | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Start a training run")
        self.resize(780, 640)
        self.run: Path | None = None
        """The folder of the run, once it is started."""
        self._start = start
        self._runs_folder = runs_folder
        self._ask = ask or Ask(self._ask_file, self._ask_folder)
        self._answer: PreferencesInfo | str = ""
        self._own_out = self._tried = False
        self._make_fields()
        self._lay_out()
        self._check = PairsCheck(self)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._connect()
        self._show_typed(typed)
        self._data_changed()
        self._changed()

    def _make_fields(self) -> None:
        self.notice = NoticeBar()
        self.demo_base = QRadioButton(f"The demo's base, {DEMO_BASE}")
        self.demo_base.setToolTip("Small enough for a CPU; fetched (93 MB) on first use")
        self.own_base = QRadioButton("A model folder")
        self.base = PathEdit(
            "Base", "A whole model, as Hugging Face saves it", {"Choose…": self._choose_base}
        )
        self.data = PathEdit(
            "Preference pairs",
            "JSON Lines, Parquet, … or a datasets folder with prompt, chosen, rejected",
            {"File…": self._choose_file, "Folder…": self._choose_data_folder},
        )
        self.pairs = PairsShown()
        self.chat = QCheckBox("Put plain text into the base's chat template, if it has one")
        self.chat.setToolTip("As the window does when it scores: leave it on for chat models")
        self.sft = QGroupBox("Fine-tune on the chosen responses first (SFT)")
        self.sft.setCheckable(True)
        self.sft_steps = count_box("Steps of SFT", 1, MOST_STEPS, USUAL.sft_steps)
        self.sft_rate = RateBox("Learning rate of SFT", USUAL.sft_rate)
        self.beta = BetaBox()
        self.beta.setToolTip("β: the strength of the KL penalty that holds π near π_ref")
        self.steps = count_box("Steps of DPO", 1, MOST_STEPS, USUAL.steps)
        self.learning_rate = RateBox("Learning rate of DPO", USUAL.learning_rate)
        self.trained = QComboBox()
        self.trained.addItems(["a LoRA adapter", "all parameters"])
        self.trained.setAccessibleName("What is trained")
        self.rank = count_box("Rank", 1, 4096, USUAL.rank)
        self.alpha = count_box("Alpha", 1, 65536, USUAL.alpha)
        self.batch_size = count_box(
            "Batch size", 1, 65536, USUAL.batch_size, "Pairs that one device takes at once"
        )
        self.accumulation = count_box(
            "Accumulation", 1, 65536, USUAL.accumulation, "Batches that make a step"
        )
        self.max_length = count_box(
            "Longest text", 8, 10_000_000, USUAL.max_length,
            "Tokens of prompt and response; what is longer is cut off",
        )  # fmt: skip
        self.save_steps = count_box("Steps between checkpoints", 0, MOST_STEPS, USUAL.save_steps)
        self.save_steps.setSuffix(" steps")
        self.max_length.setSuffix(" tokens")
        self.seed = count_box("Seed", 0, 2**31 - 1, USUAL.seed)
        self.out = PathEdit("Folder of the run", "A new folder", {"Choose…": self._choose_out})
        self.cost = QLabel()
        self.warning = QLabel()
        for label in (self.cost, self.warning):
            label.setWordWrap(True)
            label.setObjectName("muted")
        self.refusals = {name: Refusal() for name in ORDER}
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.start_button = self.buttons.addButton("Start", QDialogButtonBox.ButtonRole.ActionRole)

    # --- laying out -------------------------------------------------------------------------

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(2, 2, 8, 2)
        column.setSpacing(10)
        column.addLayout(self._what())
        column.addWidget(self._sft_group())
        column.addWidget(self._dpo_group())
        column.addWidget(self._how_group())
        column.addLayout(self._where())
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        self.body = scroll
        outer = QVBoxLayout(self)
        outer.addWidget(self.notice)
        outer.addWidget(scroll, 1)
        outer.addWidget(self.buttons)
        self.start_button.setDefault(True)
        bar = scroll.verticalScrollBar().sizeHint().width()
        margins = outer.contentsMargins().left() + outer.contentsMargins().right()
        self.setMinimumSize(inside.minimumSizeHint().width() + bar + margins, 400)

    def _what(self) -> QFormLayout:
        form = _form()
        choice = QHBoxLayout()
        choice.addWidget(self.demo_base)
        choice.addWidget(self.own_base)
        choice.addStretch(1)
        self.base_box = _over(self.base, self.refusals["base"])
        form.addRow("Base model", choice)
        form.addRow("", self.base_box)
        form.addRow("&Pairs", _over(self.data, self.refusals["data"], self.pairs, self.chat))
        return form

    def _sft_group(self) -> QGroupBox:
        note = QLabel(
            "What SFT gives is the reference. Without it DPO starts from the base, which then is "
            "the reference."
        )
        note.setObjectName("muted")
        note.setWordWrap(True)
        column = QVBoxLayout(self.sft)
        column.addLayout(self._numbers(("S&teps", "sft_steps"), ("Learning &rate", "sft_rate")))
        column.addWidget(note)
        return self.sft

    def _dpo_group(self) -> QGroupBox:
        group = QGroupBox("DPO")
        column = QVBoxLayout(group)
        column.addLayout(
            self._numbers(("&β", "beta"), ("Step&s", "steps"), ("&Learning rate", "learning_rate"))
        )
        column.addWidget(self.warning)
        return group

    def _how_group(self) -> QGroupBox:
        group = QGroupBox("How")
        column = QVBoxLayout(group)
        row = QHBoxLayout()
        row.addWidget(QLabel("Train"))
        row.addWidget(self.trained)
        self.rank_label, self.alpha_label = QLabel("r&ank"), QLabel("alp&ha")
        for label, box in ((self.rank_label, self.rank), (self.alpha_label, self.alpha)):
            label.setBuddy(box)
            row.addWidget(label)
            row.addWidget(box)
        row.addStretch(1)
        column.addLayout(row)
        column.addWidget(self.refusals["rank"])
        column.addWidget(self.refusals["alpha"])
        column.addLayout(
            self._numbers(
                ("&Batch of pairs", "batch_size"),
                ("Batches a st&ep", "accumulation"),
                ("L&ongest text", "max_length"),
                ("&Checkpoint every", "save_steps"),
                ("See&d", "seed"),
            )
        )
        return group

    def _where(self) -> QFormLayout:
        form = _form()
        form.addRow("&Folder", _over(self.out, self.refusals["out"], self.cost))
        return form

    def _numbers(self, *named: tuple[str, str]) -> QGridLayout:
        """Labels and fields three to a row, each field's refusal below its row."""
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        for place, (text, name) in enumerate(named):
            row, column = 4 * (place // 3), 2 * (place % 3)
            label = QLabel(text)
            label.setBuddy(getattr(self, name))
            grid.addWidget(label, row, column)
            grid.addWidget(getattr(self, name), row, column + 1)
            grid.addWidget(self.refusals[name], row + 1 + place % 3, 0, 1, 6)
        for column in (1, 3, 5):
            grid.setColumnStretch(column, 1)
        return grid

    # --- what is asked ----------------------------------------------------------------------

    def job(self) -> TrainingJob:
        """What the fields ask for, right or not."""
        for name in NUMBERS:
            getattr(self, name).interpretText()  # what is being typed counts too
        return TrainingJob(
            data=self.data.path(),
            out=self.out.path(),
            base=self.base.path() if self.own_base.isChecked() else "",
            sft=self.sft.isChecked(),
            sft_steps=self.sft_steps.value(),
            sft_rate=self.sft_rate.value(),
            beta=self.beta.value(),
            rank=self.rank.value() if self.trained.currentIndex() == 0 else 0,
            alpha=self.alpha.value(),
            steps=self.steps.value(),
            batch_size=self.batch_size.value(),
            accumulation=self.accumulation.value(),
            learning_rate=self.learning_rate.value(),
            save_steps=self.save_steps.value(),
            max_length=self.max_length.value(),
            seed=self.seed.value(),
            chat=self.chat.isChecked(),
        )

    def typed(self) -> str:
        """Everything in the fields, to be shown again another time."""
        table = asdict(self.job())
        table |= {
            "base": self.base.path(),
            "own_base": self.own_base.isChecked(),
            "rank": self.rank.value(),
            "all_parameters": self.trained.currentIndex() == 1,
        }
        if self.run is not None or not self._own_out:
            del table["out"]
        return json.dumps(table)

    def _show_typed(self, typed: str) -> None:
        try:
            table = json.loads(typed)
        except ValueError:
            table = {}
        table = {**asdict(USUAL), **(table if isinstance(table, dict) else {})}
        with suppress(TypeError, AttributeError):  # of another version: what fits is shown
            self._fill(table)

    def _fill(self, table: Mapping[str, Any]) -> None:
        (self.own_base if table.get("own_base") else self.demo_base).setChecked(True)
        self.base.edit.setText(table["base"])
        self.data.edit.setText(table["data"])
        self._own_out = bool(table["out"])
        self.out.edit.setText(table["out"])
        self.sft.setChecked(bool(table["sft"]))
        self.chat.setChecked(bool(table["chat"]))
        self.trained.setCurrentIndex(int(bool(table.get("all_parameters"))))
        for name in NUMBERS:
            getattr(self, name).setValue(table[name])

    # --- answering --------------------------------------------------------------------------

    def _connect(self) -> None:
        self._check.checked.connect(self._data_checked)
        self._rest.timeout.connect(self._show_consequences)
        self.data.edit.textChanged.connect(self._data_changed)
        self.out.edit.textEdited.connect(self._out_typed)
        for signal in (
            self.demo_base.toggled, self.sft.toggled, self.chat.toggled,
            self.trained.currentIndexChanged, self.base.edit.textChanged,
            self.out.edit.textChanged, self.data.edit.textChanged,
            *(getattr(self, name).valueChanged for name in NUMBERS),
        ):  # fmt: skip
            signal.connect(self._changed)
        self.start_button.clicked.connect(self.begin)
        self.buttons.rejected.connect(self.reject)

    @Slot()
    def begin(self) -> None:
        """Start what the fields ask for, or say beside them what is wrong."""
        self._tried = True
        if found := self._show_problems():
            first = min(found, key=ORDER.index)
            getattr(self, first).setFocus()
            self.body.ensureWidgetVisible(self.refusals[first])
            return
        try:
            self.run = self._start(self.job())
        except UserFacingError as error:
            self.notice.show_notice("error", str(error), topic="start")
            return
        self.accept()

    def done(self, result: int) -> None:
        self._check.close()
        self._rest.stop()
        super().done(result)

    @Slot()
    def _data_changed(self) -> None:
        path = self.data.path()
        self._answer = ""
        if path:
            self._check.look_at(path)
            self.pairs.show_nothing("Looking at the pairs …")
        else:
            self._check.close()
            self.pairs.show_nothing("")
        self.refusals["data"].say("")
        self._suggest_out()

    @Slot(object)
    def _data_checked(self, answer: PreferencesInfo | str) -> None:
        self._answer = answer
        if isinstance(answer, str):
            self.pairs.show_nothing("")
            self.refusals["data"].say(answer)
        else:
            self.pairs.show_info(answer)
            self.refusals["data"].say("")
        self.chat.setEnabled(isinstance(answer, str) or not answer.conversational)

    @Slot()
    def _out_typed(self) -> None:
        self._own_out = bool(self.out.path())

    @Slot()
    def _changed(self) -> None:
        self.base_box.setVisible(self.own_base.isChecked())
        every = replace(USUAL, steps=self.steps.value()).saves_every()
        self.save_steps.setSpecialValueText(f"{every} steps (auto)")
        adapter = self.trained.currentIndex() == 0
        for widget in (self.rank, self.alpha, self.rank_label, self.alpha_label):
            widget.setVisible(adapter)
        self._rest.start()

    def _suggest_out(self) -> None:
        """A folder that is not there yet, named after the pairs, unless one was chosen."""
        if self._own_out:
            return
        name, number = Path(self.data.path()).stem or "run", 1
        while (self._runs_folder / f"{name}-{number}").exists():
            number += 1
        self.out.edit.setText(str(self._runs_folder / f"{name}-{number}"))

    @Slot()
    def _show_consequences(self) -> None:
        job = self.job()
        if self._tried:
            self._show_problems()
        hot = not job.rank and max(job.learning_rate, job.sft_rate if job.sft else 0) > HOT
        self.warning.setVisible(hot)
        self.warning.setText(
            "⚠ All parameters are trained at a rate for adapters: near 1e-06 is usual for DPO, "
            "near 1e-05 for SFT."
        )
        base = Path(job.base) if job.base else None if self.own_base.isChecked() else cached_base()
        try:
            self.cost.setText(cost_words(job, cost_of(job, base)) if base else self._unknown())
        except (UserFacingError, OSError):
            self.cost.setText("")

    def _unknown(self) -> str:
        if self.own_base.isChecked():
            return ""
        return "The demo's base is fetched first (93 MB); what the checkpoints take is known then."

    def _show_problems(self) -> dict[str, str]:
        """Say beside each field what is wrong with it; what was said."""
        found = problems(self.job())
        if self.own_base.isChecked() and not self.base.path():
            found["base"] = "Choose the folder of a model, or the demo's base."
        if "data" not in found and isinstance(self._answer, str):
            found["data"] = self._answer or (
                "The pairs are still being looked at: try again in a moment."
            )
        for name, refusal in self.refusals.items():
            refusal.say(found.get(name, ""))
        return found

    # --- paths ------------------------------------------------------------------------------

    def _ask_file(self, title: str, filters: str) -> str:
        return QFileDialog.getOpenFileName(self, title, self.data.path(), filters)[0]

    def _ask_folder(self, title: str) -> str:
        return QFileDialog.getExistingDirectory(self, title)

    def _choose_base(self) -> str:
        path = self._ask.folder("Folder of the base model")
        if path:
            self.own_base.setChecked(True)
        return path

    def _choose_file(self) -> str:
        return self._ask.file("Preference pairs", FILES)

    def _choose_data_folder(self) -> str:
        return self._ask.folder("Folder that datasets saved")

    def _choose_out(self) -> str:
        path = self._ask.folder("Folder of the run")
        if path:
            self._own_out = True
        return path


def cost_words(job: TrainingJob, cost: Cost) -> str:
    """What a run takes, in words; "" of what is not known."""
    many = f"{cost.checkpoints} checkpoints of about {size_text(cost.each)}"
    words = f"{many}: {size_text(cost.total)} of disk; {size_text(cost.free)} are free."
    if not job.rank:
        words = (
            f"Each checkpoint is a whole model with its optimizer. {words} Policy and frozen "
            f"reference are both kept in memory."
        )
    if not cost.fits:
        words = f"⚠ {words} That will not fit: save less often, or choose another disk."
    return words


def _form() -> QFormLayout:
    form = QFormLayout()
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _over(*widgets: QWidget) -> QWidget:
    """Widgets one below the other, as one field of a form."""
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(4)
    for widget in widgets:
        column.addWidget(widget)
    box.setFocusProxy(widgets[0])
    return box
