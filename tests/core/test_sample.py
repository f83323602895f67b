"""The reference's own errors: a fact left open, and what may be written there."""

import random

import pytest

from core.demo.fact_checker import judge
from core.demo.sample import Gap, gaps

pytest.importorskip("faker")


def some_gaps(count=150):
    return list(gaps(random.Random(3), count, 3))


def test_a_gap_is_a_faithful_summary_cut_before_a_fact():
    found = some_gaps()
    assert len(found) > 150
    for gap in found:
        assert judge(gap.post, gap.slot, gap.right) is True
        assert gap.after.startswith(gap.anchor) and gap.anchor
        assert gap.post.facts[gap.slot].in_summary


def test_a_wrong_value_makes_a_pair_with_the_fact_put_right():
    made = 0
    for gap in some_gaps():
        fact = gap.post.facts[gap.slot]
        for value in (f" {other}" for other in ("Zanzibar", "4,711", "19 weeks")):
            pair = gap.pair(f"{value}{gap.after}")
            if pair is None:
                continue
            made += 1
            assert pair.chosen == gap.before + gap.right + gap.after
            assert pair.rejected == gap.before + value.strip() + gap.after
            assert pair.errors == (fact.type,) and pair.source == "reference"
            (start, stop) = pair.spans[0]
            assert pair.rejected[start:stop] in value
    assert made > 50


def test_a_right_value_and_one_that_runs_on_make_none():
    for gap in some_gaps(40):
        assert gap.pair(f" {gap.right}{gap.after}") is None
        assert gap.pair(" Zanzibar and no end to it") is None or gap.anchor in " and no end to it"
        assert isinstance(gap, Gap)
