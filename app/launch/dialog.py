"""Dialog that starts a training run: the form, what is wrong with it, and what the run will take.

Gives a TrainingJob to ``start`` and stays open while that refuses; a fault stands below its field
and nothing typed is lost, not even by cancelling. Knows jobs and their costs; knows nothing of
processes or models.
"""

import json
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QTimer, Slot
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QVBoxLayout, QWidget

from app.launch.form import ORDER, JobForm
from app.launch.pairs import PairsCheck
from app.notices import NoticeBar
from app.status import size_text
from app.widgets.layouts import resize_on_screen, scrolled
from core.checkpoints.named import usual_base
from core.errors import UserFacingError
from core.preferences import Preferences
from core.training.cost import Cost, cost_of
from core.training.job import TrainingJob, problems

REST_MS = 150
HOT = 1e-5
"""A learning rate above this is unusual where all parameters are trained."""
UNFETCHED = "The demo's base is fetched first (93 MB); what the checkpoints take is known then."


class StartDialog(QDialog):
    """Choose and start."""

    def __init__(
        self,
        start: Callable[[TrainingJob], Path],
        runs_folder: Path,
        typed: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.run: Path | None = None
        """The folder of the run, once it is started."""
        self.form = JobForm()
        self.notice = NoticeBar()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.start_button = self.buttons.addButton("Start", QDialogButtonBox.ButtonRole.ActionRole)
        self._start = start
        self._runs_folder = runs_folder
        self._answer: Preferences | str = ""
        """What is known of the pairs, or why they cannot be used; "" while that is not known."""
        self._tried = False
        self._check = PairsCheck(self)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._lay_out()
        try:
            table = json.loads(typed.replace("\\u0000", ""))  # no path has it
        except (ValueError, RecursionError):
            table = {}
        self.form.show_typed(table if isinstance(table, dict) else {})
        self._check.checked.connect(self._data_checked)
        self._rest.timeout.connect(self._show_consequences)
        self.form.data.edit.textChanged.connect(self._data_changed)
        self.form.changed.connect(self._rest.start)
        self.start_button.clicked.connect(self.begin)
        self.buttons.rejected.connect(self.reject)
        self._data_changed()
        self._rest.start()

    def _lay_out(self) -> None:
        self.setWindowTitle("Start a training run")
        resize_on_screen(self, 780, 640)
        self._scroll = scroll = scrolled(self.form)
        column = QVBoxLayout(self)
        for widget in (self.notice, scroll, self.buttons):
            column.addWidget(widget, int(widget is scroll))
        self.start_button.setDefault(True)
        bar = scroll.verticalScrollBar().sizeHint().width()
        margins = column.contentsMargins().left() + column.contentsMargins().right()
        self.setMinimumSize(self.form.minimumSizeHint().width() + bar + margins, 400)

    def typed(self) -> str:
        """Return everything in the fields, to be shown again another time."""
        table = self.form.typed()
        return json.dumps({**table, "out": "" if self.run is not None else table["out"]})

    def busy(self) -> bool:
        """Return whether what was typed is still being looked at."""
        return self._check.busy() or self._rest.isActive()

    @Slot()
    def begin(self) -> None:
        """Start what the fields ask for, or say beside them what is wrong."""
        self._tried = True
        if found := self._show_problems():
            first = min(found, key=ORDER.index)
            self.form.go_to(first)
            self._scroll.ensureWidgetVisible(self.form.refusals[first])
            return
        try:
            self.run = self._start(self.form.job())
        except UserFacingError as error:
            self.notice.show_notice("error", str(error), topic="start")
            return
        self.accept()

    def done(self, result: int) -> None:
        self._check.stop()
        self._rest.stop()
        super().done(result)

    @Slot()
    def _data_changed(self) -> None:
        path = self.form.data.path()
        self._answer = ""
        if path:
            self._check.look_at(Path(path).expanduser())
        else:
            self._check.stop()
        self.form.pairs.show_words("Looking at the pairs …" if path else "")
        self.form.say("data", "")
        name, number = Path(path).stem or "run", 1
        while (self._runs_folder / f"{name}-{number}").exists():
            number += 1
        self.form.out.suggest(str(self._runs_folder / f"{name}-{number}"))

    @Slot(object)
    def _data_checked(self, answer: Preferences | str) -> None:
        self._answer = answer
        if isinstance(answer, str):
            self.form.pairs.show_words("")
        else:
            self.form.pairs.show_info(answer)
        self.form.say("data", answer if isinstance(answer, str) else "")
        self.form.chat.setEnabled(isinstance(answer, str) or not answer.conversational)

    @Slot()
    def _show_consequences(self) -> None:
        job = self.form.job()
        if self._tried:
            self._show_problems()
        hot = not job.rank and max(job.learning_rate, job.sft_rate if job.sft else 0) > HOT
        self.form.warning.setVisible(hot)
        self.form.warning.setText(
            "⚠ All parameters are trained at a rate for adapters: near 1e-06 is usual for DPO, "
            "near 1e-05 for SFT."
        )
        self.form.cost.setText(self._cost(job))

    def _cost(self, job: TrainingJob) -> str:
        if self.form.own_base.isChecked() and not job.base:
            return ""
        try:
            base = Path(job.base) if job.base else usual_base().cached()
            return cost_words(job, cost_of(job, base)) if base else UNFETCHED
        except (UserFacingError, OSError):
            return ""

    def _show_problems(self) -> dict[str, str]:
        """Say beside each field what is wrong with it; return what was said."""
        found = problems(self.form.job())
        if self.form.own_base.isChecked() and not self.form.base.path():
            found["base"] = "Choose the folder of a model, or the demo's base."
        if "data" not in found and isinstance(self._answer, str):
            found["data"] = self._answer or (
                "The pairs are still being looked at: try again in a moment."
            )
        self.form.refuse(found)
        return found


def cost_words(job: TrainingJob, cost: Cost) -> str:
    """Return what a run takes of the disk, in words."""
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
