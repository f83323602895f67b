"""The engine thread: requests in, events out; latest wins; everything can be cancelled.

One plain thread alone touches models. It imports torch itself, after it is started, so that a
window can show first. A newer request of one kind (and side) replaces an unstarted older one and
stops the running one at the next layer; what was overtaken is answered by ``Stopped``. Every
request is answered by exactly one final event, and none follows ``close``.

A search is a long job: it takes a step whenever nothing more urgent waits, tells of each, and can
be gone on with after it was stopped. So is a sweep of many searches, which lets all else go first.

Knows nothing of Qt: events go to a callable, called on the engine thread.
"""

import ctypes
import gc
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Cancelled, UserFacingError
from core.protocol import (
    Event,
    Failed,
    Grown,
    Inspect,
    Inspected,
    InspectNode,
    Load,
    Loaded,
    NodeInspected,
    PairInfo,
    Progress,
    Request,
    Resume,
    Score,
    Scored,
    Search,
    Searched,
    Side,
    Steer,
    Steered,
    Stopped,
    Survey,
    Surveyed,
    Sweep,
    SweepDone,
    Swept,
    Unload,
    Unloaded,
)

if TYPE_CHECKING:
    from core.models.pair import Pair
    from core.scoring import Scoring
    from core.search.run import Run
    from core.search.sweep import Answers
    from core.search.sweep import Sweep as SweepRun
    from core.text import Tokens

log = logging.getLogger(__name__)

Slot = tuple[int, str]
"""Where a request waits: its urgency (0 first) and what it is about."""
LONG = 3
"""The urgency of searches: what is more urgent is answered between their steps."""
LONGEST = 4
"""The urgency of sweeps."""
Job = Search | Resume | Sweep


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
        """By urgency, the search and the sweep that go on when nothing more urgent waits."""
        self._unwanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="qscope-engine", daemon=True)
        self._pair: Pair | None = None
        self._info: PairInfo | None = None
        self._last: dict[Side, tuple[Tokens, Scoring]] = {}
        self._searches: dict[str, Run] = {}
        self._sweep: SweepRun | None = None
        self._answers: Answers | None = None
        """What sweeps have found of this pair."""

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
            event = self._answer(request)
            with self._changed:
                self._running = None
                silent = self._closed
                steps = isinstance(event, Grown | Swept)
                goes_on = steps and not self._unwanted.is_set()
                urgency = _slot(request)[0]
                if request is self._jobs.get(urgency) and not goes_on:
                    del self._jobs[urgency]
            if not silent:
                self._emit(event)
            if not silent and steps and not goes_on:
                self._emit(Stopped(request.id, type(request).__name__))
        self._forget_pair()
        gc.unfreeze()

    def _next(self) -> Request | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._jobs or self._closed)
            if self._closed:
                return None
            first = min(self._waiting, default=(LONGEST, ""))
            job = self._jobs[min(self._jobs)] if self._jobs else None
            if job is not None and first[0] >= _slot(job)[0]:
                self._running = job
            else:
                self._running = self._waiting.pop(first)
            self._unwanted.clear()
            return self._running

    def _answer(self, request: Request) -> Event:
        """Do what was asked; every outcome, the unexpected too, is an event."""
        kind = type(request).__name__
        try:
            match request:
                case Load():
                    return self._load(request)
                case Unload():
                    self._let_go()
                    return Unloaded(request.id)
                case Score():
                    return self._score(request)
                case Inspect():
                    return self._inspect(request)
                case Search() | Resume():
                    return self._grow(request)
                case Steer():
                    return self._steer(request)
                case Survey():
                    return self._survey(request)
                case InspectNode():
                    return self._inspect_node(request)
                case Sweep():
                    return self._sweep_on(request)
        except Cancelled:
            return Stopped(request.id, kind)
        except UserFacingError as error:
            return Failed(request.id, kind, str(error))
        except Exception as error:
            if _out_of_memory(error):
                return Failed(request.id, kind, _MEMORY[isinstance(request, Job)])
            log.exception("%s failed", kind)
            return Failed(
                request.id,
                kind,
                f"Something unexpected went wrong ({type(error).__name__}: {error}); the log has "
                f"the details, and your text is untouched.",
            )

    def _load(self, request: Load) -> Event:
        self._let_go()

        def progress(what: str, fraction: float | None) -> None:
            if self._unwanted.is_set():
                raise Cancelled
            self._emit(Progress(request.id, what, fraction))

        progress("Starting the engine", None)
        with _garbage_left_alone():
            _open_torch_library()
            from core.models.load import load_pair

            self._pair, self._info = load_pair(request.spec, progress, self._unwanted.is_set)
        return Loaded(request.id, self._info)

    def _forget_pair(self) -> None:
        """Let go of the pair and of all that was found with it."""
        self._pair = self._info = self._sweep = self._answers = None
        self._last.clear()
        self._searches.clear()

    def _let_go(self) -> None:
        """Free the pair; its weights hang in cycles, which nobody would look for in frozen ones."""
        self._forget_pair()
        if gc.get_freeze_count():
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _score(self, request: Score) -> Event:
        from core.models.score import score

        pair = self._loaded()
        tokens = self._tokens(pair, request)
        scoring = score(pair, request.prompt, tokens, self._unwanted.is_set, hold=request.side)
        self._last[request.side] = tokens, scoring
        prompt_text = pair.codec.prompt_text(request.prompt)
        return Scored(request.id, request.side, scoring, prompt_text)

    def _tokens(self, pair: "Pair", request: Score) -> "Tokens":
        """The tokens that a request means; untouched tokens of the side keep their ids."""
        codec, last = pair.codec, self._last.get(request.side)
        if request.ids is not None:
            return codec.decode(request.prompt, request.ids)
        if request.replace is not None:
            if last is None or not 0 <= request.replace[0] < len(last[0].ids):
                raise UserFacingError("That token is no longer there: choose it again.")
            return codec.replace(request.prompt, last[0], *request.replace)
        text = request.text or ""
        if last is None or request.fresh:
            return codec.encode(request.prompt, text)
        return codec.edit(request.prompt, last[0], text)

    def _inspect(self, request: Inspect) -> Event:
        from core.models.score import inspect

        pair = self._loaded()
        state = self._state(pair, request)
        found = inspect(pair, state, request.query, self._unwanted.is_set)
        return Inspected(request.id, request.side, request.index, found)

    def _survey(self, request: Survey) -> Event:
        from core.models.score import survey

        pair = self._loaded()
        actions = survey(pair, self._state(pair, request), self._unwanted.is_set)
        return Surveyed(request.id, request.side, request.index, actions)

    def _state(self, pair: "Pair", request: Inspect | Survey) -> int:
        """The node of the state before the token that a request names."""
        last = self._last.get(request.side)
        if last is None or not 0 <= request.index < len(last[1]):
            raise Cancelled
        return int(pair.tree.parent[last[1].nodes[request.index]])

    def _grow(self, request: Search | Resume) -> Event:
        """One step of a search; it goes on while steps are taken."""
        from core.search.run import Run

        pair = self._loaded()
        if self._jobs.get(LONG) is not request and isinstance(request, Search):
            self._searches[request.pane] = Run(pair, request.prompt, request.prefix, request.spec)
        run = self._searches.get(request.pane)
        if run is None:
            raise UserFacingError("There is no search to go on with: start one.")
        self._goes_on(request)
        growth = run.step(self._unwanted.is_set)
        if growth is not None:
            return Grown(request.id, request.pane, growth)
        return Searched(
            request.id, request.pane, run.steps, run.computed, run.seconds, pair.attention
        )

    def _steer(self, request: Steer) -> Event:
        run = self._searches.get(request.pane)
        if run is None:
            raise UserFacingError("There is no search to steer: start one.")
        run.steer(request.node, request.action)
        return Steered(request.id, request.pane, request.node)

    def _inspect_node(self, request: InspectNode) -> Event:
        from core.models.score import inspect

        pair = self._loaded()
        if not 0 < request.node < len(pair.tree):
            raise Cancelled
        found = inspect(pair, request.node, request.query, self._unwanted.is_set)
        return NodeInspected(request.id, found)

    def _goes_on(self, job: Job) -> None:
        """From now on a job takes a step whenever nothing more urgent waits."""
        with self._changed:
            self._jobs[_slot(job)[0]] = job

    def _sweep_on(self, request: Sweep) -> Event:
        """One step of a sweep; it goes on while steps are taken."""
        if self._jobs.get(LONGEST) is not request or self._sweep is None:
            self._sweep = self._new_sweep(request)
            self._goes_on(request)
        sweep = self._sweep
        if sweep.ended:
            return SweepDone(request.id)
        row = sweep.step(self._unwanted.is_set)
        return Swept(request.id, sweep.info, row, sweep.what, sweep.fraction)

    def _new_sweep(self, request: Sweep) -> "SweepRun":
        from core.search.judges import make_judge
        from core.search.questions import questions_of
        from core.search.sweep import Answers
        from core.search.sweep import Sweep as SweepRun

        pair, spec = self._loaded(), request.spec
        assert self._info is not None
        if self._answers is None:
            self._answers = Answers(pair, self._info)
        judge = make_judge(spec.judge, self._info.device) if spec.judge is not None else None
        return SweepRun(pair, self._info, spec, questions_of(spec), judge, self._answers)

    def _loaded(self) -> "Pair":
        if self._pair is None:
            raise UserFacingError("No models are loaded: open a policy and its reference first.")
        return self._pair


_MEMORY = {
    False: "The device ran out of memory: shorten the text, choose a smaller number format, or "
    "load the pair on the CPU.",
    True: "The device ran out of memory; the tree so far is kept: reduce the width or the number "
    "of samples, then resume or start again.",
}


def _open_torch_library() -> None:
    """Open torch's largest library before its import does so, which would hold Python's lock.

    The window stood still for 0.2 s of it. A foreign call lets the lock go; ``ctypes.CDLL`` does
    not. Where this fails, or on Windows, the import does all by itself.
    """
    package = importlib.util.find_spec("torch")
    if "torch" in sys.modules or package is None or package.origin is None:
        return
    suffix = {"linux": "so", "darwin": "dylib"}.get(sys.platform)
    if suffix is None:
        return
    path = Path(package.origin).parent / "lib" / f"libtorch_cpu.{suffix}"
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    dlopen(os.fsencode(path), os.RTLD_NOW)


@contextmanager
def _garbage_left_alone() -> Iterator[None]:
    """While libraries and models are loaded, and for what they leave: no full collections.

    They leave some 400,000 objects that stay. Python would look at all of them over and over, its
    lock held, and the window with it (measured: seven times, up to 0.2 s each). Young garbage is
    collected as ever.
    """
    usual = gc.get_threshold()
    gc.set_threshold(10_000, 1_000, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.freeze()


def _out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or ("not enough memory" in str(error))
    )
