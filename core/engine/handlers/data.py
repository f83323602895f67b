"""Scoring a file of rows, a step at a time, whenever nothing else is asked for."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.engine.handlers import steps
from core.engine.handlers.pair import Noise
from core.engine.handlers.responses import warm
from core.engine.protocol import DataScored, DataStep, ScoreData
from core.engine.session import Session, Shown
from core.errors import Cancelled, UserFacingError

if TYPE_CHECKING:
    from core.dataset.score import Progress, Steps
    from core.dataset.scored import About

STEP = 0.25
"""Seconds of a step, about: then progress is told."""


@dataclass
class Data:
    """The work that is under way, under which checkpoint, and what came of it."""

    steps: "Steps | None" = None
    shown: Shown = ("", "")
    about: "About | None" = None

    def begin(self, shown: Shown) -> None:
        """Let go of what is under way, and of its output."""
        if self.steps is not None:
            self.steps.close()
        self.steps, self.shown, self.about = None, shown, None


@steps(ScoreData)
def score_data(session: Session, request: ScoreData, again: bool) -> DataStep | DataScored:
    """Begin to score rows, or score some more.

    As its last act what is shown is made ready for the next edit.
    """
    data = session.own(Data)
    if not again:
        data.begin(session.shown)
    session.pair_for(request, data.shown)
    if data.about is None:
        if data.steps is None:
            data.steps = _begun(session, request, data.shown)
        try:
            progress = _next(data.steps, session)
        except StopIteration as end:
            data.steps, data.about = None, end.value
        else:
            found = progress.rows, progress.done, progress.skipped, progress.rate
            return DataStep(request.id, *found)
    warm(session, request)
    assert data.about is not None  # None comes of one process of several alone
    counts, findings = data.about.counts, data.about.findings
    return DataScored(request.id, request.out, counts.rows, counts.skipped, findings)


def _next(steps: "Steps", session: Session) -> "Progress":
    """Score rows for a while; return how far it is.

    Raises:
        StopIteration: with what came of it.
        Cancelled: something else goes first; the steps can be gone on with.
    """
    began = time.perf_counter()
    while True:
        progress = next(steps)
        if progress is None:
            raise Cancelled
        if time.perf_counter() - began > STEP:
            return progress


def _begun(session: Session, request: ScoreData, shown: Shown) -> "Steps":
    """Look at the file and begin.

    Raises:
        UserFacingError: it cannot be read, or there is no such folder to write into.
        Cancelled: while it is read.
    """
    from core.dataset.rows import open_source
    from core.dataset.score import scoring

    out, info = Path(request.out), session.info
    assert info is not None
    if not out.parent.is_dir():
        raise UserFacingError(f"There is no folder {out.parent}: make it, or name another file.")
    report = session.reporter(request)
    source = open_source(Path(request.data), dict(request.columns), report, session.cancelled)
    return scoring(
        session.pair,
        info.at(shown[0]),
        source,
        out,
        limit=request.limit,
        anew=request.anew,
        floor=session.own(Noise).floor,
        cancelled=session.cancelled,
    )
