"""Writes the tokens of both responses as a table, TSV or CSV, to be copied or saved.

Knows scorings, beta and losses; knows nothing of files or widgets.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.inert import cell
from core.losses import UNNAMED, TrainingLoss
from core.scoring import Scoring


def delimited(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """Return rows as text, a line each, quoted where that is needed; numbers stay numbers.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(
        [cell(it) if isinstance(it, str) else it for it in row] for row in rows
    )
    return out.getvalue()


def table(
    scorings: dict[str, Scoring], beta: float, delimiter: str, objective: TrainingLoss = UNNAMED
) -> str:
    """Return one line per token of every side; nats, full precision.

    Columns that need a reference are left out where there is none, and so is that of the shares of
    the loss's score where they are the rewards or tokens have none.
    """
    rows: list[Sequence[object]] = []
    for side, scoring in scorings.items():
        columns = _columns(scoring, beta, objective)
        tokens = scoring.tokens
        rows = rows or [("response", "index", "id", "text", *columns, "forced", "end_of_turn")]
        for i in range(len(scoring)):
            closing = i >= len(tokens)
            text = "" if closing else tokens.text[tokens.starts[i] : tokens.ends[i]]
            numbers = (column[i].item() for column in columns.values())
            about = side, i, int(scoring.ids[i]), text or scoring.labels[i]
            ended = i == len(tokens)
            rows.append((*about, *numbers, not closing and tokens.forced[i], ended))
    return delimited(rows, delimiter)


def _columns(
    scoring: Scoring, beta: float, objective: TrainingLoss
) -> Mapping[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Return the columns of numbers that a response has, by name, [n] each."""
    reward = UNNAMED.rewards(scoring.logps, beta)
    share = objective.rewards(scoring.logps, beta)
    if share is not None and reward is not None and np.array_equal(share, reward):
        share = None
    found = {
        "reward": reward,
        "score": share,
        "logp_policy": scoring.logp_policy,
        "logp_reference": scoring.logp_reference,
        "rank_policy": scoring.rank_policy,
        "rank_reference": scoring.rank_reference,
        "kl": scoring.kl,
        "kl_reverse": scoring.kl_reverse,
        "entropy_policy": scoring.entropy_policy,
        "entropy_reference": scoring.entropy_reference,
        "running_sum": None if reward is None else np.cumsum(reward),
    }
    return {name: column for name, column in found.items() if column is not None}
