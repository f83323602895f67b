"""Training of the demo pair: SFT, samples from the reference, DPO, on rows of generated posts.

Both stages are those of a job (core.training.stages), and resume where they stopped; what is done
is not done again. Knows nothing of the command line.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.codec import Codec
from core.demo.base import DEMO_BASE
from core.demo.posts import Pair, write_pairs
from core.demo.recipe import Recipe
from core.demo.sample import sample_pairs
from core.engine.protocol import PairSpec
from core.runs.records import ABOUT
from core.training import stages
from core.training.job import TrainingJob
from core.training.rows import Row, make_row, row_of_pairs
from core.training.stages import Method, load

Group = tuple[str, list[tuple[str, str]]]
"""A prompt, and pairs of a chosen and a rejected response to it."""
Report = Callable[[str, float | None], None]
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
        from core.models.load import load_pair

        reference = str(out / "sft" if recipe.sft_steps else base)
        spec = PairSpec(policy=reference, reference=reference, base=str(base))
        pairs = sample_pairs(recipe, load_pair(spec, report)[0], report)
        part = sampled.with_suffix(".part")
        part.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")
        part.replace(sampled)
    if not _done(out / "dpo"):
        train_dpo(recipe, base, out, report)


def train_sft(recipe: Recipe, base: Path, out: Path, report: Report) -> None:
    """Teach the base to write one-sentence summaries; save the adapter."""
    model, tokenizer = load(base, train="adapter")
    rows = batches(sft_rows(recipe, Codec(tokenizer)), recipe.sft_rows, recipe.sft_steps)
    _train(recipe, "sft", out, model, tokenizer, rows, report)


def train_dpo(recipe: Recipe, base: Path, out: Path, report: Report) -> None:
    """Train on preference pairs: a copy of the SFT adapter, that adapter being the reference; or,
    in a recipe without SFT, a fresh adapter, the base being the reference."""
    model, tokenizer = load(base, out / "sft" if recipe.sft_steps else None, train="adapter")
    sampled = read_sampled(out / "sampled.jsonl") if (out / "sampled.jsonl").exists() else []
    rows = batches(dpo_rows(recipe, Codec(tokenizer), sampled), recipe.dpo_rows, recipe.dpo_steps)
    run = out / "dpo-checkpoints"
    run.mkdir(exist_ok=True)
    (run / ABOUT).write_text(json.dumps(about(recipe), indent=1) + "\n", "utf-8")
    _train(recipe, "dpo", out, model, tokenizer, rows, report)


def _train(
    recipe: Recipe, method: Method, out: Path, model: Any, tokenizer: Any,
    rows: list[dict[str, Any]], report: Report,
) -> None:  # fmt: skip
    sft = method == "sft"
    title = "Supervised fine-tuning" if sft else "Direct preference optimisation"
    steps = recipe.sft_steps if sft else recipe.dpo_steps
    schedule = steps if sft else max(steps, recipe.dpo_schedule)
    warmup = max(1, round(recipe.warmup * schedule))
    trainer, _ = stages.train(
        job_of(recipe, out), method, out / f"{method}-checkpoints", model, tokenizer, rows,
        report=lambda step, of: report(title, step / max(1, of)),
        rows=True,
        per_device_train_batch_size=recipe.sft_rows if sft else recipe.dpo_rows,
        logging_steps=5,
        warmup_steps=warmup,
        # Half a cycle decays to nothing; a part of it is the same curve, left early.
        lr_scheduler_kwargs={"num_cycles": 0.5 * (steps - warmup) / max(1, schedule - warmup)},
    )  # fmt: skip
    save(trainer.model, out / method)


def job_of(recipe: Recipe, out: Path) -> TrainingJob:
    """Return the recipe as a job."""
    return TrainingJob(
        data="the demo's posts", out=str(out), sft=recipe.sft_steps > 0,
        sft_steps=recipe.sft_steps, sft_rate=recipe.sft_rate, beta=recipe.dpo_beta,
        rank=recipe.rank, alpha=recipe.alpha, steps=recipe.dpo_steps, accumulation=1,
        learning_rate=recipe.dpo_rate, save_steps=recipe.save_steps, seed=recipe.seed,
    )  # fmt: skip


# --- rows -----------------------------------------------------------------------------------


def sft_rows(recipe: Recipe, codec: Codec) -> Iterator[Row]:
    """Yield rows of posts, each with ``sft_summaries`` faithful summaries."""
    for pairs in write_pairs(recipe.seed, summaries=recipe.sft_summaries, each=1):
        texts = list(dict.fromkeys(pair.chosen for pair in pairs))
        row = make_row(codec, pairs[0].prompt, texts)
        if len(row.ids) <= recipe.max_tokens:
            yield row


def dpo_rows(recipe: Recipe, codec: Codec, sampled: list[Group]) -> Iterator[Row]:
    """Yield rows of pairs: generated ones, among them the sampled ones from a third of the way."""
    rng = random.Random(recipe.seed)
    total = max(recipe.dpo_steps, recipe.dpo_schedule) * recipe.dpo_rows
    later = range(total // 3, total)
    places = sorted(rng.sample(later, min(len(later), len(sampled))))
    waiting = dict(zip(places, sampled, strict=False))
    generated = write_pairs(recipe.seed + 1, summaries=recipe.dpo_summaries, each=recipe.dpo_each)
    number = 0
    while True:
        prompt, pairs = waiting.pop(number) if number in waiting else _group(next(generated))
        row = row_of_pairs(codec, prompt, pairs, recipe.dpo_across)
        if len(row.ids) <= recipe.max_tokens:
            yield row
            number += 1


def batches(rows: Iterator[Row], size: int, steps: int) -> list[dict[str, Any]]:
    """Return the rows of ``steps`` batches of ``size``, rows of like length together."""
    rng = random.Random(0)
    made: list[list[Row]] = []
    while len(made) < steps:
        ahead = sorted((next(rows) for _ in range(size * LOOK_AHEAD)), key=lambda r: len(r.ids))
        chunk = [ahead[start : start + size] for start in range(0, len(ahead), size)]
        rng.shuffle(chunk)
        made += chunk
    return [row.as_example() for batch in made[:steps] for row in batch]


def read_sampled(path: Path) -> list[Group]:
    """Return the pairs sampled from the reference, those of one post together."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for pair in map(json.loads, path.read_text("utf-8").splitlines()):
        groups.setdefault(pair["prompt"], []).append((pair["chosen"], pair["rejected"]))
    return list(groups.items())


def _group(pairs: list[Pair]) -> Group:
    return pairs[0].prompt, [(pair.chosen, pair.rejected) for pair in pairs]


# --- what is saved --------------------------------------------------------------------------


def about(recipe: Recipe) -> dict[str, Any]:
    """Return what a run's folder says of itself, beside its checkpoints."""
    return {
        "beta": recipe.dpo_beta,
        "base": DEMO_BASE,
        "reference": "../sft" if recipe.sft_steps else None,
        "seed": recipe.seed,
        "sft": recipe.sft_steps > 0,
    }


def ship(recipe: Recipe, out: Path, folder: Path) -> None:
    """Copy a finished run in little space: logs, and the adapters of its checkpoints in bf16."""
    from peft import PeftConfig
    from safetensors.torch import load_file

    checkpoints = sorted((out / "dpo-checkpoints").glob("checkpoint-*"), key=stages.step_of)
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

    config.base_model_name_or_path = DEMO_BASE
    config.inference_mode = True
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    rounded = {name: value.to(torch.bfloat16).cpu().contiguous() for name, value in state.items()}
    part = folder / "adapter_model.part"
    save_file(rounded, part, metadata={"format": "pt"})
    part.replace(folder / WEIGHTS)


def _done(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file()
