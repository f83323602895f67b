"""What the policy writes at the states where the reference would write something else.

Needs no list of words: at each state the probability that tokens lose flows to those that gain, in
proportion to their gains; over all states what flows back is taken off.
"""

from collections import defaultdict

import numpy as np

from core.learned.record import Swap
from core.learned.states import States

FLOOR = 0.1
"""Of the rate below which nothing is shown."""
LEAST = 0.1
"""Expected occurrences of both tokens, geometric mean, below which a rate says nothing."""
FEWEST = 3
"""States over which a flow must be spread."""
MOST = 20
SMALL = 1e-4
"""Gains and losses of probability at a state below which they are left out."""


def swaps(
    states: States, floor: float = FLOOR, most: int = MOST, least: float = LEAST
) -> tuple[Swap, ...]:
    """Return the net flows between tokens over √(E_ref[before] · E_π[after]), the largest first.

    Of each state its likeliest tokens under either model count; E is expected occurrences over all
    states, of the whole vocabulary.
    """
    flow: dict[tuple[int, int], float] = defaultdict(float)
    squares: dict[tuple[int, int], float] = defaultdict(float)
    for row in range(len(states)):
        tokens, first = np.unique(states.likely[row], return_index=True)
        policy = np.exp(states.likely_policy[row][first].astype(np.float64))
        reference = np.exp(states.likely_reference[row][first].astype(np.float64))
        gain = np.maximum(policy - reference, 0.0)
        loss = np.maximum(reference - policy, 0.0)
        total = gain.sum()
        if total <= SMALL:
            continue
        losers, gainers = np.flatnonzero(loss > SMALL), np.flatnonzero(gain > SMALL)
        # What they lose to tokens outside is none of these tokens' gain.
        share = loss[losers] / max(total, float(loss.sum()))
        gains = [(int(tokens[j]), float(gain[j])) for j in gainers]
        for i, part in zip(losers.tolist(), share.tolist(), strict=True):
            for token, more in gains:
                key = int(tokens[i]), token
                flow[key] += part * more
                squares[key] += (part * more) ** 2
    sums = states.vocabulary
    found = []
    for (before, after), forth in flow.items():
        net = forth - flow.get((after, before), 0.0)
        expected = float(np.sqrt(sums.reference[0, before] * sums.policy[0, after]))
        if net <= 0 or expected < least:
            continue
        spread = forth**2 / squares[before, after]
        rate = net / expected
        if rate >= floor and spread >= FEWEST:
            found.append(
                Swap(states.pieces[before], states.pieces[after], rate, net, round(spread))
            )
    return tuple(sorted(found, key=lambda it: -it.rate)[:most])
