"""Asks in a dialog for a policy and its reference, or a run, and says what risky options mean.

Gives a PairSpec. What its folders hold is shown as soon as they are chosen; the engine looks, the
dialog reads nothing from disk.
"""

from dataclasses import replace

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.engine_client import EngineClient
from app.widgets.beta_box import BetaBox
from app.widgets.boxes import ComboBox
from app.widgets.finding_list import FindingList
from app.widgets.layouts import as_tip, fill, label, resize_on_screen, scrolled
from app.widgets.path_edit import PathEdit
from app.widgets.timers import single_shot
from core.codec import RULES
from core.engine.protocol import Examine, Examined, Failed, PairSpec
from core.finding import Finding
from core.losses import LOSSES

REFERENCE = "Model or adapter that DPO started from"
RESTED = 300
"""Milliseconds after the last change of a field before the engine is asked to look."""
NAMED_BY_RUN = "Only if the run's files do not name it"
LEFT_OUT = (
    "Left empty: an adapter is compared with its base; a whole model, or one whose training had no "
    "reference (SimPO, CPO, ORPO), is opened alone, which shows log π and searches by likelihood."
)


class OpenDialog(QDialog):
    """A dialog that names a pair or a run; without a client nothing is said of its files."""

    def __init__(
        self,
        spec: PairSpec,
        recent: tuple[PairSpec, ...],
        parent: QWidget | None = None,
        client: EngineClient | None = None,
    ) -> None:
        super().__init__(parent)
        self._client = client
        self._asked: PairSpec | None = None
        """The pair that the engine was asked about."""
        self._rest = single_shot(self, self._look, RESTED)
        self.setWindowTitle("Open a pair")
        self.setMinimumWidth(620)
        resize_on_screen(self, 700, 740)
        self._recent = recent
        self.recent = ComboBox()
        self.recent.addItem("–")
        for pair in recent:
            self.recent.addItem(recent_text(pair))
        self.recent.setToolTip("Pairs and runs that were loaded before")
        self.policy = self._folder(
            "Policy", "Folder of a model, an adapter or a run, a GGUF file, or org/name"
        )
        self.run = self._folder("Training run", "In place of a policy: a run with its checkpoints")
        self.run.edit.setToolTip(
            as_tip(
                "The folder that holds checkpoint-10, checkpoint-20, …: the last one is the "
                "policy, and a strip at the window's foot shows the others"
            )
        )
        self.reference = self._folder("Reference", REFERENCE)
        self.base = self._folder("Base", "Only if the adapters' base has moved")
        self.search_base = self._folder("Search base", "Only for searches that steer a third model")
        self.left_out = label(LEFT_OUT, "muted")
        self.left_out.setWordWrap(True)
        self.left_out.setMinimumWidth(440)
        self.left_out.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.loss = ComboBox()
        self.loss.setToolTip("What a response's score, the margin and the loss shown are made by")
        self.loss.addItem("as the policy's files say", "")
        for name, loss in LOSSES.items():
            self.loss.addItem(f"{loss.title} ({name})", name)
        self.beta = BetaBox(unknown="as the policy's files say")
        self.plain = QCheckBox("Plain text, without the chat template")
        self.plain.setToolTip("Where the training put its texts into no template")
        self.trainer = ComboBox()
        self.trainer.setToolTip("By whose rule the tokens are found that a training scores")
        self.trainer.addItem("not known", "")
        for name in RULES:
            self.trainer.addItem(name.upper(), name)
        self.device = ComboBox()
        self.device.setEditable(True)
        self.device.addItems(["auto", "cpu", "cuda", "mps"])
        self.beta.setMinimumHeight(self.device.sizeHint().height())
        self.dtype = ComboBox()
        self.dtype.addItems(["auto", "float32", "bfloat16", "float16"])
        self.pickle = QCheckBox("Load pickled weights (.bin, .pt)")
        self.remote = QCheckBox("Run the code that comes with the checkpoint")
        self.findings = FindingList()
        self.findings.setAccessibleName("What the files say of this pair")
        self.findings.setMinimumHeight(110)
        self.findings.hide()  # until there is something to say, its room is the fields'
        self.said = label("", "muted")
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        self._lay_out()
        self.policy.edit.setFocus()
        self.show_spec(spec)
        self.recent.currentIndexChanged.connect(self._recent_chosen)
        for field in (self.policy, self.run, self.reference, self.base, self.search_base):
            field.edit.textChanged.connect(self._update)
        self.beta.valueChanged.connect(self._update)
        for box in (self.loss, self.trainer, self.device, self.dtype):
            box.currentTextChanged.connect(self._update)
        for tick in (self.plain, self.pickle, self.remote):
            tick.toggled.connect(self._update)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._update()

    def _folder(self, name: str, hint: str) -> PathEdit:
        def choose() -> str:
            return QFileDialog.getExistingDirectory(self, f"{name} folder", field.path())

        field = PathEdit(name, hint, {"Choose…": choose})
        field.buttons["Choose…"].setToolTip(f"Choose the folder of the {name.lower()}")
        return field

    def _lay_out(self) -> None:
        inside = QWidget()
        form = QFormLayout(inside)
        form.setContentsMargins(0, 0, 0, 0)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        if self._recent:
            form.addRow("&Recent", self.recent)
        form.addRow("&Policy π", self.policy)
        form.addRow("or Training r&un", self.run)
        form.addRow("R&eference π_ref", self.reference)
        form.addRow("", self.left_out)
        form.addRow("&Base", self.base)
        form.addRow("&Search base", self.search_base)
        form.addRow("β of the training", self.beta)
        form.addRow("&Loss of the training", self.loss)
        numbers = fill(QHBoxLayout(), self.device, QLabel("number format"), self.dtype, 1)
        texts = fill(QHBoxLayout(), self.plain, QLabel("Trainer"), self.trainer, 1)
        form.addRow("Texts", texts)
        device = QLabel("&Device")
        device.setBuddy(self.device)
        form.addRow(device, numbers)
        risky = QGroupBox("Only for checkpoints from people you trust")
        column = QVBoxLayout(risky)
        for box, why in (
            (self.pickle, "A pickle file can run any program on this computer when it is read."),
            (self.remote, "The code in the folder runs with your rights, as any program does."),
        ):
            note = label(why, "muted")
            note.setIndent(24)
            column.addWidget(box)
            column.addWidget(note)
        form.addRow(risky)
        fields = scrolled(inside), 3
        fill(QVBoxLayout(self), fields, self.said, (self.findings, 1), self.buttons)

    def show_spec(self, spec: PairSpec) -> None:
        """Fill the fields."""
        self.policy.edit.setText(spec.policy)
        self.run.edit.setText(spec.run)
        self.reference.edit.setText(spec.reference)
        self.base.edit.setText(spec.base)
        self.search_base.edit.setText(spec.search_base)
        if spec.loss and self.loss.findData(spec.loss) < 0:  # several, from the command line
            self.loss.addItem(spec.loss, spec.loss)
        self.loss.setCurrentIndex(self.loss.findData(spec.loss))
        self.beta.show_beta(spec.beta)
        self.device.setCurrentText(spec.device)
        self.dtype.setCurrentText(spec.dtype)
        self.plain.setChecked(spec.plain)
        self.trainer.setCurrentIndex(max(0, self.trainer.findData(spec.trainer)))
        self.pickle.setChecked(spec.allow_pickle)
        self.remote.setChecked(spec.allow_remote_code)

    def spec(self) -> PairSpec:
        """Return the pair that the fields name."""
        run = self.run.path()
        return PairSpec(
            policy="" if run else self.policy.path(),
            reference=self.reference.path(),
            run=run,
            base=self.base.path(),
            search_base=self.search_base.path(),
            loss=self.loss.currentData(),
            beta=self.beta.beta(),
            plain=self.plain.isChecked(),
            trainer=self.trainer.currentData(),
            device=self.device.currentText().strip() or "auto",
            dtype=self.dtype.currentText(),
            allow_pickle=self.pickle.isChecked(),
            allow_remote_code=self.remote.isChecked(),
        )

    def set_folders(self, folders: list[str]) -> None:
        """Fill in folders that were dropped: the policy first, then the reference."""
        empty = replace(PairSpec(), policy=folders[0])
        self.show_spec(empty)
        if len(folders) > 1:
            self.reference.edit.setText(folders[1])

    @Slot(int)
    def _recent_chosen(self, index: int) -> None:
        if index > 0:
            self.show_spec(self._recent[index - 1])

    @Slot()
    def _update(self) -> None:
        run = bool(self.run.path())
        self.policy.setEnabled(not run)
        self.reference.edit.setPlaceholderText(NAMED_BY_RUN if run else REFERENCE)
        self.left_out.setVisible(not run and not self.reference.path())
        named = run or bool(self.policy.path())
        button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        button.setEnabled(named)
        button.setDefault(True)
        if named and self._client is not None:
            self.said.setText("Looking at the files …")
            self._rest.start()
        else:
            self._rest.stop()
            self._show(())

    # --- what the engine says of the files ----------------------------------------------------

    def _look(self) -> None:
        """Ask what the files say."""
        assert self._client is not None
        self._asked = self.spec()
        ticket = self._client.ask(Examine, self._asked)
        ticket.answered.connect(self._examined)
        ticket.failed.connect(self._failed)

    @Slot(object)
    def _examined(self, event: Examined) -> None:
        self._show(event.findings)

    @Slot(object)
    def _failed(self, event: Failed) -> None:
        self._show((Finding("pair", "stop", event.message),))

    def _show(self, findings: tuple[Finding, ...]) -> None:
        """Show what is said of the pair that the fields name; of another one, nothing."""
        if findings and self._asked != self.spec():
            return
        self.said.setText("What the files say:" if findings else "")
        self.findings.show_findings(findings)
        self.findings.setVisible(bool(findings))


def recent_text(pair: PairSpec) -> str:
    """Return a pair or run in one line."""
    if pair.run:
        return f"run {pair.run}" + (f"  against  {pair.reference}" if pair.reference else "")
    return pair.policy + (f"  against  {pair.reference}" if pair.reference else "")


def ask_for_pair(
    client: EngineClient,
    spec: PairSpec,
    recent: tuple[PairSpec, ...],
    parent: QWidget | None,
    folders: list[str] | None = None,
) -> PairSpec | None:
    """Show the dialog; return the pair, None if the user cancelled."""
    dialog = OpenDialog(spec, recent, parent, client)
    if folders:
        dialog.set_folders(folders)
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    chosen = dialog.spec() if accepted else None
    dialog.deleteLater()
    return chosen
