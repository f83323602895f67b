"""Reads and writes session files beside the window, and remembers which were used last.

All that touches a disk is done on one thread; signals tell of it. Knows session files and settings;
knows nothing of views.
"""

import json
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import QObject, Signal

from app.later import Later
from app.settings import Settings, is_path
from core.errors import UserFacingError
from core.failures import reason
from core.recording import Recording
from core.session_record import PairNamed, SessionRecord

if TYPE_CHECKING:
    from core.session_file import Opened

log = logging.getLogger(__name__)
RECENT = 10
KEY, LAST = "recent sessions", "session"
ROLES = ("policy", "reference", "base", "run", "search_base")


@dataclass(frozen=True)
class Read:
    """A session file as it was read, and what of its pair is not where it was."""

    path: Path
    opened: "Opened"
    missing: tuple[str, ...] = ()
    """Names of PairNamed's fields whose folders or files are gone."""


class SessionFiles(QObject):
    """The session files of one window."""

    was_read = Signal(object)
    """A ``Read``."""
    was_written = Signal(object, object)
    """The path of a file that has been written, and clauses on what was left out."""
    refused = Signal(object, str, bool)
    """A path, why it cannot be read or written, in a sentence, and whether it was to be written."""
    found_last = Signal(object)
    """The session file that was open last time is there: its path."""

    def __init__(self, settings: Settings, parent: QObject) -> None:
        super().__init__(parent)
        self._settings = settings
        self._later = Later("sessions")
        self._gone: frozenset[str] = frozenset()

    def open(self, path: Path) -> None:
        """Have a file read; one that was asked for before and is not begun is not read."""
        self._later.put("read", partial(self._read, path))

    def save(
        self, path: Path, record: SessionRecord, recording: Recording, thumbnail: bytes
    ) -> None:
        """Have a file written; ``recording`` must be nobody else's."""
        self._later.put(path, partial(self._write, path, record, recording, thumbnail))

    def close(self, seconds: float) -> None:
        """Do what waits and end the thread."""
        self._later.close(seconds)

    # --- which were used last -----------------------------------------------------------------

    def recent(self) -> list[tuple[Path, bool]]:
        """Return the files that were used last, the last one first, and whether each was there when
        that was last looked at."""
        return [(Path(it), it not in self._gone) for it in self._recent()]

    def remember(self, path: Path) -> None:
        """Put a file before the other recent ones; it is the one that is open."""
        others = [it for it in self._recent() if it != str(path)]
        self._settings.put(KEY, json.dumps([str(path), *others][:RECENT]))
        self._settings.put(LAST, str(path))
        self.look_for_recent()

    def look_for_recent(self) -> None:
        """Have it looked which of the recent files are there."""
        self._later.put("recent", partial(self._look, self._recent()))

    def look_for_last(self) -> None:
        """Have it looked whether the file that was open last time is there; forget that it was."""
        last = self._settings.get(LAST, "")
        self._settings.put(LAST, "")
        if last and is_path(last):
            self._later.put("last", partial(self._look_for_last, last))

    def _recent(self) -> list[str]:
        found = self._settings.record(KEY, list[str], [])
        return [it for it in found if it and is_path(it)][:RECENT]

    # --- on the thread ------------------------------------------------------------------------

    def _read(self, path: Path) -> None:
        from core.session_file import read

        try:
            opened = read(path)
        except Exception as error:
            self.refused.emit(path, _said(error, f"The session {path} cannot be read"), False)
            return
        self.was_read.emit(Read(path, opened, _missing(opened.record.pair)))

    def _write(
        self, path: Path, record: SessionRecord, recording: Recording, thumbnail: bytes
    ) -> None:
        from core.session_file import write

        try:
            remarks = write(path, record, recording, thumbnail)
        except Exception as error:
            self.refused.emit(path, _said(error, f"The session {path} cannot be saved"), True)
            return
        self.was_written.emit(path, remarks)

    def _look(self, paths: list[str]) -> None:
        self._gone = frozenset(it for it in paths if not os.path.exists(it))

    def _look_for_last(self, last: str) -> None:
        if os.path.isfile(last):
            self.found_last.emit(Path(last))


def _said(error: Exception, what: str) -> str:
    """Return what an error says to the user; of one that nobody has foreseen, only its reason."""
    if isinstance(error, UserFacingError):
        return str(error)
    log.exception(what)
    return f"{what} ({reason(error)}): the details are in the log."


def _missing(pair: PairNamed) -> tuple[str, ...]:
    """Return which of a pair's folders and files, named by their whole paths, are gone."""
    named = msgspec.structs.asdict(pair)
    paths = {role: named[role] for role in ROLES}
    return tuple(role for role, it in paths.items() if os.path.isabs(it) and not os.path.exists(it))
