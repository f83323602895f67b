"""A run's history in trainer_state.json, the trainer's own and those in its checkpoints.

Each state of a run holds the history up to it, so the fullest is read, and others only where they
are no part of it. Reads a list of records in any .json file likewise. Knows nothing of folders;
never opens what lies beside a state.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from core.runs.curves import Curves
from core.runs.table import PIECE, Table, agree, last_step, merged
from core.runs.tail import Signature, signature, trouble

STATE = "trainer_state.json"
STATE_KIND = "TRL trainer state"
LIST_KIND = "JSON log"
_DECODER = msgspec.json.Decoder()
_NOT_FINITE = re.compile(rb"(?<=[\s:,\[])(-?Infinity|NaN)(?=[\s,}\]])")
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
        self.curves: Curves | None = None
        self.broken = False
        """Whether there was a state at the last look, but none that was whole."""
        self.strangers: frozenset[Path] = frozenset()
        """Folders whose states are of another run than the newest."""
        self._seen: dict[Path, Signature] = {}

    def refresh(self, files: Iterable[Path]) -> bool:
        """Look at ``files``; whether anything is different."""
        seen = {path: mark for path in files if (mark := signature(path)) is not None}
        if seen == self._seen:
            return False
        gone = sorted(self._seen.keys() - seen.keys())
        self._seen = seen
        before, strangers = self.curves, self.strangers
        self._read(sorted(seen, key=lambda path: _age(path, seen[path]), reverse=True))
        if before is not None and (self.curves is None or _is_less(self.curves, before)):
            self.curves = before.saying(trouble(gone[0], FileNotFoundError())) if gone else before
            self.strangers = strangers
        return self.curves is not before

    def _read(self, files: list[Path]) -> None:
        """Read ``files``, the newest first."""
        problems: list[str] = []
        table, apart, kind = None, list[Path](), ""
        while files and table is None:
            fullest, data, apart = _fullest(files)
            kind, table = _table(data)
            if table is None:
                problems.append(f"{fullest} is no whole trainer state and is left out.")
                files = [path for path in files if path != fullest]
        self.broken = bool(problems) and table is None and not kind
        series = table.series() if table is not None else {}
        if table is None or not series:
            self.curves = None
            return
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
        self.strangers = frozenset(strangers)
        self.curves = Curves(kind, series, tuple(problems))


def _fullest(files: list[Path]) -> tuple[Path, bytes, list[Path]]:
    """Of the newest file and those that go on from it the fullest; and those that are no part of
    it."""
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
    """Whether one state's history is how another one's begins, byte for byte.

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
    """Whether ``now`` is only a part of what was known before."""
    return last_step(now.series) < last_step(before.series) and agree(now.series, before.series)


def _table(data: bytes) -> tuple[str, Table | None]:
    """The history of a state, or a list of records, and which of them it is ("": not whole); None
    if it is neither."""
    table = Table()
    if all(_take(table, piece) for piece in _pieces(data)):
        return STATE_KIND, table
    state = parse(data)
    if state is None:
        return "", None
    is_state = isinstance(state, dict)
    kind, table = STATE_KIND if is_state else LIST_KIND, Table()
    return kind, table if _take(table, state.get("log_history") if is_state else state) else None


def _take(table: Table, history: Any) -> bool:
    """Take records in, if they are a list of them."""
    if not isinstance(history, list):
        return False
    rows = [row for row in history if isinstance(row, dict)]
    table.lost += len(history) - len(rows)
    table.add_rows(rows)
    return True


def _pieces(data: bytes) -> Iterator[Any]:
    """The history of a state as transformers writes it, some records at a time, since a call into
    a parser keeps all other threads waiting; None at the end if it is none, or not whole."""
    start, end = data.find(_HISTORY) + len(_HISTORY), data.rfind(_END)
    if not isinstance(parse(data[:start] + data[end:]), dict) or end < start:
        yield None
        return
    while start < end:
        cut = data.find(_NEXT, start + PIECE, end)
        stop = end if cut < 0 else cut + len(_NEXT) - 1
        yield parse(b"[" + data[start:stop] + b"]")
        start = stop + 1


def parse(data: bytes) -> Any:
    """JSON with Python's literals for what is not finite; None if it is none."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    for attempt in (data, None):
        # A run that has diverged says NaN, which is no JSON; in words it is.
        try:
            return _DECODER.decode(attempt or _NOT_FINITE.sub(rb'"\1"', data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _age(path: Path, mark: Signature) -> tuple[int, int, int]:
    """Sorts the state that was written last behind the others."""
    step = re.search(r"(\d+)$", path.parent.name)
    return mark[1], path.parent.name == "" or step is None, int(step[1]) if step else 0
