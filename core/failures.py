"""Which errors mean that memory ran out, and which that the device is lost to this process.

Libraries say both in words alone, and not all in the same. Knows nothing of what was being done.
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
"""After one of these every call to the device fails, until the process is started anew."""
OF_A_DEVICE = ("cuda error", "hip error", "cublas_status", "cudnn_status")
"""These may leave the device as it was: it is asked."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of a device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | OSError) and _says(error, OUT_OF_MEMORY)


def is_device_lost(error: BaseException) -> bool:
    """Whether the device does nothing more for this process, whatever it is asked."""
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
