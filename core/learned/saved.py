"""Reads a report that was saved as JSON (core.learned.report.as_json), whoever wrote it."""

from pathlib import Path

import msgspec

from core.errors import UserFacingError
from core.files import read_file
from core.learned.record import Learned, fault

LARGEST = 64_000_000
"""Bytes of a report at most."""


def read(path: Path) -> Learned:
    """Return a saved report.

    Raises:
        UserFacingError: it cannot be read, or is none.
    """
    try:
        data = read_file(path, LARGEST)
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror or error}): choose another file."
        ) from error
    try:
        found = msgspec.json.decode(data, type=Learned)
        problem = fault(found)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        problem = str(error)
    if problem:
        raise UserFacingError(
            f"{path} is no report of what a pair has learned ({problem}): choose a file that was "
            "saved as JSON by learned."
        )
    return found
