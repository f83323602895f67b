"""Thousands of files with random changes, opened by the public ways.

What is opened must be refused in one sentence, or open and show right numbers: a process that dies,
a file that takes more than five seconds, and an error of another kind are faults. Each module
``mutations_*`` of this folder has ``make(folder, rng)``, which writes an input into an empty folder
and returns its path, and ``open_it(path)``, which opens it, or a table ``MUTATIONS`` of such pairs
by name; it may have ``prepare()``, called
once before, ``parsed(path)``, whether the format's own parser takes it, and ``describe(path)``.

A batch of inputs is opened in a process forked for it. ``python -m tests.stress.inputs --seed S
--number N`` makes one input again, and shows its files and all that came of it.
"""

import argparse
import contextlib
import faulthandler
import gc
import importlib
import json
import logging
import os
import random
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.stress.report import Report

LONGEST = 5.0
"""Seconds of its own processor time that an input may take."""
STUCK = 40.0
"""Seconds by the clock, on a machine that has other work, after which a process waits in vain."""
ROOM = 3 << 30
"""Bytes that a batch may take beside what was there."""
BATCH = 20
"""Inputs of a process, which begins anew before leaks of one could be taken for another's."""
SHARES = {"checkpoints": 5, "logs": 3, "templates": 1, "settings": 1}
"""How often an input is of a module, of ten."""
INSIDE = re.compile(
    r"NoneType|has no attribute|Traceback|object at 0x|<class|positional argument|unwrap\(\)"
    r"|KeyError|TypeError|ValueError|IndexError|AttributeError|RuntimeError|\[Errno|not iterable"
)
"""What is no word for a user."""
PLAIN = re.compile("in (_plain|compared|_by_transformers)$", re.MULTILINE)
"""Where transformers itself opens, runs or renders an input, to compare."""


class Outcome(NamedTuple):
    """What came of an input: ``how`` is "opened", "refused", "crash", "hang", "other" or "wrong";
    ``said``: the sentence, or what a fault is."""

    number: int
    kind: str
    what: str
    how: str
    said: str
    parsed: bool
    seconds: float


def modules(names: list[str] | None = None) -> dict[str, Any]:
    """The modules of mutations that are there, by name."""
    files = sorted(it.stem for it in Path(__file__).parent.glob("mutations_*.py"))
    loaded = {it.partition("_")[2]: importlib.import_module(f"tests.stress.{it}") for it in files}
    found = {
        name: Table(module.MUTATIONS) if hasattr(module, "MUTATIONS") else module
        for name, module in loaded.items()
    }
    return {
        name: it
        for name, it in found.items()
        if hasattr(it, "open_it") and (not names or name in names)
    }


class Table:
    """A table of mutations, by name who makes and who opens one, as a module of mutations."""

    def __init__(self, table: dict[str, tuple[Callable[..., Path], Callable[[Path], Any]]]) -> None:
        self._table = table
        self._names: dict[Path, str] = {}

    def make(self, folder: Path, rng: random.Random) -> Path:
        """Write an input of any of the kinds into a folder; return its path."""
        name = rng.choice(sorted(self._table))
        path = self._table[name][0](folder, rng)
        self._names[path] = name
        return path

    def describe(self, path: Path) -> str:
        """Return its kind."""
        return f"{self._names[path]}: {path.name}"

    def open_it(self, path: Path) -> Any:
        """Open it as its kind is opened."""
        return self._table[self._names[path]][1](path)


def choose(seed: int, number: int, kinds: dict[str, Any]) -> tuple[str, random.Random]:
    """The module of an input and the draws that make it, which depend on nothing else."""
    rng = random.Random(f"{seed} {number}")
    names = sorted(kinds)
    (name,) = rng.choices(names, [SHARES.get(it, 1) for it in names])
    return name, rng


def prepare(kinds: dict[str, Any]) -> None:
    """Load what all inputs need, before processes are forked."""
    warnings.simplefilter("ignore")
    import peft  # noqa: F401
    import torch

    import core.models.load  # noqa: F401

    torch.set_num_threads(1)
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger("core").setLevel(logging.ERROR)
    for module in kinds.values():
        if hasattr(module, "prepare"):
            module.prepare()
    gc.collect()
    gc.freeze()


def opened(module: Any, kind: str, number: int, rng: random.Random, folder: Path) -> Outcome:
    """Make an input in a folder, open it and say what came of it."""
    from core.errors import UserFacingError

    path = module.make(folder, rng)
    what = module.describe(path) if hasattr(module, "describe") else path.name
    began, parsed, how, said = time.monotonic(), True, "opened", ""
    try:
        said = module.open_it(path) or "opened"
    except UserFacingError as error:
        how, said = "refused", str(error)
        if INSIDE.search(said) or not said.endswith((".", "!", "?")) or "\n" in said:
            how, said = "other", f"no sentence for a user: {said}"
    except AssertionError as error:
        how, said = "wrong", f"{error} {_where(error)}"
    except BaseException as error:
        text = " ".join(str(error).split())[:300]
        how, said = "other", f"{type(error).__name__}: {text} {_where(error)}"
    if hasattr(module, "parsed"):
        try:
            parsed = bool(module.parsed(path))
        except BaseException:
            parsed = False
    return Outcome(number, kind, what, how, said, parsed, time.monotonic() - began)


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(f"({it.filename.rpartition('site-packages/')[2]}:{it.lineno})" for it in frames)


def _batch(
    kinds: dict[str, Any], seed: int, numbers: range, room: Path, pipe: int, errors: Path
) -> None:
    """Open inputs one after the other and write what came of each: the child's part."""
    with errors.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        kind, rng = choose(seed, number, kinds)
        folder = Path(tempfile.mkdtemp(prefix=f"{number}-", dir=room))
        outcome = opened(kinds[kind], kind, number, rng, folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.write(pipe, json.dumps(outcome).encode() + b"\n")


def batch(kinds: dict[str, Any], seed: int, numbers: range, room: Path) -> list[Outcome]:
    """Open inputs in a process of their own; what kills or stops it is the last's outcome."""
    ours, theirs = os.pipe()
    errors = room / "errors"
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            os.close(ours)
            _batch(kinds, seed, numbers, room, theirs, errors)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(theirs)
    found: list[Outcome] = []
    data, hangs = b"", False
    began, spent = time.monotonic(), _processor(child)
    while not hangs:
        if select.select([ours], [], [], 0.25)[0]:
            got = os.read(ours, 1 << 16)
            if not got:
                break
            *lines, data = (data + got).split(b"\n")
            found += [Outcome(*json.loads(line)) for line in lines]
            began, spent = time.monotonic(), _processor(child)
        elif _processor(child) - spent > LONGEST or time.monotonic() - began > STUCK:
            hangs = True
    if hangs:
        os.kill(child, signal.SIGUSR1)
        time.sleep(0.5)
        os.kill(child, signal.SIGKILL)
    os.close(ours)
    _, status = os.waitpid(child, 0)
    if hangs or status:
        number = numbers[len(found)] if len(found) < len(numbers) else numbers[-1]
        kind, _ = choose(seed, number, kinds)
        told = errors.read_text("utf-8", "replace")
        if hangs and PLAIN.search(told):
            how, said = "opened", "opened, and transformers itself hangs"
        else:
            how = "hang" if hangs else "crash"
            said = f"{_death(status)} {_stack(told)}"
        found.append(Outcome(number, kind, "", how, said, True, time.monotonic() - began))
    return found


def _processor(child: int) -> float:
    """Seconds of processor time that a process has used."""
    try:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit status {os.WEXITSTATUS(status)}"


def _stack(told: str) -> str:
    """The innermost lines of a stack that faulthandler wrote, and ours among them."""
    lines = [it.strip() for it in told.splitlines() if it.strip().startswith("File")]
    ours = [it for it in lines if "/core/" in it and "site-packages" not in it]
    return " < ".join(dict.fromkeys([*lines[:2], *ours[:2]])) or told[-300:]


def stress(room: Path, seed: int, more: Callable[[int], bool], names: Any = None) -> Report:
    """Open inputs until it is enough."""
    return report_of(run(room, seed, more, names), seed)


def run(
    room: Path,
    seed: int,
    more: Callable[[int], bool],
    names: Any = None,
    told: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Open inputs until it is enough; return what came of each, and tell of it at once."""
    kinds = modules(names)
    prepare(kinds)
    found: list[Outcome] = []
    while more(len(found)):
        size = next((n for n in range(1, BATCH) if not more(len(found) + n)), BATCH)
        for outcome in batch(kinds, seed, range(len(found), len(found) + size), room):
            found.append(outcome)
            told(outcome)
    return found


def report_of(found: list[Outcome], seed: int) -> Report:
    """The report of what came of inputs."""
    report = Report(done=len(found))
    ways = Counter(it.how for it in found)
    report.figures = {
        "inputs": len(found),
        "past the first parser": sum(it.parsed for it in found),
        "opened": ways["opened"],
        "refused with a sentence": ways["refused"],
        "crashes": ways["crash"],
        "hangs": ways["hang"],
        "other exceptions": ways["other"],
        "wrong numbers": ways["wrong"],
    }
    for kind, count in sorted(Counter(it.kind for it in found).items()):
        report.figures[f"of {kind}"] = count
    report.faults = [
        f"step {it.number}, {it.how} of {it.kind} ({it.what}): {it.said}; again: "
        f"python -m tests.stress.inputs --seed {seed} --number {it.number}"
        for it in found
        if it.how not in ("opened", "refused")
    ]
    return report


def _print(outcome: Outcome) -> None:
    print(json.dumps(outcome._asdict(), ensure_ascii=True), flush=True)


def main() -> int:
    """Make one input again, or open many and print each outcome as a line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.inputs", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--number", type=int, help="the one input")
    parser.add_argument("--inputs", type=int, default=100, help="how many, else (%(default)s)")
    parser.add_argument("--only", action="append", help="a module of mutations; changes the draws")
    arguments = parser.parse_args()
    kinds = modules(arguments.only)
    if arguments.number is not None:
        kind, rng = choose(arguments.seed, arguments.number, kinds)
        prepare(kinds)
        logging.basicConfig(level=logging.INFO)
        folder = Path(tempfile.mkdtemp(prefix=f"input-{arguments.number}-"))
        print(folder)
        print(opened(kinds[kind], kind, arguments.number, rng, folder))
        return 0
    with tempfile.TemporaryDirectory(prefix="inputs-") as room:
        most = arguments.inputs
        found = run(Path(room), arguments.seed, lambda done: done < most, arguments.only, _print)
    report = report_of(found, arguments.seed)
    print(json.dumps(report.figures, indent=1), file=sys.stderr)
    return int(bool(report.faults))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
