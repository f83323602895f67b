"""Session files (.qscope): what a window holds and what the models said, to open without them.

A session file is a zip archive whose members are stored, not compressed, in this order:

==================== ============================================================================
session.json         UTF-8 JSON: the record of the session (core.session_record: pair, beta, texts,
                     how the window showed them), and under "recorded" what the numbers are of
                     (core.session_numbers). Its "version" is that of all of the file.
numbers.safetensors  the numbers: tables of equally long columns (core.session_numbers); left out
                     where there are none
thumbnail.png        a picture of the window; left out where there is none
==================== ============================================================================

Any tool that knows zip, JSON and safetensors reads them. Rewards are in none of them: they are beta
times a difference of two columns of log-probs.

A file is written whole or not at all, and never over one that could not be read whole, or that is
none of ours. Reading takes no more than is meant; each member is checked by its checksum, and what
is damaged is left out and said. Members are read from the beginning of the file on, so that of one
that was cut short all is read that is there. Knows records and bytes; knows no models or windows.
"""

import io
import os
import struct
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

import msgspec
from numpy.typing import NDArray

from core.errors import UserFacingError
from core.failures import in_words
from core.files import is_possible, open_file
from core.recording import Recording
from core.safe_files import write_synced
from core.session_numbers import pack, unpack
from core.session_record import LARGEST, VERSION, SessionRecord, decode_all, encode

RECORD, NUMBERS, THUMBNAIL = "session.json", "numbers.safetensors", "thumbnail.png"
MOST = {RECORD: LARGEST, NUMBERS: 512_000_000, THUMBNAIL: 4_000_000}
"""Bytes of each member at most."""
PNG = b"\x89PNG\r\n\x1a\n"
_MEMBER = struct.Struct("<4s5H3I2H")
"""The header before a member's name: see 4.3.7 of PKWARE's APPNOTE."""
_NOT_PLAIN = 1 | 8
"""Flags of a member that is encrypted, or whose size stands behind it."""
_END = 22
"""Bytes of what ends an archive."""
MOST_LISTING = 100_000
"""Bytes of the list of members, which stands behind them."""
MOST_HEADER = 1_000_000
"""Bytes of the header of the numbers at most; it lists some forty columns."""
MOST_MEMBERS = 8
"""Members that are looked at; there are three."""
LARGE = ("trees", "states", "responses")
"""What is left out of a recording that is too large, in this order."""
_WHAT = {RECORD: "its record", NUMBERS: "its table of numbers", THUMBNAIL: "its picture"}


@dataclass(frozen=True)
class Opened:
    """What could be read of a session file."""

    record: SessionRecord
    recording: Recording
    thumbnail: bytes
    """A PNG picture; b"" for none."""
    remarks: tuple[str, ...]
    """Clauses on what could not be read ("its numbers are damaged")."""

    @property
    def whole(self) -> bool:
        """Return whether all was read and understood: only then is it written over."""
        return not self.remarks


def write(
    path: Path, record: SessionRecord, recording: Recording, thumbnail: bytes = b""
) -> tuple[str, ...]:
    """Put a session file in place; a crash leaves the old one or this one.

    Returns clauses on what had to be left out, as some number in it is none that it may be, or as
    it would be too large ("2 of its trees are left out").

    Args:
        recording: a snapshot, if answers are noted on another thread meanwhile.
        thumbnail: a PNG picture; b"" for none. One that is too large is left out.

    Raises:
        UserFacingError: it cannot be written, or would take the place of what could not be read
            whole, as of a newer Qscope; one sentence says what to do.
    """
    if not is_possible(path):
        raise UserFacingError(f"No file can have the name {str(path)[:60]!r}: choose another.")
    path = Path(os.path.realpath(path))  # what a link leads to, which stays a link
    if os.path.lexists(path):
        _check_may_go(path)
    data, remarks = _packed(record, recording, thumbnail)
    try:
        write_synced(path, data)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserFacingError(
            f"{path} cannot be written ({why}): save the session under another name."
        ) from error
    return remarks


def _check_may_go(path: Path) -> None:
    """Check that a file may be written over: it is a session file of which all was understood."""
    try:
        opened = read(path)
    except UserFacingError as error:
        raise UserFacingError(
            f"{path} is no session file, or damaged: save the session under another name."
        ) from error
    if opened.record.version > VERSION:
        raise UserFacingError(
            f"{path} was written by a newer Qscope: save the session under another name."
        )
    if not opened.whole:
        raise UserFacingError(
            f"{path} could not be read whole ({opened.remarks[0]}): save the session under another "
            f"name."
        )


def _packed(
    record: SessionRecord, recording: Recording, thumbnail: bytes
) -> tuple[bytes, tuple[str, ...]]:
    """Return the bytes of a session file, and clauses on what is left out."""
    from safetensors.numpy import save

    record = msgspec.structs.replace(record, version=VERSION)
    left_out: tuple[str, ...] = ()
    for part in ("", *LARGE):
        if part:
            recording = _without(recording, part)
            left_out = (*left_out, f"its {part} are left out, as it would be too large")
        packed = pack(recording)
        numbers = save(packed.tensors) if packed.tensors else b""
        with suppress(UserFacingError):
            data = encode(record, packed.plain if recording.info or recording else None)
            if len(numbers) <= MOST[NUMBERS]:
                break
    else:
        data = encode(record)
        numbers = b""
    members = {RECORD: data, NUMBERS: numbers}
    if len(thumbnail) <= MOST[THUMBNAIL] and thumbnail.startswith(PNG):
        members[THUMBNAIL] = thumbnail
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            if content:
                archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue(), (*packed.remarks, *left_out)


def _without(recording: Recording, part: str) -> Recording:
    """Return a recording without its trees, its states or its responses."""
    rest = recording.snapshot()
    parts: dict[str, dict[Any, Any]] = {
        "trees": rest.trees,
        "states": rest.states,
        "responses": rest.responses,
    }
    parts[part].clear()
    return rest


# --- reading ------------------------------------------------------------------------------------


def read(path: Path) -> Opened:
    """Return what a session file holds, as far as it can be read.

    Raises:
        UserFacingError: it cannot be read, or not even texts are in it.
    """
    try:
        with open_file(path) as file:
            members, remarks = _members(file)
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror or error}): check that it is there and its "
            f"permissions."
        ) from error
    if RECORD not in members:
        raise UserFacingError(f"{path} is no session file of Qscope, or damaged: choose another.")
    found, recorded = decode_all(members[RECORD])
    if found.record is None:
        raise UserFacingError(f"{path} cannot be read ({found.remark}): choose another.")
    remarks += [found.remark] if found.remark else []
    recording = Recording()
    if recorded is not None:
        tensors = _tensors(members.get(NUMBERS, b""), path, remarks)
        recording, more = unpack(recorded, tensors)
        remarks += more
    thumbnail = members.get(THUMBNAIL, b"")
    if thumbnail and not thumbnail.startswith(PNG):
        remarks.append("its picture is damaged")
        thumbnail = b""
    return Opened(found.record, recording, thumbnail, tuple(remarks))


def _members(file: BinaryIO) -> tuple[dict[str, bytes], list[str]]:
    """Return the members by name, and clauses on those that are left out.

    The record is read even if its checksum is wrong, as its texts may be all that is left.
    """
    members: dict[str, bytes] = {}
    remarks: list[str] = []
    seen = 0
    while len(head := file.read(_MEMBER.size)) == _MEMBER.size and head.startswith(b"PK\3\4"):
        seen += 1
        if seen > MOST_MEMBERS:
            remarks.append("it has more parts than Qscope writes")
            return members, remarks
        _, _, flags, method, _, _, checksum, size, full, name_size, more = _MEMBER.unpack(head)
        name = file.read(name_size).decode("utf-8", "replace")
        file.seek(more, os.SEEK_CUR)
        if flags & _NOT_PLAIN or method != zipfile.ZIP_STORED or size != full:
            remarks.append("it is packed in another way than Qscope does")
            return members, remarks
        if name not in MOST or name in members or size > MOST[name]:
            remarks.append(f"{_WHAT.get(name, 'a part that is not known')} is left out")
            file.seek(size, os.SEEK_CUR)
            continue
        content = file.read(size)
        if crc32(content) != checksum:
            remarks.append(f"{_WHAT[name]} is damaged")
            if name != RECORD:
                continue
        members[name] = content
    rest = head + file.read(MOST_LISTING)
    if not rest.startswith(b"PK\1\2") or rest[-_END : -_END + 4] != b"PK\5\6":
        remarks.append("its end is missing")
    return members, remarks


def _tensors(data: bytes, path: Path, remarks: list[str]) -> dict[str, NDArray[Any]]:
    """Return tensors by name; none, and a remark, where the bytes are damaged."""
    from safetensors.numpy import load

    if not data:
        return {}
    if int.from_bytes(data[:8], "little") <= MOST_HEADER:
        with suppress(UserFacingError), in_words("The numbers in", path, "choose another"):
            found: dict[str, NDArray[Any]] = load(data)
            return found
    remarks.append("its table of numbers is damaged")
    return {}
