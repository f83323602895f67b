"""Caches the scorings of the responses on the screen under each checkpoint of a run.

By prompt and tokens, so that undo brings back what was known. A checkpoint is named by its place in
``checkpoints``. Knows scorings; asks for nothing and draws nothing.
"""

from collections.abc import Mapping

from core.engine.protocol import Side
from core.noise import NOISELESS, NoiseFloor
from core.present.measures import Measure, shown
from core.present.units import Floats
from core.runs.records import Checkpoint
from core.scoring import Scoring
from core.text import Alignment, Unit

CACHED_TOKENS = 200_000
"""Tokens, each counted once per checkpoint, that are cached of texts no longer on the screen."""
Text = tuple[str, tuple[int, ...]]
"""A prompt as the models read it, and the response's ids."""
Frame = Mapping[Side, Scoring]
Values = dict[Side, Floats]


class ScoringsByCheckpoint:
    """Scorings of the texts that were scored last and of some before them."""

    def __init__(self) -> None:
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self.shown = -1
        """The checkpoint that is the policy now; -1 for a pair that is not of a run."""
        self._prompts: dict[Side, str] = {}
        self._texts: dict[Side, Text] = {}
        self._cached: dict[Text, dict[int, Scoring]] = {}
        self._asked: tuple[object, ...] = ()
        self._values: dict[int, Values] = {}

    def begin(self, checkpoints: tuple[Checkpoint, ...]) -> None:
        """Start with another pair; of a run, its last checkpoint is shown."""
        self.checkpoints, self.shown = checkpoints, len(checkpoints) - 1
        self.forget_texts()
        self._cached.clear()

    def forget_texts(self) -> None:
        """Drop what the sides hold: other texts are on the screen, not scored yet."""
        self._prompts.clear()
        self._texts.clear()
        self._values.clear()

    def take(self, side: Side, prompt_text: str, scoring: Scoring, switching: bool = False) -> None:
        """Take in a scored side under the shown checkpoint.

        ``switching``: another checkpoint is being put in place, so that it is not known under which
        of the two the side was scored; the scoring is then not cached.
        """
        text = prompt_text, scoring.tokens.ids
        if self._texts.get(side) != text:
            self._texts[side] = text
            self._prompts[side] = prompt_text
            self._values.clear()
        frames = self._cached.pop(text, {})
        self._cached[text] = frames  # now the last one to be evicted
        if self.checkpoints and not switching:
            frames[self.shown] = scoring
            self._values.pop(self.shown, None)
        self._evict()

    def put(self, index: int, frame: Frame) -> None:
        """Take in what a checkpoint says of the sides as they were scored last."""
        for side, scoring in frame.items():
            if side in self._prompts:
                text = self._prompts[side], scoring.tokens.ids
                self._cached.setdefault(text, {})[index] = scoring
        self._values.pop(index, None)

    def forget_checkpoint(self, index: int) -> None:
        """Drop what is cached of a checkpoint whose files have been written anew."""
        for frames in self._cached.values():
            frames.pop(index, None)
        self._values.pop(index, None)

    def of(self, side: Side) -> Mapping[int, Scoring]:
        """Return a side's scorings by checkpoint."""
        text = self._texts.get(side)
        return self._cached.get(text, {}) if text is not None else {}

    def frame(self, index: int) -> Frame:
        """Return the scorings of the sides under a checkpoint."""
        found: dict[Side, Scoring] = {}
        for side in self._texts:
            scoring = self.of(side).get(index)
            if scoring is not None:
                found[side] = scoring
        return found

    def known(self) -> tuple[int, ...]:
        """Return the checkpoints under which all scored sides are known."""
        if not self._texts:
            return ()
        shared = set.intersection(*(set(self.of(side)) for side in self._texts))
        return tuple(sorted(shared))

    def unknown(self) -> tuple[int, ...]:
        """Return the other checkpoints, nearest to the shown one first."""
        missing = set(range(len(self.checkpoints))).difference(self.known())
        return tuple(sorted(missing, key=lambda index: (abs(index - self.shown), index)))

    def values(
        self,
        measure: Measure,
        unit: Unit,
        beta: float,
        pairs: Alignment | None,
        noise: NoiseFloor = NOISELESS,
    ) -> Mapping[int, Values]:
        """Return what tokens are coloured by, by checkpoint and side, for the known checkpoints."""
        asked = measure, unit, beta, pairs, noise
        if asked != self._asked:
            self._asked = asked
            self._values.clear()
        for index in range(len(self.checkpoints)):
            if index not in self._values and (frame := self.frame(index)):
                self._values[index] = shown(measure, unit, beta, frame, pairs, noise)
        return self._values

    def _evict(self) -> None:
        """Evict the texts that were used longest ago."""
        size = sum(len(text[1]) * len(frames) for text, frames in self._cached.items())
        for text in list(self._cached):
            if size <= CACHED_TOKENS:
                return
            if text not in self._texts.values():
                size -= len(text[1]) * len(self._cached.pop(text))
