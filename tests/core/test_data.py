"""Generated pairs: seeded, disjoint in their templates, with true summaries and known spans."""

import os
import random
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from core.demo.fact_checker import readings
from core.demo.kinds import SLOT, all_kinds, kinds_for, parse_kind
from core.demo.posts import (
    INSTRUCTION,
    Post,
    corrupt,
    differing,
    fill,
    write_pairs,
    write_post,
    write_summary,
)
from core.demo.values import draw, wrong

pytest.importorskip("faker")

TRIP = """
name = "trip"
posts = [
  "From {start} to {goal} for {price}, I {answer}.",
  "{goal}! {price} from {start}. {answer}",
]
summaries = [
  "The poster went from {start} to {goal}.", "Going to {goal} cost {price}.",
  "The offer to go to {goal} {answer}.",
]
[facts]
start = { type = "city" }
goal = { type = "city" }
price = { type = "money", low = 100, high = 900, step = 1 }
answer = { choices = [["said yes", "was accepted"], ["said no", "was refused"]] }
"""


def some_pairs(count, **options):
    return [pair for pairs in islice(write_pairs(5, **options), count) for pair in pairs]


def test_the_same_seed_gives_the_same_pairs():
    assert some_pairs(20) == some_pairs(20)
    other = [pair for pairs in islice(write_pairs(6), 20) for pair in pairs]
    assert some_pairs(20) != other


@pytest.mark.parametrize("held_out", [False, True])
def test_outside_the_spans_rejected_says_what_chosen_says(held_out):
    for pair in some_pairs(150, held_out=held_out):
        assert pair.prompt.startswith(f"{INSTRUCTION}\n\n")
        assert 1 <= len(pair.errors) <= 3
        kept, last = "", 0
        for start, end in sorted(pair.spans):
            wrong_words = pair.rejected[start:end]
            assert wrong_words == wrong_words.strip() != ""
            kept += re.escape(pair.rejected[last:start]) + "(.+?)"
            last = end
        kept += re.escape(pair.rejected[last:])
        found = re.fullmatch(kept, pair.chosen, re.DOTALL)
        assert found, pair
        wrong_texts = [pair.rejected[start:end] for start, end in sorted(pair.spans)]
        assert list(found.groups()) != wrong_texts


def test_no_template_is_both_trained_on_and_held_out():
    trained = {kind.name: kind for kind in kinds_for(held_out=False)}
    assert len(trained) >= 6
    unseen = 0
    for kind in kinds_for(held_out=True):
        assert kind.posts and kind.summaries
        unseen += kind.name not in trained
        if kind.name in trained:
            assert not set(kind.posts) & set(trained[kind.name].posts)
            assert not set(kind.summaries) & set(trained[kind.name].summaries)
        assert kind.held_out == (kind.name not in trained)
    assert unseen >= 1


def test_about_half_of_the_facts_that_could_be_swapped_are():
    pairs = some_pairs(200)
    share = sum(pair.source == "swap" for pair in pairs) / len(pairs)
    assert 0.2 < share < 0.6
    counts = [len(pair.errors) for pair in pairs]
    assert counts.count(1) > counts.count(2) > counts.count(3) > 0


def test_a_summary_is_true_in_one_of_the_forms_of_each_fact():
    rng = random.Random(1)
    for kind in all_kinds():
        post = write_post(kind, rng)
        for template in kind.summaries:
            summary = write_summary(post, template, rng)
            for slot, (start, end) in zip(summary.slots, summary.spans, strict=True):
                said = summary.text[start:end].casefold()
                assert said in {form.casefold() for form in post.facts[slot].in_summary}
            assert not SLOT.search(summary.text)


def test_a_swap_puts_the_other_fact_of_the_same_type():
    kind = parse_kind(TRIP, "trip.toml")
    rng = random.Random(3)
    swaps = 0
    for _ in range(60):
        post = write_post(kind, rng)
        pair = corrupt(post, write_summary(post, kind.summaries[0], rng), rng)
        start, end = pair.spans[0]
        if pair.source == "swap" and len(pair.errors) == 1:
            swaps += 1
            both = {post.facts["start"].in_summary[0], post.facts["goal"].in_summary[0]}
            found = re.fullmatch(r"The poster went from (.+) to (.+)\.", pair.rejected)
            assert found[1] == found[2] and found[1] in both
            assert pair.rejected[start:end] in found[1]
    assert swaps > 10


@pytest.mark.parametrize(
    ("spec", "forms"),
    [
        ({"type": "money", "low": 53000, "high": 53000}, {"$53,000", "$53K", "53,000 dollars"}),
        ({"type": "duration", "unit": "week", "low": 6, "high": 6}, {"6 weeks", "six weeks"}),
        ({"type": "percent", "low": 4, "high": 4}, {"4%", "4 percent"}),
        ({"type": "word_count", "low": 3, "high": 3}, {"three"}),
        ({"type": "count", "low": 1200, "high": 1200}, {"1,200", "1200"}),
    ],
)
def test_a_value_is_written_in_several_forms(spec, forms):
    fact = draw(spec, random.Random(0))
    assert forms <= set(fact.in_summary) <= set(fact.in_post)


@pytest.mark.parametrize(
    "kind", ["money", "count", "percent", "age", "duration", "weekday", "time"]
)
def test_a_wrong_value_is_of_the_type_and_never_the_value(kind):
    spec = {"type": kind, "low": 3, "high": 90}
    rng = random.Random(2)
    for _ in range(200):
        fact = draw(spec, rng)
        other = wrong(spec, fact, rng)
        assert other.type == fact.type
        assert not set(other.in_summary) & set(fact.in_post)


def test_a_fact_with_one_value_only_cannot_be_wrong():
    spec = {"choices": ["yes"]}
    with pytest.raises(ValueError, match="no other value"):
        wrong(spec, draw(spec, random.Random(0)), random.Random(0))


def test_the_span_of_an_error_leaves_out_the_words_that_agree():
    assert differing("six weeks", "two weeks", 10) == (10, 13)
    assert differing("Dr Petrov", "Dr Brandt", 0) == (3, 9)
    assert differing("Leeds", "Hull", 4) == (4, 8)
    assert differing("a b", "a b c", 0) == (2, 5)


def test_filling_a_template_gives_the_spans_of_its_slots():
    text, spans = fill("{who} paid {price}.", ["ann", "$5"])
    assert text == "Ann paid $5."
    assert [text[a:b] for a, b in spans] == ["Ann", "$5"]


def trip(text="From Rome to Bath for $120, I said yes."):
    kind = parse_kind(TRIP, "trip.toml")
    rng = random.Random(0)
    facts = {name: draw(spec, rng) for name, spec in kind.facts.items()}
    fixed = {"start": ("Rome",), "goal": ("Bath",), "price": ("$120", "120 dollars")}
    from core.demo.values import Fact

    for name, forms in fixed.items():
        facts[name] = Fact(facts[name].type, forms, forms, forms)
    facts["answer"] = Fact("choice", 0, ("said yes",), ("was accepted",))
    return Post(kind, text, facts, frozenset(facts))


def judged(post, text):
    """The wrong slots by the first template that the text fits, if every slot of it is judged."""
    for reading in readings(post, text, post.kind.summaries):
        if None not in reading.states:
            return [(start, end) for _, start, end in reading.wrong]
    return None


@pytest.mark.parametrize(
    ("text", "wrong_words"),
    [
        ("Going to Bath cost $210.", ["$210"]),
        ("OP went from Bath to Bath.", ["Bath"]),
        ("The offer to go to Oslo was refused.", ["Oslo", "was refused"]),
        ("Going to Bath cost $120.", []),
    ],
)
def test_what_certainly_is_wrong_is_found(text, wrong_words):
    assert [text[a:b] for a, b in judged(trip(), text)] == wrong_words


@pytest.mark.parametrize(
    "text",
    [
        "Going to the old town cost $120.",  # not certainly wrong
        "Going to Bath cost a fortune.",
        "The poster enjoyed the sea.",  # no template
        "In short, going to Rome cost 120 dollars.",
        "The offer to go to Bath was met with joy.",
    ],
)
def test_what_cannot_be_judged_is_left_alone(text):
    assert judged(trip(), text) is None


def test_the_checker_agrees_with_the_generator():
    rng = random.Random(5)
    found_wrong = 0
    for _ in range(150):
        kind = rng.choice(kinds_for(held_out=False))
        post = write_post(kind, rng)
        summary = write_summary(post, rng.choice(kind.summaries), rng)
        assert not judged(post, summary.text)
        pair = corrupt(post, summary, rng)
        slots = judged(post, pair.rejected)
        if slots:
            found_wrong += 1
            assert len(slots) == len(pair.spans)
            for (start, end), (begin, stop) in zip(slots, pair.spans, strict=True):
                assert start <= begin < stop <= end
    assert found_wrong > 75


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = ", "cannot be read"),
        ('name = "x"', "'facts'"),
        (TRIP.replace("{price} from", "{cost} from"), "cost"),
        (TRIP.replace('"{goal}! {price}', '"{goal}!'), "does not say"),
    ],
)
def test_a_faulty_kind_is_said_in_a_sentence(text, sentence):
    from core.errors import UserFacingError

    with pytest.raises(UserFacingError, match=sentence):
        parse_kind(text, "trip.toml")


def test_the_same_seed_gives_the_same_pairs_whatever_python_hashes():
    """Two processes with other hash seeds: sets have other orders there."""
    program = (
        "import hashlib, itertools; from core.demo.posts import write_pairs;"
        "pairs = list(itertools.islice(write_pairs(5), 60));"
        "print(hashlib.sha256(repr(pairs).encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1 and len(found.pop().strip()) == 64
