"""Logs of one row a line: JSON Lines, CSV, and CSV as Weights & Biases exports it.

Reads what was added since the last time. A last line that does not end yet waits until it does.
Knows nothing of folders.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.runs.curves import Curves
from core.runs.names import canonical, is_usual, step_column
from core.runs.table import PIECE, Table
from core.runs.tail import Tail

SNIFFED = 65536
"""Bytes by which a file is judged."""
BINARY_SHOWS = 16
"""Bytes within which weights, archives and pickles have a zero; a crash leaves some in a log."""
LONGEST = 100_000
"""Letters of a line; the csv module takes no longer cell."""
COMPANIONS = ("__MIN", "__MAX")
"""What W&B puts beside each curve: the extremes of what it thinned out."""
BETWEEN = " - "
"""What W&B puts between the name of a run and that of a curve."""
_JSON = msgspec.json.Decoder()
_CELLS = msgspec.json.Decoder(list[list[float | None]])
_PYTHON = json.JSONDecoder()


def looks_like_text(path: Path) -> bool:
    """Whether a file can be such a log; what is pickled or packed cannot."""
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(BINARY_SHOWS)
    except OSError:
        return False


def looks_like_log(path: Path) -> bool:
    """Whether a file begins as a log does that names what a DPO run logs; for files that merely
    lie in a folder, which may be data."""
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED)
    except OSError:
        return False
    rows = _rows_of(head)
    if rows is None or b"\0" in head[:BINARY_SHOWS]:
        return False
    rows.take(head)
    return any(is_usual(name) for table in rows.tables.values() for name in table.series())


class Lines:
    """Follows one file."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._rows: JsonRows | CsvRows | None = None
        self._known: tuple[Curves, ...] = ()

    @property
    def curves(self) -> tuple[Curves, ...]:
        """What the file says, or said last; one for each run in it."""
        if not self._tail.trouble:
            return self._known
        return tuple(curves.saying(self._tail.trouble) for curves in self._known)

    def refresh(self) -> bool:
        """Read what was added; whether anything is different."""
        before = self._tail.trouble
        found = self._tail.more()
        if found is None:
            return before != self._tail.trouble
        anew, data = found
        if anew or self._rows is None:
            self._rows = _rows_of(data)
        if self._rows is None:  # only blanks yet
            return bool(before)
        for piece in _pieces(data):
            self._tail.used(self._rows.take(piece))
        name, kind = self._tail.path.name, self._rows.kind
        # A log that was emptied to be written anew says nothing yet: what it said stays.
        self._known = (
            tuple(
                Curves(kind, series, tuple(table.problems(name)), run)
                for run, table in self._rows.tables.items()
                if (series := table.series())
            )
            or self._known
        )
        return True


class JsonRows:
    """Rows that are JSON objects."""

    kind = "JSON Lines log"

    def __init__(self) -> None:
        self.tables = {"": Table()}

    def take(self, data: bytes) -> bytes:
        """Take rows in; returns the part of ``data`` that need not be given again.

        An object at the end is whole even where its line does not end yet.
        """
        lines, _, rest = data.rpartition(b"\n")
        rows, lost = _objects(lines)
        if rest.strip():
            more, broken = _objects_of_line(rest)
            if more and not broken:
                rows, rest = rows + more, b""
        table = self.tables[""]
        table.lost += lost
        table.add_rows(rows)
        return data[: len(data) - len(rest)]


class CsvRows:
    """Rows of cells under a header."""

    def __init__(self) -> None:
        self.kind = "CSV log"
        self.tables: dict[str, Table] = {}
        self._header: list[str] | None = None
        self._delimiter = ","
        self._runs: dict[str, list[int]] = {}
        """Of a W&B export: by run the columns that are its own, the step's first."""
        self._by: int | None = None
        """The column that names the row's run, where there is one."""

    def take(self, data: bytes) -> bytes:
        """Take rows in; returns the part of ``data`` that need not be given again."""
        whole = data[: data.rfind(b"\n") + 1]
        rest = whole
        while self._header is None and rest:
            line, _, rest = rest.partition(b"\n")
            if _is_header(line):
                self._begin(_text(line))
        if self._header is not None:
            self._add(rest)
        return whole

    def _begin(self, line: str) -> None:
        self._delimiter, self._header = _header(line)
        header = self._header
        curves = [name for name in header if not name.endswith(COMPANIONS)]
        if len(curves) > 1 and all(BETWEEN in name for name in curves[1:]):
            self.kind = "Weights & Biases export"
            own: dict[str, list[int]] = defaultdict(list)
            for index, name in enumerate(header[1:], 1):
                if not name.endswith(COMPANIONS):
                    own[name.rpartition(BETWEEN)[0]].append(index)
            first = [0] if step_column((header[0],)) is not None else []
            self._runs = {run: first + columns for run, columns in own.items()}
        lower = [name.lower() for name in header]
        self._by = lower.index("run") if "run" in lower and not self._runs else None

    def _add(self, data: bytes) -> None:
        """Whole lines under the header."""
        assert self._header is not None
        header, width = tuple(self._header), len(self._header)
        columns, broken = self._numbers(data), 0
        if columns is None:
            lines = [line for line in _text(data).split("\n") if line and not line.isspace()]
            rows = self._split(lines)
            # A run that was started again may have written its header again.
            fine = [row for row in rows if len(row) == width and row != self._header]
            broken = len(rows) - len(fine) - rows.count(self._header)
            columns = list(zip(*fine, strict=True)) or [()] * width
        if self._runs:
            for run, own in self._runs.items():
                names = tuple(header[i].rpartition(BETWEEN)[2] if i else header[i] for i in own)
                self._table(run).add_columns(names, [columns[i] for i in own])
        elif self._by is None:
            self._table("").add_columns(header, columns)
        else:
            places: dict[str, list[int]] = defaultdict(list)
            for place, cell in enumerate(columns[self._by]):
                places[str(cell).strip()].append(place)
            for run, own in places.items():
                some = [[column[place] for place in own] for column in columns]
                self._table(run).add_columns(header, some)
        if broken:
            self._table(next(iter(self.tables), "")).lost += broken

    def _numbers(self, data: bytes) -> list[Sequence[float | None]] | None:
        """The columns where all cells are plain numbers or empty, which most are; else None.

        Read as JSON, which is twice as fast as the csv module and float.
        """
        if self._delimiter != "," or b'"' in data or b"[" in data:
            return None
        body = data.replace(b"\r", b"").strip(b"\n").replace(b"\n", b"],[")
        body = b"[[" + body.replace(b",,", b",null,").replace(b",,", b",null,") + b"]]"
        body = body.replace(b"[,", b"[null,").replace(b",]", b",null]")
        try:
            rows = _CELLS.decode(body)
        except msgspec.DecodeError:
            return None
        if set(map(len, rows)) != {len(self._header or ())} or len(rows) != data.count(b"\n"):
            return None
        return list(zip(*rows, strict=True))

    def _table(self, run: str) -> Table:
        return self.tables.setdefault(run, Table())

    def _split(self, lines: Sequence[str]) -> list[list[str]]:
        """Each line's cells; a line that is no row of its own gives none."""
        if max(map(len, lines), default=0) > LONGEST:
            lines = [line if len(line) <= LONGEST else "" for line in lines]
        if any('"' in line for line in lines):
            lines = [line if line.count('"') % 2 == 0 else "" for line in lines]
        rows = list(csv.reader(lines, delimiter=self._delimiter))
        if len(rows) != len(lines):  # a quote was opened in the middle of a line
            rows = [next(csv.reader([line], delimiter=self._delimiter), []) for line in lines]
        return rows


def _pieces(data: bytes) -> Iterator[bytes]:
    """Some whole lines at a time: a call into a parser keeps all other threads waiting."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at + PIECE) + 1 or len(data)
        yield data[at:end]
        at = end


def _rows_of(data: bytes) -> JsonRows | CsvRows | None:
    """The reader for a file that begins so; None where it says nothing yet.

    What was cut off by a crash or a rotation may stand before the first line that tells.
    """
    *lines, rest = data[:SNIFFED].removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for line in lines:
        if line.lstrip().startswith(b"{"):
            return JsonRows()
        if _is_header(line):
            return CsvRows()
    return JsonRows() if rest.lstrip().startswith(b"{") else None


def _header(line: str) -> tuple[str, list[str]]:
    """The delimiter of a header, and the names in it."""
    delimiter = max(",;\t", key=line.count)
    names = next(csv.reader([line[:LONGEST]], delimiter=delimiter), [])
    return delimiter, [name.strip() for name in names]


def _is_header(line: bytes) -> bool:
    """Whether a line names the step or what a DPO run logs, alone or behind a run's name."""
    text = _text(line)
    if text.lstrip().startswith("#"):
        return False
    names = tuple(name.rpartition(BETWEEN)[2] for name in _header(text)[1])
    return step_column(names) is not None or any(is_usual(canonical(name)) for name in names)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r", "")


def _objects(lines: bytes) -> tuple[list[dict[str, Any]], int]:
    """The objects of whole lines, and how many lines hold something else."""
    lines = lines.removeprefix(b"\xef\xbb\xbf")
    try:
        rows = _JSON.decode_lines(lines)
        if len(rows) == lines.count(b"\n") + 1 and set(map(type, rows)) == {dict}:
            return rows, 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    rows, lost = [], 0
    for line in lines.split(b"\n"):
        if line.strip():
            more, broken = _objects_of_line(line)
            rows += more
            lost += broken
    return rows, lost


def _objects_of_line(line: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The objects at the beginning of a line, and whether something else follows.

    A run that was killed after an object and before its newline goes on behind it.
    """
    try:
        row = _JSON.decode(line)
        return ([row], False) if isinstance(row, dict) else ([], True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    rows: list[dict[str, Any]] = []
    text, at = line.decode("utf-8", "replace").strip(), 0
    while at < len(text):
        try:
            row, at = _PYTHON.raw_decode(text, at)
        except (ValueError, RecursionError):
            return rows, True
        if not isinstance(row, dict):
            return rows, True
        rows.append(row)
        at += len(text[at:]) - len(text[at:].lstrip())
    return rows, False
