"""What tokens are coloured by, against numbers by hand and plain forwards."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.models.score import score
from core.present.measures import MEASURES, shown
from tests.app.fake_engine import scoring_of, tokens_of
from tests.searches import PROMPT, search_pair

SURPRISE = MEASURES["surprise_reference"]


def test_surprise_beyond_expectation_by_hand():
    """Of four tokens: a half, a quarter and two eighths (1.75 bits), or a quarter each (2 bits)."""
    bit = np.log(2)
    scoring = replace(
        scoring_of(tokens_of([" a", " b", " c"])),
        logp_reference=-bit * np.array([1.0, 3.0, 2.0, 2.0]),
        entropy_reference=bit * np.array([1.75, 1.75, 1.75, 2.0]),
    )
    by_token = shown(SURPRISE, "token", 0.1, {"A": scoring}, None)["A"]
    assert by_token == pytest.approx(bit * np.array([-0.75, 1.25, 0.25, 0.0]))
    by_line = shown(SURPRISE, "line", 0.1, {"A": scoring}, None)["A"]
    assert by_line == pytest.approx(bit * np.array([0.75, 0.75, 0.75, 0.0]))


def test_surprise_beyond_expectation_is_that_of_a_plain_forward():
    pair, (_, reference) = search_pair(sharp=3.0)
    scoring = score(pair, PROMPT, pair.codec.encode(PROMPT, "They were offered a job at the Labs."))
    before = pair.codec.prompt_ids(PROMPT)
    whole = torch.tensor([[*before, *scoring.ids.tolist()]])
    with torch.no_grad():
        logits = reference(input_ids=whole, use_cache=False).logits[0, len(before) - 1 : -1]
    logp = logits.double().log_softmax(-1).numpy()
    surprises = -logp  # of every token there is
    expectation = (np.exp(logp) * surprises).sum(-1)
    own = surprises[np.arange(len(scoring)), scoring.ids]
    found = SURPRISE.compute({"A": scoring}, None, 0.1)["A"]
    np.testing.assert_allclose(found, own - expectation, atol=1e-4)
    assert np.ptp(expectation) > 0.1 and np.ptp(own) > 0.1  # neither hides the other
