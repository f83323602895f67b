"""Objects from a JSON Lines file, each line checked; a failure names the line.

Knows nothing of what the objects mean.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import UserFacingError


def read_objects(path: Path, strings: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of a file, with its place in words.

    ``strings``: the keys that must be there, with text.

    Raises:
        UserFacingError: the file cannot be read, or a line is not such an object.
    """
    shape = "{" + ", ".join(f'"{key}"' for key in strings) + "}"
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise UserFacingError(f"{path} cannot be read: {error.strerror}.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserFacingError(f"{where}: not valid JSON in UTF-8: write {shape}.") from error
        if not isinstance(value, dict):
            raise UserFacingError(f"{where}: not an object: write {shape}.")
        for key in strings:
            if not isinstance(value.get(key), str):
                raise UserFacingError(f'{where}: "{key}" is missing or no string: write {shape}.')
        for key, text in value.items():
            if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise UserFacingError(f'{where}: "{key}" has half a surrogate pair.')
        yield where, value
