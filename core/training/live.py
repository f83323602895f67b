"""What a run in its own process adds to TRL's trainers: it can be followed, stopped and trusted.

Log records go into a file as they come, progress into another, a wish to stop is heard at each
step by all processes alike, a loss that is no number ends the run, and KL(π_ref‖π) is measured
where a record is due. Data, losses and checkpoints are TRL's. Only the main process writes.
Importing this module imports torch and TRL.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import PeftModel
from transformers import TrainerCallback
from trl import DPOTrainer, SFTTrainer
from trl.trainer.utils import use_adapter

from core.errors import UserFacingError
from core.runs.records import KL
from core.training.job import LOG, PROGRESS, write_json

EVERY_SECONDS = 0.5
"""Between two writings of the progress."""


class Live(TrainerCallback):
    """Writes a stage's log and progress; stops it when ``wanted()`` says so."""

    def __init__(self, run: Path, folder: Path, stage: str, wanted: Callable[[], bool]) -> None:
        self._progress = run / PROGRESS
        self._log = folder / LOG
        self._stage = stage
        self._wanted = wanted
        self._told = 0.0
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
        if time.monotonic() - self._told > EVERY_SECONDS:
            self._tell(state)
        if state.global_step < state.max_steps and anywhere(self._wanted()):
            self.stopped = control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tell(state)

    def _tell(self, state: Any) -> None:
        self._told = time.monotonic()
        if state.is_world_process_zero:
            table = {"stage": self._stage, "step": state.global_step, "of": state.max_steps}
            with contextlib.suppress(OSError):  # it is only for the eye
                write_json(self._progress, table)


def anywhere(here: bool) -> bool:
    """Whether any of the processes says yes: all must stop at the same step."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return here
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    flag = torch.tensor(int(here), device=device)
    torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def cut_log(path: Path, step: int) -> None:
    """Take records after ``step`` out of a log that training goes on from there."""
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


class Sane:
    """What both trainers add: they stop where the loss is no number, and write no model card."""

    state: Any

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none: qscope-run.json says how the run was made."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        found = super().compute_loss(*args, **kwargs)  # type: ignore[misc]
        loss = found[0] if isinstance(found, tuple) else found
        if not torch.isfinite(loss).all():
            raise UserFacingError(
                f"The loss is no number after step {self.state.global_step}: lower the learning "
                f"rate and start a new run."
            )
        return found


class LiveSFTTrainer(Sane, SFTTrainer):
    """TRL's SFT."""


class LiveDPOTrainer(Sane, DPOTrainer):
    """TRL's DPO, with KL(π_ref‖π) at each record of the log.

    TRL's loss reads log-probs of the labels only, so the full vocabulary takes two more forwards
    of the chosen halves, once a record; pair by pair, so that the logits of one are held at once.
    Weights that are spread over processes (FSDP, DeepSpeed) are left alone: no KL there.
    """

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        spread = self.is_fsdp_enabled or self.is_deepspeed_enabled
        due = (self.state.global_step + 1) % self.args.logging_steps == 0
        if due and not spread and self.model.training:
            mean = self.accelerator.gather(self._chosen_kl(inputs)).mean()
            self._metrics["train"][KL].append(mean.item())
        return super().compute_loss(model, inputs, *args, **kwargs)

    @torch.no_grad()
    def _chosen_kl(self, inputs: dict[str, Any]) -> torch.Tensor:
        """KL(π_ref‖π) of each chosen response of a batch, summed over its tokens, [B] nats."""
        policy = self.accelerator.unwrap_model(self.model)
        sums = []
        for row in range(len(inputs["input_ids"]) // 2):
            batch = {name: inputs[name][row : row + 1] for name in ("input_ids", "attention_mask")}
            states = inputs["completion_mask"][row, 1:].nonzero().flatten()
            logits = policy(**batch, use_cache=False).logits[0, states].float()
            if isinstance(policy, PeftModel):
                frozen = "ref" if "ref" in policy.peft_config else None
                with use_adapter(policy, adapter_name=frozen):
                    before = policy(**batch, use_cache=False).logits[0, states].float()
            else:
                before = self.ref_model(**batch, use_cache=False).logits[0, states].float()
            kl = F.kl_div(
                F.log_softmax(logits, -1), F.log_softmax(before, -1), log_target=True,
                reduction="sum",
            )  # fmt: skip
            sums.append(kl)
        return torch.stack(sums)
