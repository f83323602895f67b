"""Lists the charts, and finds which of a run's series each of them draws.

Takes records and gives arrays; knows nothing of colours or of drawing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.present.table import delimited
from core.quantities import KL_REVERSE
from core.runs.explain import margins
from core.runs.names import evaluation_sets
from core.runs.records import EVAL, HELD_OUT, KL, RunLog, Series

Floats = NDArray[np.float64]

REWARD_UNIT = "β · nats"


@dataclass(frozen=True, slots=True)
class Role:
    """A curve of a chart: its label, and the names of its series, of which the first found counts.

    ``penalty``: the series is KL(π_ref‖π), and −β times it is drawn.
    """

    label: str
    names: tuple[str, ...]
    penalty: bool = False


@dataclass(frozen=True, slots=True)
class ChartKind:
    """A kind of chart over steps. ``log``: a logarithmic y axis can help; ``tip``: its meaning."""

    key: str
    title: str
    axis: str
    roles: tuple[Role, ...]
    tip: str
    log: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """A curve to draw: ``place`` among its chart's roles, ``source``: what stands before its name
    in the log (see ``sources``), ``name`` there (or a formula), ``steps`` and ``values`` float64
    [n], steps increasing; ``rank``: of its evaluation set among those with a name, 0 for others."""

    place: int
    label: str
    source: str
    name: str
    steps: Floats
    values: Floats
    rank: int = 0


def _localised(what: str) -> tuple[str, ...]:
    return f"words/{what}", f"tokens/{what}"


CHARTS = (
    ChartKind(
        "rewards",
        "Implicit rewards",
        f"reward ({REWARD_UNIT})",
        (
            Role("chosen", ("rewards/chosen",)),
            Role("rejected", ("rewards/rejected",)),
            Role(f"−β {KL_REVERSE}", (KL,), penalty=True),
        ),
        "Σ β (log π − log π_ref) of chosen and rejected responses (Eq. 11), beside what the "
        "reference's own responses lose on average (Eq. 16)",
    ),
    ChartKind(
        "margin",
        "Margin",
        f"margin ({REWARD_UNIT})",
        (Role("margin", ("rewards/margins",)),),
        "Reward of chosen less that of rejected; DPO's loss is −log σ of it (Eqs. 8, 9)",
    ),
    ChartKind(
        "accuracy",
        "Accuracy",
        "share of pairs",
        (
            Role("accuracy", ("rewards/accuracies",)),
            Role("“accuracy”, of what unsaid", ("accuracy",)),
        ),
        "The share of pairs whose chosen response has the higher reward; chance is 0.5",
    ),
    ChartKind(
        "loss",
        "Loss",
        "loss (nats)",
        (Role("loss", ("loss", "train_loss")),),
        "Of the training",
        True,
    ),
    ChartKind(
        "reward",
        "Mean reward",
        "reward",
        (Role("reward", ("reward", "critic/rewards/mean", "objective/scores")),),
        "What a reward function or model gives responses that the policy wrote while training",
    ),
    ChartKind(
        "kl",
        KL_REVERSE,
        "KL (nats per response)",
        (Role(KL_REVERSE, (KL,)), Role("“kl”, its direction unsaid", ("kl",))),
        "How far the policy has moved from the reference, summed over a chosen response",
        True,
    ),
    ChartKind(
        "logps",
        "Log-probs",
        "log π (nats per response)",
        (Role("chosen", ("logps/chosen",)), Role("rejected", ("logps/rejected",))),
        "Of whole responses under the policy",
    ),
    ChartKind(
        "localisation",
        "Localisation: where to stop",
        "AUROC, share of pairs",
        (
            Role("AUROC of −reward", _localised("auroc/-reward")),
            Role("AUROC of −log π", _localised("auroc/-log_policy")),
            Role("AUROC of −log π_ref", _localised("auroc/-log_ref")),
            Role("most blamed is wrong", _localised("hit/-reward")),
            Role("second error found", _localised("second/-reward")),
        ),
        "How well wrong words of held-out responses are found; −log π_ref is plain surprise",
    ),
)
BY_KEY = {kind.key: kind for kind in CHARTS}
STOP_ROLE = 0
"""The role of the localisation chart whose best step is marked."""


def kind_of(key: str) -> ChartKind:
    """Return a chart by its key; for a curve that none of CHARTS draws, by its name, its own."""
    own = ChartKind(key, key, key, (Role(key, (key,)),), "As the trainer logged it")
    return BY_KEY.get(key, own)


def sources(run: RunLog) -> dict[str, int]:
    """Return what stands before the names of a run's curves, and the rank of each evaluation set
    among those with a name, 0 for others."""
    sets = {f"{EVAL}{of}/": rank for rank, of in enumerate(evaluation_sets(run.series), 1)}
    return {"": 0, EVAL: 0, **sets, HELD_OUT: 0}


def source_words(source: str) -> str:
    """Return a source in words."""
    of = source.removeprefix(EVAL).strip("/")
    words = {"": "training", EVAL: "eval", HELD_OUT: "held-out"}
    return words.get(source, f"eval “{of}”")


def other_curves(runs: Iterable[RunLog]) -> list[str]:
    """Return the bare names of the curves that none of CHARTS draws, each with a chart of its own
    (``kind_of``), in order."""
    drawn = {name for kind in CHARTS for role in kind.roles for name in role.names}
    found = set()
    for run in runs:
        known = sorted(sources(run), key=len, reverse=True)
        for name in run.series:
            found.add(name.removeprefix(next(s for s in known if name.startswith(s))))
    return sorted(found - drawn)


def curves(kind: ChartKind, run: RunLog, beta: float | None) -> list[Curve]:
    """Return the curves that a run has for a chart; without beta, no KL penalty."""
    found = []
    for source, rank in sources(run).items():
        for place, role in enumerate(kind.roles):
            name = next((n for n in role.names if source + n in _known(run.series, source)), None)
            if name is None or (role.penalty and beta is None):
                continue
            series = _known(run.series, source)[source + name]
            values = series.values
            label, name = role.label, source + name
            if role.penalty and beta is not None:
                values, name = -beta * values, f"-beta*{name}"
            steps = series.steps.astype(float)
            found.append(Curve(place, label, source, name, steps, values, rank))
    return found


def _known(series: Mapping[str, Series], source: str) -> Mapping[str, Series]:
    """Return the series, with the margins that follow from others."""
    made = margins(series, source)
    return series if made is None else {source + "rewards/margins": made, **series}


def value_at(curve: Curve, values: Floats, step: float | None) -> tuple[int, float] | None:
    """Return (step, value) of the last value logged at or before a step (None: of all).

    None before the first step, and later after the last one than the last two are apart.
    ``values``: the curve's own, or smoothed ones.
    """
    steps = curve.steps
    if not len(steps):
        return None
    index = len(steps) - 1
    if step is not None:
        if step < steps[0] or step > 2 * steps[-1] - steps[max(len(steps) - 2, 0)]:
            return None
        index = int(np.searchsorted(steps, step, side="right")) - 1
    if not np.isfinite(values[index]):
        known = np.flatnonzero(np.isfinite(values[: index + 1]))
        if not len(known):
            return None
        index = int(known[-1])
    return int(steps[index]), float(values[index])


def as_csv(runs: Iterable[tuple[RunLog, float | None]], kinds: Iterable[ChartKind]) -> str:
    """Return a CSV of what charts show of runs: a line per run and step, a column per series."""
    kinds = tuple(kinds)
    tables = [
        (run.name, {c.name: c for kind in kinds for c in curves(kind, run, beta)})
        for run, beta in runs
    ]
    names = list(dict.fromkeys(name for _, found in tables for name in found))
    rows: list[Sequence[object]] = [["run", "step", *names]]
    for run_name, found in tables:
        if not found:
            continue
        steps = np.unique(np.concatenate([curve.steps for curve in found.values()]))
        columns = []
        for name in names:
            cells = np.full(len(steps), "", dtype=object)
            if (curve := found.get(name)) is not None:
                places = np.searchsorted(steps, curve.steps)
                cells[places] = ["" if v != v else v for v in curve.values.tolist()]
            columns.append(cells.tolist())
        numbers = steps.astype(int).tolist()
        rows += [[run_name, n, *row] for n, *row in zip(numbers, *columns, strict=True)]
    return delimited(rows)
