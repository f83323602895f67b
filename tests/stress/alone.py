"""One stress in a process of its own: what kills it, or hangs it, is a fault like any other.

Knows nothing of what a stress does, nor of the command line.
"""

import importlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from tests.stress.report import Report

HANG = 600.0
"""Seconds for a step, after which it is taken to hang."""
GRACE = 20.0
"""Seconds that a stress has to end once it was told to."""
TOLD = 0.2
"""Seconds between two words of how far a stress is, at least."""
QUIET = {
    "QT_QPA_PLATFORM": "offscreen",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}


def names() -> list[str]:
    """The stresses of this folder; none is imported, as some need Qt and others torch."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [it.stem for it in files if "\ndef stress(" in it.read_text("utf-8")]


def run(
    name: str, seed: int, seconds: float, steps: int | None, told: Callable[[int], None]
) -> Report:
    """Run a stress until its time or its steps are over, or until Ctrl-C.

    ``told`` hears about once a second how many steps were taken.

    Raises:
        KeyboardInterrupt: with the report of what was done as its only argument.
    """
    os.environ |= QUIET  # of this process, so that the child begins with it
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    enough = context.Event()
    with tempfile.TemporaryDirectory(prefix=f"stress-{name}-") as room:
        child = context.Process(
            target=_work, args=(name, Path(room), seed, seconds, steps, theirs, enough)
        )
        child.start()
        theirs.close()
        report, done, interrupted = Report(), 0, False
        try:
            while True:
                try:
                    for said in _hear(ours, GRACE if enough.is_set() else HANG):
                        if isinstance(said, Report):
                            report = said
                            break
                        if said is not None:
                            done = said
                        told(done)
                    break
                except KeyboardInterrupt:
                    interrupted = True
                    enough.set()
        except TimeoutError:
            child.kill()
            report = Report(done)
            if not enough.is_set():
                report.faults.append(f"step {done + 1} hangs: it took more than {HANG:.0f} s")
        except EOFError:
            child.join(GRACE)
            report = Report(done, [f"step {done + 1} killed the process ({_death(child)})"])
        finally:
            child.join(GRACE)
            child.kill()
            child.join()
            ours.close()
    if interrupted:
        raise KeyboardInterrupt(report)
    return report


def _hear(pipe: Connection, patience: float) -> Iterator[int | Report | None]:
    """What the child says; None about once a second while it says nothing.

    Raises:
        TimeoutError: it has said nothing for ``patience`` seconds.
        EOFError: it has died.
    """
    heard = time.monotonic()
    while True:
        if pipe.poll(1.0):
            yield pipe.recv()
            heard = time.monotonic()
        elif time.monotonic() - heard > patience:
            raise TimeoutError
        else:
            yield None


def _death(child: multiprocessing.process.BaseProcess) -> str:
    code = child.exitcode
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}"


def _work(
    name: str,
    room: Path,
    seed: int,
    seconds: float,
    steps: int | None,
    pipe: Connection,
    enough: Event,
) -> None:
    """Run a stress and tell of it: the child's part."""
    import faulthandler

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when it is enough
    faulthandler.enable()
    module = importlib.import_module(f"tests.stress.{name}")
    end, last = time.monotonic() + seconds, 0.0

    def more(done: int) -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last >= TOLD or done == 0:
            last = now
            pipe.send(done)
        return not enough.is_set() and now < end and (steps is None or done < steps)

    report = module.stress(room, seed, more)
    pipe.send(report)
