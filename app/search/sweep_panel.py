"""The panel that sweeps beam widths (the paper's Fig. 2): what to sweep, the figure as it grows.

Not modal: the window stays usable beside it. Asks the engine, and draws what returns; stopping, or
closing the panel, leaves what was found, and starting again resumes from there. It is made from
what a sweep's record declares and from the judges and sources of prompts that are registered.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, Slot
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.ask import AskPath
from app.engine_client import EngineClient
from app.files import write_text
from app.notices import NoticeBar
from app.search.sweep_plot import SweepPlot, save
from app.widgets.boxes import choice
from app.widgets.path_edit import PathEdit
from app.widgets.settings_form import SettingsForm, whole
from app.widgets.timers import single_shot
from core.engine.protocol import Failed, Stopped, Sweep, SweepDone, Swept
from core.errors import UserFacingError
from core.recording import RecordedSweep
from core.setting import figure, settings_of, values_of
from core.sweeps.judges import JudgeKind, judge_kinds
from core.sweeps.problems import check
from core.sweeps.questions import USUAL, sources
from core.sweeps.record import AGAINST, JudgeSpec, SweepInfo, SweepRow, SweepSpec, as_json

SETTINGS = {setting.name: setting for setting in settings_of(SweepSpec)}
DRAW_MS = 100
"""Milliseconds after which what has come is drawn: the figure's intervals take a while."""
LINES = "JSON Lines (*.jsonl);;All files (*)"
NUMBERS = {
    "objective": "&Objective λ",
    "max_tokens": "&Most new tokens",
    "length_penalty": "&Length penalty",
}


class SweepPanel(QDialog):
    """Choose, start, watch, save."""

    def __init__(self, client: EngineClient, ask: AskPath, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Sweep beam widths")
        self.resize(1080, 620)
        self.setMinimumSize(760, 480)
        self.info: SweepInfo | None = None
        self.rows: list[SweepRow] = []
        self.running = False
        self._client = client
        self._ask = ask
        self.widths = QLineEdit(figure(SETTINGS["widths"].default).replace(",", ", "))
        self.widths.setAccessibleName("Beam widths")
        drawn = [(it.name, it.title, "") for it in sources().values()]
        file_tip = 'JSON Lines of {"prompt", "system"?, "chosen"?}'
        self.source = _choice("Prompts from", [*drawn, ("", "A file of prompts…", file_tip)])
        self.prompt_file = _path("File of prompts", self._choose_prompts)
        self.prompts = whole(SETTINGS["prompts"])
        self.prompts.setValue(USUAL)
        self.judge = _choice(
            "Judge",
            [
                (it.kind, it.title + "…" * bool(it.takes), it.meaning)
                for it in judge_kinds().values()
            ],
        )
        self.judge_path = _path("Path of the judge", self._choose_judge)
        self.against = _choice(
            "Compared with",
            [
                (it, words.removesuffix(" response") + " response", "")
                for it, words in AGAINST.items()
            ],
        )
        self.numbers = SettingsForm()
        self.start, self.stop = QPushButton("Start"), QPushButton("Stop")
        self.save_picture = QPushButton("Save the picture…")
        self.save_numbers = QPushButton("Save the numbers…")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Progress of the sweep")
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.doing = QLabel()
        self.doing.setObjectName("muted")
        self.notice = NoticeBar()
        self.plot = SweepPlot()
        self._soon = single_shot(self, self._draw, DRAW_MS)
        self._lay_out()
        self._connect()
        self._show_needed()
        self._show_state("")
        self._dress()

    def _lay_out(self) -> None:
        left, right = SettingsForm(), self.numbers
        left.addRow("Beam &widths", self.widths)
        left.addRow("&Prompts from", self.source)
        left.addRow("", self.prompt_file)
        left.addRow("&Number of prompts", self.prompts)
        right.show_settings([SETTINGS[name] for name in NUMBERS], NUMBERS)
        right.insertRow(0, "&Judge", self.judge)
        right.insertRow(1, "", self.judge_path)
        right.insertRow(2, "&Compared with", self.against)
        fields = QWidget()
        fields.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        forms = QHBoxLayout(fields)
        forms.setContentsMargins(0, 0, 0, 0)
        forms.setSpacing(24)
        for form in (left, right):
            form.setVerticalSpacing(6)
            forms.addLayout(form, 1)
        buttons = QHBoxLayout()
        for button in (self.start, self.stop, self.save_picture, self.save_numbers):
            buttons.addWidget(button)
            button.setAutoDefault(False)
        buttons.insertWidget(2, self.doing, 1)
        self.start.setDefault(True)
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
        self._client.pair_let_go.connect(self._pair_let_go)

    # --- asking -----------------------------------------------------------------------------

    def spec(self) -> SweepSpec:
        """Return what the fields ask for.

        Raises:
            UserFacingError: they ask for nothing that can be done; the sentence says why.
        """
        source, kind = self.source.currentData(), self._kind()
        if not source and not self.prompt_file.path():
            raise UserFacingError("Choose the file of prompts.")
        try:
            widths = SETTINGS["widths"].parse(self.widths.text())
        except ValueError as error:
            raise UserFacingError(f"Beam widths: {error}.") from error
        spec = SweepSpec(
            judge=JudgeSpec(kind.kind, self.judge_path.path() if kind.takes else ""),
            widths=widths,
            prompts=self.prompts.value(),
            source=source,
            prompt_file="" if source else self.prompt_file.path(),
            against=self.against.currentData(),
            **self.numbers.values(),
        )
        check(spec)
        return spec

    def _show_spec(self, spec: SweepSpec) -> None:
        """Have the fields say what a sweep is of, as far as they can."""
        self.widths.setText(", ".join(map(str, spec.widths)))
        if spec.prompt_file:
            self.source.setCurrentIndex(self.source.findData(""))
            self.prompt_file.show_path(spec.prompt_file)
        else:
            _choose(self.source, spec.source or self.source.itemData(0))
        if spec.prompts is not None:
            self.prompts.setValue(spec.prompts)
        if spec.judge is not None:
            _choose(self.judge, spec.judge.kind)
            self.judge_path.show_path(spec.judge.path)
        _choose(self.against, spec.against)
        values = values_of(spec)
        self.numbers.show_values({name: values[name] for name in NUMBERS})

    @Slot()
    def begin(self) -> None:
        """Start what the fields ask for."""
        try:
            spec = self.spec()
        except UserFacingError as error:
            self.notice.show_notice("error", str(error), topic="sweep")
            return
        self._begin(spec)

    def show_again(self, sweep: RecordedSweep) -> None:
        """Show a sweep that was recorded, by asking for it, and in the fields what it was of."""
        self._show_spec(sweep.spec)
        self._begin(sweep.spec)

    def _begin(self, spec: SweepSpec) -> None:
        self.notice.dismiss("sweep")
        self.rows, self.info = [], None
        self.plot.show_sweep(None, ())
        ticket = self._client.ask(Sweep, spec)
        ticket.stepped.connect(self._swept)
        ticket.answered.connect(self._done)
        ticket.stopped.connect(self._stopped)
        ticket.failed.connect(self._failed)
        self.running = True
        self._show_state("Preparing the prompts and the judge")

    @Slot()
    def end(self) -> None:
        """Stop; leave what was found."""
        if self.running:
            self._client.cancel(Sweep)

    # --- answers ----------------------------------------------------------------------------

    @Slot(object)
    def _swept(self, event: Swept) -> None:
        self.info = event.info
        self.progress.setValue(round(1000 * event.fraction))
        self.doing.setText(event.what)
        if event.row is not None:
            self.rows.append(event.row)
            through = event.row.question == 0 or event.row.width == event.info.widths[-1]
            if through and not self._soon.isActive():
                self._soon.start()

    @Slot(object)
    def _done(self, event: SweepDone) -> None:
        self._ended("Done")

    @Slot(object)
    def _stopped(self, event: Stopped) -> None:
        self._ended("Stopped: Start resumes with what was found")

    @Slot(object)
    def _failed(self, event: Failed) -> None:
        self.notice.show_notice("error", event.message, topic="sweep")
        self._ended("")

    @Slot()
    def _pair_let_go(self) -> None:
        if self.running:
            self._ended("Stopped: the pair was closed or replaced")

    def _ended(self, words: str) -> None:
        self.running = False
        self._draw()
        self._show_state(words)

    @Slot()
    def _draw(self) -> None:
        self._soon.stop()
        self.plot.show_sweep(self.info, self.rows)
        self._allow_saving()

    # --- saving -----------------------------------------------------------------------------

    @Slot()
    def write_picture(self) -> None:
        """Ask for a file and draw the figure into it."""
        path = self._ask.new_file("Save the picture", "sweep.png", "PNG (*.png)")
        if path:
            self._write(lambda: save(self.plot, Path(path)), path)

    @Slot()
    def write_numbers(self) -> None:
        """Ask for a file and write what was found into it."""
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
        """Show what may be pressed now, and what is being done."""
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
        self.prompt_file.setVisible(not self.source.currentData())
        self.judge_path.setVisible(bool(self._kind().takes))

    def _kind(self) -> JudgeKind:
        return judge_kinds()[self.judge.currentData()]

    def _choose_prompts(self) -> str:
        return self._ask.file("File of prompts", LINES)

    def _choose_judge(self) -> str:
        kind = self._kind()
        folder = kind.takes == "DIR"
        return self._ask.folder(kind.title) if folder else self._ask.file(kind.title, LINES)


def _choice(name: str, offered: Sequence[tuple[str, str, str]]) -> QComboBox:
    """Return a box to choose from; of each: what is chosen, its words, its tip."""
    return choice(name, [(it, words[0].upper() + words[1:], tip) for it, words, tip in offered])


def _choose(box: QComboBox, chosen: str) -> None:
    """Choose one of a box's lines, if it has it."""
    if (row := box.findData(chosen)) >= 0:
        box.setCurrentIndex(row)


def _path(name: str, choose: Callable[[], str]) -> PathEdit:
    return PathEdit(name, name, {"Choose…": choose})
