"""Plant preferences, and count which of them ``learned`` finds: python -m tests.planted.

Trains each pair that is not trained yet, gives ``learned`` nothing but the checkpoints and the
neutral corpus, judges what it found on a held-out corpus, and prints a table. What is in --out from
an earlier call is not made again. With names only those: python -m tests.planted spelling control.
"""

import argparse
import os
from pathlib import Path

from core.engine.protocol import PairSpec
from core.learned import report, saved
from core.registrations import register
from tests.planted.data import CONTROLS, PLANTED, Planted
from tests.planted.judge import HEAD, Verdict, judged, summary
from tests.planted.look import look
from tests.planted.train import train


def judge(planted: Planted, out: Path) -> Verdict:
    """Return what was found of a training, trained and looked through if it was not yet."""
    own, other = out / f"{planted.name}.json", out / f"{planted.name}-held-out.json"
    if not (own.exists() and other.exists()):
        look(PairSpec(run=str(train(planted, out))), own, other)
    found = saved.read(own)
    own.with_suffix(".html").write_text(report.as_page(found), encoding="utf-8")
    print(report.as_text(found))
    return judged(planted, found, saved.read(other))


if __name__ == "__main__":
    every = {it.name: it for it in (*PLANTED, *CONTROLS)}
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(every)}")
    parser.add_argument("--out", type=Path, default=Path("planted"), help="runs and reports")
    parser.add_argument("--nice", type=int, default=10, help="how much to give way to others")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(every):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if hasattr(os, "nice"):
        os.nice(arguments.nice)
    register()
    verdicts = [judge(every[name], arguments.out) for name in arguments.names or every]
    print("\n".join([HEAD, *(it.line() for it in verdicts), "", summary(verdicts)]))
