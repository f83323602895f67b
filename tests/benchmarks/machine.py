"""The machine that a benchmark runs on: its processor, how fast it reads memory, its GPU.

What is fastest differs between processors, and a forward of few tokens takes as long as reading the
weights does, so a benchmark's ratios say little without this.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
FEATURES = (
    "avx",
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "neon",
    "asimd",
    "sve",
)
"""Of a processor's instructions: those that matrix products choose their kernels by."""
READ, PIECE = 2**28, 2**24
"""Bytes that are read, more than caches hold, and those of one piece, read in about a millisecond:
on a shared machine some run of each piece is not interrupted."""
COPIED = 2**30
"""Bytes that a GPU copies."""
TIMES = 5


def machine() -> dict[str, Any]:
    """The machine as a benchmark's output names it.

    Returns:
        The processor, its speed of reading memory with torch's threads in use (GB/s), the GPU
        and its speed of copying (TB/s, bytes read and written) if there is one, the versions of
        what runs models, and how busy the machine was in the last minute.
    """
    import peft
    import torch
    import transformers

    name, features = processor(CPUINFO.read_text() if CPUINFO.exists() else "")
    threads = torch.get_num_threads()
    together = memory_speed()
    torch.set_num_threads(1)
    alone = memory_speed()
    torch.set_num_threads(threads)
    found = {
        "platform": platform.platform(),
        "processor": name,
        "instructions": features,
        "cores": cores(),
        "threads": threads,
        "memory, GB/s": together,
        "memory read by one thread, GB/s": alone,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }
    if torch.cuda.is_available():
        found |= gpu()
    if hasattr(os, "getloadavg"):
        found["load of the last minute"] = os.getloadavg()[0]
    return found


def processor(cpuinfo: str) -> tuple[str, str]:
    """The processor's name, and which of FEATURES it has, from the text of /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in fields:  # a virtual machine's name often says no more than the maker
        name += f" (family {fields['cpu family']}, model {fields.get('model', '?')})"
    there = (fields.get("flags") or fields.get("Features") or "").split()
    return name, " ".join(feature for feature in FEATURES if feature in there)


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_speed() -> float:
    """GB/s at which torch's threads read memory: sums of float32, the best run of each piece."""
    import torch

    pieces = torch.ones(READ // 4).split(PIECE // 4)
    rounds = [[seconds(piece.sum) for piece in pieces] for _ in range(TIMES)]
    fastest = [min(runs) for runs in zip(*rounds, strict=True)]
    return READ / sum(fastest) / 1e9


def gpu() -> dict[str, Any]:
    """The GPU in use and how fast it copies its own memory."""
    import torch

    free, total = torch.cuda.mem_get_info()
    source = torch.zeros(min(COPIED, free // 4), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    fastest = min(seconds(copy) for _ in range(TIMES))
    return {
        "gpu": torch.cuda.get_device_name(),
        "gpu memory, GB": total / 1e9,
        "gpu copies, TB/s": 2 * source.nbytes / fastest / 1e12,
        "cuda": torch.version.cuda or torch.version.hip,
    }


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one run."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
