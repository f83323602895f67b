"""Reading training_args.bin, the settings that a trainer of transformers pickles with its models.

A pickle can run any code when it is loaded, so none is: every class and function that it names is
replaced by a stand-in that does nothing, and only plain values are kept.
"""

import io
import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

from core.errors import UserFacingError
from core.files import open_file

NAME = "training_args.bin"
LARGEST = 2**20
"""Of the pickle, in bytes; those of trainers have about 6,000."""
LARGEST_FILE = 2**24
"""Of the file, in bytes."""
_BEFORE = 3
"""Pickles before the settings' own in files of torch before 1.6."""


class Inert:
    """A stand-in for whatever a pickle names: it takes what it is given, and does nothing."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.args = args
        self.state: Any = None

    def __new__(cls, *args: Any, **named: Any) -> "Inert":
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        return

    def append(self, value: Any) -> None:
        """Take a list's next value."""

    def extend(self, values: Any) -> None:
        """Take a list's next values."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> type[Inert]:
        return type(name, (Inert,), {})

    def persistent_load(self, pid: Any, /) -> None:
        return


def read_training_args(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the name of the settings' class ("DPOConfig"), and the settings that are plain values.

    An enumeration's member is what it stands for.

    Raises:
        UserFacingError: the file is damaged, or is something else.
    """
    try:
        found = _load(path)
        settings = {str(key): _plain(value) for key, value in found.state.items()}
    except Exception as error:  # a pickle that was made to may raise anything
        raise UserFacingError(
            f"{path} cannot be read as a trainer's settings, so they are not known."
        ) from error
    return type(found).__name__, settings


def _load(path: Path) -> Any:
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise ValueError("too large")
        if not zipfile.is_zipfile(file):
            file.seek(0)
            stream = io.BytesIO(file.read(LARGEST))
            for _ in range(_BEFORE):
                _next(stream)
            return _next(stream)
        with zipfile.ZipFile(file) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as inner:
                return _next(io.BytesIO(inner.read(LARGEST)))


def _next(stream: io.BytesIO) -> Any:
    """Return what the next pickle of a stream holds.

    Every length and place in it is looked at first: a false one would take all memory.
    """
    start = stream.tell()
    noted, before, tuples = 0, "", set()
    for code, value, _ in pickletools.genops(stream):
        if "PUT" in code.name and value is not None and int(value) > LARGEST:
            raise ValueError(value)
        # Tuples of one tuple twice, of which one is a key: to hash that would never end.
        noted += code.name == "MEMOIZE"
        if before.startswith("TUPLE") and (code.name == "MEMOIZE" or "PUT" in code.name):
            tuples.add(noted - 1 if value is None else int(value))
        if code.name == "DUP" or (
            "GET" in code.name and value is not None and int(value) in tuples
        ):
            raise ValueError(code.name)
        before = code.name
    stream.seek(start)
    return _Unpickler(stream).load()


def _plain(value: Any) -> Any:
    return value.args[0] if isinstance(value, Inert) and value.args else value
