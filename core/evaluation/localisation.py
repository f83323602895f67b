"""How well a pair localises errors: figures over tokens and over words of held-out pairs.

Units are the tokens of the rejected response (the closing token among them) or its
whitespace-separated words (a word's value is the sum over its tokens; the closing token is a unit
of its own). A unit is wrong if it touches the span of a wrong fact. Three scores are compared:
−reward, −log π_ref and −log π; each is higher where the unit looks worse. Knows nothing of files.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.preferences import Preference
from core.text import Prompt
from core.training.rows import Row, collate, make_row, token_kl, token_logps, vocabulary_logits

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, np.dtype[Any]]
Entered = Callable[[], AbstractContextManager[Any]]
"""Enters a model with the right weights in place."""
SCORES = ("-reward", "-log_ref", "-log_policy")
LIKELY = 4.0
"""Nats. An error is *likely* if the reference's surprise, summed over the tokens of the error's
words, is at most this (the reference would write it at least once in 55 times)."""
LIKELY_MEANS = (
    f"pairs in which -log pi_ref, summed over the tokens of the words of each error, is at most "
    f"{LIKELY} nats"
)
ROWS = 4


@dataclass(frozen=True, eq=False, slots=True)
class Scored:
    """A pair with log-probs (nats) of the rejected response's n tokens, the closing one last.

    ``words``: the word of each token (the closing token is a word of its own); ``spans``: the set
    of tokens that touch each wrong fact; ``chosen`` and ``rejected``: Σ log π − log π_ref of each
    response; ``kl``: KL(π_ref‖π) summed over the states of the chosen one (Eq. 16).
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
    reference: Entered,
    policies: Mapping[int, Entered],
    tokenizer: Any,
    pairs: Sequence[Preference],
    report: Callable[[str, float | None], None],
) -> dict[int, list[Scored]]:
    """Score pairs under a reference and under each policy; the reference runs once for all."""
    groups: dict[Prompt, list[Preference]] = {}
    for pair in pairs:
        groups.setdefault(pair.turns, []).append(pair)
    work = [(_row(tokenizer, group), group) for group in groups.values()]
    work.sort(key=lambda item: len(item[0].ids))
    scored: dict[int, list[Scored]] = {key: [] for key in policies}
    for start in range(0, len(work), ROWS):
        part = work[start : start + ROWS]
        batch = collate([row.as_example() for row, _ in part], tokenizer.pad_token_id)
        before, inverse, reference_logps = _run(reference, batch)
        for number, (key, policy) in enumerate(policies.items()):
            after, _, policy_logps = _run(policy, batch)
            kl = token_kl(before, after.to(before.device), inverse).double().cpu().numpy()
            offset = 0
            for row, group in part:
                nodes = slice(offset, offset + len(row.ids) - row.prompt)
                offset = nodes.stop
                numbers = policy_logps[nodes], reference_logps[nodes], kl[nodes]
                scored[key] += _pairs_of(tokenizer, row, group, *numbers)
            done = (start + ROWS * (number + 1) / len(policies)) / len(work)
            report("Scoring held-out pairs", min(1.0, done))
    return scored


def adapter(model: Any, name: str | None) -> Entered:
    """Return what enters a PEFT model with one of its adapters active; with None, all are off."""

    @contextlib.contextmanager
    def entered() -> Iterator[Any]:
        with model.disable_adapter() if name is None else contextlib.nullcontext():
            if name is not None:
                model.set_adapter(name)
            yield model

    return entered


def _run(
    entered: Entered, batch: dict[str, "torch.Tensor"]
) -> tuple["torch.Tensor", "torch.Tensor", Array]:
    """Return logits [U, V], the row of each response token [N], and log-probs of the tokens [N]."""
    import torch

    with entered() as model, torch.inference_mode():
        there = {name: value.to(model.device) for name, value in batch.items()}
        logits, inverse = vocabulary_logits(model, there)
        return logits, inverse, token_logps(logits, inverse, there).double().cpu().numpy()


def _row(tokenizer: Any, group: Sequence[Preference]) -> Row:
    texts = [text for pair in group for text in pair.answers]
    return make_row(tokenizer, group[0].turns, texts)


def _pairs_of(
    tokenizer: Any,
    row: Row,
    group: Sequence[Preference],
    policy: Array,
    reference: Array,
    kl: Array,
) -> list[Scored]:
    scored = []
    for number, pair in enumerate(group):
        chosen, rejected = (np.array(row.paths[2 * number + side]) - row.prompt for side in (0, 1))
        text = pair.answers[1]
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        words, spans = units(text, offsets, pair.wrong)
        ratio = policy - reference
        scored.append(
            Scored(
                pair,
                policy[rejected],
                reference[rejected],
                words,
                spans,
                float(ratio[chosen].sum()),
                float(ratio[rejected].sum()),
                float(kl[chosen].sum()),
            )
        )
    return scored


def units(
    text: str, offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]
) -> tuple[Array, tuple[frozenset[int], ...]]:
    """Return the word of each token (and of the closing token, added), and each span's tokens."""
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
    return np.append(words, len(ends)), touched


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


def _localisation(scored: Sequence[Scored], unit: str, score: str) -> dict[str, float | None]:
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
    return {
        "auroc": auroc(np.concatenate(values), np.concatenate(wrong)) if within else None,
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


def _mean(values: Sequence[float | bool]) -> float | None:
    return float(np.mean(values)) if values else None
