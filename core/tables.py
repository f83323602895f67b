"""Rows of a file, whatever its form: JSON, JSON Lines, CSV, Parquet, Arrow, a datasets folder.

What a file holds tells its kind, not its name; text may be UTF-8, UTF-16 or UTF-32, and packed by
gzip, bzip2 or xz. JSON Lines, CSV, Parquet and Arrow are read row by row, whatever their size;
other JSON, other encodings and packed text are held in memory. ``datasets`` itself would copy each
file into a cache and name no line that is at fault, so only pyarrow is used. Knows nothing of what
rows mean.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import UserFacingError
from core.failures import in_words, reason
from core.files import entries, open_file, read_file

KINDS = "JSON Lines, JSON, CSV, Parquet or a folder that the library datasets saved"
LARGEST = 1 << 31
"""Bytes of a file of text, unpacked, all of which is held in memory."""
LONGEST_LINE = 1 << 26
"""Bytes of a line of JSON Lines; a longer one is a fault of its row."""
PACKED_TO = 100
"""A packed file of text has at most so many times its size, beyond ``SMALL``."""
SMALL = 1 << 26
XZ_MEMORY = 1 << 28
"""Bytes; unpacking what xz has packed best takes a quarter."""
MOST_COLUMNS = 10_000
BATCH = 250
"""Rows of a Parquet file that are read at once."""
FOREIGN = {b"PK\x03\x04": "a ZIP archive or an Excel file", b"\x28\xb5\x2f\xfd": "packed by zstd"}
ARROW = b"ARROW1", b"\xff\xff\xff\xff"
"""How Arrow's two kinds of files begin; the second is what datasets saves and caches."""
PACKERS = ".gz", ".bz2", ".xz"
JSON_SUFFIXES = ".jsonl", ".ndjson", ".json"
SEPARATORS = ",\t;|"
SPEAKERS = ("role", "from", "speaker", "author")
"""Keys that say whose turn an object is: a list of such objects is a conversation, no table."""
Items = Iterator[tuple[str, Any]]


class RowFault(ValueError):
    """Says why a row cannot be used, in words that follow its place: "has no prompt"."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file: (place, what lies there), which ``parse`` reads where it is needed.

    ``parse`` raises RowFault. ``note`` says which part of the file was taken, "" for all of it.
    """

    format: str
    items: Items
    parse: Callable[[Any], Any]
    note: str = ""


def open_table(path: Path, columns: frozenset[str]) -> Table:
    """Open a file or folder.

    Args:
        columns: names, one of which an object must have to be a row or a table of columns; in one
            without them a list of rows is looked for.

    Raises:
        UserFacingError: it cannot be read; while the items are drawn too.
    """
    with _readable(path):
        if path.is_dir():
            return _folder(path)
        with open_file(path) as file:
            start = file.read(6)
            if start[:4] == b"PAR1":
                return Table("Parquet", _parquet([path]), _arrow_row)
            if start.startswith(ARROW):
                return Table("Arrow", _arrow_files([path]), _arrow_row)
            if foreign := [FOREIGN[magic] for magic in FOREIGN if start.startswith(magic)]:
                raise UserFacingError(f"{path} is {foreign[0]}: unpack it, or save it as CSV.")
            unpack = next((PACKED[magic] for magic in PACKED if start.startswith(magic)), None)
            if unpack is None and json.detect_encoding(start) in ("utf-8", "utf-8-sig"):
                file.seek(0)
                if (streamed := _by_row(path, file)) is not None:
                    return streamed
            if os.fstat(file.fileno()).st_size > LARGEST:
                raise UserFacingError(
                    f"{path} has more than {LARGEST >> 30} GB of text: save it as JSON Lines or "
                    f"Parquet, not packed."
                )
            file.seek(0)
            data = file.read()  # with a number, room for that many would be taken
        if unpack is not None:
            most = min(LARGEST, max(SMALL, PACKED_TO * len(data)))
            data = unpack(data, most)
            if len(data) > most:
                raise UserFacingError(
                    f"{path} unpacks to more than {most:,} bytes: unpack it yourself, if you trust "
                    f"it, or choose another file."
                )
        return _text(path, _utf8(data), columns)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise what a file of text raises inside as UserFacingError."""
    try:
        yield
    except UnicodeError as error:
        raise UserFacingError(f"{path} is not the text it seems to be: choose {KINDS}.") from error
    except RecursionError as error:
        raise UserFacingError(f"{path} is nested too deeply: choose {KINDS}.") from error
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise UserFacingError(
            f"{path} cannot be read ({reason(error)}): choose a file that is whole and that you "
            f"may read."
        ) from error


def read_objects(path: Path, strings: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every row of a file, with its place in words.

    ``strings``: the columns that must be there, with text.

    Raises:
        UserFacingError: the file cannot be read, or a row has not such columns.
    """
    table = open_table(path, frozenset(strings))
    shape = "{" + ", ".join(f'"{key}"' for key in strings) + "}"
    for place, item in table.items:
        where = f"{path}, {place}"
        try:
            value = table.parse(item)
        except RowFault as error:
            raise UserFacingError(f"{where} {error}: write {shape}.") from error
        if not isinstance(value, dict):
            raise UserFacingError(f"{where}: not an object: write {shape}.")
        for key in strings:
            if not isinstance(value.get(key), str):
                raise UserFacingError(f'{where}: "{key}" is missing or no string: write {shape}.')
        for key, text in value.items():
            if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise UserFacingError(f'{where}: "{key}" has half a surrogate pair.')
        yield where, value


# --- text -----------------------------------------------------------------------------------


def _unxz(data: bytes, most: int) -> bytes:
    """Return what xz has packed, or a little more than ``most`` bytes of it."""
    found = bytearray()
    while data and len(found) <= most:
        unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
        found += unpacker.decompress(data, most + 1 - len(found))
        if not unpacker.eof and len(found) <= most:
            raise EOFError("it is cut short")
        data = unpacker.unused_data.lstrip(b"\0")
    return bytes(found)


PACKED: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"\x1f\x8b": lambda data, most: gzip.GzipFile(fileobj=io.BytesIO(data)).read(most + 1),
    b"BZh": lambda data, most: bz2.BZ2File(io.BytesIO(data)).read(most + 1),
    b"\xfd7zXZ": _unxz,
}
"""How packed files begin, and what unpacks them: to all, or a little more than so many bytes."""


def _utf8(data: bytes) -> bytes:
    """Return a text as UTF-8 without a byte order mark."""
    encoding = json.detect_encoding(data)
    if encoding == "utf-8":
        return data
    return data[3:] if encoding == "utf-8-sig" else data.decode(encoding).encode()


def _by_row(path: Path, file: BinaryIO) -> Table | None:
    """Return JSON Lines or CSV that are read row by row; None if a file of UTF-8 is something else,
    or has no more than one line.

    ``file``: the file, read from its beginning here.
    """
    lines = (line.strip() for _, line in _lines(file) if line is not None)
    first, more = next(lines, b""), next(lines, b"")
    if first[:1] == b"{" and more:
        try:
            by_line = isinstance(_parsed(first), dict)
        except RowFault:
            by_line = False
        return Table("JSON Lines", _json_lines(path), _parsed) if by_line else None
    separator = _separator(path, first)
    return Table("CSV", _csv(path, None, separator), _csv_row) if separator else None


def _separator(path: Path, first: bytes) -> str:
    """Return what separates the cells of a CSV by its first line; "" if a file is none."""
    suffix = _suffix(path)
    if not first or first[:1] in (b"{", b"[") or suffix in JSON_SUFFIXES:
        return ""
    separator = max(SEPARATORS, key=lambda sign: first.count(sign.encode()))
    known = suffix in (".csv", ".tsv")
    known = known or (suffix in (".txt", ".tab") and separator.encode() in first)
    return separator if known else ""


def _suffix(path: Path) -> str:
    """Return how a file's name ends, what packed it left aside."""
    return Path(
        path.name.removesuffix(path.suffix if path.suffix in PACKERS else "")
    ).suffix.lower()


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the lines that hold something, with their number from 1; None for one that is longer
    than LONGEST_LINE."""
    number, begun = 0, b"\xef\xbb\xbf"
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        whole = len(line) <= LONGEST_LINE or line.endswith(b"\n")
        while not whole and (rest := file.readline(LONGEST_LINE)):
            if rest.endswith(b"\n"):
                break
        if number == 1:
            line = line.removeprefix(begun)
        if not whole or line.strip():
            yield number, line if whole else None


def _json_lines(path: Path) -> Items:
    with _readable(path), open_file(path) as file:
        for number, line in _lines(file):
            yield f"line {number}", line


def _text(path: Path, data: bytes, columns: frozenset[str]) -> Table:
    found = re.search(rb"\S[^\r\n]*", data)
    first = found[0] if found else b""
    if not first:
        return Table("empty", iter(()), lambda row: row)
    if separator := _separator(path, first):
        return Table("CSV", _csv(path, data, separator), _csv_row)
    if first[:1] in (b"{", b"[") or _suffix(path) in JSON_SUFFIXES:
        return _json(path, data, columns)
    raise UserFacingError(f"{path} is no table of rows: choose {KINDS}.")


def _json(path: Path, data: bytes, columns: frozenset[str]) -> Table:
    """Tell JSON Lines from a JSON that spans lines or holds all rows in one object."""
    lines = [(n, line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    by_line = Table("JSON Lines", ((f"line {n}", line) for n, line in lines), _parsed)
    try:
        first = _parsed(lines[0][1])
    except RowFault:
        first = None
    if isinstance(first, dict) and len(lines) > 1:
        return by_line
    try:
        values = _values(data.decode())
    except UnicodeDecodeError:
        return by_line  # which names the line
    except json.JSONDecodeError as error:
        if len(lines) > 1 and lines[1][1].lstrip()[:1] == lines[0][1].lstrip()[:1] == b"{":
            return by_line
        raise UserFacingError(
            f"Line {error.lineno} of {path} is not JSON ({error.msg}): mend it there."
        ) from error
    except RecursionError as error:
        raise UserFacingError(f"{path} is nested too deeply: choose {KINDS}.") from error
    rows, note = _rows_in(path, values[0] if len(values) == 1 else values, columns)
    if rows == [first]:
        return by_line
    return Table(
        "JSON", ((f"row {n}", row) for n, row in enumerate(rows, 1)), lambda row: row, note
    )


def _parsed(line: bytes | None) -> Any:
    if line is None:
        raise RowFault(f"is longer than {LONGEST_LINE >> 20} MB")
    try:
        return _DECODER.decode(line.decode())
    except RecursionError as error:
        raise RowFault("is nested too deeply") from error
    except ValueError as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it is not UTF-8 text"
        raise RowFault(f"is not JSON ({why})") from error


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


_DECODER = json.JSONDecoder(parse_int=_number)
"""Takes numbers of any length: no column with numbers is used."""
_BETWEEN = re.compile(r"[ \t\r\n,]*")


def _values(text: str) -> list[Any]:
    """Return the JSON values that follow each other in a text, a comma between them or not."""
    values: list[Any] = []
    at = 0
    while True:
        found = _BETWEEN.match(text, at)
        at = found.end() if found else at
        if at == len(text):
            return values
        value, at = _DECODER.raw_decode(text, at)
        values.append(value)


def _rows_in(path: Path, value: Any, columns: frozenset[str]) -> tuple[list[Any], str]:
    """Return the rows that a JSON value holds, and which part of it they are."""
    if isinstance(value, list):
        return [row["row"] if _is_wrapped(row) else row for row in value], ""
    if not isinstance(value, dict):
        return [value], ""
    if _holds_rows(value, columns):
        return _transposed(value), ""
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and {list} == set(map(type, data)):
        # as pandas writes it with orient="split"
        return [dict(zip(map(str, names), row, strict=False)) for row in data], ""
    parts = {key: part for key, part in value.items() if _holds_rows(part, columns)}
    if len(parts) == len(value) > 0 and all(
        isinstance(part, dict) and _transposed(part) == [part] for part in parts.values()
    ):
        return list(parts.values()), ""  # by an index, as pandas writes it with orient="index"
    parts = parts or {
        key: part for key, part in value.items()
        if isinstance(part, list) and part and isinstance(part[0], dict) and not is_turns(part)
    }  # fmt: skip
    if not parts:
        return [value], ""
    name, note = split_of(path, list(parts))
    return _rows_in(path, parts[name], columns)[0], note


def _holds_rows(value: Any, columns: frozenset[str]) -> bool:
    """Return whether a value is a row or a table with one of the columns, or a list of rows."""
    first = value[0] if isinstance(value, list) and value else value
    return isinstance(first, dict) and (
        _is_wrapped(first) or not columns.isdisjoint(key.strip().casefold() for key in first)
    )


def _is_wrapped(row: Any) -> bool:
    """Return whether a row is one of Hugging Face's dataset viewer: {"row_idx", "row": {…}}."""
    return isinstance(row, dict) and "row_idx" in row and isinstance(row.get("row"), dict)


def _transposed(table: dict[str, Any]) -> list[Any]:
    """Return the rows of a table of columns: of lists, or of {index: cell} as pandas writes it."""
    cells = list(table.values())
    if all(isinstance(column, list) and not is_turns(column) for column in cells):
        if len({len(column) for column in cells}) == 1:
            return [dict(zip(table, row, strict=True)) for row in zip(*cells, strict=True)]
    elif all(isinstance(column, dict) and not is_turns([column]) for column in cells):
        return [{name: table[name].get(index) for name in table} for index in cells[0]]
    return [table]


def is_turns(value: Any) -> bool:
    """Return whether a value is a list of turns: objects that say who speaks."""
    return isinstance(value, list) and any(
        isinstance(turn, dict) and any(key in turn for key in SPEAKERS) for turn in value
    )


def split_of(path: Path, names: list[str]) -> tuple[str, str]:
    """Return which of a data set's splits is taken, and a note if there are others.

    Raises:
        UserFacingError: there are several, none of them called train.
    """
    if len(names) == 1:
        return names[0], ""
    if "train" not in names:
        raise UserFacingError(
            f"{path} has the splits {', '.join(names)}, none of them called train: choose one of "
            f"them, in a file or folder of its own."
        )
    return "train", f"of the splits {', '.join(names)} only train is read"


def _csv(path: Path, data: bytes | None, separator: str) -> Items:
    """Yield the rows of a CSV: of some bytes, or else of the file itself, as they are read."""
    csv.field_size_limit(10_000_000)
    with _readable(path), io.BytesIO(data) if data is not None else open_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        try:
            reader = csv.DictReader(text, delimiter=separator, strict=True)
            names = reader.fieldnames or ()
            if len(names) > MOST_COLUMNS:
                raise UserFacingError(
                    f"{path} has {len(names):,} columns, more than a table of pairs: save it anew."
                )
            if twice := sorted(name for name, count in Counter(names).items() if count > 1):
                raise UserFacingError(
                    f"{path} has more than one column {twice[0][:80]!r}: rename or delete one of "
                    f"them."
                )
            for row in reader:
                yield f"line {reader.line_num}", row
        except UnicodeDecodeError as error:
            raise UserFacingError(
                f"Line {_not_utf8(file)} of {path} is not UTF-8 text: save it anew as UTF-8 (from "
                f"Latin-1, for instance, iconv -f latin1 -t utf-8 does it)."
            ) from error
        except csv.Error as error:
            raise UserFacingError(f"{path} is not a CSV table ({error}): save it anew.") from error


def _not_utf8(file: BinaryIO) -> int:
    """Return the number of a file's first line that is not UTF-8, 0 if all are."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 0


def _csv_row(row: dict[Any, Any]) -> Any:
    if None in row:
        raise RowFault("has more cells than there are columns")
    return row


# --- Arrow ----------------------------------------------------------------------------------


def _folder(path: Path) -> Table:
    """Open a folder that datasets saved, or one with the Parquet files of one data set."""
    state, splits = path / "state.json", path / "dataset_dict.json"
    try:
        if splits.is_file():
            name, note = split_of(path, _inside(_state(splits)["splits"]))
            found = _folder(path / name)
            return Table(f"datasets folder, split {name}", found.items, found.parse, note)
        if state.is_file():
            names = _inside([entry["filename"] for entry in _state(state)["_data_files"]])
            files = [path / name for name in names]
            return Table("datasets folder", _arrow_files(files), _arrow_row)
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserFacingError(f"The datasets folder {path} is damaged: save it again.") from error
    files = _parquet_in(path) or _parquet_in(path / "data")
    if not files:
        raise UserFacingError(
            f"{path} is not a folder that datasets saved (it has no state.json): choose {KINDS}."
        )
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault(file.stem.partition("-")[0], []).append(file)
    name, note = split_of(path, list(parts))
    return Table(f"Parquet, {len(parts[name])} files", _parquet(parts[name]), _arrow_row, note)


def _parquet_in(folder: Path) -> list[Path]:
    return sorted(folder / it.name for it in entries(folder) if it.name.endswith(".parquet"))


def _state(path: Path) -> Any:
    """Return what datasets wrote of a folder."""
    return json.loads(read_file(path, SMALL))


def _inside(names: Any) -> list[str]:
    """Return the names of what is in a folder itself; raise ValueError where they are something
    else, or none."""
    if not isinstance(names, list) or not names:
        raise ValueError("no names")
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".."):
            raise ValueError(name)
    return names


def _parquet(files: list[Path]) -> Items:
    module = _arrow(files[0], "pyarrow.parquet")
    number = 0
    for path in files:
        with _undamaged(path):
            open_file(path).close()  # a pipe would be waited for
        # Without a buffer of its own it would hold all of a row group.
        with _undamaged(path), module.ParquetFile(path, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                yield from _rows_of(batch, number)
                number += batch.num_rows


def _arrow_files(files: list[Path]) -> Items:
    arrow, ipc = _arrow(files[0], "pyarrow"), _arrow(files[0], "pyarrow.ipc")
    number = 0
    for path in files:
        with _undamaged(path):
            with open_file(path) as file:
                whole = file.read(6) == b"ARROW1"
            source = arrow.OSFile(str(path))  # mapped memory kills who reads it if the file shrinks
            reader = ipc.open_file(source) if whole else ipc.open_stream(source)
            batches = map(reader.get_batch, range(reader.num_record_batches)) if whole else reader
            for batch in batches:
                yield from _rows_of(batch, number)
                number += batch.num_rows


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    with in_words("The table in", path, "it is damaged, so write or download it again"):
        yield


def _arrow(path: Path, module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserFacingError(
            f"Reading {path} needs the package pyarrow: run pip install -e . in the "
            f"folder of main.py."
        ) from error


def _rows_of(batch: Any, before: int) -> Items:
    """Yield where each row of a batch lies; it is made into a table where it is needed.

    A batch is checked before: Arrow believes the places in a damaged one, and the process dies.
    """
    batch.validate(full=True)
    for index in range(batch.num_rows):
        yield f"row {before + index + 1}", (batch, index)


def _arrow_row(item: tuple[Any, int]) -> dict[str, Any]:
    batch, index = item
    try:
        return {
            field.name: _plain(batch.column(at)[index].as_py(), field.type)
            for at, field in enumerate(batch.schema)
        }
    except (ValueError, ArithmeticError, LookupError, TypeError, RuntimeError) as error:
        raise RowFault(f"cannot be read ({reason(error)})") from error


def _plain(value: Any, kind: Any) -> Any:
    """Return a cell as JSON would hold it.

    Arrow gives each object the keys of all others, so those without a value go; what datasets
    keeps as JSON text (its feature Json) is read.
    """
    if isinstance(value, dict):
        return {
            name: _plain(part, kind.field(name).type)
            for name, part in value.items()
            if part is not None
        }
    if isinstance(value, list) and not str(kind).startswith("map"):
        return [_plain(part, kind.value_type) for part in value]
    is_json = isinstance(value, str) and "arrow.json" in str(kind)
    return json.loads(value) if is_json else value
