"""Answers requests one at a time: looks up the handler, and turns every outcome into an event.

What a handler cannot do ends as ``Failed`` with one sentence, what is cancelled as ``Stopped``.
So does whatever else is raised, SystemExit of a library included: the thread goes on.
Where memory runs out, all that can be computed again is evicted and the request is tried once more;
after a device is lost nothing more is asked of it. All of it runs on the engine thread.

Knows nothing of queues or urgency (core.engine.loop), nor of what requests mean
(core.engine.handlers).
"""

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass

from core.checkpoints.hub import NotDownloaded
from core.engine.handlers import handler_of
from core.engine.protocol import Event, Failed, Memory, Request, Stopped, Unload, Urgency
from core.engine.session import Session
from core.engine.startup import thaw
from core.errors import Cancelled, UserFacingError
from core.failures import LONGEST, is_device_lost, is_out_of_memory
from core.progress import nothing

log = logging.getLogger(__name__)

NOTICEABLE = 1 << 20
"""Bytes by which memory must have changed to be told of."""
START_ANEW = "save the texts and start Qscope anew."
NO_ROOM = (
    "The device ran out of memory: shorten the text, choose a smaller number format, or "
    "load the pair on the CPU."
)
NO_ROOM_TO_SEARCH = (
    "The device ran out of memory; the tree so far is kept: reduce the width or the number "
    "of samples, then resume or start again."
)


@dataclass
class Told:
    """How many bytes were held when that was last told."""

    bytes: int = 0


class Answering:
    """Answers requests about one pair at a time.

    ``emit`` is told of progress and notices; ``cancelled`` says whether what is being done is not
    wanted any more; ``collect`` has all garbage collected; ``got_on`` is told when a piece is done
    that stays, should the rest be cancelled.
    """

    def __init__(
        self,
        emit: Callable[[Event], None],
        cancelled: Callable[[], bool],
        collect: Callable[[], object] = gc.collect,
        got_on: Callable[[], object] = nothing,
    ) -> None:
        self.session = Session(emit, cancelled, collect, got_on)
        self._lost = ""
        """Why the device does nothing more for this process; "" while it does."""

    def answer(self, request: Request[Event], again: bool = False) -> Event:
        """Do what was asked and return its outcome, also where that is unexpected.

        Of a job this is one step; ``again``: it is not the first.
        """
        if self._lost and not isinstance(request, Unload):
            return Failed(request.id, self._lost, lost=True)
        event = self._try(request, again)
        if event is None:
            event = self._try(request, again, evicted=True)
        assert event is not None
        try:
            self._tell_memory()
        except BaseException:  # what is asked was done; the next one tells of it
            log.exception("memory could not be told of")
        return event

    def _try(self, request: Request[Event], again: bool, evicted: bool = False) -> Event | None:
        """Do what was asked, the KV evicted first if ``evicted``; return None where memory ran out
        with the KV in place.

        What an error's traceback held on to is free again once this has returned.
        """
        session = self.session
        try:
            if evicted:
                session.collect()
                session.pair.evict_kv()
            if session.has_pair:
                session.pair.trim()
            return handler_of(request)(session, request, again)
        except Cancelled:
            return Stopped(request.id)
        except UserFacingError as error:
            can = isinstance(error, NotDownloaded)
            return Failed(request.id, str(error), downloadable=can)
        except BaseException as error:  # no signal reaches this thread, so nothing means its end
            if is_out_of_memory(error):
                if session.has_pair and not evicted:
                    return None
                searching = request.urgency in (Urgency.SEARCH, Urgency.SWEEP)
                return Failed(request.id, NO_ROOM_TO_SEARCH if searching else NO_ROOM)
            log.exception("%s failed", type(request).__name__)
            if is_device_lost(error):
                why = str(error).strip().splitlines()[0].rstrip(" .")
                self._lost = f"The device no longer answers ({why}): {START_ANEW}"
                return Failed(request.id, self._lost, lost=True)
            said = " ".join(str(error).split())[:LONGEST]
            return Failed(
                request.id,
                f"Something unexpected went wrong ({type(error).__name__}: {said}); the log has "
                f"the details, and your text is untouched.",
            )

    def _tell_memory(self) -> None:
        """Say how much is held, if that has changed by what a reader would see."""
        session = self.session
        if not session.has_pair:
            return
        pair, told = session.pair, session.own(Told)
        tree, kv = pair.tree.bytes(), pair.kv_bytes()
        if abs(tree + kv - told.bytes) >= NOTICEABLE:
            told.bytes = tree + kv
            held = Memory(session.load_id, tree, pair.tree.budget, kv, pair.kv_budget)
            session.emit(held)

    def end(self) -> None:
        """Let go of everything; the last thing that is asked."""
        self.session.forget_pair()
        thaw()
