"""A training run in a process of its own: SFT if it is asked for, then DPO, with TRL.

    accelerate launch -m core.training.worker --job RUN/qscope-run.json

The same command goes on with a run that was stopped or died, from its last whole checkpoint. It
ends with 0 (done, or stopped with a checkpoint saved) or 1 (one sentence in RUN/qscope-run.json
and on stderr). To stop it, send SIGTERM or make the file RUN/stop. Under several processes the
main one writes what is not TRL's. Knows nothing of who started it (core.training.process).
"""

import argparse
import contextlib
import gc
import os
import shutil
import signal
import sys
import traceback
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.checkpoints.describe import describe, read_json
from core.errors import UserFacingError
from core.training.failures import sentence_of
from core.training.job import (
    PROGRESS,
    STOP,
    TrainingJob,
    now,
    read_job,
    update_about,
    write_json,
)

SFT = "sft"
"""The folder in a run's folder with the SFT result."""
NICE = 5
_terminated = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run a job; the exit status."""
    parser = argparse.ArgumentParser(prog="core.training.worker")
    parser.add_argument("--job", type=Path, required=True, metavar="RUN/qscope-run.json")
    run = parser.parse_args(argv).job.absolute().parent
    signal.signal(signal.SIGTERM, _hear)
    try:
        stopped = work(run)
    except BaseException as error:
        if not isinstance(error, UserFacingError):
            with contextlib.suppress(OSError):
                traceback.print_exc()
        sentence = sentence_of(error, run)
        _drop_half_written(run)  # before the sentence is written: that may need the room
        if _is_main():
            with contextlib.suppress(OSError):
                _note(run, ended=now(), exit=1, outcome="failed", message=sentence)
        with contextlib.suppress(OSError):
            print(sentence, file=sys.stderr, flush=True)
        return 1
    if _is_main():
        (run / STOP).unlink(missing_ok=True)
        _note(run, ended=now(), exit=0, outcome="stopped" if stopped else "done", message="")
    return 0


def _hear(number: int, frame: Any) -> None:
    global _terminated
    _terminated = True


def work(run: Path) -> bool:
    """Train what the run's file asks for, from where it is; whether it was stopped on the way.

    Raises:
        UserFacingError: the base or the data cannot be used.
    """
    job = read_job(run)
    if _is_main():
        _note(
            run, pid=os.getpid(), born=_born(), started=now(),
            ended=None, exit=None, outcome="", message="",
        )  # fmt: skip
    base = _base(job, run)
    if _is_main():
        # Paths are relative to the run where they can be: it may be moved. "" says that the
        # reference is the base with the adapter off.
        reference = SFT if job.sft else "" if job.rank else str(base)
        update_about(run, base=str(base), reference=reference)

    import torch
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()
    disable_progress_bar()
    if not torch.cuda.is_available() and hasattr(os, "nice"):
        os.nice(NICE)  # the window shares these processors
    if job.sft and not is_whole(run / SFT, resumable=False) and _fine_tune(job, base, run):
        return True
    return _prefer(job, base, run)


def _base(job: TrainingJob, run: Path) -> Path:
    if job.base:
        return Path(job.base)
    from core.demo.pair import demo_base

    def tell(what: str, fraction: float | None) -> None:
        share = "" if fraction is None else f" ({fraction:.0%})"
        with contextlib.suppress(OSError):
            write_json(run / PROGRESS, {"stage": what + share, "step": 0, "of": 0})

    return demo_base(tell if _is_main() else lambda what, fraction: None)


# --- the two stages -------------------------------------------------------------------------


def _fine_tune(job: TrainingJob, base: Path, run: Path) -> bool:
    """SFT on prompt and chosen; whether it was stopped. The result lies in RUN/sft."""
    from trl import SFTConfig

    from core.training.live import LiveSFTTrainer

    folder = run / SFT
    folder.mkdir(exist_ok=True)
    model, tokenizer = load(base, job)
    rows = [
        {"prompt": row["prompt"], "completion": row["chosen"]} for row in examples(job, tokenizer)
    ]
    args = SFTConfig(
        **arguments(job, folder, job.sft_steps, max(1, job.sft_steps // 4)),
        learning_rate=job.sft_rate,
        save_total_limit=1,  # they are only to go on from
        completion_only_loss=True,
    )
    trainer, live = _trainer(
        LiveSFTTrainer, "Fine-tuning (SFT)", run, args, model, tokenizer, rows, job
    )
    trainer.train(resume_from_checkpoint=last_whole(folder))
    if live.stopped:
        return True
    trainer.save_state()
    trainer.save_model(str(folder))
    trainer.accelerator.wait_for_everyone()
    if _is_main():
        for old in folder.glob("checkpoint-*"):
            shutil.rmtree(old)
    del trainer, model
    gc.collect()
    return False


def _prefer(job: TrainingJob, base: Path, run: Path) -> bool:
    """DPO, with checkpoints in the run's folder; whether it was stopped."""
    from trl import DPOConfig

    from core.training.live import LiveDPOTrainer

    start = run / SFT if job.sft else None
    model, tokenizer = load(base, job, start)
    args = DPOConfig(
        **arguments(job, run, job.steps, job.saves_every()),
        learning_rate=job.learning_rate,
        beta=job.beta,
    )
    rows = examples(job, tokenizer)
    trainer, live = _trainer(LiveDPOTrainer, "DPO", run, args, model, tokenizer, rows, job)
    trainer.train(resume_from_checkpoint=last_whole(run))
    trainer.save_state()
    return bool(live.stopped)


def _trainer(
    kind: Any, stage: str, run: Path, args: Any, model: Any, tokenizer: Any, rows: Any,
    job: TrainingJob,
) -> tuple[Any, Any]:  # fmt: skip
    from datasets import Dataset
    from transformers import PrinterCallback

    from core.training.live import Live

    live = Live(run, Path(args.output_dir), stage, lambda: stop_is_wanted(run))
    try:
        trainer = kind(
            model=model,
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=None if hasattr(model, "peft_config") else fresh_adapter(job),
            callbacks=[live],
        )
    except StopIteration as error:  # so says TRL of data of which nothing is left
        raise _too_long(job) from error
    if not len(trainer.train_dataset):
        raise _too_long(job)
    trainer.remove_callback(PrinterCallback)
    return trainer, live


def _too_long(job: TrainingJob) -> UserFacingError:
    return UserFacingError(
        f"Every prompt in {job.data} fills all {job.max_length} tokens: start a new run with a "
        f"larger maximal length."
    )


def fresh_adapter(job: TrainingJob) -> Any:
    """The configuration of an adapter that changes nothing yet; None trains all parameters."""
    from peft import LoraConfig

    if not job.rank:
        return None
    return LoraConfig(
        r=job.rank, lora_alpha=job.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def load(base: Path, job: TrainingJob, start: Path | None = None) -> tuple[Any, Any]:
    """The model to be trained, from ``start`` on if there is one, and the tokenizer.

    All parameters are trained in float32 (a GPU computes in bfloat16); under an adapter the base
    is kept in bfloat16 on a GPU.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    half = job.rank and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    whole = start is not None and not job.rank
    model = AutoModelForCausalLM.from_pretrained(
        start if whole else base, dtype=torch.bfloat16 if half else torch.float32
    )
    if start is not None and job.rank:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(start), is_trainable=True)
    return model, tokenizer


def arguments(job: TrainingJob, folder: Path, steps: int, every: int) -> dict[str, Any]:
    """What both stages' configurations share."""
    import torch

    gpu = torch.cuda.is_available()
    half = gpu and torch.cuda.is_bf16_supported()
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "save_steps": every,
        "logging_steps": job.logs_every(),
        "logging_nan_inf_filter": False,
        "per_device_train_batch_size": job.batch_size,
        "gradient_accumulation_steps": job.accumulation,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, steps // 10),
        "max_length": job.max_length,
        "seed": job.seed,
        "bf16": half,
        "fp16": gpu and not half,
        "gradient_checkpointing": gpu,
        "dataloader_pin_memory": gpu,
        "report_to": [],
        "disable_tqdm": True,
    }


def examples(job: TrainingJob, tokenizer: Any) -> list[dict[str, Any]]:
    """The pairs as TRL takes them; plain text as a chat, if that is wanted and can be done."""
    from core.preferences import load_preferences

    rows = []
    for pair in load_preferences(Path(job.data)):
        row = pair.row()
        if pair.conversational and not tokenizer.chat_template:
            raise UserFacingError(
                f"{job.data} holds conversations, but the tokenizer of {job.base} has no chat "
                f"template: choose an instruction-tuned base, or pairs of plain text."
            )
        if not pair.conversational and job.chat and tokenizer.chat_template:
            roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
            row = {name: [{"role": role, "content": row[name]}] for name, role in roles.items()}
        rows.append(row)
    return rows


# --- stopping and going on ------------------------------------------------------------------


def stop_is_wanted(run: Path) -> bool:
    """Whether the run was asked to stop, by a signal or by the file."""
    return _terminated or (run / STOP).exists()


def last_whole(folder: Path) -> str | None:
    """The last checkpoint that can be gone on from; half-written ones are passed over."""
    found = sorted(folder.glob("checkpoint-*"), key=_step, reverse=True)
    return next((str(path) for path in found if is_whole(path)), None)


def is_whole(checkpoint: Path, resumable: bool = True) -> bool:
    """Whether all of a checkpoint was written: the weights and, if ``resumable``, what the
    trainer saves after them, its state last."""
    try:
        describe(checkpoint)
        if resumable:
            read_json(checkpoint / "trainer_state.json")
    except UserFacingError:
        return False
    optimizer = checkpoint / "optimizer.pt"
    return not (resumable and optimizer.exists() and not zipfile.is_zipfile(optimizer))


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _drop_half_written(run: Path) -> None:
    """Free what a failed save has left of the newest checkpoint. Its mark, in every layout that
    trainers write, is that the state, which comes last, is not there or not whole."""
    for folder in (run, run / SFT):
        newest = max(folder.glob("checkpoint-*"), key=_step, default=None)
        if newest is None or not _is_main():
            continue
        try:
            read_json(newest / "trainer_state.json")
        except UserFacingError:
            shutil.rmtree(newest, ignore_errors=True)


# --- the run's file --------------------------------------------------------------------------


def _note(run: Path, **state: Any) -> None:
    update_about(run, state)


def _born() -> float:
    import psutil

    return float(psutil.Process().create_time())


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


if __name__ == "__main__":
    sys.exit(main())
