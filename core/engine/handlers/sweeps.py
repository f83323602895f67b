"""Sweeping beam widths, a step at a time; what was found is remembered for the next sweep."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.engine.handlers import steps
from core.engine.protocol import Sweep, SweepDone, Swept
from core.engine.session import Session, Shown

if TYPE_CHECKING:
    from core.sweeps.run import Answers
    from core.sweeps.run import Sweep as Run
    from core.tree import Nodes


@dataclass
class Sweeps:
    """The last sweep with the checkpoint that it is under, and what sweeps found under each."""

    last: "tuple[Run, Shown] | None" = None
    answers: "dict[Shown, Answers]" = field(default_factory=dict)

    def nodes(self) -> "Iterator[Nodes]":
        """Yield the nodes that the sweep under way needs."""
        if self.last is not None:
            yield self.last[0].nodes()


@steps(Sweep)
def sweep(session: Session, request: Sweep, again: bool) -> Swept | SweepDone:
    """Begin a sweep and take its first step, or take another one."""
    sweeps = session.own(Sweeps)
    if not again or sweeps.last is None:
        sweeps.last = _begin(session, request), session.shown
    run, shown = sweeps.last
    session.pair_for(request, shown)
    if run.ended:
        return SweepDone(request.id)
    row = run.step(session.cancelled)
    return Swept(request.id, run.info, row, run.what, run.fraction)


def _begin(session: Session, request: Sweep) -> "Run":
    from core.sweeps.judges import make_judge
    from core.sweeps.questions import questions_of
    from core.sweeps.run import Answers
    from core.sweeps.run import Sweep as Run

    pair, spec = session.pair_for(request), request.spec
    assert session.info is not None
    info = session.info.at(session.shown[0])
    answers = session.own(Sweeps).answers
    if session.shown not in answers:
        answers[session.shown] = Answers(pair, info)
    judge = make_judge(spec.judge, info.device) if spec.judge is not None else None
    return Run(pair, info, spec, questions_of(spec), judge, answers[session.shown])
