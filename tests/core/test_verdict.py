"""What is said of two responses, by hand-made log-probs."""

from dataclasses import replace

import numpy as np
import pytest

from core.losses import TrainingLoss
from core.noise import NoiseFloor
from core.present.credit import IMPLICIT, Credit
from core.present.verdict import Verdict, verdict, words, worst_words
from core.text import align
from tests.app.fake_engine import scoring_of, tokens_of

A = ["He", " got", " $", "53", "K", ",", " in", " May", "."]
B = ["He", " got", " $", "250", "K", ",", " in", " May", "."]


def scored(pieces, **ratios):
    """A scoring whose log-ratios are 0 but for those of the pieces that are named."""
    found = scoring_of(tokens_of(pieces))
    ratio = np.array([ratios.get(piece.strip() or "end", 0.0) for piece in (*pieces, "")])
    reference = np.full(len(found), -2.0)
    return replace(found, logp_reference=reference, logp_policy=reference + ratio)


def of(a, b, beta=1.0, **more):
    return verdict({"A": a, "B": b}, align(a.tokens, b.tokens), beta, **more)


def test_the_worst_word_is_named_and_an_edit_offered():
    found = of(scored(A), scored(B, **{"250": -4.0, "K": -0.5, "May": -3.9}))
    assert found.headline == "The policy prefers A (σ of the margin above 0.999)."
    assert found.detail == "B loses most at “$250K” (−4.5; worst token −4.0)."
    assert (found.word.worst, found.word.rows) == (-4.0, range(2, 6))
    assert found.edit.invitation == "Try: change “$53K” to “$250K” in A"
    text = "".join(A)
    assert text[found.edit.start : found.edit.stop] == "$53K"


def test_b_may_be_the_better_one():
    found = of(scored(A, **{"53": -2.0}), scored(B))
    assert found.headline == "The policy prefers B (σ of the margin 0.881)."
    assert found.detail == "A loses most at “$53K” (−2.0; worst token −2.0)."
    assert found.edit.invitation == "Try: change “$250K” to “$53K” in B"


def test_where_nothing_is_lost_the_gain_is_named():
    found = of(scored(A, May=3.0), scored(B))
    assert found.detail == "A gains most at “May” (+3.0; best token +3.0)."
    assert found.edit is None
    found = of(scored(A, got=3.0), scored(B))
    assert found.detail == "A gains most at “got” (+3.0)."


@pytest.mark.parametrize("ratio", [-0.3, 0.3])
def test_near_a_coins_toss_nothing_is_preferred(ratio):
    found = of(scored(A), scored(B, **{"250": ratio}))
    chance = 1 / (1 + np.exp(ratio))
    assert found == Verdict(f"No clear preference (σ of the margin {chance:.3f}).")


def test_below_the_noise_floor_nothing_is_preferred():
    noise = NoiseFloor("bfloat16", 2.0, 2.0, 0.0, 100, "")
    found = of(scored(A), scored(B, **{"250": -1.5}), noise=noise)
    assert found.headline == "No clear preference: the margin is below the noise floor of bfloat16."
    assert found.detail == ""


def test_nothing_is_preferred_where_policy_and_reference_are_the_same():
    found = of(scored(A), scored(B))
    assert found == Verdict("No preference: A and B have the same Σr.")


def test_no_probability_without_beta():
    found = of(scored(A), scored(B, **{"250": -4.0}), beta=None)
    assert found.headline == "A’s Σr is higher by 4.00 nats, while β is not known."
    assert "σ" not in found.headline and found.detail.startswith("B loses most at “$250K” (−4.0; ")


def test_no_probability_where_the_score_is_no_sum_over_tokens():
    credit = Credit(TrainingLoss(("sigmoid",), f_divergence="js_divergence"))
    found = of(scored(A), scored(B, **{"250": -4.0}), credit=credit)
    assert found.headline.startswith("A’s") and "σ" not in found.headline


def test_likelihood_blames_nothing():
    found = of(scored(A), scored(B, **{"250": -4.0}), credit=Credit(alone=True))
    assert found.headline == "A’s Σ log π is higher by 4.00 nats: likelihood, not reward."
    assert found.detail == "" and found.word is None


def test_of_one_response_or_two_equal_ones_nothing_is_preferred():
    assert verdict({"A": scored(A)}, None, 1.0) == Verdict()
    assert of(scored(A), scored(A)).headline == "A and B are the same."


def test_words_cover_all_rows_once_and_add_up():
    scoring = scored(B, **{"250": -4.0, "end": 1.0})
    found = words("B", scoring, 0.5, IMPLICIT)
    assert [i for word in found for i in word.rows] == list(range(len(scoring)))
    assert sum(word.total for word in found) == pytest.approx(-1.5)
    assert [word.text for word in found] == ["He", "got", "$250K", "in", "May", "<end>"]


def test_the_worst_words_of_both_responses():
    known = {"A": scored(A, He=-0.6, **{"53": 1.0}), "B": scored(B, **{"250": -4.0, "got": -0.04})}
    found = worst_words(known, 1.0)
    assert [(it.side, it.text, round(it.total, 2)) for it in found] == [
        ("B", "$250K", -4.0),
        ("A", "He", -0.6),
    ]
    assert len(worst_words(known, 1.0, most=1)) == 1
    noise = NoiseFloor("bfloat16", 9.0, 9.0, 0.0, 100, "")
    assert worst_words(known, 1.0, noise=noise) == ()
