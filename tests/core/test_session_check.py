"""A recording beside the pair: how many tokens differ, by how much, and of which weights it is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.noise import NoiseFloor
from core.runs.records import START, Checkpoint
from core.session_check import (
    Agreement,
    compare,
    other_weights,
    over_checkpoints,
    to_compare,
    variants_of,
)
from tests.core.made_recordings import FLOOR, INFO, LAST, made, scoring_of


def moved(scoring, changes):
    """The scoring with some log-probs of the policy changed, by place."""
    logp = scoring.logp_policy.copy()
    for place, change in changes.items():
        logp[place] += change
    return replace(scoring, logp_policy=logp)


def test_the_sentence_of_the_issue():
    old = scoring_of("a" * 40)
    now = moved(old, {5: 0.21, 6: -0.1, 30: 0.05, 31: 0.002})
    found = compare([old], [now], [FLOOR])
    assert found.sentence == "3 of 41 tokens differ beyond the floor (largest 0.21)."
    assert not found.agrees


def test_what_agrees_says_so():
    old = scoring_of("a" * 40)
    found = compare([old], [moved(old, {3: 1e-4})])
    assert found.sentence == "All 41 tokens agree." and found.agrees and found.largest < 2e-4
    assert compare([], []).sentence == "" and not compare([], []).agrees


def test_what_cannot_be_scored_now_is_counted_and_no_agreement():
    old = scoring_of("ab")
    nothing = compare([old, old], [None, None])
    assert nothing.sentence == "2 responses cannot be scored now." and not nothing.agrees
    some = compare([old, old], [old, None])
    assert some.sentence == "All 3 tokens agree. 1 response cannot be scored now."
    assert not some.agrees and some.tokens == 3


def test_the_floors_of_both_add_up():
    old = scoring_of("ab")
    now = moved(old, {1: 0.013})
    assert compare([old], [now], [FLOOR]).differ == 1
    assert compare([old], [now], [FLOOR, FLOOR]).differ == 0
    assert compare([old], [now], [FLOOR, None]).differ == 1


def test_where_there_is_no_reference_the_policy_is_compared():
    alone = scoring_of("ab", 1, alone=True)
    both = replace(scoring_of("ab", 2), logp_policy=alone.logp_policy)
    assert compare([alone], [both]).agrees and compare([both], [alone]).agrees


def test_a_number_that_is_there_but_once_differs_without_bound():
    old = scoring_of("ab")
    now = moved(old, {1: -np.inf})
    found = compare([old], [now])
    assert found.sentence == "1 of 3 tokens differs beyond the floor (largest without bound)."
    assert compare([now], [now]).agrees  # minus infinity is a log-prob


def test_other_tokens_are_said_and_counted_in_nothing():
    found = compare([scoring_of("ab"), scoring_of("xy")], [scoring_of("abc"), scoring_of("xy")])
    assert (found.tokens, found.differ, found.other_tokens) == (3, 0, 1)
    assert found.sentence == "All 3 tokens agree. 1 response is read in other tokens now."
    assert not found.agrees


floats = arrays.arrays(np.float64, 5, elements=st.floats(-1e3, 0))


@given(floats, floats, st.floats(0, 10))
def test_it_counts_as_one_would_by_hand(before, after, token):
    old = replace(scoring_of("abcd"), logp_policy=before)
    now = replace(old, logp_policy=after)
    floor = NoiseFloor("bfloat16", token, 0.0, 0.0, 1, "")
    found = compare([old], [now], [floor])
    apart = [abs((a - r) - (b - r)) for a, b, r in zip(before, after, old.logp_reference,
                                                       strict=True)]  # fmt: skip
    assert found.differ == sum(it > max(token, 5e-4) for it in apart)
    assert found.tokens == 5 and found.largest == pytest.approx(max(apart), abs=1e-12)


def test_the_variants_are_those_of_a_checkpoint_in_the_order_of_the_recording():
    recording = made()
    for checkpoint, texts in ((LAST, ["cd\n", "ab", "e"]), (START, ["ab"]), ("/none", [])):
        variants = variants_of(recording, checkpoint)
        assert sorted(it.text for it in variants) == sorted(texts)
        known = [it for it in recording.responses.values() if checkpoint in it.scorings]
        assert [it.ids for it in variants] == [it.tokens.ids for it in known]


def test_the_shown_checkpoint_is_compared_first_and_the_others_by_step():
    assert to_compare(made(), INFO, LAST) == ((LAST, START), ())
    assert to_compare(made(), INFO, START) == ((START, LAST), ())
    assert to_compare(made(), INFO, "/another") == ((START, LAST), ())


def test_what_is_not_compared_is_said():
    gone = replace(INFO, checkpoints=(Checkpoint(0, START), Checkpoint(20, "/run/checkpoint-20")))
    assert to_compare(made(), gone, START) == (
        (START,), ("1 recorded checkpoint is not there now.",)
    )  # fmt: skip
    whole = replace(INFO, checkpoints=(Checkpoint(0, START), Checkpoint(10, LAST, whole=True)))
    said = "1 other checkpoint is a whole model and not compared."
    assert to_compare(made(), whole, START) == ((START,), (said,))
    assert to_compare(made(), whole, LAST) == ((LAST, START), ())
    assert to_compare(made(), replace(INFO, checkpoints=()), "") == (
        (), ("2 recorded checkpoints are not there now.",)
    )  # fmt: skip


def test_those_that_differ_are_named_by_their_steps():
    fine, apart = Agreement(40), Agreement(41, 3, 0.21)
    assert over_checkpoints({LAST: fine}, INFO) == "All 40 tokens agree."
    assert over_checkpoints({}, INFO) == ""
    both = {LAST: fine, START: Agreement(41)}
    assert over_checkpoints(both, INFO) == "All 81 tokens agree. 2 checkpoints were compared."
    assert over_checkpoints({LAST: apart, START: fine}, INFO) == (
        "3 of 81 tokens differ beyond the floor (largest 0.21). 2 checkpoints were compared; not "
        "alike: step 10."
    )
    unread = {LAST: Agreement(0, unscored=2), START: apart}
    assert over_checkpoints(unread, INFO).endswith("not alike: step 0, step 10.")


def test_other_weights_are_said_by_their_role():
    assert other_weights(INFO, INFO) == ()
    other = replace(INFO, weights={"policy": "zz", "reference": "c", "search base": "new"})
    (said,) = other_weights(INFO, other)
    assert said.startswith("The policy is not the one that was recorded")
    assert other_weights(INFO, replace(INFO, weights={})) == ()


def test_a_run_that_has_gone_on_has_another_last_policy_by_right():
    longer = (*INFO.checkpoints, Checkpoint(20, "/run/checkpoint-20"))
    later = replace(INFO, checkpoints=longer, weights={"policy": "zz", "reference": "c"})
    assert other_weights(INFO, later) == ()
    assert other_weights(INFO, replace(later, weights={"policy": "zz", "reference": "d"})) != ()
