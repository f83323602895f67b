"""Whether a loaded pair looks like a policy and its reference: by plain forwards, and in words."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.checkpoints.reference import doubts as doubts_of_plan
from core.checkpoints.resolve import resolve_pair
from core.engine.protocol import PairSpec
from core.models.lane import Lane
from core.models.load import load_pair
from core.models.plausible import PROMPT, SAMPLE
from core.plausibility import Plausibility, doubts
from tests.core.checkpoint_folders import write_adapter, write_model
from tests.tiny import save_model, save_run

GOOD = Plausibility(40, 0.2, 0.0, -4.0, -3.9, 50_000)


def quiet(what: str, fraction: float | None) -> None:
    pass


def loaded(**named: object):
    spec = PairSpec(device="cpu", dtype="float32", **{k: str(v) for k, v in named.items()})
    return load_pair(spec, quiet)[1]


def logps(folder: Path) -> torch.Tensor:
    """The log-probs of the sample's tokens by one plain forward."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    turns = [{"role": "user", "content": PROMPT}]
    before = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    prompt = tokenizer(before, add_special_tokens=False)["input_ids"]
    answer = tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        rows = model(ids).logits[0].log_softmax(-1)
    return rows[len(prompt) - 1 : -1].gather(-1, ids[0, len(prompt) :, None])[:, 0]


def test_the_figures_are_those_of_plain_forwards(tmp_path: Path) -> None:
    folders = [save_model(tmp_path / name, "llama", seed=i) for i, name in enumerate("ab")]
    found = loaded(policy=folders[0], reference=folders[1]).plausibility
    policy, reference = map(logps, folders)
    assert found is not None and found.tokens == len(policy)
    assert found.log_ratio == pytest.approx(float((policy - reference).abs().mean()), abs=1e-4)
    assert found.policy == pytest.approx(float(policy.mean()), abs=1e-4)
    assert found.reference == pytest.approx(float(reference.mean()), abs=1e-4)
    assert found.zeros == 0


def test_an_adapter_that_does_nothing_is_said(tmp_path: Path) -> None:
    base, run = save_run(tmp_path, reference=False, std=0.0)
    info = loaded(policy=run / "checkpoint-10", base=base)
    assert info.plausibility.zeros == 1
    assert any("every reward is 0" in note for note in info.notes)


def test_doubts_have_numbers_and_a_plausible_pair_none() -> None:
    assert doubts(GOOD) == ()
    (far,) = doubts(replace(GOOD, log_ratio=1.8))
    assert "1.80 nat a token apart on 40 tokens" in far and "base" in far
    (same,) = doubts(replace(GOOD, log_ratio=0.0, zeros=1.0))
    assert "the same log-probs" in same
    (lost,) = doubts(replace(GOOD, reference=-10.5))
    assert "The reference gives −10.5 nat a token" in lost and "−10.8" in lost


def test_files_that_speak_against_the_roles(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    steps = [write_adapter(tmp_path / "run" / f"checkpoint-{n}", "base") for n in (10, 20)]
    assert resolve_pair(steps[1], steps[0], base).notes == ()
    (later,) = resolve_pair(steps[0], steps[1], base).notes
    assert "The reference is step 20 of the run that the policy is step 10 of" in later
    (over,) = resolve_pair(base, steps[0], base).notes
    assert "is an adapter over the policy itself" in over
    other = write_model(tmp_path / "other", num_hidden_layers=3)
    (strange,) = resolve_pair(base, other).notes
    assert "LlamaForCausalLM of 2 layers of width 8, the reference a" in strange
    (tmp_path / "run" / "dpo.yaml").write_text("beta: 0.1\nmodel_name_or_path: out/sft-merged\n")
    (merged,) = resolve_pair(steps[0], None, base).notes
    assert "began with out/sft-merged (model_name_or_path in run/dpo.yaml)" in merged
    (tmp_path / "run" / "dpo.yaml").write_text("beta: 0.1\nsync_ref_model: true\n")
    plan = resolve_pair(steps[0], None, base)
    assert plan.notes == doubts_of_plan(plan) and "was moved along" in plan.notes[0]


def test_what_was_found_holds_for_the_same_weights_alone(tmp_path: Path, monkeypatch) -> None:
    folders = [save_model(tmp_path / name, "llama", seed=i) for i, name in enumerate("ab")]
    first = loaded(policy=folders[0], reference=folders[1]).plausibility
    forwards = []
    forward = Lane.plain_logits
    monkeypatch.setattr(
        Lane, "plain_logits", lambda lane, ids: forwards.append(len(ids)) or forward(lane, ids)
    )
    assert loaded(policy=folders[0], reference=folders[1]).plausibility == first
    assert first is not None and max(forwards, default=0) < first.tokens, (
        "the sample was not run again"
    )
    other = loaded(policy=folders[1], reference=folders[0]).plausibility
    assert other is not None and other.policy == pytest.approx(first.reference)
