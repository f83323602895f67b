"""Whether two models look like a policy and its reference, by ordinary sentences, as a record.

The bound is by measurement on the demo's models (SmolLM2-135M, float32): its DPO is 0.39 nat a
token from the SFT model that it began with on core.models.plausible's sentences, the last steps of
its training runs 0.06 and 0.02; with the bare base in place of that SFT model it is 1.09 and 0.92.
Knows no model.
"""

import math
from dataclasses import dataclass

LARGE = 0.7
"""Nats a token: between what DPO leaves and what a wrong base gives, by the figures above."""
CHANCE = 0.8
"""The share of −log(vocabulary) beyond which a model does no better than guess."""


@dataclass(frozen=True, slots=True)
class Plausibility:
    """How a policy and its reference read ordinary sentences of ``tokens`` tokens, in nats."""

    tokens: int
    log_ratio: float
    """The mean of |log π − log π_ref| over the tokens."""
    zeros: float
    """The share of tokens, 0..1, whose log-ratio is exactly 0."""
    policy: float
    """The mean log-prob of a token under the policy."""
    reference: float
    vocabulary: int


def doubts(found: Plausibility) -> tuple[str, ...]:
    """Return what speaks against two models' being a policy and its reference, a sentence each."""
    sample = f"on {found.tokens} tokens of ordinary text"
    said = []
    if found.zeros == 1.0:
        said.append(
            f"Policy and reference give the same log-probs {sample}: one is the other, or the "
            f"adapter does nothing, so every reward is 0."
        )
    elif found.log_ratio > LARGE:
        said.append(
            f"Policy and reference are {found.log_ratio:.2f} nat a token apart {sample}, where DPO "
            f"usually leaves less than {LARGE:g}: check that this is the model that the training "
            f"began with, and the adapter's base the one that it was trained on."
        )
    guess = -math.log(found.vocabulary)
    for name, logp in (("policy", found.policy), ("reference", found.reference)):
        if logp < CHANCE * guess:
            said.append(
                f"The {name} gives {_nats(logp)} nat a token {sample}, hardly better than a guess "
                f"({_nats(guess)}): check its weights, its base and its tokenizer."
            )
    return tuple(said)


def _nats(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")
