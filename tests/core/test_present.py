"""What the credit view adds up, against numbers written out by hand."""

import json

import numpy as np
import pytest

from app.credit.examples import FIG_1, read_examples
from core.present.measures import deltas
from core.present.numerals import percent, signed, with_minuses
from core.present.pair import pair_numbers, split, split_shown
from core.present.units import groups, roll_up, strongest
from core.text import align
from tests.app.fake_engine import scoring_of, tokens_of
from tests.app.fake_engine import split as words


def scoring(text):
    return scoring_of(tokens_of(words(text)))


def test_groups_and_sums():
    group = np.array([0, 0, 1, 1, 2])
    values = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    assert roll_up(values, group).tolist() == [3.0, 3.0, 3.0, 3.0, 5.0]
    running = np.array([1.0, 3.0, 6.0, 10.0, 15.0])
    assert roll_up(running, group, running=True).tolist() == [3, 3, 10, 10, 15]
    only = roll_up(np.array([np.nan, 1.0]), np.array([0, 1]))
    assert np.isnan(only[0]) and only[1] == 1.0


def test_a_group_shows_its_value_furthest_from_0():
    group = np.array([0, 0, 0, 1, 2, 2, 3])
    values = np.array([0.1, -0.4, 0.3, 2.0, 0.5, -0.5, np.nan])
    shown = strongest(values, group)
    assert shown[:6].tolist() == [-0.4, -0.4, -0.4, 2.0, 0.5, 0.5]  # of equals the first
    assert np.isnan(shown[6])
    half = strongest(np.array([np.nan, -0.2, np.nan]), np.array([0, 0, 1]))
    assert half[:2].tolist() == [-0.2, -0.2] and np.isnan(half[2])
    assert not len(strongest(np.zeros(0), np.zeros(0, np.int64)))


def test_the_closing_token_is_a_group_of_its_own():
    for unit in ("token", "word", "sentence", "line"):
        group = groups(tokens_of([" a", " b.", " c"]), unit, 4)
        assert len(group) == 4 and (group[:-1] < group[-1]).all()
    assert groups(tokens_of([]), "word", 1).tolist() == [0]


def test_split_by_hand():
    a, b = scoring("one two three four"), scoring("one TWO three four")
    pairs = align(a.tokens, b.tokens)
    beta = 0.3
    ra = beta * (a.logp_policy - a.logp_reference)
    rb = beta * (b.logp_policy - b.logp_reference)
    parts = split(a, b, pairs, beta)
    assert parts.edited == pytest.approx(rb[1] - ra[1])
    assert parts.downstream == pytest.approx((rb[2:] - ra[2:]).sum())
    assert parts.total == parts.edited + parts.downstream
    shown = [float(t.replace("−", "-")) for t in split_shown(parts)]
    assert round(shown[1] + shown[2], 3) == shown[0]
    on_a, on_b = deltas({"A": a, "B": b}, pairs, beta).values()
    assert np.nansum(on_a) == pytest.approx(parts.downstream)
    assert np.isnan(on_a[1]) and np.isnan(on_b[1]) and on_a[0] == 0


def test_differences_do_not_depend_on_which_side_was_scored_first():
    a, b = scoring("one two"), scoring("one two three four five")
    pairs = align(a.tokens, b.tokens)
    first, last = deltas({"A": a, "B": b}, pairs, 0.3), deltas({"B": b, "A": a}, pairs, 0.3)
    for side in "AB":
        np.testing.assert_array_equal(first[side], last[side])
    closing = 0.3 * ((b.logp_policy - b.logp_reference)[5] - (a.logp_policy - a.logp_reference)[2])
    assert first["A"][2] == pytest.approx(closing) and first["B"][5] == pytest.approx(closing)


def test_pair_numbers_by_hand():
    a, b = scoring("x y"), scoring("x z")
    found = pair_numbers(a, b, 0.1)
    assert found.margin == pytest.approx(found.sum_a - found.sum_b)
    assert found.preference == pytest.approx(1 / (1 + np.exp(-found.margin)))
    assert found.loss == pytest.approx(-np.log(found.preference))


def test_numbers_as_text():
    assert signed(-0.0001) == "0.000"
    assert signed(-1.5) == "−1.500" and signed(2.0, 1) == "+2.0"
    assert percent(0.0) == "100%" and percent(np.log(0.5)) == "50.0%"
    assert percent(-20.0).startswith("2e−")


def test_examples_are_read(tmp_path):
    path = tmp_path / "examples.json"
    path.write_text(json.dumps([{"title": "t", "prompt": "p", "a": "c", "b": "r"}]))
    (one,) = read_examples(path)
    assert (one.title, one.prompt.messages[0].content, one.a, one.b) == ("t", "p", "c", "r")
    path.write_text("[1, 2")
    assert read_examples(path) == (FIG_1,)
    assert read_examples(tmp_path / "none.json") == (FIG_1,)


def test_numbers_get_a_real_minus_and_words_keep_their_hyphens():
    text = "part-time -0.50, log-ratio at well-2-do: -3 of (-1), 1e-06"
    assert with_minuses(text) == (
        "part-time \u22120.50, log-ratio at well-2-do: \u22123 of (\u22121), 1e-06"
    )
