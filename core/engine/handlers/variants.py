"""Scoring many variants of a response, a batch a step, whenever nothing more urgent waits."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from core.engine.handlers import steps
from core.engine.protocol import ScoreVariants, Variant, VariantsDone, VariantsScored
from core.engine.session import Session, Shown
from core.errors import UserFacingError
from core.scoring import Scoring
from core.text import Tokens
from core.tree import Nodes

BATCH = 4096
"""Tokens of responses that are scored in one step, about."""


@dataclass
class Variants:
    """How far the job is, and which checkpoint it is of."""

    done: int = 0
    shown: Shown = ("", "")
    scorings: list[Scoring] = field(default_factory=list)
    """Of the step that was taken last, so that it is not evicted before it is shown."""

    def nodes(self) -> Iterator[Nodes]:
        """Yield the nodes of which the numbers are wanted."""
        for scoring in self.scorings:
            yield scoring.nodes


@steps(ScoreVariants)
def score_variants(
    session: Session, request: ScoreVariants, again: bool
) -> VariantsScored | VariantsDone:
    """Score the next batch; what cannot be scored is named, and the others go on."""
    state = session.own(Variants)
    if not again:
        state.done, state.shown, state.scorings = 0, session.shown, []
    variants = request.variants
    if state.done >= len(variants):
        state.scorings = []
        return VariantsDone(request.id)
    pair = session.pair_for(request, state.shown)
    stop, size = state.done, 0
    while stop < len(variants) and (size < BATCH or stop == state.done):
        size += len(variants[stop].ids or variants[stop].text)
        stop += 1
    first, batch = state.done, variants[state.done : stop]
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
    pair.trim(session.nodes())
    fraction = stop / len(variants)
    found, checkpoint = tuple(scorings), state.shown[0]
    return VariantsScored(request.id, first, found, tuple(problems), fraction, checkpoint)


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
