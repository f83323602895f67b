"""What a search has grown: the record of each step, and the tree that gathers them.

The window draws this before torch is loaded. Log-probs are in nats. Knows nothing of models or
widgets.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.search.spec import Objective, SearchSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# --- what each step did -----------------------------------------------------------------------


class Status(IntEnum):
    """What has become of a node in a search."""

    OPEN = 0
    KEPT = 1
    PRUNED = 2
    FINISHED = 3


class Reason(IntEnum):
    """Why a node has its status; ``words`` says it."""

    NONE = 0
    OUTSCORED = 1
    BY_HAND = 2
    HOPELESS = 3
    LENGTH = 4
    CLOSED = 5
    NOT_DRAWN = 6
    GIVEN = 7
    ENDED_OUTSCORED = 8

    @property
    def words(self) -> str:
        """The reason as a reader is told; "" for none."""
        return _WORDS[self]


_WORDS = {
    Reason.NONE: "",
    Reason.OUTSCORED: "outscored: not among the best of its step",
    Reason.BY_HAND: "by hand",
    Reason.HOPELESS: "it can no longer overtake the finished hypotheses",
    Reason.LENGTH: "the length limit was reached",
    Reason.CLOSED: "the response was closed",
    Reason.NOT_DRAWN: "not drawn",
    Reason.GIVEN: "given",
    Reason.ENDED_OUTSCORED: "closed, but outscored at its step",
}


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One whole step of a search, as node numbers of the token tree.

    ``nodes`` [n] are the nodes whose ``status`` [n] or ``reason`` [n] was set, each once, parents
    before children; ``visits`` [n] counts the search's visits so far; ``best``: hypotheses so far,
    finished or not, the best first.
    """

    number: int
    nodes: Ints
    status: NDArray[np.int8]
    reason: NDArray[np.int8]
    visits: Ints
    best: Ints
    fraction: float
    """How far the search is, 0..1, of what it may at most take."""


@dataclass(frozen=True, eq=False, slots=True)
class Growth:
    """A step with what the models said of its nodes: what travels to views and files.

    ``parent`` [n]: node numbers; ``labels``, ``pieces``: the tokens as shown and as bytes. Of the
    edge into each node: ``logp_policy``, ``logp_reference``, ``logp_base``, ``logit`` (the
    policy's raw one); of the state that each node is: ``logsumexp`` (the policy's) and ``kl``
    (π‖π_ref), known once it is expanded. NaN where not computed.
    """

    step: Step
    parent: Ints
    token: Ints
    labels: tuple[str, ...]
    pieces: tuple[bytes, ...]
    logp_policy: Floats
    logp_reference: Floats
    logp_base: Floats
    logit: Floats
    logsumexp: Floats
    kl: Floats


# --- what has grown ---------------------------------------------------------------------------

_EDGE = ("logp_policy", "logp_reference", "logp_base", "logit")
_STATE = ("logsumexp", "kl")
_SUMS = ("sum_policy", "sum_reference", "sum_base")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A response that a search found, from its start. Sums are in nats, over ``length`` tokens.

    ``likelihood_side`` is Σ log π (Eq. 13, over β); ``reward_side`` is the reward less KL cost of
    Eq. 12, over β: the raw rewards of Eq. 7 in the raw-logit gauge, plus Σ log π_ref, less the
    start's V. They agree but for rounding; NaN where a state on the way was never expanded.
    """

    index: int
    node: int
    text: str
    ids: tuple[int, ...]
    sum_policy: float
    sum_reference: float
    score: float
    length: int
    finished: bool
    """Whether the search is through with it: it was closed, or reached the most tokens."""
    closed: bool
    """Whether the model ended it."""
    likelihood_side: float
    reward_side: float


class GrownTree:
    """The part of the token tree that searches have grown from one start, as arrays.

    Entry 0 is the start; every other entry comes after its parent. Numbers never change place.
    """

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.pieces: list[bytes] = []
        self.best: Ints = np.empty(0, dtype=np.int64)
        """Entries of the hypotheses of the last search, the best first."""
        self._entry: dict[int, int] = {}
        self._closed: set[int] = set()
        self._size = 0
        self._ints = np.zeros((8, 256), dtype=np.int64)
        self._floats = np.full((len(_EDGE + _STATE + _SUMS), 256), np.nan)

    def __len__(self) -> int:
        return self._size

    @property
    def node(self) -> Ints:
        """Node number in the token tree, [n]."""
        return self._ints[0, : self._size]

    @property
    def parent(self) -> Ints:
        """Entry of the parent, [n]; -1 for the start."""
        return self._ints[1, : self._size]

    @property
    def token(self) -> Ints:
        """Token id on the edge into each entry, [n]; -1 for the start."""
        return self._ints[2, : self._size]

    @property
    def depth(self) -> Ints:
        """Tokens from the start, [n]."""
        return self._ints[3, : self._size]

    @property
    def status(self) -> Ints:
        """A Status for each entry, [n]."""
        return self._ints[4, : self._size]

    @property
    def reason(self) -> Ints:
        """A Reason for each entry, [n]."""
        return self._ints[5, : self._size]

    @property
    def step(self) -> Ints:
        """The step that last set the status, [n]."""
        return self._ints[6, : self._size]

    @property
    def visits(self) -> Ints:
        """How often searches have come through, [n]."""
        return self._ints[7, : self._size]

    def column(self, name: str) -> Floats:
        """Return a column of floats, [n], NaN where not known.

        Of the edge into each entry: ``logp_policy``, ``logp_reference``, ``logp_base``, ``logit``.
        Of the state that it is: ``logsumexp``, ``kl``. Of the way from the start: ``sum_policy``,
        ``sum_reference``, ``sum_base``.
        """
        return self._floats[(_EDGE + _STATE + _SUMS).index(name), : self._size]

    def entry(self, node: int) -> int | None:
        """Return the entry of a node of the token tree."""
        return self._entry.get(node)

    def score(self, objective: Objective) -> Floats:
        """Return the objective summed from the start to each entry, [n]."""
        total = np.zeros(self._size)
        for weight, name in (
            (objective.policy, "sum_policy"),
            (objective.reference, "sum_reference"),
            (objective.base, "sum_base"),
        ):
            if weight:
                total = total + weight * self.column(name)
        return total

    def add(self, growth: Growth) -> Ints:
        """Take in what a step did; returns the entries that are new or changed.

        The first growth's first node is the start. A growth that could not be taken in whole may be
        given again.
        """
        step = growth.step
        changed = np.empty(len(step.nodes), dtype=np.int64)
        for i, node in enumerate(step.nodes.tolist()):
            entry = self._entry.get(node)
            if entry is None:
                entry = self._new(node, growth, i)
            changed[i] = entry
            self._ints[4:8, entry] = step.status[i], step.reason[i], step.number, step.visits[i]
            if step.reason[i] in (Reason.CLOSED, Reason.ENDED_OUTSCORED):
                self._closed.add(entry)
            for row, name in enumerate(_EDGE + _STATE):
                self._floats[row, entry] = getattr(growth, name)[i]
            self._sum(entry)
        known = (self._entry.get(node) for node in step.best.tolist())
        self.best = np.array([entry for entry in known if entry is not None], dtype=np.int64)
        return changed

    def is_closed(self, entry: int) -> bool:
        """Return whether the edge into an entry is the closing token."""
        return entry in self._closed

    def path(self, entry: int) -> Ints:
        """Return the entries from the start (left out) to ``entry``."""
        way = []
        while entry > 0:
            way.append(entry)
            entry = int(self.parent[entry])
        return np.array(way[::-1], dtype=np.int64)

    def ids(self, entry: int) -> tuple[int, ...]:
        """Return token ids from the start to ``entry``."""
        return tuple(self.token[self.path(entry)].tolist())

    def text(self, entry: int, closing: bool = False) -> str:
        """Return the text from the start to ``entry``, with the closing token's if ``closing``."""
        way = self.path(entry).tolist()
        if not closing and self.is_closed(entry):
            way.pop()
        return b"".join(self.pieces[i] for i in way).decode("utf-8", "replace")

    def hypotheses(self, spec: SearchSpec) -> list[Hypothesis]:
        """Return what the last search found, the best first."""
        scores = self.score(spec.objective)
        return [self._hypothesis(int(entry), spec, scores) for entry in self.best]

    def _hypothesis(self, entry: int, spec: SearchSpec, scores: Floats) -> Hypothesis:
        way = self.path(entry)
        length = len(way)
        v = self.column("logsumexp")
        reference = self.column("logp_reference")[way]
        # V of the last state is 0 after the closing token, and cancels before it.
        raw = self.column("logit")[way] - reference - np.append(v[way[:-1]], 0.0)[:length]
        return Hypothesis(
            index=entry,
            node=int(self.node[entry]),
            text=self.text(entry),
            ids=self.ids(entry),
            sum_policy=float(self.column("sum_policy")[entry]),
            sum_reference=float(self.column("sum_reference")[entry]),
            score=float(scores[entry]) / max(1, length) ** spec.length_penalty,
            length=length,
            finished=self.status[entry] == Status.FINISHED,
            closed=self.is_closed(entry),
            likelihood_side=float(self.column("sum_policy")[entry]),
            reward_side=float((raw + reference).sum() - v[self.parent[way[:1]]].sum()),
        )

    def _new(self, node: int, growth: Growth, i: int) -> int:
        if self._size == self._ints.shape[1]:
            grow: Any = ((0, 0), (0, self._size))
            floats = np.pad(self._floats, grow, constant_values=np.nan)
            self._ints, self._floats = np.pad(self._ints, grow), floats
        entry = self._size
        parent = self._entry[int(growth.parent[i])] if entry else -1
        depth = int(self._ints[3, parent]) + 1 if entry else 0
        self._ints[:4, entry] = node, parent, growth.token[i] if entry else -1, depth
        del self.labels[entry:], self.pieces[entry:]
        self.labels.append(growth.labels[i] if entry else "")
        self.pieces.append(growth.pieces[i] if entry else b"")
        self._entry[node] = entry
        self._size += 1
        return entry

    def _sum(self, entry: int) -> None:
        parent = int(self._ints[1, entry])
        for name, total in zip(_EDGE[:3], _SUMS, strict=True):
            own = self.column(name)[entry]
            self.column(total)[entry] = self.column(total)[parent] + own if parent >= 0 else 0.0
