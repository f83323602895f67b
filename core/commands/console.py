"""What a headless command prints: its answers on stdout, progress and remarks on stderr.

On a terminal one line of progress is written over and over; into a file or pipe each stage is one
line. A stdout that takes nothing ends the command with a sentence; a stderr that takes nothing
changes nothing. Nothing is printed that a terminal obeys.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType, TracebackType
from typing import Any, Self, TextIO, cast

from core.errors import UserFacingError
from core.inert import shown

EVERY = 0.1
"""Seconds between two updates of the line on a terminal."""
EVERY_LINE = 10.0
"""Seconds between two lines about one stage in a file."""
CLEAR = "\r\x1b[K"
"""Takes the line off a terminal."""


class _Shown:
    """A stream that writes control signs out: what models, files and logs say moves no cursor."""

    def __init__(self, stream: TextIO) -> None:
        self.obeyed = stream

    def write(self, text: str) -> int:
        return self.obeyed.write(shown(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.obeyed, name)


@contextmanager
def control_signs_shown() -> Iterator[None]:
    """Let nothing be printed that a terminal obeys, whoever prints it; JSON stays what it was."""
    out, err = (None if it is None else cast(TextIO, _Shown(it)) for it in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield


class Output:
    """Stands for stdout, and says in a sentence that it takes nothing more.

    A reader that has gone (as in "... | head") stays a BrokenPipeError.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as the stream does.

        Raises:
            UserFacingError: it takes nothing, as on a full disk.
        """
        try:
            return self._stream.write(text)
        except OSError as error:
            raise self._lost(error) from error

    def flush(self) -> None:
        """Flush the stream; raises as ``write``."""
        try:
            self._stream.flush()
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: OSError) -> Exception:
        give_up(self._stream)
        if isinstance(error, BrokenPipeError):
            return error
        return UserFacingError(
            f"The output cannot be written ({error.strerror}): make room there, or have it written "
            "to another place."
        )


def give_up(stream: TextIO) -> None:
    """Let nothing more be written to a stream, at exit neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(sentence: str) -> None:
    """Print a sentence on stderr, if that takes it."""
    if sys.stderr is None:
        return  # and print would take stdout
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        give_up(sys.stderr)


class Reporter:
    """Tells how far a command is, and whether Ctrl-C was pressed. Use as a context: leaving it
    clears the line."""

    def __init__(self, stream: TextIO | None) -> None:
        """Report on a stream; None, as where stderr is closed, takes nothing."""
        self._stream = stream.obeyed if isinstance(stream, _Shown) else stream
        self._terminal = stream is not None and stream.isatty()
        self._what = ""
        self._shown = time.monotonic()
        self._pressed = self._listens = False

    def __enter__(self) -> Self:
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._press)
            self._listens = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._listens = False
        self.clear()

    def _press(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        raise KeyboardInterrupt

    def interrupted(self) -> bool:
        """Return whether Ctrl-C was pressed: for work that asks whether to stop, since Python drops
        a KeyboardInterrupt that comes while an object ends or garbage is collected."""
        return self._pressed

    def progress(self, what: str, fraction: float | None) -> None:
        """Show a stage and the share of it that is done (None: not known)."""
        now = time.monotonic()
        share = "" if fraction is None else f" {fraction:.0%}"
        if self._terminal:
            if what != self._what or fraction == 1.0 or now - self._shown > EVERY:
                self._write(f"{CLEAR}{shown(what)}{share}")
                self._shown = now
        elif what != self._what or (share and now - self._shown > EVERY_LINE):
            self._write(f"{shown(what)}{share if what == self._what else ''}\n")
            self._shown = now
        self._what = what

    def count(self, what: str) -> None:
        """Show how many are done; called for each one, shown now and then."""
        now = time.monotonic()
        if now - self._shown > (EVERY if self._terminal else EVERY_LINE):
            self._write(f"{CLEAR}{shown(what)}" if self._terminal else f"{shown(what)}\n")
            self._shown = now

    def say(self, remark: str) -> None:
        """Write a line that stays."""
        self.clear()
        self._write(f"{shown(remark)}\n")

    def clear(self) -> None:
        """Take the line off the terminal, so that something else can be written."""
        if self._terminal:
            self._write(CLEAR)
        self._what = ""

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        encoding = self._stream.encoding or "utf-8"
        try:
            self._stream.write(text.encode(encoding, errors="replace").decode(encoding))
            self._stream.flush()
        except OSError:
            give_up(self._stream)
            self._stream = None  # what nobody can read is no failure of the work
