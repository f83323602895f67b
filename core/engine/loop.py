"""The engine thread: requests in, events out; latest wins; everything can be cancelled.

One plain thread alone touches models. A newer request of one kind (and side) replaces an unstarted
older one and stops the running one at the next layer; what was overtaken is answered by
``Stopped``. Every request is answered by exactly one final event, and none follows ``close``.

A search is a long job: it takes a step whenever nothing more urgent waits, tells of each, and can
be gone on with after it was stopped. So is a sweep of many searches, which lets all else go first,
and a replay of a run's checkpoints, whose step is put off and done again when something else comes.
After each load the engine asks itself for the pair's noise floor: put off in the same way, and not
begun before nothing was asked for a moment, so that first colours and keys never wait for it.

Knows nothing of Qt: events go to a callable, called on the engine thread. What is done for a
request is core.engine.answering's business.
"""

import threading
from collections.abc import Callable

from core.engine.answering import Answering
from core.engine.protocol import (
    Event,
    Grown,
    Inspect,
    InspectNode,
    Load,
    Loaded,
    MeasureNoise,
    Replay,
    Replayed,
    Request,
    Resume,
    Score,
    Scrub,
    Search,
    Steer,
    Stopped,
    Survey,
    Sweep,
    Swept,
    Unload,
)

Slot = tuple[int, str]
"""Where a request waits: its urgency (0 first) and what it is about."""
LONG = 3
"""The urgency of searches: what is more urgent is answered between their steps."""
LONGEST = 4
"""The urgency of sweeps."""
REPLAYS = 5
"""The urgency of replays."""
LAST = 6
"""The urgency of what the engine asks of itself."""
QUIET = 0.5
"""Seconds without a request before that is begun or gone on with."""
Job = Search | Resume | Sweep | Replay | MeasureNoise


def _slot(request: Request) -> Slot:
    match request:
        case Load() | Unload():
            return 0, "pair"
        case Score():
            return 1, request.side
        case Inspect():
            return 2, "state"
        case InspectNode():
            return 2, "node"
        case Steer():
            return 1, f"{request.pane} {request.node}"
        case Search() | Resume():
            return LONG, request.pane
        case Survey():
            return 2, "vocabulary"
        case Sweep():
            return LONGEST, "sweep"
        case Scrub():
            return 1, "checkpoint"
        case Replay():
            return REPLAYS, "replay"
        case MeasureNoise():
            return LAST, "noise"


class Engine:
    """Answers requests one at a time, the most urgent first.

    ``emit`` is called on the engine thread with each event; it must return at once.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._changed = threading.Condition()
        self._waiting: dict[Slot, Request] = {}
        self._running: Request | None = None
        self._jobs: dict[int, Job] = {}
        """By urgency, the jobs that go on when nothing more urgent waits."""
        self._unwanted = threading.Event()
        """What runs shall stop at its next layer."""
        self._put_off = False
        """It shall stop only to be done again, after something more urgent."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="qscope-engine", daemon=True)
        self._answering = Answering(emit, self._unwanted.is_set)

    def start(self) -> None:
        """Start the thread; requests that were submitted before are answered now."""
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Ask for something; returns at once. After ``close`` nothing happens."""
        with self._changed:
            if self._closed:
                return
            slot = _slot(request)
            overtaken = [self._waiting.pop(slot, None)]
            if slot[0] == 0:
                overtaken += self._waiting.values()
                self._waiting.clear()
            self._waiting[slot] = request
            overtaken += self._stop(lambda old: slot[0] == 0 or _slot(old) == slot)
            running = self._running
            if isinstance(running, Replay | MeasureNoise) and not self._unwanted.is_set():
                self._put_off = slot[0] < _slot(running)[0]
                self._unwanted.set()
            self._changed.notify()
        for old in overtaken:
            if old is not None:
                self._emit(Stopped(old.id, type(old).__name__))

    def cancel(self, kind: type[Request] | None = None) -> None:
        """Drop what waits and stop what runs, of one kind of request or all."""
        with self._changed:
            dropped = [r for r in self._waiting.values() if kind is None or isinstance(r, kind)]
            self._waiting = {_slot(r): r for r in self._waiting.values() if r not in dropped}
            dropped += self._stop(lambda old: kind is None or isinstance(old, kind))
        for request in dropped:
            self._emit(Stopped(request.id, type(request).__name__))

    def _stop(self, unwanted: Callable[[Request], bool]) -> list[Job]:
        """Stop what runs, if it is unwanted; jobs that are between two steps are returned."""
        running = self._running
        if running is not None and unwanted(running):
            self._put_off = False
            self._unwanted.set()
        paused = [job for job in self._jobs.values() if job is not running and unwanted(job)]
        for job in paused:
            del self._jobs[_slot(job)[0]]
        return paused

    def close(self, timeout: float = 5.0) -> bool:
        """Refuse new work, stop what runs, end the thread. True if it ended in ``timeout`` s."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._unwanted.set()
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (request := self._next()) is not None:
            urgency = _slot(request)[0]
            event = self._answering.answer(request, again=self._jobs.get(urgency) is request)
            with self._changed:
                self._running = None
                silent = self._closed
                stays = isinstance(event, Loaded) and not self._waits(0)
                put_off = self._put_off and isinstance(event, Stopped)
                steps = isinstance(event, Grown | Swept | Replayed)
                wanted = self._put_off or not self._unwanted.is_set()
                goes_on = (steps or put_off) and wanted
                if goes_on and isinstance(request, Job):
                    self._jobs[urgency] = request
                elif request is self._jobs.get(urgency):
                    del self._jobs[urgency]
            if not silent and not put_off:
                self._emit(event)
            if not silent and steps and not goes_on:
                self._emit(Stopped(request.id, type(request).__name__))
            if stays:
                self.submit(MeasureNoise(event.id))
        self._answering.end()

    def _next(self) -> Request | None:
        with self._changed:
            self._wait()
            if self._closed:
                return None
            first = min(self._waiting, default=(LAST, ""))
            job = self._jobs[min(self._jobs)] if self._jobs else None
            if job is not None and first[0] >= _slot(job)[0]:
                self._running = job
            else:
                self._running = self._waiting.pop(first)
            self._unwanted.clear()
            self._put_off = False
            return self._running

    def _wait(self) -> None:
        """Until there is something to do; for what comes last, until it has been quiet, too."""
        while True:
            self._changed.wait_for(lambda: self._closed or self._waits(LAST))
            if self._closed or self._waits(LAST - 1):
                return
            self._changed.wait_for(lambda: self._closed or self._waits(LAST - 1), QUIET)
            if self._closed or self._waits(LAST):  # it may have been cancelled meanwhile
                return

    def _waits(self, urgency: int) -> bool:
        """Whether something waits that is at least so urgent."""
        return any(slot[0] <= urgency for slot in self._waiting) or any(
            own <= urgency for own in self._jobs
        )
