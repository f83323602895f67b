"""Finds on which sentences of the prompt the verdict's word depends: each is left out once.

Asked once texts have rested, and only where that is not too much work; the numbers are kept, so
that another beta asks nothing. Knows the engine's client, prompts and verdicts; knows no widgets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal, Slot

from app.engine_client import EngineClient
from app.inspect.variants import halt
from app.widgets.timers import single_shot
from core.dependence import Bearing, Part, parts, strongest, without
from core.engine.protocol import ScoreVariants, Variant, VariantsDone, VariantsScored
from core.noise import NoiseFloor
from core.present.credit import Credit
from core.present.numerals import signed
from core.present.verdict import Word
from core.scoring import Scoring
from core.text import Prompt

PURPOSE = "evidence"
REST_MS = 400
MOST_CHARACTERS = 60_000
"""Characters of all prompts without a sentence together, up to which they are scored unasked."""
WORDS: dict[Bearing, str] = {"against": "speaks against", "for": "supports"}


@dataclass(frozen=True, eq=False)
class Asked:
    """A word whose evidence is looked for, in a response to a prompt."""

    prompt: Prompt
    scoring: Scoring
    word: Word

    def is_same(self, other: "Asked") -> bool:
        """Return whether the answer is the same, as the models are."""
        return (self.prompt, self.word.rows) == (other.prompt, other.word.rows) and (
            self.scoring is other.scoring
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A sentence of the prompt that bears on a word, and how, in a sentence."""

    part: Part
    bearing: Bearing
    less: float
    """The word's sum where the prompt is without it."""
    said: str


class Evidence(QObject):
    """The sentences that bear on one word at a time."""

    changed = Signal()

    def __init__(self, client: EngineClient, parent: QObject) -> None:
        super().__init__(parent)
        self._client = client
        self._asked: Asked | None = None
        self._parts: tuple[Part, ...] = ()
        self._scorings: list[Scoring | None] = []
        self._complete = self._asking = False
        self._rest = single_shot(self, self._ask, REST_MS)

    def look(self, asked: Asked | None) -> None:
        """Look for the evidence of a word; None: of none, and what was found is forgotten."""
        if asked is not None and self._asked is not None and asked.is_same(self._asked):
            return
        self._rest.stop()
        if self._asking:
            halt(self._client, PURPOSE)
            self._asking = False
        self._asked, self._complete = asked, False
        self._parts, self._scorings = (), []
        self.changed.emit()
        if asked is not None:
            self._parts = parts(asked.prompt)
            size = sum(len(message.content) for message in asked.prompt.messages)
            if len(self._parts) > 1 and size * len(self._parts) <= MOST_CHARACTERS:
                self._rest.start()

    def is_to_ask(self) -> bool:
        """Return whether something will be asked once texts have rested."""
        return self._rest.isActive()

    def found(self, beta: float, credit: Credit, noise: NoiseFloor) -> tuple[Found, ...]:
        """Return the sentences that bear on the word, the strongest first; none until all are
        scored."""
        asked = self._asked
        if asked is None or not self._complete:
            return ()
        rows = asked.word.rows

        def of_word(scoring: Scoring) -> float:
            return float(credit.of(scoring, beta)[rows.start : rows.stop].sum())

        whole = of_word(asked.scoring)
        count = len(asked.scoring)
        floor = float(noise.of_rewards(credit.scale(beta, count), len(rows)))
        known = [
            (part, of_word(scoring))
            for part, scoring in zip(self._parts, self._scorings, strict=True)
            if scoring is not None and len(scoring) == count
        ]
        bears = strongest([part for part, _ in known], whole, [less for _, less in known], floor)
        return tuple(
            Found(part, how, less, _said(asked.word, how, whole, less)) for part, how, less in bears
        )

    @Slot()
    def _ask(self) -> None:
        asked = self._asked
        if asked is None:
            return
        tokens = asked.scoring.tokens
        variants = tuple(
            Variant(without(asked.prompt, part), tokens.text, tokens.ids) for part in self._parts
        )
        ticket = self._client.ask(ScoreVariants, variants, PURPOSE)
        self._asking = True
        ticket.stepped.connect(self._take)
        ticket.answered.connect(self._finish)

    def _take(self, event: VariantsScored) -> None:
        self._scorings += event.scorings

    def _finish(self, event: VariantsDone) -> None:
        self._asking = False
        self._complete = len(self._scorings) == len(self._parts)
        self.changed.emit()


def in_short(found: Sequence[Found]) -> str:
    """Return what a reader is told of the sentences that are underlined; "" of none."""
    if not found:
        return ""
    bears: Bearing = found[0].bearing
    these = [it for it in found if it.bearing == bears]
    if len(these) == 1:
        return f"Without the underlined sentence: {signed(these[0].less, 1)}."
    verb = WORDS[bears].removesuffix("s") if bears == "for" else "speak against"
    return f"{len(these)} underlined sentences {verb} it."


def _said(word: Word, how: Bearing, whole: float, less: float) -> str:
    return (
        f"This sentence {WORDS[how]} “{word.text}” in {word.side}: without it the word has "
        f"{signed(less, 2)} in place of {signed(whole, 2)}. A measured dependence: the prompt was "
        f"scored without the sentence."
    )
