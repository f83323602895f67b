"""Measure the demo pair on held-out pairs: demo evaluate.

Posts and summaries come from templates, and some from kinds of post, that training never saw;
the wrong words of each rejected summary are known. Prints pair accuracy, and over tokens and over
words the AUROC and top-1 hit of -reward, -log pi_ref and -log pi and the recall of a second
error; then the same for the pairs whose errors the reference finds likely. Progress on stderr.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from core.commands.console import Reporter
from core.errors import UserFacingError

PAIRS = 240


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["evaluate"], help="evaluate: measure on held-out pairs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, metavar="N", help=f"how many pairs (default: {PAIRS})"
    )
    parser.add_argument(
        "--adapters",
        type=Path,
        metavar="DIR",
        help="a folder with sft/ and dpo/, as train writes it (default: the demo's)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; returns the exit status.

    Raises:
        UserFacingError: the adapters are not there, there is no base, or N is too small.
    """
    if arguments.pairs < 2:
        raise UserFacingError("--pairs must be at least 2.")

    from core.demo.pair import DEMO_FOLDER, demo_base
    from core.demo.posts import held_out_pairs

    folder = arguments.adapters or DEMO_FOLDER
    for name in ("sft", "dpo"):
        if not (folder / name / "adapter_config.json").is_file():
            raise UserFacingError(f"There is no adapter in {folder / name}: train a pair first.")

    from core.engine.protocol import PairSpec
    from core.evaluation.localisation import report_figures, score_pairs
    from core.models.load import load_pair
    from core.runs.records import Checkpoint

    with warnings.catch_warnings(), Reporter(sys.stderr) as reporter:
        warnings.simplefilter("ignore", FutureWarning)  # between the libraries, not for the user
        base = demo_base(reporter.progress)
        spec = PairSpec(policy=str(folder / "dpo"), reference=str(folder / "sft"), base=str(base))
        models, _ = load_pair(spec, reporter.progress)
        pairs = held_out_pairs(arguments.pairs)
        scored = score_pairs(models, [Checkpoint(0, models.shown)], pairs, reporter.progress)
        table = report_figures(scored[0])
    if arguments.json:
        print(json.dumps(table, allow_nan=False))
    else:
        print_table(table)
    return 0


def print_table(table: dict[str, Any]) -> None:
    """Print the figures for a reader."""
    for title, part in (("all pairs", table), ("likely errors", table["likely_errors"])):
        print(f"{title}: {part['pairs']} pairs, pair accuracy {_shown(part['pair_accuracy'])}")
        for unit in ("tokens", "words"):
            for score, figures in part[unit].items():
                row = "  ".join(f"{name} {_shown(value)}" for name, value in figures.items())
                print(f"  {unit:<7}{score:<13}{row}")
    print(f"likely errors: {table['likely_errors']['definition']}")


def _shown(value: float | tuple[float, ...] | None) -> str:
    if isinstance(value, tuple):
        return " to ".join(map(_shown, value))
    return "  -  " if value is None else f"{value:.3f}"
