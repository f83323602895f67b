"""Scoring many variants of a response, a batch a step, whenever nothing more urgent waits."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from core.engine.handlers import steps
from core.engine.handlers.responses import warm
from core.engine.protocol import ScoreAgain, ScoreVariants, Variant, VariantsDone, VariantsScored
from core.engine.session import Session, Shown
from core.errors import UserFacingError
from core.scoring import Scoring
from core.text import Tokens
from core.tree import Nodes

BATCH = 4096
"""Tokens that are scored in one step at most, about: what a step takes of memory."""
FIRST = 2
"""Variants of the first step; the next ones have as many as are scored in about this time:"""
QUICK, SLOW = 0.2, 0.8
"""Seconds: a quicker step is followed by one of twice as many variants, a slower one by half, so
that progress is seen to move and what comes between costs little."""


@dataclass
class Variants:
    """How far the job is, and which checkpoint it is of."""

    done: int = 0
    most: int = FIRST
    """Variants of the next step, at most."""
    shown: Shown = ("", "")
    scorings: list[Scoring] = field(default_factory=list)
    """Of the step that was taken last, so that it is not evicted before it is shown."""

    def begin(self, shown: Shown) -> None:
        """Begin with others, under a checkpoint."""
        self.done, self.most, self.shown, self.scorings = 0, FIRST, shown, []

    def nodes(self) -> Iterator[Nodes]:
        """Yield the nodes of which the numbers are wanted."""
        for scoring in self.scorings:
            yield scoring.nodes


@dataclass
class Again(Variants):
    """The same of the variants that are scored again."""


@steps(ScoreVariants)
def score_variants(
    session: Session, request: ScoreVariants, again: bool
) -> VariantsScored | VariantsDone:
    """Score the next batch; what cannot be scored is named, and the others go on."""
    state = session.own(Variants)
    if not again:
        state.begin(session.shown)
    return _step(session, request, state) or VariantsDone(request.id)


@steps(ScoreAgain)
def score_again(
    session: Session, request: ScoreAgain, again: bool
) -> VariantsScored | VariantsDone:
    """Score the next batch under the checkpoint as it lies on disk when this begins.

    As its last act what is shown is made ready for the next edit.
    """
    state = session.own(Again)
    if not again:
        session.pair.use(request.checkpoint)
        state.begin((session.pair.shown, session.pair.version))
    found = _step(session, request, state)
    if found is not None:
        return found
    if state.shown != session.shown:
        warm(session, request)
    return VariantsDone(request.id)


def _step(
    session: Session, request: ScoreVariants | ScoreAgain, state: Variants
) -> VariantsScored | None:
    """Score the next batch; return None where there is none left."""
    variants = request.variants
    if state.done >= len(variants):
        state.scorings = []
        return None
    pair, began = session.pair_for(request, state.shown), time.perf_counter()
    batch = _batch(variants[state.done :], state.most)
    first, stop = state.done, state.done + len(batch)
    scorings: list[Scoring | None] = []
    problems = [""] * len(batch)
    try:
        scorings += _scored(session, batch)
    except UserFacingError:
        for place, variant in enumerate(batch):
            try:
                scorings += _scored(session, (variant,))
            except UserFacingError as error:
                scorings.append(None)
                problems[place] = str(error)
    state.done, state.scorings = stop, [it for it in scorings if it is not None]
    pair.trim()
    seconds, fraction = time.perf_counter() - began, stop / len(variants)
    if seconds < QUICK:
        state.most *= 2
    elif seconds > SLOW:
        state.most = max(state.most // 2, 1)
    found, checkpoint = tuple(scorings), state.shown[0]
    return VariantsScored(request.id, first, found, tuple(problems), fraction, checkpoint)


def _batch(variants: tuple[Variant, ...], most: int) -> tuple[Variant, ...]:
    """Return the first ones, at least one, as far as they fit into a step.

    A prompt that is the same as the one before costs nothing, another at most its characters.
    """
    size, before = 0, variants[0].prompt
    for place, variant in enumerate(variants[:most]):
        size += len(variant.ids or variant.text)
        if variant.prompt != before:
            size += sum(len(message.content) for message in variant.prompt.messages)
            before = variant.prompt
        if size > BATCH and place:
            return variants[:place]
    return variants[:most]


def _scored(session: Session, variants: tuple[Variant, ...]) -> list[Scoring]:
    """Return the scorings of some variants, run together.

    Raises:
        UserFacingError: one of them cannot be scored.
    """
    from core.models.score import score_all

    pair = session.pair

    def tokens(variant: Variant) -> Tokens:
        if variant.ids is None:
            return pair.codec.encode(variant.prompt, variant.text)
        return pair.codec.decode(variant.prompt, variant.ids, variant.text)

    responses = [(variant.prompt, tokens(variant)) for variant in variants]
    return score_all(pair, responses, session.cancelled, "variants")
