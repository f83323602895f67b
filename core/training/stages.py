"""A stage of a job, SFT or DPO: its model, TRL's arguments for it, the training, its checkpoints.

Every stage that Qscope trains goes through here: those of a user's run (core.training.worker) on
pairs of text, and those of the demo's recipe on rows of token trees. A stage resumes from the last
whole checkpoint in its folder. Knows nothing of processes. Importing this module imports no model
library.
"""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from core.checkpoints.describe import describe
from core.checkpoints.limited import check_files, read_json
from core.errors import UserFacingError
from core.progress import StepReport
from core.training.job import TrainingJob

Method = Literal["sft", "dpo"]


# --- the model ------------------------------------------------------------------------------


def load(
    base: Path,
    adapter: Path | None = None,
    *,
    train: Literal["adapter", "all"],
    tokenizer: Path | None = None,
) -> tuple[Any, Any]:
    """Return a model to be trained, with ``adapter`` over it if one is given, and its tokenizer.

    On a GPU that can, the weights are bfloat16; of a model that is trained whole, float32.

    Args:
        train: what of it will be trained; TRL moves it to the devices.
        tokenizer: the folder of the tokenizer, if that is not ``base``.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from core.models.adapter_config import read_adapter_config, resolve_names
    from core.models.config import load_config, offline
    from core.models.tokenizer import load_tokenizer

    disable_progress_bar()  # who calls says how far it is
    gpu = torch.cuda.is_available()
    half = gpu and train != "all" and multiplies_bf16()
    # Folders may come from somebody else: nothing is fetched for them, and none of their code run.
    reader = load_tokenizer(tokenizer or base)
    check_files(base, ("generation_config.json",))
    with offline():
        model = AutoModelForCausalLM.from_pretrained(
            base,
            config=load_config(base),
            dtype=torch.bfloat16 if half else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
        if adapter is not None:
            from peft import PeftModel

            config = read_adapter_config(adapter)
            resolve_names(config, model, adapter)
            model = PeftModel.from_pretrained(model, str(adapter), is_trainable=True, config=config)
    return model, reader


def fresh_adapter(rank: int, alpha: int) -> Any:
    """Return the configuration of a LoRA adapter on all linear layers but the head, which changes
    nothing yet; None for rank 0, which trains all parameters."""
    from peft import LoraConfig

    if not rank:
        return None
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


# --- the training ---------------------------------------------------------------------------


def multiplies_bf16() -> bool:
    """Return whether the machine multiplies bfloat16 in hardware: most GPUs, and CPUs with AMX or
    AVX-512 BF16, on which a training then takes about a third of the time."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def trl_arguments(
    job: TrainingJob, method: Method, folder: Path, rows: bool = False, **more: Any
) -> Any:
    """Translate a job's settings into TRL's configuration of a stage; ``more`` are TRL's own.

    Rows run in the precision that the model was loaded in.
    """
    import torch
    from trl import DPOConfig, SFTConfig

    gpu = torch.cuda.is_available()
    half = multiplies_bf16() and not rows
    sft = method == "sft"
    steps = job.sft_steps if sft else job.steps
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": steps,
        "save_steps": max(1, steps // 4) if sft else job.saves_every(),
        "save_total_limit": 1 if sft else None,  # those of SFT are only to resume from
        "logging_steps": job.logs_every(),
        "logging_nan_inf_filter": False,
        "per_device_train_batch_size": job.batch_size,
        "gradient_accumulation_steps": job.accumulation,
        "learning_rate": job.sft_rate if sft else job.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, steps // 10),
        "max_length": job.max_length,
        "seed": job.seed,
        "bf16": half,
        "fp16": gpu and not half and not rows,
        "gradient_checkpointing": gpu and not rows,
        "dataloader_pin_memory": gpu and not rows,
        "use_cpu": (rows or half) and not gpu,
        "report_to": [],
        "disable_tqdm": True,
        **more,
    }
    return SFTConfig(**arguments) if sft else DPOConfig(**arguments, beta=job.beta)


def train(
    job: TrainingJob, method: Method, folder: Path, model: Any, tokenizer: Any,
    data: list[dict[str, Any]], *, report: StepReport,
    stop_wanted: Callable[[], bool] = lambda: False, rows: bool = False, **more: Any,
) -> tuple[Any, bool]:  # fmt: skip
    """Train a stage to its end, or until ``stop_wanted()``, from its last whole checkpoint on.

    Args:
        folder: for its log and its checkpoints.
        model: with an adapter to train on, or without: then a fresh one is trained, or all of it.
        data: {"prompt", "completion"} for SFT, {"prompt", "chosen", "rejected"} for DPO; or
            ``rows`` (core.training.rows.Row.as_example).
        more: TRL's own arguments.

    Returns:
        The trainer, and whether it was stopped; a checkpoint of the last step is saved either way.

    Raises:
        UserFacingError: nothing is left of the data, or the loss became no number.
    """
    from datasets import Dataset
    from transformers import PrinterCallback

    from core.training import trainers
    from core.training.follow import Follow

    folder.mkdir(parents=True, exist_ok=True)
    follow = Follow(folder, report, stop_wanted)
    too_long = UserFacingError(
        f"Every prompt in {job.data} fills all {job.max_length} tokens: start a new run with a "
        f"larger maximal length."
    )
    try:
        trainer = trainers.KINDS[method, rows](
            model=model,
            args=trl_arguments(job, method, folder, rows, **more),
            # Json keeps each object's own keys; else all would get those of the others, as null.
            train_dataset=Dataset.from_list(data, on_mixed_types=None if rows else "use_json"),
            processing_class=tokenizer,
            data_collator=trainers.collator(tokenizer) if rows else None,
            peft_config=(
                None if hasattr(model, "peft_config") else fresh_adapter(job.rank, job.alpha)
            ),
            callbacks=[follow],
        )
    except StopIteration as error:  # so says TRL of data of which nothing is left
        raise too_long from error
    if not len(trainer.train_dataset):
        raise too_long
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_whole(folder))
    return trainer, follow.stopped


# --- its checkpoints ------------------------------------------------------------------------


def last_whole(folder: Path) -> str | None:
    """Return the last checkpoint that can be resumed from; half-written ones are passed over."""
    found = sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True)
    return next((str(path) for path in found if is_whole(path)), None)


def is_whole(checkpoint: Path, resumable: bool = True) -> bool:
    """Return whether all of a checkpoint was written: the weights and, if ``resumable``, what the
    trainer saves after them, its state last."""
    try:
        for folder in (checkpoint, *checkpoint.glob("*/adapter_config.json")):
            describe(folder if folder == checkpoint else folder.parent)
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
