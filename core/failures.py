"""Errors that libraries raise: out of memory, a lost device, and the one line to quote.

Libraries tell these failures apart only by the words of their messages, and each has words of its
own. Knows nothing of what was being done when the error came.
"""

import errno
import sys

OUT_OF_MEMORY = (
    "out of memory",  # CUDA, MPS, HIP
    "not enough memory",  # torch's CPU allocator on Windows
    "can't allocate memory",  # and on Linux
    "cannot allocate memory",  # the C library
    "bad_alloc",
    "alloc_failed",  # cuBLAS, cuDNN
)
LOST = (
    "device-side assert",
    "illegal memory access",
    "illegal address",
    "illegal instruction",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable ecc error",
    "cudaerrorassert",
    "cudaerrorillegaladdress",
    "cudaerrorlaunchfailure",
)
"""After one of these every call to the device fails until the process is restarted."""
OF_A_DEVICE = ("cuda error", "hip error", "cublas_status", "cudnn_status")
"""After one of these the device may still work: a small call finds out."""


def reason(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop, to quote in a sentence.

    One that ends with a colon goes on. An error without a message is quoted by its class's name.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()]
    count = 2 if lines and lines[0].endswith(":") else 1
    return " ".join(lines[:count]).rstrip(" .:") or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out, of the machine or of a device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | OSError) and _says(error, OUT_OF_MEMORY)


def is_device_lost(error: BaseException) -> bool:
    """Return whether every further call to the device will fail in this process."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    return _says(error, LOST) or (_says(error, OF_A_DEVICE) and not _device_answers())


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _device_answers() -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.zeros(1, device="cuda").item()
    except RuntimeError as error:
        return is_out_of_memory(error)
    return True
