"""Timestamps for the benchmarks: one JSON line each in the file named by QSCOPE_TRACE.

Does nothing where that variable is not set. Knows nothing of the events that it is given.
"""

import json
import os
import time


def mark(what: str) -> None:
    """Append the event ``what`` and the wall-clock time in seconds; errors are ignored."""
    path = os.environ.get("QSCOPE_TRACE")
    if not path:
        return
    line = json.dumps({"what": what, "time": time.time()}) + "\n"
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
    except OSError:
        return
