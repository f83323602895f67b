"""Showing another checkpoint of a run, and replaying many while nothing else is asked.

A checkpoint is meant as it was when it was shown: what is written anew under its path is another,
which is shown when it is asked for again.
"""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.engine.handlers import answers, steps
from core.engine.handlers.responses import told, warm
from core.engine.protocol import Event, Replay, ReplayDone, Replayed, Request, Scrub, Scrubbed, Side
from core.engine.session import Session, Shown
from core.errors import UserFacingError
from core.progress import Report, calm, part, silent

if TYPE_CHECKING:
    from core.scoring import Scoring


@dataclass
class Replaying:
    """The checkpoints that are yet to be replayed, and why the first that could not be was not."""

    left: list[str] = field(default_factory=list)
    problem: str = ""


@answers(Scrub)
def scrub(session: Session, request: Scrub) -> Scrubbed:
    """Show another checkpoint, once all that the sides hold is scored under it."""
    began = time.perf_counter()
    report = calm(session.reporter(request))
    scorings, session.shown, anew = _scorings(session, request, request.checkpoint, report)
    for side, scoring in scorings.items():
        session.responses[side] = session.responses[side]._replace(scoring=scoring)
    seconds = time.perf_counter() - began
    return Scrubbed(request.id, request.checkpoint, scorings, seconds, anew)


@steps(Replay)
def replay(session: Session, request: Replay, again: bool) -> Replayed | ReplayDone:
    """Replay one checkpoint; those that cannot be shown are passed over until the end.

    As its last act what is shown is made ready for the next edit.
    """
    state = session.own(Replaying)
    if not again:
        session.pair  # noqa: B018 -- without one, that is what is to be said
        state.left, state.problem = list(request.checkpoints), ""
    while state.left:
        found = None
        try:
            found = _scorings(session, request, state.left[0])
        except UserFacingError as error:
            state.problem = state.problem or str(error)
        checkpoint = state.left.pop(0)
        if found is not None:
            scorings, _, anew = found
            fraction = 1 - len(state.left) / len(request.checkpoints)
            return Replayed(request.id, checkpoint, scorings, fraction, anew)
    warm(session, request)
    if state.problem:
        raise UserFacingError(state.problem)
    return ReplayDone(request.id)


def _scorings(
    session: Session, request: Request[Event], checkpoint: str, report: Report = silent
) -> "tuple[dict[Side, Scoring], Shown, bool]":
    """Score what both sides hold under a checkpoint as it lies on disk now.

    Returns the scorings, which checkpoint it is, and whether that is another one than was scored
    under the same path before.
    """
    from core.models.score import score

    pair = session.pair
    pair.use(checkpoint)
    shown = pair.shown, pair.version
    session.pair_for(request, shown)
    scorings = {}
    for done, (side, it) in enumerate(session.responses.items()):
        with told(session, part(report, done, len(session.responses))):
            scorings[side] = score(pair, it.prompt, it.tokens, session.cancelled, hold=side)
    anew = session.versions.get(checkpoint, pair.version) != pair.version
    session.versions[checkpoint] = pair.version
    return scorings, shown, anew
