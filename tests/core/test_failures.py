"""What libraries say when memory runs out or a device is lost, and what only sounds like it."""

import errno
import subprocess
import sys

import pytest
import torch

from core.errors import Cancelled, UserFacingError
from core.failures import in_words, is_device_lost, is_out_of_memory, reason

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
    assert reason(OSError(errno.ENOENT, "No such file")) == "No such file"
    assert reason(KeyError("rope_theta")) == "'rope_theta' is missing, or is not known"
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


class Panic(BaseException):
    """What libraries in Rust raise, which is no Exception."""


HUGE = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    "error",
    [
        *OTHERS,
        HUGE,
        Panic("called `Option::unwrap()` on a `None` value"),
        SystemExit(2),
        RecursionError("maximum recursion depth exceeded"),
        AttributeError("'NoneType' object has no attribute 'size'"),
        TypeError("'<' not supported between instances of 'str' and 'int'"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ModuleNotFoundError("No module named 'sentencepiece'", name="sentencepiece"),
        StopIteration(),
        ValueError("x" * 10_000),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:40],
)
def test_what_a_library_raises_becomes_a_sentence_with_the_name_and_the_cure(error):
    with (
        pytest.raises(UserFacingError) as caught,
        in_words("The tokenizer in", "/models/a", "copy it again"),
    ):
        raise error
    said = str(caught.value)
    assert said.startswith("The tokenizer in /models/a cannot be read")
    assert said.endswith(("copy it again.", "try again."))
    assert len(said) < 400 and "\n" not in said
    for inside in ("NoneType", "unwrap", "instances", "recursion depth", "alloc_cpu", "None)"):
        assert inside not in said
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [*MEMORY, *LOST, UserFacingError("Said already."), Cancelled(), KeyboardInterrupt()],
    ids=lambda error: f"{type(error).__name__} {error}"[:40],
)
def test_what_is_not_of_the_file_passes(error):
    with pytest.raises(type(error)) as caught, in_words("The model in", "a", "copy it again"):
        raise error
    assert caught.value is error
