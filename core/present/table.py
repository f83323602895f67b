"""Writes the tokens of both responses as a table, TSV or CSV, to be copied or saved.

Knows scorings and beta; knows nothing of files or widgets.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from core.present.measures import rewards
from core.scoring import Scoring

HEADER = (
    "response index id text reward logp_policy logp_reference rank_policy rank_reference kl "
    "kl_reverse entropy_policy entropy_reference running_sum forced end_of_turn"
).split()


def delimited(rows: Iterable[Sequence[object]], delimiter: str = ",") -> str:
    """Return rows as text, a line each, quoted where that is needed."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue()


def table(scorings: dict[str, Scoring], beta: float, delimiter: str) -> str:
    """Return one line per token of every side; nats, full precision."""
    rows: list[Sequence[object]] = [HEADER]
    for side, scoring in scorings.items():
        r = rewards(scoring, beta)
        total = 0.0
        for i in range(len(scoring)):
            total += float(r[i])
            tokens = scoring.tokens
            closing = i >= len(tokens)
            text = "" if closing else tokens.text[tokens.starts[i] : tokens.ends[i]]
            rows.append(
                (
                    side,
                    i,
                    int(scoring.ids[i]),
                    text or scoring.labels[i],
                    float(r[i]),
                    float(scoring.logp_policy[i]),
                    float(scoring.logp_reference[i]),
                    int(scoring.rank_policy[i]),
                    int(scoring.rank_reference[i]),
                    float(scoring.kl[i]),
                    float(scoring.kl_reverse[i]),
                    float(scoring.entropy_policy[i]),
                    float(scoring.entropy_reference[i]),
                    total,
                    not closing and tokens.forced[i],
                    i == len(tokens),
                )
            )
    return delimited(rows, delimiter)
