"""Scores pairs as core.evaluation.gap's ways say, and compares a run's log with Qscope's numbers.

The models of a way are loaded when it is first wanted, and one other pair than Qscope's own is kept
at a time. What changes no token is not scored anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.checkpoints.asked import asked_plan
from core.codec import Codec
from core.engine.protocol import PairInfo, PairSpec
from core.errors import UserFacingError
from core.evaluation.gap import (
    LOGPS,
    REWARDS,
    Known,
    Numbers,
    Way,
    attribute,
    findings,
    logged_at,
)
from core.finding import Finding
from core.losses import Response, TrainingLoss
from core.models.score import score_all
from core.models.tokenizer import load_tokenizer
from core.preferences import Preference, load_preferences
from core.progress import Report
from core.runs.read import read_run
from core.text import Tokens

if TYPE_CHECKING:
    from core.models.pair import Pair

Texts = tuple[tuple[tuple[int, ...], int], ...]
"""Of each response, chosen and rejected in turn: all ids, and how many of them are context."""


@dataclass
class Rescoring:
    """Numbers of some pairs under ways; ``own``: the models and the way of Qscope itself.

    ``load``: returns a pair by its number format and its reference (``Way.reference``).
    """

    own: "Pair"
    way: Way
    pairs: Sequence[Preference]
    objective: TrainingLoss
    tokenizer: Any
    load: "Callable[[str, str], Pair]"
    report: Report
    problems: dict[str, None] = field(default_factory=dict)
    """Why some ways could not be tried."""
    _scored: dict[tuple[str, str, Texts], list[Response]] = field(default_factory=dict)
    _texts: dict[Way, Texts] = field(default_factory=dict)
    _other: "tuple[tuple[str, str], Pair | None]" = (("", ""), None)

    def numbers(self, way: Way) -> Numbers | None:
        """Return the numbers under a way; None where it cannot be tried."""
        try:
            return self.measured(way)
        except UserFacingError as error:
            self.problems[str(error)] = None
            return None

    def measured(self, way: Way) -> Numbers:
        """Return the numbers under a way.

        Raises:
            UserFacingError: a text cannot be read or scored so, or there are no such models.
        """
        return self._means(self._responses(way), way)

    def _responses(self, way: Way) -> list[Response]:
        """Return the log-probs of all responses, chosen and rejected in turn."""
        loaded = "as loaded" if way.reference == "none" else way.reference
        key = way.dtype, loaded, self._texts_of(way)
        if key not in self._scored:
            self.report(f"Scoring {len(self.pairs)} pairs again", None)
            self._scored[key] = self._score(self._pair(way.dtype, loaded), key[2])
        return self._scored[key]

    def _pair(self, dtype: str, reference: str) -> "Pair":
        if (dtype, reference) == (self.way.dtype, "as loaded"):
            return self.own
        named, pair = self._other
        if pair is None or named != (dtype, reference):
            self._other = ("", ""), None  # before the next takes its memory
            pair = self.load(dtype, reference)
            self._other = (dtype, reference), pair
        return pair

    def _score(self, pair: "Pair", texts: Texts) -> list[Response]:
        prompt = self.pairs[0].turns
        blank = pair.codec.encode(prompt, "")
        found = []
        for ids, first in texts:
            if first >= len(ids):  # cut off whole
                found.append(Response(np.zeros(0), None if pair.alone else np.zeros(0)))
                continue
            tokens = replace(blank, ids=ids[first:], context=ids[:first], closing=())
            (scoring,) = score_all(pair, [(prompt, tokens)])
            found.append(scoring.logps)
            pair.trim()
        return found

    def _texts_of(self, way: Way) -> Texts:
        """Return what is read of all responses."""
        read = replace(way, mean=False, dtype="", reference="as loaded", beta=None)
        if read not in self._texts:
            codec = Codec(self.tokenizer, way.rule, way.plain)
            found = []
            for pair in self.pairs:
                prompt = pair.turns
                sides = [codec.reply(prompt, turns) for turns in pair.replies]
                for text, beside in zip(sides, reversed(sides), strict=True):
                    found.append(self._read(way, codec.encode(prompt, text, beside)))
            self._texts[read] = tuple(found)
        return self._texts[read]

    def _read(self, way: Way, tokens: Tokens) -> tuple[tuple[int, ...], int]:
        """Return all ids that are read of a response, and how many are not scored."""
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        context, scored = tokens.context, (*tokens.ids, *tokens.closing)
        if way.begin == "added" and bos is not None:
            context = (bos, *context)
        elif way.begin == "left out" and context[:1] == (bos,):
            context = context[1:]
        if way.end == "left out":
            scored = tokens.ids
        elif way.end == "added" and eos is not None:
            scored = (*scored, eos)
        context = context[-way.prompt :] if way.prompt else context
        ids = (*context, *scored[: way.completion])
        first = 1 if way.whole else max(1, len(context))
        if way.longest is not None:
            dropped = max(0, len(ids) - way.longest) if way.keep_end else 0
            ids = ids[dropped : dropped + way.longest]
            first = max(1, first - dropped)
        return ids, first

    def _means(self, scored: list[Response], way: Way) -> dict[str, float]:
        """Return the means over the pairs of what TRL logs."""
        found: dict[str, list[float]] = {}
        for chosen, rejected in zip(scored[::2], scored[1::2], strict=True):
            sides = (chosen, rejected), (rejected, chosen)
            for names, (own, other) in zip(zip(LOGPS, REWARDS, strict=True), sides, strict=True):
                if way.reference == "none":
                    own = Response(own.policy, np.zeros_like(own.policy))
                count = len(own.policy)
                total = float(own.policy.sum())
                if not count:  # all of it was cut off
                    reward: float | None = 0.0
                else:
                    reward = self.objective.logged(own, way.beta, len(other.policy))
                share = 1 / max(1, count) if way.mean else 1.0
                found.setdefault(names[0], []).append(share * total)
                if reward is not None:
                    changed = way.mean != self.way.mean
                    scale = 1.0 if not changed else share if way.mean else count
                    found.setdefault(names[1], []).append(scale * reward)
        return {name: float(np.mean(values)) for name, values in found.items()}


def compare(
    spec: PairSpec, own: "Pair", info: PairInfo, data: Path, report: Report
) -> Iterator[Finding]:
    """Yield why a run's log of an evaluation differs from Qscope's numbers of the same pairs.

    Args:
        spec: a run, as it was loaded with its last checkpoint as the policy.
        data: the file of the evaluation's pairs.

    Raises:
        UserFacingError: there is no log, or the file or a pair cannot be used.
    """
    from core.models.load import load_pair

    pairs = load_preferences(data)
    step = info.checkpoints[-1].step
    logged, evaluated = logged_at(read_run(Path(spec.run)), step)
    if not logged:
        said = (
            f"The log says no rewards or log-probs at step {step}, the last checkpoint's: evaluate "
            f"whenever a checkpoint is saved."
        )
        yield Finding("log", "warning", said, "log.nothing")
        return
    plan = asked_plan(spec, report)
    base = plan.policy_model
    known = Known(
        plan.provenance.max_length,
        plan.provenance.max_prompt_length,
        plan.provenance.max_completion_length,
        has_base=plan.policy.adapter is not None
        and plan.reference is not None
        and (plan.reference.adapter is not None or plan.reference_model != base),
        has_reference=not info.alone,
    )
    main = info.objective.main
    way = Way(
        rule=own.codec.rule,
        plain=not own.codec.has_chat_template,
        mean=not main.reference and main.kind != "sum",  # as TRL logs their log-probs
        dtype=info.dtype,
        beta=info.beta,
    )

    def load(dtype: str, reference: str) -> "Pair":
        named = str(base) if reference == "base" else spec.reference
        return load_pair(replace(spec, dtype=dtype, reference=named), report)[0]

    tokenizer = load_tokenizer(plan.tokenizer, plan.allow_remote_code)
    rescoring = Rescoring(own, way, pairs, info.objective, tokenizer, load, report)
    found = attribute(logged, way, rescoring.measured(way), rescoring.numbers, known)
    batch = f"the evaluation at step {step}" if evaluated else f"the batch before step {step}"
    yield from findings(found, f"Of {batch}, {len(pairs)} pairs,")
    for problem in rescoring.problems:
        yield Finding("not tried", "note", problem, "log.not-tried")
