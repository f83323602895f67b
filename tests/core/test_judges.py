"""Judges on fixed texts, a reward model against a plain forward, files of verdicts."""

import json

import pytest
import torch

from core.demo.sweeps import demo_questions
from core.errors import UserFacingError
from core.models.reward_model import load_reward_model
from core.sweeps.judges import VerdictJudge, decide, make_judge, pairs_to_judge
from core.sweeps.questions import Question, read_questions
from core.sweeps.record import Answer, JudgeSpec, SweepRow
from core.text import Prompt
from tests.posts import job_post
from tests.tiny import TEMPLATE, VOCAB, byte_level_tokenizer

OWN = Question("Which?", chosen="Left.")


def answer(text, policy=-5.0, reference=-5.0):
    return Answer(text, 3, policy, reference, True)


def save_reward_model(folder, labels=1, template=TEMPLATE, **options):
    """A tiny random sequence classifier with its tokenizer."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    tokenizer = byte_level_tokenizer(template)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=256, num_labels=labels,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = LlamaForSequenceClassification(config).eval()
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


# --- facts and reward -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "to_beat", "winner", "margin"),
    [
        ("Kestrel Foods in Leeds offers $90K.", "Kestrel Foods offers $90,000.", "win", 1.0),
        ("Kestrel Foods offers $95K.", "Kestrel Foods offers $90,000.", "loss", -3.0),
        ("It is Kestrel Foods.", "Someone in Leeds.", "tie", 0.0),
        ("In Oslo for $95K.", "Something happened.", "loss", -4.0),
    ],
)
def test_facts_are_counted(text, to_beat, winner, margin):
    pytest.importorskip("faker")
    judge = make_judge(JudgeSpec("facts"))
    verdict = decide(judge, Question("p", about=job_post()), answer(text), answer(to_beat))
    assert (verdict.winner, verdict.margin) == (winner, margin)


def test_the_fact_judge_says_what_it_saw_and_refuses_other_prompts():
    pytest.importorskip("faker")
    judge = make_judge(JudgeSpec("facts"))
    said = decide(judge, Question("p", about=job_post()), answer("For $95K."), answer("In Leeds."))
    assert said.why == "0 right, 1 wrong ($95K); to beat: 1 right, 0 wrong"
    with pytest.raises(UserFacingError, match="choose another judge"):
        decide(judge, OWN, answer("a"), answer("b"))


def test_the_reward_judge_sums_and_says_that_it_judges_itself():
    judge = make_judge(JudgeSpec("reward"))
    verdict = decide(judge, OWN, answer("a", -2.0, -6.0), answer("b", -5.0, -6.0))
    assert (verdict.winner, verdict.margin) == ("win", 4.0 - 1.0)
    assert "judges itself" in judge.name


def test_the_same_text_is_a_tie_whoever_judges():
    judge = make_judge(JudgeSpec("reward"))
    assert decide(judge, OWN, answer(" a", -2.0), answer("a ", -3.0)).winner == "tie"


# --- reward models ----------------------------------------------------------------------------


def test_a_reward_model_scores_as_a_plain_forward_does(tmp_path):
    plain, tokenizer = save_reward_model(tmp_path)
    found = load_reward_model(tmp_path, "cpu")
    text = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhich?<|im_end|>\n"
        "<|im_start|>assistant\nLeft.<|im_end|>\n"
    )
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        expected = float(plain(input_ids=ids).logits)
    assert found.score(Prompt.of("Which?", "Be brief."), "Left.") == pytest.approx(
        expected, abs=1e-5
    )
    judge = make_judge(JudgeSpec("model", str(tmp_path)), "cpu")
    verdict = decide(judge, OWN, answer("Left."), answer("Right."))
    other = found.score(OWN.turns, "Right.")
    assert verdict.margin == pytest.approx(found.score(OWN.turns, "Left.") - other, abs=1e-6)
    assert verdict.winner == ("win" if verdict.margin > 0 else "loss")
    assert tmp_path.name in judge.name


def test_a_reward_model_without_a_template_reads_plain_text(tmp_path):
    plain, tokenizer = save_reward_model(tmp_path, template=None)
    ids = torch.tensor([tokenizer("Which?\n\nLeft.")["input_ids"]])
    with torch.no_grad():
        expected = float(plain(input_ids=ids).logits)
    score = load_reward_model(tmp_path, "cpu").score(OWN.turns, "Left.")
    assert score == pytest.approx(expected, abs=1e-5)


def test_what_is_no_reward_model_is_refused(tmp_path):
    with pytest.raises(UserFacingError, match="There is no reward model in"):
        load_reward_model(tmp_path / "nowhere", "cpu")
    save_reward_model(tmp_path / "two", labels=2)
    with pytest.raises(UserFacingError, match="gives 2 numbers"):
        load_reward_model(tmp_path / "two", "cpu")
    from tests.tiny import save_model

    with pytest.raises(UserFacingError, match="lacks 1 weights"):
        load_reward_model(save_model(tmp_path / "causal"), "cpu")


def test_pickled_reward_models_are_refused(tmp_path):
    save_reward_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserFacingError, match="cannot be loaded"):
        load_reward_model(tmp_path, "cpu")


def test_memory_that_runs_out_is_not_called_a_damaged_reward_model(tmp_path, monkeypatch):
    def read_model(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    save_reward_model(tmp_path)
    monkeypatch.setattr("core.models.reward_model.read_model", read_model)
    with pytest.raises(torch.OutOfMemoryError):
        load_reward_model(tmp_path, "cpu")


def test_too_long_a_text_is_refused_by_a_reward_model(tmp_path):
    save_reward_model(tmp_path)
    with pytest.raises(UserFacingError, match="context is 256"):
        load_reward_model(tmp_path, "cpu").score(OWN.turns, "word " * 300)


# --- verdicts ---------------------------------------------------------------------------------


def write_verdicts(path, *lines):
    keys = ("prompt", "a", "b", "winner")
    path.write_text("\n".join(json.dumps(dict(zip(keys, line, strict=True))) for line in lines))
    return path


def test_verdicts_count_in_either_order_and_by_majority(tmp_path):
    path = write_verdicts(
        tmp_path / "v.jsonl",
        ("Which?", "Left.", "Right.", "a"),
        ("Which?", "Right.", "Left.", "b"),
        ("Which?", "Left.", "Right.", "b"),
        ("Which?", "Up.", "Right.", "tie"),
    )
    judge = VerdictJudge(path)
    verdict = decide(judge, OWN, answer("Left."), answer("Right."))
    assert (verdict.winner, verdict.margin) == ("win", pytest.approx(1 / 3))
    assert decide(judge, OWN, answer("Right."), answer("Left.")).winner == "loss"
    assert decide(judge, OWN, answer("Up."), answer("Right.")).winner == "tie"
    assert decide(judge, OWN, answer("Down."), answer("Right.")) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no verdicts"),
        ("not json", "is not JSON"),
        ('{"prompt": "p", "a": "x", "b": "y", "winner": "a"}\nno', "line 2 is not JSON"),
        ("\n[1]", "row 1: not an object"),
        ('{"prompt": "p", "a": "x", "b": "y"}', '"winner" is missing'),
        ('{"prompt": "p", "a": 1, "b": "y", "winner": "a"}', '"a" is missing or no string'),
        ('{"prompt": "p", "a": "x", "b": "y", "winner": "left"}', "\"winner\" is 'left'"),
        ('{"prompt": "p", "a": "\\ud800", "b": "y", "winner": "a"}', "half a surrogate pair"),
    ],
)
def test_malformed_verdicts_are_named(tmp_path, text, said):
    path = tmp_path / "v.jsonl"
    path.write_text(text)
    with pytest.raises(UserFacingError) as caught:
        VerdictJudge(path)
    assert said in str(caught.value)


def test_pairs_to_judge_tell_no_widths_and_can_be_judged(tmp_path):
    rows = [
        SweepRow(n, f"prompt {n}", width, answer(text), answer("To beat."), None)
        for n in range(40)
        for width, text in ((1, "Mine."), (2, "Mine."), (3, "To beat."))
    ]
    pairs = pairs_to_judge(rows)
    assert len(pairs) == 40  # each once, and none of a text with itself
    assert all(set(pair) == {"prompt", "a", "b", "winner"} for pair in pairs)
    first = sum(pair["a"] == "Mine." for pair in pairs)
    assert 8 < first < 32
    path = tmp_path / "v.jsonl"
    path.write_text("\n".join(json.dumps(pair | {"winner": "a"}) for pair in pairs))
    judge = VerdictJudge(path)
    won = [decide(judge, Question(r.prompt), r.answer, r.against).winner for r in rows[::3]]
    assert won.count("win") == first


# --- prompts ----------------------------------------------------------------------------------


def test_demo_prompts_are_held_out_and_always_the_same():
    pytest.importorskip("faker")
    from core.demo.kinds import kinds_for

    found = demo_questions(60)
    assert demo_questions(70)[:60] == found
    held_out = {kind.name: kind for kind in kinds_for(held_out=True)}
    trained = {s for kind in kinds_for(held_out=False) for s in kind.summaries}
    for question in found:
        assert question.about.kind == held_out[question.about.kind.name]
        assert question.about.text in question.prompt
        assert not trained & set(question.about.kind.summaries)
    assert len({question.prompt for question in found}) == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no prompts"),
        ('{"chosen": "x"}', '"prompt" is missing'),
        ('{"prompt": " "}', "the prompt is empty"),
        ('{"prompt": "p", "chosen": 3}', '"chosen" is not a string'),
    ],
)
def test_malformed_prompts_are_named(tmp_path, text, said):
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(UserFacingError) as caught:
        read_questions(path)
    assert said in str(caught.value)
