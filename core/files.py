"""Files that may be anything, read without waiting and no more than is meant.

A pipe, a socket or a device in place of a file keeps whoever reads it waiting, and a file of any
size fills the memory. Errors are OSError, whose ``strerror`` can be quoted. Knows nothing of what
files say.
"""

import errno
import os
import stat
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

ENTRIES = 100_000
"""So many entries of a folder are looked at; what people choose has fewer."""
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_file(path: Path, flags: int = os.O_RDONLY) -> BinaryIO:
    """Return a file on disk, opened for reading bytes; what only looks like a file is not opened.

    Args:
        flags: for os.open; with os.O_RDWR or os.O_APPEND it can be written (to its end) too.

    Raises:
        OSError: there is none, it may not be read, or it is a folder, a pipe, a device, …
    """
    try:
        if not flags & os.O_CREAT:
            _check(os.stat(path).st_mode, path)
        descriptor = os.open(path, flags | _AT_ONCE, 0o666)
    except ValueError as error:  # a path with a zero byte or half a surrogate pair
        raise OSError(errno.EINVAL, "that is no possible path", str(path)) from error
    try:
        _check(os.fstat(descriptor).st_mode, path)
        mode = "ab" if flags & os.O_APPEND else "r+b" if flags & os.O_RDWR else "rb"
        return cast(BinaryIO, os.fdopen(descriptor, mode))
    except BaseException:
        os.close(descriptor)
        raise


def _check(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, no regular file", str(path))


def read_file(path: Path, most: int) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: as ``open_file``, or it holds more than ``most`` bytes.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size or most, most) + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return data


def is_possible(path: str | Path) -> bool:
    """Return whether a path can be one of this system at all."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether something in a folder is a folder; a link that leads nowhere is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, the first ``ENTRIES`` of it; nothing where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return list(islice(found, ENTRIES))
    except (OSError, ValueError):
        return []
