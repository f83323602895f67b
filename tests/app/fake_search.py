"""Scripted searches: growths that follow from words alone, and a large random tree.

The words that may follow a state, and their log-probs, depend on the word before. Everything that
is not a given path is grown as a beam as wide as the strategy's first number.
"""

import zlib
from dataclasses import astuple

import numpy as np

from core.scoring import Alternative, Inspection
from core.search.grown import GrownTree, Growth, Reason, Status, Step
from core.search.strategies.given import Given

CLOSING = 0
START = 7
VOCABULARY = (
    " forty", " seventy", " a", " management", " They", " were", " offered", " job", " for",
    " $53K", " $250K", " year", " salary", " position", " in", " Leeds", " with", " the",
)  # fmt: skip


def logp(before, id, salt):
    return -0.05 - (zlib.crc32(f"{before} {id} {salt}".encode()) % 4000) / 1000


def state_value(before):
    return 10 + zlib.crc32(f"{before} V".encode()) % 3000 / 1000


class Words:
    """Token ids of words, as the scripted engine gives them."""

    def __init__(self, word_id, words):
        self.word_id, self.words = word_id, words

    def label(self, id):
        return "<end>" if id == CLOSING else self.words[id].replace(" ", "·")

    def piece(self, id):
        return b"<end>" if id == CLOSING else self.words[id].encode()

    def following(self, before, count):
        """Ids that may follow, the likeliest first."""
        ids = [self.word_id(word) for word in VOCABULARY]
        return sorted(ids, key=lambda id: -logp(before, id, "pi"))[:count]


def child_of(node, id):
    return zlib.crc32(f"{node} {id}".encode())


class Grower:
    """One search as a list of growths."""

    def __init__(self, words, prefix, spec, pruned=()):
        self.words, self.spec, self.pruned = words, spec, set(pruned)
        node = START
        self.parents, self.tokens, self.befores = {START: -1}, {START: -1}, {START: -1}
        for id in prefix:
            node = self._child(node, id)
        self.start = node
        self.growths = [self._growth([(node, Status.KEPT, Reason.NONE)], [])]
        self._given() if isinstance(spec.strategy, Given) else self._beam()

    def _child(self, node, id):
        child = child_of(node, id)
        self.parents[child], self.tokens[child], self.befores[child] = node, id, id
        return child

    def _given(self):
        node, strategy = self.start, self.spec.strategy
        for id in strategy.tokens:
            node = self._child(node, id)
            self.growths.append(self._growth([(node, Status.KEPT, Reason.GIVEN)], [node]))
        if strategy.closed:
            node = self._child(node, CLOSING)
            self.growths.append(self._growth([(node, Status.FINISHED, Reason.CLOSED)], [node]))

    def _score(self, before, id):
        objective = self.spec.objective
        policy, reference = logp(before, id, "pi"), logp(before, id, "ref")
        return objective.policy * policy + objective.reference * reference

    def _beam(self):
        numbers = [n for n in astuple(self.spec.strategy) if isinstance(n, int)]
        width = min(numbers[0], 20)
        beams, finished = [(0.0, self.start)], []
        for depth in range(self.spec.max_tokens):
            last = depth == self.spec.max_tokens - 1
            found = []
            for score, node in beams:
                before = self.befores[node]
                for id in [*self.words.following(before, width + 1), *([CLOSING] * (depth > 3))]:
                    found.append((score + self._score(before, id), self._child(node, id), id))
            found.sort(key=lambda entry: -entry[0])
            rows, beams = [], []
            for rank, (score, node, id) in enumerate(found[: 2 * width + 2]):
                kept = len(beams) < width
                if node in self.pruned:
                    rows.append((node, Status.PRUNED, Reason.BY_HAND))
                elif id == CLOSING and rank < width:
                    finished.append((score, node))
                    rows.append((node, Status.FINISHED, Reason.CLOSED))
                elif id == CLOSING:
                    rows.append((node, Status.PRUNED, Reason.ENDED_OUTSCORED))
                elif kept and last:
                    finished.append((score, node))
                    rows.append((node, Status.FINISHED, Reason.LENGTH))
                elif kept:
                    beams.append((score, node))
                    rows.append((node, Status.KEPT, Reason.NONE))
                else:
                    rows.append((node, Status.PRUNED, Reason.OUTSCORED))
            best = sorted([*finished, *beams], key=lambda entry: -entry[0])[:width]
            self.growths.append(self._growth(rows, [node for _, node in best]))

    def _growth(self, rows, best):
        nodes = [node for node, _, _ in rows]
        number = len(getattr(self, "growths", []))
        befores = [self.befores[self.parents[n]] if n != START else -1 for n in nodes]
        ids = [self.tokens[n] for n in nodes]
        known = [n != START for n in nodes]

        def edge(salt):
            return np.array(
                [
                    logp(b, i, salt) if k else np.nan
                    for b, i, k in zip(befores, ids, known, strict=True)
                ]
            )

        policy = edge("pi")
        step = Step(
            number,
            np.array(nodes, dtype=np.int64),
            np.array([status for _, status, _ in rows], dtype=np.int8),
            np.array([reason for _, _, reason in rows], dtype=np.int8),
            np.ones(len(rows), dtype=np.int64),
            np.array(best, dtype=np.int64),
            number / max(1, self.spec.max_tokens),
        )
        return Growth(
            step,
            np.array([self.parents[n] for n in nodes], dtype=np.int64),
            np.array(ids, dtype=np.int64),
            tuple(self.words.label(i) if k else "" for i, k in zip(ids, known, strict=True)),
            tuple(self.words.piece(i) if k else b"" for i, k in zip(ids, known, strict=True)),
            policy,
            edge("ref"),
            np.full(len(rows), np.nan),
            policy + np.array([state_value(b) for b in befores]),
            np.array([state_value(self.befores[n]) for n in nodes]),
            np.full(len(rows), 0.25),
        )


def inspection_of(words, node, before, query):
    """What may follow at a node."""

    def alternative(rank, id):
        return Alternative(
            id, words.label(id), words.piece(id).decode(), logp(before, id, "pi"),
            logp(before, id, "ref"), rank + 1, rank + 2,
        )  # fmt: skip

    found = tuple(alternative(*pair) for pair in enumerate(words.following(before, 8)))
    matching = tuple(a for a in found if query and query in a.text)
    return Inspection(node, found, found[::-1], matching)


def random_growths(nodes=10_000, each=25, seed=0):
    """A wide tree as a best-first search might leave it: half pruned, with long runs."""
    draw = np.random.default_rng(seed)
    parent = np.full(nodes, -1)
    open_ends = [0]
    for i in range(1, nodes):
        # Often the newest end goes on, so that runs come about; else any of the last ones.
        pick = (
            -1
            if draw.random() < 0.55
            else int(draw.integers(max(0, len(open_ends) - 400), len(open_ends)))
        )
        parent[i] = open_ends[pick]
        open_ends.append(i)
    policy = -draw.exponential(1.2, nodes)
    reference = policy + draw.normal(0, 1.5, nodes)
    pruned = draw.random(nodes) < 0.4
    text = [VOCABULARY[int(k)] for k in draw.integers(0, len(VOCABULARY), nodes)]
    total = np.zeros(nodes)
    for i in range(1, nodes):
        total[i] = total[parent[i]] + policy[i]
    found = []
    for first in range(0, nodes, each):
        rows = np.arange(first, min(first + each, nodes))
        best = rows[np.argsort(-total[rows])][:3]
        status = np.where(pruned[rows], Status.PRUNED, Status.KEPT).astype(np.int8)
        reason = np.where(pruned[rows], Reason.OUTSCORED, Reason.NONE).astype(np.int8)
        step = Step(
            len(found), rows + 1, status, reason, np.ones_like(rows), best + 1, first / nodes
        )
        edge = np.where(rows == 0, np.nan, policy[rows])
        found.append(
            Growth(
                step,
                parent[rows] + 1,
                rows % 977,
                tuple(text[i].replace(" ", "·") for i in rows),
                tuple(text[i].encode() for i in rows),
                edge,
                np.where(rows == 0, np.nan, reference[rows]),
                np.full(len(rows), np.nan),
                edge + 12,
                np.full(len(rows), 12.0),
                np.full(len(rows), 0.3),
            )
        )
    return found


def random_tree(nodes=10_000, seed=0):
    tree = GrownTree()
    for growth in random_growths(nodes, seed=seed):
        tree.add(growth)
    return tree
