"""Reading weights into memory of their own, which later writes to the files cannot change.

The libraries map a checkpoint's files into memory: what is written into such a file changes the
model that was loaded from it, and one that becomes shorter ends the process. Here transformers is
given tensors that are read through the file API when it wants them, one at a time, and PEFT those
of an adapter. Knows nothing of pairs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import torch

from core.checkpoints.describe import check_not_empty, weight_files
from core.checkpoints.gguf import read_gguf
from core.checkpoints.headers import TensorHeader, read_header
from core.errors import UserFacingError
from core.models.config import load_config, no_larger_than, offline
from core.models.gguf import read_gguf_model
from core.models.quantised import read_quantised

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu, "C64": torch.complex64, "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a safetensors file, as transformers takes one that is not read yet.

    It can be read by any thread, at the cost of copying it from a mapped file: two thirds of the
    processor time of safetensors' own ``backend="pread"`` (measured on 1.9 GB of bfloat16).
    """

    file: Path
    tensor: TensorHeader

    def get_shape(self) -> list[int]:
        """Return the shape, by the method that safetensors has."""
        return list(self.tensor.shape)

    def get_dtype(self) -> str:
        """Return safetensors' name of the number format."""
        return self.tensor.dtype

    def __getitem__(self, what: EllipsisType) -> torch.Tensor:
        """Read the whole tensor now and return it, on the CPU.

        Raises:
            UserFacingError: the file is too short, or the numbers are of a format that torch lacks.
            OSError: it cannot be read.
        """
        if self.tensor.dtype not in DTYPES:
            raise UserFacingError(
                f"{self.file} holds numbers of the format {self.tensor.dtype}, which cannot be "
                f"read: save the checkpoint in another one."
            )
        numbers = torch.empty(self.tensor.bytes, dtype=torch.uint8)
        room = numbers.numpy().data
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.tensor.start)
            while room:
                got = file.readinto(room)
                if not got:
                    raise UserFacingError(
                        f"{self.file} has become shorter while it was read: wait until it has "
                        f"been saved whole, then load it again."
                    )
                room = room[got:]
        return numbers.view(DTYPES[self.tensor.dtype]).view(self.tensor.shape)


def read_model(
    auto: Any,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    allow_pickle: bool = False,
    allow_remote_code: bool = False,
) -> tuple[Any, list[str]]:
    """Return a model from a folder or GGUF file, and the names of the weights that it lacks.

    Args:
        auto: transformers' class for the task: AutoModelForCausalLM, ...

    Raises:
        UserFacingError: a file becomes shorter meanwhile, or the weights have other sizes than
            config.json says.
        Exception: whatever transformers raises at such files.
    """
    if folder.is_file():
        file = read_gguf(folder)
        with offline(), no_larger_than(file.parameters, len(file.tensors), folder):
            model, missing = read_gguf_model(auto, folder, dtype)
        return model.to(device).eval(), missing
    config = load_config(folder, allow_remote_code)
    if getattr(config, "quantization_config", None):
        return read_quantised(auto, folder, config, device, dtype, allow_pickle, allow_remote_code)
    stored = _stored(folder, "model", allow_pickle)
    numbers = sum(
        it.tensor.count if isinstance(it, StoredTensor) else it.numel() for it in stored.values()
    )
    with offline():
        # Only for its class, and to count: from_pretrained takes no path with tensors.
        with no_larger_than(numbers, len(stored), folder), torch.device("meta"):
            shell = auto.from_config(config, trust_remote_code=allow_remote_code)
        model, found = type(shell).from_pretrained(
            None,
            config=shell.config,
            state_dict=stored,
            dtype=dtype,
            device_map=None if device.type == "cpu" else {"": device},
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            local_files_only=True,
        )
    for name, stored, built in sorted(found["mismatched_keys"])[:1]:
        raise UserFacingError(
            f"{name} in {folder} is of {_size(stored)} numbers, but by its config.json of "
            f"{_size(built)}: copy config.json from where the weights were saved, or choose "
            f"another checkpoint."
        )
    return model.to(device).eval(), sorted(found["missing_keys"])


def _size(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def read_adapter(folder: Path, allow_pickle: bool = False) -> dict[str, torch.Tensor]:
    """Return all tensors of an adapter by their names on disk, on the CPU.

    Raises:
        UserFacingError, OSError: as for StoredTensor.
        ValueError: there are no weights.
    """
    stored = _stored(folder, "adapter_model", allow_pickle)
    return {name: tensor[...] for name, tensor in stored.items()}


def _stored(
    folder: Path, stem: str, allow_pickle: bool
) -> Mapping[str, StoredTensor | torch.Tensor]:
    """Return the tensors of a checkpoint by name; those in pickle files are read at once."""
    files, pickles = weight_files(folder, stem)
    if files:
        return {
            name: StoredTensor(file, tensor)
            for file in files
            for name, tensor in read_header(file).items()
        }
    if not pickles or not allow_pickle:
        raise ValueError(f"there are no weights as safetensors ({stem}.safetensors) in {folder}")
    found: dict[str, torch.Tensor] = {}
    for file in pickles:
        found |= torch.load(file, map_location="cpu", weights_only=True)
    check_not_empty(folder, {name: it.numel() for name, it in found.items()})
    return found
