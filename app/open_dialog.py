"""Asks in a dialog for a policy and its reference, or a run, and says what risky options mean.

Gives a PairSpec; checks nothing on disk, because the engine does and says why in one sentence.
"""

from dataclasses import replace

from PySide6.QtCore import Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from app.widgets.beta_box import BetaBox
from app.widgets.layouts import fill, label
from app.widgets.path_edit import PathEdit
from core.engine.protocol import PairSpec

REFERENCE = "Model or adapter that DPO started from"
NAMED_BY_RUN = "Only if the run's files do not name it"


class OpenDialog(QDialog):
    """A dialog that names a pair or a run."""

    def __init__(
        self, spec: PairSpec, recent: tuple[PairSpec, ...], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open a pair")
        self.setMinimumWidth(620)
        self._recent = recent
        self.recent = QComboBox()
        self.recent.addItem("–")
        for pair in recent:
            self.recent.addItem(recent_text(pair))
        self.recent.setToolTip("Pairs and runs that were loaded before")
        self.policy = self._folder(
            "Policy", "Folder of a model, an adapter or a run, a GGUF file, or org/name"
        )
        self.run = self._folder("Training run", "In place of a policy: a run with its checkpoints")
        self.run.edit.setToolTip(
            "The folder that holds checkpoint-10, checkpoint-20, …: the last one is the policy, "
            "and a strip at the window's foot shows the others"
        )
        self.separate = QRadioButton("A checkpoint or adapter")
        self.adapters_off = QRadioButton("Found with the policy, or its base, the adapter off")
        self.adapters_off.setToolTip(
            "For a policy adapter that was trained on the bare base; a reference that was saved "
            "with the policy, or that its files name, is taken in its place"
        )
        self.reference = self._folder("Reference", REFERENCE)
        self.base = self._folder("Base", "Only if the adapters' base has moved")
        self.beta = BetaBox(unknown="as the policy's files say")
        self.device = QComboBox()
        self.device.setEditable(True)
        self.device.addItems(["auto", "cpu", "cuda", "mps"])
        self.dtype = QComboBox()
        self.dtype.addItems(["auto", "float32", "bfloat16", "float16"])
        self.pickle = QCheckBox("Load pickled weights (.bin, .pt)")
        self.remote = QCheckBox("Run the code that comes with the checkpoint")
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        self._lay_out()
        self.show_spec(spec)
        self.recent.currentIndexChanged.connect(self._recent_chosen)
        self.separate.toggled.connect(self._update)
        self.policy.edit.textChanged.connect(self._update)
        self.run.edit.textChanged.connect(self._update)
        self.reference.edit.textChanged.connect(self._update)
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
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        if self._recent:
            form.addRow("&Recent", self.recent)
        form.addRow("&Policy π", self.policy)
        form.addRow("or Training r&un", self.run)
        choice = fill(QHBoxLayout(), self.separate, self.adapters_off, 1)
        form.addRow("Reference π_ref", choice)
        form.addRow("", self.reference)
        form.addRow("&Base", self.base)
        form.addRow("β of the training", self.beta)
        numbers = fill(QHBoxLayout(), self.device, QLabel("number format"), self.dtype, 1)
        form.addRow("&Device", numbers)
        risky = QGroupBox("Only for checkpoints from people you trust")
        inside = QVBoxLayout(risky)
        for box, why in (
            (self.pickle, "A pickle file can run any program on this computer when it is read."),
            (self.remote, "The code in the folder runs with your rights, as any program does."),
        ):
            note = label(why, "muted")
            note.setIndent(24)
            inside.addWidget(box)
            inside.addWidget(note)
        fill(QVBoxLayout(self), form, risky, self.buttons)

    def show_spec(self, spec: PairSpec) -> None:
        """Fill the fields."""
        self.policy.edit.setText(spec.policy)
        self.run.edit.setText(spec.run)
        self.reference.edit.setText(spec.reference)
        self.base.edit.setText(spec.base)
        off = bool(spec.policy) and not spec.reference
        self.adapters_off.setChecked(off)
        self.separate.setChecked(not off)
        self.beta.show_beta(spec.beta)
        self.device.setCurrentText(spec.device)
        self.dtype.setCurrentText(spec.dtype)
        self.pickle.setChecked(spec.allow_pickle)
        self.remote.setChecked(spec.allow_remote_code)

    def spec(self) -> PairSpec:
        """Return the pair that the fields name."""
        run = self.run.path()
        return PairSpec(
            policy="" if run else self.policy.path(),
            reference=self.reference.path() if run or self.separate.isChecked() else "",
            run=run,
            base=self.base.path(),
            beta=self.beta.beta(),
            device=self.device.currentText().strip() or "auto",
            dtype=self.dtype.currentText(),
            allow_pickle=self.pickle.isChecked(),
            allow_remote_code=self.remote.isChecked(),
        )

    def set_folders(self, folders: list[str]) -> None:
        """Fill in folders that were dropped: the policy first, then the reference."""
        empty = replace(PairSpec(), policy=folders[0])
        self.show_spec(empty)
        self.separate.setChecked(True)
        if len(folders) > 1:
            self.reference.edit.setText(folders[1])

    @Slot(int)
    def _recent_chosen(self, index: int) -> None:
        if index > 0:
            self.show_spec(self._recent[index - 1])

    @Slot()
    def _update(self) -> None:
        run = bool(self.run.path())
        for widget in (self.policy, self.separate, self.adapters_off):
            widget.setEnabled(not run)
        self.reference.setEnabled(run or self.separate.isChecked())
        self.reference.edit.setPlaceholderText(NAMED_BY_RUN if run else REFERENCE)
        ready = run or (
            bool(self.policy.path())
            and (self.adapters_off.isChecked() or bool(self.reference.path()))
        )
        button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        button.setEnabled(ready)
        button.setDefault(True)


def recent_text(pair: PairSpec) -> str:
    """Return a pair or run in one line."""
    if pair.run:
        return f"run {pair.run}" + (f"  against  {pair.reference}" if pair.reference else "")
    return f"{pair.policy}  against  {pair.reference or 'its base'}"


def ask_for_pair(
    spec: PairSpec,
    recent: tuple[PairSpec, ...],
    parent: QWidget | None,
    folders: list[str] | None = None,
) -> PairSpec | None:
    """Show the dialog; return the pair, None if the user cancelled."""
    dialog = OpenDialog(spec, recent, parent)
    if folders:
        dialog.set_folders(folders)
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    chosen = dialog.spec() if accepted else None
    dialog.deleteLater()
    return chosen
