"""Defines the measures that tokens can be coloured by: an entry here is all that a measure needs.

The window's list, its legend, tooltips and scales are made from MEASURES. Arrays have one row per
scored token, the closing ones last. Knows scorings, beta, losses and the paper's quantities; knows
nothing of widgets, colours or the engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from core import quantities
from core.engine.protocol import Side
from core.losses import UNNAMED, TrainingLoss
from core.noise import NOISELESS, NoiseFloor
from core.present.units import Floats, groups, roll_up, strongest
from core.scoring import Scoring
from core.text import Alignment, Unit

Known = Mapping[Side, Scoring]
Compute = Callable[[Known, Alignment | None, float], dict[Side, Floats]]
"""Computes a value for each row of each side, NaN for none, from scorings, alignment and beta. A
side of which nothing is known is left out."""


@dataclass(frozen=True)
class Measure:
    """One way to colour tokens."""

    key: str
    """The name under which settings remember it."""
    title: str
    quantity: str
    """Its symbol, as the legend writes it."""
    unit: str
    equation: str
    sign: str
    """What positive and negative values, or large and small ones, mean."""
    meaning: str
    compute: Compute
    """Its values at tokens; words show their strongest token's, sentences and lines sums."""
    kind: Literal["diverging", "sequential"] = "diverging"
    """Its colours: two of them, from 0 both ways, or one that says how far from 0."""
    noise: float = 0.0
    """Its noise in units of a reward's noise; 0 where it is not made of rewards."""
    at_most_zero: bool = False
    """Whether no value is above 0, for the legend of a sequential scale."""
    running: bool = False
    """Whether values are running sums, so that a word has that of its last token."""
    needs_reference: bool = False

    @property
    def explanation(self) -> str:
        """Return all that a tooltip says."""
        return f"{self.quantity} = {self.equation}, in {self.unit}. {self.meaning} {self.sign}"

    def unit_at(self, beta: float | None) -> str:
        """Return the unit of its values; a beta that is not known is taken as 1."""
        return self.unit if beta is not None else self.unit.removeprefix("β·")


def rewards(scoring: Scoring, beta: float) -> Floats | None:
    """Return the implicit rewards, [n] (Eq. 11); None without a reference."""
    return UNNAMED.rewards(scoring.logps, beta)


def each(of: Callable[[Scoring, float], Floats | None]) -> Compute:
    """Return a computation that takes each response by itself; None where it has no values."""

    def compute(known: Known, pairs: Alignment | None, beta: float) -> dict[Side, Floats]:
        found = {side: of(scoring, beta) for side, scoring in known.items()}
        return {side: values for side, values in found.items() if values is not None}

    return compute


def _excess(scoring: Scoring, beta: float) -> Floats | None:
    r = rewards(scoring, beta)
    if r is None or scoring.kl is None:
        return None
    return quantities.excess_reward(r, scoring.kl, beta)


def _surprise(scoring: Scoring, beta: float) -> Floats | None:
    if scoring.logp_reference is None or scoring.entropy_reference is None:
        return None
    return -scoring.logp_reference - scoring.entropy_reference


def _gain(scoring: Scoring, beta: float) -> Floats | None:
    r = rewards(scoring, beta)
    return None if r is None else quantities.value_gain(r)


def deltas(known: Known, pairs: Alignment | None, beta: float) -> dict[Side, Floats]:
    """Return r(B) − r(A) on the tokens that both have, the closing ones too; else NaN."""
    found = {side: np.full(len(scoring), np.nan) for side, scoring in known.items()}
    if len(known) == 2 and pairs is not None:
        a, b = known["A"], known["B"]  # by their names: the side scored first may stand first
        ra, rb = rewards(a, beta), rewards(b, beta)
        if ra is None or rb is None:
            return {}
        closing = (range(len(it.tokens), len(it)) for it in (a, b))
        for i, j in (*pairs.pairs, *zip(*closing, strict=False)):
            found["A"][i] = found["B"][j] = rb[j] - ra[i]
    return found


REWARD = Measure(
    key="reward",
    title="Implicit reward",
    quantity="implicit reward r",
    unit="β·nats",
    equation="β (log π − log π_ref)  (Eq. 11)",
    meaning="What the training taught the policy about this token, here.",
    sign="Positive: likelier than before the training; negative: avoided.",
    compute=each(rewards),
    noise=1.0,
    needs_reference=True,
)


@cache
def share(objective: TrainingLoss) -> Measure:
    """Return the measure of what a token adds to its response's score under a loss."""
    main = objective.main
    return Measure(
        key="share",
        title="Share of the loss's score",
        quantity="share of the score",
        unit="β·nats" if main.scaled else "nats",
        equation=f"what the token adds to {main.score or 'log π/π_ref'}",
        meaning=f"What the training's loss makes of this token ({objective.title}).",
        sign="Positive: raises the score; negative: lowers it.",
        compute=each(lambda scoring, beta: objective.rewards(scoring.logps, beta)),
    )


_ALL = (
    REWARD,
    Measure(
        key="excess",
        title="Reward less its expectation",
        quantity=f"r − β·{quantities.KL_FORWARD}",
        unit="β·nats",
        equation="β (log π − log π_ref) − E_π[β (log π − log π_ref)]",
        meaning="The implicit reward less what the policy expects of its own tokens there.",
        sign="Positive: better than the policy's average token.",
        compute=each(_excess),
        noise=1.0,
        needs_reference=True,
    ),
    Measure(
        key="logp_policy",
        title="log π (policy)",
        quantity="log π",
        unit="nats",
        equation="log π(a|s)",
        meaning="Log-probability under the policy; times β it is the advantage Q* − V*.",
        sign="Zero: certain; the lower, the more surprising.",
        compute=each(lambda s, beta: s.logp_policy),
        kind="sequential",
        at_most_zero=True,
    ),
    Measure(
        key="logp_reference",
        title="log π_ref (reference)",
        quantity="log π_ref",
        unit="nats",
        equation="log π_ref(a|s)",
        meaning="Log-probability under the reference: how surprising the token is without DPO.",
        sign="Zero: certain; the lower, the more surprising.",
        compute=each(lambda s, beta: s.logp_reference),
        kind="sequential",
        at_most_zero=True,
        needs_reference=True,
    ),
    Measure(
        key="surprise_reference",
        title="Surprise beyond expectation (reference)",
        quantity="−log π_ref − H(π_ref)",
        unit="nats",
        equation="−log π_ref(a|s) − H(π_ref(·|s))",
        meaning="How much more the token surprised the reference than the reference's own tokens "
        "would there, on average.",
        sign="Positive: more surprising; near zero: as expected; negative: likelier than that.",
        compute=each(_surprise),
        needs_reference=True,
    ),
    Measure(
        key="kl",
        title=quantities.KL_FORWARD,
        quantity=quantities.KL_FORWARD,
        unit="nats",
        equation="Σ_a π(a|s) (log π(a|s) − log π_ref(a|s))",
        meaning="How far policy and reference differ at the state before the token, over the "
        "whole vocabulary.",
        sign="Zero: no difference.",
        compute=each(lambda s, beta: s.kl),
        kind="sequential",
        needs_reference=True,
    ),
    Measure(
        key="gain",
        title="Prefix value gain",
        quantity="Σr up to here",
        unit="β·nats",
        equation="Σ r over the tokens up to this one",
        meaning="Running sum of rewards: V*(s) − V*(s₀) plus the true rewards so far.",
        sign="Positive: the response so far gained reward.",
        compute=each(_gain),
        noise=1.0,
        running=True,
        needs_reference=True,
    ),
    Measure(
        key="delta",
        title="Δ (B − A) on equal tokens",
        quantity="r(B) − r(A)",
        unit="β·nats",
        equation="the reward in B less that of the same token in A",
        meaning="How the reward of tokens that A and B share changed: what an edit did elsewhere. "
        "Edited tokens have no colour.",
        sign="Positive: better in B.",
        compute=deltas,
        noise=float(np.sqrt(2)),  # a difference of two rewards, whose errors are independent
        needs_reference=True,
    ),
    share(UNNAMED),
)
MEASURES: dict[str, Measure] = {measure.key: measure for measure in _ALL}
"""All measures by key, in the order of the window's list."""


def of_training(key: str, objective: TrainingLoss) -> Measure:
    """Return the measure of a key for a training."""
    return share(objective) if key == "share" else MEASURES[key]


def why_not(measure: Measure, objective: TrainingLoss, alone: bool) -> str:
    """Return why a measure is not there for a pair, one sentence; "" if it is.

    ``alone``: there is no reference.
    """
    needs = measure.needs_reference
    if measure.key == "share":
        if not objective.losses:
            return "The training's loss is not known: name it to see what it makes of each token."
        if not objective.additive:
            return f"{objective.title}: the score is no sum over tokens."
        if objective.ld_alpha is not None:
            return f"{objective.title}: shares depend on how long the other response is."
        needs = objective.main.reference
    return "It needs a reference, and the policy is alone." if needs and alone else ""


def shown(
    measure: Measure,
    unit: Unit,
    beta: float,
    known: Known,
    pairs: Alignment | None,
    noise: NoiseFloor = NOISELESS,
) -> dict[Side, Floats]:
    """Return what the tokens of each side are coloured by, [n] each.

    A word has the value of its strongest token, so that one bad token is seen in a long word;
    sentences and lines have sums. NaN where it is not known, 0 where noise hides it.
    """
    raw = measure.compute(known, pairs, beta)
    found: dict[Side, Floats] = {}
    for side, scoring in known.items():
        if side not in raw:
            found[side] = np.full(len(scoring), np.nan)
            continue
        group = groups(scoring.tokens, unit, len(scoring))
        if unit == "word" and not measure.running:
            values, group = strongest(raw[side], group), np.arange(len(group))
        else:
            values = roll_up(raw[side], group, measure.running)
        if measure.noise:
            ones = np.isfinite(raw[side]) * 1.0
            tokens = np.arange(1.0, len(group) + 1) if measure.running else ones
            count = roll_up(tokens, group, measure.running)
            values = np.where(noise.hides(values, measure.noise * beta, count), 0.0, values)
        found[side] = values
    return found
