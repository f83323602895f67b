"""Reading a checkpoint's small files under limits: their kind, size, depth and number of values.

A checkpoint may come from anybody. A pipe in place of a file would be waited for for ever; JSON of
a gigabyte, or nested a hundred thousand deep, would hold Python's lock while it is read, and with
it the window. Whatever reads a file of a checkpoint, or has a library read it, asks here first.
Knows nothing of what the files say.
"""

import errno
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.errors import UserFacingError
from core.files import read_file

SETTINGS = 2**22
"""Bytes of a file of settings at most; real ones have some thousands."""
VOCABULARY, INDEX = 2**26, 2**25
"""Bytes of a tokenizer's file and of an index of shards at most; the largest known have half."""
DEPTH = 64
"""Values inside each other, at most; real ones have about ten."""
VALUES = 2**17
"""Values in a file of settings, at most."""
LARGE = {
    "tokenizer.json": VOCABULARY,
    "vocab.json": VOCABULARY,
    "tekken.json": VOCABULARY,
    "tokenizer_config.json": 2**25,  # names each added token
    "added_tokens.json": 2**25,
    "special_tokens_map.json": 2**25,
}
"""Files that may be larger than settings, and what they may have."""


def path_of(text: str) -> Path:
    """Return the path that a text names, "~" being the user's folder.

    Raises:
        UserFacingError: no file can have that name.
    """
    path = Path(os.path.expanduser(text))
    try:
        if "\0" in text:
            raise ValueError
        path.exists()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise UserFacingError(
                f"No folder or file can have the name {text[:60]!r}: check the path."
            ) from error
    return path.absolute() if text.startswith("~") else path  # of nobody's folder, "~" is a name


def read_bytes(path: Path, most: int = SETTINGS) -> bytes:
    """Return what is in a regular file; raise OSError as core.files.read_file does."""
    return read_file(path, most)


def read_json(path: Path, most: int = SETTINGS, values: int = VALUES) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        UserFacingError: the file cannot be read, exceeds a limit, or holds something else.
    """
    try:
        data = read_bytes(path, most)
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions, or copy "
            f"the checkpoint again."
        ) from error
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserFacingError(
            f"{path} is not valid JSON: copy or download the checkpoint again."
        ) from error
    if not isinstance(content, dict):
        raise UserFacingError(
            f"{path} holds no JSON object: copy or download the checkpoint again."
        )
    if why := beyond(content, values):
        raise UserFacingError(f"{path} {why}: copy or download the checkpoint again.")
    return content


def beyond(content: Any, values: int = VALUES) -> str:
    """Return which limit a value that JSON gave exceeds, as the end of a sentence; "" for none."""
    level, count = [content], 0
    for _ in range(DEPTH):
        count += len(level)
        if count > values:
            return f"holds more than {values:,} values"
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and not _is_text(value):
                return "holds text that is no Unicode"
        if not inner:
            return ""
        level = inner
    return "is nested too deeply"


def _is_text(value: str) -> bool:
    """Return whether a text can be written; JSON can spell halves of characters that cannot."""
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_files(folder: Path, names: Iterable[str]) -> None:
    """Check the kind and size of a checkpoint's small files, before a library reads them.

    ``names``: of files that need not be there.

    Raises:
        UserFacingError: one of them is no regular file, or exceeds a limit.
    """
    for name in names:
        path = folder / name
        try:
            found = path.stat()
        except OSError:
            continue  # a library passes over what is not there
        most = LARGE.get(name, SETTINGS if name.endswith((".json", ".jinja")) else VOCABULARY)
        if not stat.S_ISREG(found.st_mode):
            raise UserFacingError(
                f"{path} is no regular file: copy or download the checkpoint again."
            )
        if found.st_size > most:
            raise UserFacingError(
                f"{path} is too large for what it should be ({found.st_size:,} bytes): copy or "
                f"download the checkpoint again."
            )
