"""The engine thread: requests in, events out; latest wins; everything can be cancelled.

One plain thread alone touches models. A newer request of one slot replaces an unstarted older one
and stops the running one at the next layer; what was overtaken is answered by ``Stopped``. Every
request is answered by exactly one final event, and none follows ``close``. Nothing that is raised,
by a handler or by whoever hears an event, ends the thread.

A job takes a step whenever nothing more urgent waits, and tells of each. One that gives way is
interrupted in mid-step when something more urgent comes, and does that step again afterwards. A
response that takes long to score lets the other go first, if that is asked for meanwhile. After
each load the engine asks itself for the pair's noise floor, which gives way too, and is not begun
before nothing was asked for a moment, so that first colours and keys never wait for it.

Knows slots and urgencies, and no request but its own; knows nothing of Qt: events go to a callable,
called on the engine thread. What is done for a request is core.engine.answering's business.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from core.engine.answering import Answering
from core.engine.protocol import (
    Event,
    Failed,
    Job,
    JobStep,
    Loaded,
    MeasureNoise,
    NoiseMeasured,
    Request,
    Slot,
    Stopped,
    Urgency,
)

log = logging.getLogger(__name__)

LONG = 0.25
"""Seconds after which a request that is done again makes way for a newer one."""
QUIET = 0.5
"""Seconds without a request before what the engine asks of itself is begun or resumed."""
Asked = Request[Event]


class Engine:
    """Answers requests one at a time, the most urgent first.

    ``emit`` is called on the engine thread with each event; it must return at once. ``collect`` has
    Python's garbage collected, on whichever thread it must be.
    """

    def __init__(
        self, emit: Callable[[Event], None], collect: Callable[[], object] = gc.collect
    ) -> None:
        self._hear = emit
        self._changed = threading.Condition()
        self._waiting: dict[Slot, Asked] = {}
        self._running: Asked | None = None
        self._since = 0.0
        """When what runs was begun (time.perf_counter)."""
        self._later: set[Asked] = set()
        """What has made way, and waits to be done again after all that is as urgent."""
        self._jobs: dict[Urgency, Job[Any, Event]] = {}
        """The jobs that have been begun and go on when nothing more urgent waits."""
        self._unwanted = threading.Event()
        """What runs shall stop at its next layer."""
        self._interrupted = False
        """It shall stop only to be done again, after something more urgent."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="qscope-engine", daemon=True)
        self._answering = Answering(self._emit, self._unwanted.is_set, collect)
        self.session = self._answering.session
        """What is loaded; for the engine thread, and for tests and benchmarks that look into it."""

    def start(self) -> None:
        """Start the thread; requests that were submitted before are answered now."""
        self._thread.start()

    def submit(self, request: Asked) -> None:
        """Ask for something; returns at once. After ``close`` nothing happens."""
        with self._changed:
            if self._closed:
                return
            slot, all_goes = request.slot, request.urgency == Urgency.PAIR
            overtaken = [self._waiting.pop(slot)] if slot in self._waiting else []
            if all_goes:
                overtaken += self._waiting.values()
                self._waiting.clear()
            self._waiting[slot] = request
            overtaken += self._stop(lambda old: all_goes or old.slot == slot)
            running = self._running
            if running is not None and not self._unwanted.is_set():
                waits = request.urgency >= running.urgency
                if (running.gives_way and not waits) or self._makes_way(running, request):
                    self._interrupted = True
                    self._unwanted.set()
            self._changed.notify()
        for old in overtaken:
            self._emit(Stopped(old.id))

    def cancel(self, kind: type[Asked] | None = None, topic: str = "") -> None:
        """Drop what waits and stop what runs, of one kind of request or all, on a topic or all."""

        def meant(request: Asked) -> bool:
            return (kind is None or isinstance(request, kind)) and topic in ("", request.topic)

        with self._changed:
            dropped = [request for request in self._waiting.values() if meant(request)]
            self._waiting = {r.slot: r for r in self._waiting.values() if r not in dropped}
            dropped += self._stop(meant)
        for request in dropped:
            self._emit(Stopped(request.id))

    def _makes_way(self, running: Asked, request: Asked) -> bool:
        long = time.perf_counter() - self._since > LONG
        return running.is_done_again and request.urgency == running.urgency and long

    def _stop(self, unwanted: Callable[[Asked], bool]) -> list[Asked]:
        """Stop what runs, if it is unwanted; return jobs that were stopped between two steps."""
        running = self._running
        if running is not None and unwanted(running):
            self._interrupted = False
            self._unwanted.set()
        paused = [job for job in self._jobs.values() if job is not running and unwanted(job)]
        for job in paused:
            del self._jobs[job.urgency]
        return [*paused]

    def close(self, timeout: float = 5.0) -> bool:
        """Refuse new work, stop what runs, end the thread.

        Returns whether it ended in ``timeout`` seconds.
        """
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._unwanted.set()
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _emit(self, event: Event) -> None:
        """Hand out an event; what its hearer raises is logged and stops nothing."""
        try:
            self._hear(event)
        except BaseException:
            log.exception("%s could not be taken", type(event).__name__)

    def _work(self) -> None:
        while (request := self._next()) is not None:
            urgency = request.urgency
            event = self._answering.answer(request, again=self._jobs.get(urgency) is request)
            if isinstance(request, MeasureNoise) and isinstance(event, Failed):
                event = NoiseMeasured(request.id, None)  # nobody asked: there is nothing to say
            with self._changed:
                self._running = None
                silent = self._closed
                stays = isinstance(event, Loaded) and not self._waits(Urgency.PAIR)
                interrupted = self._interrupted and isinstance(event, Stopped)
                step = isinstance(event, JobStep)
                wanted = self._interrupted or not self._unwanted.is_set()
                goes_on = (step or interrupted) and wanted
                if goes_on and isinstance(request, Job):
                    self._jobs[urgency] = request
                elif interrupted and request.is_done_again:
                    self._waiting[request.slot] = request
                    self._later.add(request)
                elif request is self._jobs.get(urgency):
                    del self._jobs[urgency]
            if not silent and not interrupted:
                self._emit(event)
            if not silent and step and not goes_on:
                self._emit(Stopped(request.id))
            if stays:
                self.submit(MeasureNoise(event.id))
        self._answering.end()

    def _next(self) -> Asked | None:
        with self._changed:
            self._wait()
            if self._closed:
                return None
            first = min(self._waiting.values(), key=self._turn, default=None)
            job = self._jobs[min(self._jobs)] if self._jobs else None
            if job is not None and (first is None or first.urgency >= job.urgency):
                self._running = job
            else:
                assert first is not None
                self._running = self._waiting.pop(first.slot)
            self._later &= {*self._waiting.values()}
            self._since = time.perf_counter()
            self._unwanted.clear()
            self._interrupted = False
            return self._running

    def _turn(self, request: Asked) -> tuple[Urgency, bool, int, str]:
        """Return what decides which of those that wait is next: the least."""
        return request.urgency, request in self._later, request.size, request.topic

    def _wait(self) -> None:
        """Wait until there is something to do; for what nobody asked, until it is quiet too."""
        while True:
            self._changed.wait_for(lambda: self._closed or self._waits())
            if self._closed or self._waits(Urgency.REPLAY):
                return
            self._changed.wait_for(lambda: self._closed or self._waits(Urgency.REPLAY), QUIET)
            if self._closed or self._waits():  # it may have been cancelled meanwhile
                return

    def _waits(self, urgency: Urgency = Urgency.UNASKED) -> bool:
        """Return whether something waits, or has been begun, that is at least so urgent."""
        return any(slot[0] <= urgency for slot in self._waiting) or any(
            own <= urgency for own in self._jobs
        )
