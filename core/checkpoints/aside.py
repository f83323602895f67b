"""Running a few lines of Python aside: in a process, with a deadline and little memory.

For what may take for ever while it holds Python's lock, such as a regular expression that somebody
else wrote: a thread cannot be stopped, a process can. Knows nothing of what is run.
"""

import json
import subprocess
import sys
from typing import Any

SECONDS = 3
"""Of a processor's time that the process may take; on the clock, WAIT times as many, as others may
have the processor."""
WAIT = 10
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


def ask_aside(code: str, question: Any, seconds: int = SECONDS) -> Any:
    """Return what a function gives that is run in a process of its own.

    Args:
        code: defines ``answer(question)``; what it imports is found as it is here.
        question: anything that JSON can say, and so is the answer.

    Raises:
        Unanswered: it takes longer, takes too much memory, or fails.
    """
    said = json.dumps(
        {"code": code, "question": question, "path": sys.path, "seconds": seconds, "memory": MEMORY}
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _FRAME],
            input=said.encode(),
            capture_output=True,
            timeout=WAIT * seconds,
            check=True,
        )
        return json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError, OSError) as error:
        if isinstance(error, subprocess.TimeoutExpired) or getattr(error, "returncode", 0) < 0:
            raise Unanswered(f"it takes more than {seconds} seconds") from error
        lines = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no answer")
        raise Unanswered(last[:200].rstrip(" .:")) from error
