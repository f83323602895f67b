"""The token tree against plain dicts of token sequences and numbers."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from core.tree import BASE_COLUMN, EDGE_COLUMNS, ROOT, SHARED_COLUMNS, STATE_COLUMNS, TokenTree

TOKENS = st.lists(st.integers(0, 3), max_size=6)
COLUMNS = (*EDGE_COLUMNS, *STATE_COLUMNS, BASE_COLUMN)


def nodes_of(*numbers):
    return np.array(numbers, dtype=np.int64)


class TreeMachine(RuleBasedStateMachine):
    """Whatever is walked, written, shown and evicted, a node stands for one token sequence and has
    the numbers that were written of it; one that was evicted has none and says so."""

    nodes = Bundle("nodes")

    @initialize(target=nodes)
    def start(self):
        self.tree = TokenTree(capacity=2)
        self.sequence = {ROOT: ()}
        self.made, self.gone = {ROOT}, set()
        self.layer, self.written = "", {}
        return ROOT

    def walked(self, node, tokens, path):
        """Take in what ``extend`` or ``grow`` returned."""
        for i, reached in enumerate(path.tolist()):
            sequence = (*self.sequence[node], *tokens[: i + 1])
            if reached not in self.sequence:
                assert reached > max(self.made)  # a new number, and higher than its parent's
                assert sequence not in self.sequence.values()
                self.made.add(reached)
            assert self.sequence.setdefault(reached, sequence) == sequence

    @rule(target=nodes, node=nodes, tokens=TOKENS)
    def extend(self, node, tokens):
        if node in self.gone:
            with pytest.raises(KeyError):
                self.tree.extend(node, tokens)
            return node
        path = self.tree.extend(node, tokens)
        assert len(path) == len(tokens)
        self.walked(node, tokens, path)
        return int(path[-1]) if len(path) else node

    @rule(node=nodes, more=nodes, tokens=st.lists(st.integers(0, 3), max_size=8))
    def grow(self, node, more, tokens):
        starts = [(node, more)[i % 2] for i in range(len(tokens))]
        if self.gone.intersection(starts):
            with pytest.raises(KeyError):
                self.tree.grow(nodes_of(*starts), nodes_of(*tokens))
            return
        reached = self.tree.grow(nodes_of(*starts), nodes_of(*tokens))
        for start, token, node in zip(starts, tokens, reached, strict=True):
            self.walked(start, [token], nodes_of(node))

    @rule(node=nodes, value=st.floats(-5, 0), name=st.sampled_from(COLUMNS))
    def write(self, node, value, name):
        if node in self.gone:
            with pytest.raises(KeyError):
                self.tree.write(name, nodes_of(node), np.array([value]))
            return
        self.tree.write(name, nodes_of(node), np.array([value]))
        place = "" if name in SHARED_COLUMNS else self.layer
        if name in SHARED_COLUMNS:
            self.written.setdefault((place, name, node), value)  # it stays as it was first known
        else:
            self.written[place, name, node] = value

    @rule(layer=st.sampled_from(["", "10", "20", "30"]))
    def show(self, layer):
        self.tree.show(layer)
        self.layer = layer

    @rule(keep=st.lists(nodes, max_size=3), room=st.floats(0, 1))
    def evict(self, keep, room):
        keep = [node for node in keep if node not in self.gone]
        self.tree.budget = room * self.tree.bytes()
        self.tree.evict(nodes_of(*keep))
        left = set(self.tree.nodes.tolist())
        assert left <= self.sequence.keys() and {ROOT, *keep} <= left
        sequences = {self.sequence[node] for node in left}
        assert all(sequence[:-1] in sequences for sequence in sequences)
        self.gone |= self.sequence.keys() - left
        self.sequence = {node: self.sequence[node] for node in left}
        self.written = {key: value for key, value in self.written.items() if key[2] in left}

    @invariant()
    def each_layer_has_its_numbers(self):
        nodes = self.tree.nodes
        observed = np.ones(len(nodes), dtype=bool)
        for name in COLUMNS:
            place = "" if name in SHARED_COLUMNS else self.layer
            expected = [self.written.get((place, name, node), np.nan) for node in nodes.tolist()]
            assert np.array_equal(self.tree.column(name)[nodes], expected, equal_nan=True)
            if name in EDGE_COLUMNS:
                observed &= ~np.isnan(expected)
        assert (self.tree.is_observed(nodes) == observed).all()

    @invariant()
    def nodes_are_sequences(self):
        tree = self.tree
        assert tree.nodes.tolist() == sorted(self.sequence) and len(tree) == len(self.sequence)
        assert len(set(self.sequence.values())) == len(self.sequence)
        for node, sequence in self.sequence.items():
            path = tree.path(node)
            assert tuple(tree.token[path]) == sequence
            assert tree.depth[node] == len(sequence)
            assert tree.parent[node] == (path[-2] if len(path) > 1 else ROOT if sequence else -1)

    @invariant()
    def what_is_gone_is_gone(self):
        made = nodes_of(*sorted(self.made | {max(self.made) + 1}))
        assert made[self.tree.has(made)].tolist() == sorted(self.sequence)
        for node in self.gone:
            assert not self.tree.has(node)
            with pytest.raises(KeyError):
                self.tree.depth[node]
            with pytest.raises(KeyError):
                self.tree.path(node)


TreeMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20)
TestTree = TreeMachine.TestCase


def test_new_numbers_are_unknown():
    tree = TokenTree()
    node = tree.extend(ROOT, [5])[0]
    assert all(np.isnan(tree.column(name)[node]) for name in EDGE_COLUMNS + STATE_COLUMNS)


def test_where_the_policy_is_the_reference_they_have_one_set_of_numbers():
    tree = TokenTree(capacity=2)
    nodes = tree.extend(ROOT, [5, 6])
    every = nodes_of(ROOT, *nodes)
    tree.write("logp_reference", nodes[:1], np.array([-1.0]))
    tree.show("start", same=True)
    tree.write("logp_policy", nodes, np.array([-1.5, -2.0]))
    tree.write("kl", nodes, np.array([0.1, 0.2]))
    tree.write("logit", nodes, np.array([3.0, 4.0]))
    assert tree.column("logp_policy")[nodes].tolist() == [-1.0, -2.0]
    assert tree.column("logp_reference")[nodes].tolist() == [-1.0, -2.0]
    assert (
        tree.column("kl")[every].tolist() == tree.column("kl_reverse")[every].tolist() == [0.0] * 3
    )
    tree.show("10")
    assert np.isnan(tree.column("logp_policy")[every]).all()
    assert np.isnan(tree.column("logit")[every]).all()
    assert tree.column("logp_reference")[nodes].tolist() == [-1.0, -2.0]


def test_what_was_walked_last_stays_as_far_as_the_budget_has_room():
    tree = TokenTree(capacity=2, budget=200_000)
    first = tree.extend(ROOT, range(500))
    tree.write("kl", first, np.arange(500.0))
    kept = tree.extend(ROOT, [1000, *range(500)])
    paths = [first]
    while not tree.is_full:
        paths.append(tree.extend(ROOT, [2000 + len(paths), *range(99)]))
    tree.extend(ROOT, range(500))  # used again
    tree.evict(kept)
    assert 0.5 * tree.budget < tree.bytes() < tree.budget
    assert tree.has(kept).all() and tree.has(first).all()
    there = [bool(tree.has(path).all()) for path in paths[1:]]
    assert not there[0] and there[-1] and there == sorted(there)
    assert tree.column("kl")[first].tolist() == list(range(500))
    again = tree.extend(ROOT, [2001, *range(99)])
    assert (again > paths[-1].max()).all() and np.isnan(tree.column("kl")[again]).all()


def test_what_must_stay_may_pass_the_budget_and_is_not_looked_at_again_for_each_node():
    tree = TokenTree(capacity=2, budget=50_000)
    while not tree.is_full:
        tree.extend(int(tree.nodes[-1]), range(100))
    tree.evict(tree.nodes)
    size = len(tree)
    assert tree.bytes() > tree.budget and not tree.is_full
    tree.extend(ROOT, [7] * 10)
    assert len(tree) == size + 10 and not tree.is_full
    while not tree.is_full:
        tree.extend(int(tree.nodes[-1]), range(100))
    assert len(tree) > 1.15 * size


def test_another_root_has_paths_of_its_own_and_is_never_evicted():
    tree = TokenTree(budget=20_000)
    other = tree.root("long")
    assert other == tree.root("long") != tree.root() == ROOT
    ours, theirs = (tree.extend(root, [5, 6, 7]) for root in (ROOT, other))
    assert not set(ours.tolist()) & set(theirs.tolist())
    assert tree.path(int(theirs[-1])).tolist() == theirs.tolist()
    assert tree.path(other).tolist() == [] and tree.depth[other] == 0 and tree.parent[other] == -1
    branch = tree.extend(int(theirs[0]), [9, 10])
    assert tree.path(int(branch[-1])).tolist() == [int(theirs[0]), *branch.tolist()]
    for first in range(100, 160):
        tree.extend(ROOT, [first, *range(50)])
    tree.evict(branch)
    assert tree.has(np.array([other, *theirs[:1], *branch])).all()
    assert tree.path(int(branch[-1])).tolist() == [int(theirs[0]), *branch.tolist()]
    assert tree.extend(other, [5, 9, 10]).tolist() == [int(theirs[0]), *branch.tolist()]
