"""The chart's bars: one for each token or word, and what two responses share in one column."""

from dataclasses import replace

import numpy as np
import pytest

from core.present.columns import bars, side_by_side
from core.text import align
from tests.app.fake_engine import scoring_of, tokens_of


def scored(*pieces):
    return scoring_of(tokens_of(list(pieces)))


A = scored("They", " offer", "ed", " $", "53", "K", " by", " Friday")
B = scored("They", " kindly", " offer", "ed", " $", "250", "K", " by", " Friday")


def both(a, b, unit):
    found = [bars(np.arange(1.0, len(it) + 1), it, unit) for it in (a, b)]
    return side_by_side(*found, align(a.tokens, b.tokens), (len(a.tokens), len(b.tokens)))


def columns(one):
    return dict(zip(one.labels, one.places.tolist(), strict=True))


def test_words_are_sums_of_their_tokens():
    found = bars(np.arange(1.0, len(A) + 1), A, "word")
    assert found.values.sum() == pytest.approx(np.arange(1.0, len(A) + 1).sum())
    assert len(found.rows) == len(A) and found.rows[1] == found.rows[2]
    assert found.values[found.rows[1]] == 2 + 3
    assert found.labels[found.rows[1]] == "".join(A.labels[1:3])
    assert len(found.values) < len(A)
    assert len(bars(np.ones(len(A)), A, "token").values) == len(A)


@pytest.mark.parametrize("unit", ["token", "word"])
def test_what_is_the_same_lines_up_and_what_differs_stands_beside_it(unit):
    a, b = both(A, B, unit)
    here, there = columns(a), columns(b)
    for label in here.keys() & there.keys():
        if "K" not in label and "$" not in label:
            assert here[label] == there[label], label
    for one in (a, b):
        assert (np.diff(one.places) > 0).all()
        assert len(one.places) == len(one.values)
    money = next(p for label, p in here.items() if "53" in label)
    assert money == next(p for label, p in there.items() if "250" in label)
    assert a.places[-1] == b.places[-1]  # the closing tokens


def test_nothing_in_common_is_two_rows_from_the_same_start():
    a, b = both(scored("One", " two"), scored("Three", " four", " five"), "word")
    assert a.places[:2].tolist() == [0, 1] and b.places[:3].tolist() == [0, 1, 2]
    assert a.places[-1] == b.places[-1] == 3


def test_equal_responses_fill_the_same_columns():
    a, b = both(A, replace(A), "word")
    assert a.places.tolist() == b.places.tolist() == list(range(len(a.values)))
