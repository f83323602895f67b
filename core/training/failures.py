"""Sentences for what goes wrong in a training run, each saying what to do.

Knows the words in which libraries report a full disk.
"""

import errno
import pickle
import shutil
from pathlib import Path

from core.errors import UserFacingError
from core.failures import is_out_of_memory
from core.training.job import OUTPUT

FULL = ("no space left", "disk quota exceeded", "file too large")
WRITER = ("pytorchstreamwriter", "inline_container", "iostream error")
"""What torch's writer says, which knows no reason, where it cannot write."""
NOTHING_LEFT = 16 << 20


def sentence_of(error: BaseException, run: Path) -> str:
    """Return what went wrong, in one sentence that says what to do."""
    text = str(error)
    if isinstance(error, UserFacingError):
        return text
    if is_full(error, run):
        return (
            f"The disk of {run} is full: free some space, then resume the run from its last "
            f"checkpoint."
        )
    if is_out_of_memory(error):
        return (
            "There was not enough memory: start a new run with a smaller batch (and more "
            "accumulation), shorter texts or a smaller rank."
        )
    if isinstance(error, KeyboardInterrupt):
        return "The run was interrupted: resume it from its last checkpoint."
    if isinstance(error, ModuleNotFoundError):
        return (
            f"The Python package {error.name} is missing: run pip install -e '.[train]' in the "
            f"folder of main.py."
        )
    if isinstance(error, pickle.UnpicklingError):
        return (
            f"A checkpoint in {run} holds more than numbers, and nothing else is loaded: delete "
            f"the newest one, then resume the run."
        )
    first = (text.strip().splitlines() or [""])[0]
    return f"Training failed ({type(error).__name__}: {first}): the details are in {run / OUTPUT}."


def is_full(error: BaseException | None, run: Path) -> bool:
    """Return whether an error, or one behind it, means that the disk is full.

    torch's writer does not say why it could not write; then the disk is asked.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (
            errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC),
        ):  # fmt: skip
            return True
        text = str(error).lower()
        if any(words in text for words in FULL):
            return True
        if any(words in text for words in WRITER) and shutil.disk_usage(run).free < NOTHING_LEFT:
            return True
        error = error.__cause__ or error.__context__
    return False
