"""Has all that a session recorded scored again by the pair that is loaded, and says how it agrees.

That goes on behind whatever else is asked. Knows the engine's client and recordings; knows nothing
of files or texts.
"""

from PySide6.QtCore import QObject, Signal, Slot

from app.engine_client import EngineClient
from app.inspect.variants import VariantsRun
from core.engine.protocol import NoiseMeasured, PairInfo
from core.recording import Recording, ScoredResponse
from core.session_check import compare, other_weights, variants_of


class SessionCheck(QObject):
    """One comparison at a time."""

    said = Signal(str, bool)
    """What came of it, in one sentence or more, and whether all agrees."""
    progress = Signal(object)
    """How much is scored, 0..1; None once nothing is under way."""

    def __init__(self, client: EngineClient, parent: QObject) -> None:
        super().__init__(parent)
        self._run = VariantsRun(client, "session", self)
        self._recording = Recording()
        self._weights: tuple[str, ...] = ()
        """Sentences on weights that are others now."""
        self._asked: tuple[ScoredResponse, ...] = ()
        """What was recorded of the responses that are scored, in their order."""
        self._scored = False
        self._noise: NoiseMeasured | None = None
        """Of the pair; None while it is not measured."""
        self._exact = True
        """The pair computes in float32, whose noise is waited for by nobody."""
        self._run.stepped.connect(self._tell_progress)
        self._run.ended.connect(self._finish)
        client.noise_measured.connect(self._take_noise)
        client.pair_let_go.connect(self._forget)

    def begin(self, recording: Recording, info: PairInfo, checkpoint: str) -> None:
        """Compare a recording with the pair, which has just been loaded.

        ``checkpoint``: of a run, the one that is to be shown; "" for no run.
        """
        recorded = recording.info
        self._recording = recording
        self._weights = other_weights(recorded, info) if recorded is not None else ()
        responses = recording.responses.values()
        self._asked = tuple(it for it in responses if checkpoint in it.scorings)
        self._scored, self._exact = False, info.dtype == "float32"
        if variants := variants_of(recording, checkpoint):
            self._run.begin(variants)
            self.progress.emit(0.0)
        elif self._weights:
            self.said.emit(" ".join(self._weights), False)

    def stop(self) -> None:
        """Compare nothing any more."""
        self._run.stop()

    @Slot()
    def _forget(self) -> None:
        self._noise, self._scored = None, False

    @Slot()
    def _tell_progress(self) -> None:
        self.progress.emit(len(self._run.scorings) / max(self._run.count, 1))

    @Slot(str)
    def _finish(self, why: str) -> None:
        self.progress.emit(None)
        self._scored = not why
        self._say()

    @Slot(object)
    def _take_noise(self, event: NoiseMeasured) -> None:
        self._noise = event
        self._say()

    def _say(self) -> None:
        """Say what came of it, once all is scored and the noise of the pair is known."""
        if not self._scored or (self._noise is None and not self._exact):
            return
        self._scored = False
        floors = self._recording.noise, self._noise.floor if self._noise is not None else None
        # Another checkpoint may be shown by now, or the one that was wanted not be there.
        then = [it.scorings.get(self._run.checkpoint) for it in self._asked]
        both = zip(then, self._run.scorings, strict=True)
        pairs = [(old, now) for old, now in both if old is not None]
        found = compare([old for old, _ in pairs], [now for _, now in pairs], floors)
        if said := " ".join(filter(None, (*self._weights, found.sentence))):
            self.said.emit(said, found.agrees and not self._weights)
