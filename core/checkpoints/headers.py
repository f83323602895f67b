"""The header of a safetensors file: the tensors that it lists, and whether the file is whole.

Reads a few kilobytes however large the weights are. safetensors' own safe_open is as fast, but does
not say where a tensor lies, nor what a damaged file lacks. Knows nothing of models.
"""

import json
from dataclasses import dataclass
from math import prod
from operator import index
from pathlib import Path
from typing import Any

from core.errors import UserFacingError
from core.files import open_file

MAX_HEADER_BYTES = 2**25
"""Bytes of a header at most; the format allows three times as many."""
MOST_TENSORS = 2**17
"""Tensors of a checkpoint at most; those of the largest models have some 100,000."""
LONGEST_NAME = 500
"""Bytes of a tensor's name at most."""
SIDES, LARGEST = 16, 2**48
"""Dimensions of a tensor, and what a number in its entry may be, at most."""
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F32": 32, "I32": 32, "U32": 32,
    "BF16": 16, "F16": 16, "I16": 16, "U16": 16,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I8": 8, "U8": 8, "BOOL": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
GIT_LFS = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """A tensor as the header of its file states it."""

    shape: tuple[int, ...]
    dtype: str
    """The format's name: "BF16"."""
    bytes: int
    start: int = 0
    """The offset of its data in the file, in bytes."""

    @property
    def count(self) -> int:
        """The number of its numbers."""
        return prod(self.shape)


def read_header(path: Path) -> dict[str, TensorHeader]:
    """Return the tensors of a safetensors file by name.

    Raises:
        UserFacingError: the file cannot be read, is cut short, or is not safetensors.
    """
    try:
        size = path.stat().st_size
        with open_file(path) as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if (start + file.read(len(GIT_LFS) - 8)).startswith(GIT_LFS):
                raise UserFacingError(
                    f"{path} is only a Git LFS pointer, not the weights: run 'git lfs pull' there."
                )
            if size < 8:
                raise _truncated(path, f"it has {size} bytes")
            if length > MAX_HEADER_BYTES:
                raise _corrupt(path, "its header has no possible length")
            if 8 + length > size:
                raise _truncated(path, "its header is longer than the file")
            file.seek(8)
            header = file.read(length)
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    return _tensors(path, _parse(path, header), size, 8 + length)


def _parse(path: Path, header: bytes) -> dict[str, object]:
    seen = 0

    def entry(found: dict[str, object]) -> dict[str, object]:
        # A function of Python's own also lets other threads run, which reading JSON does not.
        nonlocal seen
        seen += 1
        if seen > MOST_TENSORS:
            raise _corrupt(path, f"its header lists more than {MOST_TENSORS:,} tensors")
        return found

    try:
        parsed = json.loads(header, object_hook=entry)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, "its header is not JSON") from error
    if not isinstance(parsed, dict):
        raise _corrupt(path, "its header is not a table of tensors")
    parsed.pop("__metadata__", None)
    return parsed


def _tensors(
    path: Path, parsed: dict[str, object], size: int, first: int
) -> dict[str, TensorHeader]:
    """Return the tensors, each entry checked against its own shape, and all of them against a file
    of ``size`` bytes whose data begin at ``first``."""
    data = size - first
    tensors: dict[str, TensorHeader] = {}
    spans: list[tuple[int, int]] = []
    for name, entry in parsed.items():
        try:
            shape, (begin, end) = _numbers(entry, "shape"), _numbers(entry, "data_offsets")
            dtype = str(entry["dtype"])  # type: ignore[index]
            if len(name.encode()) > LONGEST_NAME:
                raise ValueError
        except (TypeError, KeyError, ValueError) as error:
            raise _corrupt(path, f"its entry for {_spelled(name)} is malformed") from error
        tensor = TensorHeader(shape, dtype, end - begin, first + begin)
        right = (tensor.count * BITS[dtype] + 7) // 8 if dtype in BITS else tensor.bytes
        if begin < 0 or end < begin or any(side < 0 for side in shape) or tensor.bytes != right:
            raise _corrupt(path, f"the size of {name} contradicts its shape")
        tensors[name] = tensor
        spans.append((begin, end))
    reached = 0
    for begin, end in sorted(spans):
        if begin != reached:
            raise _corrupt(path, "its tensors overlap or leave gaps")
        reached = end
    if reached > data:
        raise _truncated(path, f"{reached - data:,} bytes are missing at its end")
    if reached < data:
        raise _corrupt(path, f"{data - reached:,} bytes too many follow its tensors")
    return tensors


def _numbers(entry: Any, key: str) -> tuple[int, ...]:
    """Return the whole numbers of an entry; raise ValueError or TypeError where they are none."""
    numbers = tuple(map(index, entry[key][:SIDES]))
    if len(entry[key]) > SIDES or max(numbers, default=0) > LARGEST:
        raise ValueError
    return numbers


def _truncated(path: Path, why: str) -> UserFacingError:
    return UserFacingError(f"{path} is cut short ({why}): copy or download it again.")


def _corrupt(path: Path, why: str) -> UserFacingError:
    return UserFacingError(f"{path} is damaged ({why}): copy or download it again.")


def _spelled(name: str) -> str:
    """Return the beginning of a name in letters that can be shown; JSON can spell others."""
    return name[:80].encode("utf-8", "backslashreplace").decode()
