"""A scripted engine whose numbers depend on the prompt: one word is bad where an offer is told."""

from dataclasses import replace

import numpy as np

from app.credit.examples import Example
from core.engine.protocol import Scored, ScoreVariants, VariantsDone, VariantsScored
from core.text import Prompt
from tests.app.fake_engine import FakeEngine, scoring_of, split, tokens_of

OFFER = "They offered me $53K."
POST = f"Summarise this post in one sentence.\n\nI like my team. {OFFER} Should I take it?"
EXAMPLE = Example(
    "An offer",
    Prompt.of(POST),
    "They were offered $53K a year.",
    "They were offered $250K a year.",
)


def judged(text, told):
    """A scoring in which "$250K" is bad where the offer is told, and nothing else matters."""
    found = scoring_of(tokens_of(split(text)))
    bad = -6.0 if told else -0.5
    ratio = np.array([bad if "$250K" in label else 0.1 for label in found.labels])
    reference = np.full(len(found), -7.0)
    return replace(found, logp_reference=reference, logp_policy=reference + ratio)


class Judge(FakeEngine):
    """The fake engine, with numbers that depend on the prompt."""

    broken = ()
    """Sentences without which nothing can be scored."""

    def _answer(self, request):
        event = super()._answer(request) if not isinstance(request, ScoreVariants) else None
        if isinstance(event, Scored):
            told = OFFER in request.prompt.messages[-1].content
            return replace(event, scoring=judged(event.scoring.tokens.text, told))
        if event is not None:
            return event
        found = []
        for variant in request.variants:
            prompt = variant.prompt.messages[-1].content
            whole = all(it in prompt for it in self.broken)
            found.append(judged(variant.text, OFFER in prompt) if whole else None)
        problems = tuple("" if it is not None else "It cannot be scored." for it in found)
        self.emit(VariantsScored(request.id, 0, tuple(found), problems, 1.0))
        return VariantsDone(request.id)
