"""``python -m tests.stress [NAME ...] [--minutes N | --steps N]``: nights of random work.

Each stress runs in a process of its own, one after the other; they share the minutes. Ctrl-C ends
the one that runs and tells of what was done. The exit status is 1 if there was a fault.
"""

import argparse
import json
import platform
import random
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from tests.stress import alone
from tests.stress.report import Report

README = Path(__file__).parents[2] / "README.md"
BEGINS, ENDS = "<!-- stress -->", "<!-- /stress -->"
EVERY = 60.0
"""Seconds between two lines of progress."""


class Run(NamedTuple):
    """A stress that was run, with what it was begun with."""

    name: str
    seed: int
    minutes: float
    report: Report

    def again(self) -> str:
        return f"python -m tests.stress {self.name} --seed {self.seed} --steps"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.stress", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="stresses; all if none is named")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=60.0, help="of all together (%(default)g)")
    length.add_argument("--steps", type=int, help="of each, however long they take")
    parser.add_argument("--seed", type=int, help="the same one takes the same steps; else random")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    parser.add_argument("--write", action="store_true", help=f"into {README.name}'s table")
    parser.add_argument("--list", action="store_true", help="name the stresses")
    arguments = parser.parse_args(argv)
    if arguments.list:
        print("\n".join(alone.names()))
        return 0
    if unknown := set(arguments.names) - set(alone.names()):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(alone.names())}")
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    chosen = arguments.names or alone.names()
    seconds = float("inf") if arguments.steps else 60 * arguments.minutes / len(chosen)
    out = sys.stderr if arguments.json else sys.stdout
    runs: list[Run] = []
    for name in chosen:
        began = time.monotonic()
        print(f"{name}, seed {seed}", file=out, flush=True)
        interrupted = False
        try:
            report = alone.run(name, seed, seconds, arguments.steps, _Lines(name, out))
        except KeyboardInterrupt as stop:
            interrupted = True
            report = stop.args[0] if stop.args else Report()
        runs.append(Run(name, seed, (time.monotonic() - began) / 60, report))
        for fault in report.faults:
            print(f"FAULT  {fault}\n       again: {_again(runs[-1], fault)}", file=out, flush=True)
        if interrupted:
            break
    print(json.dumps([_plain(it) for it in runs], indent=1) if arguments.json else _table(runs))
    if arguments.write:
        write(runs)
    return int(any(run.report.faults for run in runs))


class _Lines:
    """Prints how far a stress is, now and then."""

    def __init__(self, name: str, out: object) -> None:
        self.name, self.out, self.began = name, out, time.monotonic()
        self.said = self.began

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.said >= EVERY:
            self.said = now
            minutes = (now - self.began) / 60
            print(f"{self.name}  {minutes:5.0f} min  {done:,} done", file=self.out, flush=True)


def _again(run: Run, fault: str) -> str:
    """The command that takes a run to a fault again, which names its step first."""
    words = fault.replace(":", " ").split()
    step = words[1] if words[:1] == ["step"] and words[1:2] and words[1].isdigit() else ""
    return f"{run.again()} {step or run.report.done}"


def _plain(run: Run) -> dict[str, object]:
    report = run.report
    return {
        "name": run.name,
        "seed": run.seed,
        "minutes": round(run.minutes, 1),
        "done": report.done,
        "faults": report.faults,
        "figures": report.figures,
    }


def _figures(report: Report) -> str:
    return ", ".join(f"{name} {value:,.6g}" for name, value in report.figures.items())


def _table(runs: Sequence[Run]) -> str:
    """The runs as lines for a reader."""
    return "\n".join(
        f"{run.name:<10} {run.report.done:>8,} done  {len(run.report.faults):>3} faults  "
        f"{run.minutes:5.1f} min  {_figures(run.report)}"
        for run in runs
    )


def write(runs: Sequence[Run], page: Path = README) -> None:
    """Put the figures of some runs into the page's table; those of other stresses stay.

    Raises:
        SystemExit: the page has no place for the table.
    """
    text = page.read_text("utf-8")
    if BEGINS not in text or ENDS not in text:
        raise SystemExit(f"{page} has no {BEGINS} and {ENDS} to write the table between.")
    before, rest = text.split(BEGINS, 1)
    old, after = rest.split(ENDS, 1)
    rows = {line.split("|")[1].strip(): line for line in old.splitlines() if line.startswith("| ")}
    rows.pop("Stress", None)
    where = f"{_machine()}, {date.today().isoformat()}"
    for run in runs:
        done, faults = f"{run.report.done:,}", len(run.report.faults)
        cells = (run.name, done, faults, _figures(run.report), f"{where}, seed {run.seed}")
        rows[run.name] = "| " + " | ".join(map(str, cells)) + " |"
    head = ["| Stress | Steps | Faults | Figures | Machine |", "|---|---|---|---|---|"]
    lines = "\n".join([*head, *(rows[name] for name in sorted(rows))])
    page.write_text(f"{before}{BEGINS}\n{lines}\n{ENDS}{after}", "utf-8")


def _machine() -> str:
    """The machine in a few words."""
    from tests.benchmarks.machine import CPUINFO, cores, processor

    name, _ = processor(CPUINFO.read_text("utf-8") if CPUINFO.exists() else "")
    return f"{cores()} cores of {name}, {platform.system()}"


if __name__ == "__main__":
    sys.exit(main())
