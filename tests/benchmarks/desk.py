"""A loaded pair and a text on it that is being edited, as a view of the window would hold them."""

import time
from dataclasses import dataclass
from typing import Any

from core.models.score import score
from tests.benchmarks import card
from tests.benchmarks.pairs import forget
from tests.benchmarks.texts import PROMPT, Texts, joined


class Desk:
    """A loaded pair and the text that is being edited."""

    def __init__(self, pair: Any, texts: Texts) -> None:
        self.pair, self._texts = pair, texts
        self._known: dict[tuple[int, int], Any] = {}
        self._words: list[str] = []
        self._now: Any = None
        self._others = iter(texts.known)

    def tokens(self, length: int, number: int) -> Any:
        """A text's tokens, made once."""
        key = length, number
        if key not in self._known:
            self._known[key] = self._texts.tokens(self._texts.words(length, number))
        return self._known[key]

    def fresh(self, length: int, number: int) -> Any:
        """Score a text that is new to the pair."""
        forget(self.pair)
        return self._score(self.tokens(length, number))

    def open(self, length: int) -> None:
        """Put a text on the desk, scored."""
        self._words, self._now = self._texts.words(length, 0), self.tokens(length, 0)
        self._score(self._now)

    def edit(self, from_end: int) -> "Edit":
        """Put a word in place that was never there, and score the text."""
        self._words[-from_end] = next(self._others)
        text = joined(self._words)
        card.synchronise()
        began = time.perf_counter()
        self._now = self.pair.codec.edit(PROMPT, self._now, text)
        tokenised = time.perf_counter()
        scoring = self._score(self._now)
        card.synchronise()
        ended = time.perf_counter()
        return Edit(1e3 * (ended - began), 1e3 * (tokenised - began), scoring.computed)

    def _score(self, tokens: Any) -> Any:
        return score(self.pair, PROMPT, tokens, hold="A")


@dataclass(frozen=True)
class Edit:
    """How long an edit took, and how many tokens ran."""

    ms: float
    tokenising_ms: float
    computed: int
