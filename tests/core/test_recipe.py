"""The recipe is read whole or refused in a sentence; a tiny run trains, resumes and is saved."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.demo.recipe import load_recipe
from core.errors import UserFacingError
from tests.tiny import byte_level_tokenizer, tiny_model

SHIPPED = Path(__file__).parents[2] / "resources/demo/recipe.toml"


def test_the_shipped_recipe_is_whole():
    recipe = load_recipe(SHIPPED)
    assert recipe.dpo_beta > 0 and recipe.sft_steps > 0 and recipe.dpo_steps > 0


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seed = ", "sead = ", "sead is unknown|seed is missing"),
        ("beta = 0.", 'beta = "a" # ', "dpo_beta .* must be a number"),
        ("[dpo]", "[dpo", "cannot be read"),
    ],
)
def test_a_faulty_recipe_is_said_in_a_sentence(tmp_path, old, new, sentence):
    path = tmp_path / "recipe.toml"
    path.write_text(SHIPPED.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(UserFacingError, match=sentence):
        load_recipe(path)
    with pytest.raises(UserFacingError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")


@pytest.fixture
def tiny_base(tmp_path):
    folder = tmp_path / "base"
    tokenizer = byte_level_tokenizer()
    model = tiny_model("llama", vocab_size=len(tokenizer))
    model.config.tie_word_embeddings = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
def test_a_tiny_run_trains_both_adapters_and_a_second_run_does_nothing(tiny_base, tmp_path):
    for extra in ("trl", "datasets", "faker", "peft"):
        pytest.importorskip(extra)
    from safetensors.torch import load_file

    from core.demo.training import train

    recipe = replace(
        load_recipe(SHIPPED), rank=2, alpha=4, sft_steps=2, sft_rows=2, dpo_steps=2,
        dpo_schedule=4, dpo_rows=2,
        dpo_summaries=1, dpo_each=1, dpo_across=0, sampled_posts=1, samples=1, save_steps=1,
        max_tokens=4000, sft_rate=0.01, dpo_rate=0.01,
    )  # fmt: skip
    told: list[str] = []
    out = tmp_path / "out"
    train(recipe, tiny_base, out, lambda what, _: told.append(what))
    sft, dpo = (load_file(out / name / "adapter_model.safetensors") for name in ("sft", "dpo"))
    assert sft.keys() == dpo.keys()
    assert any((sft[name] != dpo[name]).any() for name in sft)
    assert any((value != 0).any() for name, value in sft.items() if "lora_B" in name)
    assert {str(value.dtype) for value in sft.values()} == {"torch.bfloat16"}
    assert str(tmp_path) not in (out / "dpo" / "adapter_config.json").read_text("utf-8")
    assert {"Supervised fine-tuning", "Direct preference optimisation"} <= set(told)
    told.clear()
    train(recipe, tiny_base, out, lambda what, _: told.append(what))
    assert told == []
    (out / "dpo" / "adapter_model.safetensors").unlink()
    shares = []
    train(recipe, tiny_base, out, lambda what, share: shares.append((what, share)))
    # Resumed from the last checkpoint: no step was left to take.
    assert set(shares) == {("Direct preference optimisation", 1.0)}
    again = load_file(out / "dpo" / "adapter_model.safetensors")
    assert all((again[name] == dpo[name]).all() for name in dpo)


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)
def test_a_run_without_sft_starts_from_the_base_and_logs_what_fig_3_shows(tiny_base, tmp_path):
    for extra in ("trl", "datasets", "faker", "peft"):
        pytest.importorskip(extra)
    from core.demo.training import ship, train

    with_sft, without = (
        load_recipe(SHIPPED.parent / "training" / f"{name}.toml")
        for name in ("with-sft", "without-sft")
    )
    assert replace(with_sft, sft_steps=0) == without  # they differ in nothing else
    recipe = replace(
        without, sft_rows=2, dpo_steps=5, dpo_schedule=5, dpo_rows=2, dpo_summaries=1, dpo_each=1,
        dpo_across=0, save_steps=1, max_tokens=4000, dpo_rate=0.01,
    )  # fmt: skip
    out = tmp_path / "out"
    train(recipe, tiny_base, out, lambda what, _: None)
    assert not (out / "sft").exists() and (out / "dpo" / "adapter_model.safetensors").is_file()
    assert not (out / "dpo-checkpoints" / "checkpoint-1" / "ref").exists()
    text = (out / "dpo-checkpoints" / "checkpoint-5" / "trainer_state.json").read_text("utf-8")
    (logged,) = [row for row in json.loads(text)["log_history"] if "rewards/chosen" in row]
    assert logged["kl/ref_policy"] > 0
    assert {"rewards/rejected", "rewards/margins", "rewards/accuracies", "loss"} <= set(logged)
    described = json.loads((out / "dpo-checkpoints" / "qscope-run.json").read_text("utf-8"))
    assert described["beta"] == recipe.dpo_beta and described["reference"] is None

    shipped = tmp_path / "shipped"
    ship(recipe, out, shipped)
    names = {path.relative_to(shipped).as_posix() for path in shipped.rglob("*.*")}
    adapter = {"adapter_config.json", "adapter_model.safetensors"}
    saved = {f"checkpoint-{step}/{name}" for step in range(1, 6) for name in adapter}
    assert names == saved | {"qscope-run.json", "trainer_state.json"}
    assert str(tmp_path) not in "".join(p.read_text("utf-8") for p in shipped.rglob("*.json"))
