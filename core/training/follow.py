"""A stage that is followed: its log as it grows, its progress, and the wish to stop it.

TRL calls ``Follow`` at every step. Log records go into a file as they come, progress to whoever
asked for it; a wish to stop is heard by all processes of a run at the same step. Only the main
process writes. Importing this module imports torch and transformers.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from core.progress import StepReport
from core.training.job import LOG

EVERY_SECONDS = 0.5
"""Between two reports of the progress."""


class Follow(TrainerCallback):
    """Writes a stage's log, reports its progress, and stops it when ``wanted()`` says so."""

    def __init__(self, folder: Path, report: StepReport, wanted: Callable[[], bool]) -> None:
        self._log = folder / LOG
        self._report = report
        self._wanted = wanted
        self._reported = 0.0
        self.stopped = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            cut_log(self._log, state.global_step)
        self._tell(state)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(state.log_history[-1]) + "\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if time.monotonic() - self._reported > EVERY_SECONDS:
            self._tell(state)
        if state.global_step < state.max_steps and anywhere(self._wanted()):
            self.stopped = control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tell(state)

    def _tell(self, state: Any) -> None:
        self._reported = time.monotonic()
        if state.is_world_process_zero:
            self._report(state.global_step, state.max_steps)


def anywhere(here: bool) -> bool:
    """Return whether any of the processes says yes: all must stop at the same step."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return here
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    flag = torch.tensor(int(here), device=device)
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def cut_log(path: Path, step: int) -> None:
    """Take records after ``step`` out of a log that training resumes from there."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            if record["step"] <= step and "train_runtime" not in record:
                kept.append(line + "\n")
    beside = path.with_name(path.name + ".new")
    beside.write_text("".join(kept), "utf-8")
    beside.replace(path)
