"""Which process trains a run, known by what neither a clock nor a later process can change.

A number alone is given to another process later, and the time of birth moves with the system's
clock on Linux. There the boot's id and the clock ticks from boot to birth do not; elsewhere the
system itself keeps the time of birth. A process of another machine, or of another container, cannot
be asked: the lock in the run's folder (core.training.lock) tells more. Knows nothing of runs.
"""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BORN_WITHIN = 1.5
"""Seconds by which a process's time of birth may be off and it is still the same one."""


def identity(pid: int) -> dict[str, Any]:
    """Return what tells a process of this machine from all others; what is not known is None."""
    return {
        "pid": pid,
        "born": _born(pid),
        "boot": _boot(),
        "ticks": _ticks(pid),
        "space": _space(),
        "host": platform.node(),
    }


def is_alive(process: Mapping[str, Any], mark: str) -> bool:
    """Return whether a process still runs here, by its ``identity``.

    Args:
        mark: text in its command line, by which one is known that was noted without its boot.
    """
    pid, boot = process.get("pid"), process.get("boot")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 2**31:
        return False
    if boot is None:
        return _is_it(pid, process.get("born"), mark)
    here = boot == _boot() and process.get("space") == _space()
    return here and _ticks(pid) is not None and _ticks(pid) == process.get("ticks")


def elsewhere(process: Mapping[str, Any]) -> str:
    """Return the name of the other machine that a process was started on; "" if it was this one,
    or none is known."""
    host, boot = process.get("host"), process.get("boot")
    if not isinstance(host, str) or host == platform.node() or boot in (None, _boot()):
        return ""
    return host


def _boot() -> str | None:
    """Return the id of this boot of the machine; None but on Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None


def _space() -> str | None:
    """Return the space of process numbers that this process is in: a container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _ticks(pid: int) -> int | None:
    """Return the clock ticks from boot to a process's birth; None if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the name before may hold anything
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _born(pid: int) -> float | None:
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _is_it(pid: int, born: object, mark: str) -> bool:
    """Return whether a process was born then, or says by its command line that it is the one."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if isinstance(born, int | float) and abs(process.create_time() - born) < BORN_WITHIN:
            return True
        return any(mark in word for word in process.cmdline())
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
