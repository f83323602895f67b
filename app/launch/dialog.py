"""The dialog that starts a training run: on what, from where, how, and what it will take.

Gives a TrainingJob to ``start`` and stays open while that refuses; a fault stands below its field
and nothing typed is lost, not even by cancelling. Knows jobs and their costs; knows nothing of
processes or models.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QTimer, Slot
from PySide6.QtWidgets import QWidget

from app.launch.fields import PairsCheck
from app.launch.form import NUMBERS, ORDER, USUAL, Ask, StartForm
from app.status import size_text
from core.demo.base import cached_base
from core.errors import UserFacingError
from core.preferences import PreferencesInfo
from core.training.cost import Cost, cost_of
from core.training.job import TrainingJob, problems

REST_MS = 150
HOT = 1e-5
"""A learning rate above this is unusual where all parameters are trained."""


class StartDialog(StartForm):
    """Choose and start."""

    def __init__(
        self,
        start: Callable[[TrainingJob], Path],
        runs_folder: Path,
        typed: str = "",
        ask: Ask | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(ask, parent)
        self.run: Path | None = None
        """The folder of the run, once it is started."""
        self._start = start
        self._runs_folder = runs_folder
        self._answer: PreferencesInfo | str = ""
        self._tried = False
        self._check = PairsCheck(self)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._connect()
        self._show_typed(typed)
        self._data_changed()
        self._changed()

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
