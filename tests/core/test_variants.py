"""Variants are scored as one by one, whatever is asked in between."""

from queue import Queue

import numpy as np
import pytest

from core.engine.answering import Answering
from core.engine.loop import Engine
from core.engine.protocol import (
    Failed,
    Load,
    PairSpec,
    Progress,
    Score,
    Scored,
    ScoreVariants,
    Stopped,
    Variant,
    VariantsDone,
    VariantsScored,
)
from core.text import Prompt
from tests.tiny import save_pair

PROMPT, OTHER = Prompt.of("They offered $53K a year."), Prompt.of("They refused.")
VARIANTS = (
    Variant(PROMPT, "Too low for me"),
    Variant(PROMPT, "Too low for them"),
    Variant(OTHER, "Too low for me"),
    Variant(PROMPT, "Too high"),
    Variant(Prompt(()), "No prompt at all"),
)


@pytest.fixture
def engine(tmp_path):
    save_pair(tmp_path)
    made = Answering(lambda event: None, lambda: False)
    made.answer(Load(1, PairSpec(policy=f"{tmp_path}/policy", reference=f"{tmp_path}/reference")))
    return made


def test_variants_are_scored_as_one_by_one(engine):
    scorings, problems = run(engine, ScoreVariants(2, VARIANTS))
    assert sorted(scorings) == [0, 1, 2, 3] and list(problems) == [4]
    assert problems[4].endswith(".")
    for place, scoring in scorings.items():
        variant = VARIANTS[place]
        alone = engine.answer(Score(3, "A", variant.prompt, variant.text, fresh=True))
        assert isinstance(alone, Scored)
        np.testing.assert_array_equal(scoring.ids, alone.scoring.ids)
        for name in ("logp_policy", "logp_reference"):
            found, expected = getattr(scoring, name), getattr(alone.scoring, name)
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_tokens_are_taken_as_they_are(engine):
    first = run(engine, ScoreVariants(2, VARIANTS[:1]))[0][0]
    ids = (*first.tokens.ids[:-1], first.tokens.ids[0])
    found = run(engine, ScoreVariants(3, (Variant(PROMPT, "", ids),)))[0][0]
    assert found.tokens.ids == ids


@pytest.mark.parametrize("calls", [2, 4])
def test_what_was_cancelled_within_a_step_leaves_nothing_behind(tmp_path, calls):
    """Cells of a forward that never ran are evicted as any others, when others need the room."""
    save_pair(tmp_path)
    left = [10**9]

    def cancelled():
        left[0] -= 1
        return left[0] < 0

    engine = Answering(lambda event: None, cancelled)
    engine.answer(Load(1, PairSpec(policy=f"{tmp_path}/policy", reference=f"{tmp_path}/reference")))
    long = " ".join(["They offered me a job for $53K a year, too low."] * 6)
    ids = engine.answer(Score(2, "A", PROMPT, long, fresh=True)).scoring.tokens.ids
    many = tuple(Variant(PROMPT, "", (id, *ids)) for id in range(100, 100 + 6000 // len(ids)))
    left[0] = calls
    assert isinstance(engine.answer(ScoreVariants(3, many)), Stopped)
    left[0] = 10**9
    found = run(engine, ScoreVariants(4, (Variant(PROMPT, "", (99, *ids)),)))[0][0]
    alone = engine.answer(Score(5, "A", PROMPT, ids=(99, *ids))).scoring
    np.testing.assert_allclose(found.logp_policy, alone.logp_policy, atol=1e-4)


def test_one_purpose_does_not_stop_another(tmp_path):
    """Each is done, whatever is asked while it runs; a newer one of its own purpose replaces it."""
    save_pair(tmp_path)
    events = Queue()
    engine = Engine(events.put)
    engine.start()

    def final(id):
        while True:
            event = events.get(timeout=60)
            if event.id == id and not isinstance(event, Progress | VariantsScored):
                return event

    spec = PairSpec(policy=f"{tmp_path}/policy", reference=f"{tmp_path}/reference")
    engine.submit(Load(1, spec))
    final(1)
    long = " ".join(["They offered me a job for $53K a year, too low."] * 6)
    many = tuple(Variant(PROMPT, f"{letter} {long}") for letter in "abcdefghijklmnopqrst")
    engine.submit(ScoreVariants(2, many, "one"))
    while not isinstance(events.get(timeout=60), VariantsScored):
        pass
    engine.submit(ScoreVariants(3, VARIANTS[:1], "another"))
    found = {}
    while set(found) != {2, 3}:
        event = events.get(timeout=60)
        if event.id in (2, 3) and not isinstance(event, Progress | VariantsScored):
            found[event.id] = event
    assert all(isinstance(event, VariantsDone) for event in found.values())
    engine.submit(ScoreVariants(4, many, "one"))
    engine.submit(ScoreVariants(5, (), "one"))
    assert isinstance(final(4), Stopped)
    assert engine.close(60)


def test_without_a_pair_it_fails_in_a_sentence():
    found = Answering(lambda event: None, lambda: False).answer(ScoreVariants(1, VARIANTS))
    assert isinstance(found, Failed) and "No models are loaded" in found.message


def run(engine, request):
    """Take all steps; what was scored and what was not."""
    scorings, problems, again, fraction = {}, {}, False, 0.0
    while not isinstance(event := engine.answer(request, again), VariantsDone):
        assert isinstance(event, VariantsScored), event
        assert event.fraction > fraction
        fraction, again = event.fraction, True
        found = zip(event.scorings, event.problems, strict=True)
        for place, (scoring, problem) in enumerate(found, event.first):
            if scoring is None:
                problems[place] = problem
            else:
                scorings[place] = scoring
    return scorings, problems
