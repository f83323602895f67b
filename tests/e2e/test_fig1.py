"""The story of the paper's Fig. 1 on the real demo pair, from checkpoint to blame."""

import json

import numpy as np
import pytest

from core import quantities as q
from core.demo.pair import DEMO_FOLDER
from core.engine.protocol import PairSpec
from core.models.load import load_pair
from core.models.score import score
from core.text import Prompt, align, units

pytestmark = pytest.mark.demo
BETA = 0.1


@pytest.fixture(scope="module")
def pair():
    return load_pair(PairSpec(demo=True), lambda what, fraction: None)[0]


@pytest.fixture(scope="module")
def story():
    return json.loads((DEMO_FOLDER / "examples.json").read_text(encoding="utf-8"))[0]


def blame(pair, story, side):
    """The words of a response with their summed rewards, the closing token left out."""
    prompt = Prompt.of(story["prompt"], story.get("system"))
    scoring = score(pair, prompt, pair.codec.encode(prompt, story[side]))
    rewards = q.reward(scoring.logp_policy, scoring.logp_reference, BETA)
    group = np.array(units(scoring.tokens, "word"))
    words = story[side].split()
    sums = np.bincount(group, weights=rewards[:-1])
    assert len(words) == len(sums)
    return dict(zip(words, sums, strict=True)), rewards, scoring


def test_the_wrong_salary_is_the_most_blamed_fact(pair, story):
    assert "$53K" in story["prompt"]
    assert "$53K" in story["a"]
    words, rewards, scoring = blame(pair, story, "b")
    salary = min(words, key=words.get)
    assert "250K" in salary
    right, right_rewards, right_scoring = blame(pair, story, "a")
    assert words[salary] < min(right.values())
    assert q.preference(right_rewards.sum(), rewards.sum()) > 0.5
    shared = align(right_scoring.tokens, scoring.tokens).pairs
    moved = [abs(rewards[j] - right_rewards[i]) for i, j in shared]
    assert np.median(moved) < abs(words[salary]) / 4  # the other tokens hardly move


def test_one_edit_moves_the_blame(pair, story):
    """Changing "$53K" to "$250K" in the faithful summary alone: the edit itself is blamed."""
    prompt = Prompt.of(story["prompt"], story.get("system"))
    right = pair.codec.encode(prompt, story["a"])
    before = score(pair, prompt, right)
    after = score(pair, prompt, pair.codec.edit(prompt, right, story["a"].replace("$53K", "$250K")))
    first = min(i for span in align(before.tokens, after.tokens).edited_b for i in span)
    assert after.reused >= len(pair.codec.prompt_ids(prompt)) + first - 1
    assert (after.logp_policy[:first] == before.logp_policy[:first]).all()
    sums = [q.reward(s.logp_policy, s.logp_reference, BETA).sum() for s in (before, after)]
    assert sums[1] < sums[0]
