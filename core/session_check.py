"""Compares what a session has recorded with what the pair says now.

Log-ratios of tokens are compared, in nats: they are what rewards are made of, whatever beta is. Two
of them may differ by as much as rounding moves either. Knows recordings and scorings; asks nothing
and draws nothing.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.engine.protocol import PairInfo, Variant
from core.noise import LEAST, NoiseFloor
from core.recording import Recording
from core.scoring import Scoring

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How far a recording and the pair agree. Counts are of tokens."""

    tokens: int = 0
    differ: int = 0
    """Tokens whose log-ratio differs by more than the floor."""
    largest: float = 0.0
    """The largest difference, in nats."""
    other_tokens: int = 0
    """Responses that the pair reads in other tokens: they are in none of the counts."""
    unscored: int = 0
    """Responses that the pair cannot score now: neither are they."""

    @property
    def agrees(self) -> bool:
        """Return whether all that was recorded could be compared, and nothing differs."""
        return bool(self.tokens) and not (self.differ or self.other_tokens or self.unscored)

    @property
    def sentence(self) -> str:
        """Return what came of the comparison: "3 of 41 tokens differ beyond the floor (largest
        0.21)."; "" if nothing was compared."""
        said = []
        if self.differ:
            largest = f"{self.largest:.2g}" if math.isfinite(self.largest) else "without bound"
            verb = "differs" if self.differ == 1 else "differ"
            said.append(
                f"{self.differ} of {_tokens(self.tokens)} {verb} beyond the floor (largest "
                f"{largest})."
            )
        elif self.tokens:
            said.append("The one token agrees." if self.tokens == 1
                        else f"All {self.tokens} tokens agree.")  # fmt: skip
        if self.other_tokens:
            many = (
                "1 response is" if self.other_tokens == 1 else f"{self.other_tokens} responses are"
            )
            said.append(f"{many} read in other tokens now.")
        if self.unscored:
            many = "1 response" if self.unscored == 1 else f"{self.unscored} responses"
            said.append(f"{many} cannot be scored now.")
        return " ".join(said)


def variants_of(recording: Recording, checkpoint: str) -> tuple[Variant, ...]:
    """Return all responses that were recorded under a checkpoint, as ScoreVariants takes them, so
    that the pair can score just these tokens again."""
    return tuple(
        Variant(it.prompt, it.tokens.text, it.tokens.ids)
        for it in recording.responses.values()
        if checkpoint in it.scorings
    )


def to_compare(
    recording: Recording, info: PairInfo, shown: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the checkpoints under which anything was recorded and that the pair has, the shown one
    first, then by step; and what there is to say of those that are not compared, a sentence each.

    Whole models but the one that is shown are left out, as each would have to be read; a pair that
    is of no run has the one checkpoint "".
    """
    there = {it.path: it for it in info.checkpoints}
    recorded = recording.checkpoints()
    known = [path for path in there or ("",) if path in recorded]
    found = [path for path in known if path == shown or not (there and there[path].whole)]
    said = []
    if gone := len(recorded) - len(known):
        is_are = "checkpoint is" if gone == 1 else "checkpoints are"
        said.append(f"{gone} recorded {is_are} not there now.")
    if whole := len(known) - len(found):
        is_are = "checkpoint is a whole model" if whole == 1 else "checkpoints are whole models"
        said.append(f"{whole} other {is_are} and not compared.")
    return tuple(sorted(found, key=lambda path: path != shown)), tuple(said)


def in_all(found: Collection[Agreement]) -> Agreement:
    """Return what several comparisons say together."""
    return Agreement(
        tokens=sum(it.tokens for it in found),
        differ=sum(it.differ for it in found),
        largest=max((it.largest for it in found), default=0.0),
        other_tokens=sum(it.other_tokens for it in found),
        unscored=sum(it.unscored for it in found),
    )


def over_checkpoints(found: Mapping[str, Agreement], info: PairInfo) -> str:
    """Return what came of the comparisons under checkpoints, by their paths; "" if nothing was
    compared. Of several those that do not agree are named by their steps."""
    whole = in_all(found.values())
    if len(found) < 2 or not whole.sentence:
        return whole.sentence
    steps = {it.path: it.step for it in info.checkpoints}
    apart = [steps.get(path, 0) for path, it in found.items() if it.sentence and not it.agrees]
    under = f"{len(found)} checkpoints were compared"
    if not apart:
        return f"{whole.sentence} {under}."
    named = ", ".join(f"step {step}" for step in sorted(apart))
    return f"{whole.sentence} {under}; not alike: {named}."


def compare(
    recorded: Iterable[Scoring],
    now: Iterable[Scoring | None],
    floors: Iterable[NoiseFloor | None] = (),
) -> Agreement:
    """Return how far recorded scorings agree with those of the same responses now.

    Args:
        now: in the same order; None for what cannot be scored.
        floors: the noise floors then and now, as far as they are known: errors of both add up, as
            the root of their squares. What is too small to be shown is no difference.
    """
    noise = math.hypot(*(it.token for it in floors if it is not None))
    floor = max(noise, LEAST)
    found = Agreement()
    for old, new in zip(recorded, now, strict=True):
        if new is None:
            found = replace(found, unscored=found.unscored + 1)
        elif not np.array_equal(old.ids, new.ids):
            found = replace(found, other_tokens=found.other_tokens + 1)
        else:
            apart = _apart(_ratios(old, new), _ratios(new, old))
            found = replace(
                found,
                tokens=found.tokens + len(apart),
                differ=found.differ + int((apart > floor).sum()),
                largest=max(found.largest, float(apart.max(initial=0.0))),
            )
    return found


def other_weights(recorded: PairInfo, loaded: PairInfo) -> tuple[str, ...]:
    """Return a sentence for each part of a pair whose weights are not those that were recorded.

    Nothing is said of parts of which either has no identity, nor of a run's policy where more
    checkpoints have been saved since: then it is another one by right.
    """
    then, now = ([it.path for it in info.checkpoints[-1:]] for info in (recorded, loaded))
    return tuple(
        f"The {role} is not the one that was recorded: its weights are others."
        for role, known in recorded.weights.items()
        if loaded.weights.get(role, known) != known and not (role == "policy" and then != now)
    )


def _ratios(scoring: Scoring, beside: Scoring) -> Floats:
    """Return the log-ratios of tokens; the policy's log-probs where one of two scorings, this and
    the one that it is compared with, has no reference."""
    if scoring.logp_reference is None or beside.logp_reference is None:
        return scoring.logp_policy
    return scoring.logp_policy - scoring.logp_reference


def _apart(old: Floats, new: Floats) -> Floats:
    """Return how far numbers are apart; infinitely where only one of two is a number."""
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    with np.errstate(invalid="ignore"):
        apart = np.abs(old - new)
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"
