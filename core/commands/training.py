"""Start, stop, resume and look at a training run, and measure its checkpoints.

  training start --data pairs.jsonl --out runs/mine     SFT, then DPO, in a process of its own
  training status runs/mine                             where it is
  training stop runs/mine                               save a checkpoint and end
  training resume runs/mine                             go on from the last checkpoint
  training evaluate runs/mine                           localisation over its steps

The process goes on when the terminal is closed; what it prints is in RUN/output.txt. On many GPUs
it uses all of them; on several machines start it yourself, with the same folder on each:
accelerate launch -m core.training.worker --job RUN/qscope-run.json
"""

import argparse
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from core.commands import evaluate, options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    measured = actions.add_parser(
        "evaluate",
        help="measure every checkpoint on held-out pairs",
        description=evaluate.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    evaluate.add_arguments(measured)
    _add_start(actions.add_parser("start", help="start a run", allow_abbrev=False))
    for name, what in (
        ("stop", "ask a run to save a checkpoint and end"),
        ("resume", "go on with a run that was stopped or died"),
        ("status", "say where a run is"),
    ):
        action = actions.add_parser(name, help=what, allow_abbrev=False)
        action.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
        if name == "status":
            action.add_argument("--json", action="store_true", help="print one JSON object")


def _add_start(parser: argparse.ArgumentParser) -> None:
    from core.training.job import TrainingJob

    usual: dict[str, Any] = {
        field.name: field.default for field in fields(TrainingJob) if field.default is not None
    }
    parser.add_argument(
        "--data", type=Path, required=True, metavar="PATH",
        help="preference pairs: JSON Lines, JSON, Parquet, CSV or a saved datasets folder",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--base", type=Path, metavar="DIR", help="the model to train (default: the demo's base)"
    )
    parser.add_argument(
        "--no-sft", action="store_false", dest="sft", help="no SFT first: the base is the reference"
    )
    parser.add_argument(
        "--plain", action="store_false", dest="chat",
        help="give plain text to the model as it is, not in its chat template",
    )  # fmt: skip
    for name, kind, what in (
        ("sft_steps", int, "steps of SFT"),
        ("sft_rate", options.positive, "peak learning rate of SFT"),
        ("beta", options.positive, "beta of DPO"),
        ("rank", int, "of the LoRA adapter; 0 trains all parameters"),
        ("alpha", int, "of the LoRA adapter"),
        ("steps", int, "steps of DPO"),
        ("batch_size", int, "pairs that one device takes at once"),
        ("accumulation", int, "batches that make a step"),
        ("learning_rate", options.positive, "peak learning rate of DPO"),
        ("save_steps", int, "steps between checkpoints; 0: about twelve in all"),
        ("max_length", int, "most tokens of a prompt with its response"),
        ("seed", int, "of the order of the pairs and of the fresh adapter"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=usual[name], metavar="N",
            help=f"{what} (default: {usual[name]:g})",
        )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says; returns the exit status.

    Raises:
        UserFacingError: the run or what it needs cannot be used.
    """
    if arguments.action == "evaluate":
        return evaluate.run(arguments)
    from core.training import process
    from core.training.job import OUTPUT

    if arguments.action == "start":
        return start(arguments)
    if arguments.action == "status":
        state = process.state_of(arguments.run)
        table = {**asdict(state), "run": str(state.run), "sentence": state.sentence()}
        print(json.dumps(table) if arguments.json else state.sentence())
        return 0
    if arguments.action == "stop":
        process.stop(arguments.run)
        print(f"{arguments.run} stops after this step.")
    else:
        process.resume(arguments.run)
        print(f"{arguments.run} goes on; what it prints is in {arguments.run / OUTPUT}.")
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Check the job and its data, start it and say where it can be followed."""
    from core.preferences import inspect_preferences
    from core.training import process
    from core.training.job import TrainingJob

    names = {field.name for field in fields(TrainingJob)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    paths = {name: str(given[name] or "") for name in ("data", "out", "base")}
    job = TrainingJob(**{**given, **paths})
    info = inspect_preferences(arguments.data)
    out = process.start(job)
    kind = "conversations" if info.conversational else "plain text"
    print(f"Training on {info.pairs} pairs ({kind}) in {out}; what it prints is in its output.txt.")
    return 0
