"""Say what a pair is and how it would be run, before its numbers are believed.

Prints a line for each thing that is known: the models, loss and beta of the training and where
each is said, the files and their hashes, memory; then, the pair loaded, how it is run, tokens and
template, the noise of the number format. Each is ok, a note, a warning, or a stop, where there
are no numbers at all: the exit status is then 1. --no-load stops before the models are loaded.

--run DIR --data FILE answers "why does my number differ?": the pairs of the file, which must be
those of the run's evaluation, are scored, and their mean log-probs and rewards compared with what
the log says at the last checkpoint; what they differ by is attributed cause by cause.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands import options
from core.commands.console import Reporter

if TYPE_CHECKING:
    from core.engine.protocol import PairSpec
    from core.finding import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.set_defaults(parser=parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--no-load", action="store_true", help="only what the files say: load no models"
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="with --run: the preference pairs that the run's log evaluates on",
    )
    options.add_pair_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Examine the pair and print what is found; return the exit status."""
    parser: argparse.ArgumentParser = arguments.parser
    options.require_pair(parser, arguments)
    if arguments.data and (not arguments.run or arguments.no_load):
        parser.error("--data needs --run, and the models loaded")
    spec = options.pair_spec(parser, arguments)

    from core.finding import worst

    found = []
    with Reporter(sys.stderr) as reporter:
        for finding in examine(spec, reporter, not arguments.no_load, arguments.data):
            found.append(finding)
            if not arguments.json:
                reporter.clear()
                print_line(finding)
    verdict = worst(found)
    if arguments.json:
        lines = [asdict(finding) for finding in found]
        print(json.dumps({"verdict": verdict, "findings": lines}, ensure_ascii=False))
    return int(verdict == "stop")


def examine(
    spec: "PairSpec", reporter: Reporter, load: bool, data: Path | None
) -> "Iterator[Finding]":
    """Yield the lines of a pair's files; if it can be loaded and shall be, of the pair; and, of a
    run whose evaluation's pairs are named, why its log differs."""
    from core.errors import UserFacingError
    from core.models.examine import loaded, on_disk

    stops = False
    for finding in on_disk(spec, reporter.progress):
        yield finding
        stops |= finding.level == "stop"
    if stops or not load:
        return

    from core.diagnosis import of_failure
    from core.models.load import load_pair

    try:
        pair, info = load_pair(spec, reporter.progress)
        yield from loaded(pair, info)
        if data is not None:
            from core.evaluation.rescoring import compare

            yield from compare(spec, pair, info, data, reporter.progress)
    except UserFacingError as error:
        yield of_failure(error)


def print_line(finding: "Finding") -> None:
    """Print one line for a person to read."""
    print(f"{finding.level:<8} {finding.topic:<11} {finding.sentence}", flush=True)
