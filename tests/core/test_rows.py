"""Rows of token trees give the log-probs of separate sequences; the figures are right by hand."""

import math

import numpy as np
import pytest
import torch

from core.codec import Codec
from core.demo.posts import Pair
from core.evaluation.localisation import (
    LIKELY,
    Scored,
    auroc,
    auroc_interval,
    figures,
    report_figures,
    units,
)
from core.text import Prompt
from core.training.rows import (
    collate,
    make_row,
    response_sums,
    row_of_pairs,
    token_logps,
    vocabulary_logits,
)
from tests.tiny import byte_level_tokenizer, tiny_model

PROMPT = "Summarise this post in one sentence.\n\nA job for $53K."
PAIRS = [
    ("They were offered $53K.", "They were offered $250K."),
    ("They were offered $53K.", "They were offered $63K."),
    ("The salary is $53K.", "The pay is $50K, and more."),
]


def read(codec, prompt, text):
    """The ids of a user turn and of a response with its closing token."""
    asked = Prompt.of(prompt)
    ids = codec.encode(asked, text).ids
    return list(codec.prompt_ids(asked)), [*ids, codec.end_of_turn]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["llama", "granite", "cohere"])
def test_a_row_scores_each_response_as_a_plain_forward_does(kind, attention):
    tokenizer, model = byte_level_tokenizer(), tiny_model(kind)
    model.set_attn_implementation(attention)
    codec = Codec(tokenizer)
    short = row_of_pairs(codec, "short", [("Yes.", "No.")])
    row = row_of_pairs(codec, PROMPT, PAIRS, across=1)
    batch = collate([short.as_example(), row.as_example()], tokenizer.pad_token_id)
    with torch.no_grad():
        sums = response_sums(token_logps(*vocabulary_logits(model, batch), batch), batch)
    chosen, rejected = zip(*PAIRS, strict=True)
    texts = ["Yes.", "No.", *dict.fromkeys(chosen + rejected)]
    assert len(sums) == len(texts)
    for number, text in enumerate(texts):
        prompt, answer = read(codec, "short" if number < 2 else PROMPT, text)
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0].double()
        plain = logits.log_softmax(-1)[range(len(prompt) - 1, len(prompt + answer) - 1), answer]
        assert float(sums[number]) == pytest.approx(float(plain.sum()), abs=1e-4)


def test_shared_tokens_are_held_once_and_pairs_name_their_responses():
    codec = Codec(byte_level_tokenizer())
    row = row_of_pairs(codec, PROMPT, PAIRS, across=1)
    assert len(row.paths) == 5  # two chosen, three rejected
    assert set(row.pairs) == {(0, 2), (0, 3), (1, 4), (1, 2), (1, 3), (0, 4)}
    apart = sum(len(path) for path in row.paths)
    assert len(row.ids) - row.prompt < apart
    for path, text in zip(row.paths, [PAIRS[0][0], PAIRS[2][0]], strict=False):
        assert [row.ids[node] for node in path] == read(codec, PROMPT, text)[1]
        assert row.parent[path[0]] == row.prompt - 1


def test_what_is_trained_is_the_chat_template_the_response_and_its_closing_token():
    tokenizer = byte_level_tokenizer()
    row = make_row(Codec(tokenizer), "A post", ["A summary."])
    text = tokenizer.decode([*row.ids[: row.prompt], *(row.ids[node] for node in row.paths[0])])
    assert text == "<|im_start|>user\nA post<|im_end|>\n<|im_start|>assistant\nA summary.<|im_end|>"


def test_the_area_under_the_curve_by_hand():
    value, wrong = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, False, True, False])
    assert auroc(value, wrong) == 1.0
    assert auroc(-value, wrong) == 0.0
    assert auroc(np.zeros(4), wrong) == 0.5
    assert auroc(np.array([1.0, 1.0, 2.0, 0.0]), wrong) == pytest.approx(3.5 / 4)
    with pytest.raises(ValueError, match="both"):
        auroc(value, np.ones(4, dtype=bool))


def drawn(rng, responses, spread):
    """Responses of 1 to 12 units: values of wrong ones are 1 higher on average, and all of a
    response's are moved by an amount of its own."""
    values, wrong = [], []
    for count in rng.integers(1, 13, responses):
        own = rng.random(count) < rng.choice([0.1, 0.6])
        values.append(own + rng.normal(size=count) + rng.normal(0, spread) * (1 + own))
        wrong.append(own)
    return values, wrong


def test_the_interval_of_single_units_is_delongs():
    """As in DeLong, DeLong and Clarke-Pearson 1988, by the sums of all comparisons."""
    rng = np.random.default_rng(3)
    value, wrong = np.round(rng.normal(size=60), 1), rng.random(60) < 0.4
    value += wrong
    above = value[wrong][:, None] > value[~wrong][None, :]
    psi = above + 0.5 * (value[wrong][:, None] == value[~wrong][None, :])
    area = psi.mean()
    variance = psi.mean(1).var(ddof=1) / wrong.sum() + psi.mean(0).var(ddof=1) / (~wrong).sum()
    half = 1.96 * variance**0.5 / (area * (1 - area))
    odds = np.log(area / (1 - area)) + np.array([-half, half])
    found = auroc_interval(list(value[:, None]), list(wrong[:, None]))
    assert found == pytest.approx(1 / (1 + np.exp(-odds)))


def test_units_that_stand_twice_in_a_response_say_nothing_new():
    values, wrong = drawn(np.random.default_rng(5), 40, 0.7)
    doubled = [np.tile(it, 2) for it in values], [np.tile(it, 2) for it in wrong]
    assert auroc_interval(*doubled) == pytest.approx(auroc_interval(values, wrong))


def test_the_interval_holds_the_true_value_as_often_as_it_says():
    rng = np.random.default_rng(7)
    many = drawn(rng, 60_000, 0.7)
    true = auroc(np.concatenate(many[0]), np.concatenate(many[1]))
    rounds = [drawn(rng, 60, 0.7) for _ in range(400)]
    apart = [[list(np.concatenate(it)[:, None]) for it in one] for one in rounds]
    share, naive = (
        np.mean([low <= true <= high for low, high in (auroc_interval(*it) for it in every)])
        for every in (rounds, apart)
    )
    assert 0.92 <= share <= 0.98 and naive < 0.92


def test_there_is_no_interval_of_one_response_or_of_a_perfect_order():
    values, wrong = [np.array([2.0, 1.0, 3.0])], [np.array([True, False, False])]
    assert auroc_interval(values, wrong) is None
    assert auroc_interval([np.array([2.0, 1.0])] * 3, [np.array([True, False])] * 3) is None


def test_tokens_belong_to_words_and_touch_spans():
    text = "for $250K now"
    words, spans = units(text, [(0, 3), (3, 5), (5, 9), (9, 13)], [(4, 9)])
    assert words.tolist() == [0, 1, 1, 2]
    assert spans == (frozenset({1, 2}),)


def scored(policy, reference, spans, words, chosen=1.0):
    policy, reference = np.array(policy), np.array(reference)
    return Scored(
        Pair(PROMPT, *PAIRS[0], ((0, 3),), ("money",), "random", "job"),
        policy, reference, np.array(words), tuple(map(frozenset, spans)),
        chosen, float((policy - reference).sum()),
    )  # fmt: skip


def test_figures_by_hand():
    # Words: right, wrong (two tokens), right, wrong, closing. The reference is most surprised by
    # a right word; the reward blames the two errors.
    item = scored(
        policy=[-5.0, -2.0, -2.5, -1.0, -3.0, 0.0],
        reference=[-5.0, -1.0, -0.5, -1.0, -1.6, 0.0],
        spans=[{1, 2}, {4}],
        words=[0, 1, 1, 2, 3, 4],
    )
    table = figures([item])
    assert table["pair_accuracy"] == 1.0
    assert table["sum_log_ratio_rejected"] == pytest.approx(-4.4)
    words = table["words"]
    assert words["-reward"] == {
        "auroc": 1.0, "auroc_interval": None, "auroc_within_pair": 1.0, "top1_hit": 1.0,
        "second_error_recall": 1.0,
    }  # fmt: skip
    assert words["-log_ref"]["top1_hit"] == 0.0
    assert words["-log_ref"]["auroc"] == pytest.approx(4 / 6)
    assert words["-log_ref"]["second_error_recall"] == 1.0
    assert table["tokens"]["-reward"]["auroc"] == 1.0


def test_likely_errors_are_those_the_reference_would_write():
    likely = scored([-9.0, 0.0], [-1.0, -1.0], [{0}], [0, 1])
    unlikely = scored([-9.0, 0.0], [-1.0 - LIKELY, -1.0], [{0}], [0, 1], chosen=-50.0)
    table = report_figures([likely, unlikely])
    assert table["pairs"] == 2 and table["pair_accuracy"] == 0.5
    assert table["likely_errors"]["pairs"] == 1
    assert table["likely_errors"]["pair_accuracy"] == 1.0
    assert math.isclose(likely.surprise, 1.0) and math.isclose(unlikely.surprise, 1.0 + LIKELY)
