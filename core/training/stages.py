"""A stage of training, SFT or DPO: its settings, the model, TRL's arguments, the run of it.

Every stage that Qscope trains goes through here: those of a user's run (core.training.worker) on
pairs of text, and those of the demo's recipe (core.demo.training) on rows of token trees. A stage
resumes from the last whole checkpoint in its folder. Knows nothing of jobs, recipes or processes.
Importing this module imports no model library.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.checkpoints.describe import describe, read_json
from core.errors import UserFacingError

Report = Callable[[str, int, int], None]
"""Called with a stage's title, its step, and how many there are."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The settings of one stage."""

    method: Literal["sft", "dpo"]
    title: str
    """What progress calls it."""
    folder: Path
    """For its log and its checkpoints."""
    data: str
    """What it is trained on, for sentences."""
    steps: int
    learning_rate: float
    """The peak: a linear warm-up of ``warmup`` steps leads to it, a cosine from it."""
    warmup: int
    batch_size: int
    save_steps: int
    log_steps: int
    seed: int
    accumulation: int = 1
    beta: float = 0.1
    """Of DPO."""
    max_length: int = 1024
    """Tokens of prompt and response; what is longer is cut off."""
    rows: bool = False
    """The data are rows of token trees, not pairs of text: they are taken as they are, and run in
    the precision that the model was loaded in."""
    cycles: float = 0.5
    """Of the cosine: half a cycle decays to nothing, less of it leaves the same curve early."""
    keep: int | None = None
    """How many checkpoints are kept; None: all."""


# --- the model ------------------------------------------------------------------------------


def load(
    base: Path,
    adapter: Path | None = None,
    train: Literal["adapter", "all"] | None = None,
    tokenizer: Path | None = None,
) -> tuple[Any, Any]:
    """Return a model, with ``adapter`` over it if one is given, and its tokenizer.

    On a GPU that can, the weights are bfloat16; of a model that is trained whole, float32.

    Args:
        train: what of it will be trained; TRL then moves it to the devices. None: it is only run,
            and is on the GPU if there is one.
        tokenizer: the folder of the tokenizer, if that is not ``base``.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # who calls says how far it is
    gpu = torch.cuda.is_available()
    half = gpu and train != "all" and torch.cuda.is_bf16_supported()
    reader = AutoTokenizer.from_pretrained(tokenizer or base)
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.bfloat16 if half else torch.float32
    )
    if train is None and gpu:
        model = model.to("cuda")
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter), is_trainable=train is not None)
    return model, reader


def load_both(base: Path, *, policy: Path, reference: Path) -> tuple[Any, Any]:
    """Return the base with the adapters "policy" and "reference" over it, and the tokenizer."""
    from peft import PeftModel

    model, tokenizer = load(base)
    model = PeftModel.from_pretrained(model, str(policy), adapter_name="policy")
    model.load_adapter(str(reference), adapter_name="reference")
    return model.eval(), tokenizer


def fresh_adapter(rank: int, alpha: int) -> Any:
    """Return the configuration of a LoRA adapter on all linear layers but the head, which changes
    nothing yet; None for rank 0, which trains all parameters."""
    from peft import LoraConfig

    if not rank:
        return None
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


# --- the run of it --------------------------------------------------------------------------


def trl_arguments(stage: Stage) -> Any:
    """Translate a stage's settings into TRL's configuration of its trainer."""
    import torch
    from trl import DPOConfig, SFTConfig

    gpu = torch.cuda.is_available()
    half = gpu and torch.cuda.is_bf16_supported()
    text = not stage.rows
    common: dict[str, Any] = {
        "output_dir": str(stage.folder),
        "max_steps": stage.steps,
        "save_steps": stage.save_steps,
        "save_total_limit": stage.keep,
        "logging_steps": stage.log_steps,
        "logging_nan_inf_filter": False,
        "per_device_train_batch_size": stage.batch_size,
        "gradient_accumulation_steps": stage.accumulation,
        "learning_rate": stage.learning_rate,
        "warmup_steps": stage.warmup,
        "lr_scheduler_type": "cosine",
        "lr_scheduler_kwargs": {"num_cycles": stage.cycles},
        "seed": stage.seed,
        "max_length": stage.max_length,
        "bf16": text and half,
        "fp16": text and gpu and not half,
        "gradient_checkpointing": text and gpu,
        "dataloader_pin_memory": text and gpu,
        "use_cpu": stage.rows and not gpu,
        "report_to": [],
        "disable_tqdm": True,
    }
    if stage.method == "dpo":
        return DPOConfig(**common, beta=stage.beta)
    return SFTConfig(**common)


def train(
    stage: Stage,
    model: Any,
    tokenizer: Any,
    data: Iterable[dict[str, Any]],
    adapter: Any = None,
    *,
    report: Report,
    stop_wanted: Callable[[], bool] = lambda: False,
) -> tuple[Any, bool]:
    """Train a stage to its end, or until ``stop_wanted()``, from its last whole checkpoint on.

    Args:
        data: {"prompt", "completion"} for SFT, {"prompt", "chosen", "rejected"} for DPO; or rows
            (core.training.rows.Row.as_example).
        adapter: the configuration of a fresh adapter; None if the model has one, or needs none.

    Returns:
        The trainer, and whether it was stopped; a checkpoint of the last step is saved either way.

    Raises:
        UserFacingError: nothing is left of the data, or the loss became no number.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    from core.training import trainers
    from core.training.follow import Follow

    stage.folder.mkdir(parents=True, exist_ok=True)
    follow = Follow(stage, report, stop_wanted)
    try:
        trainer = trainers.KINDS[stage.method, stage.rows](
            model=model,
            args=trl_arguments(stage),
            train_dataset=Dataset.from_list(list(data)),
            processing_class=tokenizer,
            data_collator=trainers.collator(tokenizer) if stage.rows else None,
            peft_config=adapter,
            callbacks=[follow],
        )
    except StopIteration as error:  # so says TRL of data of which nothing is left
        raise _too_long(stage) from error
    if not len(trainer.train_dataset):
        raise _too_long(stage)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_whole(stage.folder))
    return trainer, follow.stopped


def _too_long(stage: Stage) -> UserFacingError:
    return UserFacingError(
        f"Every prompt in {stage.data} fills all {stage.max_length} tokens: start a new run with a "
        f"larger maximal length."
    )


# --- its checkpoints ------------------------------------------------------------------------


def last_whole(folder: Path) -> str | None:
    """Return the last checkpoint that can be resumed from; half-written ones are passed over."""
    found = sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True)
    return next((str(path) for path in found if is_whole(path)), None)


def is_whole(checkpoint: Path, resumable: bool = True) -> bool:
    """Return whether all of a checkpoint was written: the weights and, if ``resumable``, what the
    trainer saves after them, its state last."""
    try:
        describe(checkpoint)
        if resumable:
            read_json(checkpoint / "trainer_state.json")
    except UserFacingError:
        return False
    optimizer = checkpoint / "optimizer.pt"
    return not (resumable and optimizer.exists() and not zipfile.is_zipfile(optimizer))


def step_of(checkpoint: Path) -> int:
    """Return the step in a checkpoint's name, -1 if it has none."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def drop_half_written(folder: Path) -> None:
    """Free what a failed save has left of the newest checkpoint. Its mark, in every layout that
    trainers write, is that the state, which comes last, is not there or not whole."""
    newest = max(folder.glob("checkpoint-*"), key=step_of, default=None)
    if newest is None:
        return
    try:
        read_json(newest / "trainer_state.json")
    except UserFacingError:
        shutil.rmtree(newest, ignore_errors=True)
