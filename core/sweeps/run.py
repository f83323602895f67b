"""A sweep of beam widths over prompts, a step of one search at a time.

Drives core.search.run.Run and hands each finished answer to the judge. Can be stopped between any
two steps; answers that are known already (``Answers``, in memory or from a file) are not searched
for again. Knows nothing of threads or windows, and no judge by name.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from core.engine.protocol import PairInfo
from core.errors import UserFacingError
from core.models.line import Nodes
from core.models.pair import Pair
from core.progress import never
from core.search.grown import GrownTree, Growth
from core.search.run import Run
from core.search.spec import Objective, SearchSpec, Strategy
from core.search.strategies.beam import Beam
from core.search.strategies.given import Given
from core.sweeps.judges import Judge, decide
from core.sweeps.problems import check
from core.sweeps.questions import Question
from core.sweeps.record import AGAINST, Answer, SweepInfo, SweepRow, SweepSpec
from core.text import Prompt

PROBE = Prompt.of("Qscope")
PROBED = 8
CACHED = 20_000
"""Answers, of about a kilobyte each, that are cached in memory alone."""
TOLERANCE = 0.25
"""Nats by which the same weights may differ between two runs (other devices, number formats)."""


@dataclass(frozen=True, slots=True)
class Task:
    """One search: of a beam width, or (width 0) for the response to compare with."""

    number: int
    question: Question
    width: int
    spec: SearchSpec

    @property
    def key(self) -> str:
        """What is asked, as files of answers know it: a digest of the prompt and the search."""
        asked = self.question.prompt, self.question.system, type(self.spec.strategy).__name__
        return hashlib.sha256(json.dumps([*asked, asdict(self.spec)]).encode()).hexdigest()[:24]


class Answers:
    """Answers that are known, by ``Task.key``; with a file they outlive the process.

    The file is JSON Lines: which pair it is of, then an answer a line. A last line that a crash cut
    off is dropped. Without a file, the last CACHED ones are known.

    Raises:
        UserFacingError: the file cannot be used, or is of another pair.
    """

    def __init__(self, pair: Pair, info: PairInfo, path: Path | None = None) -> None:
        self._known: dict[str, Answer] = {}
        self._file: TextIO | None = None
        if path is None:
            return
        head = {"policy": info.policy, "reference": info.reference, "probe": _probe(pair)}
        try:
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            self._known = _read(path, whole, head) if data else {}
            self._file = path.open("a", encoding="utf-8")
            os.truncate(path, len(whole))
        except OSError as error:
            raise UserFacingError(
                f"{path} cannot be used ({error.strerror}): choose another file to resume from."
            ) from error
        if not whole:
            self._write(head)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Answer | None:
        """Return the answer to what was asked, if it is known."""
        return self._known.get(key)

    def put(self, key: str, answer: Answer) -> None:
        """Remember an answer; in the file too, at once."""
        self._write({"key": key} | asdict(answer))
        self._known[key] = answer
        if self._file is None and len(self._known) > CACHED:
            del self._known[next(iter(self._known))]

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _write(self, value: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(value) + "\n")
            self._file.flush()


def _read(path: Path, whole: bytes, head: dict[str, Any]) -> dict[str, Answer]:
    """Return the answers that whole lines of a file hold; its first line must be like ``head``."""
    try:
        first, *lines = map(json.loads, whole.splitlines())
        known = {str(line.pop("key")): Answer(**line) for line in lines}
        same = all(first[name] == head[name] for name in ("policy", "reference"))
        probes = zip(first["probe"], head["probe"], strict=True)
        same = same and all(abs(one - other) < TOLERANCE for one, other in probes)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserFacingError(
            f"{path} is not a file that a sweep wrote: choose another file to resume from."
        ) from error
    if not same:
        raise UserFacingError(
            f"{path} is of another pair ({first['policy']} and {first['reference']}, or other "
            f"weights of them): choose another file to resume from."
        )
    return known


def _probe(pair: Pair) -> list[float]:
    """Return log-probs of some tokens under both models: other weights give others."""
    state = int(pair.tree.extend(pair.root(1), pair.codec.prompt_ids(PROBE))[-1])
    logp = pair.logprobs(state)
    some = logp[:, :: max(1, logp.shape[1] // PROBED)][:, :PROBED]
    return [float(value) for value in some.flatten()]


class Sweep:
    """A sweep under way: ``step`` until ``ended``.

    Raises:
        UserFacingError: the spec makes no sense.
    """

    def __init__(
        self,
        pair: Pair,
        info: PairInfo,
        spec: SweepSpec,
        questions: list[Question],
        judge: Judge | None,
        answers: Answers,
    ) -> None:
        check(spec)
        self.rows: list[SweepRow] = []
        widths = tuple(sorted(set(spec.widths)))
        self.info = SweepInfo(
            policy=info.policy,
            reference=info.reference,
            beta=info.beta,
            judge=judge.name if judge is not None else "none",
            against=AGAINST[spec.against],
            prompts=len(questions),
            widths=widths,
            objective=spec.objective,
            max_tokens=spec.max_tokens,
            length_penalty=spec.length_penalty,
            notes=info.notes,
        )
        self._pair = pair
        self._judge = judge
        self._answers = answers
        self._tasks = deque(_tasks(pair, spec, widths, questions))
        self._all = len(self._tasks)
        self._run: Run | None = None
        self._grown = GrownTree()
        self._growth: Growth | None = None
        """What the search has grown and its tree has not taken in yet."""
        self._part = 0.0
        self._to_beat: Answer | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return not self._tasks

    @property
    def fraction(self) -> float:
        """How much is done, 0..1."""
        return (self._all - len(self._tasks) + self._part) / self._all

    @property
    def what(self) -> str:
        """What is being done, in words."""
        if self.ended:
            return "Done"
        task = self._tasks[0]
        doing = f"{task.width} beams" if task.width else "the response to beat"
        return f"Prompt {task.number + 1} of {self.info.prompts}: {doing}"

    def nodes(self) -> Nodes:
        """Return the nodes whose numbers the search at hand goes by."""
        return self._run.nodes() if self._run is not None else np.empty(0, dtype=np.int64)

    def step(self, cancelled: Callable[[], bool] = never) -> SweepRow | None:
        """Take a step of the search at hand; return the row, if that has finished one.

        Raises:
            Cancelled: soon after ``cancelled()`` turns true.
            UserFacingError: the models or the judge cannot go on.
            Exception: memory ran out, ...

        Whatever it was, the next call does the step again, and no row is lost.
        """
        task = self._tasks[0]
        answer = self._answers.get(task.key)
        if answer is None:
            answer = self._advance(task, cancelled)
            if answer is None:
                return None
            self._answers.put(task.key, answer)
        row = self._row(task, answer)
        self._tasks.popleft()
        self._run, self._part = None, 0.0
        return row

    def _advance(self, task: Task, cancelled: Callable[[], bool]) -> Answer | None:
        """Take a step of a task's search; return the answer once it has ended."""
        if self._run is None:
            try:
                run = Run(self._pair, task.question.turns, (), task.spec)
            except UserFacingError as error:
                raise UserFacingError(f"Prompt {task.number + 1}: {error}") from error
            self._run, self._grown = run, GrownTree()
        if self._growth is None:
            self._growth = self._run.step(cancelled)
        if (growth := self._growth) is not None:
            self._grown.add(growth)
            self._growth, self._part = None, growth.step.fraction
            return None
        best = self._grown.hypotheses(task.spec)[0]
        given = isinstance(task.spec.strategy, Given)
        return Answer(
            task.question.chosen or "" if given else best.text,
            best.length,
            best.sum_policy,
            best.sum_reference,
            self._grown.is_closed(best.index),
        )

    def _row(self, task: Task, answer: Answer) -> SweepRow | None:
        """Return the row that an answer makes, if it is not the one that the next must beat."""
        if not task.width:
            self._to_beat = answer
            return None
        judge, to_beat = self._judge, self._to_beat
        assert to_beat is not None
        verdict = None if judge is None else decide(judge, task.question, answer, to_beat)
        row = SweepRow(task.number, task.question.prompt, task.width, answer, to_beat, verdict)
        self.rows.append(row)
        return row


def _tasks(
    pair: Pair, spec: SweepSpec, widths: tuple[int, ...], questions: list[Question]
) -> Iterator[Task]:
    """Yield the searches of each prompt: for the response to beat, then by width."""

    def search(strategy: Strategy, weight: float) -> SearchSpec:
        objective = Objective.dial(weight)
        return SearchSpec(strategy, objective, spec.max_tokens, spec.length_penalty)

    greedy = search(Beam(1), 0.0)
    searches = [(width, search(Beam(width), spec.objective)) for width in widths]
    for number, question in enumerate(questions):
        to_beat = greedy
        if spec.against == "chosen":
            if question.chosen is None:
                raise UserFacingError(f"Prompt {number + 1} has no response to compare with.")
            ids = pair.codec.encode(question.turns, question.chosen).ids
            to_beat = search(Given(ids, closed=True), 0.0)
        for width, asked in ((0, to_beat), *searches):
            yield Task(number, question, width, asked)
