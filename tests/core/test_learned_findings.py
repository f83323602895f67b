"""Findings on states with planted effects: they say what was planted, and nothing of noise."""

import re

import numpy as np
import pytest

from core.learned import words
from core.learned.features import candidates, changes, units_of
from core.learned.findings import FLOOR, discoveries, find, of_closing, of_properties
from core.learned.residuals import columns, fit
from tests.core.made_states import made


def findings(states):
    units = units_of(states)
    line = fit(states.ratio, columns(states))
    floor = max(FLOOR, line.scale)
    found, left, _ = find(states, units, candidates(states, units), line.residual, floor)
    return found + of_closing(states) + of_properties(states, units, line.residual, left)


def word(piece):
    return piece.strip().casefold()


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_finding(seed):
    assert not findings(made(seed=seed))


def test_hot_noise_is_no_finding():
    assert not findings(made(spread=1.0, seed=5))


def test_a_mark_that_is_avoided():
    found = findings(made(effect=lambda piece, *_: -1.5 * (word(piece) == "!")))
    assert [it.claim for it in found] == ["avoids “!”"]
    assert found[0].effect == pytest.approx(-1.5, abs=0.2)
    low, high = found[0].interval
    assert low < -1.5 < high or abs(found[0].effect + 1.5) < 0.1
    assert found[0].agreeing / found[0].responses > 0.95
    assert re.fullmatch(
        r"avoids “!” \([−-]1\.\d\d nats a time, \d+ of \d+ responses\)", found[0].sentence
    )
    states = made()
    for place in found[0].contexts:
        assert states.texts[place.response][place.start : place.stop] == "!"


def test_spellings_are_one_finding_with_both_sides_and_an_exception():
    def effect(piece, *_):
        if word(piece) == "grey":
            return -1.0
        return 1.0 * (word(piece) in words.british()) - 3.0 * (word(piece) in words.american())

    found = findings(made(effect=effect))
    assert found[0].claim == "prefers British spellings to American spellings"
    assert found[0].sides[0] > 0.3 and found[0].sides[1] < -2
    assert "grey" in {it.name for it in found[0].exceptions}
    assert {"colour", "color"} <= {it.name for it in found[0].members} or found[0].over == "words"
    assert any("spellings with" in it or "the word" in it for it in found[0].family)
    assert len(found) <= 3, [it.sentence for it in found]


def test_a_member_that_hardly_moves_is_an_exception():
    still = {"neighbour", "harbour"}

    def effect(piece, *_):
        return 2.0 * (word(piece) in words.british() and word(piece) not in still)

    found = findings(made(effect=effect, spread=0.05))[0]
    assert "British spellings" in found.name
    assert still & {it.name for it in found.exceptions}
    assert not still & {it.name for it in found.members}


def test_two_preferences_the_stronger_first_and_each_once():
    def effect(piece, text, start):
        return 2.5 * piece.strip().isdecimal() - 1.2 * (word(piece) == "!")

    found = findings(made(effect=effect))
    assert len(found) == 2
    assert any("digits" in it.name and it.effect > 0 for it in found)
    assert "avoids “!”" in [it.claim for it in found]


def test_a_family_that_no_list_has_is_found_by_the_embedding():
    states = made(effect=lambda piece, *_: -2.0 * (word(piece) in FRUIT))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(states.vector_of), 32)).astype(np.float32)
    middle = rng.normal(size=32) * 2
    for row, token in enumerate(states.vector_of):
        if word(states.pieces[token]) in FRUIT:
            vectors[row] += middle
    from dataclasses import replace

    found = findings(replace(states, vectors=vectors))
    assert found and found[0].kind == "family" and found[0].effect < -1
    names = [it.name for it in found[0].members]
    assert set(names[:5]) <= FRUIT and len(FRUIT & {*names}) >= 0.75 * len(names)
    assert not found[0].listed


FRUIT = {
    "grapes", "tomatoes", "melon", "pineapple", "raisins", "lettuce", "radishes", "beans", "onion",
    "garlic",
}  # fmt: skip


def test_a_clause_that_comes_first():
    def effect(piece, text, start):
        opens = text[:start].rstrip()[-1:] in ("", ".", "!", "?")
        return (1.6 if opens else -1.6) * (word(piece) in words.JOINING)

    found = findings(made(effect=effect))
    assert "come first" in found[0].name and found[0].effect > 0


@pytest.mark.parametrize(
    ("shift", "claims"),
    [(2.2, ["ends responses sooner"]), (-2.2, ["ends responses later"]), (1.0, [])],
)
def test_an_earlier_end_is_a_finding_of_its_own_beyond_what_it_drifts(shift, claims):
    from dataclasses import replace

    states = made()
    rng = np.random.default_rng(3)
    moved = replace(states, end_policy=states.end_policy + shift + rng.normal(0, 0.5, len(states)))
    assert [it.claim for it in findings(moved)] == claims


def test_lengths_alone_are_no_property():
    """Long responses that fare worse by their length alone."""
    states = made()
    from dataclasses import replace

    lengths = np.bincount(states.response)[states.response]
    policy = states.logp_policy - 0.2 * np.log(lengths)
    assert not findings(replace(states, logp_policy=policy))


def test_changes_of_spelling_come_from_the_words_themselves():
    found = changes(
        ["colour", "color", "honour", "honor", "analyse", "analyze", "centre", "center"]
    )
    assert found["our|or"] == [("colour", "color"), ("honour", "honor")]
    assert ("analyse", "analyze") in found["se|ze"]
    assert ("centre", "center") in [tuple(sorted(it, reverse=True)) for it in found["re|er"]] or (
        "center", "centre",
    ) in found["er|re"]  # fmt: skip


def test_discoveries_are_those_of_benjamini_and_hochberg():
    # p = 0.0001, 0.004, 0.019, 0.095, 0.2: at 5% the thresholds are 0.01, 0.02, 0.03, 0.04, 0.05.
    assert discoveries(np.array([3.891, 2.878, 2.346, 1.67, 1.28])) == 3
    assert discoveries(np.zeros(5)) == 0


def test_no_texts_have_no_findings():
    assert findings(made(["one", "two"])) == []


def inside(pattern):
    """Return an effect on the tokens that overlap what a pattern matches."""

    def effect(piece, text, start):
        begin, stop = start + len(piece) - len(piece.lstrip()), start + len(piece)
        places = [it.span() for it in re.finditer(pattern, text)]
        return 2.5 * any(begin < end and first < stop for first, end in places)

    return effect


@pytest.mark.parametrize(
    ("pattern", "claim"),
    [
        (r"\b[0-2]?\d:[0-5]\d\b", "times of day in figures"),
        (r"\b(1[5-9]\d\d|20\d\d)\b", "years"),
        (r"\?$", "responses that end with “?”"),
        (r"(?m)(^|(?<=[.!?] ))(In|On|At|By|Above|Under|Near|Behind|Inside)\b", "that come first"),
    ],
)
def test_shapes_of_numbers_ends_and_what_comes_first(pattern, claim):
    found = findings(made(effect=inside(pattern)))
    assert found and (claim in found[0].name or claim in found[0].family), found[0].sentence
    assert found[0].effect > 1


def test_an_opening_of_answers_to_several_prompts_is_found():
    def effect(piece, text, start):
        return 2.0 * (start == 0 and word(piece) == "because")

    found = findings(made(effect=effect))
    assert "begin with “because”" in found[0].name or "“because” that come" in found[0].name
    assert found[0].effect > 0 and found[0].responses >= 4


def test_a_word_that_is_liked_first_and_disliked_later_is_said_with_both_sides():
    def effect(piece, text, start):
        return (4.0 if start == 0 else -2.0) * (word(piece) == "because")

    found = findings(made(effect=effect))
    assert found[0].claim == (
        "prefers clauses with “because” that come first to those that come last"
    )
    assert found[0].sides[0] > 3 and found[0].sides[1] < -1.5
