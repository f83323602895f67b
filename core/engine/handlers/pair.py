"""Loading a pair, letting it go, and measuring its noise floor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engine.handlers import answers, steps
from core.engine.handlers.responses import warm
from core.engine.protocol import Load, Loaded, MeasureNoise, NoiseMeasured, Unload, Unloaded
from core.engine.session import Session, Shown
from core.engine.startup import collect_frozen, no_full_collections, open_torch_library
from core.runs.records import START

if TYPE_CHECKING:
    from core.models.noise import Measurement


@dataclass
class Noise:
    """A measurement that is under way, and the checkpoint that it is of."""

    under_way: "tuple[Measurement, Shown] | None" = None


@answers(Load)
def load(session: Session, request: Load) -> Loaded:
    """Load a pair in place of the one that is there, if any."""
    _let_go(session)
    progress = session.reporter(request)
    progress("Starting the engine", None)
    with no_full_collections():
        open_torch_library()
        from core.models.load import load_pair

        pair, info = load_pair(request.spec, progress, session.cancelled)
    session.take_pair(request.id, pair, info)
    return Loaded(request.id, info)


@answers(Unload)
def unload(session: Session, request: Unload) -> Unloaded:
    """Let go of the pair."""
    _let_go(session)
    return Unloaded(request.id)


def _let_go(session: Session) -> None:
    session.forget_pair()
    collect_frozen()


@steps(MeasureNoise)
def measure_noise(session: Session, request: MeasureNoise, again: bool) -> NoiseMeasured:
    """Measure the noise floor; what was found before an interruption is kept.

    At a run's start the policy is the reference, without any noise: another is measured then.
    As its last act what is shown is made ready for the next edit.
    """
    from core.models.noise import Measurement

    noise = session.own(Noise)
    if not again or noise.under_way is None:
        pair, shown = session.pair, session.shown
        assert session.info is not None
        if shown[0] == START:
            shown = session.info.checkpoints[-1].path, ""
        noise.under_way = Measurement(pair), shown
    measurement, shown = noise.under_way
    session.pair_for(request, shown)
    floor = measurement.finish(session.cancelled)
    warm(session, request)
    noise.under_way = None
    return NoiseMeasured(request.id, floor)
