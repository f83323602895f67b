"""What is noted is found by what it is of, whatever came between; what is shown is never lost."""

from dataclasses import replace

import numpy as np
import pytest

from core import recording as module
from core.engine.protocol import (
    Grown,
    Inspect,
    Inspected,
    Loaded,
    Replayed,
    Resume,
    Score,
    Scored,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    StateRef,
    Steer,
    Steered,
    Stopped,
    TextsRead,
)
from core.recording import Recording
from core.runs.records import START
from core.scoring import Inspection
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.text import Prompt
from tests.core.made_recordings import LAST, PROMPT, alternative, growth, made, scoring_of

OTHER = Prompt.of("Another prompt.")
SPEC = SearchSpec(Beam(2))


def note_score(recording, text, seed=0, side="A", prompt=PROMPT, checkpoint=LAST, **more):
    scoring = scoring_of(text, seed, **more)
    recording.note(Score(1, side, prompt, text=text), Scored(1, side, scoring, "<p>", checkpoint))
    return scoring


def test_an_empty_one_is_false_and_one_with_numbers_true():
    recording = Recording()
    assert not recording
    recording.note(None, Loaded(1, made().info))
    assert not recording and recording.info is not None and recording.computed is None
    note_score(recording, "ab")
    assert recording and recording.computed is not None


def test_a_response_is_found_by_text_or_tokens_the_newest_first():
    recording = Recording()
    usual = note_score(recording, "ab")
    forced = note_score(recording, "ab", ids=(7, 8))
    note_score(recording, "ab", prompt=OTHER)
    found = [it.tokens.ids for it in recording.find(PROMPT, "ab")]
    assert found == [forced.tokens.ids, usual.tokens.ids]
    assert [it.tokens.ids for it in recording.find(PROMPT, None, (97, 98))] == [(97, 98)]
    newest = note_score(recording, "ab", seed=5)
    first = next(recording.find(PROMPT, "ab"))
    assert first.scorings[LAST] is newest and first.prompt_text == "<p>"
    assert not [*recording.find(PROMPT, "abc")] and not [*recording.find(PROMPT, "ab", (1,))]


def test_checkpoints_are_noted_of_what_the_sides_hold_alone():
    """What a replay says of a text that was overtaken before anyone heard of it is not taken for
    that of the text before it."""
    recording = Recording()
    note_score(recording, "ab")
    note_score(recording, "cd", side="B")
    right, wrong = scoring_of("ab", 3), scoring_of("xy", 4)
    recording.note(Scrub(2, START), Scrubbed(2, START, {"A": right, "B": wrong}, 0.1))
    a, b = next(recording.find(PROMPT, "ab")), next(recording.find(PROMPT, "cd"))
    assert a.scorings[START] is right and [*b.scorings] == [LAST]
    assert not [*recording.find(PROMPT, "xy")]
    assert recording.checkpoints() == {LAST, START}


def test_a_checkpoint_that_was_written_anew_is_forgotten_everywhere():
    recording = Recording()
    first = note_score(recording, "ab")
    note_score(recording, "cd")
    state = StateRef.before(first, 1, PROMPT)
    for path in (LAST, START):
        seen = Inspected(3, Inspection(9, (alternative(1),), ()), path)
        recording.note(Inspect(3, state), seen)
    newer = scoring_of("cd", 9)
    recording.note(None, Replayed(4, LAST, {"A": newer}, 1.0, anew=True))
    assert next(recording.find(PROMPT, "cd")).scorings == {LAST: newer}
    assert next(recording.find(PROMPT, "ab")).scorings == {}
    assert [key.checkpoint for key in recording.states] == [START]


def test_the_oldest_go_first_and_what_the_sides_hold_stays(monkeypatch):
    monkeypatch.setattr(module, "SCORED_TOKENS", 30)
    recording = Recording()
    note_score(recording, "held", side="B")
    for place in range(20):
        note_score(recording, f"n{place:03}", seed=place)
        assert sum(it.size for it in recording.responses.values()) <= 30
        assert next(recording.find(PROMPT, "held")).scorings
        assert next(recording.find(PROMPT, f"n{place:03}")).scorings
    assert [key.text for key in recording.responses][-1] == "n019"
    assert not [*recording.find(PROMPT, "n000")]
    long = note_score(recording, "x" * 100)
    assert next(recording.find(PROMPT, "x" * 100)).scorings[LAST] is long
    assert next(recording.find(PROMPT, "held")).scorings


def test_states_have_a_budget(monkeypatch):
    monkeypatch.setattr(module, "STATES", 3)
    recording = Recording()
    for place in range(5):
        state = StateRef(place, PROMPT, (place,))
        recording.note(Inspect(2, state), Inspected(2, Inspection(place, (), ()), LAST))
    assert [key.ids for key in recording.states] == [(2,), (3,), (4,)]


def test_a_state_keeps_more_than_was_asked_and_all_queries():
    recording, state = Recording(), StateRef(1, PROMPT, (1,))
    wide = Inspection(1, tuple(map(alternative, range(20))), ())
    recording.note(Inspect(2, state), Inspected(2, wide.at_most(10), LAST, wide))
    found = replace(wide.at_most(3), found=(alternative(77),))
    recording.note(Inspect(3, state, "q", most=3), Inspected(3, found, LAST))
    (seen,) = recording.states.values()
    assert len(seen.inspection("", 20).by_policy) == 20 and len(seen.by_policy) == 20
    assert [it.id for it in seen.inspection("q", 10).found] == [77]
    assert seen.inspection("", 21) is None and seen.inspection("other", 5) is None


def test_a_tree_is_its_searches_in_order():
    recording = Recording()
    first, second = (Search(id, "left", PROMPT, (id,), SPEC, anew=id == 5) for id in (5, 6))
    recording.note(first, Grown(5, "left", growth(1, [1, 2], [0, 1]), LAST))
    recording.note(first, Stopped(5))
    recording.note(Resume(7, "left"), Grown(7, "left", growth(2, [3], [1]), LAST))
    recording.note(Resume(7, "left"), Searched(7, "left", 2, 9, 0.1, "tree"))
    recording.note(second, Grown(6, "left", growth(1, [2, 4], [1, 2]), LAST))
    recording.note(Steer(8, "left", 2, "pin"), Steered(8, "left", 2))
    recording.note(Steer(9, "left", 4, "prune"), Steered(9, "left", 4))
    recording.note(Steer(9, "left", 2, "release"), Steered(9, "left", 2))
    tree = recording.trees["left"]
    assert [len(it.growths) for it in tree.grows] == [2, 1] and tree.steered == {4: "prune"}
    assert tree.grows[0].ended is not None and tree.grows[1].ended is None
    assert tree.grows[1].is_asked_by(replace(second, id=99))
    assert not tree.grows[0].is_asked_by(replace(second, id=99))
    anew = Search(10, "left", OTHER, (), SPEC)
    recording.note(anew, Stopped(10))
    recording.note(Resume(11, "left"), Searched(11, "left", 9, 9, 0.1, "tree"))
    assert recording.trees["left"] is tree  # it was stopped before it began
    recording.note(anew, Grown(10, "left", growth(1, [7], [0]), START))
    assert [it.prompt for it in recording.trees["left"].grows] == [OTHER]
    assert recording.trees["left"].checkpoint == START


def test_a_search_that_took_no_step_says_nothing_of_the_one_before():
    recording = Recording()
    first, second = (Search(id, "left", PROMPT, (), SPEC, anew=id == 5) for id in (5, 6))
    recording.note(first, Grown(5, "left", growth(1, [1, 2], [0, 1]), LAST))
    recording.note(first, Stopped(5))
    recording.note(second, Searched(6, "left", 0, 0, 0.1, "tree"))
    (grow,) = recording.trees["left"].grows
    assert grow.ended is None
    recording.note(second, Stopped(6))  # what is gone on with is the first
    recording.note(Resume(7, "left"), Grown(7, "left", growth(1, [2, 3], [1, 2]), LAST))
    recording.note(Resume(7, "left"), Searched(7, "left", 1, 9, 0.1, "tree"))
    (grow,) = recording.trees["left"].grows
    assert len(grow.growths) == 2 and grow.is_asked_by(first) and grow.ended is not None


def test_how_a_text_is_read_is_kept_with_it_alone():
    recording = made(texts=("ab", "cd"))
    read = next(recording.find(PROMPT, "ab")).read
    assert read is not None and next(recording.find(PROMPT, "cd")).read is None
    recording.note(None, TextsRead(5, "B", read))  # of another text
    assert next(recording.find(PROMPT, "cd")).read is None


@pytest.mark.parametrize("later", ["score", "grow"])
def test_a_snapshot_stays_as_it_was(later):
    recording = made()
    taken = recording.snapshot()
    counts = len(taken.responses), sum(len(it.growths) for it in taken.trees["left"].grows)
    if later == "score":
        note_score(recording, "later")
        recording.note(None, Replayed(4, "/new", {"A": scoring_of("later", 8)}, 1.0))
    else:
        recording.note(Resume(7, "left"), Grown(7, "left", growth(3, [40], [20]), LAST))
    assert (len(taken.responses), sum(len(it.growths) for it in taken.trees["left"].grows)) == (
        counts
    )
    same = next(taken.find(PROMPT, "ab")).scorings[LAST]
    assert np.shares_memory(same.logp_policy, scoring_of_kept(recording))


def scoring_of_kept(recording):
    return next(recording.find(PROMPT, "ab")).scorings[LAST].logp_policy
