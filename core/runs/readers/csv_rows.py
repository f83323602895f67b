"""Logs in CSV, and in CSV as Weights & Biases and TensorBoard export it.

Knows nothing of files (core.runs.readers.lines follows them), but for what TensorBoard says in
their names alone.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from core.inert import of_cell
from core.runs.names import canonical, is_usual, step_column
from core.runs.readers.lines import ROWS
from core.runs.records import EVAL
from core.runs.table import Table

LONGEST = 100_000
"""Letters of a line; the csv module takes no longer cell."""
COMPANIONS = ("__MIN", "__MAX")
"""What W&B puts beside each curve: the extremes of what it thinned out."""
BETWEEN = " - "
"""What W&B puts between the name of a run and that of a curve."""
TENSORBOARD = ["wall time", "step", "value"]
"""The header of TensorBoard's CSV of one curve, in lower case; the file's name says which."""
OF_TRAINER = {"training loss", "validation loss"}
"""In the tables that transformers makes for notebooks and model cards all that is beside these two
was measured on the evaluation set."""
_HINTS = re.compile(rb"(?i)step|iter|updates|examples|loss|reward|log|kl|lr|rate|norm")
"""What a header has at least, so that most lines need no closer look."""
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*),\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_PARTED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+")
_POINTS = re.compile(r"(?<=\d)\.(?=\d{3}(?:\.|$))")
"""What parts thousands of a step where numbers have decimal commas."""
_CELLS = msgspec.json.Decoder(list[list[float | None]])


class CsvRows:
    """Rows of cells under a header."""

    def __init__(self, file: str = "") -> None:
        """``file``: its name."""
        self.kind = "CSV log"
        self._file = file
        self.tables: dict[str, Table] = {}
        self._header: list[str] | None = None
        self._delimiter = ","
        self._commas = False
        """Whether numbers have decimal commas."""
        self._runs: dict[str, list[int]] = {}
        """Of a W&B export: by run the columns that are its own, the step's first."""
        self._by: int | None = None
        """The column that names the row's run, where there is one."""

    def take(self, data: bytes) -> bytes:
        """Take rows in; return the part of ``data`` that need not be given again."""
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
        if self._delimiter == "|":
            self.kind = "Markdown table"
        if set(lower) >= OF_TRAINER:
            kept = {*OF_TRAINER, "step", "epoch", ""}
            header[:] = [name if name.lower() in kept else EVAL + name for name in header]
        if lower == TENSORBOARD:
            self.kind, header[:] = "TensorBoard CSV", ["", "step", tag(self._file)]
        self._by = lower.index("run") if "run" in lower and not self._runs else None

    def _add(self, data: bytes) -> None:
        """Take in whole lines under the header."""
        assert self._header is not None
        header, width = tuple(self._header), len(self._header)
        columns, broken = self._numbers(data), 0
        if columns is None:
            lines = [line for line in _text(data).split("\n") if line and not line.isspace()]
            if self._delimiter == "|":  # text may stand around the table
                lines = [line for line in lines if "|" in line and not set(line) <= set("|-: ")]
            if (at := self._another(lines)) is not None:
                self._add("\n".join(lines[:at]).encode() + b"\n")
                self._begin(lines[at])
                self._add("\n".join(lines[at + 1 :]).encode() + b"\n")
                return
            rows = self._split(lines)
            plain = [[self._plain(cell) for cell in row] for row in rows]
            self._commas |= self._delimiter != "," and plain != rows
            rows, at = plain, step_column(header)
            if self._commas and at is not None:
                rows = [
                    [_POINTS.sub("", cell) if n == at else cell for n, cell in enumerate(row)]
                    for row in rows
                ]
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
                places[of_cell(str(cell).strip())].append(place)
            for run, own in places.items():
                some = [[column[place] for place in own] for column in columns]
                self._table(run).add_columns(header, some)
        if broken:
            self._table(next(iter(self.tables), "")).lost += broken

    def _numbers(self, data: bytes) -> list[Sequence[float | None]] | None:
        """Return the columns where all cells are plain numbers or empty, as most are; else None.

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

    def _another(self, lines: Sequence[str]) -> int | None:
        """Return which line is a header with other names, as another stage writes it."""
        for place, line in enumerate(lines):
            words = not any(map(str.isdigit, line))
            if words and _is_header(line.encode()) and _header(line)[1] != self._header:
                return place
        return None

    def _plain(self, cell: str) -> str:
        """Return a cell with a point where it has a decimal comma, and without commas that part
        thousands; "1,234" may mean either where commas part the cells, and stays."""
        if "," in cell and _PARTED.fullmatch(cell.strip()):
            return cell.replace(",", "")
        if "," not in cell or not _DECIMAL_COMMA.fullmatch(cell.strip()):
            return cell
        if self._delimiter == "," and _THOUSANDS.fullmatch(cell.strip()):
            return cell
        return cell.replace(".", "").replace(",", ".")

    def _table(self, run: str) -> Table:
        return self.tables.setdefault(run, Table())

    def _split(self, lines: Sequence[str]) -> list[list[str]]:
        """Return each line's cells; a line that is no row of its own gives none."""
        if max(map(len, lines), default=0) > LONGEST:
            lines = [line if len(line) <= LONGEST else "" for line in lines]
        if any('"' in line for line in lines):
            lines = [line if line.count('"') % 2 == 0 else "" for line in lines]
        rows = list(csv.reader(lines, delimiter=self._delimiter))
        if len(rows) != len(lines):  # a quote was opened in the middle of a line
            rows = [next(csv.reader([line], delimiter=self._delimiter), []) for line in lines]
        return rows


def tag(file: str) -> str:
    """Return the curve that TensorBoard downloads as a CSV file, by the file's name.

    It is run-RUN-tag-TAG.csv, with "_" for each "/" of the tag; browsers number what is there.
    """
    name = re.sub(r" ?\(\d+\)$", "", file.rpartition(".")[0]).rpartition("-tag-")[2]
    return re.sub(r"^(train|eval)_", r"\1/", name)


def _header(line: str) -> tuple[str, list[str]]:
    """Return the delimiter of a header, and the names in it."""
    delimiter = max(",;\t|", key=line.count)
    names = next(csv.reader([line[:LONGEST]], delimiter=delimiter), [])
    return delimiter, [of_cell(name.strip()) for name in names]


def _is_header(line: bytes) -> bool:
    """Return whether a line names the step or what a DPO run logs, alone or behind a run's name."""
    if not _HINTS.search(line) or line.lstrip().startswith(b"#"):
        return False
    text = _text(line)
    names = tuple(name.rpartition(BETWEEN)[2] for name in _header(text)[1])
    return step_column(names) is not None or any(is_usual(canonical(name)) for name in names)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r", "")


def _begin(line: bytes, whole: bool, file: str) -> CsvRows | None:
    return CsvRows(file) if whole and _is_header(line) else None


ROWS["CSV"] = _begin
