"""The engine thread: requests in, events out; latest wins; everything can be cancelled.

One plain thread alone touches models. A newer request of one slot replaces an unstarted older one
and stops the running one at the next layer; what was overtaken is answered by ``Stopped``. Every
request is answered by exactly one final event, and none follows ``close``. Nothing that is raised,
by a handler or by whoever hears an event, ends the thread.

A job takes a step whenever nothing more urgent waits, and tells of each. What gives way is
interrupted when something more urgent comes, and done again afterwards, a job from its last step
on. A response that takes long to score lets the other go first, and looks too, if they are asked
for meanwhile; a scrub that takes long lets looks go first; each then goes on with what it had
found. After each load the engine asks itself for the pair's noise floor, which gives way too, and
is not begun before nothing was asked for a moment, so that first colours and keys never wait for
it.

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
"""Seconds after which a request that is done again makes way for others."""
IN_VAIN = 3
"""How often it does so while nothing that it does stays: then it first finishes a piece."""
QUIET = 0.5
"""Seconds without a request before what the engine asks of itself is begun or resumed."""
ASKED = Urgency(Urgency.UNASKED - 1)
"""The least urgent of what somebody has asked for."""
Asked = Request[Event]


class Engine:
    """Answers requests one at a time, the most urgent first.

    ``emit`` is called on the engine thread with each event; it must return at once. ``collect`` has
    Python's garbage collected, on whichever thread it must be. ``clock`` tells the seconds.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        collect: Callable[[], object] = gc.collect,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._hear, self._clock = emit, clock
        self._changed = threading.Condition()
        self._waiting: dict[Slot, Asked] = {}
        self._running: Asked | None = None
        self._since = 0.0
        """When what runs was begun, by the clock."""
        self._in_vain = 0
        """How often it has made way since a piece of it was done that stays."""
        self._later: dict[int, int] = {}
        """What has made way, by its id, and how often in vain: it waits to be done again after all
        that is as urgent, and after looks."""
        self._jobs: dict[Urgency, Job[Any, Event]] = {}
        """The jobs that have been begun and go on when nothing more urgent waits."""
        self._unwanted = threading.Event()
        """What runs shall stop at its next layer."""
        self._interrupted = False
        """It shall stop only to be done again, after something more urgent."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="qscope-engine", daemon=True)
        self._answering = Answering(self._emit, self._is_unwanted, collect, self._get_on)
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

    def _is_unwanted(self) -> bool:
        """Return whether what runs shall stop; asked between two layers of it."""
        if not self._unwanted.is_set():
            with self._changed:
                if any(self._goes_before(request) for request in self._waiting.values()):
                    self._interrupted = True
                    self._unwanted.set()
        return self._unwanted.is_set()

    def _goes_before(self, request: Asked) -> bool:
        """Return whether what runs makes way for a request that waits."""
        running = self._running
        if running is None:
            return False
        if running.gives_way:
            return self._urgency(request) < running.urgency
        if request.urgency not in running.makes_way_for or request.id in self._later:
            return False
        return self._in_vain < IN_VAIN and self._clock() - self._since > LONG

    def _get_on(self) -> None:
        """Take note that a piece of what runs is done that stays, should it make way."""
        with self._changed:
            self._in_vain = 0

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
                elif interrupted:
                    self._waiting[request.slot] = request
                    if request.makes_way_for:
                        self._later[request.id] = self._in_vain + 1
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
            if job is not None and (first is None or self._urgency(first) >= job.urgency):
                self._running = job
            else:
                assert first is not None
                self._running = self._waiting.pop(first.slot)
            self._in_vain = self._later.get(self._running.id, 0)
            waiting = {request.id for request in self._waiting.values()}
            self._later = {id: often for id, often in self._later.items() if id in waiting}
            self._since = self._clock()
            self._unwanted.clear()
            self._interrupted = False
            return self._running

    def _turn(self, request: Asked) -> tuple[Urgency, bool, int, str]:
        """Return what decides which of those that wait is next: the least."""
        later = request.id in self._later
        return self._urgency(request), later, request.size, request.topic

    def _urgency(self, request: Asked) -> Urgency:
        """Return how urgent a request is that waits: one that has made way waits as a look does."""
        later = request.id in self._later
        return max(request.urgency, Urgency.LOOK) if later else request.urgency

    def _wait(self) -> None:
        """Wait until there is something to do; for what nobody asked, until it is quiet too."""
        while True:
            self._changed.wait_for(lambda: self._closed or self._waits())
            if self._closed or self._waits(ASKED):
                return
            self._changed.wait_for(lambda: self._closed or self._waits(ASKED), QUIET)
            if self._closed or self._waits():  # it may have been cancelled meanwhile
                return

    def _waits(self, urgency: Urgency = Urgency.UNASKED) -> bool:
        """Return whether something waits, or has been begun, that is at least so urgent."""
        return any(slot[0] <= urgency for slot in self._waiting) or any(
            own <= urgency for own in self._jobs
        )
