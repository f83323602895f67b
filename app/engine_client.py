"""The one place where engine events become Qt signals, and where the window asks for things.

The engine thread appends events to a deque and posts one wake-up; the GUI thread then takes all
that has gathered. Answers that a newer request has overtaken are dropped here. Knows the protocol;
knows nothing of widgets or models.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from PySide6.QtCore import QObject, Qt, Signal, Slot

from core.engine.protocol import (
    Event,
    Failed,
    FilesChanged,
    Grown,
    Inspect,
    Inspected,
    InspectNode,
    Load,
    Loaded,
    Memory,
    NodeInspected,
    NoiseMeasured,
    PairSpec,
    Progress,
    Replay,
    ReplayDone,
    Replayed,
    Request,
    Resume,
    Score,
    Scored,
    Scrub,
    Scrubbed,
    Search,
    Searched,
    Side,
    Steer,
    SteerAction,
    Steered,
    Stopped,
    Survey,
    Surveyed,
    Sweep,
    SweepDone,
    Swept,
    Unload,
)
from core.search.spec import SearchSpec
from core.sweeps.record import SweepSpec
from core.text import Prompt


class EngineLike(Protocol):
    """What the bridge needs of an engine (core.engine.loop.Engine, or a scripted one in tests)."""

    def start(self) -> None: ...
    def submit(self, request: Request[Event]) -> None: ...
    def cancel(self, kind: type[Request[Event]] | None = None) -> None: ...
    def close(self, timeout: float = 5.0) -> bool: ...


MakeEngine = Callable[[Callable[[Event], None]], EngineLike]


def real_engine(emit: Callable[[Event], None]) -> EngineLike:
    """The engine of core; it imports torch in its own thread, once started."""
    from core.engine.loop import Engine

    return Engine(emit)


class Bridge(QObject):
    """Lives on the GUI thread for as long as the window does."""

    progress = Signal(object)
    """Of a pair that is being loaded."""
    scrub_progress = Signal(object)
    """Of a scrub or a replay that loads a whole model."""
    loaded = Signal(object)
    noise_measured = Signal(object)
    """Of the pair that is loaded; the engine asks for it by itself."""
    scored = Signal(object)
    inspected = Signal(object)
    node_inspected = Signal(object)
    grown = Signal(object)
    searched = Signal(object)
    steered = Signal(object)
    surveyed = Signal(object)
    swept = Signal(object)
    sweep_done = Signal(object)
    scrubbed = Signal(object)
    replayed = Signal(object)
    replay_done = Signal(object)
    files_changed = Signal(object)
    """Files of the pair that is loaded have been written anew on disk."""
    pair_let_go = Signal()
    """Nothing that was asked of the pair before is answered any more."""
    failed = Signal(object)
    lost = Signal(object)
    """A failure after which only a new process can go on; ``failed`` tells of it too, before."""
    memory = Signal(object)
    """How much is kept of the pair's numbers and KV."""
    stopped = Signal(object)
    _gathered = Signal()

    def __init__(self, make_engine: MakeEngine = real_engine, parent: QObject | None = None):
        super().__init__(parent)
        self._make_engine = make_engine
        self._engine: EngineLike | None = None
        self._events: deque[Event] = deque()
        self._dirty = threading.Event()
        self._last_id = 0
        self._newest: dict[str, int] = {}
        self._waiting: set[int] = set()
        self._slots: dict[int, str] = {}
        self._closed = False
        self._gathered.connect(self._drain, Qt.ConnectionType.QueuedConnection)

    # --- requests ---------------------------------------------------------------------------

    def load(self, spec: PairSpec) -> int:
        """Ask for a pair; answers to what was asked of the pair before are dropped."""
        self._newest.clear()
        self._waiting.clear()
        self._slots.clear()
        self.pair_let_go.emit()
        return self._submit("pair", Load(self._next(), spec))

    def unload(self) -> int:
        """Let go of the pair; also stops one that is being loaded."""
        self._newest.clear()
        self._waiting.clear()
        self._slots.clear()
        self.pair_let_go.emit()
        return self._submit("pair", Unload(self._next()))

    def score(
        self,
        side: Side,
        prompt: Prompt,
        text: str | None = None,
        ids: tuple[int, ...] | None = None,
        replace: tuple[int, int] | None = None,
        fresh: bool = False,
    ) -> int:
        """Ask for a side's scores; protocol.Score has the three ways to say which."""
        request = Score(self._next(), side, prompt, text, ids, replace, fresh)
        return self._submit(f"score {side}", request)

    def inspect(self, side: Side, index: int, query: str = "") -> int:
        """Ask for the alternatives to a token; searches have a place of their own."""
        return self._submit("inspect", Inspect(self._next(), side, index, query))

    def inspect_node(
        self,
        node: int,
        query: str = "",
        pane: str = "",
        prompt: Prompt | None = None,
        ids: tuple[int, ...] = (),
    ) -> int:
        """Ask for the actions at a node of the tree, to which ``ids`` after ``prompt`` lead."""
        request = InspectNode(self._next(), node, query, pane, prompt, ids)
        return self._submit("inspect node", request)

    def search(
        self,
        pane: str,
        prompt: Prompt,
        prefix: tuple[int, ...],
        spec: SearchSpec,
        anew: bool = True,
    ) -> int:
        """Grow a pane's tree, ``anew`` or on: ``grown`` for each step, at last one of ``searched``,
        ``stopped`` and ``failed``."""
        request = Search(self._next(), pane, prompt, prefix, spec, anew)
        return self._submit(f"search {pane}", request)

    def resume(self, pane: str) -> int:
        """Go on with the stopped search of a pane; answered as ``search`` is."""
        return self._submit(f"search {pane}", Resume(self._next(), pane))

    def steer(self, pane: str, node: int, action: SteerAction) -> int:
        """Take over at a node of a pane's search; ``steered`` follows."""
        return self._submit(f"steer {pane} {node}", Steer(self._next(), pane, node, action))

    def stop_search(self) -> None:
        """Stop the searches that run or wait; ``stopped`` follows, and each can be resumed."""
        if self._engine is not None:
            self._engine.cancel(Search)
            self._engine.cancel(Resume)

    def survey(self, side: Side, index: int) -> int:
        """Ask for all actions at the state before a token."""
        return self._submit("survey", Survey(self._next(), side, index))

    def sweep(self, spec: SweepSpec) -> int:
        """Sweep beam widths: ``swept`` for each step, at last one of ``sweep_done``, ``stopped``
        and ``failed``."""
        return self._submit("sweep", Sweep(self._next(), spec))

    def stop_sweep(self) -> None:
        """Stop the sweep; what it has found is kept for the next one."""
        if self._engine is not None:
            self._engine.cancel(Sweep)

    def scrub(self, checkpoint: str) -> int:
        """Show another checkpoint of the run: ``scrubbed`` follows with what both sides hold,
        scored under it, and all that is asked later is of it."""
        return self._submit("scrub", Scrub(self._next(), checkpoint))

    def replay(self, checkpoints: tuple[str, ...]) -> int:
        """Score what both sides hold under each checkpoint: ``replayed`` for each, at last one of
        ``replay_done``, ``stopped`` and ``failed``."""
        return self._submit("replay", Replay(self._next(), checkpoints))

    def stop_replay(self) -> None:
        """Stop the replay; what it has found is kept."""
        if self._engine is not None:
            self._engine.cancel(Replay)

    def cancel_load(self) -> None:
        """Stop loading; ``stopped`` follows."""
        if self._engine is not None:
            self._engine.cancel(Load)

    def busy(self, slot: str = "") -> bool:
        """Whether an answer is awaited; of one slot ("pair", "score A", "inspect") or any."""
        return any(not slot or self._slots.get(id) == slot for id in self._waiting)

    def close(self, timeout: float = 5.0) -> bool:
        """End the engine; no signal follows. True if it ended in time. May be called again."""
        self._closed = True
        self._events.clear()
        engine, self._engine = self._engine, None
        return engine.close(timeout) if engine is not None else True

    def start(self) -> None:
        """Make and start the engine; called once the window shows, at the latest by a request."""
        if self._engine is None and not self._closed:
            self._engine = self._make_engine(self._take)
            self._engine.start()

    def _next(self) -> int:
        self._last_id += 1
        return self._last_id

    def _submit(self, slot: str, request: Request[Event]) -> int:
        self.start()
        old = self._newest.get(slot)
        if old is not None:
            self._forget(old)
        self._newest[slot] = request.id
        self._waiting.add(request.id)
        self._slots[request.id] = slot
        if self._engine is not None:
            self._engine.submit(request)
        return request.id

    def _forget(self, id: int) -> None:
        self._waiting.discard(id)
        self._slots.pop(id, None)

    # --- events -----------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        """Called on the engine's thread."""
        self._events.append(event)
        if not self._dirty.is_set() and not self._closed:
            self._dirty.set()
            self._gathered.emit()

    @Slot()
    def _drain(self) -> None:
        self._dirty.clear()
        while self._events and not self._closed:
            event = self._events.popleft()
            if isinstance(event, Failed) and event.kind == "MeasureNoise":
                event = NoiseMeasured(event.id, None)
            if isinstance(event, NoiseMeasured):
                if self._newest.get("pair") == event.id:
                    self.noise_measured.emit(event)
                continue
            if isinstance(event, FilesChanged):
                if event.id == self._newest.get("pair"):
                    self.files_changed.emit(event)
                continue
            if isinstance(event, Memory):
                self.memory.emit(event)
                continue
            slot = self._slots.get(event.id)
            if slot is None or self._newest.get(slot) != event.id:
                continue
            if isinstance(event, Progress):
                (self.progress if slot == "pair" else self.scrub_progress).emit(event)
                continue
            if isinstance(event, Grown):
                self.grown.emit(event)
                continue
            if isinstance(event, Swept):
                self.swept.emit(event)
                continue
            if isinstance(event, Replayed):
                self.replayed.emit(event)
                continue
            self._forget(event.id)
            match event:
                case Loaded():
                    self.loaded.emit(event)
                case Scored():
                    self.scored.emit(event)
                case Inspected():
                    self.inspected.emit(event)
                case NodeInspected():
                    self.node_inspected.emit(event)
                case Searched():
                    self.searched.emit(event)
                case Steered():
                    self.steered.emit(event)
                case Surveyed():
                    self.surveyed.emit(event)
                case SweepDone():
                    self.sweep_done.emit(event)
                case Scrubbed():
                    self.scrubbed.emit(event)
                case ReplayDone():
                    self.replay_done.emit(event)
                case Failed():
                    self.failed.emit(event)
                    if event.lost:
                        self.lost.emit(event)
                case Stopped():
                    self.stopped.emit(event)
                case _:
                    pass
