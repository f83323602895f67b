"""Why a log's numbers differ: logs are made with plain forwards and one cause, which is named."""

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from core.evaluation.gap import Gap, Known, Way, attribute, changes, findings, logged_at
from core.runs.records import RunLog, Series
from tests.tiny import byte_level_tokenizer, save_lora, tiny_model

PAIRS = [
    ("Summarise this post.", "They turned it down flat.", "They took the job: 250 people!"),
    ("And in one word?", "Refused.", "The poster was offered a management position, 12 March."),
    ("Where is it?", "At Harbour Labs, in May, and that is all there is to say.", "At Harbour"),
]
BETA = 0.2


@dataclass(frozen=True)
class Planted:
    """How the log's numbers are made; the defaults are how Qscope makes its own."""

    plain: bool = False
    whole: bool = False
    longest: int | None = None
    response: int | None = None
    closing: bool = True
    behind: bool = False
    bos: bool = False
    mean: bool = False
    dtype: torch.dtype = torch.float32
    autocast: bool = False
    reference: str = "ref"
    beta: float = BETA


CASES = {
    "mask: prompt": (Planted(whole=True), "mask", "the prompt is scored too"),
    "mask: behind": (Planted(behind=True), "mask", "all that the template writes behind"),
    "truncation": (Planted(longest=30), "truncation", "their first 30 tokens"),
    "response": (Planted(response=12), "truncation", "responses are cut to their first 12"),
    "EOS": (Planted(closing=False), "BOS/EOS", "no closing token is scored"),
    "BOS": (Planted(bos=True), "BOS/EOS", "BOS stands before the text once more"),
    "template": (Planted(plain=True), "template", "texts are plain"),
    "mean": (Planted(mean=True), "mean or sum", "means over tokens"),
    "format": (Planted(dtype=torch.bfloat16), "number format", "run in bfloat16"),
    "base": (Planted(reference="base"), "reference", "the base, adapters off"),
    "none": (Planted(reference="none"), "reference", "of log π alone"),
    "beta": (Planted(beta=0.05), "β", "β is 0.05"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A tiny base with a begin-of-text token, a run of one checkpoint with its reference, pairs."""
    home = tmp_path_factory.mktemp("gap")
    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.bos_token = "<|endoftext|>"
    model = tiny_model("llama", len(tokenizer), 5)
    model.save_pretrained(home / "base")
    tokenizer.save_pretrained(home / "base")
    save_lora(home / "run" / "checkpoint-10", home / "base", std=1.0, seed=1)
    save_lora(home / "run" / "ref", home / "base", std=1.0, seed=2)
    (home / "run" / "dpo.yaml").write_text(
        f"beta: {BETA}\nloss_type: sigmoid\nmax_length: 30\nmax_completion_length: 12\n"
    )
    rows = [dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in PAIRS]
    (home / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return home


def tokens_of(tokenizer, how: Planted, prompt: str, text: str) -> tuple[list[int], int]:
    """All ids, and how many of the first are not scored."""
    turns = [{"role": "user", "content": prompt}]
    if how.plain:
        before, after = prompt, text + tokenizer.eos_token
    else:
        before = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        after = text + "<|im_end|>" + "\n" * how.behind
    read = [tokenizer(it, add_special_tokens=False)["input_ids"] for it in (before, after)]
    ids, first = read[0] + read[1], len(read[0])
    if not how.closing:
        ids = ids[:-1]
    if how.response:
        ids = ids[: first + how.response]
    if how.bos:
        ids, first = [tokenizer.bos_token_id, *ids], first + 1
    return ids[: how.longest], 1 if how.whole else first


def write_log(home: Path, how: Planted) -> dict[str, float]:
    """Write what TRL would log of the pairs: means of sums by plain forwards, and rewards."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(home / "base")
    models = []
    for name in ("run/checkpoint-10", "run/ref")[: 2 if how.reference == "ref" else 1]:
        base = AutoModelForCausalLM.from_pretrained(home / "base", dtype=how.dtype)
        models.append(PeftModel.from_pretrained(base, home / name).eval())
    if how.reference == "base":
        models.append(AutoModelForCausalLM.from_pretrained(home / "base", dtype=how.dtype).eval())
    found: dict[str, list[float]] = {}
    for prompt, *texts in PAIRS:
        for side, text in zip(("chosen", "rejected"), texts, strict=True):
            ids, first = tokens_of(tokenizer, how, prompt, text)
            sums = []
            for model in models:
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=how.autocast):
                    logp = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
                taken = logp[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[first - 1 :, 0]
                sums.append(float(taken.mean() if how.mean else taken.sum()))
            reference = 0.0 if how.reference == "none" else sums[1]
            found.setdefault(f"eval_logps/{side}", []).append(sums[0])
            found.setdefault(f"eval_rewards/{side}", []).append(how.beta * (sums[0] - reference))
    row = {name: float(np.mean(values)) for name, values in found.items()}
    state = {"log_history": [{"step": 10, "epoch": 1.0, **row}], "global_step": 10}
    (home / "run" / "checkpoint-10" / "trainer_state.json").write_text(json.dumps(state))
    return row


def doctor(home: Path, capsys, *more: str) -> list[dict]:
    pair = "--run", str(home / "run"), "--data", str(home / "pairs.jsonl"), "--device", "cpu"
    assert main.main(["doctor", *pair, "--json", *more]) == 0
    lines = json.loads(capsys.readouterr().out)["findings"]
    return [it for it in lines if it["id"].startswith("log")]


def test_a_log_that_agrees_is_said_to(home, capsys):
    row = write_log(home, Planted())
    (line,) = doctor(home, capsys)
    assert line["level"] == "ok" and "they agree" in line["sentence"]
    for name, value in row.items():
        own = line["numbers"][f"ours.{name.removeprefix('eval_')}"]
        assert own == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_the_cause_is_named(home, capsys, case):
    how, cause, words = CASES[case]
    write_log(home, how)
    log, step, *rest = doctor(home, capsys)
    assert log["level"] == "warning" and log["numbers"]["gap"] > 0.04
    assert step["topic"] == cause and words in step["sentence"], step
    assert step["numbers"]["closed"] == pytest.approx(log["numbers"]["gap"], rel=0.1)
    assert not rest


def test_causes_that_come_together_are_named_one_by_one(home, capsys):
    write_log(home, Planted(closing=False, beta=0.05))
    log, *steps = doctor(home, capsys)
    assert {step["topic"] for step in steps} == {"BOS/EOS", "β"}
    closed = [step["numbers"]["closed"] for step in steps]
    assert closed == sorted(closed, reverse=True)
    assert sum(closed) == pytest.approx(log["numbers"]["gap"], rel=0.02)


def test_rounding_is_told_from_what_is_unexplained(home, capsys):
    write_log(home, Planted(autocast=True, closing=False))
    _, step, rounding = doctor(home, capsys)
    assert step["topic"] == "BOS/EOS"
    assert rounding["topic"] == "number format" and rounding["level"] == "note"
    assert "no more than rounding" in rounding["sentence"]


def test_what_nothing_closes_is_unexplained(home, capsys):
    row = write_log(home, Planted())
    state = home / "run" / "checkpoint-10" / "trainer_state.json"
    strange = {name: value - 3 for name, value in row.items() if "logps" in name}
    state.write_text(json.dumps({"log_history": [{"step": 10, **row, **strange}]}))
    lines = doctor(home, capsys)
    assert lines[-1]["topic"] == "unexplained" and "the very pairs" in lines[-1]["sentence"]
    assert lines[-1]["numbers"]["left"] > 2


def test_a_log_without_such_numbers_is_said_to_have_none(home, capsys):
    state = home / "run" / "checkpoint-10" / "trainer_state.json"
    state.write_text(json.dumps({"log_history": [{"step": 5, "eval_rewards/chosen": 0.1}]}))
    (line,) = doctor(home, capsys)
    assert "no rewards or log-probs at step 10" in line["sentence"]


# --- the attribution alone ----------------------------------------------------------------------

OURS = {"logps/chosen": -20.0, "logps/rejected": -30.0, "rewards/chosen": 1.0,
        "rewards/rejected": -2.0}  # fmt: skip


def test_beta_is_found_only_where_both_sides_agree():
    def found(logged):
        way = Way(beta=0.1)
        return [it.words for it in changes(way, Known(), OURS, logged) if it.cause == "β"]

    assert found({"rewards/chosen": 3.0, "rewards/rejected": -6.0}) == ["β is 0.3"]
    assert found({"rewards/chosen": 3.0, "rewards/rejected": -4.0}) == []
    assert found({"rewards/chosen": -3.0, "rewards/rejected": 6.0}) == []
    assert found({"rewards/chosen": 1.0, "rewards/rejected": -2.0}) == []


def test_a_change_that_closes_little_is_not_taken():
    def numbers(way):
        return OURS if not way.plain else {**OURS, "logps/chosen": -19.7}

    gap = attribute({"logps/chosen": -15.0}, Way(), OURS, numbers, Known())
    assert gap.total == 5.0 and gap.steps == () and gap.left == 5.0
    gap = attribute({"logps/chosen": -19.7}, Way(), OURS, numbers, Known())
    assert [step.cause for step in gap.steps] == ["template"] and gap.left == pytest.approx(0)


def test_rewards_count_as_log_ratios():
    gap = attribute({"rewards/chosen": 1.5}, Way(beta=0.1), OURS, lambda way: OURS, Known())
    assert gap.total == pytest.approx(5.0)


def test_a_way_that_cannot_be_tried_is_passed_over():
    def numbers(way):
        return None if way.dtype != "float32" else OURS

    gap = attribute({"logps/chosen": -15.0}, Way(), OURS, numbers, Known())
    assert gap.steps == ()


def test_the_largest_cause_stands_first():
    gap = Gap({"logps/chosen": -1.0}, {"logps/chosen": -2.0}, 1.0, 0.01, ())
    lines = list(findings(gap, "Of it,"))
    assert [it.topic for it in lines] == ["log", "unexplained"]
    gap = replace(gap, total=0.001)
    assert [it.level for it in findings(gap, "Of it,")] == ["ok"]


def test_an_evaluation_comes_before_a_batch_of_the_training():
    def curve(value):
        return Series(np.array([5, 10]), np.array([0.0, value]))

    log = RunLog(Path(), "", "", {"rewards/chosen": curve(0.5)})
    assert logged_at(log, 10) == ({"rewards/chosen": 0.5}, False)
    log = replace(log, series={**log.series, "eval/rewards/chosen": curve(0.7)})
    assert logged_at(log, 10) == ({"rewards/chosen": 0.7}, True)
    assert logged_at(log, 7) == ({}, False)
    blank = replace(log, series={"eval/rewards/chosen": curve(np.nan)})
    assert logged_at(blank, 10) == ({}, False)


@pytest.mark.filterwarnings("ignore")
def test_a_log_of_trl_on_plain_texts_that_it_cut(trl, home, tmp_path, capsys):
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config, trainer = trl.dpo
    out, base = tmp_path / "run", home / "base"
    arguments = config(
        output_dir=str(out), beta=BETA, max_steps=2, learning_rate=0.01, save_steps=2,
        eval_strategy="steps", eval_steps=2, logging_steps=1, report_to=[], use_cpu=True,
        bf16=False, gradient_checkpointing=False, disable_tqdm=True, max_length=24,
        per_device_train_batch_size=3, per_device_eval_batch_size=3,
    )  # fmt: skip
    data = load_dataset("json", data_files=str(home / "pairs.jsonl"), split="train")
    trainer(
        model=AutoModelForCausalLM.from_pretrained(base), args=arguments, train_dataset=data,
        eval_dataset=data, processing_class=AutoTokenizer.from_pretrained(base),
    ).train()  # fmt: skip
    capsys.readouterr()  # what the trainer printed
    run = "--run", str(out), "--reference", str(base), "--data", str(home / "pairs.jsonl")
    assert main.main(["doctor", *run, "--device", "cpu", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["findings"]
    log, *steps = [it for it in lines if it["id"].startswith("log")]
    assert {step["topic"] for step in steps} == {"template", "truncation"}
    assert log["numbers"]["unexplained"] == pytest.approx(0, abs=0.04)
