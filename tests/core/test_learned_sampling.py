"""Responses sampled from the reference: whose they are, that nothing is lost, what is left out."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.engine.protocol import PairSpec
from core.errors import Cancelled, UserFacingError
from core.learned import sampling
from core.learned.corpus import Sample
from core.learned.report import how_measured
from core.learned.run import Learning, learned
from core.learned.sampling import Drawn, Sampling
from core.models.load import load_pair
from core.progress import never, silent
from core.search.randomness import uniform
from core.text import Prompt
from tests.tiny import save_model, save_pair

PROMPTS = [Prompt.of(f"Who was offered job {i}?") for i in range(7)]
SAMPLES = [Sample(it, "", "") for it in PROMPTS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def loaded(folders):
    policy, reference = folders
    return load_pair(PairSpec(policy=str(policy), reference=str(reference)), silent)


@pytest.fixture
def pair(loaded, monkeypatch):
    monkeypatch.setattr(sampling, "TOKENS", 20)
    return loaded[0]


def all_of(it, cancelled=never):
    shares = []
    while not it.ended:
        shares.append(it.step(cancelled))
    assert shares == sorted(shares) and shares[-1] == 1.0
    return it


def test_each_token_is_drawn_from_the_reference_alone(pair, folders):
    """Drawn again, by hand, from what the reference's own library says of the text so far."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folders[1]).eval()
    drawn = all_of(Sampling(pair, PROMPTS[:3], 3))
    for number, (prompt, said, tokens) in enumerate(drawn.drawn):
        ids, random = list(pair.codec.prompt_ids(prompt)), uniform(number)
        first = len(ids)
        while len(ids) - first < sampling.TOKENS:
            with torch.inference_mode():
                probs = model(torch.tensor([ids])).logits[0, -1].double().softmax(0).numpy()
            steps = np.cumsum(probs)
            token = int(np.searchsorted(steps, random.random() * steps[-1], side="right"))
            if token == pair.codec.end_of_turn or pair.codec.is_special(token):
                break
            ids.append(token)
        text = pair.codec.decode(prompt, tuple(ids[first:])).text.rstrip("\ufffd")
        assert (said, tokens) == (text, len(ids) - first)


def test_prompts_are_spread_and_those_that_come_twice_are_one(pair):
    asked = Counter(it.prompt for it in all_of(Sampling(pair, PROMPTS * 2, 14)).drawn)
    assert asked == dict.fromkeys(PROMPTS, 2)
    few = [it.prompt for it in all_of(Sampling(pair, PROMPTS, 3)).drawn]
    assert few == [PROMPTS[i] for i in (0, 2, 4)]


def test_what_is_cancelled_or_forgotten_between_steps_is_drawn_alike(pair):
    expected = all_of(Sampling(pair, PROMPTS, 20)).drawn
    drawn, refused = Sampling(pair, PROMPTS, 20), 0
    while not drawn.ended:
        left = [refused % 5]

        def cancelled(left=left):
            left[0] -= 1
            return left[0] < 0

        pair.forget()
        try:
            drawn.step(cancelled if refused < 12 else never)
        except Cancelled:
            refused += 1
    assert refused and drawn.drawn == expected


def test_short_and_repeated_ones_are_left_out_and_counted(pair):
    drawn = all_of(Sampling(pair, PROMPTS, 40))
    same = drawn.drawn[0]
    drawn.drawn[1], drawn.drawn[2] = same, same
    drawn.drawn[3] = Drawn(same.prompt, "Two words", 2)
    drawn.drawn[4] = Drawn(same.prompt, "  \n ", 9)
    texts = [(it.prompt, it.text) for it in drawn.samples()]
    assert len(texts) == len(set(texts)) <= 36 and (same.prompt, "Two words") not in texts
    said = drawn.sentence("the neutral corpus")
    assert "40 responses were sampled from the reference at temperature 1" in said
    assert "to 7 prompts of the neutral corpus" in said
    short = sum(it.tokens < 4 or not it.text.strip() for it in drawn.drawn)
    assert f"Left out: {short} shorter than 4 tokens" in said and short >= 2
    assert f"{40 - short - len(texts)} that had come before" in said


def test_too_few_and_too_long_are_refused(pair):
    with pytest.raises(UserFacingError, match=r"nothing can be told from fewer than 30.*--sampled"):
        all_of(Sampling(pair, PROMPTS, 20)).samples()
    with pytest.raises(UserFacingError, match="None of the 1 prompts leaves room"):
        Sampling(pair, [Prompt.of("long " * 2000)], 40)


def test_a_policy_alone_has_nothing_to_sample_from(tmp_path):
    pair, _ = load_pair(PairSpec(policy=str(save_model(tmp_path / "alone"))), silent)
    with pytest.raises(UserFacingError, match="--reference"):
        Sampling(pair, PROMPTS, 40)


def test_what_was_learned_is_found_over_them_and_that_is_said(loaded, pair):
    _, info = loaded
    stages = []
    found = learned(
        pair, info, SAMPLES, "the neutral corpus", lambda what, share: stages.append((what, share)),
        amplify=False, sampled=40, about=("From a file.",),
    )  # fmt: skip
    assert stages[0][0] == "Sampling responses from the reference"
    assert [share for _, share in stages] == sorted(share for _, share in stages)
    drawn = all_of(Sampling(pair, PROMPTS, 40))
    assert sorted(found.texts) == sorted(it.text for it in drawn.samples())
    assert found.method.corpus == "sampled from the reference, to prompts of the neutral corpus"
    said = how_measured(found)
    assert said[:2] == [drawn.sentence("the neutral corpus"), "From a file."]
    assert any("estimates KL" in line for line in said)
    plain = replace(found, method=replace(found.method, sampled=False, about=()))
    assert not any("estimates KL" in line for line in how_measured(plain))


def test_too_few_are_said_again_when_it_is_asked_again(loaded, pair):
    learning = Learning(pair, loaded[1], SAMPLES, "rows", sampled=20)
    for _ in range(2):
        with pytest.raises(UserFacingError, match="different things"):
            while learning.found is None:
                learning.step()
