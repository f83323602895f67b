"""Keeps drafts: the texts of each window and pair, as they are typed, in files of their own.

They lie in ``drafts`` in the folder of the user's data (``~/.local/share/qscope/drafts`` on Linux,
below $XDG_DATA_HOME if that is set). A draft is a ``core.session_record`` of its own name,
``DATE-PAIR-RANDOM.json``: no two windows, and no two pairs in a window, write the same file. It is
written while one types, so it is there after kill -9; ``newest`` finds it. Files are written and
listed on one thread, beside the window's. Knows records and files; knows nothing of widgets.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zlib import crc32

from PySide6.QtCore import QObject, Signal

from app.later import Later
from app.settings import DEMO_KEY, pair_key
from core.engine.protocol import PairSpec
from core.errors import UserFacingError
from core.files import read_file
from core.safe_files import BAD, set_aside, write_synced
from core.session_record import (
    LARGEST,
    PairNamed,
    Response,
    SessionRecord,
    Turn,
    decode,
    encode,
)

KEPT_SECONDS = 30 * 24 * 3600
MOST_LISTED = 300
FOLDER, ENDING = "drafts", ".json"
OLD = "draft.json"
"""The one draft that versions before kept, beside the folder."""


@dataclass(frozen=True)
class Draft:
    """A draft and where it lies."""

    path: Path
    record: SessionRecord


class Drafts(QObject):
    """The drafts of one user, as one window sees and writes them."""

    written = Signal(str)
    """A draft has been written: "", or a clause on why it could not be."""
    listed = Signal(object)
    """What ``ask_list`` asked for: a list of ``Draft``, the newest first."""
    problem = Signal(str)
    """Something was set aside: a sentence."""

    def __init__(self, data: Path, parent: QObject | None = None) -> None:
        """Keep them in ``data``, the folder of the user's data; it need not exist."""
        super().__init__(parent)
        self.folder = data / FOLDER
        self._later = Later("drafts")
        self._why = ""

    def new_path(self, pair: PairSpec | PairNamed) -> Path:
        """Return the path of a new draft of a pair."""
        date = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        return self.folder / f"{date}-{_mark(pair)}-{os.urandom(4).hex()}{ENDING}"

    # --- writing ------------------------------------------------------------------------------

    def save(self, path: Path, record: SessionRecord) -> None:
        """Have a draft written; ``written`` tells. Waits for nothing."""
        self._later.put(path, partial(self._write, path, record))

    def save_now(self, path: Path, record: SessionRecord, seconds: float) -> str:
        """Write a draft and return "", or a clause on why it is not on the disk."""
        self.save(path, record)
        return self._why if self._later.rest(seconds) else "the disk does not answer"

    def close(self, seconds: float) -> None:
        """End the thread, once all is written."""
        self._later.close(seconds)

    def _write(self, path: Path, record: SessionRecord) -> None:
        try:
            write_synced(path, encode(record))
            self._why = ""
        except (OSError, ValueError, UserFacingError) as error:
            self._why = getattr(error, "strerror", None) or str(error)
        self.written.emit(self._why)

    # --- reading ------------------------------------------------------------------------------

    def take_over(self) -> None:
        """Make drafts of what versions before left; set aside what stands in the folder's way."""
        old = self.folder.parent / OLD
        if os.path.lexists(old):
            self._convert(old)
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            self.problem.emit(f"{self.folder} is no folder: {set_aside(self.folder)}.")

    def newest(self, pair: PairSpec | PairNamed | None = None) -> Draft | None:
        """Return the draft that was saved last, of one pair if it is named; None if none is."""
        for path in self._paths("" if pair is None else f"-{_mark(pair)}-"):
            found = self._read(path)
            if found is not None and (pair is None or pair_key(found.pair) == pair_key(pair)):
                return Draft(path, found)
        return None

    def ask_list(self) -> None:
        """Have all drafts read; ``listed`` brings them."""
        self._later.put("list", self._list)

    def keep(self, path: Path) -> None:
        """Count a draft as saved now: it is in use, and is kept for as long again."""
        self._later.put(("keep", path), partial(_touch, path))

    def remove(self, path: Path) -> None:
        """Have a draft removed."""
        self._later.put(path, partial(_remove, path))

    def tidy(self) -> None:
        """Have drafts removed that nobody has saved for 30 days, and remains of broken writing."""
        self._later.put("tidy", self._tidy)

    def _list(self) -> None:
        read = ((path, self._read(path)) for path in self._paths()[:MOST_LISTED])
        self.listed.emit([Draft(path, record) for path, record in read if record is not None])

    def _paths(self, part: str = "") -> list[Path]:
        """Return the drafts whose names hold ``part`` and that are kept, the newest first."""
        found = []
        for path, saved in _files(self.folder):
            if path.name.endswith(ENDING) and part in path.name and _is_kept(saved):
                found.append((saved, path))
        return [path for _, path in sorted(found, reverse=True)]

    def _read(self, path: Path) -> SessionRecord | None:
        try:
            record, remark = decode(read_file(path, LARGEST))
        except FileNotFoundError:
            return None  # another window has removed it
        except (OSError, ValueError) as error:
            record, remark = None, getattr(error, "strerror", None) or str(error)
        if record is None:
            self.problem.emit(
                f"The draft {path.name} cannot be read ({remark}): {set_aside(path)}."
            )
        elif remark:
            self.problem.emit(f"The draft {path.name} is not whole: {remark}.")
        return record

    def _convert(self, old: Path) -> None:
        """Write the one draft of a version before as one of these."""
        try:
            record = _of_old(read_file(old, LARGEST))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            said = getattr(error, "strerror", None) or "it is damaged"
            self.problem.emit(f"The draft {old.name} cannot be read ({said}): {set_aside(old)}.")
            return
        saved = old.stat().st_mtime
        path = self.new_path(record.pair)
        try:
            write_synced(path, encode(record))
            os.utime(path, (saved, saved))
            old.unlink()
        except (OSError, UserFacingError):
            return  # it stays, and is tried again by the next window

    def _tidy(self) -> None:
        for path, saved in _files(self.folder):
            ours = (ENDING in path.name and path.suffix in (ENDING, ".new")) or BAD in path.suffix
            if ours and not _is_kept(saved):
                _remove(path)


def _files(folder: Path) -> list[tuple[Path, float]]:
    """Return what lies in a folder, and when it was last changed."""
    try:
        with os.scandir(folder) as entries:
            return [(Path(it.path), it.stat(follow_symlinks=False).st_mtime) for it in entries]
    except OSError:
        return []


def _is_kept(saved: float) -> bool:
    return time.time() - saved < KEPT_SECONDS


def _mark(pair: PairSpec | PairNamed) -> str:
    """Return a short name of a pair, for names of files; another pair may share it."""
    return f"{crc32(pair_key(pair).encode('utf-8', 'surrogatepass')):08x}"


def _of_old(data: bytes) -> SessionRecord:
    """Return the record of the draft that versions before kept.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it is none.
    """
    old = json.loads(data.decode("utf-8"))
    key, turns = str(old["pair"]).split("\n"), old["prompt"]
    match key:
        case [name] if name == DEMO_KEY:
            pair = PairNamed(demo=True)
        case ["run", run, reference, base]:
            pair = PairNamed(run=run, reference=reference, base=base)
        case [policy, reference, base]:
            pair = PairNamed(policy=policy, reference=reference, base=base)
        case _:
            pair = PairNamed()
    return SessionRecord(
        pair=pair,
        example=str(old["example"]),
        prompt=tuple(Turn(str(role), str(content)) for role, content in turns),
        a=Response(str(old["a"])),
        b=Response(str(old["b"])),
    )


def _touch(path: Path) -> None:
    _quietly(lambda: os.utime(path))


def _remove(path: Path) -> None:
    _quietly(path.unlink)


def _quietly(act: Callable[[], None]) -> None:
    with suppress(OSError):  # another window was faster, or the disk is read-only: nothing is lost
        act()
