"""Writes chosen rows of a scored file into another: pairs as JSON Lines, or a scored file again.

JSON Lines hold what trainers take (prompt, chosen, rejected), the id, the source's columns, and the
numbers under ``qscope``. A Parquet is a scored file of these rows, with all their log-probs, which
opens like any other. Knows tables; knows nothing of windows.
"""

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np

from core.dataset.scored import SOURCE, Counts, write
from core.dataset.table import WHOLE, Rows, ScoredTable, as_arrow
from core.errors import Cancelled, UserFacingError
from core.failures import in_words, reason
from core.progress import Report, Stop, never, silent
from core.safe_files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE = 1024
"""Rows that are written at once."""
WRITING = "Writing rows"
JSON_LINES, PARQUET = ".jsonl", ".parquet"


def export(
    table: ScoredTable,
    rows: Rows,
    path: Path,
    beta: float | None,
    report: Report = silent,
    cancelled: Stop = never,
) -> None:
    """Write rows, in this order, into a file whose ending says how: .jsonl or .parquet.

    In a Parquet rows stand in the source's order, as in every scored file.

    Raises:
        UserFacingError: the ending is another, the file is the table's own or cannot be written,
            or the rows cannot be read any more; what was there is then as it was.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    if path.suffix not in (JSON_LINES, PARQUET):
        raise UserFacingError(
            f"{path.name} has to end in {JSON_LINES} or {PARQUET}: choose another name."
        )
    if path.exists() and path.samefile(table.path):
        raise UserFacingError(f"{path} is the file that is open: choose another name.")
    try:
        if path.suffix == PARQUET:
            _parquet(table, np.sort(rows), path, report, cancelled)
        else:
            with whole_file(path) as file:
                _json_lines(table, rows, file, path.parent, beta, report, cancelled)
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be written ({reason(error)}): make room, or choose another folder."
        ) from error


def _json_lines(
    table: ScoredTable,
    rows: Rows,
    file: BinaryIO,
    folder: Path,
    beta: float | None,
    report: Report,
    cancelled: Stop,
) -> None:
    """Write rows in their order: each is read in the table's, as its neighbours lie beside it, and
    waits in a file of its own."""
    by_place = np.argsort(rows, kind="stable")
    with tempfile.TemporaryFile(dir=folder) as waiting:
        ends = [0]
        for line in _lines(table, rows[by_place], beta, report, cancelled):
            waiting.write(line)
            ends.append(ends[-1] + len(line))
        for number in np.argsort(by_place, kind="stable").tolist():
            waiting.seek(ends[number])
            file.write(waiting.read(ends[number + 1] - ends[number]))


def _lines(
    table: ScoredTable, rows: Rows, beta: float | None, report: Report, cancelled: Stop
) -> Iterator[bytes]:
    own = [
        it.name for it in table.columns if it.kind == "number" and it.name not in _sources(table)
    ]
    numbers = {name: table.values(name, beta) for name in own if name != "row"}
    columns = (*WHOLE, *_sources(table))
    for first in range(0, len(rows), AT_ONCE):
        if cancelled():
            raise Cancelled
        some = rows[first : first + AT_ONCE]
        for place, row in zip(some.tolist(), table.read(some, columns), strict=True):
            said = {name: _known(float(values[place])) for name, values in numbers.items()}
            line = {**_row(table, row), "qscope": {"row": row["row"], **said, "beta": beta}}
            yield json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        report(WRITING, min(1.0, (first + AT_ONCE) / len(rows)))


def _sources(table: ScoredTable) -> list[str]:
    return [it.name for it in table.columns if it.name.startswith(SOURCE)]


def _row(table: ScoredTable, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as a source has it: its pair or response, its id and its other columns."""
    found = table.preference_of(row).row()
    if row["rejected"] is None:
        del found["rejected"]
        found["response"] = found.pop("chosen")
    if row["wrong"]:
        found["wrong"] = row["wrong"]
    if row["id"]:
        found["id"] = row["id"]
    for name, value in row.items():
        if name.startswith(SOURCE):
            short = name.removeprefix(SOURCE)
            found.setdefault(short, _known(value) if isinstance(value, float) else value)
    return found


def _known(value: float) -> float | int | None:
    """Return a number as JSON has it: None for one that is not known, whole numbers as such."""
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def _parquet(table: ScoredTable, rows: Rows, path: Path, report: Report, cancelled: Stop) -> None:
    import pyarrow.parquet as pq

    about = table.about
    job = msgspec.structs.replace(about.job, source=f"{about.job.source}, {len(rows)} rows chosen")
    about = msgspec.structs.replace(about, job=job, counts=Counts(len(rows)))
    with in_words("The scored rows in", table.path, "open the file again"):
        wanted = pq.read_schema(table.path).remove_metadata()
    write(path, _tables(table, rows, report, cancelled), wanted, about)


def _tables(
    table: ScoredTable, rows: Rows, report: Report, cancelled: Stop
) -> Iterator["pa.Table"]:
    import pyarrow.parquet as pq

    of = np.searchsorted(table.groups, rows, side="right") - 1
    with (
        in_words("The scored rows in", table.path, "open the file again"),
        pq.ParquetFile(table.path) as file,
    ):
        for group in np.unique(of):
            if cancelled():
                raise Cancelled
            inside = rows[of == group]
            found = file.read_row_group(int(group)).take(as_arrow(inside - table.groups[group]))
            if found.column("row").to_pylist() != table.numbers["row"][inside].tolist():
                raise UserFacingError(f"{table.path} is another file now: open it again.")
            yield found
            report(WRITING, float(inside[-1] + 1) / table.count)
