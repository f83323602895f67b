"""Why a token is red, in words: each number in them is found again by hand."""

import dataclasses

import numpy as np
import pytest

from core.noise import NoiseFloor
from core.present.why import why
from core.scoring import Alternative, Inspection
from tests.app.fake_engine import scoring_of, tokens_of


def scored(policy, reference, ranks=(4, 2)):
    """One token with these probabilities, and its closing token."""
    made = scoring_of(tokens_of([" salary"]))
    return dataclasses.replace(
        made,
        logp_policy=np.log([policy, 0.5]),
        logp_reference=np.log([reference, 0.5]),
        rank_policy=np.array([ranks[0], 1]),
        rank_reference=np.array([ranks[1], 1]),
    )


def choice(label, policy, reference):
    return Alternative(1, label, label, np.log(policy), np.log(reference), 1, 1)


def seen():
    policy = (choice("·offer", 0.8, 0.2), choice("·job", 0.1, 0.1))
    reference = (choice("·pay", 0.01, 0.4), choice("·offer", 0.8, 0.2))
    return Inspection(1, policy, reference)


def test_a_red_token_is_explained_by_what_each_model_expected():
    said = why(scored(0.01, 0.25), 0, 0.1, inspection=seen())
    assert said == (
        "“·salary” is negative: it adds −0.322 β·nats. The policy makes it 25.0 times less likely "
        "than the reference.",
        "The reference gave it 25.0% (rank 2) and expected “·pay” (40.0%) or “·offer” (20.0%).",
        "The policy gives it 1.0% (rank 4) and prefers “·offer” (80.0%) or “·job” (10.0%).",
    )
    assert np.isclose(0.1 * np.log(0.01 / 0.25), -0.322, atol=5e-4)


def test_before_the_alternatives_have_come_it_says_what_is_known():
    said = why(scored(0.9, 0.3, (1, 1)), 0, 0.1)
    assert "3.0 times more likely" in said[0] and "positive" in said[0]
    assert said[1:] == (
        "The reference expected just this, with 30.0%.",
        "The policy prefers just this, with 90.0%.",
    )


def test_without_beta_the_unit_is_nats_and_without_a_reference_nothing_is_said():
    assert "−3.219 nats" in why(scored(0.01, 0.25), 0, None)[0]
    alone = dataclasses.replace(scored(0.01, 0.25), logp_reference=None, rank_reference=None)
    assert why(alone, 0, 0.1) == ()


@pytest.mark.parametrize(("floor", "hidden"), [(4.0, True), (3.0, False)])
def test_it_says_whether_the_token_is_above_the_noise_floor(floor, hidden):
    noise = NoiseFloor("bfloat16", floor, 0.0, 0.0, 100, "measured")
    said = why(scored(0.01, 0.25), 0, 0.1, noise=noise)[0]
    assert ("below the noise floor of bfloat16 (±0.4)" in said) is hidden
    assert ("above the noise floor (±0.3)" in said) is not hidden


def test_models_that_agree_are_said_to():
    run = steps(0.25, 0.251)
    said = why(run[-1][1], 0, 0.1, by_step=run)
    assert "both models agree" in said[0] and len(said) == 3  # that never turned


def test_what_a_model_hardly_expects_is_not_named():
    policy = (choice("·offer", 0.04, 0.2), choice("·job", 0.03, 0.1))
    found = Inspection(1, policy, (choice("·pay", 0.01, 0.9), choice("·offer", 0.04, 0.04)))
    said = why(scored(0.01, 0.025), 0, 0.1, inspection=found)
    assert said[1].endswith("and expected “·pay” (90.0%).")
    assert said[2].endswith("and prefers “·offer” (4.0%).")  # the likeliest, however unlikely


def steps(*policies):
    return [(10 * i, scored(it, 0.25)) for i, it in enumerate(policies)]


def test_when_in_the_run_it_turned():
    run = steps(0.25, 0.3, 0.2, 0.1, 0.01)
    said = why(run[-1][1], 0, 0.1, by_step=run)[-1]
    assert said == (
        "It has been negative since step 20 (−0.022; +0.018 at step 10), at least half as much as "
        "now since step 40, of the 5 checkpoints that are scored."
    )
    always = steps(0.2, 0.1)
    assert "since step 0, the first" in why(always[-1][1], 0, 0.1, by_step=always)[-1]
    noise = NoiseFloor("bfloat16", 0.5, 0.0, 0.0, 100, "measured")
    said = why(run[-1][1], 0, 0.1, noise=noise, by_step=run)[-1]
    assert "since step 30" in said  # at 20 the floor hides it
    assert len(why(run[-1][1], 0, 0.1, by_step=run[-1:])) == 3  # one step tells nothing
