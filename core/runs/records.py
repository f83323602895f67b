"""Training runs as they are read and drawn: curves over steps, checkpoints to scrub through.

The names of curves are TRL's. Imports no model library, so that the window can name the records
before torch is loaded; knows nothing of files or formats (core.runs reads those).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.losses import UNNAMED, TrainingLoss

EVAL = "eval/"
"""Before the name of a curve that the trainer measured on its own evaluation set."""
HELD_OUT = "heldout/"
"""Before the name of a curve that ``train evaluate`` measured on held-out pairs."""
KL = "kl/ref_policy"
"""KL(π_ref‖π) in nats, summed over a chosen response (Eq. 16). A curve that a log merely calls
"kl" keeps that name: its direction is not known."""
EVALUATION = "evaluation.json"
"""The file in a run's folder that ``train evaluate`` writes."""
ABOUT = "qscope-run.json"
"""The file in a run's folder that says how it was trained: beta, base, reference, ..."""
STATE = "trainer_state.json"
"""The file in which a trainer of transformers saves its state, in the run's folder and in each of
its checkpoints."""
STEP = re.compile(r"(?:checkpoint|step)[-_](\d{1,15})")
"""The name of a checkpoint's folder."""
START = "start"
"""In place of a checkpoint's folder: before the first step, where the policy is the reference."""


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """One curve: ``steps`` int64 [n], increasing; ``values`` float64 [n], which may hold NaN."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A saved state of the policy. ``path``: its folder, or START; ``whole``: a model of its own,
    not an adapter; ``bytes``: of its weights on disk."""

    step: int
    path: str
    whole: bool = False
    bytes: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class RunLog:
    """What is known of a run. A run that is being written has newer ones of the same ``path``.

    ``kind``: the format, in words ("TRL trainer state", "TensorBoard events", ...); ``beta``: of
    the training, None where no file says it; ``about``: what ABOUT holds; ``problems``: sentences
    on what could not be read, everything else being there; ``remarks``: on what is no fault;
    ``objective``: the training's loss, as far as files and curves tell.
    """

    path: Path
    name: str
    kind: str
    series: Mapping[str, Series]
    checkpoints: tuple[Checkpoint, ...] = ()
    beta: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    objective: TrainingLoss = UNNAMED
    remarks: tuple[str, ...] = ()

    @property
    def last_step(self) -> int:
        """The last step of any curve or checkpoint; 0 if there is none."""
        ends = [int(series.steps[-1]) for series in self.series.values() if len(series.steps)]
        return max([*ends, *(checkpoint.step for checkpoint in self.checkpoints)], default=0)
