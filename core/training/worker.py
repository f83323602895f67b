"""A training run in a process of its own: SFT if it is asked for, then DPO.

    accelerate launch -m core.training.worker --job RUN/qscope-run.json

The same command resumes a run that was stopped or died, from its last whole checkpoint. It ends
with 0 (done, or stopped with a checkpoint saved) or 1 (one sentence in RUN/qscope-run.json and on
stderr). To stop it, send SIGTERM or make the file RUN/stop. Under several processes the main one
writes what is not TRL's. Knows nothing of who started it (core.training.process).
"""

import argparse
import contextlib
import gc
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import registrations
from core.checkpoints.named import usual_base
from core.errors import UserFacingError
from core.progress import Report
from core.training.alive import identity
from core.training.failures import sentence_of
from core.training.job import (
    PROGRESS,
    STOP,
    TrainingJob,
    check_again,
    now,
    read_job,
    update_about,
    write_json,
)
from core.training.lock import release, take_over
from core.training.stages import Method, drop_half_written, is_whole, load, train

SFT = "sft"
"""The folder in a run's folder with the SFT result."""
NICE = 5
_terminated = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run a job and return the exit status."""
    parser = argparse.ArgumentParser(prog="core.training.worker")
    parser.add_argument("--job", type=Path, required=True, metavar="RUN/qscope-run.json")
    run = parser.parse_args(argv).job.absolute().parent
    signal.signal(signal.SIGTERM, _hear)
    if not _is_main():
        return _main(run)
    try:
        lock = take_over(run)
    except UserFacingError as error:  # what the records say is another training's
        print(error, file=sys.stderr, flush=True)
        return 1
    try:
        return _main(run)
    finally:
        release(lock)


def _main(run: Path) -> int:
    try:
        stopped = work(run)
    except BaseException as error:
        if not isinstance(error, UserFacingError):
            with contextlib.suppress(OSError):
                traceback.print_exc()
        sentence = sentence_of(error, run)
        if _is_main():
            for folder in (run, run / SFT):
                drop_half_written(folder)  # before the sentence: that may need the room
            with contextlib.suppress(OSError):
                _note(run, ended=now(), exit=1, outcome="failed", message=sentence)
        with contextlib.suppress(OSError):
            print(sentence, file=sys.stderr, flush=True)
        return 1
    if _is_main():
        with contextlib.suppress(OSError):
            (run / STOP).unlink(missing_ok=True)
        _note(run, ended=now(), exit=0, outcome="stopped" if stopped else "done", message="")
    return 0


def _hear(number: int, frame: Any) -> None:
    global _terminated
    _terminated = True


def stop_is_wanted(run: Path) -> bool:
    """Return whether the run was asked to stop, by a signal or by the file."""
    return _terminated or os.path.lexists(run / STOP)


def work(run: Path) -> bool:
    """Train what the run's file asks for, from where it is; return whether it was stopped.

    Raises:
        UserFacingError: the base or the data cannot be used.
    """
    job = read_job(run)
    if _is_main():
        _note(
            run, **identity(os.getpid()), started=now(),
            ended=None, exit=None, outcome="", message="",
        )  # fmt: skip
    check_again(job)
    base = _base(job, run)
    if _is_main():
        # Paths are relative to the run where they can be: it may be moved. "" says that the
        # reference is the base with the adapter off.
        reference = SFT if job.sft else "" if job.rank else str(base)
        update_about(run, base=str(base), reference=reference)

    import torch
    from datasets import disable_progress_bars

    disable_progress_bars()
    if not torch.cuda.is_available() and hasattr(os, "nice"):
        os.nice(NICE)  # the window shares these processors
    if job.sft and not is_whole(run / SFT, resumable=False):
        if _fine_tune(job, base, run):
            return True
        gc.collect()  # its model, before DPO's is loaded
    return _prefer(job, base, run)


def _base(job: TrainingJob, run: Path) -> Path:
    if job.base:
        return Path(job.base)

    def tell(what: str, fraction: float | None) -> None:
        share = "" if fraction is None else f" ({fraction:.0%})"
        _write_progress(run, what + share, 0, 0)

    report: Report = tell if _is_main() else lambda what, fraction: None
    return usual_base().fetch(report, lambda: False)


# --- the two stages -------------------------------------------------------------------------


def _fine_tune(job: TrainingJob, base: Path, run: Path) -> bool:
    """Run SFT on prompt and chosen; return whether it was stopped. The result lies in RUN/sft."""
    model, tokenizer = load(base, train="adapter" if job.rank else "all")
    data = examples(job, tokenizer)
    for row in data:
        row["completion"] = row.pop("chosen")
        del row["rejected"]
    trainer, stopped = _train(job, "sft", run, model, tokenizer, data)
    if stopped:
        return True
    trainer.save_state()
    trainer.save_model(str(run / SFT))
    trainer.accelerator.wait_for_everyone()
    if _is_main():
        for old in (run / SFT).glob("checkpoint-*"):
            shutil.rmtree(old)
    return False


def _prefer(job: TrainingJob, base: Path, run: Path) -> bool:
    """Run DPO, with checkpoints in the run's folder; return whether it was stopped."""
    if job.rank:
        model, tokenizer = load(base, run / SFT if job.sft else None, train="adapter")
    else:
        model, tokenizer = load(run / SFT if job.sft else base, train="all", tokenizer=base)
    trainer, stopped = _train(job, "dpo", run, model, tokenizer, examples(job, tokenizer))
    trainer.save_state()
    return stopped


def _train(
    job: TrainingJob, method: Method, run: Path, model: Any, tokenizer: Any,
    data: list[dict[str, Any]],
) -> tuple[Any, bool]:  # fmt: skip
    sft = method == "sft"
    title = "Fine-tuning (SFT)" if sft else "DPO"
    return train(
        job, method, run / SFT if sft else run, model, tokenizer, data,
        report=lambda step, of: _write_progress(run, title, step, of),
        stop_wanted=lambda: stop_is_wanted(run),
    )  # fmt: skip


def examples(job: TrainingJob, tokenizer: Any) -> list[dict[str, Any]]:
    """Return the pairs as TRL takes them; plain text as a chat, if that is wanted and can be."""
    from core.preferences import as_turns, load_preferences
    from core.template import check_limits

    check_limits(tokenizer)  # TRL renders without any, and deaf to a wish to stop
    rows = []
    for pair in load_preferences(Path(job.data)):
        if pair.conversational and not tokenizer.chat_template:
            raise UserFacingError(
                f"{job.data} holds conversations, but the tokenizer of {job.base} has no chat "
                f"template: choose an instruction-tuned base, or pairs of plain text."
            )
        if not pair.conversational and job.chat and tokenizer.chat_template:
            pair = as_turns(pair)
        rows.append(pair.row())
    # A dataset has the columns of its first row.
    none: dict[str, Any] = {"tools": None, "chat_template_kwargs": {}}
    there = {name: none[name] for name in none if any(name in row for row in rows)}
    return [there | row for row in rows]


# --- the run's files ------------------------------------------------------------------------


def _note(run: Path, **state: Any) -> None:
    update_about(run, state)


def _write_progress(run: Path, stage: str, step: int, of: int) -> None:
    with contextlib.suppress(OSError):  # it is only for the eye
        write_json(run / PROGRESS, {"stage": stage, "step": step, "of": of})


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"  # PEFT and TRL look on the hub for what folders only name
    registrations.register()
    sys.exit(main())
