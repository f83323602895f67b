"""TensorBoard's event files: scalars by tag and step, without TensorBoard.

TensorBoard's own loader takes the frames one by one, which is 17 times slower, and brings seven
packages.

A file is a sequence of frames (length, CRC of the length, data, CRC of the data), each of them one
Event message of Protocol Buffers. Frames of one curve differ only in their time, step and value, so
one of each shape is taken apart by hand and all others like it at once. Everything that is no
scalar is passed over.
"""

import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from core.files import entries, is_folder
from core.runs.names import canonical
from core.runs.points import Floats, Integers, Piece, first_lost
from core.runs.reader import FORMATS, Curves, Format, Found
from core.runs.records import EVAL, Series
from core.runs.table import MOST_CURVES, Table, merged, named
from core.runs.tail import Tail, signature

Bytes = NDArray[np.uint8]
NAMES = "events.out.tfevents."
FOLDERS = ".", "logs"
"""Where trainers put event files in a run's folder, …"""
AROUND = "runs", "logs"
"""… and in which folders there one for each start is; transformers: runs/TIME_HOST."""
MOST_FILES, MOST_FOLDERS = 200, 1000
"""So many are looked at."""
MOST_FIELDS = 20_000
"""Fields of a message, the scalars of a step among them; a longer one is passed over."""
EVALUATED = "eval", "val", "validation"
"""Folders whose curves were measured on an evaluation set, whatever they are called."""
HEADER, FOOTER = 12, 4
"""Bytes of a frame before and after its data."""
SHAPES = 64
"""So many shapes of frames of one length are looked for; what is left is read one by one."""
PLUGIN = "scalars"
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}
"""Of the numbers in a tensor, by TensorFlow's number for their type."""
LISTS = {5: 1, 6: 2}
"""Fields of a tensor that list its numbers, float_val and double_val: which dtype each has."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar in a frame: where its parts lie in the data."""

    tag: str
    step: slice
    """The varint; empty where it is left out, which means 0."""
    value: slice
    dtype: np.dtype[Any]
    tensor: bool
    """A tensor is a scalar only if the tag's plugin says so."""
    plugin: str = ""


class Events:
    """Follows a run's event files: one for each time that it was started."""

    def __init__(self) -> None:
        self._found = Found()
        self._files: dict[Path, EventFile] = {}
        self._changed = False

    def look(self, place: Path) -> Found:
        """Return what the event files at ``place`` say now; as core.runs.reader.Reader.look."""
        for path, alone in _event_files(place).items():
            if path not in self._files:
                self._files[path] = EventFile(path, alone)
        for file in self._files.values():
            self._changed |= file.refresh()
        if not self._changed:
            return self._found
        self._changed = False
        series: dict[str, Series] = {}
        problems: list[str] = []
        for path in sorted(self._files, key=_started):
            file = self._files[path]
            series, said = _restarted(series, file.table.series(), file.purged)
            problems += said + file.table.problems(path.name)
            if file.damaged:
                problems.append(f"{path} is damaged; what follows the damage could not be read.")
            if file.tail.trouble:
                problems.append(file.tail.trouble)
        if series:
            self._found = Found((Curves("TensorBoard events", named(series), tuple(problems)),))
        return self._found


def _event_files(place: Path) -> dict[Path, bool]:
    """Return the event files in a run's folder, or the place itself if it is called one, each with
    whether its folder is one where trainers put them, and none inside another one of the run's."""
    if "tfevents" in place.name and not place.is_dir():
        return {place: True}
    folders = [place / folder for folder in FOLDERS]
    folders += [inner for folder in AROUND for inner in _folders(place / folder)]
    found = [path for folder in folders for path in _named(folder)]
    around = {path.parent for path in found}
    inner = [path for outer in {place, *around} for it in _folders(outer) for path in _named(it)]
    alone = dict.fromkeys(inner, False)
    alone |= {path: path.parent.parent not in around for path in found}
    if len(alone) <= MOST_FILES:
        return alone
    newest = set(sorted(alone, key=_written, reverse=True)[:MOST_FILES])
    return {path: alone[path] for path in alone if path in newest}


def _folders(place: Path) -> list[Path]:
    """Return the folders in a folder."""
    found = (place / entry.name for entry in entries(place) if is_folder(entry))
    return list(islice(found, MOST_FOLDERS))


def _named(folder: Path) -> list[Path]:
    """Return what is called an event file in a folder."""
    return [folder / entry.name for entry in entries(folder) if entry.name.startswith(NAMES)]


def _written(path: Path) -> int:
    """Sort the file that was written last behind the others."""
    mark = signature(path)
    return mark[1] if mark else 0


def _own_name(tag: str, path: Path, alone: bool) -> str:
    """Return the name of a curve by its tag and the folder of its file; "" if it is another run's.

    SummaryWriter.add_scalars("rewards", {"chosen": …}) writes the tag "rewards" into a folder
    rewards_chosen.

    Args:
        alone: it need not be told from files of other runs beside it.
    """
    folder, own = path.parent.name, tag.replace("/", "_") + "_"
    if folder.startswith(own):
        return f"{tag}/{folder.removeprefix(own)}"
    if folder in EVALUATED:
        return EVAL + tag
    return tag if alone or folder == "train" else ""


def _started(path: Path) -> tuple[int, str]:
    """Sort event files by when they were begun, which is in their names."""
    found = re.search(r"tfevents\.(\d+)", path.name)
    return int(found[1]) if found else 0, str(path)


def _restarted(
    before: Mapping[str, Series], after: Mapping[str, Series], purged: int | None
) -> tuple[dict[str, Series], list[str]]:
    """Return the curves of a run that was resumed, and a sentence on what was lost: what the first
    had logged beyond the step at which the second began.

    Args:
        purged: a step from which on the second says that it takes all back.
    """
    begins = {name: first_lost(after[name].steps) for name in before.keys() & after.keys()}
    training = [step for name, step in begins.items() if not name.startswith(EVAL)]
    start = min([*training, *([] if purged is None else [purged])], default=None)
    kept, lost = {}, 0
    for name, series in before.items():
        limits = [step for step in (start, begins.get(name)) if step is not None]
        until = int(np.searchsorted(series.steps, min(limits))) if limits else len(series.steps)
        lost = max(lost, len(series.steps) - until)
        if until:
            kept[name] = Series(series.steps[:until], series.values[:until])
    if lost and start is not None:
        words = "what earlier event files had logged from there on is left out"
        return merged(kept, after), [f"The run was resumed at step {start:,}: {words}."]
    return merged(kept, after), []


class EventFile:
    """Follows one event file."""

    def __init__(self, path: Path, alone: bool = True) -> None:
        """``alone``: as ``_own_name`` takes it."""
        self.table = Table()
        self.damaged = False
        """Whether something in its middle is no frame; what follows cannot be found."""
        self.purged: int | None = None
        """The step from which on it takes back what was logged before, where it does."""
        self.tail = Tail(path)
        self._alone = alone
        self._plugins: dict[str, str] = {}
        self._crowded = False
        """Whether it has more curves than a log of a training has."""

    def refresh(self) -> bool:
        """Read what was added; return whether anything is different."""
        before, changed = self.tail.trouble, False
        while (found := self.tail.more()) is not None:
            anew, data = found
            if anew:
                self.table, self._plugins, self.damaged, self.purged = Table(), {}, False, None
            starts, lengths, end, self.damaged = frames(data)
            curves: dict[str, list[Piece]] = defaultdict(list)
            for tag, pieces in self._points(data, starts, lengths).items():
                if name := _own_name(tag, self.tail.path, self._alone):
                    curves[canonical(name)] += pieces
            self.table.add_points(curves, len(starts))
            self.tail.used(data[:end])
            changed = True
            if self._crowded:  # what follows is only more of the same
                self.tail.skip(self.tail.left)
                self.tail.wait()
            if not self.tail.behind:
                break
            if self.damaged or (not end and not self._pass_over(data)):
                self.tail.wait()
                break
        return changed or before != self.tail.trouble

    def _pass_over(self, data: bytes) -> bool:
        """Pass over a frame that is larger than what is read at once, and so no scalar's; return
        whether all of it is there."""
        frame = HEADER + int.from_bytes(data[:8], "little") + FOOTER
        if frame > self.tail.left:
            return False
        self.tail.skip(frame)
        return True

    def _points(self, data: bytes, starts: Integers, lengths: Integers) -> dict[str, list[Piece]]:
        """Return the points of all frames, by tag."""
        found: dict[str, list[Piece]] = defaultdict(list)
        tensors: set[tuple[str, int]] = set()
        for length in np.unique(lengths[lengths > 0]):
            places = np.flatnonzero(lengths == length)
            alike = sliding_window_view(np.frombuffer(data, np.uint8), int(length))[starts[places]]
            for scalars, rows in shapes(alike):
                self.tail.check()
                if not scalars and (step := purge(alike[rows[0]].tobytes())) is not None:
                    self.table.purge(int(places[rows[0]]), step)
                    self.purged = step if self.purged is None else min(step, self.purged)
                for scalar in scalars:
                    if scalar.plugin:
                        self._plugins.setdefault(scalar.tag, scalar.plugin)
                    if scalar.tensor:
                        tensors.add((scalar.tag, len(found[scalar.tag])))
                    found[scalar.tag].append((places[rows], *values(alike[rows], scalar)))
                if len(found) > MOST_CURVES:
                    self._crowded = True
                    return found
        for tag, pieces in list(found.items()):
            kept = [
                piece
                for index, piece in enumerate(pieces)
                if (tag, index) not in tensors or self._plugins.get(tag) == PLUGIN
            ]
            found[tag] = kept
        return {tag: pieces for tag, pieces in found.items() if pieces}


def frames(data: bytes) -> tuple[Integers, Integers, int, bool]:
    """Return where the data of each whole frame starts, its length, where the last one ends, and
    whether what follows is damaged, not merely unfinished."""
    unpack, size = struct.Struct("<Q").unpack_from, len(data)
    starts, lengths, at = [], [], 0
    while at + HEADER <= size:
        (length,) = unpack(data, at)
        after = at + HEADER + length + FOOTER
        if after > size:
            break
        starts.append(at + HEADER)
        lengths.append(length)
        at = after
    heads = np.array([*starts, at + HEADER][: len(starts) + (at + HEADER <= size)], dtype=np.int64)
    right = _right(np.frombuffer(data, np.uint8), heads - HEADER)
    damaged = not right.all()
    whole = min(int(np.argmin(right)), len(starts)) if damaged else len(starts)
    # What was written after a frame that was cut short would be taken for the rest of it.
    if whole and not _has_crc(data, starts[whole - 1], lengths[whole - 1]):
        damaged, whole = True, whole - 1
    if whole < len(starts):
        at = starts[whole] - HEADER
    return np.array(starts[:whole], np.int64), np.array(lengths[:whole], np.int64), at, damaged


def shapes(alike: Bytes) -> Iterator[tuple[list[Scalar], Integers]]:
    """Yield frames of one length [n, length] by shape: its scalars, and the rows that have it."""
    left, turns = np.arange(len(alike)), 0
    while len(left):
        first = alike[left[0]]
        scalars = take_apart(first.tobytes())
        if not scalars or turns >= SHAPES:
            yield scalars, left[:1]
            left = left[1:]
        else:
            same = _alike(alike[left], first, scalars)
            yield scalars, left[same]
            left, turns = left[~same], turns + 1


def _alike(rows: Bytes, first: Bytes, scalars: list[Scalar]) -> NDArray[np.bool_]:
    """Return which rows differ from the first in time, step and values only."""
    mask = np.full(len(first), 255, dtype=np.uint8)
    for scalar in scalars:
        mask[scalar.value] = 0
        mask[scalar.step] = 0x80  # the bit that says whether a varint goes on
    if first[0] == 0x09:  # the time, a double
        mask[1:9] = 0
    same: NDArray[np.bool_] = ((rows & mask) == (first & mask)).all(axis=1)
    same[0] = True
    return same


def values(rows: Bytes, scalar: Scalar) -> tuple[Integers, Floats]:
    """Return steps and values of frames of one shape."""
    digits = (rows[:, scalar.step] & 0x7F).astype(np.int64)
    steps = (digits << (7 * np.arange(digits.shape[1]))).sum(axis=1)
    held = np.ascontiguousarray(rows[:, scalar.value]).view(scalar.dtype)[:, 0]
    return steps, held.astype(np.float64)


def take_apart(data: bytes) -> list[Scalar]:
    """Return the scalars of an Event message; none if it is no message."""
    step, summary = slice(0, 0), None
    try:
        for field, kind, part in _fields(data, 0, len(data)):
            if (field, kind) == (2, 0):
                step = part
            elif (field, kind) == (5, 2):
                summary = part
        if summary is None or step.stop - step.start > 9:  # ten bytes: a step below 0
            return []
        held = [p for f, k, p in _fields(data, summary.start, summary.stop) if (f, k) == (1, 2)]
        found = [_scalar(data, part, step) for part in held]
        return [scalar for scalar in found if scalar is not None]
    except (ValueError, IndexError):
        return []


def purge(data: bytes) -> int | None:
    """Return the step from which on an Event takes back what was logged before; None for others.

    It is one whose session_log = 7 says status = 1, START (SummaryWriter's purge_step).
    """
    step, starts = 0, False
    try:
        for field, kind, part in _fields(data, 0, len(data)):
            if (field, kind) == (2, 0):
                step, _ = _varint(data, part.start)
            elif (field, kind) == (7, 2):
                inside = _fields(data, part.start, part.stop)
                starts = any((f, k, data[p]) == (1, 0, b"\x01") for f, k, p in inside)
    except (ValueError, IndexError):
        return None
    return step if starts else None


def _scalar(data: bytes, part: slice, step: slice) -> Scalar | None:
    """Read a Summary.Value: tag = 1, simple_value = 2, tensor = 8, metadata = 9."""
    tag, plugin = "", ""
    value: tuple[slice, np.dtype[Any]] | None = None
    tensor = False
    for field, kind, inner in _fields(data, part.start, part.stop):
        if (field, kind) == (1, 2):
            tag = data[inner].decode("utf-8")
        elif (field, kind) == (2, 5):
            value = inner, DTYPES[1]
        elif (field, kind) == (8, 2):
            value, tensor = _tensor(data, inner), True
        elif (field, kind) == (9, 2):
            plugin = _plugin(data, inner)
    if not tag or value is None:
        return None
    return Scalar(tag, step, *value, tensor, plugin)


def _tensor(data: bytes, part: slice) -> tuple[slice, np.dtype[Any]] | None:
    """Read a TensorProto: dtype = 1, tensor_content = 4, float_val = 5, double_val = 6.
    None unless it is of one number."""
    dtype, held = None, []
    for field, kind, inner in _fields(data, part.start, part.stop):
        if (field, kind) == (1, 0):
            dtype = DTYPES.get(data[inner.start])
        elif (field, kind) == (4, 2) or (field in LISTS and kind in (1, 2, 5)):
            held.append((inner, None if field == 4 else DTYPES[LISTS[field]]))
    if dtype is None or len(held) != 1:
        return None
    inner, own = held[0]
    dtype = own or dtype
    return (inner, dtype) if inner.stop - inner.start == dtype.itemsize else None


def _plugin(data: bytes, part: slice) -> str:
    """Return a SummaryMetadata's plugin_name = 1, in plugin_data = 1."""
    for field, kind, inner in _fields(data, part.start, part.stop):
        if (field, kind) == (1, 2):
            for field, kind, name in _fields(data, inner.start, inner.stop):
                if (field, kind) == (1, 2):
                    return data[name].decode("utf-8")
    return ""


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, slice]]:
    """Yield the fields of a message: number, wire type, where the payload lies.

    Raises:
        ValueError, IndexError: it is no message, or one of too many fields.
    """
    for _ in range(MOST_FIELDS):
        if at >= end:
            return
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            _, after = _varint(data, at)
        elif kind == 1:
            after = at + 8
        elif kind == 2:
            length, at = _varint(data, at)
            after = at + length
        elif kind == 5:
            after = at + 4
        else:
            raise ValueError(kind)
        if after > end:
            raise ValueError(after)
        yield key >> 3, kind, slice(at, after)
        at = after
    if at < end:
        raise ValueError(end)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError(at)


def _crc_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table.astype(np.uint32)


_CRC = _crc_table()
"""CRC-32C, byte by byte."""
MASK = 0xA282EAD8
"""What TensorFlow adds to a CRC after turning it by 15 bits."""


def _has_crc(data: bytes, start: int, length: int) -> bool:
    """Return whether the data of a frame has the masked CRC that follows it."""
    import google_crc32c

    crc: int = google_crc32c.value(data[start : start + length])
    masked = ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF
    return masked == int.from_bytes(data[start + length : start + length + FOOTER], "little")


def _right(data: Bytes, heads: Integers) -> NDArray[np.bool_]:
    """Return whether the length at each of ``heads`` has the masked CRC that follows it."""
    crc = np.full(len(heads), 0xFFFFFFFF, dtype=np.uint32)
    for byte in range(8):
        crc = _CRC[(crc ^ data[heads + byte]) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    masked = ((crc >> 15) | (crc << 17)) + np.uint32(MASK)
    said = np.zeros(len(heads), dtype=np.uint32)
    for byte in range(4):
        said |= data[heads + 8 + byte].astype(np.uint32) << (8 * byte)
    right: NDArray[np.bool_] = masked == said
    return right


FORMATS["TensorBoard events"] = Format(Events, standing=1)
