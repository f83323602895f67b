"""The tree's picture as numbers: nothing overlaps, runs fold in order, growing equals anew."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.layout import FOLD, GAP, LONGEST_RUN, PAD, Layout, sum_to_top

ARRAYS = "x", "width", "row", "shown", "head", "run", "above", "last", "box", "inside"


@st.composite
def trees(draw, most=40):
    n = draw(st.integers(1, most))
    parent = np.full(n, -1)
    for i in range(1, n):
        # Half of all are children of the entry before them: long runs come about.
        parent[i] = draw(st.one_of(st.just(i - 1), st.integers(0, i - 1)))
    order = np.array(
        draw(st.lists(st.sampled_from([0.0, -1.0, -2.5, np.nan]), min_size=n, max_size=n))
    )
    letters = np.array(draw(st.lists(st.integers(0, 90), min_size=n, max_size=n)), dtype=float)
    kind = np.array(draw(st.lists(st.sampled_from([0, 0, 0, 1]), min_size=n, max_size=n)))
    some = st.sets(st.integers(0, n - 1), max_size=3)
    return parent, order, letters, kind, draw(some), draw(some)


def chain(n):
    return np.arange(-1, n - 1), np.zeros(n), np.full(n, 20.0), np.zeros(n, dtype=np.int64)


def boxes(placed):
    heads = np.flatnonzero(placed.shown & (placed.head == np.arange(len(placed.x))))
    return {int(h): (float(placed.x[h]), float(placed.box[h]), int(placed.row[h])) for h in heads}


@given(trees())
@settings(max_examples=50)
def test_boxes_never_overlap_and_children_stand_to_the_right(tree):
    placed = Layout().place(*tree)
    found = boxes(placed)
    for head, (left, width, row) in found.items():
        assert row >= 0 and left + width <= placed.right + 1e-6 and row < placed.rows
        for other, (left2, width2, row2) in found.items():
            if other > head and row == row2:
                assert left + width <= left2 + 1e-6 or left2 + width2 <= left + 1e-6
        if head:
            above = int(placed.above[head])
            assert left >= sum(found[above][:2]) + GAP - 1e-6
            assert row >= found[above][2]


@given(trees())
@settings(max_examples=50)
def test_no_box_lies_in_the_way_of_a_branch(tree):
    """The line down from a box to its lowest child crosses nothing."""
    placed = Layout().place(*tree)
    found = boxes(placed)
    for head, (left, _, row) in found.items():
        if not head:
            continue
        start = found[int(placed.above[head])]
        trunk = left - GAP / 2
        for left2, width2, row2 in found.values():
            if start[2] < row2 <= row:
                assert not left2 < trunk < left2 + width2


@given(trees())
@settings(max_examples=50)
def test_the_first_child_goes_straight_on(tree):
    order = tree[1]
    placed = Layout().place(*tree)
    found = boxes(placed)
    for head in found:
        kids = [h for h in found if h and placed.above[h] == head]
        if kids:
            ranks = {h: (-order[h] if order[h] == order[h] else np.inf, h) for h in kids}
            rows = [found[h][2] for h in sorted(kids, key=ranks.get)]
            assert rows[0] == found[head][2]
            assert rows == sorted(set(rows))


@given(trees())
@settings(max_examples=50)
def test_folding_keeps_the_order_of_tokens(tree):
    parent, _, _, kind, _, unfolded = tree
    placed = Layout().place(*tree)
    for head in set(placed.head[placed.shown].tolist()):
        members = np.flatnonzero((placed.head == head) & placed.shown)
        assert placed.run[head] == len(members)
        assert len(members) == 1 or (len(members) >= FOLD and head not in unfolded)
        for before, after in pairwise(members.tolist()):
            assert parent[after] == before and kind[after] == kind[before]
            gap = placed.x[after] - placed.x[before] - placed.width[before]
            assert abs(gap) < 1e-6


@given(trees())
@settings(max_examples=50)
def test_exactly_what_is_below_a_collapsed_entry_is_hidden(tree):
    parent, collapsed = tree[0], tree[4]
    placed = Layout().place(*tree)
    for entry in range(len(parent)):
        way, at = [], entry
        while at > 0:
            at = int(parent[at])
            way.append(at)
        assert placed.shown[entry] == (not collapsed & set(way))
    assert placed.inside.sum() == (~placed.shown).sum()
    assert {i for i in range(len(parent)) if placed.inside[i]} <= collapsed


@given(trees(60), st.data())
@settings(max_examples=50)
def test_grown_bit_by_bit_is_the_same_as_anew(tree, data):
    """With children that arrive late, statuses that change and boxes that open and close."""
    parent, order, letters, kind, collapsed, unfolded = tree
    layout = Layout()
    size = 1
    while size <= len(parent):
        now = np.array(
            data.draw(st.lists(st.sampled_from([0, 0, 1]), min_size=size, max_size=size))
        )
        layout.place(parent[:size], order[:size], letters[:size], now, collapsed, ())
        size += data.draw(st.integers(1, 15))
    placed = layout.place(parent, order, letters, kind, (), unfolded)
    fresh = Layout().place(parent, order, letters, kind, (), unfolded)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(placed, name), getattr(fresh, name), name)
    assert (placed.right, placed.rows) == (fresh.right, fresh.rows)


def test_a_branch_uses_the_free_room_below_earlier_ones():
    #  0 - 1 - 2 - 3, with 4 beside 1 and 5 beside 3: both fit into the second row.
    parent = np.array([-1, 0, 1, 2, 0, 2])
    order = np.array([0.0, 0, 0, 0, -1, -1])
    placed = Layout().place(parent, order, np.full(6, 20.0), np.zeros(6, dtype=np.int64))
    assert placed.row.tolist() == [0, 0, 0, 0, 1, 1]
    assert placed.rows == 2


def test_a_long_run_is_no_longer_than_it_may_be():
    placed = Layout().place(*chain(40))
    assert placed.run[1] == 39 and placed.head[39] == 1
    assert abs(placed.box[1] - LONGEST_RUN - 2 * PAD) < 1e-9 and placed.last[1] == 39
    apart = Layout().place(*chain(40), (), {1})
    assert apart.run.max() == 1 and apart.right > 39 * 20


def test_sums_along_chains_are_those_of_a_plain_walk():
    rng = np.random.default_rng(3)
    up = np.array([0, *(rng.integers(0, i) for i in range(1, 300))])
    values = rng.normal(size=300)
    values[0] = 0.0
    for entry in range(300):
        total, at = 0.0, entry
        while at:
            total += values[at]
            at = int(up[at])
        assert abs(sum_to_top(values, up)[entry] - total) < 1e-9
