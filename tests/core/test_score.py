"""Responses scored: their rows, and what is known already."""

import dataclasses

import numpy as np
import pytest
import torch

from core.models.score import score, score_all
from core.scoring import Scoring
from core.text import Prompt
from tests.searches import PROMPT, search_pair

TEXT = "The poster was offered a job at Harbour Labs and will start in May."
COLUMNS = [
    field.name
    for field in dataclasses.fields(Scoring)
    if field.name not in ("tokens", "labels", "nodes", "computed", "reused", "seconds", "note")
]


@pytest.fixture(scope="module")
def made():
    return search_pair(sharp=1.0)


def test_a_row_is_a_token_and_the_closing_one_comes_last(made):
    pair, models = made
    tokens = pair.codec.encode(PROMPT, TEXT)
    scoring = score(pair, PROMPT, tokens)
    before = pair.codec.prompt_ids(PROMPT)
    assert scoring.ids.tolist() == [*tokens.ids, pair.codec.end_of_turn]
    assert scoring.labels == tuple(map(pair.codec.label, scoring.ids.tolist()))
    assert pair.tree.token[scoring.nodes].tolist() == scoring.ids.tolist()
    assert pair.tree.token[pair.tree.path(int(scoring.nodes[0]))].tolist() == [
        *before,
        tokens.ids[0],
    ]
    whole = torch.tensor([[*before, *scoring.ids.tolist()]])
    for model, said in zip(models, (scoring.logp_policy, scoring.logp_reference), strict=True):
        with torch.no_grad():
            logp = model(input_ids=whole).logits[0].log_softmax(-1)
        rows = logp[len(before) - 1 : -1].gather(1, whole[0, len(before) :, None])[:, 0]
        np.testing.assert_allclose(said, rows.numpy(), atol=2e-5)


def test_what_is_known_is_said_again_as_it_was(made):
    pair, _ = made
    text = TEXT
    for typed in ("", "!", " So", " be", " it."):
        text += typed
        first = score(pair, PROMPT, pair.codec.encode(PROMPT, text))
        again = score(pair, PROMPT, pair.codec.encode(PROMPT, text))
        assert again.computed == 0
        assert again.reused == len(pair.codec.prompt_ids(PROMPT)) + len(again) - 1
        assert again.labels == first.labels
        for name in (*COLUMNS, "nodes"):
            np.testing.assert_array_equal(getattr(again, name), getattr(first, name), name)


def test_tokens_that_were_put_in_place_are_said_of(made):
    pair, _ = made
    codec = pair.codec
    tokens = codec.encode(PROMPT, TEXT)
    assert score(pair, PROMPT, tokens).note == ""
    letters = [codec.encode(PROMPT, letter).ids[0] for letter in "May"]
    at = tokens.text.index("May")
    split = codec.decode(PROMPT, (*codec.encode(PROMPT, TEXT[:at]).ids, *letters))
    many = sum(split.forced)
    assert many > 1
    assert score(pair, PROMPT, split).note.startswith(f"{many} tokens are not how the tokenizer")


def test_labels_are_those_of_another_prompt_too(made):
    pair, _ = made
    other = Prompt.of("Say it in other words.")
    tokens = pair.codec.encode(other, TEXT)
    scoring = score(pair, other, tokens)
    again = score(pair, PROMPT, pair.codec.encode(PROMPT, TEXT))
    assert scoring.labels == again.labels
    assert (scoring.nodes != again.nodes).all()


def test_several_responses_are_scored_together_as_one_by_one(made):
    pair, _ = made
    pair.forget()
    texts = [
        (PROMPT, TEXT),
        (PROMPT, TEXT[:-6] + "June."),
        (Prompt.of("Which?"), TEXT),
        (PROMPT, ""),
    ]
    responses = [(prompt, pair.codec.encode(prompt, text)) for prompt, text in texts]
    found = score_all(pair, responses, line="some")
    for response, together in zip(responses, found, strict=True):
        pair.forget()
        alone = score(pair, *response)
        assert together.computed == 0 and together.labels == alone.labels
        for name in COLUMNS:
            if name != "start":
                np.testing.assert_allclose(getattr(together, name), getattr(alone, name), atol=1e-4)
