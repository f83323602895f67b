"""The engine thread: requests in, events out; latest wins; everything can be cancelled.

One plain thread alone touches models. It imports torch itself, after it is started, so that a
window can show first. A newer request of one kind (and side) replaces an unstarted older one and
stops the running one at the next layer; what was overtaken is answered by ``Stopped``. Every
request is answered by exactly one final event, and none follows ``close``.

Knows nothing of Qt: events go to a callable, called on the engine thread.
"""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.errors import Cancelled, UserFacingError
from core.protocol import (
    Event,
    Failed,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Progress,
    Request,
    Resume,
    Score,
    Scored,
    Search,
    Side,
    Steer,
    Stopped,
    Unload,
    Unloaded,
)

if TYPE_CHECKING:
    from core.models.pair import Pair
    from core.scoring import Scoring
    from core.text import Tokens

log = logging.getLogger(__name__)

Slot = tuple[int, str]
"""Where a request waits: its urgency (0 first) and what it is about."""


def _slot(request: Request) -> Slot:
    match request:
        case Load() | Unload():
            return 0, "pair"
        case Score():
            return 1, request.side
        case Inspect():
            return 2, "state"
        case Steer():
            return 1, f"{request.pane} {request.node}"
        case Search() | Resume():
            return 3, request.pane


class Engine:
    """Answers requests one at a time, the most urgent first.

    ``emit`` is called on the engine thread with each event; it must return at once.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._changed = threading.Condition()
        self._waiting: dict[Slot, Request] = {}
        self._running: Request | None = None
        self._unwanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="qscope-engine", daemon=True)
        self._pair: Pair | None = None
        self._last: dict[Side, tuple[Tokens, Scoring]] = {}

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
            running = self._running
            if running is not None and (slot[0] == 0 or _slot(running) == slot):
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
            if self._running is not None and (kind is None or isinstance(self._running, kind)):
                self._unwanted.set()
        for request in dropped:
            self._emit(Stopped(request.id, type(request).__name__))

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
            if not silent:
                self._emit(event)
        self._pair = None

    def _next(self) -> Request | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._running = self._waiting.pop(min(self._waiting))
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
                    self._pair = None
                    return Unloaded(request.id)
                case Score():
                    return self._score(request)
                case Inspect():
                    return self._inspect(request)
                case Search() | Resume() | Steer():
                    raise UserFacingError("This engine does not search.")
        except Cancelled:
            return Stopped(request.id, kind)
        except UserFacingError as error:
            return Failed(request.id, kind, str(error))
        except Exception as error:
            if _out_of_memory(error):
                return Failed(
                    request.id,
                    kind,
                    "The device ran out of memory: shorten the text, choose a smaller number "
                    "format, or load the pair on the CPU.",
                )
            log.exception("%s failed", kind)
            return Failed(
                request.id,
                kind,
                f"Something unexpected went wrong ({type(error).__name__}: {error}); the log has "
                f"the details, and your text is untouched.",
            )

    def _load(self, request: Load) -> Event:
        self._pair = None
        self._last.clear()

        def progress(what: str, fraction: float | None) -> None:
            if self._unwanted.is_set():
                raise Cancelled
            self._emit(Progress(request.id, what, fraction))

        progress("Starting the engine", None)
        from core.models.load import load_pair

        self._pair, info = load_pair(request.spec, progress, self._unwanted.is_set)
        return Loaded(request.id, info)

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
        if last is None:
            return codec.encode(request.prompt, text)
        return codec.edit(request.prompt, last[0], text)

    def _inspect(self, request: Inspect) -> Event:
        from core.models.score import inspect

        pair = self._loaded()
        last = self._last.get(request.side)
        if last is None or not 0 <= request.index < len(last[1]):
            raise Cancelled
        state = int(pair.tree.parent[last[1].nodes[request.index]])
        found = inspect(pair, state, request.query, self._unwanted.is_set)
        return Inspected(request.id, request.side, request.index, found)

    def _loaded(self) -> "Pair":
        if self._pair is None:
            raise UserFacingError("No models are loaded: open a policy and its reference first.")
        return self._pair


def _out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or ("not enough memory" in str(error))
    )
