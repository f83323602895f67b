"""Judges of a sweep: which of two responses to one prompt is better, by how much, and why.

The form and the command line offer the kinds of judge that are registered here. Each judge says in
its ``name`` what it goes by; there is no other. Knows nothing of searches, nor who registers more.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from core import sweeps
from core.checkpoints.limited import path_of
from core.errors import UserFacingError
from core.sweeps.questions import Question
from core.sweeps.record import Answer, JudgeSpec, SweepRow, Verdict
from core.tables import read_objects

if TYPE_CHECKING:
    from core.models.reward_model import RewardModel


class Judge(Protocol):
    """Compares a response with the one to beat."""

    @property
    def name(self) -> str:
        """What it goes by, in words: part of every result."""
        ...

    def judge(self, question: Question, answer: Answer, against: Answer) -> Verdict | None:
        """Return how ``answer`` did; None where this judge has nothing to say."""
        ...


Make = Callable[[JudgeSpec, str], Judge]
"""Makes a judge from its spec and the name of a device ("auto", "cuda:1", ...), its files read and
checked. Raises UserFacingError where its model or file cannot be used."""
Takes = Literal["", "DIR", "FILE"]


@dataclass(frozen=True, slots=True)
class JudgeKind:
    """A kind of judge that can be chosen."""

    kind: str
    """Its name on the command line."""
    title: str
    make: Make
    meaning: str
    takes: Takes
    """What ``JudgeSpec.path`` must name; "" for nothing."""
    source: str
    """The only source of prompts (core.sweeps.questions) that it can judge; "" for any."""


_KINDS: dict[str, JudgeKind] = {}


def register(
    kind: str, title: str, make: Make, meaning: str = "", takes: Takes = "", source: str = ""
) -> None:
    """Offer a kind of judge, in place of one that has the same name."""
    _KINDS[kind] = JudgeKind(kind, title, make, meaning, takes, source)


def judge_kinds() -> dict[str, JudgeKind]:
    """Return all kinds of judge by name; those that are made for one source come first."""
    sweeps.extend()
    return {kind.kind: kind for kind in sorted(_KINDS.values(), key=lambda kind: not kind.source)}


def make_judge(spec: JudgeSpec, device: str = "auto") -> Judge:
    """Make the judge that is asked for, its files read and checked.

    Raises:
        UserFacingError: there is no such judge, or its model or file cannot be used.
    """
    kinds = judge_kinds()
    if spec.kind not in kinds:
        raise UserFacingError(f"There is no judge {spec.kind!r}: choose {', '.join(kinds)}.")
    return kinds[spec.kind].make(spec, device)


def decide(judge: Judge, question: Question, answer: Answer, against: Answer) -> Verdict | None:
    """Return a judge's verdict; the same text twice is a tie, whoever judges."""
    if answer.text.strip() == against.text.strip():
        return Verdict("tie", 0.0, "the same text")
    return judge.judge(question, answer, against)


def by_margin(margin: float, why: str) -> Verdict:
    """Return a win for a margin above 0, a tie for 0."""
    return Verdict("win" if margin > 0 else "loss" if margin < 0 else "tie", margin, why)


class RewardJudge:
    """The pair's own implicit reward, summed: what the search itself follows, so no independent
    judge."""

    name = "the pair's own implicit reward Σr (it judges itself: expect over-optimisation)"

    def judge(self, question: Question, answer: Answer, against: Answer) -> Verdict:
        own, other = answer.log_ratio, against.log_ratio
        return by_margin(own - other, f"Σr/β {own:+.3f}; to beat: {other:+.3f}")


class ModelJudge:
    """A reward model: the response with the higher score wins."""

    def __init__(self, name: str, model: "RewardModel") -> None:
        self.name = f"reward model {name}"
        self._model = model

    def judge(self, question: Question, answer: Answer, against: Answer) -> Verdict:
        own, other = (
            self._model.score(question.turns, response.text) for response in (answer, against)
        )
        return by_margin(own - other, f"score {own:.4f}; to beat: {other:.4f}")


class VerdictJudge:
    """Verdicts that were written down by people or by another model.

    A file of {"prompt", "a", "b", "winner"}, where ``winner`` is "a", "b" or "tie". The order of
    a and b does not matter; where several judged the same two texts, the majority counts.

    Raises:
        UserFacingError: the file cannot be used; the sentence names the line.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"verdicts in {path.name}"
        self._votes: dict[tuple[str, str, str], list[float]] = {}
        for where, value in read_objects(path, ("prompt", "a", "b", "winner")):
            if value["winner"] not in ("a", "b", "tie"):
                raise UserFacingError(
                    f'{where}: "winner" is {value["winner"]!r}: write "a", "b" or "tie".'
                )
            vote = {"a": 1.0, "b": -1.0, "tie": 0.0}[value["winner"]]
            prompt, a, b = (value[key].strip() for key in ("prompt", "a", "b"))
            self._votes.setdefault((prompt, a, b), []).append(vote)
            self._votes.setdefault((prompt, b, a), []).append(-vote)
        if not self._votes:
            raise UserFacingError(f"{path} has no verdicts: write them with --write-pairs first.")

    def judge(self, question: Question, answer: Answer, against: Answer) -> Verdict | None:
        key = question.prompt.strip(), answer.text.strip(), against.text.strip()
        votes = self._votes.get(key)
        if votes is None:
            return None
        return by_margin(sum(votes) / len(votes), f"{len(votes)} verdicts")


def _model_judge(spec: JudgeSpec, device: str) -> Judge:
    from core.models.reward_model import load_reward_model

    path = path_of(spec.path)
    model = load_reward_model(path, device, spec.allow_pickle, spec.allow_remote_code)
    return ModelJudge(path.name, model)


register(
    "reward",
    "The pair's implicit reward",
    lambda spec, device: RewardJudge(),
    meaning="The pair's own implicit reward. It judges itself: expect over-optimisation",
)
register(
    "model",
    "A reward model",
    _model_judge,
    meaning="A Hugging Face reward model: sequence classification, one label",
    takes="DIR",
)
register(
    "verdicts",
    "A file of verdicts",
    lambda spec, device: VerdictJudge(path_of(spec.path)),
    meaning='JSON Lines of {"prompt", "a", "b", "winner": "a" | "b" | "tie"}, written by people or '
    "by another model",
    takes="FILE",
)


def pairs_to_judge(rows: Iterable[SweepRow]) -> list[dict[str, str]]:
    """Return the pairs of texts to be judged, each once, as {"prompt", "a", "b", "winner": ""}.

    Which of the two is "a" is as good as random, and no width is told, so that nobody can guess.
    """
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        texts = row.answer.text, row.against.text
        if texts[0].strip() == texts[1].strip():
            continue
        digest = hashlib.sha256(json.dumps([row.prompt, *texts]).encode()).digest()
        a, b = texts if digest[0] % 2 else texts[::-1]
        found[row.prompt, texts[0], texts[1]] = {"prompt": row.prompt, "a": a, "b": b, "winner": ""}
    return list(found.values())
