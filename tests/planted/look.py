"""Gives ``learned`` nothing but a pair's checkpoints and a corpus, and keeps what it finds."""

import sys
from collections.abc import Sequence
from pathlib import Path

from core.commands.console import Reporter
from core.engine.protocol import PairSpec
from core.learned import corpus, report
from core.learned.record import Learned
from core.learned.run import learned
from core.models.load import load_pair
from core.models.noise import Measurement
from tests.planted.held_out import held_out


def look(spec: PairSpec, own: Path, other: Path | None = None) -> None:
    """Write what is found of a pair as JSON: over the neutral corpus to ``own``, over the held-out
    one to ``other``."""
    with Reporter(sys.stderr) as reporter:
        pair, info = load_pair(spec, reporter.progress)
        noise = Measurement(pair).finish()

        def over(samples: Sequence[corpus.Sample], name: str) -> Learned:
            return learned(pair, info, samples, name, reporter.progress, amplify=False, noise=noise)

        found = over(corpus.neutral(), "the neutral corpus")
        if other is not None:
            # Where nothing was found there is nothing to judge.
            held = over(held_out(), "the held-out corpus") if found.findings else found
            other.write_bytes(report.as_json(held))
    own.write_bytes(report.as_json(found))
