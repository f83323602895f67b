"""Responses that grow together, a token of each in one forward, drawn at a λ of their own.

λ is the search's dial: log π_ref + λ (log π − log π_ref), so 0 is the reference and 1 the policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from core.progress import Stop
from core.search.randomness import draw, log_softmax

if TYPE_CHECKING:
    from core.models.pair import Pair


@dataclass(slots=True)
class Growing:
    """A response that grows."""

    weight: float
    """λ."""
    node: int
    """The state in the pair's tree that it has come to."""
    random: np.random.Generator
    ids: list[int] = field(default_factory=list)
    closed: bool = False


def lengthen(
    pair: "Pair", lines: Sequence[Growing], cancelled: Stop, line: str, min_p: float = 0.0
) -> None:
    """Draw one token for each response that is not closed, all in one forward.

    Args:
        line: the pair's line that holds their KV.
        min_p: tokens less likely than this share of the likeliest are not drawn.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true; nothing is drawn.
    """
    import torch

    from core.models.pair import BOTH, REFERENCE

    lines = [it for it in lines if not it.closed]
    if not lines:
        return
    rows = BOTH if any(it.weight for it in lines) else (REFERENCE,)
    states = np.unique([it.node for it in lines])
    pair.reach(states, rows, cancelled, line)
    logp = torch.log_softmax(pair.logits(states, rows)[..., : pair.shared], dim=-1)
    for it, row in zip(lines, np.searchsorted(states, [it.node for it in lines]), strict=True):
        scores = it.weight * logp[0, row] + (1.0 - it.weight) * logp[-1, row]
        token = draw(log_softmax(scores, 1.0), it.random, min_p=min_p)
        it.closed = token == pair.codec.end_of_turn
        if not it.closed:
            it.ids.append(token)
            it.node = int(pair.tree.grow(np.array([it.node]), np.array([token]))[0])
