"""Why a log's numbers of some pairs differ from Qscope's: the gap, attributed cause by cause.

A ``Way`` is one way of coming to the numbers, a cause a change of it: other tokens, a cut, a mean,
another format, reference or beta. The pairs are scored anew under each change of one cause; the one
that closes most of the gap is taken, then the next is looked for on top of it, until none closes
more. Knows no files; how models are loaded is the caller's business.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.codec import Rule
from core.finding import Finding, Level
from core.provenance import agree
from core.runs.records import EVAL, RunLog

Numbers = Mapping[str, float]
"""Means over the pairs by TRL's names, those of QUANTITIES that there are."""
Edge = Literal["as read", "left out", "added"]

LOGPS = "logps/chosen", "logps/rejected"
REWARDS = "rewards/chosen", "rewards/rejected"
QUANTITIES = (*LOGPS, *REWARDS)
NEAR = 0.01
"""Nats that two numbers of a log-prob may differ and still agree."""
LEAST = 0.1
"""The share of what is left that a cause must close to be named."""
MOST = 4
"""So many causes are named at most."""
ROUNDED = 2
"""Rounding explains what is left up to so many times what another number format changes."""
LENGTHS = 128, 256, 512, 1024, 2048, 4096
"""Lengths that texts are cut to in trainings, tried where no file says one."""
PROMPT = 512
"""The same of prompts."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of coming to the numbers of a response."""

    rule: Rule = "turn"
    plain: bool = False
    begin: Edge = "as read"
    """Of the token that begins a text (BOS)."""
    end: Edge = "as read"
    """Of what is scored behind the response."""
    whole: bool = False
    """Whether the prompt is scored too."""
    longest: int | None = None
    """How many tokens are kept of prompt and response; None: all."""
    keep_end: bool = False
    prompt: int | None = None
    """How many of the prompt's last tokens are kept; None: all."""
    completion: int | None = None
    """How many of the response's first tokens are kept; None: all."""
    mean: bool = False
    """Whether log-probs are means over tokens."""
    dtype: str = "float32"
    reference: Literal["as loaded", "base", "none"] = "as loaded"
    beta: float | None = None

    @property
    def weight(self) -> float:
        """What log-ratios are multiplied by; 1 where beta is not known."""
        return 1.0 if self.beta is None else self.beta


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a way: the cause in a word, and the numbers' own words."""

    cause: str
    words: str
    way: Way


@dataclass(frozen=True, slots=True)
class Step:
    """A change that was taken, and how many nats of the gap it has closed."""

    cause: str
    words: str
    closed: float


@dataclass(frozen=True, slots=True)
class Gap:
    """How far a log is from Qscope's numbers, in nats of log-prob, summed over the quantities."""

    logged: Numbers
    ours: Numbers
    total: float
    near: float
    """A gap that is none."""
    steps: tuple[Step, ...]
    """What closes it, in the order in which it was found: the largest first."""
    rounding: float = 0.0
    """How far another number format moves the numbers, where something is left."""

    @property
    def left(self) -> float:
        """What no cause explains."""
        return self.total - sum(step.closed for step in self.steps)


def logged_at(log: RunLog, step: int) -> tuple[dict[str, float], bool]:
    """Return what a log says at a step, and whether that is of its evaluation.

    Else it is of training batches, as the policy was before the step.
    """
    for before in (EVAL, ""):
        found: dict[str, float] = {}
        for name in QUANTITIES:
            if (curve := log.series.get(before + name)) is not None:
                here = curve.values[(curve.steps == step) & np.isfinite(curve.values)]
                if len(here):
                    found[name] = float(here[-1])
        if found:
            return found, bool(before)
    return {}, False


def attribute(
    logged: Numbers,
    start: Way,
    ours: Numbers,
    numbers: Callable[[Way], Numbers | None],
    known: "Known",
) -> Gap:
    """Return the gap between a log and Qscope's own numbers, and what closes it.

    Args:
        ours: the numbers under ``start``, Qscope's own way.
        numbers: those under another way; None where it cannot be tried.
    """
    names = [name for name in QUANTITIES if name in logged and name in ours]
    unit = start.weight

    def gap(found: Numbers, other: Numbers = logged) -> float:
        return sum(
            abs(other[name] - found[name]) / (unit if name in REWARDS else 1.0) for name in names
        )

    way, current, left = start, ours, gap(ours)
    total, near = left, NEAR * len(names)
    steps: list[Step] = []
    while left > near and len(steps) < MOST:
        used = {step.cause for step in steps}
        tried = [
            (gap(found), number, change, found)
            for number, change in enumerate(changes(way, known, current, logged))
            if change.cause not in used and (found := numbers(change.way)) is not None
        ]
        if not tried:
            break
        best, _, change, found = min(tried)
        if left - best < max(near / 2, LEAST * left):
            break
        steps.append(Step(change.cause, change.words, left - best))
        way, current, left = change.way, found, best
    rounded = None
    if left > near:
        (other,) = _format(way, known)
        rounded = numbers(other.way)
    rounding = 0.0 if rounded is None else gap(rounded, current)
    return Gap(logged, ours, total, near, tuple(steps), rounding)


def findings(gap: Gap, where: str) -> Iterator[Finding]:
    """Yield what there is to say of a gap; ``where``: what is compared, in words."""
    said = ", ".join(
        f"{name} {gap.logged[name]:.4g} against {gap.ours[name]:.4g}"
        for name in QUANTITIES
        if name in gap.logged and name in gap.ours
    )
    agrees = gap.total <= gap.near
    end = "they agree" if agrees else f"{gap.total:.3g} nats of log-prob apart in all"
    figures = {"gap": gap.total, "unexplained": gap.left}
    figures |= {f"logged.{name}": value for name, value in gap.logged.items()}
    figures |= {f"ours.{name}": value for name, value in gap.ours.items()}
    level: Level = "ok" if agrees else "warning"
    said = f"{where} the log and Qscope say {said}: {end}."
    yield Finding("log", level, said, "log", figures)
    for step in gap.steps:
        said = (
            f"The numbers are {step.closed:.3g} nats nearer ({step.closed / gap.total:.0%} of the "
            f"gap) if {step.words}."
        )
        yield Finding(step.cause, "warning", said, "log.cause", {"closed": step.closed})
    if gap.near < gap.left <= ROUNDED * gap.rounding:
        said = (
            f"The last {gap.left:.3g} nats are no more than rounding may do: another number format "
            f"moves these numbers by {gap.rounding:.3g}."
        )
        yield Finding("number format", "note", said, "log.rounding", {"left": gap.left})
    elif gap.left > gap.near:
        said = f"{gap.left:.3g} nats are unexplained: are these the very pairs of the log?"
        yield Finding("unexplained", "warning", said, "log.unexplained", {"left": gap.left})


# --- the causes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """What of a training says which changes are worth a try."""

    max_length: int | None = None
    max_prompt_length: int | None = None
    max_completion_length: int | None = None
    has_base: bool = False
    """Whether the base without adapters is another reference than the one that is loaded."""
    has_reference: bool = True


def changes(way: Way, known: Known, ours: Numbers, logged: Numbers) -> Iterator[Change]:
    """Yield a way's changes of one cause each."""
    for cause in (_mask, _truncation, _edges, _template, _mean, _format, _reference):
        yield from cause(way, known)
    yield from _beta(way, ours, logged)


def _mask(way: Way, known: Known) -> Iterator[Change]:
    if not way.whole:
        yield Change("mask", "the prompt is scored too", replace(way, whole=True))
    said = {
        "turn": "nothing behind the closing token is scored",
        "rest": "all that the template writes behind a response is scored",
        "apart": "prompt and response are tokenised apart, as CPO and ORPO do",
    }
    for rule in ("turn", "rest", "apart"):
        if rule != way.rule:
            yield Change("mask", said[rule], replace(way, rule=rule))


def _truncation(way: Way, known: Known) -> Iterator[Change]:
    if way.longest is not None:
        yield Change("truncation", "texts are whole", replace(way, longest=None))
    for longest in (known.max_length,) if known.max_length else LENGTHS:
        for keep_end, words in (False, "first"), (True, "last"):
            said = f"texts are cut to their {words} {longest:,} tokens"
            yield Change("truncation", said, replace(way, longest=longest, keep_end=keep_end))
    prompt, completion = known.max_prompt_length or PROMPT, known.max_completion_length
    said = f"prompts are cut to their last {prompt:,} tokens"
    yield Change("truncation", said, replace(way, prompt=prompt))
    if completion is not None:
        said = f"responses are cut to their first {completion:,} tokens"
        yield Change("truncation", said, replace(way, completion=completion))
        said = f"{said}, prompts to their last {prompt:,}"
        yield Change("truncation", said, replace(way, prompt=prompt, completion=completion))


def _edges(way: Way, known: Known) -> Iterator[Change]:
    ends = {"left out": "no closing token is scored", "added": "EOS stands behind and is scored"}
    begins = {"left out": "BOS is left out", "added": "BOS stands before the text once more"}
    edges: tuple[Edge, ...] = ("left out", "added")
    for edge in edges:
        if edge != way.end:
            yield Change("BOS/EOS", ends[edge], replace(way, end=edge))
        if edge != way.begin:
            yield Change("BOS/EOS", begins[edge], replace(way, begin=edge))


def _template(way: Way, known: Known) -> Iterator[Change]:
    said = "texts are in the chat template" if way.plain else "texts are plain, without a template"
    yield Change("template", said, replace(way, plain=not way.plain))


def _mean(way: Way, known: Known) -> Iterator[Change]:
    what = "sums" if way.mean else "means"
    yield Change(
        "mean or sum", f"log-probs are {what} over tokens", replace(way, mean=not way.mean)
    )


def _format(way: Way, known: Known) -> Iterator[Change]:
    dtype = "bfloat16" if way.dtype == "float32" else "float32"
    yield Change("number format", f"models run in {dtype}", replace(way, dtype=dtype))


def _reference(way: Way, known: Known) -> Iterator[Change]:
    if known.has_base and way.reference != "base":
        said = "the reference is the base, adapters off"
        yield Change("reference", said, replace(way, reference="base"))
    if known.has_reference and way.reference != "none":
        said = "there is no reference: rewards are of log π alone"
        yield Change("reference", said, replace(way, reference="none"))


def _beta(way: Way, ours: Numbers, logged: Numbers) -> Iterator[Change]:
    """Yield the beta that makes both sides' rewards those of the log, if one does."""
    sides = [name for name in REWARDS if name in logged and ours.get(name)]
    found = [way.weight * logged[name] / ours[name] for name in sides]
    if not found or min(found) <= 0 or max(found) > 1.05 * min(found):
        return
    beta = float(f"{sum(found) / len(found):.3g}")
    if way.beta is None or not agree(beta, way.beta):
        yield Change("β", f"β is {beta:g}", replace(way, beta=beta))
