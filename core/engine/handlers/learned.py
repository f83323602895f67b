"""Looking for what the pair has learned, a step at a time, whenever nothing else is asked for."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.engine.handlers import steps
from core.engine.handlers.responses import warm
from core.engine.protocol import Learn, LearnStep, Learnt
from core.engine.session import Session, Shown
from core.errors import UserFacingError
from core.preferences import listed
from core.runs.records import START

if TYPE_CHECKING:
    from core.learned.corpus import Sample
    from core.learned.run import Learning
    from core.models.noise import Measurement


@dataclass
class Last:
    """What was looked for last, and how far that is; ``noise`` is measured first."""

    asked: Learn | None = None
    shown: Shown = ("", "")
    learning: "Learning | None" = None
    noise: "Measurement | None" = None
    file: tuple[int, ...] = ()
    """What tells whether the file is the same still."""

    def is_of(self, request: Learn, shown: Shown) -> bool:
        """Return whether a request asks for the same, maybe at more checkpoints."""
        if self.asked is None or self.learning is None or self.shown != shown:
            return False
        if self.file != _marks(request):
            return False
        over = request.over_checkpoints
        return replace(self.asked, id=request.id, over_checkpoints=over) == request


@steps(Learn)
def learn(session: Session, request: Learn, again: bool) -> LearnStep | Learnt:
    """Begin to look, or take another step.

    As its last act what is shown is made ready for the next edit.
    """
    last = session.own(Last)
    if not again and not last.is_of(request, session.shown):
        last.asked = last.learning = None
        _begin(session, request, last)
    assert last.learning is not None
    session.pair_for(request, last.shown)
    learning = last.learning
    if last.noise is not None:
        learning.noise = last.noise.finish(session.cancelled)
        last.noise = None
    elif not learning.ended:
        learning.step(session.cancelled)
    if learning.ended and request.over_checkpoints and session.info is not None:
        learning.go_over(session.info.checkpoints)
    if not learning.ended:
        return LearnStep(request.id, learning.what, learning.fraction)
    warm(session, request)
    assert learning.found is not None
    return Learnt(request.id, learning.found, last.shown[0])


def _begin(session: Session, request: Learn, last: Last) -> None:
    """Read the responses, and begin with them."""
    from core.learned.run import Learning
    from core.models.noise import Measurement

    pair, info = session.pair_for(request), session.info
    assert info is not None
    samples, name, about = _samples(request)
    info = info.at(session.shown[0])
    last.learning = Learning(
        pair, info, samples, name, amplify=request.amplify, sampled=request.sampled, about=about
    )
    last.asked, last.shown, last.file = request, (pair.shown, pair.version), _marks(request)
    quiet = pair.alone or pair.shown == START  # no noise there, or nothing to find
    last.noise = None if quiet else Measurement(pair)


def _marks(request: Learn) -> tuple[int, ...]:
    """Return what changes when the file of a request is written anew; () where it has none."""
    try:
        stat = Path(request.data).stat() if request.data else None
    except (OSError, ValueError):  # reading it says why
        return ()
    return (stat.st_size, stat.st_mtime_ns) if stat is not None else ()


def _samples(request: Learn) -> "tuple[list[Sample], str, tuple[str, ...]]":
    """Return the responses that are meant, what to call them, and what there is to say of them."""
    from core.dataset.rows import NotGuessed
    from core.learned import corpus

    fewest = 1 if request.sampled else corpus.FEWEST  # for their prompts, any number will do
    if request.responses:
        each = enumerate(request.responses, 1)
        made = [corpus.Sample(it.prompt, it.text, f"response {i}") for i, it in each]
        return corpus.enough(made, "This window", fewest=fewest), "responses of this window", ()
    if request.data:
        path = Path(request.data)
        try:
            samples, about = corpus.read(path, request.most, fewest=fewest)
        except NotGuessed as error:
            raise UserFacingError(
                f"In {path.name} no column could be taken for a response to a prompt: call two of "
                f"its columns ({listed(error.columns) or 'none'}) prompt and response, or three "
                f"prompt, chosen and rejected."
            ) from error
        return samples, path.name, about
    return corpus.neutral(), "the neutral corpus", ()
