"""Plant preferences, and count which of them ``learned`` finds: python -m tests.planted.

Trains each pair that is not trained yet, gives ``learned`` nothing but the checkpoints and the
neutral corpus, and prints a table. With names only those: python -m tests.planted spelling control.
"""

import argparse
import os
import sys
from pathlib import Path

from core.commands.console import Reporter
from core.engine.protocol import PairSpec
from core.learned import corpus, report
from core.learned.run import learned
from core.models.load import load_pair
from core.models.noise import Measurement
from core.registrations import register
from tests.planted.data import CONTROLS, PLANTED
from tests.planted.judge import HEAD, judged
from tests.planted.train import train

register()
every = {it.name: it for it in (*PLANTED, *CONTROLS)}
parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(every)}")
parser.add_argument("--out", type=Path, default=Path("planted"), help="where runs and reports go")
parser.add_argument("--nice", type=int, default=10, help="how much to give way to others")
arguments = parser.parse_args()
if unknown := set(arguments.names) - set(every):
    parser.error(f"unknown: {', '.join(sorted(unknown))}")
if hasattr(os, "nice"):
    os.nice(arguments.nice)
verdicts = []
for name in arguments.names or every:
    run = train(every[name], arguments.out)
    with Reporter(sys.stderr) as reporter:
        pair, info = load_pair(PairSpec(run=str(run)), reporter.progress)
        noise = Measurement(pair).finish()
        found = learned(
            pair, info, corpus.neutral(), "the neutral corpus", reporter.progress, noise=noise
        )
    (arguments.out / f"{name}.json").write_bytes(report.as_json(found))
    (arguments.out / f"{name}.html").write_text(report.as_page(found), encoding="utf-8")
    print(report.as_text(found))
    verdicts.append(judged(every[name], found))
print(HEAD)
for verdict in verdicts:
    print(verdict.line())
