"""What is measured of a run's checkpoints, against plain forwards and numbers by hand."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.evaluation.held_out import differing_words
from core.evaluation.localisation import score_pairs
from core.evaluation.over_steps import measure_run, start_figures
from core.models.lane import Lane
from core.models.load import load_pair
from core.preferences import Preference
from core.runs.records import START, Checkpoint
from core.text import Message
from tests.tiny import (
    TEMPLATE,
    metaspace_tokenizer,
    save_adapters,
    save_model,
    save_run,
    tiny_model,
)

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


def opened(run, **options):
    """The pair of a run, as the window loads it."""
    return load_pair(PairSpec(run=str(run), **options), lambda what, fraction: None)[0]


def checkpoints(run, *steps, whole=False):
    return tuple(Checkpoint(step, str(run / f"checkpoint-{step}"), whole) for step in steps)


def plain_sums(model, tokenizer, pair):
    """log π of both responses by one plain forward each, and the chosen one's log-probs [T, V].

    The template renders the whole conversation, which is read as one text up to the token that
    closes the last turn.
    """
    row = pair.row()
    turns = {
        name: [{"role": role, "content": row[name]}] if isinstance(row[name], str) else row[name]
        for name, role in (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant"))
    }
    start = tokenizer.apply_chat_template(
        turns["prompt"], tokenize=False, add_generation_prompt=True
    )
    first = len(tokenizer(start, add_special_tokens=False)["input_ids"])
    closing = tokenizer.convert_tokens_to_ids("<|im_end|>")
    found = []
    for side in ("chosen", "rejected"):
        text = tokenizer.apply_chat_template(turns["prompt"] + turns[side], tokenize=False)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids = ids[: len(ids) - ids[::-1].index(closing)]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        logps = logits.log_softmax(-1)[first - 1 : -1]
        found.append((float(logps[range(len(ids) - first), ids[first:]].sum()), logps))
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
@pytest.mark.parametrize("reference", [False, True])
def test_adapters_are_measured_as_plain_forwards_measure_them(tmp_path, reference):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base, run = save_run(tmp_path, ranks=(2, 4), reference=reference)
    steps = checkpoints(run, 10, 20)
    rows = measure_run(opened(run), (Checkpoint(0, START), *steps), PAIRS, BETA, tell)
    assert [row["step"] for row in rows] == [0, 10, 20]

    def plain(adapter):
        model = AutoModelForCausalLM.from_pretrained(base)
        return PeftModel.from_pretrained(model, adapter) if adapter else model

    tokenizer = AutoTokenizer.from_pretrained(base)
    compared = plain(run / "ref" if reference else None)
    for row, at in zip(rows[1:], steps, strict=True):
        chosen, rejected, kl = expected(compared, plain(at.path), tokenizer).T
        assert row["rewards/chosen"] == pytest.approx(chosen.mean(), abs=1e-4)
        assert row["rewards/rejected"] == pytest.approx(rejected.mean(), abs=1e-4)
        assert row["rewards/accuracies"] == (chosen > rejected).mean()
        assert row["kl/ref_policy"] == pytest.approx(kl.mean(), abs=1e-4)
        assert row["loss"] == pytest.approx(np.log1p(np.exp(rejected - chosen)).mean(), abs=1e-4)
    assert rows[0]["words/auroc/-log_policy"] == rows[1]["words/auroc/-log_ref"]


def test_the_reference_runs_once_for_all_adapters_and_a_prompt_once_for_its_pairs(
    tmp_path, monkeypatch
):
    _, run = save_run(tmp_path, ranks=(2, 3, 4))
    models = opened(run)
    ran = []

    def counted(method, count):
        def run(self, store, ids, *rest):
            rows = rest[-1] or slice(0, self.rows)
            ran.extend(range(rows.start, rows.stop) for _ in range(count(ids, rest)))
            method(self, store, ids, *rest)

        return run

    monkeypatch.setattr(
        Lane, "run_path", counted(Lane.run_path, lambda ids, rest: len(ids) - rest[0])
    )
    monkeypatch.setattr(Lane, "run_branches", counted(Lane.run_branches, lambda ids, _: len(ids)))
    measure_run(models, checkpoints(run, 10, 20, 30), PAIRS[:2], BETA, tell)
    codec, (first, second) = models.codec, PAIRS[:2]
    texts = [*first.answers, *second.answers]
    longest = len(codec.prompt_ids(first.turns)) + sum(
        len(codec.encode(first.turns, text)) for text in texts
    )
    policy, reference = (sum(row in rows for rows in ran) for row in (0, 1))
    assert policy == 3 * reference and reference <= longest


def save_strong(folder, kind, seed, tokenizer):
    """A tiny model whose weights are large enough for any slip to show, and its tokenizer."""
    model = tiny_model(kind, len(tokenizer), seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    "kind",
    ["cohere", "granite", "gemma2", "mistral", "gpt2", "gpt_neox", "falcon", "bloom"],
)
def test_any_family_is_measured_as_its_own_plain_forward(tmp_path, kind):
    """Scales and caps of logits, windows, other names of layers; a tokenizer that cannot pad, whose
    EOS is not what the template closes a turn with, and which sets a space before a first word."""
    tokenizer = copy.deepcopy(metaspace_tokenizer())
    tokenizer.pad_token = None
    reference, early, late = (
        save_strong(tmp_path / name, kind, seed, tokenizer)
        for seed, name in enumerate(("reference", "run/checkpoint-5", "run/checkpoint-7"))
    )
    run = tmp_path / "run"
    models = opened(run, reference=str(tmp_path / "reference"))
    rows = measure_run(models, checkpoints(run, 5, 7, whole=True), PAIRS, BETA, tell)
    for row, policy in zip(rows, (early, late), strict=True):
        chosen, rejected, kl = expected(reference, policy, tokenizer).T
        assert row["rewards/chosen"] == pytest.approx(chosen.mean(), abs=1e-4)
        assert row["rewards/rejected"] == pytest.approx(rejected.mean(), abs=1e-4)
        assert row["kl/ref_policy"] == pytest.approx(kl.mean(), rel=1e-4)


def test_sides_that_part_early_are_scored_from_there_each_in_its_own_context(tmp_path):
    """As TRL's DPO does; the wrong words are looked for in the last answer alone."""

    def turns(*contents):
        return tuple(map(Message, ("assistant", "user", "assistant"), contents))

    pair = Preference(
        (Message("user", "Hi."),),
        turns("Hello there.", "What do they pay?", "They pay $53K."),
        turns("Go.", "What do they pay?", "They pay $250K."),
        ((9, 14),),
    )
    base, run = save_run(tmp_path, ranks=(2,), reference=False)
    models = opened(run)
    (scored,) = score_pairs(models, checkpoints(run, 10), [pair], tell)[10]
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = AutoModelForCausalLM.from_pretrained(base)
    before = plain_sums(plain, tokenizer, pair)
    policy = PeftModel.from_pretrained(plain, run / "checkpoint-10")
    after = plain_sums(policy, tokenizer, pair)
    assert scored.chosen == pytest.approx(after[0][0] - before[0][0], abs=1e-4)
    assert scored.rejected == pytest.approx(after[1][0] - before[1][0], abs=1e-4)
    answer = models.codec.encode(pair.turns, pair.answers[1])
    assert len(scored.policy) == len(answer) + 1 == len(scored.words)
    wrong = [answer.text[answer.starts[t] : answer.ends[t]] for t in sorted(scored.spans[0])]
    assert "".join(wrong).strip() == "$250K"


BLOCK = "{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}{{ m.content }}"


@pytest.mark.parametrize(
    "opening",
    [
        TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"),
        TEMPLATE.replace("{{ m.content }}", BLOCK),
    ],
)
def test_a_template_that_writes_past_turns_otherwise_is_refused_for_such_sides(tmp_path, opening):
    sides = (Message("assistant", "A."), Message("user", "And?"), Message("assistant", "B."))
    pair = Preference((Message("user", "Hi."),), sides, (*sides[1:], Message("assistant", "C.")))
    for name, seed in (("reference", 1), ("run/checkpoint-5", 2)):
        save_model(tmp_path / name, seed=seed, template=opening)
    models = opened(tmp_path / "run", reference=str(tmp_path / "reference"))
    at = checkpoints(tmp_path / "run", 5, whole=True)
    with pytest.raises(UserFacingError, match=r"^Pair 1: .* part before their last turn"):
        score_pairs(models, at, [pair], tell)
    with pytest.raises(UserFacingError, match=r"^Pair 2: .* ends with a turn of 'user'"):
        score_pairs(models, at, [PAIRS[0], replace(pair, chosen=sides[:2])], tell)


def test_a_pair_that_is_too_long_is_named(tmp_path):
    _, run = save_run(tmp_path, ranks=(2,), reference=False)
    long = replace(PAIRS[0], prompt="word " * 2000)
    with pytest.raises(UserFacingError, match=r"^Pair 2: .* context is 1024"):
        measure_run(opened(run), checkpoints(run, 10), [PAIRS[1], long], BETA, tell)


@QUIET
def test_a_checkpoint_that_does_not_fit_is_named(tmp_path):
    _, run = save_run(tmp_path / "one", ranks=(2,), reference=False)
    _, strange, _ = save_adapters(tmp_path / "two", kind="gpt2")
    with pytest.raises(UserFacingError, match=f"{strange} does not belong to the run"):
        measure_run(opened(run), (Checkpoint(3, str(strange)),), PAIRS, BETA, tell)


def test_before_the_first_step_every_reward_is_zero():
    row = start_figures({"words/auroc/-log_ref": 0.8, "words/auroc/-reward": 0.9, "loss": 0.1})
    assert row["rewards/margins"] == 0 and row["loss"] == pytest.approx(math.log(2))
    assert row["words/auroc/-log_policy"] == 0.8
    assert "words/auroc/-reward" not in row and "rewards/accuracies" not in row


def test_pairs_whose_wrong_words_are_unknown_count_for_rewards_alone(tmp_path):
    _, run = save_run(tmp_path, ranks=(2,), reference=False)
    unknown = [replace(pair, wrong=()) for pair in PAIRS]
    (row,) = measure_run(opened(run), checkpoints(run, 10), unknown, BETA, tell)
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
