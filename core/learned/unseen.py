"""Tokens that the policy promotes or demotes wherever they could stand, whether written or not.

log(Σ π / Σ π_ref) over all states, less what a training makes of any token by how likely it was and
which way SFT had pushed it. So a preference shows also where nobody wrote it.
"""

import numpy as np

from core.learned.record import Unseen
from core.learned.residuals import fit
from core.learned.states import ANYWHERE, FIRST, States

FLOOR = 1.0
"""Nats, below which nothing is shown."""
LEAST = 0.02
"""Expected occurrences under the likelier model, below which nothing is said of a token."""
SPREAD = {ANYWHERE: 4.0, FIRST: 4.0}
"""Over how many states a token's probability must be spread."""
MOST = 20


def unseen(states: States, floor: float = FLOOR, most: int = MOST) -> tuple[Unseen, ...]:
    """Return the tokens that pass the floor, the strongest first."""
    sums = states.vocabulary
    found = []
    for place, spread in SPREAD.items():
        policy, reference = sums.policy[place], sums.reference[place]
        with np.errstate(divide="ignore", invalid="ignore"):
            states_of = np.nan_to_num(sums.weight[place] ** 2 / sums.square[place])
        usable = np.flatnonzero(
            (np.maximum(policy, reference) >= LEAST) & (states_of >= spread) & (reference > 1e-12)
        )
        if len(usable) < 30:
            continue
        size = np.log(reference[usable])
        columns = {"constant": np.ones(len(usable)), "size": size, "size²": size**2}
        if sums.base is not None:
            pushed = size - np.log(np.maximum(sums.base[place][usable], 1e-12))
            if pushed.std() > 1e-6:
                columns["pushed"] = pushed
        residual = fit(np.log(np.maximum(policy[usable], 1e-12)) - size, columns).residual
        for i in np.flatnonzero(np.abs(residual) >= floor).tolist():
            token = int(usable[i])
            found.append(
                Unseen(
                    states.pieces[token],
                    float(residual[i]),
                    float(reference[token]),
                    float(policy[token]),
                    place == FIRST,
                    round(float(states_of[token])),
                )
            )
    # By how much probability moves: the strongest ratios of all are of the rarest tokens.
    return tuple(
        sorted(found, key=lambda it: -abs(it.effect) * np.sqrt(max(it.policy, it.reference)))[:most]
    )
