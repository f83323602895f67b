"""Shows in a dialog what there is to say of the pair that is loaded; the engine says it."""

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from app.engine_client import EngineClient
from app.widgets.finding_list import FindingList
from app.widgets.layouts import fill, label
from core.engine.protocol import Examine, Examined, PairSpec


class PairCheck(QDialog):
    """A dialog with the findings on a pair."""

    def __init__(self, client: EngineClient, spec: PairSpec, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Check the pair")
        self.resize(760, 520)
        self.said = label("Looking at the files …", "muted")
        self.findings = FindingList()
        self.findings.setAccessibleName("What there is to say of the pair")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        fill(QVBoxLayout(self), self.said, (self.findings, 1), buttons)
        client.ask(Examine, spec, loaded=True).answered.connect(self._examined)

    @Slot(object)
    def _examined(self, event: Examined) -> None:
        self.said.setText("As its files say, and as it was loaded:")
        self.findings.show_findings(event.findings)


def show_check(client: EngineClient, spec: PairSpec, parent: QWidget | None) -> None:
    """Show the dialog until it is closed."""
    dialog = PairCheck(client, spec, parent)
    dialog.exec()
    dialog.deleteLater()
