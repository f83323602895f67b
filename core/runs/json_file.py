"""Small JSON files that are written while they are read, by programs that know NaN.

Knows nothing of what they say.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.files import read_file
from core.runs.tail import Signature, signature, trouble

LARGEST = 1 << 24
"""Bytes that are parsed in one call, which keeps all other threads waiting."""

_DECODER = msgspec.json.Decoder()
_NOT_FINITE = re.compile(rb"(?<=[\s:,\[])(-?Infinity|NaN)(?=[\s,}\]])")


def parse(data: bytes) -> Any:
    """Return what JSON with Python's literals for what is not finite says; None if it is none."""
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


class JsonFile:
    """Follows a file with one object; what is half written takes nothing away."""

    def __init__(self) -> None:
        self.table: Mapping[str, Any] | None = None
        self.problems: tuple[str, ...] = ()
        self._seen: Signature | None = None

    def refresh(self, path: Path) -> bool:
        """Look at the file; return whether anything is different."""
        mark = signature(path)
        if mark == self._seen:
            return False
        self._seen, before = mark, (self.table, self.problems)
        if mark is None:
            self.problems = (trouble(path, FileNotFoundError()),) if self.table is not None else ()
        else:
            try:
                found = parse(read_file(path, LARGEST))
            except OSError:
                found = None
            if isinstance(found, dict):
                self.table, self.problems = found, ()
            elif self.table is None:
                large = mark[0] > LARGEST
                what = f"has more than {LARGEST >> 20} MB" if large else "is empty or cut short"
                self.problems = (f"{path} {what} and is left out.",)
        return (self.table, self.problems) != before
