"""Measure every checkpoint of a run on held-out pairs: train evaluate.

For each step: mean implicit rewards of chosen and rejected responses, margin, accuracy and loss,
KL(pi_ref||pi) over the chosen response, and how well -reward, -log pi_ref and -log pi find the
wrong words: AUROC, top-1 hit and recall of a second error. The figures are saved as
RUN/evaluation.json, which the window plots beside the training's own curves. Progress on stderr.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import options
from core.commands.console import Reporter
from core.errors import UserFacingError
from core.evaluation.held_out import pairs_to_measure, usual
from core.safe_files import write_whole

if TYPE_CHECKING:
    from core.runs.records import Checkpoint

PAIRS = 120
SHOWN = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "kl/ref_policy",
    "words/auroc/-reward",
    "words/auroc/-log_policy",
    "words/auroc/-log_ref",
    "words/hit/-reward",
    "words/second/-reward",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a folder with checkpoint-* in it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="your own pairs (prompt, chosen, rejected; JSONL, Parquet or a datasets folder); the "
        f"words that the chosen response lacks count as wrong (default: {usual() or 'none'})",
    )
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, metavar="N", help=f"how many pairs (default: {PAIRS})"
    )
    parser.add_argument(
        "--steps", type=_steps, metavar="10,20", help="only these checkpoints (default: all)"
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="DIR",
        help="the model that the run was trained against (default: what the run's files say, or "
        "the base, adapters off)",
    )
    parser.add_argument("--base", type=Path, metavar="DIR", help="the base, if it moved")
    parser.add_argument(
        "--beta",
        type=options.positive,
        default=None,
        help="of the training (default: what the run's files say; where they say nothing, rewards "
        "are log-ratios, in nats, without a loss, and are not saved)",
    )
    options.add_loading_arguments(parser)
    parser.add_argument(
        "--no-save", action="store_true", help="do not write RUN/evaluation.json, print only"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, save and print; returns the exit status.

    Raises:
        UserFacingError: there is no run, or its checkpoints, reference or pairs cannot be read.
    """
    if arguments.pairs < 2:
        raise UserFacingError("--pairs must be at least 2.")
    from core.checkpoints.runs import run_checkpoints, with_start
    from core.quantities import reward_unit
    from core.runs.records import EVALUATION

    with warnings.catch_warnings(), Reporter(sys.stderr) as reporter:
        warnings.simplefilter("ignore")  # between the libraries, not for the user
        checkpoints = wanted(arguments.run, run_checkpoints(arguments.run), arguments.steps)
        pairs = pairs_to_measure(arguments.data, arguments.pairs)
        from core.evaluation.over_steps import measure_run
        from core.models.load import load_pair

        if checkpoints:
            reporter.say(cost(checkpoints, len(pairs)))
        models, info = load_pair(options.run_spec(arguments), reporter.progress)
        if not info.reference:
            raise UserFacingError(
                f"The checkpoints in {arguments.run} are whole models, and nothing there says what "
                f"they were trained from: name that model with --reference DIR."
            )
        for note in info.notes:
            reporter.say(note)
        steps = measure_run(models, with_start(checkpoints), pairs, info.beta, reporter.progress)
        table = {
            "qscope": "evaluation",
            "data": str(arguments.data or usual()),
            "wrong_words": "differ from the chosen response" if arguments.data else "known",
            "pairs": len(pairs),
            "beta": info.beta,
            "unit": reward_unit(info.beta),
            "notes": list(info.notes),
            "reference": info.reference,
            "steps": steps,
        }
        if info.beta is None:
            reporter.say(
                "β is not known, so rewards are log-ratios, in nats, and are not saved beside "
                "the training's own: give it with --beta."
            )
        elif not arguments.no_save:
            save(arguments.run / EVALUATION, table, reporter)
    if arguments.json:
        print(json.dumps(table, allow_nan=False))
    else:
        print_table(steps)
    return 0


def wanted(
    run: Path, checkpoints: "tuple[Checkpoint, ...]", steps: Sequence[int] | None
) -> "tuple[Checkpoint, ...]":
    """Return the checkpoints to measure.

    Raises:
        UserFacingError: one of ``steps`` is not among them.
    """
    known = {checkpoint.step: checkpoint for checkpoint in checkpoints}
    for step in steps or ():
        if step not in known:
            there = ", ".join(map(str, known))
            raise UserFacingError(f"{run} has no checkpoint of step {step}: it has {there}.")
    return tuple(known[step] for step in sorted(set(steps))) if steps else checkpoints


def cost(checkpoints: "Sequence[Checkpoint]", pairs: int) -> str:
    """Say what is about to be done, and what it takes."""
    many = f"{len(checkpoints)} checkpoints on {pairs} pairs"
    if not any(checkpoint.whole for checkpoint in checkpoints):
        return f"{many}, adapters over one base."
    size = max(checkpoint.bytes for checkpoint in checkpoints) / 1e9
    return f"{many}; each is a whole model of {size:.1f} GB, read one after the other."


def save(path: Path, table: dict[str, Any], reporter: Reporter) -> None:
    """Write the figures; where that fails they are still printed."""
    text = json.dumps(table, allow_nan=False, indent=1) + "\n"
    try:
        write_whole(path, text.encode("utf-8"))
    except OSError as error:
        reporter.say(
            f"The figures could not be saved as {path} ({error.strerror}): they are printed only."
        )
    else:
        reporter.say(f"Saved as {path}; the window plots it with the run.")


def print_table(steps: Sequence[dict[str, float]]) -> None:
    """Print the main figures for a reader, a column for each step."""
    print(f"{'step':<26}" + "".join(f"{row['step']:>8}" for row in steps))
    for name in SHOWN:
        cells = [f"{row[name]:8.3f}" if name in row else "       -" for row in steps]
        if any(name in row for row in steps):
            print(f"{name:<26}" + "".join(cells))


def _steps(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of steps such as 10,20")
    return [int(part) for part in parts]
