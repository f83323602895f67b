"""The records of what was found, as the report, the window and files hold them.

Effects are in nats of log π − log π_ref, above 0 for what the policy prefers. Knows no way to find
anything.
"""

from dataclasses import dataclass
from typing import Literal

from core.text import Prompt

MOST_RESPONSES = 2000
"""Responses of a file that are looked through, where the user does not say how many."""
SAMPLED = 200
"""Responses that are sampled from the reference, where the user does not say how many."""
Status = Literal["confirmed", "seen, not confirmed"]


@dataclass(frozen=True, slots=True)
class Member:
    """A word, mark or pair that an effect is found at, over ``count`` distinct contexts."""

    name: str
    effect: float
    count: int


@dataclass(frozen=True, slots=True)
class Context:
    """A place where it was found: ``text[start:stop]`` of a response."""

    response: int
    start: int
    stop: int
    effect: float
    """Of what stands there."""
    side: int = 1
    """1 for what is named, −1 for what that is weighed against."""


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """A response as it is and with one thing changed.

    ``change`` is by how much Σ (log π − log π_ref) is higher of the text that has what the finding
    names, in nats.
    """

    response: int
    before: str
    """What stands there."""
    after: str
    """What was put in its place; "" where it was left out."""
    text: str
    """The changed response."""
    change: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the policy prefers or avoids, and what speaks for it."""

    kind: str
    name: str
    other: str
    """What it is weighed against; "" if nothing."""
    effect: float
    """Mean over distinct contexts, or over a family's members."""
    error: float
    """Its standard error, the variance shrunk towards that of all candidates."""
    count: int
    """Distinct contexts or members that the mean is over."""
    over: Literal["contexts", "words", "responses"]
    responses: int
    agreeing: int
    """Of these, in which the effect has the sign of the mean."""
    listed: bool
    """Whether it is of a list that ships, and not found in the data."""
    members: tuple[Member, ...] = ()
    """The strongest first."""
    exceptions: tuple[Member, ...] = ()
    """Members with an effect of the other sign."""
    family: tuple[str, ...] = ()
    """Candidates that lose half of their effect without it: what comes along with it."""
    sides: tuple[float, float] | None = None
    """The mean effects of what is named and of what it is weighed against."""
    contexts: tuple[Context, ...] = ()
    """The strongest first."""
    pairs: tuple[MinimalPair, ...] = ()
    unpaired: str = ""
    """Why there are no minimal pairs, in a sentence, where they were asked for."""
    status: Status = "seen, not confirmed"
    after: int = 0
    """How many findings' tokens had been taken off before it was looked for."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what it is known by, whatever pair shows it."""
        return self.kind, self.name, self.other

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95% interval of the effect."""
        return self.effect - 1.96 * self.error, self.effect + 1.96 * self.error

    @property
    def sentence(self) -> str:
        """Return it in words: what the policy does, how much, and how often that was seen."""
        return f"{self.claim} ({self.figures})"

    @property
    def figures(self) -> str:
        """Return how much it is, and how often that was seen."""
        per = {"properties": "a response", "length": "at the end of a sentence"}
        size = per.get(self.kind, "a time")
        return f"{self.effect:+.2f} nats {size}, {self.agreeing} of {self.responses} responses"

    @property
    def claim(self) -> str:
        """Return what the policy does, without figures."""
        likes = self.effect > 0
        if self.other:
            one, two = (self.name, self.other) if likes else (self.other, self.name)
            return f"prefers {one} to {two}"
        if self.kind == "length":
            return "ends responses sooner" if likes else "ends responses later"
        return f"{'prefers' if likes else 'avoids'} {self.name}"

    @property
    def moved(self) -> float | None:
        """Return the mean change of the minimal pairs, in nats; None where there are none."""
        if not self.pairs:
            return None
        return sum(pair.change for pair in self.pairs) / len(self.pairs)


@dataclass(frozen=True, slots=True)
class Swap:
    """What the policy writes where the reference wrote something else: ``rate`` is the net
    probability that flows from the one to the other over √(E_ref[before] · E_π[after])."""

    before: str
    after: str
    rate: float
    flow: float
    """Expected occurrences over all states."""
    states: int
    """Over how many of these it is spread."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """A token that the policy promotes or demotes wherever it could stand, written there or not:
    ``effect`` is log(Σ π / Σ π_ref) over all states, less what is expected."""

    token: str
    effect: float
    reference: float
    """Expected occurrences under the reference."""
    policy: float
    first: bool
    """Whether it is as the first token of a response."""
    states: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """A response that was sampled at λ: 0 is the reference, 1 the policy, more is amplified."""

    prompt: str
    weight: float
    text: str
    whole: bool


@dataclass(frozen=True, slots=True)
class Recurring:
    """A word or mark that recurs in amplified responses: in how many of them, and in how many of
    as many of the reference's."""

    name: str
    amplified: int
    reference: int
    of: int


@dataclass(frozen=True, slots=True)
class Weighed:
    """A candidate that was weighed, before anything was taken off: a finding or not."""

    kind: str
    name: str
    other: str
    effect: float
    error: float


@dataclass(frozen=True, slots=True)
class AtCheckpoint:
    """The effects that the findings of a run's last checkpoint had at another one, in their order;
    None where one could not be weighed there."""

    step: int
    name: str
    """Of its folder."""
    effects: tuple[float | None, ...]
    errors: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """How it was measured."""

    responses: int
    states: int
    corpus: str
    floor: float
    """The least effect, less 2.5 standard errors, that is shown, in nats: a factor of two, or the
    spread of residuals or twice the noise where these are more."""
    noise: float | None
    """Of one log-ratio in the number format of the models, in nats; None where not measured."""
    scale: float
    """The spread of residuals, in nats."""
    kl: float
    """The mean of log π − log π_ref over the states, its sign turned: an estimate of KL(π_ref ‖ π)
    a token where the reference itself has said the texts."""
    coefficients: dict[str, float]
    """What was taken off each log-ratio, per unit of each column."""
    base: bool
    """Whether SFT's own direction could be taken off."""
    candidates: int
    discovered: int
    """Candidates at a false discovery rate of 5%, which is reported and decides nothing."""
    skipped: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    """Where the responses come from, in sentences."""
    sampled: bool = False
    """Whether the reference itself has said them."""
    divergence: float | None = None
    """What KL(π_ref ‖ π) is at least, a state, in nats; None in older reports."""


@dataclass(frozen=True, slots=True)
class Learned:
    """All that was found of a pair."""

    policy: str
    reference: str
    findings: tuple[Finding, ...]
    swaps: tuple[Swap, ...]
    unseen: tuple[Unseen, ...]
    samples: tuple[Sampled, ...]
    recurring: tuple[Recurring, ...]
    method: Method
    prompts: tuple[Prompt, ...]
    texts: tuple[str, ...]
    """Of the responses, by whose numbers findings name them."""
    notes: tuple[str, ...] = ()
    weighed: tuple[Weighed, ...] = ()
    """All candidates, for another pair to be compared with this one."""
    over: tuple[AtCheckpoint, ...] = ()
    """By step; empty where that was not asked."""


def fault(found: Learned) -> str:
    """Return why a record that was read cannot be one, "" if nothing speaks against it: places lie
    in their texts, and what is weighed at checkpoints is of the findings."""
    texts = found.texts
    if len(found.prompts) != len(texts):
        return "its prompts are not those of its texts"
    for finding in found.findings:
        named = {it.response for it in finding.contexts} | {it.response for it in finding.pairs}
        if not named <= set(range(len(texts))):
            return "a finding names a text that is not there"
        for it in finding.contexts:
            if not 0 <= it.start <= it.stop <= len(texts[it.response]) or it.side not in (-1, 1):
                return "a finding names a place that is not there"
        if not (finding.error >= 0 and 0 <= finding.agreeing <= finding.responses):
            return "a finding has a figure that cannot be"
    if not all(len(it.effects) == len(it.errors) == len(found.findings) for it in found.over):
        return "what is weighed at checkpoints is not of its findings"
    return ""
