"""Examining a pair, loading it, letting it go, and measuring its noise floor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.checkpoints.hub import NotDownloaded
from core.engine.handlers import answers, steps
from core.engine.handlers.responses import warm
from core.engine.protocol import (
    Examine,
    Examined,
    Load,
    Loaded,
    MeasureNoise,
    NoiseMeasured,
    Unload,
    Unloaded,
)
from core.engine.session import Session, Shown
from core.engine.startup import collect_frozen, no_full_collections, open_torch_library
from core.errors import Cancelled, UserFacingError
from core.runs.records import START

if TYPE_CHECKING:
    from core.models.noise import Measurement
    from core.noise import NoiseFloor


@dataclass
class Noise:
    """A measurement that is under way with the checkpoint that it is of, and what came of it."""

    under_way: "tuple[Measurement, Shown] | None" = None
    measured: bool = False
    floor: "NoiseFloor | None" = None


@answers(Examine)
def examine(session: Session, request: Examine) -> Examined:
    """Say what a pair's files tell of it, and of the one that is loaded how it runs."""
    from core.diagnosis import of_noise
    from core.models.examine import not_fetched, on_disk, running

    found = [*on_disk(request.spec, not_fetched, session.cancelled)]
    if request.loaded and session.info is not None:
        found += running(session.pair, session.info)
        if (noise := session.own(Noise)).measured:
            found.append(of_noise(noise.floor, session.info.dtype))
    return Examined(request.id, tuple(found))


@answers(Load)
def load(session: Session, request: Load) -> Loaded:
    """Load a pair; the one that is there, if any, goes then, or before if there is little memory.

    Where it cannot be loaded or that was cancelled, the one before begins anew, if it is there.
    """
    if request.recorded:
        raise UserFacingError("No session is open that could answer: open its file first.")
    progress = session.reporter(request)
    progress("Starting the engine", None)
    try:
        with no_full_collections():
            open_torch_library()
            from core.models.load import load_pair

            pair, info = load_pair(
                request.spec, progress, session.cancelled, lambda: _let_go(session)
            )
        answer = Loaded(request.id, info)
    except (UserFacingError, Cancelled) as error:
        if session.info is None:
            _clear(session)
            raise
        pair = session.pair
        can = isinstance(error, NotDownloaded)
        answer = Loaded(request.id, session.info, kept=True, why=str(error), downloadable=can)
    except BaseException:
        _clear(session)
        raise
    _let_go(session)
    session.take_pair(request.id, pair, answer.info)
    if answer.kept and answer.info.checkpoints:
        session.shown = answer.info.checkpoints[-1].path, ""
    return answer


@answers(Unload)
def unload(session: Session, request: Unload) -> Unloaded:
    """Let go of the pair."""
    _let_go(session)
    return Unloaded(request.id)


def _let_go(session: Session) -> None:
    """Let go of the pair, if there is one: to look for its weights takes up to a second, for which
    the window stands still."""
    if session.has_pair:
        _clear(session)


def _clear(session: Session) -> None:
    """Let go of the pair and of whatever else was loaded."""
    session.forget_pair()
    collect_frozen(session.collect)


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
    noise.under_way, noise.measured, noise.floor = None, True, floor
    return NoiseMeasured(request.id, floor)
