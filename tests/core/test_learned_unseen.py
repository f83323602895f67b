"""Tokens that nobody wrote, and what recurs when samples are amplified."""

from dataclasses import replace

import numpy as np
import pytest

from core.learned.amplified import recurring
from core.learned.record import Sampled
from core.learned.states import ANYWHERE, FIRST, Vocabulary
from core.learned.unseen import unseen
from tests.core.made_states import made

PROMOTED, AT_FIRST, LONELY = 7, 11, 13


@pytest.fixture
def states():
    states = made(["one two three"] * 5)
    rng = np.random.default_rng(0)
    reference = np.exp(rng.normal(0, 2, (2, 400)))
    policy = reference * np.exp(rng.normal(0, 0.1, (2, 400)) + 0.1 * np.log(reference))
    policy[ANYWHERE, PROMOTED] *= np.exp(2.0)
    policy[FIRST, AT_FIRST] *= np.exp(-3.0)
    policy[ANYWHERE, LONELY] *= np.exp(4.0)
    weight = np.maximum(policy, reference)
    square = weight**2 / 50
    square[:, LONELY] = weight[:, LONELY] ** 2  # all of it at one state
    pieces = tuple(f" t{i}" for i in range(400))
    return replace(
        states, vocabulary=Vocabulary(policy, reference, None, weight, square), pieces=pieces
    )


def test_a_promoted_token_stands_out_beyond_what_any_token_gets(states):
    found = {(it.token, it.first): it for it in unseen(states)}
    assert found.keys() == {(f" t{PROMOTED}", False), (f" t{AT_FIRST}", True)}
    assert found[f" t{PROMOTED}", False].effect == pytest.approx(2.0, abs=0.3)
    assert found[f" t{AT_FIRST}", True].effect == pytest.approx(-3.0, abs=0.3)


def test_what_sft_had_pushed_is_taken_off(states):
    sums = states.vocabulary
    rng = np.random.default_rng(1)
    pushed = rng.normal(0, 1.5, sums.reference.shape)
    moved = replace(
        sums, policy=sums.reference * np.exp(pushed), base=sums.reference / np.exp(pushed)
    )
    assert not unseen(replace(states, vocabulary=moved))
    assert len(unseen(replace(states, vocabulary=replace(moved, base=None)))) >= 10


def test_what_recurs_when_amplified():
    samples = [
        Sampled("Go on.", weight, text, True)
        for weight, texts in (
            (0.0, ["A grey day.", "Some tea.", "A walk!", "Rest now."]),
            (1.0, ["A colour!", "A day."]),
            (2.0, ["Our harbour!", "Harbour lights.", "A day."]),
            (4.0, ["The harbour.", "harbour harbour", "Harbour, a day."]),
        )
        for text in texts
    ]
    found = recurring(samples)
    assert [(it.name, it.amplified, it.reference, it.of) for it in found] == [("harbour", 5, 0, 6)]
    assert recurring(samples[:4]) == ()
