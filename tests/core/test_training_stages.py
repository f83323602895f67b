"""A job's settings in TRL's words, on text and on rows of token trees."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core.demo.recipe import load_recipe
from core.training.job import TrainingJob
from core.training.stages import drop_half_written, fresh_adapter, last_whole, trl_arguments
from tests.tiny import byte_level_tokenizer

for extra in ("trl", "faker"):
    pytest.importorskip(extra)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
JOB = TrainingJob(
    data="pairs.jsonl", out="run", sft_steps=40, sft_rate=3e-4, beta=0.3, steps=60, batch_size=3,
    accumulation=5, learning_rate=7e-6, save_steps=4, max_length=99, seed=11,
)  # fmt: skip


def test_dpo_is_told_what_the_job_says(tmp_path):
    made = trl_arguments(JOB, "dpo", tmp_path)
    assert type(made).__name__ == "DPOConfig"
    assert (made.output_dir, made.max_steps, made.learning_rate, made.beta) == (
        str(tmp_path), 60, 7e-6, 0.3,
    )  # fmt: skip
    assert (made.per_device_train_batch_size, made.gradient_accumulation_steps) == (3, 5)
    assert (made.save_steps, made.save_total_limit, made.logging_steps) == (4, None, 4)
    assert (made.max_length, made.seed, made.warmup_steps) == (99, 11, 6)
    assert made.lr_scheduler_type == "cosine" and made.report_to == []
    assert not made.logging_nan_inf_filter  # a loss that is no number must be seen


def test_sft_keeps_one_checkpoint_to_resume_from(tmp_path):
    made = trl_arguments(JOB, "sft", tmp_path)
    assert type(made).__name__ == "SFTConfig"
    assert (made.max_steps, made.learning_rate, made.save_steps) == (40, 3e-4, 10)
    assert (made.save_total_limit, made.warmup_steps, made.max_length) == (1, 4, 99)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU decides for itself")
@pytest.mark.parametrize("able", [{"avx512_bf16": True}, {"amx_bf16": True}, {"avx2": True}, {}])
def test_a_processor_that_multiplies_bf16_trains_in_it(tmp_path, monkeypatch, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    quick = any("bf16" in name for name in able)
    made = trl_arguments(JOB, "dpo", tmp_path)
    assert (made.bf16, made.fp16) == (quick, False)
    rows = trl_arguments(JOB, "dpo", tmp_path, rows=True)
    assert not rows.bf16  # in the precision that the model was loaded in
    assert made.device.type == rows.device.type == "cpu"


def test_the_demos_recipe_is_a_job_whose_schedule_is_left_early(tmp_path, monkeypatch):
    from core.demo import training

    recipe = load_recipe(Path(__file__).parents[2] / "resources/demo/recipe.toml")
    told = []

    def tell(job, method, folder, *_, report, **more):
        told.append(trl_arguments(job, method, folder, **more))
        return SimpleNamespace(model=None), False

    monkeypatch.setattr(training.stages, "train", tell)
    monkeypatch.setattr(training, "load", lambda *_, **__: (None, byte_level_tokenizer()))
    monkeypatch.setattr(training, "batches", lambda *_: [])
    monkeypatch.setattr(training, "save", lambda *_: None)
    (tmp_path / "out").mkdir()
    training.train_dpo(recipe, tmp_path, tmp_path / "out", lambda what, share: None)
    (made,) = told
    assert (recipe.dpo_steps, recipe.dpo_schedule) == (250, 300)
    assert (made.max_steps, made.warmup_steps, made.beta) == (250, 30, recipe.dpo_beta)
    assert made.lr_scheduler_kwargs == {"num_cycles": 0.5 * 220 / 270}
    assert (made.save_steps, made.logging_steps) == (recipe.save_steps, 5)
    assert made.per_device_train_batch_size == recipe.dpo_rows
    assert made.gradient_accumulation_steps == 1


def test_rank_0_trains_all_parameters():
    assert fresh_adapter(0, 32) is None
    made = fresh_adapter(8, 16)
    assert (made.r, made.lora_alpha, made.target_modules) == (8, 16, "all-linear")


def test_only_the_newest_checkpoint_is_dropped_and_only_if_it_is_not_whole(tmp_path):
    for step, text in ((9, "{}"), (10, "{"), (100, "{}")):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    drop_half_written(tmp_path)
    assert (tmp_path / "checkpoint-100").exists() and (tmp_path / "checkpoint-10").exists()
    (tmp_path / "checkpoint-100" / "trainer_state.json").unlink()
    drop_half_written(tmp_path)
    drop_half_written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-9"]
    assert last_whole(tmp_path) is None  # it has no weights


def test_a_job_logs_at_each_checkpoint():
    for every, logs in ((1, 1), (4, 4), (7, 1), (9, 3), (25, 5), (6, 3)):
        assert replace(JOB, save_steps=every).logs_every() == logs
