"""What a GGUF file says of the model in it, and whether transformers reads all of that.

Reads the file's header, not the weights. Knows nothing of loading.
"""

import mmap
import re
import struct
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from core.checkpoints.config import check_numbers
from core.checkpoints.headers import LARGEST, MOST_TENSORS, SIDES
from core.errors import UserFacingError

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
VERSIONS = (2, 3)
NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
TEXT, LIST = 8, 9
"""The kinds of values in a header; those of NUMBERS by their letters in ``struct``."""
PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
"""The images' part of a vision-language model, which lies beside its text part."""
MATTERS = re.compile(r"rope\.scaling\.(type|factor|attn_factor)|\w*softcapping|\w*_scale|"
                     r"attention\.(scale|temperature_\w+|sliding_window|clamp_kqv)")  # fmt: skip
"""Keys behind the architecture's name that change a model's numbers."""
MOST_KEYS, MOST_VALUES, LONGEST = 2**16, 2**22, 2**24
"""Settings, values in one of them, and bytes of a text, at most."""
FACTORS = "rope_freqs.weight"
"""The tensor of divisors of the rotary frequencies, as Llama 3.1 has them."""


@dataclass(frozen=True)
class GgufFile:
    """The header of a GGUF file; 0 and "" stand for what it does not say."""

    architecture: str
    settings: dict[str, Any]
    """By their names behind the architecture's: {"context_length": 2048, …}."""
    tokens: int
    tensors: dict[str, tuple[int, ...]]
    """The shapes, in torch's order."""
    dtype: str
    """The number format of most of the weights, as torch or else GGUF names it: "q8_0"."""
    parameters: int
    bytes: int

    def setting(self, name: str) -> int:
        """Return a whole number that is said, of a list the largest one."""
        value = self.settings.get(name, 0)
        return int(max(value, default=0) if isinstance(value, list) else value)


def gguf_file(path: Path) -> Path | None:
    """Return the GGUF file that a path means: itself, or the only model in a folder; else None.

    Raises:
        UserFacingError: there are several, or one that was split.
    """
    if path.is_file():
        found = [path] if path.suffix.lower() == ".gguf" else []
    else:
        files = sorted(it for it in path.iterdir() if it.suffix.lower() == ".gguf")
        found = [it for it in files if not PROJECTOR.search(it.name)]
    if found and (part := PART.fullmatch(found[0].name)):
        raise UserFacingError(
            f"{found[0]} is one of {int(part[3])} parts of a GGUF file: join them with "
            f"'llama-gguf-split --merge {part[1]}-00001-of-{part[3]}.gguf {part[1]}.gguf'."
        )
    if len(found) > 1:
        raise UserFacingError(
            f"{path} has {len(found)} GGUF files: choose one of them, such as {found[0]}."
        )
    return found[0] if found else None


def read_gguf(path: Path) -> GgufFile:
    """Return what the header of a GGUF file says.

    Raises:
        UserFacingError: it is damaged, or the package ``gguf`` is not installed.
    """
    try:
        stat = path.stat()
        found = _read(path, stat.st_mtime_ns, stat.st_size)
    except ImportError as error:
        raise UserFacingError(
            f"{path} is a GGUF file, which the package gguf reads: pip install gguf."
        ) from error
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise UserFacingError(
            f"{path} is no whole GGUF file: copy or download it again."
        ) from error
    check_numbers(path, found.settings)
    return found


@lru_cache(maxsize=8)
def _read(path: Path, written: int, size: int) -> GgufFile:
    """Return what a file's header says; ``written`` and ``size`` tell another file apart.

    The package's own reader makes an object of every token, which takes ten seconds.
    """
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 0

        def take(form: str) -> tuple[Any, ...]:
            nonlocal at
            values = struct.unpack_from(f"<{form}", data, at)
            at += struct.calcsize(f"<{form}")
            return values

        def text() -> str:
            nonlocal at
            (length,) = take("Q")
            if length > LONGEST:
                raise ValueError(f"a text of {length} bytes")
            at += length
            return data[at - length : at].decode()

        def value(kind: int) -> Any:
            """Return a value; of a list of texts only their number."""
            nonlocal at
            if kind == TEXT:
                return text()
            if kind != LIST:
                return take(NUMBERS[kind])[0]
            inner, count = take("IQ")
            if count > MOST_VALUES:
                raise ValueError(f"a list of {count} values")
            if inner != TEXT:
                return list(take(f"{count}{NUMBERS[inner]}"))
            for _ in range(count):
                at += 8 + int.from_bytes(data[at : at + 8], "little")
                if at > size:
                    raise ValueError("cut short")
            return count

        magic, version, count, keys = take("4sIQQ")
        if magic != b"GGUF" or version not in VERSIONS:
            raise ValueError("another format or version")
        if keys > MOST_KEYS or count > MOST_TENSORS:
            raise ValueError(f"{keys} settings and {count} tensors")
        fields = {text(): value(take("I")[0]) for _ in range(keys)}
        shapes: dict[str, tuple[int, ...]] = {}
        sizes: Counter[str] = Counter()
        end = 0
        for _ in range(count):
            name = text()
            (sides,) = take("I")
            shapes[name] = take(f"{min(sides, SIDES + 1)}Q")[::-1]
            if sides > SIDES or max(shapes[name], default=0) > LARGEST:
                raise ValueError(f"{name} of {sides} dimensions")
            kind, start = take("IQ")
            form = GGMLQuantizationType(kind)
            block, block_bytes = GGML_QUANT_SIZES[form]
            here = prod(shapes[name]) // block * block_bytes
            sizes[form.name] += here
            end = max(end, start + here)
    if at + end > size:
        raise ValueError("cut short")
    architecture = str(fields["general.architecture"])
    most = sizes.most_common(1)[0][0]
    return GgufFile(
        architecture=architecture,
        settings={
            name.removeprefix(f"{architecture}."): it
            for name, it in fields.items()
            if name.startswith(f"{architecture}.")
        },
        tokens=int(fields.get("tokenizer.ggml.tokens", 0)),
        tensors=shapes,
        dtype=DTYPES.get(most, most.lower()),
        parameters=sum(map(prod, shapes.values())),
        bytes=sizes.total(),
    )


def check_read_whole(path: Path, config: Any) -> None:
    """Check that transformers' configuration of a GGUF file says all that changes numbers.

    Raises:
        UserFacingError: the file says something that transformers passes over.
    """
    from transformers.integrations import GGUF_CONFIG_MAPPING

    file = read_gguf(path)
    known = GGUF_CONFIG_MAPPING.get(file.architecture.replace("-", "_"), {})
    lost = [
        f"{name} = {value}"
        for name, value in file.settings.items()
        if MATTERS.fullmatch(name) and name not in known and value != "none"
        and getattr(config, name.rpartition(".")[2], None) != value
    ]  # fmt: skip
    lost += [it for it in file.tensors if it.startswith("rope_") and it != FACTORS]
    if lost:
        raise UserFacingError(
            f"{path} says {lost[0]}, which transformers does not read from GGUF, so the numbers "
            f"would be another model's: choose the folder of its safetensors."
        )
