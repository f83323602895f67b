"""The reference's own errors: a fact left open, and what may be written there."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from core.demo.fact_checker import judge
from core.demo.recipe import load_recipe
from core.demo.sample import NEW_TOKENS, Gap, _sample, gaps, sample_pairs
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.text import Prompt
from tests.tiny import save_model

pytest.importorskip("faker")


def some_gaps(count=150):
    return list(gaps(random.Random(3), count, 3))


def test_a_gap_is_a_faithful_summary_cut_before_a_fact():
    found = some_gaps()
    assert len(found) > 150
    for gap in found:
        assert judge(gap.post, gap.slot, gap.right) is True
        assert gap.after.startswith(gap.anchor) and gap.anchor
        assert gap.post.facts[gap.slot].in_summary


def test_a_wrong_value_makes_a_pair_with_the_fact_put_right():
    made = 0
    for gap in some_gaps():
        fact = gap.post.facts[gap.slot]
        for value in (f" {other}" for other in ("Zanzibar", "4,711", "19 weeks")):
            pair = gap.pair(f"{value}{gap.after}")
            if pair is None:
                continue
            made += 1
            assert pair.chosen == gap.before + gap.right + gap.after
            assert pair.rejected == gap.before + value.strip() + gap.after
            assert pair.errors == (fact.type,) and pair.source == "reference"
            (start, stop) = pair.spans[0]
            assert pair.rejected[start:stop] in value
    assert made > 50


def test_a_right_value_and_one_that_runs_on_make_none():
    for gap in some_gaps(40):
        assert gap.pair(f" {gap.right}{gap.after}") is None
        assert gap.pair(" Zanzibar and no end to it") is None or gap.anchor in " and no end to it"
        assert isinstance(gap, Gap)


def test_what_is_written_into_a_gap_is_what_the_reference_would_write(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    folder = save_model(tmp_path)
    spec = PairSpec(policy=str(folder), reference=str(folder))
    models, _ = load_pair(spec, lambda what, share: None)
    shipped = load_recipe(Path(__file__).parents[2] / "resources/demo/recipe.toml")
    recipe = replace(shipped, samples=2, temperature=1e-4, sampled_posts=1, sampled_summaries=1)
    gap = some_gaps(2)[0]
    prompt = Prompt.of(gap.post.prompt)
    before = models.codec.prompt_ids(prompt)
    before += models.codec.encode(prompt, gap.before.rstrip()).ids
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = list(before)
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            ids.append(int(plain(torch.tensor([ids])).logits[0, -1].argmax()))
    likeliest = models.codec.decode(prompt, tuple(ids[len(before) :])).text
    assert set(_sample(recipe, models, gap, seed=1)) == {likeliest}
    warm = replace(recipe, temperature=1.0, samples=4)
    drawn = _sample(warm, models, gap, seed=1)
    assert len(set(drawn)) > 1 and drawn == _sample(warm, models, gap, seed=1)
    told = []
    assert sample_pairs(recipe, models, lambda what, share: told.append(share)) == []
    assert told == [1.0]
