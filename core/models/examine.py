"""Examines a pair for a diagnosis: from its files first, then loaded, as the loader goes about it.

Yields lines as they are found, so that what is cheap is there at once; puts nothing into words
(core.diagnosis does). torch is imported only where it is needed.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from core import diagnosis
from core.checkpoints.asked import as_run, asked_plan
from core.checkpoints.identity import identify
from core.checkpoints.watch import parts_of
from core.engine.protocol import PairInfo, PairSpec
from core.errors import UserFacingError
from core.finding import Finding
from core.progress import Report, never

if TYPE_CHECKING:
    from core.models.pair import Pair


class NotFetched(UserFacingError):
    """Something that would have to be fetched first; the sentence begins with what that is."""


def not_fetched(what: str, fraction: float | None) -> None:
    """Stop what begins to fetch something: a report of progress for those who only look.

    Raises:
        NotFetched: always.
    """
    raise NotFetched(f"{what}: this is done when the pair is opened.")


def on_disk(
    spec: PairSpec, progress: Report, cancelled: Callable[[], bool] = never
) -> Iterator[Finding]:
    """Yield what there is to say of a pair before it is loaded; a "stop" where it cannot be.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true, in a fetch.
    """
    try:
        spec, opened = as_run(spec)
        for sentence in opened:
            yield Finding("policy", "note", sentence, "run")
        plan = asked_plan(spec, progress, cancelled)
        yield from diagnosis.of_plan(plan, spec.beta)
        found = {role: identify(folder) for role, folder in parts_of(plan).items()}
        yield from diagnosis.of_files({role: it for role, it in found.items() if it is not None})

        from core.checkpoints.memory import check_fits
        from core.models.load import place_for

        place = place_for(spec, plan)
        yield diagnosis.of_memory(place.need, place.free, str(place.device))
        check_fits(place.need, place.free, str(place.device))
    except NotFetched as found:
        yield Finding("base", "note", str(found), "not-fetched")
    except UserFacingError as error:
        yield diagnosis.of_failure(error)


def loaded(
    pair: "Pair", info: PairInfo, cancelled: Callable[[], bool] = never
) -> Iterator[Finding]:
    """Yield what there is to say of a pair that is loaded, its noise measured.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true.
    """
    from core.models.noise import Measurement

    yield from running(pair, info)
    yield diagnosis.of_noise(Measurement(pair).finish(cancelled), info.dtype)


def running(pair: "Pair", info: PairInfo) -> Iterator[Finding]:
    """Yield how a pair that is loaded runs, and how it reads texts."""
    from core.as_read import as_read
    from core.models.plausible import PROMPT, SAMPLE
    from core.text import Prompt

    yield from diagnosis.of_info(info)
    if not info.alone:
        yield from diagnosis.of_plausibility(info.plausibility)
    codec, prompt = pair.codec, Prompt.of(PROMPT)
    try:
        yield from diagnosis.of_reading(as_read(codec, prompt, codec.encode(prompt, SAMPLE)))
    except UserFacingError as error:
        yield Finding("template", "warning", str(error), "tokens.refused")
