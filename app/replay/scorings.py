"""What is known of the responses on the screen under each checkpoint of a run.

Scorings are kept by prompt and tokens, so that undo brings back what was known. Checkpoints are
meant by their place in ``checkpoints``. Knows scorings; asks for nothing and draws nothing.
"""

from collections.abc import Mapping

from core.engine.protocol import Side
from core.noise import NOISELESS, NoiseFloor
from core.present import measures as numbers
from core.runs.records import Checkpoint
from core.scoring import Scoring
from core.text import Alignment, Unit

KEPT_TOKENS = 200_000
"""Tokens, each counted once per checkpoint, that are kept of texts no longer on the screen."""
Text = tuple[str, tuple[int, ...]]
"""A prompt as the models read it, and the response's ids."""
Frame = Mapping[Side, Scoring]
Values = dict[Side, numbers.Floats]


class Film:
    """Scorings by checkpoint, of the texts that were scored last and of some before them."""

    def __init__(self) -> None:
        self.checkpoints: tuple[Checkpoint, ...] = ()
        self.shown = -1
        """The checkpoint that is the policy now; -1 for a pair that is not of a run."""
        self._prompts: dict[Side, str] = {}
        self._texts: dict[Side, Text] = {}
        self._kept: dict[Text, dict[int, Scoring]] = {}
        self._asked: tuple[object, ...] = ()
        self._values: dict[int, Values] = {}

    def begin(self, checkpoints: tuple[Checkpoint, ...]) -> None:
        """Another pair; of a run, its last checkpoint is shown."""
        self.checkpoints, self.shown = checkpoints, len(checkpoints) - 1
        self.forget_texts()
        self._kept.clear()

    def forget_texts(self) -> None:
        """Other texts are on the screen, and not scored yet."""
        self._prompts.clear()
        self._texts.clear()
        self._values.clear()

    def take(self, side: Side, prompt_text: str, scoring: Scoring, between: bool = False) -> None:
        """A side was scored; ``between`` two checkpoints it cannot be told under which."""
        text = prompt_text, scoring.tokens.ids
        if self._texts.get(side) != text:
            self._texts[side] = text
            self._prompts[side] = prompt_text
            self._values.clear()
        frames = self._kept.pop(text, {})
        self._kept[text] = frames  # the one used last is the last to go
        if self.checkpoints and not between:
            frames[self.shown] = scoring
            self._values.pop(self.shown, None)
        self._shed()

    def put(self, index: int, frame: Frame) -> None:
        """What a checkpoint says of the sides as they were scored last."""
        for side, scoring in frame.items():
            if side in self._prompts:
                text = self._prompts[side], scoring.tokens.ids
                self._kept.setdefault(text, {})[index] = scoring
        self._values.pop(index, None)

    def forget_checkpoint(self, index: int) -> None:
        """What was known of a checkpoint is of another one, which lay there before."""
        for frames in self._kept.values():
            frames.pop(index, None)
        self._values.pop(index, None)

    def of(self, side: Side) -> Mapping[int, Scoring]:
        """A side's scorings by checkpoint."""
        text = self._texts.get(side)
        return self._kept.get(text, {}) if text is not None else {}

    def frame(self, index: int) -> Frame:
        """What is known under a checkpoint."""
        found: dict[Side, Scoring] = {}
        for side in self._texts:
            scoring = self.of(side).get(index)
            if scoring is not None:
                found[side] = scoring
        return found

    def known(self) -> tuple[int, ...]:
        """The checkpoints under which all sides that are scored are known."""
        if not self._texts:
            return ()
        shared = set.intersection(*(set(self.of(side)) for side in self._texts))
        return tuple(sorted(shared))

    def unknown(self) -> tuple[int, ...]:
        """The others, nearest to the shown one first."""
        missing = set(range(len(self.checkpoints))).difference(self.known())
        return tuple(sorted(missing, key=lambda index: (abs(index - self.shown), index)))

    def values(
        self,
        key: numbers.Key,
        unit: Unit,
        beta: float,
        pairs: Alignment | None,
        noise: NoiseFloor = NOISELESS,
    ) -> Mapping[int, Values]:
        """What the known checkpoints' tokens are coloured by, by checkpoint and side."""
        asked = key, unit, beta, pairs, noise
        if asked != self._asked:
            self._asked = asked
            self._values.clear()
        for index in range(len(self.checkpoints)):
            if index not in self._values and (frame := self.frame(index)):
                self._values[index] = numbers.shown(key, unit, beta, frame, pairs, noise)
        return self._values

    def _shed(self) -> None:
        """Let go of the texts that were used longest ago."""
        size = sum(len(text[1]) * len(frames) for text, frames in self._kept.items())
        for text in list(self._kept):
            if size <= KEPT_TOKENS:
                return
            if text not in self._texts.values():
                size -= len(text[1]) * len(self._kept.pop(text))
