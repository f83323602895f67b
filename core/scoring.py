"""Records of what the two models say of one response and of one state; views draw them.

Rewards are not stored: they are beta times a difference of two columns, so another beta needs no
model. Knows the types of text and arrays; knows nothing of models or windows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.losses import Response
from core.text import Tokens

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]

KEPT = 20
"""So many of the likeliest actions under each model are kept of a state that was looked at."""


@dataclass(frozen=True, eq=False, slots=True)
class Scoring:
    """One response under policy and reference: n rows, one for each token that is scored.

    First those of ``tokens``; then the closing (end-of-turn) token, and what else the template
    writes after a response, where that was trained on.

    What needs a reference is None where there is none. Log-probs, divergences and entropies are in
    nats, [n]. Ranks count from 1, the most likely. ``kl`` is KL(pi || pi_ref) and ``kl_reverse`` is
    KL(pi_ref || pi), over the whole vocabulary at the state *before* the row's token. ``logit`` and
    ``logsumexp`` are the policy's raw logit of the token and log-partition of that state (the
    raw-logit gauge).
    """

    tokens: Tokens
    """The tokens of the response itself, after what the template writes before it."""
    ids: Ints
    labels: tuple[str, ...]
    logp_policy: Floats
    logp_reference: Floats | None
    rank_policy: Ints
    rank_reference: Ints | None
    kl: Floats | None
    kl_reverse: Floats | None
    entropy_policy: Floats
    entropy_reference: Floats | None
    logit: Floats
    logsumexp: Floats
    start: int
    """The tree node of the state before the first token: the end of the prompt."""
    nodes: Ints
    """The tree node that each row's token leads to."""
    computed: int
    """Tokens that went through the models for this result, prompt included."""
    reused: int
    """Tokens of prompt and response whose numbers or KV were cached."""
    seconds: float
    note: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def logps(self) -> Response:
        """Return the log-probs of the tokens, as losses take them."""
        return Response(self.logp_policy, self.logp_reference)

    def state(self, index: int) -> int:
        """Return the tree node of the state before a row's token."""
        return int(self.nodes[index - 1]) if index else self.start


@dataclass(frozen=True, slots=True)
class Alternative:
    """One action at a state: a token that could stand there. Log-probs in nats, ranks from 1; the
    reference's are None where there is none."""

    id: int
    label: str
    text: str
    logp_policy: float
    logp_reference: float | None
    rank_policy: int
    rank_reference: int | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """The actions at one state: the likeliest under each model, and what a query found."""

    state: int
    """The tree node of the state, before the token."""
    by_policy: tuple[Alternative, ...]
    by_reference: tuple[Alternative, ...]
    found: tuple[Alternative, ...] = ()

    def at_most(self, count: int) -> "Inspection":
        """Return the same with no more than ``count`` of the likeliest under each model."""
        by_policy, by_reference = self.by_policy[:count], self.by_reference[:count]
        return Inspection(self.state, by_policy, by_reference, self.found)


@dataclass(frozen=True, eq=False, slots=True)
class StateActions:
    """All actions at one state, the whole vocabulary: row i is the token with the id i, [V].

    Padding of the embedding has rows too, since the models give it probability. The arrays are
    shared and must not be written to. Where there is no reference its array is None, and nothing
    was promoted or demoted.
    """

    state: int
    """The tree node of the state, before the token."""
    logp_policy: Floats32
    logp_reference: Floats32 | None
    promoted: tuple[Alternative, ...]
    """The largest positive rewards among tokens that either model gives some probability."""
    demoted: tuple[Alternative, ...]
    """The smallest negative rewards among the same."""
