"""What probing says of a response, against plain forwards of transformers' own models."""

import numpy as np
import pytest
import torch

from core.dependence import groups, matrix, parts, without
from core.engine.answering import Answering
from core.engine.protocol import (
    Inspect,
    Load,
    PairSpec,
    Score,
    ScoreVariants,
    StateRef,
    Variant,
    VariantsDone,
)
from core.present.effects import effect
from core.substitution import LEFT_OUT, Idea, of_models, put, site_of_word
from core.text import Prompt
from tests.tiny import save_pair

BETA = 0.1
PROMPT = Prompt.of("Summarise this post. They offered me $53K a year. I have until Friday.")
TEXT, OTHER = "They offered $250K a year, too low.", "They offered $53K a year, too low."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    room = tmp_path_factory.mktemp("pair")
    save_pair(room)
    return room


@pytest.fixture(scope="module")
def engine(folder):
    made = Answering(lambda event: None, lambda: False)
    spec = PairSpec(policy=f"{folder}/policy", reference=f"{folder}/reference", dtype="float32")
    made.answer(Load(1, spec))
    return made


@pytest.fixture(scope="module")
def plain(folder):
    """Rewards of tokens after a prompt: two models, one forward each, nothing shared or cached."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    models = [
        AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32).eval()
        for name in ("policy", "reference")
    ]

    def rewards(prompt, ids):
        chat = [{"role": it.role, "content": it.content} for it in prompt.messages]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        before = tokenizer(text, add_special_tokens=False).input_ids
        whole = torch.tensor([[*before, *map(int, ids)]])
        with torch.no_grad():
            policy, reference = (
                model(input_ids=whole).logits[0].double().log_softmax(-1)[:-1] for model in models
            )
        rows, picked = range(len(before) - 1, whole.shape[1] - 1), whole[0, len(before) :]
        return BETA * (policy - reference)[rows, picked].numpy()

    return rewards


def score(engine, text):
    return engine.answer(Score(2, "A", PROMPT, text, fresh=True)).scoring


def variants(engine, asked):
    request, found, again = ScoreVariants(3, tuple(asked)), [], False
    while not isinstance(event := engine.answer(request, again), VariantsDone):
        found, again = [*found, *event.scorings], True
    return found


def test_what_each_idea_does_is_what_plain_forwards_say(engine, plain):
    old, other = score(engine, TEXT), score(engine, OTHER)
    index = next(i for i, start in enumerate(old.tokens.starts) if start >= TEXT.index("250"))
    site = site_of_word(old.tokens, index)
    state = StateRef.before(old, site.first, PROMPT)
    seen = engine.answer(Inspect(4, state, most=8)).inspection
    ideas = [Idea("$53K"), Idea("nothing at all"), LEFT_OUT]
    ideas += of_models(seen, old.tokens.ids[site.first : site.last])
    assert len(ideas) >= 11
    changed = [put(old.tokens, site, it) for it in ideas]
    found = variants(engine, (Variant(PROMPT, it.text, it.ids) for it in changed))
    was, rival = plain(PROMPT, old.ids), plain(PROMPT, other.ids).sum()
    for idea, new in zip(ideas, found, strict=True):
        now = plain(PROMPT, new.ids)
        does = effect(old, new, site, idea, BETA, other=("A", other))
        assert does.total == pytest.approx(now.sum() - was.sum(), abs=1e-5)
        assert does.margin == pytest.approx(rival - now.sum(), abs=1e-5)
        if idea.ids is not None:  # its tokens, then those that stood there before
            after = site.first + len(idea.ids)
            assert [*new.ids[after:]] == [*old.ids[site.last :]]
            assert does.own == pytest.approx(now[site.first : after].sum(), abs=1e-5)
            later = now[after:].sum() - was[site.last :].sum()
            assert does.downstream == pytest.approx(later, abs=1e-5)
        else:
            here = was[site.first : site.last].sum()
            assert does.own - here + does.downstream == pytest.approx(does.total, abs=1e-5)


@pytest.mark.parametrize("by", ["sentence", "word"])
def test_the_matrix_is_what_plain_forwards_say_without_each_part(engine, plain, by):
    whole = score(engine, TEXT)
    found, tokens, columns = parts(PROMPT, by), whole.tokens, groups(whole)
    less = variants(engine, (Variant(without(PROMPT, it), tokens.text, tokens.ids) for it in found))
    rewards = [BETA * (it.logp_policy - it.logp_reference) for it in (whole, *less)]
    said = matrix(rewards[0], rewards[1:], [it.rows for it in columns])
    assert said.shape == (len(found), len(columns)) and np.abs(said).max() > 1e-4
    was = plain(PROMPT, whole.ids)
    for part, row in zip(found, said, strict=True):
        change = plain(without(PROMPT, part), whole.ids) - was
        for column, value in zip(columns, row, strict=True):
            assert value == pytest.approx(sum(change[i] for i in column.rows), abs=1e-5)


def test_words_numbers_and_marks_are_columns_and_so_is_what_closes(engine):
    whole = score(engine, "你好, $53K.")
    columns = groups(whole)
    assert [i for it in columns for i in it.rows] == [*range(len(whole))]
    said = [it.text for it in columns]
    assert said[-1] == whole.labels[-1] and "$53K" in "".join(said) and "," in said
