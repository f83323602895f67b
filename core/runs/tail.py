"""What was added to a file since it was last read, and whether it still is the same file.

Knows nothing of formats.
"""

import os
import time
from pathlib import Path

Signature = tuple[int, int, int]
SETTLED = 100_000_000
"""Nanoseconds: a file that was written less long before it was read may have been written again
without a newer time, since clocks of files tick slowly."""
REMEMBERED = 1024
"""Bytes at the head and at the end of what was read that a grown file must still have: inodes are
given anew at once, and a log that was written over may be longer than before."""


def signature(path: Path) -> Signature | None:
    """Return what changes whenever a file is written; None where there is no file to be read."""
    try:
        return _signature(path.stat())
    except OSError:
        return None


def _signature(status: os.stat_result) -> Signature:
    return status.st_size, status.st_mtime_ns, status.st_ino


def trouble(path: Path, error: OSError) -> str:
    """Return the sentence on a file that can no longer be read."""
    if isinstance(error, FileNotFoundError):
        return f"{path} has been deleted; what was read of it before is kept."
    return f"{path} cannot be read ({error.strerror or error}): check its permissions."


class Tail:
    """Follows one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        """Why it could not be read at the last look, in a sentence."""
        self._seen: Signature | None = None
        self._settled = False
        self._offset = 0
        self._inode = 0
        self._head = self._end = b""

    def more(self) -> tuple[bool, bytes] | None:
        """Read what follows what was ``used``; return whether that is the file from its beginning,
        because it is another one, and the bytes. None: nothing is new, or ``trouble`` says why."""
        try:
            now = _signature(self.path.stat())
            if now == self._seen and self._settled and not self.trouble:
                return None
            with self.path.open("rb") as file:
                now = _signature(os.fstat(file.fileno()))
                anew = not self._still(file.read(len(self._head)), now)
                if not anew and self._end:
                    file.seek(self._offset - len(self._end))
                    anew = file.read(len(self._end)) != self._end
                if anew:
                    self._offset, self._head, self._end = 0, b"", b""
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            self.trouble = trouble(self.path, error)
            return None
        before, self._seen, self._inode = (self._seen, self.trouble), now, now[2]
        self.trouble, self._settled = "", time.time_ns() - now[1] > SETTLED
        return None if not anew and before == (now, "") else (anew, data)

    def used(self, data: bytes) -> None:
        """Say which beginning of what ``more`` gave need not be given again."""
        self._offset += len(data)
        self._head += data[: REMEMBERED - len(self._head)]
        self._end = (self._end + data[-REMEMBERED:])[-REMEMBERED:]

    def _still(self, head: bytes, now: Signature) -> bool:
        """Return whether it can be the file that was read; False at the first look."""
        known = self._seen is not None and now[2] == self._inode
        return known and now[0] >= self._offset and head == self._head
