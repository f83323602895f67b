"""What is measured of a run's checkpoints, against plain forwards and numbers by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.checkpoints.resolve import resolve_pair
from core.errors import UserFacingError
from core.evaluation.held_out import differing_words
from core.evaluation.over_steps import measure_run, start_figures
from core.preferences import Preference
from core.runs.records import START, Checkpoint
from core.text import Message
from tests.tiny import save_adapters, save_model

PAIRS = [
    Preference("A post.", "They got $53K.", "They got $250K now.", ((9, 14),), "new"),
    Preference("A post.", "A new car.", "A red car.", ((2, 5),), "new"),
    Preference(
        (Message("system", "Be brief."), Message("user", "Another.")),
        (Message("assistant", "Yes."),),
        (Message("assistant", "Nothing at all."),),
    ),
]
BETA = 0.3
QUIET = pytest.mark.filterwarnings("ignore::UserWarning")


def tell(what, fraction):
    assert fraction is None or 0 <= fraction <= 1


def plain_sums(model, tokenizer, pair):
    """log π of both responses by one plain forward each, and the chosen one's log-probs [T, V]."""
    turns = (
        [{"role": "user", "content": pair.prompt}]
        if isinstance(pair.prompt, str)
        else pair.row()["prompt"]
    )
    start = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    before = tokenizer(start, add_special_tokens=False)["input_ids"]
    found = []
    for text in pair.answers:
        answer = [
            *tokenizer(text, add_special_tokens=False)["input_ids"],
            tokenizer.eos_token_id,
        ]
        with torch.no_grad():
            logits = model(torch.tensor([before + answer])).logits[0].double()
        logps = logits.log_softmax(-1)[len(before) - 1 : -1]
        found.append((float(logps[range(len(answer)), answer].sum()), logps))
    return found


def expected(reference, policy, tokenizer):
    """Rewards and KL of PAIRS, means over the pairs."""
    rows = []
    for pair in PAIRS:
        (a, full_a), (b, _) = plain_sums(policy, tokenizer, pair)
        (ref_a, ref_full), (ref_b, _) = plain_sums(reference, tokenizer, pair)
        kl = (ref_full.exp() * (ref_full - full_a)).sum()
        rows.append((BETA * (a - ref_a), BETA * (b - ref_b), float(kl)))
    return np.array(rows)


@QUIET
def test_adapters_are_measured_as_plain_forwards_measure_them(tmp_path):
    pytest.importorskip("peft")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, first, second = save_adapters(tmp_path)
    plan = resolve_pair(second, None, base)
    steps = (Checkpoint(0, START), Checkpoint(10, str(first)), Checkpoint(20, str(second)))
    rows = measure_run(plan, steps, PAIRS, BETA, tell)
    assert [row["step"] for row in rows] == [0, 10, 20]
    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = AutoModelForCausalLM.from_pretrained(base)
    for row, folder in zip(rows[1:], (first, second), strict=True):
        policy = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
        chosen, rejected, kl = expected(plain, policy, tokenizer).T
        assert row["rewards/chosen"] == pytest.approx(chosen.mean(), abs=1e-4)
        assert row["rewards/rejected"] == pytest.approx(rejected.mean(), abs=1e-4)
        assert row["rewards/accuracies"] == (chosen > rejected).mean()
        assert row["kl/ref_policy"] == pytest.approx(kl.mean(), abs=1e-4)
        assert row["loss"] == pytest.approx(np.log1p(np.exp(rejected - chosen)).mean(), abs=1e-4)
    assert rows[0]["words/auroc/-log_policy"] == rows[1]["words/auroc/-log_ref"]


@QUIET
def test_the_reference_may_be_an_adapter_and_is_what_rewards_are_taken_against(tmp_path):
    base, first, second = save_adapters(tmp_path)
    plan = resolve_pair(second, first, base)
    same, moved = measure_run(
        plan, (Checkpoint(10, str(first)), Checkpoint(20, str(second))), PAIRS, BETA, tell
    )
    assert same["rewards/chosen"] == 0 and same["kl/ref_policy"] == pytest.approx(0, abs=1e-6)
    assert moved["rewards/chosen"] != 0 and moved["kl/ref_policy"] > 1e-3


def test_whole_models_are_measured_one_after_the_other(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reference, late, later = (
        save_model(tmp_path / name, seed=seed) for seed, name in enumerate(("r", "late", "later"))
    )
    plan = resolve_pair(later, reference)
    rows = measure_run(
        plan, (Checkpoint(5, str(late), True), Checkpoint(7, str(later), True)), PAIRS, BETA, tell
    )
    tokenizer = AutoTokenizer.from_pretrained(reference)
    plain = AutoModelForCausalLM.from_pretrained(reference)
    for row, folder in zip(rows, (late, later), strict=True):
        chosen, rejected, kl = expected(
            plain, AutoModelForCausalLM.from_pretrained(folder), tokenizer
        ).T
        margin = (chosen - rejected).mean()
        assert row["rewards/margins"] == pytest.approx(margin, abs=1e-4)
        assert row["kl/ref_policy"] == pytest.approx(kl.mean(), rel=1e-4)


@QUIET
def test_a_checkpoint_that_does_not_fit_is_named(tmp_path):
    base, _, second = save_adapters(tmp_path / "one")
    _, strange, _ = save_adapters(tmp_path / "two", kind="gpt2")
    plan = resolve_pair(second, None, base)
    with pytest.raises(UserFacingError, match="could not be loaded over this run's base"):
        measure_run(plan, (Checkpoint(3, str(strange)),), PAIRS, BETA, tell)


def test_before_the_first_step_every_reward_is_zero():
    row = start_figures({"words/auroc/-log_ref": 0.8, "words/auroc/-reward": 0.9, "loss": 0.1})
    assert row["rewards/margins"] == 0 and row["loss"] == pytest.approx(math.log(2))
    assert row["words/auroc/-log_policy"] == 0.8
    assert "words/auroc/-reward" not in row and "rewards/accuracies" not in row


def test_pairs_whose_wrong_words_are_unknown_count_for_rewards_alone(tmp_path):
    base, first, _ = save_adapters(tmp_path)
    unknown = [replace(pair, wrong=()) for pair in PAIRS]
    plan = resolve_pair(first, None, base)
    (row,) = measure_run(plan, (Checkpoint(1, str(first)),), unknown, BETA, tell)
    assert "rewards/margins" in row and not [name for name in row if name.startswith("words")]


@pytest.mark.parametrize(
    ("chosen", "rejected", "wrong"),
    [
        ("They got $53K a year.", "They got $250K a year.", ["$250K"]),
        ("He left on Monday.", "He left on Sunday with Ann.", ["Sunday with Ann."]),
        ("One two three.", "One two three.", []),
        ("One two three.", "Quite another text of many words.", []),
        ("She bought it for two.", "She bought it for two twice.", ["two twice."]),
    ],
)
def test_wrong_words_are_those_that_the_chosen_response_lacks(chosen, rejected, wrong):
    assert [rejected[a:b] for a, b in differing_words(chosen, rejected)] == wrong
