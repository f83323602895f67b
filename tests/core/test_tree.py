"""The token tree against a plain dict of token sequences."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from core.tree import EDGE_COLUMNS, ROOT, SHARED_COLUMNS, STATE_COLUMNS, TokenTree

TOKENS = st.lists(st.integers(0, 3), max_size=6)


class TreeMachine(RuleBasedStateMachine):
    """Whatever is walked, a node stands for exactly one token sequence, for ever."""

    nodes = Bundle("nodes")

    @initialize(target=nodes)
    def start(self):
        self.tree = TokenTree(capacity=2)
        self.sequence = {ROOT: ()}
        self.layer, self.written = "", {}
        return ROOT

    @rule(target=nodes, node=nodes, tokens=TOKENS)
    def extend(self, node, tokens):
        path = self.tree.extend(node, tokens)
        assert len(path) == len(tokens)
        for i, reached in enumerate(map(int, path)):
            walked = (*self.sequence[node], *tokens[: i + 1])
            assert self.sequence.setdefault(reached, walked) == walked
        return int(path[-1]) if len(path) else node

    @rule(node=nodes, value=st.floats(-5, 0), name=st.sampled_from(EDGE_COLUMNS + STATE_COLUMNS))
    def write(self, node, value, name):
        self.tree.write(name, np.array([node]), np.array([value]))
        place = "" if name in SHARED_COLUMNS else self.layer
        if name in SHARED_COLUMNS:
            self.written.setdefault((place, name, node), value)  # it stays as it was first known
        else:
            self.written[place, name, node] = value
        self.tree.extend(node, [3, 2, 1])  # growing the arrays must not lose what was written
        for reached in map(int, self.tree.extend(node, [3, 2, 1])):
            self.sequence[reached] = tuple(self.tree.token[self.tree.path(reached)])

    @rule(layer=st.sampled_from(["", "10", "20", "30"]))
    def show(self, layer):
        self.tree.show(layer)
        self.layer = layer

    @invariant()
    def each_layer_has_its_numbers(self):
        if not hasattr(self, "tree"):
            return
        observed = np.ones(len(self.tree), dtype=bool)
        for name in EDGE_COLUMNS + STATE_COLUMNS:
            place = "" if name in SHARED_COLUMNS else self.layer
            expected = [self.written.get((place, name, i), np.nan) for i in range(len(self.tree))]
            assert np.array_equal(self.tree.column(name), expected, equal_nan=True)
            if name in EDGE_COLUMNS:
                observed &= ~np.isnan(expected)
        assert (self.tree.is_observed(np.arange(len(self.tree))) == observed).all()

    @rule(node=nodes, token=st.integers(0, 3))
    def child(self, node, token):
        expected = {seq: n for n, seq in self.sequence.items()}.get((*self.sequence[node], token))
        assert self.tree.child(node, token) == expected

    @invariant()
    def nodes_are_sequences(self):
        if not hasattr(self, "tree"):
            return
        assert len(self.tree) == len(self.sequence) == len(set(self.sequence.values()))
        for node, sequence in self.sequence.items():
            path = self.tree.path(node)
            assert tuple(self.tree.token[path]) == sequence
            assert self.tree.depth[node] == len(sequence)


TreeMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestTree = TreeMachine.TestCase


def test_new_numbers_are_unknown():
    tree = TokenTree()
    node = tree.extend(ROOT, [5])[0]
    assert all(np.isnan(tree.column(name)[node]) for name in EDGE_COLUMNS + STATE_COLUMNS)


def test_where_the_policy_is_the_reference_they_have_one_set_of_numbers():
    tree = TokenTree(capacity=2)
    nodes = tree.extend(ROOT, [5, 6])
    tree.write("logp_reference", nodes[:1], np.array([-1.0]))
    tree.show("start", same=True)
    tree.write("logp_policy", nodes, np.array([-1.5, -2.0]))
    tree.write("kl", nodes, np.array([0.1, 0.2]))
    tree.write("logit", nodes, np.array([3.0, 4.0]))
    assert tree.column("logp_policy")[nodes].tolist() == [-1.0, -2.0]
    assert tree.column("logp_reference")[nodes].tolist() == [-1.0, -2.0]
    assert tree.column("kl").tolist() == tree.column("kl_reverse").tolist() == [0.0, 0.0, 0.0]
    tree.show("10")
    assert np.isnan(tree.column("logp_policy")).all() and np.isnan(tree.column("logit")).all()
    assert tree.column("logp_reference")[nodes].tolist() == [-1.0, -2.0]
