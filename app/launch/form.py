"""The form of the dialog that starts a training run: its fields and how they are laid out.

Knows what a job is made of; does nothing with it (app.launch.dialog).
"""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import Qt
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

from app.launch.fields import PairsShown, PathEdit, RateBox, Refusal, count_box
from app.notices import NoticeBar
from app.widgets.beta_box import BetaBox
from core.demo.base import DEMO_BASE
from core.training.job import MOST_STEPS, TrainingJob

USUAL = TrainingJob(data="", out="")
NUMBERS = (
    "sft_steps", "sft_rate", "beta", "steps", "learning_rate", "rank", "alpha", "batch_size",
    "accumulation", "max_length", "save_steps", "seed",
)  # fmt: skip
"""The fields with a number, as they stand below one another."""
ORDER = ("base", "data", *NUMBERS, "out")
FILES = "Preference pairs (*.jsonl *.ndjson *.json *.parquet *.csv *.tsv);;All files (*)"


@dataclass(frozen=True)
class Ask:
    """How to ask for paths; "" is an answer too."""

    file: Callable[[str, str], str]
    folder: Callable[[str], str]


class StartForm(QDialog):
    """The fields, each with a place for why it cannot be used."""

    def __init__(self, ask: Ask | None, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Start a training run")
        self.resize(780, 640)
        self._ask = ask or Ask(self._ask_file, self._ask_folder)
        self._own_out = False
        """Whether the run's folder was chosen by the user."""
        self._make_fields()
        self._lay_out()

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
