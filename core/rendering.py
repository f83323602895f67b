"""Has chat templates rendered by a process of their own, under limits of time, memory and length.

A template is a program that came with a checkpoint: it may run forever or build gigabytes, and
neither can be stopped in the process that it runs in. One process (core.rendering_process) renders
for all that ask here. It is started when it is first wanted and again after it was ended, and ends
with this one. Knows no tokenizer, and not what a response is.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

from core.errors import Cancelled
from core.progress import Stop, never
from core.rendering_process import OUT_OF_MEMORY, receive, send

SECONDS = 3.0
"""That a rendering may take; those of real templates take milliseconds."""
ROOM = 2**18
"""Characters that a template may write of its own."""
TIMES = 16
"""How often it may repeat what it is told."""
STARTING = 30.0
"""Seconds in which the process must be ready."""
GRACE = 0.5
"""Seconds after which the process ends by itself, if nobody has ended it."""
TICK = 0.05
"""Seconds between two questions whether a rendering is still wanted."""
PROGRAM = Path(__file__).with_name("rendering_process.py")
Kind = Literal["syntax", "refused", "failed", "too long", "slow", "memory", "crash", "start"]


class Fault(Exception):
    """A template could not be rendered: it has a slip, refuses what it is told, fails, or hits a
    limit. ``said`` are the words of the template or of the system; ``line`` 0: not known."""

    def __init__(self, kind: Kind, said: str = "", line: int = 0) -> None:
        super().__init__(f"{kind}: {said}")
        self.kind, self.said, self.line = kind, said, line


class Written(NamedTuple):
    """What a template has written, and the first date that it asked for, "" if none."""

    text: str
    date: str


def start() -> None:
    """Start the process, if there is none; return before it is ready."""
    if _one_at_a_time.acquire(blocking=False):  # else one is at work
        try:
            with contextlib.suppress(Fault):  # whoever renders is told
                _started()
        finally:
            _one_at_a_time.release()


def render(
    source: str,
    variables: dict[str, Any],
    now: datetime,
    cancelled: Stop = never,
    seconds: float = SECONDS,
) -> Written:
    """Return what a template writes, as transformers renders it.

    Args:
        variables: all that it is told, as JSON; "messages" are the turns.
        now: the time that it is to the template.

    Raises:
        Fault: it cannot be rendered within the limits.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    try:
        told = json.dumps(variables).encode()
    except RecursionError as error:
        raise Fault("failed", "what it is told is nested too deeply") from error
    room = ROOM + TIMES * len(told)
    about = {"now": now.isoformat(), "room": room, "seconds": seconds + GRACE}
    request = json.dumps(about).encode(), told, source.encode("utf-8", "surrogatepass")
    while not _one_at_a_time.acquire(timeout=TICK):
        if cancelled():
            raise Cancelled
    try:
        found, text = _answered(request, seconds, cancelled)
    except BaseException:  # whatever the process is at, nobody will hear of it
        _end()
        raise
    finally:
        _one_at_a_time.release()
    if "kind" in found:
        raise Fault(found["kind"], found.get("said", ""), found.get("line") or 0)
    return Written(text.decode("utf-8", "surrogatepass"), found["date"])


class _Process:
    """A process that renders, and what it has said."""

    def __init__(self) -> None:
        quiet = 0x08000200 if sys.platform == "win32" else 0  # no console, no Ctrl+C
        self.popen = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", str(PROGRAM), *_folders()],
            bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            creationflags=quiet,
        )  # fmt: skip
        self.ready = self.used = False
        self._heard: SimpleQueue[bytes | None] = SimpleQueue()
        self._ear = threading.Thread(target=self._hear, name="qscope-rendering", daemon=True)
        self._ear.start()

    def _hear(self) -> None:
        assert self.popen.stdout is not None
        with contextlib.suppress(OSError):
            while (message := receive(self.popen.stdout)) is not None:
                self._heard.put(message)
        self.popen.wait()  # no zombie
        self._heard.put(None)

    def tell(self, messages: tuple[bytes, ...]) -> None:
        """Send a request; one that is dead is found out by what follows."""
        assert self.popen.stdin is not None
        with contextlib.suppress(OSError):
            for message in messages:
                send(self.popen.stdin, message)

    def next(self, until: float, cancelled: Stop) -> bytes | None:
        """Return what it says next; None if it has ended.

        Raises:
            TimeoutError: it says nothing until then.
            Cancelled: soon after ``cancelled()`` turns true.
        """
        while True:
            try:
                return self._heard.get(timeout=TICK)
            except Empty:
                if cancelled():
                    raise Cancelled from None
                if time.monotonic() > until:
                    raise TimeoutError from None

    def end(self) -> None:
        """End it, and return when it has ended."""
        self.popen.kill()
        self._ear.join()
        self.close()

    def close(self) -> None:
        """Let go of the pipes."""
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()


def _answered(
    request: tuple[bytes, ...], seconds: float, cancelled: Stop
) -> tuple[dict[str, Any], bytes]:
    """Return the process's answer, of a new one if it had been killed since the last."""
    while True:
        process = _started()
        if not process.ready:
            try:
                process.ready = process.next(time.monotonic() + STARTING, cancelled) is not None
            except TimeoutError:
                raise Fault("start", f"it is not ready after {STARTING:g} seconds") from None
            if not process.ready:
                raise Fault("start", f"it ended with status {process.popen.returncode}")
        until = time.monotonic() + seconds
        again, process.used = process.used, True
        process.tell(request)
        try:
            found = process.next(until, cancelled)
            text = None if found is None else process.next(until, cancelled)
        except TimeoutError:
            raise Fault("slow") from None
        if found is not None and text is not None:
            return json.loads(found), text
        status = process.popen.returncode
        if status == OUT_OF_MEMORY:
            raise Fault("memory")
        if time.monotonic() > until:
            raise Fault("slow")
        if not again:
            raise Fault("crash", f"status {status}")
        _end()


_one_at_a_time = threading.Lock()
_running: _Process | None = None


def _started() -> _Process:
    """Return the process that runs, started if there is none.

    Raises:
        Fault: it cannot be started.
    """
    global _running
    if _running is not None and _running.popen.poll() is not None:
        _end()
    if _running is None:
        try:
            _running = _Process()
        except OSError as error:
            raise Fault("start", error.strerror or str(error)) from error
    return _running


def _end() -> None:
    global _running
    if _running is not None:
        _running.end()
        _running = None


def _folders() -> list[str]:
    """Return the folders in which the packages lie that the process imports."""
    specs = [find_spec(name) for name in ("jinja2", "markupsafe")]
    places = [str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin]
    return list(dict.fromkeys(places))


def _forget() -> None:
    """Leave the process to the one that started it: this one is a copy of that."""
    global _running, _one_at_a_time
    if _running is not None:
        _running.popen.returncode = 0  # not to be waited for here
        _running.close()
    _running, _one_at_a_time = None, threading.Lock()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
