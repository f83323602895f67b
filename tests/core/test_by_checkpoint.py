"""What is kept of responses under each checkpoint."""

from dataclasses import replace

import numpy as np
import pytest

from app.credit.scale import ScaleChoice
from app.widgets.colour_scale import fit_limit
from core.present import by_checkpoint
from core.present.by_checkpoint import ScoringsByCheckpoint
from core.present.measures import REWARD
from tests.app.fake_engine import CHECKPOINTS, scoring_of, tokens_of

A = tokens_of(["one", " two"])
B = tokens_of(["one", " three", " four"])


@pytest.fixture
def cache():
    cache = ScoringsByCheckpoint()
    cache.begin(CHECKPOINTS)
    cache.take("A", "prompt", scoring_of(A))
    cache.take("B", "prompt", scoring_of(B))
    return cache


def frame(index, **sides):
    return {side: scoring_of(tokens, CHECKPOINTS[index].path) for side, tokens in sides.items()}


def test_unknown_ones_come_nearest_first(cache):
    assert cache.known() == (3,) and cache.unknown() == (2, 1, 0)
    cache.put(1, frame(1, A=A))
    assert cache.known() == (3,)
    cache.put(1, frame(1, B=B))
    cache.shown = 1
    assert cache.known() == (1, 3) and cache.unknown() == (0, 2)


def test_what_comes_late_is_kept_with_its_own_text(cache):
    cache.take(
        "A", "prompt", scoring_of(B)
    )  # A was edited; then comes an answer about the old text
    cache.put(1, frame(1, A=A, B=B))
    assert set(cache.of("A")) == {1, 3}  # of B's text, which is A's now
    cache.take("A", "prompt", scoring_of(A))
    assert set(cache.of("A")) == {1, 3}
    cache.take("A", "another prompt", scoring_of(A))
    assert set(cache.of("A")) == {3}


def test_a_score_of_who_knows_which_checkpoint_is_not_kept(cache):
    cache.take("A", "new prompt", scoring_of(A), switching=True)
    assert cache.of("A") == {}


def test_values_follow_what_is_put(cache):
    values = cache.values(REWARD, "token", 0.1, None)
    assert set(values) == {3}
    cache.put(0, frame(0, A=A, B=B))
    values = cache.values(REWARD, "token", 0.1, None)
    assert set(values) == {0, 3} and not values[0]["A"].any()
    known = scoring_of(A, CHECKPOINTS[3].path)
    r = 0.2 * (known.logp_policy - known.logp_reference)
    assert np.allclose(cache.values(REWARD, "token", 0.2, None)[3]["A"], r)


def test_old_texts_are_evicted(cache, monkeypatch):
    monkeypatch.setattr(by_checkpoint, "CACHED_TOKENS", 20)
    for i in range(30):
        cache.take("A", f"prompt {i}", scoring_of(A))
    assert set(cache.of("A")) == {3} and set(cache.of("B")) == {3}
    cached = 0
    for i in range(30):
        cache.take(
            "A", f"prompt {i}", scoring_of(A), switching=True
        )  # adds nothing to what is cached
        cached += bool(cache.of("A"))
    assert 0 < cached < 12


def test_a_pair_that_is_not_of_a_run_has_nothing():
    cache = ScoringsByCheckpoint()
    cache.begin(())
    cache.take("A", "prompt", scoring_of(A))
    assert cache.known() == () and cache.unknown() == () and cache.shown == -1
    assert dict(cache.values(REWARD, "token", 0.1, None)) == {}


def test_a_scale_fits_the_checkpoint_that_needs_the_most():
    scale, mode = ScaleChoice(), REWARD
    early, late = np.array([0.01, -0.02, 0.0]), np.array([0.7, -0.1, 0.2])
    scale.fit(mode, [early], [np.zeros(3)], [late])
    assert scale.scale(mode).limit == fit_limit(late) > fit_limit(early)
    scale.fit(mode, [np.zeros(3)])
    assert scale.scale(mode).limit == 1.0
    scale.lock(mode, 0.3)
    scale.fit(mode, [late])
    assert scale.scale(mode) == replace(scale.scale(mode), limit=0.3)


def test_a_scale_keeps_to_the_first_texts_of_a_pair():
    scale, small, large = ScaleChoice(), np.array([0.1, -0.2]), np.array([4.0, -0.2])
    scale.fit_once(REWARD, "word 0.1", [])
    assert not scale.is_fitted(REWARD) and not scale.fitted
    scale.fit_once(REWARD, "word 0.1", [np.zeros(2), np.full(2, np.nan)])
    assert not scale.fitted  # nothing to tell yet
    scale.fit_once(REWARD, "word 0.1", [small])
    first = scale.scale(REWARD).limit
    assert first == fit_limit(small)
    scale.fit_once(REWARD, "word 0.1", [large])
    assert scale.scale(REWARD).limit == first
    scale.fit_once(REWARD, "word 0.5", [large])
    assert scale.scale(REWARD).limit == fit_limit(large)
    scale.fit_once(REWARD, "word 0.1", [])
    assert scale.scale(REWARD).limit == first
    scale.fit_once(REWARD, "word 0.1", [small], [small], [large])  # another checkpoint needs more
    assert scale.scale(REWARD).limit == fit_limit(large)
    scale.forget(REWARD)
    scale.fit_once(REWARD, "word 0.1", [small])
    assert scale.scale(REWARD).limit == first
    scale.lock(REWARD, 0.3)
    scale.fit_once(REWARD, "word 0.5", [large])
    assert scale.scale(REWARD).limit == 0.3


def test_a_remembered_limit_holds_before_anything_is_known():
    scale = ScaleChoice(fitted={"reward word 0.1": 7.0})
    scale.fit_once(REWARD, "word 0.1", [])
    assert scale.is_fitted(REWARD) and scale.scale(REWARD).limit == 7.0
