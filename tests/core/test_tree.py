"""The token tree against a plain dict of token sequences."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from core.tree import EDGE_COLUMNS, ROOT, STATE_COLUMNS, TokenTree

TOKENS = st.lists(st.integers(0, 3), max_size=6)


class TreeMachine(RuleBasedStateMachine):
    """Whatever is walked, a node stands for exactly one token sequence, for ever."""

    nodes = Bundle("nodes")

    @initialize(target=nodes)
    def start(self):
        self.tree = TokenTree(capacity=2)
        self.sequence = {ROOT: ()}
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
        self.tree.column(name)[node] = value
        self.tree.extend(node, [3, 2, 1])  # growing the arrays must not lose what was written
        for reached in map(int, self.tree.extend(node, [3, 2, 1])):
            self.sequence[reached] = tuple(self.tree.token[self.tree.path(reached)])
        assert self.tree.column(name)[node] == value

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
