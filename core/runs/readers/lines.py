"""Logs of one row a line, followed as they grow, whatever the rows look like.

Reads what was added since the last look; a last line that does not end yet waits until it does.
Tables of pandas or pyarrow are read as a whole, and refused for one line that a crash cut off.
What the rows of a format look like its own module says, which registers them in ``ROWS``.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from core.errors import Cancelled
from core.files import entries, open_file
from core.runs.names import is_usual
from core.runs.reader import FORMATS, Curves, Format, Found
from core.runs.table import PIECE, Table
from core.runs.tail import Signature, Tail, signature

SUFFIXES = ".jsonl", ".ndjson", ".csv", ".log", ".txt", ".out"
"""Of files in a run's folder that may be logs; a file that was named may be called anything."""
SNIFFED = 1 << 20
"""Bytes by which a file is judged: much may be printed before the training begins. A file that was
not named, which may be anything, is judged by a quarter."""
LONGEST = 1 << 22
"""Bytes of a line; a longer one is no row of a log."""
MOST_FILES = 200
"""So many files of a folder are looked at, those that were written last."""
BINARY_SHOWS = 16
"""Bytes within which weights, archives and pickles have a zero; a crash leaves some in a log."""


class Rows(Protocol):
    """The rows of one file, as they are gathered."""

    kind: str
    """The format, in words."""

    @property
    def tables(self) -> dict[str, Table]:
        """The curves by the name of their run; "" where the file names none."""
        ...

    def take(self, data: bytes) -> bytes:
        """Take rows in; return the part of ``data`` that need not be given again.

        Raises:
            Cancelled: by core.runs.tail.check; a part was taken in, so these rows are of no use.
        """
        ...


ROWS: dict[str, Callable[[bytes, bool, str], Rows | None]] = {}
"""By format: given a file's lines from the first on, each with whether it is whole and the file's
name, returns what gathers the file's rows as soon as a line tells the format, else None."""


class Lines:
    """Follows the logs of rows at one place."""

    def __init__(self) -> None:
        self._files: dict[Path, LineFile] = {}
        self._others: dict[Path, Signature] = {}
        """Files that were no logs when they were of this size and age."""
        self._found = Found()
        self._changed = False

    def look(self, place: Path) -> Found:
        """Return what the logs at ``place`` say now; as core.runs.reader.Reader.look."""
        for path in _candidates(place):
            mark = signature(path)
            if mark and path not in self._files and self._others.get(path) != mark:
                if _is_log(path, named=path == place):
                    self._files[path] = LineFile(path)
                self._others[path] = mark
        for file in self._files.values():
            self._changed |= file.refresh()
        if self._changed:
            self._changed = False
            logs = [self._files[path].curves for path in sorted(self._files, key=_age)]
            self._found = Found(
                tuple(runs[0] for runs in logs if len(runs) == 1),
                next((runs for runs in logs if len(runs) > 1), ()),
            )
        return self._found


class LineFile:
    """Follows one file."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._rows: Rows | None = None
        self._known: tuple[Curves, ...] = ()
        self._long = 0
        """Lines that are too long."""
        self._inside = False
        """Whether what comes next is still of one."""

    @property
    def curves(self) -> tuple[Curves, ...]:
        """What the file says, or said last; one for each run in it."""
        if not self._tail.trouble:
            return self._known
        return tuple(curves.saying(self._tail.trouble) for curves in self._known)

    def refresh(self) -> bool:
        """Read what was added; return whether anything is different."""
        before, changed = self._tail.trouble, False
        while (found := self._tail.more()) is not None:
            anew, data = found
            if anew or self._rows is None:
                self._rows = _rows_of(data, self._tail.path.name)
                self._long, self._inside = 0, False
            if self._rows is None:  # only blanks yet
                self._tail.wait()
                return bool(before)
            self._take(self._rows, data)
            changed = True
            if not self._tail.behind:
                break
        if not changed or self._rows is None:
            return before != self._tail.trouble
        name, kind = self._tail.path.name, self._rows.kind
        # A log that was emptied to be written anew says nothing yet: what it said stays.
        self._known = (
            tuple(
                Curves(kind, series, (*table.problems(name), *self._said()), run, table.unsure)
                for run, table in self._rows.tables.items()
                if (series := table.series())
            )
            or self._known
        )
        return True

    def _take(self, rows: Rows, data: bytes) -> None:
        for piece in _pieces(data):
            self._tail.check()
            if self._inside:
                end = piece.find(b"\n") + 1
                self._tail.used(piece[:end] if end else piece)
                self._inside, piece = not end, piece[end:] if end else b""
            if len(piece) > LONGEST:
                self._long += 1
                self._inside = not piece.endswith(b"\n")
                self._tail.used(piece)
            elif piece:
                try:
                    used = rows.take(piece)
                except Cancelled:
                    self._tail.begin_again()
                    raise
                self._tail.used(used)

    def _said(self) -> tuple[str, ...]:
        if not self._long:
            return ()
        what = "line of more" if self._long == 1 else "lines of more"
        return (
            f"{self._long} {what} than {LONGEST >> 20} MB in {self._tail.path.name} "
            f"{'is' if self._long == 1 else 'are'} left out.",
        )


def _candidates(place: Path) -> Iterable[Path]:
    """Return the file at a place, or those in a folder that may be logs."""
    if not place.is_dir():
        return (place,)
    found = [place / it.name for it in entries(place) if it.name.lower().endswith(SUFFIXES)]
    return sorted(found if len(found) <= MOST_FILES else sorted(found, key=_age)[:MOST_FILES])


def _age(path: Path) -> int:
    """Sort the file that was written last before the others."""
    mark = signature(path)
    return -mark[1] if mark else 0


def _is_log(path: Path, named: bool) -> bool:
    """Return whether a file can be a log: text, and, unless it was named, rows of what a DPO run
    logs, since data may lie in a run's folder too."""
    try:
        with open_file(path) as file:
            head = file.read(SNIFFED if named else SNIFFED // 4)
    except OSError:
        return False
    if named or b"\0" in head[:BINARY_SHOWS]:
        return b"\0" not in head[:BINARY_SHOWS]
    rows = _rows_of(head, path.name)
    if rows is None:
        return False
    rows.take(head)
    return any(is_usual(name) for table in rows.tables.values() for name in table.series())


def _rows_of(data: bytes, file: str) -> Rows | None:
    """Return what gathers the rows of a file that begins so; None where it says nothing yet.

    What was cut off by a crash or a rotation may stand before the first line that tells.
    """
    *lines, rest = data[:SNIFFED].removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for line, whole in (*((line, True) for line in lines), (rest, False)):
        for _, begin in sorted(ROWS.items()):  # whichever module was imported first
            if (rows := begin(line, whole, file)) is not None:
                return rows
    return None


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yield some whole lines at a time: a call into a parser keeps all other threads waiting.

    A line that is too long comes alone.
    """
    at = 0
    while at < len(data):
        end = data.find(b"\n", at + PIECE) + 1 or len(data)
        if end - at > LONGEST:
            end = data.rfind(b"\n", at, at + PIECE) + 1 or data.find(b"\n", at) + 1 or end
        yield data[at:end]
        at = end


FORMATS["rows"] = Format(Lines)
