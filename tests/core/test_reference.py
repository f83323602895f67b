"""Which reference is taken where none was named, and what is said where there is none."""

import json
from pathlib import Path

import pytest

from core.checkpoints.resolve import resolve_pair
from core.runs.records import ABOUT
from tests.core.checkpoint_folders import write_adapter, write_model


@pytest.fixture(autouse=True)
def _no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def alone(policy: Path) -> str:
    """Return what is said of a policy that has no reference."""
    plan = resolve_pair(policy)
    assert plan.reference is None
    return " ".join(plan.notes)


@pytest.mark.parametrize("name", ["ref", "reference", "ref_model"])
def test_what_was_saved_with_an_adapter_is_its_reference(tmp_path: Path, name: str) -> None:
    base = str(write_model(tmp_path / "base"))
    policy = write_adapter(tmp_path / "run" / "checkpoint-10", base)
    assert resolve_pair(policy).reference_name == "base, adapters off"
    beside = write_adapter(tmp_path / "run" / name, base)
    assert resolve_pair(policy).reference_adapter == beside
    inside = write_adapter(policy / name, base)
    plan = resolve_pair(policy)
    assert (plan.reference_adapter, plan.notes) == (inside, ())
    assert resolve_pair(policy, beside).reference_adapter == beside
    assert resolve_pair(policy, Path(base)).reference_adapter is None
    deeper = write_adapter(policy / "adapter", base)
    assert resolve_pair(deeper).reference_adapter == inside
    assert resolve_pair(inside).reference_adapter == beside, "not itself"


def test_a_reference_beside_a_whole_model_is_used_and_said(tmp_path: Path) -> None:
    policy = write_model(tmp_path / "policy")
    assert "name that model as the reference" in alone(policy)
    reference = write_model(tmp_path / "reference")
    plan = resolve_pair(policy)
    assert plan.reference_model == reference
    assert plan.notes == (f"The reference is {reference}, which lies beside the policy.",)


def test_a_full_training_has_its_start_as_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = write_model(tmp_path / "out" / "dpo" / "checkpoint-10")
    recipe = policy.parent / "recipe.yaml"
    recipe.write_text("model_name_or_path: out/sft\nbeta: 0.1\n")
    source = "model_name_or_path in dpo/recipe.yaml"
    assert f"was trained from out/sft ({source}), which is not on this machine" in alone(policy)
    start = write_model(tmp_path / "out" / "sft")
    plan = resolve_pair(policy)
    assert plan.reference_model == start
    assert plan.notes == (f"The reference is {start}, as {source} says.",)
    recipe.write_text("model_name_or_path: out/sft\nref_model: org/other\nbeta: 0.1\n")
    assert "was trained against org/other (ref_model in dpo/recipe.yaml)" in alone(policy)


def test_what_a_run_says_is_relative_to_its_folder(tmp_path: Path) -> None:
    base = str(write_model(tmp_path / "base"))
    policy = write_adapter(tmp_path / "run" / "checkpoint-10", base)
    write_adapter(tmp_path / "run" / "sft", base)
    (policy.parent / ABOUT).write_text(json.dumps({"reference": "../sft"}))
    assert "was trained against ../sft" in alone(policy), "never quietly the bare base"
    sft = write_adapter(tmp_path / "sft", base)
    assert resolve_pair(policy).reference_adapter == sft
