"""What the curves of a DPO run say, in one or two sentences: why rewards fall, where to stop.

Every number is of the smoothed ends of a curve (medians of its first and last points), every
claim is larger than the curve's own noise, and where the data do not say it, nothing is said.
Takes and returns records; knows nothing of files or of drawing.

The paper is arXiv 2404.12358; likelihood displacement is arXiv 2410.08847.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.losses import EQ_16
from core.quantities import KL_REVERSE
from core.runs.losses import SOURCES, has_reference
from core.runs.records import EVAL, HELD_OUT, KL, RunLog, Series

Case = Literal["displaced", "shrinks", "stalls", "falls", "above", "peaked"]

FEW = 6
"""Points; of a curve with fewer nothing is said."""
BLOCKS = 8
"""Parts of a curve whose medians stand for it where its course matters."""
MATTERS = 0.02
"""A change of a reward (in nats times beta) that is worth a word."""
WHERE = {"": "", EVAL: " on the evaluation set", HELD_OUT: " on the held-out pairs"}
LOCALISATION = ("words/auroc/-reward", "tokens/auroc/-reward")
CITES_16 = "Eq. 16, arXiv 2404.12358"
DISPLACEMENT = "arXiv 2410.08847"
FALLS = (
    "Usual after SFT, and no fault in itself: what the reference itself would write must lose "
    "reward on average as the policy moves away, {eq_16} (Eq. 16), and so do chosen responses that "
    "are like it."
)
FALLS_ALONE = (
    "There is no reference in this training ({loss}), so rewards are log-probs: chosen responses "
    "became less likely, as the loss asks only that they be likelier than the rejected ones."
)
FALLS_UNKNOWN = (
    "Rewards do not begin at 0: either the training has no reference (SimPO, CPO, ORPO), and "
    "chosen responses became less likely, or the log begins late. Which loss it was is not known."
)
ABOVE = (
    "Usual without SFT, where chosen responses are unlike the reference's: only what the reference "
    "itself would write must lose reward on average, {eq_16} (Eq. 16)."
)
DISPLACED = (
    f"What the reference itself would write loses β {KL_REVERSE} on average (Eq. 16); here the "
    f"chosen responses became far less likely than that: likelihood displacement ({DISPLACEMENT})."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the curves show. ``text``: the numbers; ``why``: what they mean, the same
    for every run of the case and loss; ``cites``: the equation or paper it rests on, or ""."""

    case: Case
    text: str
    why: str = ""
    cites: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is said of a run, the most important first; ``stop_at``: the step to stop near."""

    findings: tuple[Finding, ...]
    stop_at: int | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(words for f in self.findings for words in (f.text, f.why) if words)

    @property
    def warning(self) -> bool:
        return any(finding.warning for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Course:
    """A curve in a few numbers: its smoothed ends, how far chance may part them, its blocks.

    ``steps`` and ``medians`` [BLOCKS or fewer]: of consecutive parts of the curve.
    """

    first: float
    last: float
    noise: float
    end: int
    steps: NDArray[np.float64]
    medians: NDArray[np.float64]


def explain(run: RunLog, beta: float | None = None) -> Explanation | None:
    """Say what the curves of a run show; None where the data say nothing.

    ``beta``: of the training, where the log does not say it.
    """
    beta = run.beta if run.beta is not None else beta
    rewards = _of_rewards(run, beta)
    peaked, stop_at = _of_localisation(run.series)
    findings = tuple(finding for finding in (rewards, peaked) if finding is not None)
    return Explanation(findings, stop_at) if findings else None


def best_step(series: Series) -> int | None:
    """Return the first step at which a curve is highest."""
    known = np.isfinite(series.values)
    if not known.any():
        return None
    return int(series.steps[known][int(np.argmax(series.values[known]))])


def course(series: Series | None) -> Course | None:
    """Return a curve in a few numbers; None if it has too few points."""
    if series is None:
        return None
    known = np.isfinite(series.values)
    steps, values = series.steps[known], series.values[known]
    if len(values) < FEW or steps[0] == steps[-1]:
        return None
    few = max(3, len(values) // 10)
    change = np.diff(values)
    spread = 1.4826 * float(np.median(np.abs(change - np.median(change)))) / np.sqrt(2)
    # Three standard errors of the difference of two medians of so many points.
    noise = 3 * 1.25 * spread * float(np.sqrt(2 / few))
    parts = min(BLOCKS, len(values) // 3)
    return Course(
        first=float(np.median(values[:few])),
        last=float(np.median(values[-few:])),
        noise=noise,
        end=int(steps[-1]),
        steps=np.array([np.median(part) for part in np.array_split(steps, parts)]),
        medians=np.array([np.median(part) for part in np.array_split(values, parts)]),
    )


# --- rewards --------------------------------------------------------------------------------


def _of_rewards(run: RunLog, beta: float | None) -> Finding | None:
    """Say the most important thing about chosen, rejected and their margin.

    Batches of training differ from step to step; held-out pairs are the same at each, so they
    speak first where they were measured up to the end.
    """
    measured = run.series.get(HELD_OUT + "rewards/chosen")
    until = measured.steps.max(initial=0) if measured is not None else 0
    first = HELD_OUT if until and until >= 0.9 * run.last_step else ""
    found = (
        _of_source(run, beta, source)
        for source in sorted(SOURCES, key=lambda source: source != first)
    )
    return next((finding for finding in found if finding is not None), None)


def _of_source(run: RunLog, beta: float | None, source: str) -> Finding | None:
    chosen = course(run.series.get(source + "rewards/chosen"))
    margin = course(margins(run.series, source))
    if chosen is None or margin is None:
        return None
    accuracy = course(run.series.get(source + "rewards/accuracies"))
    drop = max(chosen.noise, MATTERS, 0.05 * abs(margin.last))
    falls = chosen.last < 0 and chosen.first - chosen.last > drop
    grows = margin.last - margin.first > max(margin.noise, MATTERS)
    lowest = float(chosen.medians.min())
    if falls and _eq_16(run) and (finding := _displaced(run, beta, source)):
        return finding
    if finding := _shrinks(margin) or _stalls(margin, accuracy, grows):
        return finding
    if falls and grows:
        return _falls(run, beta, source, chosen, margin)
    if grows and chosen.last > max(chosen.noise, MATTERS) and lowest > -MATTERS:
        return _above(run, beta, source, chosen, margin)
    return None


def margins(series: Mapping[str, Series], source: str = "") -> Series | None:
    """Return the logged margins, or chosen less rejected where both are of the same steps."""
    logged = series.get(source + "rewards/margins")
    if logged is not None:
        return logged
    chosen = series.get(source + "rewards/chosen")
    rejected = series.get(source + "rewards/rejected")
    if chosen is None or rejected is None or not np.array_equal(chosen.steps, rejected.steps):
        return None
    return Series(chosen.steps, chosen.values - rejected.values)


def measured_kl(run: RunLog, wanted: str = "") -> tuple[Course, Course] | None:
    """Return the chosen reward and KL(π_ref‖π) of the same pairs; of ``wanted`` ones first."""
    for source in sorted(SOURCES, key=lambda source: source != wanted):
        chosen = course(run.series.get(source + "rewards/chosen"))
        kl = course(run.series.get(source + KL))
        if chosen is not None and kl is not None:
            return chosen, kl
    return None


def _displaced(run: RunLog, beta: float | None, source: str) -> Finding | None:
    found = measured_kl(run, source)
    if beta is None or found is None:
        return None
    chosen, kl = found
    expected = -beta * kl.last
    far = max(chosen.noise + beta * kl.noise, 5 * MATTERS, abs(expected))
    if expected - chosen.last <= far:
        return None
    text = (
        f"Chosen has fallen to {_signed(chosen.last)} by step {chosen.end:,}, far below "
        f"−β {KL_REVERSE} = {_signed(expected)}."
    )
    return Finding("displaced", text, DISPLACED, f"{CITES_16}; {DISPLACEMENT}", warning=True)


def _shrinks(margin: Course) -> Finding | None:
    peak = int(np.argmax(margin.medians))
    high = float(margin.medians[peak])
    late = peak >= 0.75 * len(margin.medians)
    if late or high - margin.last <= max(margin.noise, MATTERS, 0.1 * abs(high)):
        return None
    text = (
        f"The margin shrinks: {_signed(high)} near step {margin.steps[peak]:,.0f}, "
        f"{_signed(margin.last)} at step {margin.end:,}."
    )
    return Finding("shrinks", text, warning=True)


def _stalls(margin: Course, accuracy: Course | None, grows: bool) -> Finding | None:
    if accuracy is None:
        if grows:
            return None
        text = (
            f"The margin has not grown: {_signed(margin.first)} at the start, "
            f"{_signed(margin.last)} at step {margin.end:,}."
        )
        return Finding("stalls", text, warning=True)
    if accuracy.last >= 0.6 or accuracy.last - accuracy.first > max(accuracy.noise, 0.03):
        return None
    text = (
        f"Accuracy stalls: {accuracy.first:.2f} at the start, {accuracy.last:.2f} at step "
        f"{accuracy.end:,} (0.5 is chance), at a margin of {_signed(margin.last)}."
    )
    return Finding("stalls", text, warning=True)


def _falls(run: RunLog, beta: float | None, source: str, chosen: Course, margin: Course) -> Finding:
    text = (
        f"Chosen falls to {_signed(chosen.last)} while the margin grows to "
        f"{_signed(margin.last)}{WHERE[source]}"
    )
    if eq_16 := _eq_16(run):
        return Finding(
            "falls", text + _beside(run, beta, source), FALLS.format(eq_16=eq_16), CITES_16
        )
    if run.objective.losses and run.objective.main.reference:
        return Finding("falls", f"{text}.")
    known = not run.objective.main.reference or has_reference(run.series) is False
    loss = run.objective.title if run.objective.losses else "rewards are β times logged log-probs"
    return Finding("falls", f"{text}.", FALLS_ALONE.format(loss=loss) if known else FALLS_UNKNOWN)


def _above(run: RunLog, beta: float | None, source: str, chosen: Course, margin: Course) -> Finding:
    text = (
        f"Chosen stays above 0 ({_signed(chosen.last)} at step {chosen.end:,}) while the margin "
        f"grows to {_signed(margin.last)}{WHERE[source]}"
    )
    if eq_16 := _eq_16(run):
        return Finding(
            "above", text + _beside(run, beta, source), ABOVE.format(eq_16=eq_16), CITES_16
        )
    return Finding("above", f"{text}.")


def _eq_16(run: RunLog) -> str:
    """Return what Eq. 16 says of the rewards of a run; "" where it says nothing, or may not."""
    if run.objective.losses:
        return run.objective.eq_16
    return EQ_16 if has_reference(run.series) else ""


def _beside(run: RunLog, beta: float | None, source: str) -> str:
    """Return the measured −β KL as the end of a sentence, or how to come by it."""
    found = measured_kl(run, source)
    if found is None:
        folder = run.path if not run.path.suffix else run.path.parent
        where = shlex.quote(str(folder)) if run.checkpoints else "RUN"
        return f". KL was not measured: python main.py train evaluate {where} measures it."
    if beta is None:
        return ". β is not known: set it beside the run's name to see −β KL."
    chosen, kl = found
    return (
        f"; −β {KL_REVERSE} is {_signed(-beta * kl.last)} at step {kl.end:,}, where chosen is "
        f"{_signed(chosen.last)}."
    )


# --- where to stop --------------------------------------------------------------------------


def _of_localisation(series: Mapping[str, Series]) -> tuple[Finding | None, int | None]:
    """Say where held-out localisation was best, if that was before the end."""
    for name in LOCALISATION:
        found = series.get(HELD_OUT + name)
        whole = course(found)
        if found is None or whole is None:
            continue
        known = np.isfinite(found.values)
        steps, values = found.steps[known], found.values[known]
        peak = int(np.argmax(values))
        # The best point with its neighbours, so that a lucky one does not count.
        high = float(np.mean(values[max(peak - 1, 0) : peak + 2]))
        if peak >= len(values) - 3 or high - whole.last <= max(0.01, whole.noise):
            return None, None
        step = int(steps[peak])
        text = (
            f"Held-out localisation (AUROC of −reward over {name.partition('/')[0]}) was best at "
            f"step {step:,} ({values[peak]:.3f}) and is {whole.last:.3f} by step "
            f"{int(steps[-1]):,}: over-optimised, stop near step {step:,}."
        )
        return Finding("peaked", text, warning=True), step
    return None, None


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
