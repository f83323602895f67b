"""Following training runs while they are written: one thread that looks every second or so.

Looks at times, sizes and listings, which works on every disk and needs no library; reads only what
has changed. A large log is laid aside when another path is to be read for the first time, and gone
on with later. Knows nothing of Qt: what was read goes to callables, called on the watching thread.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from core.errors import Cancelled, UserFacingError
from core.runs.read import Run
from core.runs.records import RunLog

log = logging.getLogger(__name__)

_UNEXPECTED = (
    "{} could not be read: something unexpected went wrong ({}: {}); the log has the details."
)


class Watcher:
    """Reads the runs at the watched paths, again whenever they change.

    ``emit`` is given every new reading, ``emit_failed`` a path that cannot be read and one sentence
    on why, once for each new sentence; a path that fails is watched on, and may have a log later.
    Both are called on the thread, after ``forget`` at most for what was under way, and must return
    at once.
    """

    def __init__(
        self,
        emit: Callable[[RunLog], None],
        emit_failed: Callable[[Path, str], None],
        interval: float = 1.0,
    ) -> None:
        self._emit, self._emit_failed = emit, emit_failed
        self._interval = interval
        self._changed = threading.Condition()
        self._watched: dict[Path, Watched] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="qscope-logs", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def watch(self, path: Path) -> None:
        """Read ``path`` as soon as may be, and whenever it changes; returns at once.

        A path that is watched already is told of anew.
        """
        with self._changed:
            self._watched[path] = Watched(path, self._lays_aside)
            self._changed.notify()

    def forget(self, path: Path) -> None:
        """Watch ``path`` no more."""
        with self._changed:
            self._watched.pop(path, None)

    def close(self, timeout: float = 5.0) -> bool:
        """Watch nothing any more and end the thread. True if it ended in ``timeout`` seconds."""
        with self._changed:
            self._closed = True
            self._watched.clear()
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def poll(self) -> None:
        """Look at every path once; what the thread does again and again."""
        with self._changed:
            watched = list(self._watched.values())
        for one in watched:
            try:
                self._look(one)
            except BaseException:  # a listener's; the other runs are still to be followed
                log.exception("what was read of %s could not be taken", one.path)

    def _look(self, one: "Watched") -> None:
        try:
            logs, failed = one.look(), ""
        except Cancelled:
            one.behind = True
            return
        except UserFacingError as error:
            logs, failed = (), str(error)
        except BaseException as error:  # a library's panic too: the thread follows other runs
            logs, failed = (), _UNEXPECTED.format(one.path, type(error).__name__, error)
            if failed != one.failed:
                log.exception("%s could not be read", one.path)
        news, one.failed = failed != one.failed, failed
        for run in logs:
            if self._wants(one):
                self._emit(run)
        if failed and news and self._wants(one):
            self._emit_failed(one.path, failed)

    def _lays_aside(self, one: "Watched") -> bool:
        with self._changed:
            return self._watched.get(one.path) is not one or self._new()

    def _wants(self, one: "Watched") -> bool:
        with self._changed:
            return self._watched.get(one.path) is one

    def _work(self) -> None:
        while True:
            self.poll()
            with self._changed:
                if not self._closed and not self._new() and not self._behind():
                    self._changed.wait(self._interval)
                if self._closed:
                    return

    def _new(self) -> bool:
        return any(not one.seen for one in self._watched.values())

    def _behind(self) -> bool:
        return any(one.behind for one in self._watched.values())


class Watched:
    """A path, and what was last said of it."""

    def __init__(self, path: Path, lays_aside: Callable[["Watched"], bool]) -> None:
        self.path = path
        self.failed = ""
        self.seen = self.behind = self._told = False
        self._run = Run(path, lambda: lays_aside(self))

    def look(self) -> tuple[RunLog, ...]:
        """Return the runs there, if anything is new of them.

        Raises:
            UserFacingError: there is no log, or none yet.
            Cancelled: it is laid aside; the next look goes on from there.
        """
        self.seen, self.behind = True, False
        if not self._run.refresh() and self._told and not self.failed:
            return ()
        logs, self._told = self._run.logs(), True
        return logs
