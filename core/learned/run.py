"""All of it for a loaded pair: its states, the findings, their minimal pairs, swaps, samples.

The steps of one run, with progress; each of them is a module of its own.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.learned.corpus import Sample
from core.learned.record import Learned, Method
from core.progress import Report, Stop, never

if TYPE_CHECKING:
    from core.engine.protocol import PairInfo
    from core.learned.states import States
    from core.models.pair import Pair
    from core.noise import NoiseFloor

TIMES_NOISE = 2.0
"""An effect must be so many times the noise of one log-ratio."""


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
) -> Learned:
    """Return what a pair has learned, as far as these responses show it.

    Args:
        corpus: what to call the responses.
        amplify: whether to sample responses at λ above 1 too.
        noise: the noise floor of the pair, where it was measured.

    Raises:
        UserFacingError: there is no reference, or nothing can be scored.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    from core.learned.amplified import amplified, recurring
    from core.learned.pairs import confirmed
    from core.learned.states import score_states

    states = score_states(pair, samples, report, cancelled)
    report("Looking for what the training moved", None)
    found = of_states(states, info, corpus, noise)
    findings = confirmed(pair, found.findings, states, report, cancelled)
    sampled = amplified(pair, report, cancelled) if amplify else ()
    from dataclasses import replace

    return replace(found, findings=tuple(findings), samples=sampled, recurring=recurring(sampled))


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
        prompts=tuple(it.messages[-1].content for it in states.prompts),
        texts=states.texts,
        notes=info.notes,
    )
