"""The one place where the window asks the engine for things and hears its answers.

``ask`` submits a request and returns a ticket, whose signals say what comes of it; a ticket that a
newer request of the same slot has overtaken stays silent. The engine thread appends events to a
deque and posts one wake-up; the GUI thread then takes all that has gathered, so every slot runs
there. Knows the protocol; knows nothing of widgets or models, nor what single requests mean.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

from PySide6.QtCore import QObject, Qt, Signal, Slot

from app.garbage import collect
from core.engine.protocol import (
    Event,
    Examine,
    Failed,
    FilesChanged,
    Job,
    JobStep,
    Load,
    Loaded,
    Memory,
    NoiseMeasured,
    Notice,
    PairSpec,
    Progress,
    Request,
    Stopped,
    Unload,
    Urgency,
)
from core.engine.protocol import Slot as Place
from core.recording import Recording

Args = ParamSpec("Args")
Answer = TypeVar("Answer", bound=Event)
StepTaken = TypeVar("StepTaken", bound=Event)
Heard = TypeVar("Heard")


class EngineLike(Protocol):
    """What the client needs of an engine (core.engine.loop.Engine, or a scripted one in tests)."""

    def start(self) -> None: ...
    def submit(self, request: Request[Event]) -> None: ...
    def cancel(self, kind: type[Request[Event]] | None = None, topic: str = "") -> None: ...
    def close(self, timeout: float = 5.0) -> bool: ...


MakeEngine = Callable[[Callable[[Event], None]], EngineLike]


def real_engine(emit: Callable[[Event], None]) -> EngineLike:
    """Return the engine of core; it imports torch in its own thread, once started."""
    from core.engine.loop import Engine

    return Engine(emit, collect)


class TypedSignal(Protocol[Heard]):
    """A signal as mypy sees it: what is connected must take the event that is emitted."""

    def connect(self, slot: "Callable[[Heard], object] | TypedSignal[Heard]", /) -> object: ...
    def emit(self, event: Heard, /) -> None: ...


class Ticket(QObject, Generic[Answer]):
    """What comes of one request: any number of ``progress``, at last one of the other signals.

    It goes by itself after that, and belongs to the client until then. A request that is overtaken
    says nothing.
    """

    if TYPE_CHECKING:
        answered: TypedSignal[Answer]
        failed: TypedSignal[Failed]
        stopped: TypedSignal[Stopped]
        progress: TypedSignal[Progress]
    else:
        answered = Signal(object)
        failed = Signal(object)
        stopped = Signal(object)
        progress = Signal(object)

    def __init__(self, request: Request[Answer], parent: QObject) -> None:
        super().__init__(parent)
        self.request = request

    def hear(self, event: Event) -> bool:
        """Emit an event; return whether it was the last."""
        match event:
            case Progress():
                self.progress.emit(event)
                return False
            case Failed():
                self.failed.emit(event)
            case Stopped():
                self.stopped.emit(event)
            case _:
                self.answered.emit(event)  # type: ignore[arg-type]  # the request names its kind
        return True


class JobTicket(Ticket[Answer], Generic[StepTaken, Answer]):
    """What comes of a job: ``stepped`` for each of its steps, too."""

    if TYPE_CHECKING:
        stepped: TypedSignal[StepTaken]
    else:
        stepped = Signal(object)

    def hear(self, event: Event) -> bool:
        """Emit an event; return whether it was the last."""
        if isinstance(event, JobStep):
            self.stepped.emit(event)  # type: ignore[arg-type]  # the request names its kind
            return False
        return super().hear(event)


class EngineClient(QObject):
    """Lives on the GUI thread for as long as the window does."""

    pair_let_go = Signal()
    """Nothing that was asked of the pair before is answered any more."""
    noise_measured = Signal(object)
    """Of the pair that is loaded; the engine asks for it by itself."""
    files_changed = Signal(object)
    """Files of the pair that is loaded have been written anew on disk."""
    memory = Signal(object)
    """How much is held of the pair's numbers and KV."""
    failed = Signal(object)
    """Any request has failed; its ticket told of it before."""
    lost = Signal(object)
    """A failure after which only a new process can go on; ``failed`` tells of it too, before."""
    _gathered = Signal()

    def __init__(self, make_engine: MakeEngine = real_engine, parent: QObject | None = None):
        super().__init__(parent)
        self._make_engine = make_engine
        self._engine: EngineLike | None = None
        self._events: deque[Event] = deque()
        self._dirty = threading.Event()
        self._last_id = self._pair_id = 0
        self._tickets: dict[Place, Ticket[Any]] = {}
        """What is not answered yet, by where it waits."""
        self._closed = False
        self.recording = Recording()
        """What has been answered of the pair that was loaded last: what a session file keeps."""
        self.recorded_of: PairSpec | None = None
        """The pair that ``recording`` is of."""
        self._opened = Recording()
        self._behind = 0
        """The request for a pair that is loaded behind a recording."""
        self._replayed: EngineLike | None = None
        """What answers from ``_opened``, in place of the engine."""
        self._notices = {
            Memory: self.memory,
            NoiseMeasured: self.noise_measured,
            FilesChanged: self.files_changed,
        }
        self._gathered.connect(self._drain, Qt.ConnectionType.QueuedConnection)

    # --- requests ---------------------------------------------------------------------------

    @overload
    def ask(
        self,
        kind: Callable[Concatenate[int, Args], Job[StepTaken, Answer]],
        *args: Args.args,
        **more: Args.kwargs,
    ) -> JobTicket[StepTaken, Answer]: ...
    @overload
    def ask(
        self,
        kind: Callable[Concatenate[int, Args], Request[Answer]],
        *args: Args.args,
        **more: Args.kwargs,
    ) -> Ticket[Answer]: ...
    def ask(self, kind: Callable[..., Request[Any]], *args: Any, **more: Any) -> Ticket[Any]:
        """Ask for something: ``ask(Score, "A", prompt, text=text)``, all but the request's id.

        Returns at once, with a ticket for what comes of it; connect to its signals before the
        event loop runs. Loading or letting go of a pair silences all tickets.
        """
        self._last_id += 1
        request = kind(self._last_id, *args, **more)
        if request.urgency == Urgency.PAIR:
            self._pair_id = request.id
            for place in [*self._tickets]:
                self._silence(place)
            self.pair_let_go.emit()
        self._silence(request.slot)
        make = JobTicket if isinstance(request, Job) else Ticket
        ticket = self._tickets[request.slot] = make(request, self)
        if (engine := self._engine_for(request)) is not None:
            engine.submit(request)
        return ticket

    def load_behind(self, spec: PairSpec) -> Ticket[Loaded]:
        """Load a pair while a recording goes on answering in its place.

        Once it is loaded, all that was asked of the recording is silenced and the pair answers;
        where it cannot be, the recording stays.
        """
        self.start()
        self._last_id += 1
        request = Load(self._last_id, spec)
        self._silence(request.slot)
        ticket = self._tickets[request.slot] = Ticket(request, self)
        self._behind = request.id
        if self._engine is not None:
            self._engine.submit(request)
        return ticket

    def replay(self, recording: Recording) -> None:
        """Have a recording answer from the next ``Load`` on that asks for one (``recorded``), until
        another pair is loaded or that one is let go. The engine's own pair is let go then."""
        self._opened = recording

    def cancel(self, *kinds: type[Request[Any]]) -> None:
        """Stop what runs or waits, of these kinds of request; its tickets say ``stopped``."""
        if self._engine is not None:
            for kind in kinds:
                self._engine.cancel(kind)

    def drop(self, ticket: Ticket[Any]) -> None:
        """Stop what a ticket is of, and nothing else of its kind; the ticket says ``stopped``."""
        if self._engine is not None:
            self._engine.cancel(type(ticket.request), ticket.request.topic)

    def busy(self, *kinds: type[Request[Any]]) -> bool:
        """Return whether an answer is awaited, to any request or to one of these kinds."""
        return any(not kinds or isinstance(it.request, kinds) for it in self._tickets.values())

    def close(self, timeout: float = 5.0) -> bool:
        """End the engine; no signal follows. Returns whether it ended within ``timeout`` seconds.

        May be called again.
        """
        self._closed = True
        self._events.clear()
        engine, self._engine = self._engine, None
        return engine.close(timeout) if engine is not None else True

    def start(self) -> None:
        """Make and start the engine; called once the window shows, at the latest by a request."""
        if self._engine is None and not self._closed:
            self._engine = self._make_engine(self._take)
            self._engine.start()

    def _engine_for(self, request: Request[Any]) -> EngineLike | None:
        """Return what is to answer a request: the engine, or what stands in its place."""
        if isinstance(request, Load | Unload):
            self._replayed = None
        if isinstance(request, Load) and request.recorded and not self._closed:
            from core.engine.recorded import RecordedEngine

            self._replayed = RecordedEngine(self._take, self._opened)
            if self._engine is not None:
                self._last_id += 1
                self._engine.submit(Unload(self._last_id))
        if self._replayed is not None and not _is_of_files(request):
            return self._replayed
        self.start()
        return self._engine

    def _silence(self, place: Place) -> None:
        if (ticket := self._tickets.pop(place, None)) is not None:
            ticket.deleteLater()

    # --- events -----------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        """Take in an event; called on the engine's thread."""
        self._events.append(event)
        if not self._dirty.is_set() and not self._closed:
            self._dirty.set()
            self._gathered.emit()

    @Slot()
    def _drain(self) -> None:
        self._dirty.clear()
        while self._events and not self._closed:
            event = self._events.popleft()
            if isinstance(event, Notice):
                if event.id == self._pair_id:
                    self._note(None, event)
                    self._notices[type(event)].emit(event)
                continue
            ticket = next((it for it in self._tickets.values() if it.request.id == event.id), None)
            if ticket is None:
                continue  # it was overtaken
            if isinstance(event, Loaded) and event.id == self._behind and not event.kept:
                self._switch(ticket)
            self._note(ticket.request, event)
            if isinstance(event, Progress | JobStep):
                ticket.hear(event)
                continue
            del self._tickets[ticket.request.slot]
            ticket.hear(event)
            ticket.deleteLater()
            if isinstance(event, Failed):
                self.failed.emit(event)
                if event.lost:
                    self.lost.emit(event)

    def _switch(self, loaded: Ticket[Any]) -> None:
        """Let the pair that was loaded behind answer, in place of what was recorded of it."""
        self._replayed, self._pair_id = None, loaded.request.id
        for place, ticket in [*self._tickets.items()]:
            if ticket is not loaded and not _is_of_files(ticket.request):
                self._silence(place)
        self.pair_let_go.emit()

    def _note(self, request: Request[Any] | None, event: Event) -> None:
        """Record an answer, in another recording once another pair is loaded."""
        if isinstance(request, Load) and isinstance(event, Loaded) and not event.kept:
            self.recording = Recording() if self._replayed is None else self._opened
            self.recorded_of = request.spec
        if self._replayed is None:
            self.recording.note(request, event)


def _is_of_files(request: Request[Any]) -> bool:
    """Return whether a request is of files alone, whatever pair is there: no recording answers."""
    return isinstance(request, Examine) and not request.loaded
