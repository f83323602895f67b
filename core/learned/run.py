"""All of it for a loaded pair: its states, the findings, their minimal pairs, swaps, samples.

A step at a time, so that whoever waits for the models can come in between; a step that is cancelled
is taken again. Each part is a module of its own.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.learned.corpus import Sample
from core.learned.record import AtCheckpoint, Learned, Method, Weighed
from core.progress import Report, Stop, never, silent
from core.runs.records import START, Checkpoint

if TYPE_CHECKING:
    from core.checkpoints.identity import Identity
    from core.engine.protocol import PairInfo
    from core.learned.appearing import Watched
    from core.learned.features import Candidate, Units
    from core.learned.states import States
    from core.models.pair import Pair
    from core.noise import NoiseFloor
    from core.text import Prompt

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ANY = -float("inf")
"""A floor that everything passes."""
TIMES_NOISE = 2.0
"""An effect must be so many times the noise of one log-ratio."""
WINDOW = 16
"""Responses that are scored in one step, about; those to one prompt stay together."""
SCORED, FOUND, TESTED = 0.6, 0.7, 0.85
"""The share that is done once all is scored, looked through, tested; the rest is sampling."""
SCORING = "Scoring the responses"
LOOKING = "Looking for what the training moved"
TESTING = "Testing the findings on minimal pairs"
SAMPLING = "Sampling what it says when amplified"
WEIGHING = "Weighing the findings at each checkpoint"


class Step(NamedTuple):
    """Something to do, what to call it, and the share of all that is done after it."""

    what: str
    share: float
    do: Callable[[Stop], None]


class Learning:
    """What a pair has learned, found a step at a time.

    Nothing of it holds nodes of the tree between two steps, so these may be evicted there.
    """

    def __init__(
        self,
        pair: "Pair",
        info: "PairInfo",
        samples: Sequence[Sample],
        corpus: str,
        *,
        amplify: bool = True,
        noise: "NoiseFloor | None" = None,
    ) -> None:
        """Begin with the pair under the checkpoint that it shows; arguments as ``learned``."""
        self.found: Learned | None = None
        """All that is known so far; None until the states have been looked through."""
        self.fraction = 0.0
        self.noise = noise
        self._pair, self._info, self._corpus, self._amplify = pair, info, corpus, amplify
        self._own = pair.shown, pair.version
        self._windows = windows(samples)
        self._gathered = _Gathered()
        self._states: States | None = None
        self._watched: Watched | None = None
        count = len(self._windows)
        self._todo = deque(
            Step(SCORING, SCORED * (number + 1) / count, partial(self._score, window))
            for number, window in enumerate(self._windows)
        )
        self._todo.append(Step(LOOKING, FOUND, self._look))

    @property
    def ended(self) -> bool:
        """Return whether there is nothing left to do."""
        return not self._todo

    @property
    def what(self) -> str:
        """Return what the next step does."""
        return self._todo[0].what if self._todo else ""

    def step(self, cancelled: Stop = never) -> None:
        """Take the next step.

        Raises:
            UserFacingError: there is no reference, or nothing can be scored.
            Cancelled: soon after ``cancelled()`` turns true; the step is not taken.
        """
        self._pair.use(*self._own)
        step = self._todo[0]
        step.do(cancelled)
        self._todo.popleft()
        self.fraction = step.share

    # --- the last checkpoint --------------------------------------------------------------------

    def _score(self, window: Sequence[Sample], cancelled: Stop) -> None:
        self._gathered.score(self._pair, window, cancelled)

    def _look(self, cancelled: Stop) -> None:
        self._states = self._gathered.states()
        self._gathered = _Gathered()
        self.found = of_states(self._states, self._info, self._corpus, self.noise)
        count = len(self.found.findings)
        steps = [
            Step(TESTING, FOUND + (TESTED - FOUND) * (i + 1) / count, partial(self._test, i))
            for i in range(count)
        ]
        if self._amplify:
            from core.learned.amplified import OPENINGS

            count = len(OPENINGS)
            steps += [
                Step(SAMPLING, TESTED + (1 - TESTED) * (i + 1) / count, partial(self._sample, i))
                for i in range(count)
            ]
        self._todo.extend(steps)

    def _test(self, number: int, cancelled: Stop) -> None:
        from core.learned.pairs import confirmed

        assert self._states is not None and self.found is not None
        findings = [*self.found.findings]
        findings[number : number + 1] = confirmed(
            self._pair, findings[number : number + 1], self._states, silent, cancelled
        )
        self.found = replace(self.found, findings=tuple(findings))

    def _sample(self, number: int, cancelled: Stop) -> None:
        from core.learned.amplified import OPENINGS, amplified, recurring

        assert self.found is not None
        opening = OPENINGS[number : number + 1]
        more = amplified(self._pair, silent, cancelled, opening, first=number)
        sampled = (*self.found.samples, *more)
        self.found = replace(self.found, samples=sampled, recurring=recurring(sampled))

    # --- the checkpoints of its run -------------------------------------------------------------

    def go_over(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Have the findings weighed under these checkpoints too; to be called once all else has
        ended. ``fraction`` begins at 0 again."""
        assert self.found is not None
        known = {it.step for it in self.found.over}
        each = [it for it in checkpoints if it.step not in known]
        self.fraction = 0.0
        for number, one in enumerate(each):
            scored = one.path in (START, self._own[0])  # nothing was trained, or it is known
            windows = () if scored else self._windows
            parts = len(windows) + 1
            for part, window in enumerate(windows, 1):
                share = (number + part / parts) / len(each)
                self._todo.append(Step(WEIGHING, share, partial(self._score_at, one, window)))
            share = (number + 1) / len(each)
            self._todo.append(Step(WEIGHING, share, partial(self._weigh, one)))

    def _score_at(self, checkpoint: Checkpoint, window: Sequence[Sample], cancelled: Stop) -> None:
        if self._gathered.under[0] != checkpoint.path:
            self._pair.use(checkpoint.path)
            self._gathered = _Gathered((self._pair.shown, self._pair.version))
        self._pair.use(*self._gathered.under)
        self._gathered.score(self._pair, window, cancelled)

    def _weigh(self, checkpoint: Checkpoint, cancelled: Stop) -> None:
        from core.learned.appearing import Watched

        assert self._states is not None and self.found is not None
        if self._watched is None:
            self._watched = Watched(self.found.findings, self._states)
        if checkpoint.path == START:
            effects = self._watched.at_start()
        elif checkpoint.path == self._own[0]:
            effects = self._watched.effects(self._states)
        else:
            effects = self._watched.effects(self._gathered.states())
        found = AtCheckpoint(checkpoint.step, PurePath(checkpoint.path).name, *effects)
        self._gathered = _Gathered()
        over = sorted((*self.found.over, found), key=lambda it: it.step)
        self.found = replace(self.found, over=tuple(over))


class _Gathered:
    """The states of some windows, under one checkpoint."""

    def __init__(self, under: "tuple[str, Identity | str]" = ("", "")) -> None:
        self.under = under
        """The checkpoint, as Pair has it; "" for the pair's own."""
        self._parts: list[States] = []
        self._skipped: list[str] = []

    def score(self, pair: "Pair", window: Sequence[Sample], cancelled: Stop) -> None:
        """Add the states of some responses."""
        from core.learned.states import NothingScored, score_states

        try:
            self._parts.append(score_states(pair, window, silent, cancelled))
        except NothingScored as error:
            self._skipped += error.skipped

    def states(self) -> "States":
        """Return the states of all of them.

        Raises:
            NothingScored: there are none.
        """
        from core.learned.states import NothingScored, joined

        if not self._parts:
            raise NothingScored(tuple(self._skipped))
        return joined(self._parts, tuple(self._skipped))


def windows(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return samples in windows of a step each; those to one prompt stand together."""
    by_prompt: dict[Prompt, list[Sample]] = {}
    for sample in samples:
        by_prompt.setdefault(sample.prompt, []).append(sample)
    found: list[list[Sample]] = [[]]
    for alike in by_prompt.values():
        for begin in range(0, len(alike), WINDOW):
            if len(found[-1]) >= WINDOW:
                found.append([])
            found[-1] += alike[begin : begin + WINDOW]
    return found


def learned(
    pair: "Pair",
    info: "PairInfo",
    samples: Sequence[Sample],
    corpus: str,
    report: Report,
    cancelled: Stop = never,
    *,
    amplify: bool = True,
    noise: "NoiseFloor | None" = None,
    over: Iterable[Checkpoint] = (),
) -> Learned:
    """Return what a pair has learned, as far as these responses show it.

    Args:
        corpus: what to call the responses.
        amplify: whether to sample responses at λ above 1 too.
        noise: the noise floor of the pair, where it was measured.
        over: the checkpoints of the run at which the findings are weighed too.

    Raises:
        UserFacingError: there is no reference, or nothing can be scored.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    learning = Learning(pair, info, samples, corpus, amplify=amplify, noise=noise)

    def finish() -> None:
        while not learning.ended:
            report(learning.what, learning.fraction)
            learning.step(cancelled)
            pair.trim()

    finish()
    learning.go_over(over)
    finish()
    assert learning.found is not None
    return learning.found


def of_states(
    states: "States", info: "PairInfo", corpus: str, noise: "NoiseFloor | None" = None
) -> Learned:
    """Return what the recorded states alone show: no minimal pairs, nothing sampled."""
    from core.learned.features import candidates, units_of
    from core.learned.findings import FLOOR, find, of_closing, of_properties
    from core.learned.residuals import columns, fit
    from core.learned.swaps import swaps
    from core.learned.unseen import unseen

    line = fit(states.ratio, columns(states))
    units = units_of(states)
    every = candidates(states, units)
    floor = max(FLOOR, TIMES_NOISE * noise.token if noise is not None else 0.0)
    found, left, discovered = find(states, units, every, line.residual, floor)
    found = [replace(it, after=number) for number, it in enumerate(found)]
    found += of_closing(states, floor)
    found.sort(key=lambda it: -abs(it.effect) * it.responses**0.5)
    found += of_properties(states, units, line.residual, left)
    method = Method(
        responses=len(states.texts),
        states=len(states),
        corpus=corpus,
        floor=floor,
        noise=noise.token if noise is not None else None,
        scale=line.scale,
        kl=float(-np.mean(states.ratio)),
        coefficients=dict(line.coefficients),
        base="log π_ref − log π_base" in line.coefficients,
        candidates=len(every),
        discovered=discovered,
        skipped=states.skipped,
    )
    return Learned(
        policy=info.policy,
        reference=info.reference,
        findings=tuple(found),
        swaps=swaps(states),
        unseen=unseen(states),
        samples=(),
        recurring=(),
        method=method,
        prompts=states.prompts,
        texts=states.texts,
        notes=info.notes,
        weighed=_weighed(states, units, every, line.residual, left),
    )


def _weighed(
    states: "States",
    units: "Units",
    candidates: "Sequence[Candidate]",
    residual: Floats,
    left: Bools,
) -> tuple[Weighed, ...]:
    """Return what all candidates come to before anything is taken off, and whole responses."""
    from core.learned.findings import Evidence, of_closing, of_properties

    whole = [*of_closing(states, ANY), *of_properties(states, units, residual, left, ANY)]
    found = [Weighed(*it.key, it.effect, it.error) for it in whole]
    if not candidates:
        return tuple(found)
    stats = Evidence(units, candidates).stats(residual, ~states.closing)
    each = zip(candidates, stats.effect.tolist(), stats.error.tolist(), strict=True)
    return (
        *(Weighed(it.kind, it.name, it.other, *of) for it, *of in each if of[1] < float("inf")),
        *found,
    )
