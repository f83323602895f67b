"""How well a pair localises errors: figures over tokens and over words of held-out pairs.

Units are the tokens of the rejected response (the closing token among them) or its
whitespace-separated words (a word's value is the sum over its tokens; the closing token is a unit
of its own). A unit is wrong if it touches the span of a wrong fact. Three scores are compared:
−reward, −log π_ref and −log π; each is higher where the unit looks worse. All numbers are those
that core.models.score gives of a response. Knows nothing of files.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserFacingError
from core.preferences import Preference
from core.progress import Report
from core.runs.records import Checkpoint
from core.scoring import Scoring
from core.text import Prompt, Tokens

if TYPE_CHECKING:
    from core.models.pair import Pair

Array = np.ndarray[Any, np.dtype[Any]]
SCORES = ("-reward", "-log_ref", "-log_policy")
LIKELY = 4.0
"""Nats. An error is *likely* if the reference's surprise, summed over the tokens of the error's
words, is at most this (the reference would write it at least once in 55 times)."""
LIKELY_MEANS = (
    f"pairs in which -log pi_ref, summed over the tokens of the words of each error, is at most "
    f"{LIKELY} nats"
)
TOGETHER = 8
"""Prompts whose KV under the reference is kept while checkpoint after checkpoint is placed."""


@dataclass(frozen=True, eq=False, slots=True)
class Scored:
    """A pair with log-probs (nats) of the rejected answer's n tokens, the closing one last.

    ``words``: the word of each token (the closing token is a word of its own); ``spans``: the set
    of tokens that touch each wrong fact; ``chosen`` and ``rejected``: Σ log π − log π_ref of all
    tokens after the prompt; ``kl``: KL(π_ref‖π) summed over the states of the chosen one (Eq. 16).
    """

    pair: Preference
    policy: Array
    reference: Array
    words: Array
    spans: tuple[frozenset[int], ...]
    chosen: float
    rejected: float
    kl: float = 0.0

    @property
    def surprise(self) -> float:
        """The largest surprise of the reference at one of the errors, summed over its words."""
        totals = []
        for tokens in self.spans:
            words = {int(self.words[token]) for token in tokens}
            totals.append(-float(self.reference[np.isin(self.words, list(words))].sum()))
        return max(totals)


def score_pairs(
    models: "Pair", checkpoints: Sequence[Checkpoint], pairs: Sequence[Preference], report: Report
) -> dict[int, list[Scored]]:
    """Return, by step, all pairs scored with each checkpoint as the policy.

    Adapters take turns at a few prompts, so that the reference runs once for all of them; a whole
    model is placed once for all prompts. What the models have computed before is forgotten.

    Raises:
        UserFacingError: a checkpoint does not belong to the run, or a text cannot be scored.
    """
    groups: dict[Prompt, list[int]] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(pair.turns, []).append(number)
    work = list(groups.values())
    parts = [work[first : first + TOGETHER] for first in range(0, len(work), TOGETHER)]
    whole = any(checkpoint.whole for checkpoint in checkpoints)
    rounds = [(checkpoint,) for checkpoint in checkpoints] if whole else [tuple(checkpoints)]
    scored: dict[int, list[Scored]] = {checkpoint.step: [] for checkpoint in checkpoints}
    done = 0
    for turns in rounds:
        for part in parts:
            models.forget()
            for checkpoint in turns:
                models.use(checkpoint.path)
                for line, numbers in enumerate(part):
                    group = {number: pairs[number] for number in numbers}
                    scored[checkpoint.step] += _score(models, group, f"{line}")
                done += 1
                report("Scoring held-out pairs", done / (len(parts) * len(checkpoints)))
    return scored


def _score(models: "Pair", pairs: dict[int, Preference], line: str) -> list[Scored]:
    """Score pairs of one prompt, by their number from 0, run in a line of the models' KV."""
    from core.models.score import score_all

    group, codec = list(pairs.values()), models.codec
    prompt = group[0].turns
    try:
        responses = []
        for pair in group:
            sides = [codec.reply(prompt, turns) for turns in pair.replies]
            for text, beside in zip(sides, reversed(sides), strict=True):
                responses.append((prompt, codec.encode(prompt, text, beside)))
        found = score_all(models, responses, line=line)
    except UserFacingError as error:
        which = ", ".join(f"{number + 1}" for number in pairs)
        raise UserFacingError(f"Pair {which}: {error}") from error
    return list(map(_scored, group, found[::2], found[1::2]))


def _scored(pair: Preference, chosen: Scoring, rejected: Scoring) -> Scored:
    """Return the figures of a pair; what precedes an answer (earlier turns) is in no unit."""
    answer = pair.answers[1]
    assert chosen.logp_reference is not None and chosen.kl_reverse is not None
    assert rejected.logp_reference is not None  # core.commands.evaluate refuses a policy alone
    first, places = located(rejected.tokens, answer)
    return scored(
        pair,
        answer,
        places,
        rejected.logp_policy[first:],
        rejected.logp_reference[first:],
        chosen=float((chosen.logp_policy - chosen.logp_reference).sum()),
        rejected=float((rejected.logp_policy - rejected.logp_reference).sum()),
        kl=float(chosen.kl_reverse.sum()),
    )


def located(tokens: Tokens, answer: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Return the first token of an answer that ends a response, and where each from there on is in
    it, in code points."""
    before = len(tokens.text) - len(answer)
    first = max(tokens.opening, bisect_left(tokens.starts, before))
    spans = zip(tokens.starts[first:], tokens.ends[first:], strict=True)
    return first, tuple((start - before, end - before) for start, end in spans)


def scored(
    pair: Preference,
    answer: str,
    places: Sequence[tuple[int, int]],
    policy: Array,
    reference: Array,
    *,
    chosen: float,
    rejected: float,
    kl: float = 0.0,
) -> Scored:
    """Return a pair with its units.

    Args:
        answer: the rejected one's text; places: where its tokens are in it.
        policy, reference: log-probs of these tokens, and of the closing ones behind them.
    """
    words, errors = units(answer, places, pair.wrong)
    closing = np.full(len(policy) - len(places), words.max(initial=-1) + 1)
    return Scored(pair, policy, reference, np.append(words, closing), errors, chosen, rejected, kl)


def units(
    text: str, offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]
) -> tuple[Array, tuple[frozenset[int], ...]]:
    """Return the word of each token, from 0, and each span's tokens."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    solid = []
    for start, end in offsets:
        blank = len(text[start:end]) - len(text[start:end].lstrip())
        solid.append((start + blank if start + blank < end else start, end))
    words = np.searchsorted(ends, [start for start, _ in solid], side="right")
    touched = tuple(
        frozenset(index for index, (start, end) in enumerate(solid) if start < stop and begin < end)
        for begin, stop in spans
    )
    return words, touched


def figures(scored: Sequence[Scored]) -> dict[str, Any]:
    """Return all figures of a set of scored pairs, over tokens and over words."""
    accuracy = [item.chosen > item.rejected for item in scored]
    table: dict[str, Any] = {
        "pairs": len(scored),
        "pair_accuracy": _mean(accuracy),
        "sum_log_ratio_chosen": _mean([item.chosen for item in scored]),
        "sum_log_ratio_rejected": _mean([item.rejected for item in scored]),
    }
    for unit in ("tokens", "words"):
        table[unit] = {score: _localisation(scored, unit, score) for score in SCORES}
    return table


def report_figures(scored: Sequence[Scored]) -> dict[str, Any]:
    """Return the figures of all pairs, of those with likely errors, and of each source."""
    table = figures(scored)
    likely = [item for item in scored if item.surprise <= LIKELY]
    table["likely_errors"] = {"definition": LIKELY_MEANS, **figures(likely)}
    for source in sorted({item.pair.source for item in scored}):
        part = [item for item in scored if item.pair.source == source]
        table[f"source_{source}"] = figures(part)
    return table


def _localisation(scored: Sequence[Scored], unit: str, score: str) -> dict[str, Any]:
    values, wrong, within, hits, seconds = [], [], [], [], []
    for item in scored:
        value, errors = _units_of(item, unit, score)
        bad = np.isin(np.arange(len(value)), sorted(set().union(*errors)))
        values.append(value)
        wrong.append(bad)
        if bad.any() and not bad.all():
            within.append(auroc(value, bad))
        hits.append(bool(bad[value.argmax()]))
        if len(errors) == 2 and not errors[0] & errors[1]:
            blamed = set(np.argsort(-value)[: int(bad.sum())].tolist())
            seconds.append(bool(blamed & errors[1]))
    known = bool(within)
    return {
        "auroc": auroc(np.concatenate(values), np.concatenate(wrong)) if known else None,
        "auroc_interval": auroc_interval(values, wrong) if known else None,
        "auroc_within_pair": _mean(within),
        "top1_hit": _mean(hits),
        "second_error_recall": _mean(seconds),
    }


def _units_of(item: Scored, unit: str, score: str) -> tuple[Array, list[set[int]]]:
    value = {
        "-reward": item.reference - item.policy,
        "-log_ref": -item.reference,
        "-log_policy": -item.policy,
    }[score]
    if unit == "tokens":
        return value, [set(tokens) for tokens in item.spans]
    total = np.bincount(item.words, weights=value)
    present = np.unique(item.words)
    place = {int(word): index for index, word in enumerate(present)}
    return total[present], [{place[int(item.words[t])] for t in span} for span in item.spans]


def auroc(value: Array, wrong: Array) -> float:
    """Return the chance that a wrong unit has a higher value than a right one; ties count half."""
    order = np.argsort(value, kind="stable")
    ordered = value[order]
    first = np.searchsorted(ordered, value, side="left")
    last = np.searchsorted(ordered, value, side="right")
    rank = (first + last + 1) / 2
    bad = int(wrong.sum())
    good = len(value) - bad
    if not bad or not good:
        raise ValueError("both right and wrong units are needed")
    return float((rank[wrong].sum() - bad * (bad + 1) / 2) / (bad * good))


def auroc_interval(values: Sequence[Array], wrong: Sequence[Array]) -> tuple[float, float] | None:
    """Return the 95% interval of ``auroc`` over the units of all responses, given by response.

    Units of one response go together, so responses are what is drawn: the variance is that of
    Obuchowski (Nonparametric analysis of clustered ROC curve data, Biometrics 53, 1997), which for
    responses of one unit each is DeLong's; the interval is taken of the log odds, and so stays
    between 0 and 1. None where that needs more responses, or where right and wrong are in order
    without exception.
    """
    every, bad = np.concatenate(values), np.concatenate(wrong)
    right, other = np.sort(every[~bad]), np.sort(every[bad])
    area, errors, goods = auroc(every, bad), [], []
    for value, own in zip(values, wrong, strict=True):
        errors.append((_share_below(value[own], right) - area).sum())
        goods.append((1 - _share_below(value[~own], other) - area).sum())
    held = [sum(own.any() for own in wrong), sum(not own.all() for own in wrong), len(wrong)]
    if min(held) < 2 or not 0 < area < 1:
        return None
    one, two = np.array(errors) / len(other), np.array(goods) / len(right)
    a, b, both = (n / (n - 1) for n in held)
    variance = a * (one @ one) + b * (two @ two) + 2 * both * (one @ two)
    half = 1.96 * math.sqrt(max(float(variance), 0.0)) / (area * (1 - area))
    middle = math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-it)) for it in (middle - half, middle + half))
    return low, high


def _share_below(value: Array, ordered: Array) -> Array:
    """Return which share of ascending values is below each value; equal ones count half."""
    first = np.searchsorted(ordered, value, side="left")
    last = np.searchsorted(ordered, value, side="right")
    found: Array = (first + last) / (2 * len(ordered))
    return found


def _mean(values: Sequence[float | bool]) -> float | None:
    return float(np.mean(values)) if values else None
