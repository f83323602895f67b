"""Moments of a run, for the benchmarks: one JSON line each into the file named by QSCOPE_TRACE.

Does nothing where that variable is not set. Knows nothing of what it is told.
"""

import json
import os
import time


def mark(what: str) -> None:
    """Append ``what`` and the wall-clock time in seconds; where that fails, nobody minds."""
    path = os.environ.get("QSCOPE_TRACE")
    if not path:
        return
    line = json.dumps({"what": what, "time": time.time()}) + "\n"
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
    except OSError:
        return
