"""How much memory a piece of work takes at its peak, as the system counts this process."""

from collections.abc import Callable
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mb(work: Callable[[], object]) -> float | None:
    """Megabytes over what the process held before; None where the system does not say."""
    try:
        CLEAR.write_text("5")  # the peak so far is forgotten
        before = _status("VmRSS")
    except OSError:
        work()
        return None
    work()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    """A line of this process's status, in kB."""
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return next(int(words[1]) for words in lines if words[0] == f"{key}:")
