"""Does what may take a while, such as writing to a disk, one after another on a thread of its own.

Knows nothing of what is done.
"""

import logging
import threading
from collections.abc import Callable, Hashable

log = logging.getLogger(__name__)
Job = Callable[[], None]


class Later:
    """One plain thread, begun with its first job. What a job raises is logged."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[Hashable, Job] = {}
        self._changed = threading.Condition()
        self._busy = self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, key: Hashable, job: Job) -> None:
        """Have a job done; it takes the place of one of the same key that has not begun."""
        with self._changed:
            self._waiting[key] = job
            if self._thread is None:
                # A daemon: a disk that does not answer must not keep the process.
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def rest(self, seconds: float) -> bool:
        """Wait until nothing is left to do; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), seconds)

    def close(self, seconds: float) -> bool:
        """Do what waits and end the thread; False if that takes longer. May be called again."""
        with self._changed:
            self._closed, thread = True, self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    self._thread, self._closed = None, False
                    return
                job = self._waiting.pop(next(iter(self._waiting)))
                self._busy = True
            try:
                job()
            except Exception:
                log.exception("%s: a job failed", self._name)
            with self._changed:
                self._busy = False
                self._changed.notify_all()
