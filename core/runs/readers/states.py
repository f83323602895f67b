"""A run's history in trainer_state.json, the trainer's own and those in its checkpoints.

Each state of a run holds the history up to it, so the fullest is read, and others only where they
are no part of it. Reads a list of records, or a table by columns, in any .json file likewise. Never
opens what lies beside a state.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.checkpoints.saved import folders
from core.files import read_file
from core.runs.json_file import LARGEST, parse
from core.runs.names import step_column
from core.runs.reader import FORMATS, Curves, Format, Found
from core.runs.records import STATE
from core.runs.table import PIECE, Table, agree, last_step, merged
from core.runs.tail import Signature, signature, trouble

MOST = 1 << 28
"""Bytes of a state; a history of a million records has fewer."""
STATE_KIND = "TRL trainer state"
LIST_KIND = "JSON log"
_HISTORY = b'"log_history": ['
_NEXT = b"\n    },"
_END = b"\n  ]"
"""Where a record and the history end in a file that transformers has written (indented by 2)."""


class States:
    """Reads trainer states, again whenever one of them has changed.

    A state that is only half there, because it is being written, takes nothing away from what was
    read before; neither does one that has gone.
    """

    def __init__(self) -> None:
        self._found = Found()
        self._seen: dict[Path, Signature] = {}

    def look(self, place: Path) -> Found:
        """Return what the states at ``place`` say now; as core.runs.reader.Reader.look."""
        files = [place] if place.suffix == ".json" and not place.is_dir() else _in_folder(place)
        seen = {path: mark for path in files if (mark := signature(path)) is not None}
        if seen != self._seen:
            gone = sorted(self._seen.keys() - seen.keys())
            newest = sorted(seen, key=lambda path: _age(path, seen[path]), reverse=True)
            self._found = _joined(self._found, _read(newest), gone)
            self._seen = seen  # a look that is cancelled is made again
        return self._found


def _in_folder(folder: Path) -> list[Path]:
    return [folder / STATE, *(checkpoint / STATE for checkpoint in folders(folder))]


def _joined(before: Found, now: Found, gone: list[Path]) -> Found:
    """Return what is known after a look: nothing that was read before is taken away."""
    if not before.curves or (now.curves and not _is_less(now.curves[0], before.curves[0])):
        return now
    if gone:
        (curves,) = before.curves
        return replace(before, curves=(curves.saying(trouble(gone[0], FileNotFoundError())),))
    return before


def _read(files: list[Path]) -> Found:
    """Return what the states of a run say, the newest file first."""
    problems: list[str] = []
    table, apart, kind = None, list[Path](), ""
    while files and table is None:
        fullest, data, apart = _fullest(files)
        kind, table = _table(data)
        if table is None:
            problems.append(f"{fullest} is no whole trainer state and is left out.")
            files = [path for path in files if path != fullest]
    series = table.series() if table is not None else {}
    if table is None or not series:
        return Found(broken=bool(problems) and table is None and not kind)
    problems += table.problems(fullest.name)
    strangers = []
    for path in apart:
        _, other = _table(_bytes(path))
        if other is None:
            problems.append(f"{path} is no whole trainer state and is left out.")
        elif agree(series, more := other.series()):
            series = merged(more, series)
        else:
            strangers.append(path.parent)
    if strangers:
        problems.append(
            f"{len(strangers) + 1} trainer states there are of different runs: the newest, in "
            f"{fullest.parent}, is shown, and {', '.join(sorted(p.name for p in strangers))} "
            f"left out."
        )
    return Found((Curves(kind, series, tuple(problems)),), strangers=frozenset(strangers))


def _fullest(files: list[Path]) -> tuple[Path, bytes, list[Path]]:
    """Return the fullest of the newest file and those that continue it, what it holds, and the
    files that are no part of it."""
    fullest, held = files[0], _bytes(files[0])
    apart = []
    for path in files[1:]:
        data = _bytes(path)
        if _is_part(held, data):
            fullest, held = path, data
        elif not _is_part(data, held):
            apart.append(path)
    return fullest, held, apart


def _is_part(short: bytes, long: bytes) -> bool:
    """Return whether one state's history is how another one's begins, byte for byte.

    False where that cannot be told without parsing.
    """
    start, end = short.find(_HISTORY), short.rfind(_END)
    there = long.find(_HISTORY)
    if start < 0 or end < start or there < 0:
        return False
    history = short[start:end]
    after = there + len(history)
    return long.startswith(history, there) and long[after : after + 1] in (b",", b"\n")


def _is_less(now: Curves, before: Curves) -> bool:
    """Return whether ``now`` is only a part of what was known before."""
    return last_step(now.series) < last_step(before.series) and agree(now.series, before.series)


def _table(data: bytes) -> tuple[str, Table | None]:
    """Return which a file is ("": not whole), and the history of a state or a list of records; None
    if it is neither."""
    table = Table()
    if all(_take(table, piece) for piece in _pieces(data)):
        return STATE_KIND, table
    state = parse(data) if len(data) <= LARGEST else None
    if state is None:
        return "", None
    kind, table = LIST_KIND, Table()
    if isinstance(state, dict):
        kind = STATE_KIND if "log_history" in state else LIST_KIND
        state = state.get("log_history", _rows_of(state))
    return kind, table if _take(table, state) else None


def _rows_of(columns: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of a table by columns, each a list or an object as pandas writes it, or in
    its orients "split" and "index"; None if it is none."""
    names, data = columns.get("columns"), columns.get("data")
    if isinstance(names, list) and isinstance(data, list) and {list} == set(map(type, data)):
        return [dict(zip(map(str, names), row, strict=False)) for row in data]
    rows = list(columns.values())
    if rows and all(isinstance(row, dict) and step_column(tuple(row)) is not None for row in rows):
        return rows
    cells = [list(c.values()) if isinstance(c, dict) else c for c in columns.values()]
    if step_column(tuple(columns)) is None or not all(isinstance(c, list) for c in cells):
        return None
    if len(set(map(len, cells))) > 1:
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def _take(table: Table, history: Any) -> bool:
    """Take records in; return whether they are a list of them."""
    if not isinstance(history, list):
        return False
    rows = [row for row in history if isinstance(row, dict)]
    table.lost += len(history) - len(rows)
    table.add_rows(rows)
    return True


def _pieces(data: bytes) -> Iterator[Any]:
    """Yield the history of a state as transformers writes it; None last if it is not whole.

    Some records at a time, since a call into a parser keeps all other threads waiting.
    """
    start, end = data.find(_HISTORY) + len(_HISTORY), data.rfind(_END)
    around = start + len(data) - end
    if end < start or around > LARGEST or not isinstance(parse(data[:start] + data[end:]), dict):
        yield None
        return
    while start < end:
        cut = data.find(_NEXT, start + PIECE, end)
        stop = end if cut < 0 else cut + len(_NEXT) - 1
        yield parse(b"[" + data[start:stop] + b"]") if stop - start <= LARGEST else None
        start = stop + 1


def _bytes(path: Path) -> bytes:
    try:
        return read_file(path, MOST)
    except OSError:
        return b""


def _age(path: Path, mark: Signature) -> tuple[int, int, int]:
    """Sort the state that was written last behind the others."""
    step = re.search(r"(\d+)$", path.parent.name)
    return mark[1], path.parent.name == "" or step is None, int(step[1]) if step else 0


FORMATS["trainer states"] = Format(States, standing=0)
