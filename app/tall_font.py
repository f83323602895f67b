"""Makes a font with higher lines: the same letters, with other numbers for where lines are.

QPlainTextEdit is laid out by its font's ascent and descent alone: it knows no height of lines, and
what Qt does with text (the caret, selections, input methods, where a point is) goes by its layout.
So the font is what says how high lines are. It is changed in memory, as OpenType's specification
has its tables (https://learn.microsoft.com/typography/opentype/spec/otff). Knows nothing of Qt.
"""

import struct
from dataclasses import dataclass

import numpy as np

_NAMES = 1, 3, 4, 6
"""The numbers of the names by which a font is known: family, unique, full and PostScript name."""
_WHOLE = 0xB1B0AFBA
"""What all 32-bit words of a font add up to."""


@dataclass(frozen=True)
class _Table:
    record: int
    """Where the directory has its record."""
    start: int
    length: int


def tall_font(data: bytes, name: str, high: float) -> bytes:
    """Return an OpenType font with lines ``high`` times its size, known by another family name.

    Capital letters stand in the middle of a line. ``name`` must be as long as the font's own.

    Raises:
        ValueError: the name has another length, or ``data`` is no font with the tables for that.
    """
    font = bytearray(data)
    try:
        tables = _tables(font)
        (em,) = struct.unpack_from(">H", font, tables[b"head"].start + 18)
        hhea, os2 = tables[b"hhea"].start, tables[b"OS/2"].start
        (capital,) = struct.unpack_from(">h", font, os2 + 88)
        below = round((high * em - capital) / 2)
        above = round(high * em) - below
        # Which of the three pairs counts differs between systems, so they are the same.
        struct.pack_into(">hhh", font, hhea + 4, above, -below, 0)
        struct.pack_into(">hhhHH", font, os2 + 68, above, -below, 0, above, below)
        _rename(font, tables[b"name"].start, name)
        _sum_anew(font, tables)
    except (struct.error, KeyError) as error:
        raise ValueError("not an OpenType font with the tables for its lines") from error
    return bytes(font)


def _tables(font: bytearray) -> dict[bytes, _Table]:
    (count,) = struct.unpack_from(">H", font, 4)
    found = {}
    for record in range(12, 12 + 16 * count, 16):
        tag, _, start, length = struct.unpack_from(">4sIII", font, record)
        found[tag] = _Table(record, start, length)
    return found


def _rename(font: bytearray, start: int, name: str) -> None:
    """Put another family in the place of the font's own in its names, all of which are UTF-16."""
    _, count, strings = struct.unpack_from(">HHH", font, start)
    records = [struct.unpack_from(">6H", font, start + 6 + 12 * i) for i in range(count)]
    places = {
        number: (start + strings + at, length)
        for platform, _, _, number, length, at in records
        if platform == 3
    }
    first, length = places[1]
    old, new = bytes(font[first : first + length]), name.encode("utf-16-be")
    if len(old) != len(new):
        raise ValueError(f"the name must have {len(old) // 2} letters")
    for number in _NAMES:
        at, length = places[number]
        font[at : at + length] = font[at : at + length].replace(old, new)


def _sum_anew(font: bytearray, tables: dict[bytes, _Table]) -> None:
    """Write the sums by which systems check that a font is whole."""
    head = tables[b"head"].start
    struct.pack_into(">I", font, head + 8, 0)
    for table in tables.values():
        part = _sum(font[table.start : table.start + table.length])
        struct.pack_into(">I", font, table.record + 4, part)
    struct.pack_into(">I", font, head + 8, (_WHOLE - _sum(font)) & 0xFFFFFFFF)


def _sum(part: bytearray) -> int:
    words = np.frombuffer(part + bytes(-len(part) % 4), dtype=">u4")
    return int(words.sum(dtype=np.uint64)) & 0xFFFFFFFF
