"""A sweep of beam widths (the paper's Fig. 2): what is asked, the answers, and their statistics.

Frozen records and pure functions: the window and the command line name them before torch is
loaded. Knows nothing of models or judges.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from core.search.grown import Floats
from core.search.spec import MOST_AT_ONCE, WEIGHT, length_penalty, max_tokens
from core.setting import setting

Winner = Literal["win", "tie", "loss"]

Z = 1.959963984540054
"""Standard normal quantile of 97.5 %."""
RESAMPLES = 2000
INTERVALS = (
    "95%: Wilson score interval of the win rate, a tie being half a win (so it is a little wide); "
    f"percentile bootstrap over prompts ({RESAMPLES} resamples) of the mean length and of the gain"
)
POINTS = {"win": 1.0, "tie": 0.5, "loss": 0.0}
AGAINST = {"chosen": "the reference response", "reference-greedy": "the reference model's greedy"}


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """Who says which of two responses is better: a kind that core.sweeps.judges registers.

    ``path``: its model's folder, or its file.
    """

    kind: str
    path: str = ""
    allow_pickle: bool = False
    allow_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class SweepSpec:
    """One sweep of beam searches; what it may be is said by core.sweeps.problems.

    The prompts come from ``prompt_file`` or (no file) from ``source``, which core.sweeps.questions
    registers ("": the first one). ``objective`` is the λ of core.search.spec.Objective.dial.
    ``judge`` None: nothing is judged, only lengths are measured.
    """

    judge: JudgeSpec | None
    widths: tuple[int, ...] = setting(
        (1, 2, 3, 5, 8, 16), "Beam widths", "How many beams each search has", 1, MOST_AT_ONCE
    )
    prompts: int | None = setting(
        None,
        "Number of prompts",
        "How many prompts; if it is not said, 20, or the whole of a file",
        1,
        100_000,
        kind=int,
    )
    source: str = ""
    prompt_file: str = ""
    against: str = setting(
        "chosen",
        "Compared with",
        "What to beat: the prompt's reference response (\"chosen\"), or the reference model's "
        "greedy one",
        words=tuple(AGAINST),
    )
    objective: float = setting(
        1.0,
        "Objective λ",
        "What the search adds up: log π_ref + λ log(π/π_ref); 1 is the policy's likelihood "
        "(Eq. 13)",
        WEIGHT.minimum,
        WEIGHT.maximum,
        step=0.25,
    )
    max_tokens: int = max_tokens()
    length_penalty: float = length_penalty()


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with its sums in nats over ``tokens`` tokens, the closing one among them.

    ``finished``: it was closed, and not cut off at the length limit.
    """

    text: str
    tokens: int
    sum_policy: float
    sum_reference: float
    finished: bool

    @property
    def log_ratio(self) -> float:
        """Σ r / β."""
        return self.sum_policy - self.sum_reference


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a response did against another; ``margin`` is above 0 where it was better."""

    winner: Winner
    margin: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """What one width answered to one prompt, and how it was judged (None: it was not)."""

    question: int
    prompt: str
    width: int
    answer: Answer
    against: Answer
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class SweepInfo:
    """What a sweep compares, in words and numbers: what every picture and file of it says."""

    policy: str
    reference: str
    beta: float | None
    judge: str
    against: str
    prompts: int
    widths: tuple[int, ...]
    objective: float
    max_tokens: int
    length_penalty: float

    @property
    def title(self) -> str:
        """The two that are compared."""
        return f"{self.policy} against {self.against}"

    def subtitle(self, rows: Sequence[SweepRow] | None = None) -> str:
        """Return the judge, the prompts and the search on one line; with ``rows``, how far it has
        come where that is not all the way."""
        penalty = f", length penalty {self.length_penalty:g}" if self.length_penalty else ""
        known = self.prompts if rows is None else len({row.question for row in rows})
        done = "" if known == self.prompts else f"{known} of "
        answers = len(rows or ())
        judged = sum(row.verdict is not None for row in rows or ())
        some = f" · {judged} of {answers} answers judged" if judged < answers else ""
        return (
            f"judge: {self.judge} · {done}{self.prompts} prompts{some} · beam search, "
            f"λ = {self.objective:g}, at most {self.max_tokens} tokens{penalty}"
        )


@dataclass(frozen=True, slots=True)
class WidthFigures:
    """The figures of one width; NaN where there is nothing to tell. ``*_low``, ``*_high``: 95 %.

    ``gain``: win rate less that of the narrowest width, over the prompts that both have.
    """

    width: int
    prompts: int
    judged: int
    wins: int
    ties: int
    losses: int
    win_rate: float
    win_rate_low: float
    win_rate_high: float
    gain: float
    gain_low: float
    gain_high: float
    tokens: float
    tokens_low: float
    tokens_high: float
    finished: float
    """Share of responses that were closed."""
    sum_policy: float
    """Mean Σ log π."""
    log_ratio: float
    """Mean Σ r / β."""


def figures(rows: Sequence[SweepRow]) -> list[WidthFigures]:
    """Return the figures of every width that has a row, the narrowest first."""
    found: list[WidthFigures] = []
    narrowest: dict[int, float] | None = None
    for width in sorted({row.width for row in rows}):
        own = [row for row in rows if row.width == width]
        won = {row.question: row.verdict.winner for row in own if row.verdict is not None}
        winners = [*won.values()]
        points = {question: POINTS[winner] for question, winner in won.items()}
        narrowest = points if narrowest is None else narrowest
        gains = [points[number] - narrowest[number] for number in points if number in narrowest]
        answers = [row.answer for row in own]
        found.append(
            WidthFigures(
                width,
                len(own),
                len(won),
                winners.count("win"),
                winners.count("tie"),
                winners.count("loss"),
                _mean([*points.values()]),
                *wilson(sum(points.values()), len(points)),
                _mean(gains),
                *bootstrap(gains),
                _mean([answer.tokens for answer in answers]),
                *bootstrap([answer.tokens for answer in answers]),
                _mean([answer.finished for answer in answers]),
                _mean([answer.sum_policy for answer in answers]),
                _mean([answer.log_ratio for answer in answers]),
            )
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def wilson(points: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a rate of ``points`` in ``count`` trials; NaN for no trial.

    Half points (ties) vary less than wins and losses of the same mean do, so with them the
    interval is wider than it need be.
    """
    if not count:
        return math.nan, math.nan
    rate, z = points / count, Z * Z / count
    centre = (rate + z / 2) / (1 + z)
    half = Z * math.sqrt(rate * (1 - rate) / count + z / (4 * count)) / (1 + z)
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Return the percentile bootstrap's 95 % interval of the mean; always the same for the same
    values.

    NaN for fewer than two values: one tells nothing of how they vary.
    """
    if len(values) < 2:
        return math.nan, math.nan
    sample = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(sample), size=(RESAMPLES, len(sample)))
    low, high = np.percentile(sample[drawn].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def as_json(info: SweepInfo, rows: Sequence[SweepRow]) -> dict[str, Any]:
    """Return a sweep as one object: what was compared, the figures of each width, every row.

    What is not known is None.
    """
    table = [
        {name: None if math.isnan(value) else value for name, value in asdict(width).items()}
        for width in figures(rows)
    ]
    sides = ("answer", "against")
    listed = [asdict(row) for row in rows]
    for row, plain in zip(rows, listed, strict=True):
        for side, answer in zip(sides, (row.answer, row.against), strict=True):
            plain[side]["log_ratio"] = answer.log_ratio
    return {**asdict(info), "unit": "nat", "intervals": INTERVALS, "figures": table, "rows": listed}
