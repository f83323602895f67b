"""What a search is: its strategy, objective and limits, as frozen records, and what they may be.

The window and the command line name them before torch is loaded, and are made from them. Log-probs
are in nats. Knows nothing of models or widgets, and no strategy by name: each is a module of
core.search.strategies.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar

from core.errors import UserFacingError
from core.setting import Setting, problems_of, setting, settings_of, values_of

MOST_AT_ONCE = 4096
"""Of what goes through the models in one step: wider ones fit no memory."""
MOST_IN_ALL = 10**6
MOST_PENALTY = 50.0
"""Of the length penalty's size: MOST_IN_ALL ** 50 is still a float."""
MOST_SEED = 2**31 - 1
WEIGHT = Setting(
    "λ",
    "λ: score(y) = Σ [log π_ref + (λ/β) r]. 0 the reference, 1 the policy, above 1 more reward "
    "than the training asked for",
    -1e6,
    1e6,
    step=0.05,
    default=1.0,
)
"""The weight of the reward in an objective, β left out."""

REWARD_ALONE = (
    "Σ r alone, with nothing that holds it to the reference: it over-optimises, and finds text "
    "that no reader would like."
)
EMULATED = (
    "Emulated fine-tuning: the larger model's likelihood, plus λ times what the pair was taught. λ "
    "is a weight of decoding, not the β of the training."
)


@dataclass(frozen=True, slots=True)
class Objective:
    """What a search adds up, as weights of the models' log-probs:

    score(y) = Σ_t policy·log π(a_t|s_t) + reference·log π_ref(a_t|s_t) + base·log π_base(a_t|s_t)
    """

    policy: float = 1.0
    reference: float = 0.0
    base: float = 0.0

    @classmethod
    def dial(cls, weight: float) -> "Objective":
        """Return score(y) = Σ_t [log π_ref + (λ/β) r_t] with λ = ``weight``.

        0: reference likelihood; 1: policy likelihood, which is reward less KL cost (Eqs. 12, 13);
        above 1: extrapolated (decoding-time realignment).
        """
        return cls(policy=weight, reference=1.0 - weight)

    @classmethod
    def reward(cls) -> "Objective":
        """Return Σ_t r_t / β alone: λ without bound, unregularised, so it over-optimises."""
        return cls(policy=1.0, reference=-1.0)

    @classmethod
    def emulated(cls, weight: float) -> "Objective":
        """Return emulated fine-tuning (Eqs. 14, 15): Σ_t [log π_base + weight · r_t / β]."""
        return cls(policy=weight, reference=-weight, base=1.0)

    @property
    def policy_alone(self) -> bool:
        """Whether neither the reference nor a base is needed to search."""
        return not self.reference and not self.base

    @property
    def name(self) -> str:
        """The objective in a word or two: its place on the dial."""
        if self.base:
            return f"emulated, λ = {self.policy:.3g}"
        return "reward alone" if self == Objective.reward() else f"λ = {self.policy:.3g}"

    @property
    def meaning(self) -> str:
        """What a search for it finds, in a sentence or two."""
        weight = round(self.policy, 4)
        if self.base:
            return EMULATED
        if self == Objective.reward():
            return REWARD_ALONE
        if weight < 0:
            return "Away from what the training asked for: the less reward, the better."
        if weight == 0:
            return "The reference's own likeliest text: the reward counts for nothing."
        if weight < 1:
            return "Between reference and policy: less reward, nearer to π_ref than DPO went."
        if weight == 1:
            return (
                "The policy's likelihood, which is reward less its KL cost: what DPO trained for."
            )
        warning = " So far out it may over-optimise." if weight > 2 else ""
        return (
            "Extrapolated: more reward than the training asked for, at a smaller β in effect "
            "(decoding-time realignment)." + warning
        )


@dataclass(frozen=True, slots=True)
class Strategy:
    """The settings of one strategy of search. Each is a subclass, in a module of its own."""

    name: ClassVar[str]
    """On the command line, and in files."""
    title: ClassVar[str]
    meaning: ClassVar[str]
    """What it does, in a line under its title, without a full stop."""
    offered: ClassVar[bool] = True
    """Whether a user can choose it."""
    needs_reference: ClassVar[bool] = False

    def conflicts(self) -> dict[str, str]:
        """Return a sentence for each setting that does not fit the others, by its name.

        Asked only if each setting is within its own limits.
        """
        return {}


def at_once(default: int, title: str, meaning: str) -> int:
    """Declare a strategy's setting: of how much there is one in each step."""
    return setting(default, title, meaning, 1, MOST_AT_ONCE)


def in_all(default: int, title: str, meaning: str) -> int:
    """Declare a strategy's setting: of how much there is one in the whole search."""
    return setting(default, title, meaning, 1, MOST_IN_ALL)


def seed() -> int:
    """Declare a strategy's seed."""
    meaning = "The same seed and settings give the same samples again"
    return setting(0, "Seed", meaning, 0, MOST_SEED)


def temperature() -> float:
    """Declare a strategy's temperature."""
    meaning = "Samples come from softmax(score / temperature)"
    return setting(1.0, "Temperature", meaning, 0, above=True, step=0.1)


def max_tokens() -> int:
    """Declare the length at which a response is cut off."""
    meaning = "Where a response is cut off, counted from the search's start"
    return setting(64, "Most tokens", meaning, 1, MOST_IN_ALL)


def length_penalty() -> float:
    """Declare the exponent of a hypothesis' length by which its score is divided."""
    meaning = (
        "Finished hypotheses are ranked by score / length ** penalty. 0: the sum, as the paper has "
        "it; 1: the mean"
    )
    return setting(0.0, "Length penalty", meaning, -MOST_PENALTY, MOST_PENALTY, step=0.1)


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """One search. ``max_tokens`` counts from its start, the closing token included.

    ``length_penalty``: finished hypotheses are ranked by score / length ** length_penalty (0: the
    sum; 1: the mean), the convention of Hugging Face's ``generate``.
    """

    strategy: Strategy
    objective: Objective = field(default_factory=Objective)
    max_tokens: int = max_tokens()
    length_penalty: float = length_penalty()
    policy_only: bool = False
    """Leave the reference out, where the objective is the policy's likelihood: faster, but no
    rewards are known."""


def problems(spec: SearchSpec) -> dict[str, str]:
    """Return a sentence for each setting of a search that cannot be used, by its name."""
    strategy, objective = spec.strategy, spec.objective
    found = problems_of(strategy) or strategy.conflicts()
    found |= problems_of(spec)
    if sentence := WEIGHT.problem(objective.policy):
        found["objective"] = sentence
    elif not (math.isfinite(objective.reference) and math.isfinite(objective.base)):
        found["objective"] = "The weights of the objective must be finite numbers."
    if spec.policy_only and strategy.needs_reference:
        found["policy_only"] = (
            f"{strategy.title} needs the reference: it cannot be left out of this search."
        )
    return found


def check(spec: SearchSpec) -> None:
    """Refuse a search that makes no sense.

    Raises:
        UserFacingError: one sentence that names the setting and what it may be.
    """
    for sentence in problems(spec).values():
        raise UserFacingError(sentence)


def named(spec: SearchSpec) -> str:
    """Return a search in a few words: strategy, its first setting, objective."""
    strategy, values = spec.strategy, values_of(spec.strategy)
    if not strategy.offered or not values:
        return strategy.title
    first = settings_of(type(strategy))[0]
    return f"{strategy.title}, {first.title.lower()} {values[first.name]} · {spec.objective.name}"
