"""Errors that libraries raise: out of memory, a lost device, and the words to say them in.

Libraries tell these failures apart only by the words of their messages, and each has words of its
own. ``in_words`` stands around every call into a library that reads what a user chose: whatever it
raises becomes one sentence. Knows nothing of what was being done when the error came.
"""

import errno
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Cancelled, UserFacingError

log = logging.getLogger(__name__)

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


INTERNALS = re.compile(
    r"has no attribute|NoneType|positional argument|keyword argument|<class|<function|<object"
    r"|object is not|indices must be|must be str|not supported between|unsupported operand"
    r"|unsupported format|can't multiply sequence|cannot unpack|not enough values|too many values"
    r"|expected str|slice indices|unhashable|interpreted as an integer|not iterable|__\w+__|::\w"
    r"|has no len|untagged enum|invalid literal|torch\.Size|object at 0x|INTERNAL ASSERT"
    r"|argument must be|could not convert string|^expected Tensor|^\w+\(\)"
)
"""Of messages that are for whoever wrote the library."""
KIND = re.compile(
    r"(?:Class validation error for validator '\w+': |Validation error for field '\w+': )?"
    r"(?:\b[A-Z]\w*(?:Error|Exception)\b: ?(?:[Ee]rror:? )?)+"
)
"""A class of errors that a message begins with, or quotes."""
OF_THE_INSIDE = (AttributeError, AssertionError, IndexError, NameError, ArithmeticError)
LONGEST = 240
"""Characters of a message that are quoted."""
ODD = "it says something else than such files do"


@contextmanager
def in_words(what: str, path: object, cure: str, cannot: str = "be read") -> Iterator[None]:
    """Turn whatever a library raises inside into one sentence for the user.

    ``in_words("The tokenizer in", folder, "copy its files again")`` says "The tokenizer in FOLDER
    cannot be read (why): copy its files again." What is meant already (UserFacingError, Cancelled,
    KeyboardInterrupt), memory that ran out and a lost device pass through. A size that no machine
    has room for, as a damaged file may name it, does not, nor do the errors that are no Exception:
    SystemExit, and the panics of libraries in Rust.

    Raises:
        UserFacingError: in place of any other error, which it follows from; the log has it whole.
    """
    try:
        yield
    except BaseException as error:
        if passes(error):
            raise
        log.info("%s %s cannot %s", what, path, cannot, exc_info=error)
        if isinstance(error, ImportError):  # no command to install it: a file may name anything
            raise UserFacingError(
                f"{what} {path} cannot {cannot}, as a library that it needs is not installed "
                f"({reason(error)}): install it if you know it, then try again."
            ) from error
        raise UserFacingError(
            f"{what} {path} cannot {cannot} ({reason(error)}): {cure}."
        ) from error


def passes(error: BaseException) -> bool:
    """Return whether an error is not of the file that is read, and goes on as it is."""
    if isinstance(error, UserFacingError | Cancelled | KeyboardInterrupt | GeneratorExit):
        return True
    return (is_out_of_memory(error) and not _is_absurd(error)) or is_device_lost(error)


def reason(error: BaseException) -> str:
    """Return why something failed in a few words for a user, to quote in a sentence.

    This is the first line of the error's message without its full stop; one that ends with a colon
    goes on. Of messages that tell only of a library's inside the kind is said.
    """
    if isinstance(error, MemoryError) or _is_absurd(error):
        return "it takes more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        name = " ".join(error.args[0].split())
        return name.rstrip(" .:") if " " in name else f"{name!r} is missing, or is not known"
    lines = [line.strip() for line in str(error).strip().splitlines()]
    count = 2 if lines and lines[0].endswith(":") else 1
    said = KIND.sub("", " ".join(lines[:count])).rstrip(" .:")
    if not isinstance(error, Exception) or not said or INTERNALS.search(said):
        return ODD
    if isinstance(error, OF_THE_INSIDE):
        return ODD
    return said if len(said) <= LONGEST else f"{said[:LONGEST].rstrip()}…"


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


def _is_absurd(error: BaseException) -> bool:
    """Return whether more memory was asked for at once than this machine has in all."""
    asked = re.search(r"tried to allocate (\d+) bytes", str(error))
    if asked is None or not hasattr(os, "sysconf"):
        return False
    return int(asked[1]) > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
