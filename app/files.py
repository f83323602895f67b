"""Reads and writes text and pictures, with sentences for what can go wrong.

Knows paths and what is in files; knows nothing of widgets.
"""

from pathlib import Path

from PySide6.QtGui import QPixmap

from core.errors import UserFacingError
from core.safe_files import write_whole

LARGEST = 5_000_000


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, with Unix newlines.

    Raises:
        UserFacingError: it cannot be read, is no UTF-8, or is far larger than any prompt.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= LARGEST else None
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror}): choose a text file that you may read."
        ) from error
    if data is None:
        raise UserFacingError(f"{path} is larger than 5 MB: choose a shorter text.")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserFacingError(
            f"{path} is not UTF-8 text (byte 0x{data[error.start]:02X} at position "
            f"{error.start}): save it as UTF-8 and open it again."
        ) from error


def write_picture(path: Path, picture: QPixmap) -> None:
    """Save a picture as a PNG.

    Raises:
        UserFacingError: it cannot be written.
    """
    if not picture.save(str(path), "PNG"):
        raise UserFacingError(f"{path} cannot be written: choose another folder.")


def write_text(path: Path, text: str) -> None:
    """Save a text as UTF-8, its newlines as they are.

    Raises:
        UserFacingError: it cannot be written.
    """
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be written ({error.strerror}): choose another folder."
        ) from error
