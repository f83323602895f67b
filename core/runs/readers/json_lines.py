"""Logs in JSON Lines: an object a line.

Knows nothing of files (core.runs.readers.lines follows them).
"""

import json
import re
from typing import Any

import msgspec

from core.runs.readers.lines import ROWS
from core.runs.table import Table

_JSON = msgspec.json.Decoder()
_PYTHON = json.JSONDecoder()
_OBJECT = re.compile(rb'\s*\{\s*["}]')


class JsonRows:
    """Rows that are JSON objects."""

    kind = "JSON Lines log"

    def __init__(self) -> None:
        self.tables = {"": Table()}

    def take(self, data: bytes) -> bytes:
        """Take rows in; return the part of ``data`` that need not be given again.

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


def _objects(lines: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the objects of whole lines, and how many lines hold something else."""
    lines = lines.removeprefix(b"\xef\xbb\xbf")
    try:
        rows = _JSON.decode_lines(lines)
        if len(rows) == lines.count(b"\n") + 1 and set(map(type, rows)) == {dict}:
            return rows, 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    rows, lost = [], 0
    for line in lines.split(b"\n"):
        if line.strip(b" \t\r[],"):
            more, broken = _objects_of_line(line)
            rows += more
            lost += broken
    return rows, lost


def _objects_of_line(line: bytes) -> tuple[list[dict[str, Any]], bool]:
    """Return the objects at the beginning of a line, and whether something else follows.

    A run that was killed between an object and its newline resumes on the same line. The line may
    be of a list of objects.
    """
    try:
        row = _JSON.decode(line)
        return ([row], False) if isinstance(row, dict) else ([], True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    rows: list[dict[str, Any]] = []
    text, at = line.decode("utf-8", "replace").strip(" \t\r\n[],"), 0
    while at < len(text):
        try:
            row, at = _PYTHON.raw_decode(text, at)
        except (ValueError, RecursionError):
            return rows, True
        if not isinstance(row, dict):
            return rows, True
        rows.append(row)
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
    return rows, False


def _begin(line: bytes, whole: bool, file: str) -> JsonRows | None:
    return JsonRows() if _OBJECT.match(line) else None


ROWS["JSON Lines"] = _begin
