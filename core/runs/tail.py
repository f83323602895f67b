"""What was added to a file since it was last read, and whether it still is the same file.

A file is read some megabytes at a time, however large it is. Knows nothing of formats.
"""

import os
import stat
import time
from contextvars import ContextVar
from pathlib import Path

from core.errors import Cancelled
from core.files import open_file
from core.progress import Stop, never

Signature = tuple[int, int, int]
STOP: ContextVar[Stop] = ContextVar("stop", default=never)
"""Whether the look that is under way is no longer wanted, or not yet. It is no argument, so that
readers of formats need not hand it on."""
SETTLED = 100_000_000
"""Nanoseconds: a file that was written less long before it was read may have been written again
without a newer time, since clocks of files tick slowly."""
CHUNK = 1 << 23
"""Bytes that are read at once."""
REMEMBERED = 1024
"""Bytes at the head and at the end of what was read that a grown file must still have: inodes are
given anew at once, and a log that was written over may be longer than before."""


def check() -> None:
    """Raise Cancelled where the look that is under way is to end."""
    if STOP.get()():
        raise Cancelled


def signature(path: Path) -> Signature | None:
    """Return what changes whenever a file is written; None where there is no file to be read, nor
    ever will be, as of a folder, a pipe or a device."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return _signature(status) if stat.S_ISREG(status.st_mode) else None


def _signature(status: os.stat_result) -> Signature:
    return status.st_size, status.st_mtime_ns, status.st_ino


def trouble(path: Path, error: OSError) -> str:
    """Return the sentence on a file that can no longer be read."""
    if isinstance(error, FileNotFoundError):
        return f"{path} has been deleted; what was read of it before is kept."
    if not isinstance(error, PermissionError):
        return f"{path} cannot be read ({error.strerror or error}): choose a run's folder or a log."
    return f"{path} cannot be read ({error.strerror or error}): check its permissions."


class Tail:
    """Follows one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        """Why it could not be read at the last look, in a sentence."""
        self.behind = False
        """Whether there is more than ``more`` has given; it gives that when it is asked again."""
        self._seen: Signature | None = None
        self._settled = False
        self._offset = 0
        self._inode = 0
        self._head = self._end = b""

    def more(self) -> tuple[bool, bytes] | None:
        """Read what follows what was ``used``, up to ``CHUNK`` bytes; return whether that is the
        file from its beginning, because it is another one, and the bytes. None: nothing is new, or
        ``trouble`` says why.

        Raises:
            Cancelled: the look is to end; the next call gives what this one would have given.
        """
        behind, self.behind = self.behind, False
        try:
            now = _signature(self.path.stat())
            if now == self._seen and self._settled and not self.trouble and not behind:
                return None
            self.check()
            with open_file(self.path) as file:
                now = _signature(os.fstat(file.fileno()))
                anew = not self._still(file.read(len(self._head)), now)
                if not anew and self._end:
                    file.seek(self._offset - len(self._end))
                    anew = file.read(len(self._end)) != self._end
                if anew:
                    self._offset, self._head, self._end = 0, b"", b""
                file.seek(self._offset)
                data = file.read(CHUNK)
        except OSError as error:
            self.trouble = trouble(self.path, error)
            return None
        before, self._seen, self._inode = (self._seen, self.trouble), now, now[2]
        self.trouble, self._settled = "", time.time_ns() - now[1] > SETTLED
        self.behind = self._offset + len(data) < now[0]
        return None if not (anew or behind) and before == (now, "") else (anew, data)

    def used(self, data: bytes) -> None:
        """Say which beginning of what ``more`` gave need not be given again."""
        if self._offset == len(self._head):
            self._head += data[: REMEMBERED - len(self._head)]
        self._offset += len(data)
        self._end = (self._end + data[-REMEMBERED:])[-REMEMBERED:]

    def check(self) -> None:
        """Raise Cancelled where the look is to end; what was not ``used`` is given again."""
        try:
            check()
        except Cancelled:
            self.behind = True
            raise

    @property
    def left(self) -> int:
        """Bytes that the file has behind what was used, as of the last look."""
        return self._seen[0] - self._offset if self._seen else 0

    def skip(self, count: int) -> None:
        """Pass over so many bytes unread."""
        self._offset += count
        self._end = b""

    def wait(self) -> None:
        """Say that more of what is there is of no use before something is added."""
        self.behind = False

    def _still(self, head: bytes, now: Signature) -> bool:
        """Return whether it can be the file that was read; False at the first look."""
        known = self._seen is not None and now[2] == self._inode
        return known and now[0] >= self._offset and head == self._head
