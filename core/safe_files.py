"""Writes files so that no crash leaves half of one, and sets bad ones aside.

``core.files`` reads them. Knows nothing of what the files hold.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

BAD = ".bad"
"""Behind the name of a file that was set aside."""


def write_synced(path: Path, data: bytes) -> None:
    """Put a file in place, readable by its user alone; a crash leaves the old one or this one.

    When this returns, file and folder are on the disk.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    handle = os.open(
        beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
    )
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    _sync_folder(path.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that a user has named: who is killed meanwhile leaves the old one or this one.

    A pipe or a device is written into; so is a file in a folder that takes no new one.

    Raises:
        OSError: it cannot be written; what was there is then still there, if there was room.
    """
    path = Path(os.path.realpath(path))  # what a link leads to, which stays a link
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    try:
        file = _beside(path).open("xb")
    except OSError:
        path.write_bytes(data)
        return
    with _put_in_place(path, file):
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which is put in place of ``path`` when all is written; who is killed
    or fails meanwhile leaves the old one.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(os.path.realpath(path))
    _beside(path).unlink(missing_ok=True)
    file = _beside(path).open("xb")
    with _put_in_place(path, file):
        yield file
        file.flush()
        os.fsync(file.fileno())


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.part")


@contextmanager
def _put_in_place(path: Path, file: BinaryIO) -> Iterator[None]:
    """Put what is written inside to ``file``, beside ``path``, in its place; if it fails, nothing
    of it stays."""
    beside = _beside(path)
    try:
        with file:
            yield
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def set_aside(path: Path) -> str:
    """Rename what cannot be used, with ``BAD`` behind its name; return a clause that says so."""
    for number in range(100):
        there = path.with_name(f"{path.name}{BAD}{number or ''}")
        if not os.path.lexists(there):
            break
    try:
        path.rename(there)
    except OSError as error:
        return f"it is left as it is, since it cannot be renamed ({error.strerror})"
    return f"it is kept as {there.name}"


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # a folder cannot be opened there
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
