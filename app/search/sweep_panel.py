"""The panel that sweeps beam widths (the paper's Fig. 2): what to sweep, the figure as it grows.

Not modal: the window goes on beside it. Asks the bridge, and draws what returns; stopping, or
closing the panel, keeps what was found, and starting again goes on from there. Knows nothing of
models or judges beyond their names.
"""

import json
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, Qt, Slot
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.ask import AskPath
from app.engine_client import Bridge
from app.files import write_text
from app.notices import NoticeBar
from app.search.sweep_plot import SweepPlot, save
from core.engine.protocol import Failed, Stopped, SweepDone, Swept
from core.errors import UserFacingError
from core.sweeps.record import (
    AGAINST,
    MOST_PROMPTS,
    WIDTHS,
    Against,
    JudgeKind,
    JudgeSpec,
    SweepInfo,
    SweepRow,
    SweepSpec,
    as_json,
    parse_widths,
)

JUDGES: tuple[tuple[str, JudgeKind, str], ...] = (
    ("The demo's fact checker", "facts", "Right facts less twice the wrong values of a demo post"),
    ("The pair's implicit reward", "reward", "It judges itself: expect over-optimisation"),
    ("A reward model…", "model", "A Hugging Face sequence classifier with one label"),
    ("A file of verdicts…", "verdicts", 'JSON Lines of {"prompt", "a", "b", "winner"}'),
)
USUAL_PROMPTS = 20


class PathField(QWidget):
    """A path with a button to choose it; shown only where one is needed."""

    def __init__(self, name: str, choose: Callable[[], str]) -> None:
        super().__init__()
        self.edit = QLineEdit()
        self.edit.setAccessibleName(name)
        self.edit.setPlaceholderText(name)
        self.button = QPushButton("Choose…")
        self._choose = choose
        self.button.clicked.connect(self._chosen)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit, 1)
        row.addWidget(self.button)

    def path(self) -> str:
        return self.edit.text().strip()

    @Slot()
    def _chosen(self) -> None:
        if path := self._choose():
            self.edit.setText(path)


class SweepPanel(QDialog):
    """Choose, start, watch, save."""

    def __init__(self, bridge: Bridge, ask: AskPath, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Sweep beam widths")
        self.resize(1080, 620)
        self.setMinimumSize(760, 480)
        self.info: SweepInfo | None = None
        self.rows: list[SweepRow] = []
        self.running = 0
        """The id of the sweep under way; 0 for none."""
        self._bridge = bridge
        self._ask = ask
        self.widths = QLineEdit(", ".join(map(str, WIDTHS)))
        self.source = QComboBox()
        self.prompt_file = PathField("File of prompts", self._choose_prompts)
        self.prompts = QSpinBox()
        self.judge = QComboBox()
        self.judge_path = PathField("Path of the judge", self._choose_judge)
        self.against = QComboBox()
        self.objective = QDoubleSpinBox()
        self.tokens = QSpinBox()
        self.start = QPushButton("Start")
        self.stop = QPushButton("Stop")
        self.save_picture = QPushButton("Save the picture…")
        self.save_numbers = QPushButton("Save the numbers…")
        self.progress = QProgressBar()
        self.doing = QLabel()
        self.notice = NoticeBar()
        self.plot = SweepPlot()
        self._fill()
        self._lay_out()
        self._connect()
        self._show_needed()
        self._show_state("")
        self._dress()

    def _fill(self) -> None:
        self.source.addItems(["The demo's held-out posts", "A file of prompts…"])
        self.source.setToolTip('A file: JSON Lines of {"prompt", "system"?, "chosen"?}')
        for text, kind, tip in JUDGES:
            self.judge.addItem(text, kind)
            self.judge.setItemData(self.judge.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        for against, words in AGAINST.items():
            self.against.addItem(words[0].upper() + words[1:] + " response" * (against != "chosen"))
            self.against.setItemData(self.against.count() - 1, against)
        self.prompts.setRange(1, MOST_PROMPTS)
        self.prompts.setValue(USUAL_PROMPTS)
        self.tokens.setRange(1, 4096)
        self.tokens.setValue(64)
        self.objective.setRange(-10.0, 100.0)
        self.objective.setSingleStep(0.25)
        self.objective.setValue(1.0)
        self.objective.setToolTip(
            "The search adds up log π_ref + λ log(π/π_ref): 1 is the policy's likelihood (Eq. 13)"
        )
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.doing.setObjectName("muted")
        for widget, name in (
            (self.widths, "Beam widths"),
            (self.source, "Prompts from"),
            (self.prompts, "Number of prompts"),
            (self.judge, "Judge"),
            (self.against, "Compared with"),
            (self.objective, "Objective"),
            (self.tokens, "Most new tokens"),
            (self.progress, "Progress of the sweep"),
        ):
            widget.setAccessibleName(name)

    def _lay_out(self) -> None:
        left, right = QFormLayout(), QFormLayout()
        for form, rows in (
            (
                left,
                (
                    ("Beam &widths", self.widths),
                    ("&Prompts from", self.source),
                    ("", self.prompt_file),
                    ("&Number of prompts", self.prompts),
                ),
            ),
            (
                right,
                (
                    ("&Judge", self.judge),
                    ("", self.judge_path),
                    ("&Compared with", self.against),
                    ("&Objective λ", self.objective),
                    ("&Most new tokens", self.tokens),
                ),
            ),
        ):
            form.setVerticalSpacing(6)
            form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
            for label, field in rows:
                form.addRow(label, field)
        fields = QWidget()
        fields.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        forms = QHBoxLayout(fields)
        forms.setContentsMargins(0, 0, 0, 0)
        forms.setSpacing(24)
        forms.addLayout(left, 1)
        forms.addLayout(right, 1)
        buttons = QHBoxLayout()
        for button in (self.start, self.stop):
            buttons.addWidget(button)
            button.setAutoDefault(False)
        self.start.setDefault(True)
        buttons.addWidget(self.doing, 1)
        for button in (self.save_picture, self.save_numbers):
            buttons.addWidget(button)
            button.setAutoDefault(False)
        column = QVBoxLayout(self)
        column.addWidget(self.notice)
        column.addWidget(fields)
        column.addLayout(buttons)
        column.addWidget(self.progress)
        column.addWidget(self.plot, 1)

    def _connect(self) -> None:
        self.source.currentIndexChanged.connect(self._show_needed)
        self.judge.currentIndexChanged.connect(self._show_needed)
        self.start.clicked.connect(self.begin)
        self.stop.clicked.connect(self.end)
        self.save_picture.clicked.connect(self.write_picture)
        self.save_numbers.clicked.connect(self.write_numbers)
        self.finished.connect(self.end)
        self._bridge.swept.connect(self._swept)
        self._bridge.sweep_done.connect(self._done)
        self._bridge.stopped.connect(self._stopped)
        self._bridge.failed.connect(self._failed)
        self._bridge.pair_let_go.connect(self._pair_let_go)

    # --- asking -----------------------------------------------------------------------------

    def spec(self) -> SweepSpec:
        """What the fields ask for.

        Raises:
            UserFacingError: they do not fit together; the sentence says which.
        """
        own_file, kind = self.source.currentIndex() == 1, self._kind()
        if own_file and not self.prompt_file.path():
            raise UserFacingError("Choose the file of prompts.")
        if kind in ("model", "verdicts") and not self.judge_path.path():
            raise UserFacingError("Choose the judge's folder or file.")
        if own_file and kind == "facts":
            raise UserFacingError(
                "The fact checker knows only the demo's own posts: choose another judge."
            )
        against: Against = self.against.currentData()
        return SweepSpec(
            judge=JudgeSpec(kind, self.judge_path.path() if self._needs_path() else ""),
            widths=parse_widths(self.widths.text()),
            prompts=self.prompts.value(),
            prompt_file=self.prompt_file.path() if own_file else "",
            against=against,
            objective=self.objective.value(),
            max_tokens=self.tokens.value(),
        )

    @Slot()
    def begin(self) -> None:
        """Start what the fields ask for."""
        try:
            spec = self.spec()
        except UserFacingError as error:
            self.notice.show_notice("error", str(error), topic="sweep")
            return
        self.notice.dismiss("sweep")
        self.rows, self.info = [], None
        self.plot.show_sweep(None, ())
        self.running = self._bridge.sweep(spec)
        self._show_state("Preparing the prompts and the judge")

    @Slot()
    def end(self) -> None:
        """Stop; what was found stays."""
        if self.running:
            self._bridge.stop_sweep()

    # --- answers ----------------------------------------------------------------------------

    @Slot(object)
    def _swept(self, event: Swept) -> None:
        if event.id != self.running:
            return
        self.info = event.info
        self.progress.setValue(round(1000 * event.fraction))
        self.doing.setText(event.what)
        if event.row is not None:
            self.rows.append(event.row)
            # The figure is drawn anew when a prompt is through: its intervals take a while.
            if event.row.question == 0 or event.row.width == event.info.widths[-1]:
                self._draw()

    @Slot(object)
    def _done(self, event: SweepDone) -> None:
        if event.id == self.running:
            self._ended("Done")

    @Slot(object)
    def _stopped(self, event: Stopped) -> None:
        if event.id == self.running:
            self._ended("Stopped: Start goes on with what was found")

    @Slot(object)
    def _failed(self, event: Failed) -> None:
        if event.id == self.running:
            self.notice.show_notice("error", event.message, topic="sweep")
            self._ended("")

    @Slot()
    def _pair_let_go(self) -> None:
        if self.running:
            self._ended("Stopped: the pair was closed or replaced")

    def _ended(self, words: str) -> None:
        self.running = 0
        self._draw()
        self._show_state(words)

    def _draw(self) -> None:
        self.plot.show_sweep(self.info, self.rows)
        self._allow_saving()

    # --- saving -----------------------------------------------------------------------------

    @Slot()
    def write_picture(self) -> None:
        path = self._ask.new_file("Save the picture", "sweep.png", "PNG (*.png)")
        if path:
            self._write(lambda: save(self.plot, Path(path)), path)

    @Slot()
    def write_numbers(self) -> None:
        path = self._ask.new_file("Save the numbers", "sweep.json", "JSON (*.json)")
        if path and self.info is not None:
            text = json.dumps(as_json(self.info, self.rows), allow_nan=False, indent=1)
            self._write(lambda: write_text(Path(path), text), path)

    def _write(self, write: Callable[[], None], path: str) -> None:
        try:
            write()
        except UserFacingError as error:
            self.notice.show_notice("error", str(error), topic="sweep")
            return
        self.doing.setText(f"Saved {path}")

    # --- looks ------------------------------------------------------------------------------

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._dress()

    def _dress(self) -> None:
        self.plot.set_dark(self.palette().window().color().lightness() < 128)

    def _show_state(self, words: str) -> None:
        """What may be pressed now, and what is being done."""
        running = bool(self.running)
        self.doing.setText(words)
        self.start.setEnabled(not running)
        self.stop.setEnabled(running)
        self.progress.setVisible(running)
        self.progress.setValue(0)
        self._allow_saving()

    def _allow_saving(self) -> None:
        for button in (self.save_picture, self.save_numbers):
            button.setEnabled(bool(self.rows))

    @Slot()
    def _show_needed(self) -> None:
        self.prompt_file.setVisible(self.source.currentIndex() == 1)
        self.judge_path.setVisible(self._needs_path())

    def _kind(self) -> JudgeKind:
        kind: JudgeKind = self.judge.currentData()
        return kind

    def _needs_path(self) -> bool:
        return self._kind() in ("model", "verdicts")

    def _choose_prompts(self) -> str:
        return self._ask.file("File of prompts", "JSON Lines (*.jsonl);;All files (*)")

    def _choose_judge(self) -> str:
        if self._kind() == "model":
            return self._ask.folder("Folder of the reward model")
        return self._ask.file("File of verdicts", "JSON Lines (*.jsonl);;All files (*)")
