"""Small JSON files that are written while they are read, by programs that know NaN.

Knows nothing of what they say.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from core.runs.tail import Signature, signature, trouble

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
                found = parse(path.read_bytes())
            except OSError:
                found = None
            if isinstance(found, dict):
                self.table, self.problems = found, ()
            elif self.table is None:
                self.problems = (f"{path} is empty or cut short and is left out.",)
        return (self.table, self.problems) != before
