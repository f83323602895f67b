"""The lock in a run's folder: whoever trains there holds it for life, so that nobody else does.

Who starts a run takes the lock and hands it to the processes that it starts, as their standard
input: it is theirs from before the first of them lives until the last one has ended, however it
ends. On Windows a lock cannot be handed on, so there the worker takes it when it begins. Says
nothing of who holds it.
"""

import contextlib
import errno
import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

from core.errors import UserFacingError
from core.files import NO_LINK, open_file

LOCK = "lock"
"""The file in a run's folder; it stays there, since a file that is deleted guards nothing."""
TRIES, PAUSE = 10, 0.02
"""Seconds between tries: who only looks whether the lock is held has it for a moment."""
STDIN = 0


class Held(Exception):
    """Somebody else has the lock."""


def take(run: Path) -> BinaryIO:
    """Take the lock of a run; it is held until the file, and what was handed on of it, is closed.

    Raises:
        UserFacingError: a training has it, or nothing can be locked there.
    """
    try:
        file = open_file(run / LOCK, os.O_RDWR | os.O_CREAT | NO_LINK)
    except OSError as error:
        raise UserFacingError(
            f"{run / LOCK}, which keeps a second training out, cannot be opened "
            f"({error.strerror or error}): choose a folder that you may write to."
        ) from error
    try:
        for left in reversed(range(TRIES)):
            try:
                _lock(file.fileno(), shared=False)
                return file
            except Held as error:
                if not left:
                    raise UserFacingError(f"{run} is being trained already.") from error
                time.sleep(PAUSE)
        raise AssertionError
    except OSError as error:
        file.close()
        raise UserFacingError(
            f"{run} is on a disk where nothing can be locked ({error.strerror or error}), so two "
            f"trainings might write there at once: choose a folder on another disk."
        ) from error
    except BaseException:
        file.close()
        raise


def take_over(run: Path) -> BinaryIO:
    """Return the lock of a run, for its worker: the one that it was handed, or else a lock anew.

    Raises:
        UserFacingError: another training has it, or nothing can be locked there.
    """
    with contextlib.suppress(OSError, Held):
        there, given = os.stat(run / LOCK), os.fstat(STDIN)
        if (there.st_dev, there.st_ino) == (given.st_dev, given.st_ino) and given.st_ino:
            _lock(STDIN, shared=False)  # held already, unless another file description has it
            return os.fdopen(os.dup(STDIN), "r+b")
    return take(run)


def release(lock: BinaryIO) -> None:
    """Give the lock up, for all who were handed it."""
    with contextlib.suppress(OSError):
        _unlock(lock.fileno())
    lock.close()


def is_held(run: Path) -> bool:
    """Return whether a training has the lock of a run; False where that cannot be told."""
    try:
        with open_file(run / LOCK, os.O_RDONLY | NO_LINK) as file:
            _lock(file.fileno(), shared=True)
            _unlock(file.fileno())
    except Held:
        return True
    except OSError:
        pass
    return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, shared: bool) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                raise Held from error
            raise

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, shared: bool) -> None:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Held from error

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
