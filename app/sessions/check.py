"""Has all that a session recorded scored again by the pair that is loaded, and says how it agrees.

One checkpoint after another, the one that is shown first; all that is asked meanwhile goes before.
Knows the engine's client and recordings; knows nothing of files or texts.
"""

from collections import deque

from PySide6.QtCore import QObject, Signal, Slot

from app.engine_client import EngineClient, JobTicket
from core.engine.protocol import (
    Failed,
    NoiseMeasured,
    PairInfo,
    ScoreAgain,
    Stopped,
    VariantsDone,
    VariantsScored,
)
from core.recording import Recording
from core.scoring import Scoring
from core.session_check import (
    Agreement,
    compare,
    other_weights,
    over_checkpoints,
    to_compare,
    variants_of,
)


class SessionCheck(QObject):
    """One comparison at a time."""

    said = Signal(str, bool)
    """What came of it, in one sentence or more, and whether all agrees."""
    progress = Signal(object)
    """How much is scored, 0..1; None once nothing is under way."""

    def __init__(self, client: EngineClient, parent: QObject) -> None:
        super().__init__(parent)
        self._client = client
        self._recording = Recording()
        self._info: PairInfo | None = None
        self._remarks: list[str] = []
        """Sentences on what is not compared, or is another by its weights."""
        self._left: deque[str] = deque()
        """Checkpoints that are not compared yet; the first one is being scored."""
        self._ticket: JobTicket[VariantsScored, VariantsDone] | None = None
        self._then: list[Scoring] = []
        self._now: list[Scoring | None] = []
        """What was recorded under the checkpoint that is being scored, and what comes."""
        self._found: dict[str, tuple[list[Scoring], list[Scoring | None]]] = {}
        """The same of those that are done."""
        self._count = self._done = 0
        """Responses of all checkpoints, and those that are scored."""
        self._scored = False
        self._noise: NoiseMeasured | None = None
        """Of the pair; None while it is not measured."""
        self._exact = True
        """The pair computes in float32, whose noise is waited for by nobody."""
        client.noise_measured.connect(self._take_noise)
        client.pair_let_go.connect(self._forget)

    def begin(self, recording: Recording, info: PairInfo, checkpoint: str) -> None:
        """Compare a recording with the pair, which has just been loaded.

        ``checkpoint``: of a run, the one that is to be shown; "" for no run.
        """
        recorded = recording.info
        self._recording, self._info = recording, info
        checkpoints, remarks = to_compare(recording, info, checkpoint)
        others = other_weights(recorded, info) if recorded is not None else ()
        self._remarks = [*others, *remarks]
        self._left, self._found = deque(checkpoints), {}
        self._count = sum(len(variants_of(recording, it)) for it in checkpoints)
        self._done, self._scored, self._exact = 0, False, info.dtype == "float32"
        if self._left:
            self.progress.emit(0.0)
        self._go_on()

    @Slot()
    def stop(self) -> None:
        """Compare nothing more; say what is known."""
        if self._ticket is not None:
            self._client.drop(self._ticket)

    def _go_on(self) -> None:
        """Have the next checkpoint's responses scored; say what came of all once none is left."""
        if not self._left:
            self.progress.emit(None)
            self._scored = True
            self._say()
            return
        checkpoint = self._left[0]
        variants = variants_of(self._recording, checkpoint)
        responses = self._recording.responses.values()
        self._then = [it.scorings[checkpoint] for it in responses if checkpoint in it.scorings]
        self._now = []
        self._ticket = self._client.ask(ScoreAgain, variants, checkpoint)
        self._ticket.stepped.connect(self._take)
        self._ticket.answered.connect(self._end_one)
        self._ticket.failed.connect(self._fail_one)
        self._ticket.stopped.connect(self._stopped)

    def _take(self, event: VariantsScored) -> None:
        self._now += event.scorings
        self._done += len(event.scorings)
        self.progress.emit(self._done / self._count)

    def _end_one(self, event: VariantsDone) -> None:
        self._ticket = None
        self._found[self._left.popleft()] = self._then, self._now
        self._go_on()

    def _fail_one(self, event: Failed) -> None:
        self._ticket = None
        self._left.popleft()
        self._remarks.append(event.message)
        self._go_on()

    def _stopped(self, event: Stopped) -> None:
        self._ticket = None
        left = "checkpoint" if len(self._left) == 1 else f"{len(self._left)} checkpoints"
        self._remarks.append(f"The comparison was stopped before the last {left}.")
        self._left.clear()
        self._go_on()

    @Slot()
    def _forget(self) -> None:
        self._ticket, self._noise, self._scored = None, None, False
        self._left.clear()
        self.progress.emit(None)

    @Slot(object)
    def _take_noise(self, event: NoiseMeasured) -> None:
        self._noise = event
        self._say()

    def _say(self) -> None:
        """Say what came of it, once all is scored and the noise of the pair is known."""
        if not self._scored or self._info is None or (self._noise is None and not self._exact):
            return
        self._scored = False
        floors = self._recording.noise, self._noise.floor if self._noise is not None else None
        found = {it: compare(then, now, floors) for it, (then, now) in self._found.items()}
        said = " ".join([*self._remarks, over_checkpoints(found, self._info)]).strip()
        if said:
            agrees = not self._remarks and all(map(_is_fine, found.values()))
            self.said.emit(said, agrees)


def _is_fine(found: Agreement) -> bool:
    return found.agrees or not found.sentence
