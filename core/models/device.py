"""The device and number format that models run in, and what this machine has free.

Knows nothing of checkpoints.
"""

import os
from pathlib import Path

import torch

from core.errors import UserFacingError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SPARE_CORES_FROM = 5
"""With this many cores or more, one is left to the window."""


def choose_device(name: str) -> torch.device:
    """Return the device named, or the best there is: CUDA, then MPS, then CPU.

    Raises:
        UserFacingError: the named device is unknown or not on this machine.
    """
    counts = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    there = [kind for kind, count in counts.items() if count]
    if name == "auto":
        return torch.device(there[0])
    kind, colon, number = name.partition(":")
    if colon and not (number.isdecimal() and int(number) < counts.get(kind, 0)):
        kind = ""
    if kind not in there:
        raise UserFacingError(f"There is no device '{name}' here: choose auto, {', '.join(there)}.")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format named; "auto" is float32 on CPU and MPS, bfloat16 on CUDA.

    Raises:
        UserFacingError: the name is unknown.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise UserFacingError(f"There is no number format '{name}': choose {', '.join(DTYPES)}.")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a number format, such as "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def prepare(device: torch.device) -> None:
    """Choose attention kernels for a device, before the first forward.

    cuDNN's attention plans anew for every shape, which took half of all CPU time of an edit on an
    H200 (0.7 to 1.0 ms in each layer, torch 2.11): the flash and memory-efficient kernels do not.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)


def free_bytes(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes; None where it cannot be known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu" and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return _available_ram()
    return None


def _available_ram() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def leave_the_window_a_core() -> None:
    """Set torch's threads before its first operation, so that the window has a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores and cores >= SPARE_CORES_FROM:
        torch.set_num_threads(cores - 1)
