"""What libraries say when memory runs out or a device is lost, and what only sounds like it."""

import errno
import subprocess
import sys

import pytest
import torch

from core.failures import is_device_lost, is_out_of_memory, reason

MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.06 GB)"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
]
LOST = [
    RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be ..."),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered", 700),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered"),
    RuntimeError("CUDA error: misaligned address"),
]
OTHERS = [
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    ValueError("out of memory of what was said"),
    OSError(errno.ENOENT, "No such file or directory"),
    KeyError(7),
]


@pytest.mark.parametrize("error", MEMORY, ids=lambda error: str(error)[:40])
def test_memory_that_ran_out_is_recognised(error):
    assert is_out_of_memory(error) and not is_device_lost(error)


def test_an_error_is_quoted_by_its_first_line():
    assert reason(ValueError(" It is too long.\nAnd more.")) == "It is too long"
    assert reason(OSError(errno.ENOENT, "No such file")) == "[Errno 2] No such file"
    assert reason(KeyError()) == "KeyError"
    assert reason(ValueError("Of a field:\n    It is too long.\n")) == "Of a field: It is too long"


@pytest.mark.parametrize("error", LOST, ids=lambda error: str(error)[:40])
def test_a_lost_device_is_recognised(error):
    assert is_device_lost(error) and not is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: str(error)[:40])
def test_other_errors_are_neither(error):
    assert not is_device_lost(error) and not is_out_of_memory(error)


@pytest.mark.parametrize(("answer", "lost"), [(0, False), ("out of memory", False), ("x", True)])
def test_after_an_error_that_may_pass_the_device_is_asked(monkeypatch, answer, lost):
    def zeros(*_, **__):
        if answer:
            raise RuntimeError(f"CUDA error: {answer}")
        return torch.ones(1)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch, "zeros", zeros)
    assert is_device_lost(RuntimeError("CUDA error: invalid configuration argument")) is lost


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process as Linux does")
def test_what_torch_really_says_on_linux():
    code = (
        "import resource, torch\n"
        "from core.failures import is_out_of_memory\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))\n"
        "try:\n    torch.empty(2**30)\n"
        "except Exception as error:\n    print(is_out_of_memory(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
