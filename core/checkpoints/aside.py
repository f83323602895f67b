"""Running a few lines of Python aside: in a process, with a deadline and little memory.

For what may take for ever while it holds Python's lock, such as a regular expression that somebody
else wrote: a thread cannot be stopped, a process can. Knows nothing of what is run.
"""

import json
import subprocess
import sys
import time
from typing import Any

from core.errors import Cancelled
from core.progress import Stop, never

SECONDS = 1
"""Of a processor's time that the process may take; on the clock, WAIT times as many, as others may
have the processor."""
WAIT = 10
TICK = 0.05
"""Seconds between two questions whether an answer is still wanted."""
MEMORY = 2**31
"""Bytes that the process may take."""
_FRAME = """
import json, sys
said = json.load(sys.stdin.buffer)
sys.path[:] = said["path"]
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (said["seconds"], said["seconds"]))
    resource.setrlimit(resource.RLIMIT_AS, (said["memory"], said["memory"]))
except (ImportError, ValueError, OSError):
    pass
exec(said["code"])
sys.stdout.write(json.dumps(answer(said["question"])))
"""


class Unanswered(Exception):
    """There was no answer in time, or none at all; the message ends a sentence on why."""


def ask_aside(code: str, question: Any, seconds: int = SECONDS, cancelled: Stop = never) -> Any:
    """Return what a function gives that is run in a process of its own.

    Args:
        code: defines ``answer(question)``; what it imports is found as it is here.
        question: anything that JSON can say, and so is the answer.

    Raises:
        Unanswered: it takes longer, takes too much memory, or fails.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    said = json.dumps(
        {"code": code, "question": question, "path": sys.path, "seconds": seconds, "memory": MEMORY}
    )
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _FRAME],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise Unanswered(f"no process for it can be started: {error.strerror}") from error
    with process:
        try:
            told, errors = _heard(process, said.encode(), WAIT * seconds, cancelled)
        finally:
            process.kill()
    if process.returncode and process.returncode > 0:
        lines = errors.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no answer")
        raise Unanswered(last[:200].rstrip(" .:"))
    try:
        return json.loads(told)
    except ValueError as error:
        raise Unanswered("no answer") from error


def _heard(
    process: "subprocess.Popen[bytes]", said: bytes, seconds: float, cancelled: Stop
) -> tuple[bytes, bytes]:
    """Return what a process that is told something writes as its answer and of errors.

    Raises:
        Unanswered, Cancelled: as for ``ask_aside``.
    """
    until, left = time.monotonic() + seconds, [said, None]
    while True:
        try:
            told, errors = process.communicate(left[0], timeout=TICK)
        except subprocess.TimeoutExpired as error:
            if cancelled():
                raise Cancelled from error
            left = left[-1:]  # it has been told already
            if time.monotonic() < until:
                continue
            raise Unanswered("it takes too long") from error
        if process.returncode < 0:
            raise Unanswered("it takes too long")
        return told, errors
