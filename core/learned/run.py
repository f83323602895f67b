"""All of it for a loaded pair: its states, the findings, their minimal pairs, swaps, samples.

A step at a time, so that whoever waits for the models can come in between; a step that is cancelled
is taken again. Each part is a module of its own.
"""

import time
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
from core.learned.sampling import Sampling
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
TOGETHER = 4
"""Responses to one prompt that one step scores at most."""
MOST = 8
"""Prompts whose responses one step scores where nothing comes in between: some forwards are full
then."""
QUICK, SLOW = 2.0, 8.0
"""Seconds: where something may, a quicker step is followed by one of twice as many prompts, a
slower one by half."""
SCORED, LOOKED, TESTED = 0.6, 0.65, 0.85
"""The share that is done once all is scored, looked through, tested; the rest is sampling."""
DRAWN = 0.5
"""The share of all that is done once responses are sampled from the reference, where they are."""


class Stage(NamedTuple):
    """Something to do in steps: what to call it, the share of all that is done after it, and what
    takes a step and returns which share of the stage is done."""

    what: str
    until: float
    step: Callable[[Stop], float]


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
        alone: bool = False,
        sampled: int = 0,
        about: Sequence[str] = (),
    ) -> None:
        """Begin with the pair under the checkpoint that it shows; arguments as ``learned``.

        ``alone``: nothing comes between two steps, so that none need be short.

        Raises:
            UserFacingError: responses cannot be sampled to these prompts.
        """
        self.found: Learned | None = None
        """All that is known so far; None until the states have been looked through."""
        self.fraction = 0.0
        self.noise = noise
        self._pair, self._info, self._corpus = pair, info, corpus
        self._own = pair.shown, pair.version
        self._about = tuple(about)
        prompts = [it.prompt for it in samples]
        self._sampling = Sampling(pair, prompts, sampled) if sampled else None
        self._scoring = Scoring(alike(samples), most=MOST if alone else 1, adapts=not alone)
        self._states: States | None = None
        self._watched: Watched | None = None
        self._tested = self._sampled = 0
        stages = [
            Stage("Scoring the responses", SCORED, self._score),
            Stage("Looking for what the training moved", LOOKED, self._look),
            Stage("Testing the findings on minimal pairs", TESTED if amplify else 1.0, self._test),
        ]
        if amplify:
            stages.append(Stage("Sampling what it says when amplified", 1.0, self._sample))
        if sampled:
            stages = [
                Stage("Sampling responses from the reference", DRAWN, self._draw),
                *(it._replace(until=DRAWN + (1.0 - DRAWN) * it.until) for it in stages),
            ]
        self._todo, self._begun = deque(stages), 0.0

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
        stage = self._todo[0]
        share = stage.step(cancelled)
        self.fraction = self._begun + (stage.until - self._begun) * share
        if share >= 1.0:
            self._todo.popleft()
            self._begun = stage.until

    # --- under the checkpoint that is shown -----------------------------------------------------

    def _draw(self, cancelled: Stop) -> float:
        sampling = self._sampling
        assert sampling is not None
        share = sampling.step(cancelled) if not sampling.ended else 1.0
        if sampling.ended:
            self._scoring = self._scoring.of(alike(sampling.samples()))
            self._about = (sampling.sentence(self._corpus), *self._about)
            self._corpus = f"sampled from the reference, to prompts of {self._corpus}"
        return share

    def _score(self, cancelled: Stop) -> float:
        return self._scoring.step(self._pair, cancelled)

    def _look(self, cancelled: Stop) -> float:
        self._states = self._scoring.states()
        found = of_states(self._states, self._info, self._corpus, self.noise)
        method = replace(found.method, about=self._about, sampled=self._sampling is not None)
        self.found = replace(found, method=method)
        return 1.0

    def _test(self, cancelled: Stop) -> float:
        from core.learned.pairs import confirmed, confirmed_first

        assert self._states is not None and self.found is not None
        findings, at = [*self.found.findings], self._tested
        if at == len(findings):
            return 1.0
        findings[at : at + 1] = confirmed(
            self._pair, findings[at : at + 1], self._states, silent, cancelled
        )
        self._tested += 1
        if self._tested == len(findings):
            findings = [*confirmed_first(findings)]
        self.found = replace(self.found, findings=tuple(findings))
        return self._tested / len(findings)

    def _sample(self, cancelled: Stop) -> float:
        from core.learned.amplified import AT_ONCE, OPENINGS, amplified, recurring

        assert self.found is not None
        first, last = self._sampled, self._sampled + AT_ONCE
        more = amplified(self._pair, silent, cancelled, OPENINGS[first:last], first=first)
        sampled = (*self.found.samples, *more)
        self.found = replace(self.found, samples=sampled, recurring=recurring(sampled))
        self._sampled = last
        return min(last / len(OPENINGS), 1.0)

    # --- under the checkpoints of its run -------------------------------------------------------

    def go_over(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Have the findings weighed under these checkpoints too; to be called once all else has
        ended. ``fraction`` begins at 0 again."""
        assert self.found is not None
        known = {it.step for it in self.found.over}
        each = [it for it in checkpoints if it.step not in known]
        self.fraction = self._begun = 0.0
        self._todo.extend(
            Stage(
                "Weighing the findings at each checkpoint",
                (number + 1) / len(each),
                partial(self._weigh, one),
            )
            for number, one in enumerate(each)
        )

    def _weigh(self, checkpoint: Checkpoint, cancelled: Stop) -> float:
        from core.learned.appearing import Watched

        assert self._states is not None and self.found is not None
        if self._watched is None:
            self._watched = Watched(self.found.findings, self._states)
        if checkpoint.path == START:
            effects = self._watched.at_start()
        elif checkpoint.path == self._own[0]:
            effects = self._watched.effects(self._states)
        else:
            scoring = self._scoring
            if scoring.under[0] != checkpoint.path:
                self._pair.use(checkpoint.path)
                under = self._pair.shown, self._pair.version
                scoring = self._scoring = scoring.again(under)
            self._pair.use(*scoring.under)
            if not scoring.ended:
                return min(scoring.step(self._pair, cancelled), 0.99)
            effects = self._watched.effects(scoring.states())
        found = AtCheckpoint(checkpoint.step, PurePath(checkpoint.path).name, *effects)
        over = sorted((*self.found.over, found), key=lambda it: it.step)
        self.found = replace(self.found, over=tuple(over))
        return 1.0


class Scoring:
    """The states of some responses, scored a step at a time, under one checkpoint.

    ``most``: prompts whose responses one step scores, which suits how quick that is: what comes
    between has the step taken again, so it should not be long.
    """

    def __init__(
        self,
        samples: Sequence[Sequence[Sample]],
        under: "tuple[str, Identity | str]" = ("", ""),
        most: int = 1,
        adapts: bool = True,
    ) -> None:
        """Begin with none; ``samples`` as ``alike`` gives them, ``under`` as Pair has it."""
        self.under, self.most, self._adapts = under, most, adapts
        self._samples = samples
        self._done = 0
        self._parts: list[States] = []
        self._skipped: list[str] = []

    def again(self, under: "tuple[str, Identity | str]") -> "Scoring":
        """Return what scores the same under another checkpoint."""
        return Scoring(self._samples, under, self.most, self._adapts)

    def of(self, samples: Sequence[Sequence[Sample]]) -> "Scoring":
        """Return what scores other responses the same way."""
        return Scoring(samples, self.under, self.most, self._adapts)

    @property
    def ended(self) -> bool:
        """Return whether all are scored."""
        return self._done == len(self._samples)

    def step(self, pair: "Pair", cancelled: Stop) -> float:
        """Score some more responses; return which share is scored.

        Raises:
            UserFacingError, Cancelled: as ``score_states``; none of these is scored.
        """
        from core.learned.states import NothingScored, score_states

        began = time.perf_counter()
        part = self._samples[self._done : self._done + self.most]
        try:
            every = [it for each in part for it in each]
            self._parts.append(score_states(pair, every, silent, cancelled))
        except NothingScored as error:
            self._skipped += error.skipped
        self._done += len(part)
        seconds = time.perf_counter() - began
        if self._adapts and seconds < QUICK:
            self.most *= 2
        elif self._adapts and seconds > SLOW:
            self.most = max(self.most // 2, 1)
        return self._done / len(self._samples)

    def states(self) -> "States":
        """Return the states of all of them.

        Raises:
            NothingScored: there are none.
        """
        from core.learned.states import NothingScored, joined

        if not self._parts:
            raise NothingScored(tuple(self._skipped))
        return joined(self._parts, tuple(self._skipped))


def alike(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return samples by their prompts, a few at most of one in each part."""
    by_prompt: dict[Prompt, list[Sample]] = {}
    for sample in samples:
        by_prompt.setdefault(sample.prompt, []).append(sample)
    return [
        each[begin : begin + TOGETHER]
        for each in by_prompt.values()
        for begin in range(0, len(each), TOGETHER)
    ]


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
    sampled: int = 0,
    about: Sequence[str] = (),
) -> Learned:
    """Return what a pair has learned, as far as these responses show it.

    Args:
        corpus: what to call the responses.
        amplify: whether to sample responses at λ above 1 too.
        noise: the noise floor of the pair, where it was measured.
        over: the checkpoints of the run at which the findings are weighed too.
        sampled: as many responses are sampled from the reference, to the prompts of ``samples``,
            and looked through in place of these.
        about: sentences on where ``samples`` come from.

    Raises:
        UserFacingError: there is no reference, or nothing can be scored.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    learning = Learning(
        pair, info, samples, corpus, amplify=amplify, noise=noise, alone=True, sampled=sampled,
        about=about,
    )  # fmt: skip

    def finish() -> None:
        while not learning.ended:
            report(learning.what, learning.fraction)
            learning.step(cancelled)

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
    from core.learned.findings import CLOSING_FLOOR, FLOOR, find, of_closing, of_properties
    from core.learned.residuals import columns, fit
    from core.learned.states import divergence
    from core.learned.swaps import swaps
    from core.learned.unseen import unseen

    line = fit(states.ratio, columns(states))
    units = units_of(states)
    every = candidates(states, units)
    floor = max(FLOOR, line.scale, TIMES_NOISE * noise.token if noise is not None else 0.0)
    found, left, discovered = find(states, units, every, line.residual, floor)
    found = [replace(it, after=number) for number, it in enumerate(found)]
    found += of_closing(states, max(CLOSING_FLOOR, floor))
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
        divergence=divergence(states),
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
