"""A sweep of beam widths (the paper's Fig. 2): what is asked, the answers, and their statistics.

Frozen records and pure functions: the window and the command line name them before torch is
loaded. Knows nothing of models or judges.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from core.errors import UserFacingError
from core.search.grown import Floats

Against = Literal["chosen", "reference-greedy"]
Winner = Literal["win", "tie", "loss"]

WIDTHS = (1, 2, 3, 5, 8, 16)
WIDEST = 512
MOST_PROMPTS = 100_000
Z = 1.959963984540054
"""Standard normal quantile of 97.5 %."""
RESAMPLES = 2000
INTERVALS = (
    "95%: Wilson score interval of the win rate, a tie being half a win (so it is a little wide); "
    f"percentile bootstrap over prompts ({RESAMPLES} resamples) of the mean length and of the gain"
)
POINTS = {"win": 1.0, "tie": 0.5, "loss": 0.0}
AGAINST = {"chosen": "the reference response", "reference-greedy": "the reference model's greedy"}


def parse_widths(text: str) -> tuple[int, ...]:
    """Beam widths as people write them: 1, 2, 5.

    Raises:
        UserFacingError: it is no such list.
    """
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() for part in parts):
        raise UserFacingError(f"{text!r} is not a list of widths such as 1,2,3,5,8,16.")
    return tuple(map(int, parts))


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
    """One sweep. ``prompts``: how many, of the file or (no file) of ``source``, which
    core.sweeps.questions registers ("": the first one).

    ``against``: what each response is compared with: the prompt's own reference response, or the
    reference model's greedy one. ``objective`` is the λ of core.search.spec.Objective.dial.
    ``judge`` None: nothing is judged, only lengths are measured.
    """

    judge: JudgeSpec | None
    widths: tuple[int, ...] = WIDTHS
    prompts: int | None = None
    source: str = ""
    prompt_file: str = ""
    against: Against = "chosen"
    objective: float = 1.0
    max_tokens: int = 64
    length_penalty: float = 0.0


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
    beta: float
    judge: str
    against: str
    prompts: int
    widths: tuple[int, ...]
    objective: float
    max_tokens: int
    length_penalty: float

    @property
    def title(self) -> str:
        return f"{self.policy} against {self.against}"

    def subtitle(self, rows: Sequence[SweepRow] | None = None) -> str:
        """The judge, the prompts and the search, on one line; with ``rows``, how far it has come
        where that is not all the way."""
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
    """The figures of every width that has a row, the narrowest first."""
    widths = sorted({row.width for row in rows})
    points = {width: _points(rows, width) for width in widths}
    return [
        _of_width(width, [row for row in rows if row.width == width], points[widths[0]], points)
        for width in widths
    ]


def _points(rows: Sequence[SweepRow], width: int) -> dict[int, float]:
    """Points by question: 1 for a win, ½ for a tie."""
    return {
        row.question: POINTS[row.verdict.winner]
        for row in rows
        if row.width == width and row.verdict is not None
    }


def _of_width(
    width: int,
    rows: Sequence[SweepRow],
    narrowest: dict[int, float],
    points: dict[int, dict[int, float]],
) -> WidthFigures:
    own = points[width]
    winners = [row.verdict.winner for row in rows if row.verdict is not None]
    rate = wilson(sum(own.values()), len(own))
    gains = np.array([own[number] - narrowest[number] for number in own if number in narrowest])
    tokens = np.array([row.answer.tokens for row in rows], dtype=np.float64)
    gain, length = bootstrap(gains), bootstrap(tokens)
    return WidthFigures(
        width=width,
        prompts=len(rows),
        judged=len(winners),
        wins=winners.count("win"),
        ties=winners.count("tie"),
        losses=winners.count("loss"),
        win_rate=_mean(np.array(list(own.values()))),
        win_rate_low=rate[0],
        win_rate_high=rate[1],
        gain=_mean(gains),
        gain_low=gain[0],
        gain_high=gain[1],
        tokens=_mean(tokens),
        tokens_low=length[0],
        tokens_high=length[1],
        finished=_mean(np.array([row.answer.finished for row in rows], dtype=np.float64)),
        sum_policy=_mean(np.array([row.answer.sum_policy for row in rows])),
        log_ratio=_mean(np.array([row.answer.log_ratio for row in rows])),
    )


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def wilson(points: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate of ``points`` in ``count`` trials; NaN for no trial.

    Half points (ties) vary less than wins and losses of the same mean do, so with them the
    interval is wider than it need be.
    """
    if not count:
        return math.nan, math.nan
    rate, z = points / count, Z * Z / count
    centre = (rate + z / 2) / (1 + z)
    half = Z * math.sqrt(rate * (1 - rate) / count + z / (4 * count)) / (1 + z)
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(values: Floats) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of the mean; always the same for the same values.

    NaN for fewer than two values: one tells nothing of how they vary.
    """
    if len(values) < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def as_json(info: SweepInfo, rows: Sequence[SweepRow]) -> dict[str, Any]:
    """A sweep as one object: what was compared, the figures of each width, and every row."""
    table = [
        {name: _known(value) for name, value in asdict(width).items()} for width in figures(rows)
    ]
    return {**asdict(info), "intervals": INTERVALS, "figures": table, "rows": [*map(_row, rows)]}


def _row(row: SweepRow) -> dict[str, Any]:
    return asdict(row) | {
        "answer": asdict(row.answer) | {"log_ratio": row.answer.log_ratio},
        "against": asdict(row.against) | {"log_ratio": row.against.log_ratio},
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
