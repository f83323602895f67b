"""The stages of the recipe: SFT, samples from the reference, DPO. Each resumes where it stopped.

Knows nothing of the command line.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.demo.posts import Pair, write_pairs
from core.demo.recipe import Recipe
from core.runs.records import ABOUT
from core.text import Prompt
from core.training.rows import Row, make_row, row_of_pairs

Report = Callable[[str, float | None], None]
BASE_NAME = "SmolLM2-135M-Instruct"
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WEIGHTS = "adapter_model.safetensors"
LOOK_AHEAD = 8
"""Batches whose rows are sorted by length together, so that little is padded."""


def train(recipe: Recipe, base: Path, out: Path, report: Report) -> None:
    """Run the stages that are not done in ``out``; the adapters are ``out/sft`` and ``out/dpo``.

    A recipe without SFT steps starts DPO from the base, which is then the reference.
    """
    out.mkdir(parents=True, exist_ok=True)
    if recipe.sft_steps and not _done(out / "sft"):
        train_sft(recipe, base, out, report)
    sampled = out / "sampled.jsonl"
    if recipe.sampled_posts and not sampled.exists():
        from core.demo.sample import sample_pairs

        model, tokenizer = load(base, out / "sft" if recipe.sft_steps else None)
        pairs = sample_pairs(recipe, model, tokenizer, report)
        part = sampled.with_suffix(".part")
        part.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")
        part.replace(sampled)
    if not _done(out / "dpo"):
        train_dpo(recipe, base, out, report)


def train_sft(recipe: Recipe, base: Path, out: Path, report: Report) -> None:
    """Teach the base to write one-sentence summaries; save the adapter."""
    from transformers import PrinterCallback

    from core.training.trainers import RowSFTTrainer, Told, collator

    model, tokenizer = load(base)
    trainer = RowSFTTrainer(
        model=model,
        args=arguments("sft", recipe, out, device(model)),
        train_dataset=dataset(sft_rows(recipe, tokenizer), recipe.sft_rows, recipe.sft_steps),
        processing_class=tokenizer,
        data_collator=collator(tokenizer.pad_token_id),
        peft_config=fresh_adapter(recipe),
        callbacks=[Told("Supervised fine-tuning", report)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_started(out / "sft-checkpoints"))
    save(trainer.model, out / "sft")


def train_dpo(recipe: Recipe, base: Path, out: Path, report: Report) -> None:
    """Train on preference pairs: a copy of the SFT adapter, that adapter being the reference; or,
    in a recipe without SFT, a fresh adapter, the base being the reference."""
    from transformers import PrinterCallback

    from core.training.trainers import RowDPOTrainer, Told, collator

    after_sft = recipe.sft_steps > 0
    model, tokenizer = load(base, out / "sft" if after_sft else None, trainable=True)
    sampled = read_pairs(out / "sampled.jsonl") if (out / "sampled.jsonl").exists() else []
    trainer = RowDPOTrainer(
        model=model,
        args=arguments("dpo", recipe, out, device(model)),
        train_dataset=dataset(
            dpo_rows(recipe, tokenizer, sampled), recipe.dpo_rows, recipe.dpo_steps
        ),
        processing_class=tokenizer,
        data_collator=collator(tokenizer.pad_token_id),
        peft_config=None if after_sft else fresh_adapter(recipe),
        callbacks=[Told("Direct preference optimisation", report)],
    )
    trainer.remove_callback(PrinterCallback)
    run = out / "dpo-checkpoints"
    run.mkdir(exist_ok=True)
    (run / ABOUT).write_text(json.dumps(about(recipe), indent=1) + "\n", "utf-8")
    trainer.train(resume_from_checkpoint=_started(run))
    save(trainer.model, out / "dpo")


def fresh_adapter(recipe: Recipe) -> Any:
    """The configuration of an adapter that changes nothing yet."""
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=LAYERS, task_type="CAUSAL_LM"
    )


def sft_rows(recipe: Recipe, tokenizer: Any) -> Iterator[Row]:
    """Rows of posts, each with ``sft_summaries`` faithful summaries."""
    for pairs in write_pairs(recipe.seed, summaries=recipe.sft_summaries, each=1):
        texts = list(dict.fromkeys(pair.chosen for pair in pairs))
        row = make_row(tokenizer, pairs[0].prompt, texts)
        if len(row.ids) <= recipe.max_tokens:
            yield row


def dpo_rows(recipe: Recipe, tokenizer: Any, sampled: list[list[Pair]]) -> Iterator[Row]:
    """Rows of pairs: generated ones, among them the sampled ones from a third of the way on."""
    rng = random.Random(recipe.seed)
    total = max(recipe.dpo_steps, recipe.dpo_schedule) * recipe.dpo_rows
    later = range(total // 3, total)
    places = sorted(rng.sample(later, min(len(later), len(sampled))))
    waiting = dict(zip(places, sampled, strict=False))
    generated = write_pairs(recipe.seed + 1, summaries=recipe.dpo_summaries, each=recipe.dpo_each)
    number = 0
    while True:
        pairs = waiting.pop(number, None) or next(generated)
        row = row_of_pairs(tokenizer, pairs, recipe.dpo_across)
        if len(row.ids) <= recipe.max_tokens:
            yield row
            number += 1


def dataset(rows: Iterator[Row], size: int, steps: int) -> Any:
    """``steps`` batches of ``size`` rows, rows of like length together."""
    from datasets import Dataset

    rng = random.Random(0)
    batches: list[list[Row]] = []
    while len(batches) < steps:
        ahead = sorted((next(rows) for _ in range(size * LOOK_AHEAD)), key=lambda r: len(r.ids))
        chunk = [ahead[start : start + size] for start in range(0, len(ahead), size)]
        rng.shuffle(chunk)
        batches += chunk
    return Dataset.from_list([row.as_example() for batch in batches[:steps] for row in batch])


def arguments(stage: str, recipe: Recipe, out: Path, on: str) -> Any:
    """The trainer's configuration for a stage."""
    from trl import DPOConfig, SFTConfig

    steps = recipe.sft_steps if stage == "sft" else recipe.dpo_steps
    schedule = max(steps, recipe.sft_steps if stage == "sft" else recipe.dpo_schedule)
    warm = max(1, round(recipe.warmup * schedule))
    common: dict[str, Any] = {
        "output_dir": str(out / f"{stage}-checkpoints"),
        "per_device_train_batch_size": recipe.sft_rows if stage == "sft" else recipe.dpo_rows,
        "learning_rate": recipe.sft_rate if stage == "sft" else recipe.dpo_rate,
        "max_steps": steps,
        "warmup_steps": warm,
        "lr_scheduler_type": "cosine",
        # Half a cycle decays to nothing; a part of it is the same curve, left early.
        "lr_scheduler_kwargs": {"num_cycles": 0.5 * (steps - warm) / max(1, schedule - warm)},
        "save_steps": recipe.save_steps,
        "logging_steps": 5,
        "seed": recipe.seed,
        "report_to": [],
        "use_cpu": on == "cpu",
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
    }
    if stage == "sft":
        return SFTConfig(**common)
    return DPOConfig(**common, beta=recipe.dpo_beta)


def load(
    base: Path,
    adapter: Path | None = None,
    trainable: bool = False,
    tokenizer: Path | None = None,
) -> tuple[Any, Any]:
    """The base (bf16 on a GPU, float32 on a CPU), with an adapter if given; the tokenizer, the
    base's own unless another folder is named."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as hf_logging

    hf_logging.disable_progress_bar()  # who calls says how far it is
    gpu = torch.cuda.is_available()
    reader = AutoTokenizer.from_pretrained(tokenizer or base)
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.bfloat16 if gpu else torch.float32
    ).to("cuda" if gpu else "cpu")
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)
    return model, reader


def load_both(base: Path, *, policy: Path, reference: Path) -> tuple[Any, Any]:
    """The base with the adapters "policy" and "reference"; the tokenizer."""
    from peft import PeftModel

    model, tokenizer = load(base)
    model = PeftModel.from_pretrained(model, str(policy), adapter_name="policy")
    model.load_adapter(str(reference), adapter_name="reference")
    return model.eval(), tokenizer


def device(model: Any) -> str:
    """ "cpu" or "cuda"."""
    return str(model.device.type)


def about(recipe: Recipe) -> dict[str, Any]:
    """What a run's folder says of itself, beside its checkpoints."""
    return {
        "beta": recipe.dpo_beta,
        "base": BASE_NAME,
        "reference": "../sft" if recipe.sft_steps else None,
        "seed": recipe.seed,
        "sft": recipe.sft_steps > 0,
    }


def ship(recipe: Recipe, out: Path, folder: Path) -> None:
    """Copy a finished run in little space: logs, and the adapters of its checkpoints in bf16."""
    from peft import PeftConfig
    from safetensors.torch import load_file

    checkpoints = sorted(
        (out / "dpo-checkpoints").glob("checkpoint-*"), key=lambda at: int(at.name.split("-")[1])
    )
    adapters = {folder / at.name: at for at in checkpoints}
    described = about(recipe)
    if recipe.sft_steps:
        adapters[folder / "ref"] = out / "sft"
        described["reference"] = "ref"
    for place, source in adapters.items():
        config: Any = PeftConfig.from_pretrained(str(source))
        write_adapter(config, load_file(source / WEIGHTS), place)
    (folder / ABOUT).write_text(json.dumps(described, indent=1) + "\n", "utf-8")
    state = checkpoints[-1] / "trainer_state.json"
    (folder / state.name).write_bytes(state.read_bytes())


def save(model: Any, folder: Path) -> None:
    """Save the trained adapter."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, adapter_name="default")
    write_adapter(model.peft_config["default"], state, folder)


def write_adapter(config: Any, state: dict[str, Any], folder: Path) -> None:
    """Write an adapter in bf16, naming the base without a path of this machine."""
    import torch
    from safetensors.torch import save_file

    config.base_model_name_or_path = BASE_NAME
    config.inference_mode = True
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    rounded = {name: value.to(torch.bfloat16).cpu().contiguous() for name, value in state.items()}
    part = folder / "adapter_model.part"
    save_file(rounded, part, metadata={"format": "pt"})
    part.replace(folder / WEIGHTS)


def read_pairs(path: Path) -> list[list[Pair]]:
    """Pairs sampled from the reference, those of one post together."""
    groups: dict[str | Prompt, list[Pair]] = {}
    for line in path.read_text("utf-8").splitlines():
        table = json.loads(line)
        table["spans"] = tuple((a, b) for a, b in table["spans"])
        table["errors"] = tuple(table["errors"])
        pair = Pair(**table)
        groups.setdefault(pair.prompt, []).append(pair)
    return list(groups.values())


def _done(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file()


def _started(folder: Path) -> bool:
    return any(folder.glob("checkpoint-*/trainer_state.json"))
