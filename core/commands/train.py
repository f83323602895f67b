"""Start, stop, resume and look at a training run, and measure its checkpoints.

  train start --data pairs.jsonl --out runs/mine     SFT, then DPO, in a process of its own
  train status runs/mine                             where it is
  train stop runs/mine                               save a checkpoint and end
  train resume runs/mine                             continue from the last checkpoint
  train evaluate runs/mine                           localisation over its steps
  train demo --recipe R.toml --out runs/demo         the demo's pair, as it was made

The process continues when the terminal is closed; what it prints is in RUN/output.txt. On many GPUs
it uses all of them; on several machines start it yourself, with the same folder on each:
accelerate launch -m core.training.worker --job RUN/qscope-run.json
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

from core.commands import evaluate, options
from core.commands.console import Reporter
from core.errors import UserFacingError

DEMO = """Train a pair from a recipe: SFT, then DPO, with LoRA through TRL's trainers.

Writes the adapters to DIR/sft (the reference) and DIR/dpo (the policy), and DPO's checkpoints to
DIR/dpo-checkpoints, which the window can scrub through. A recipe without SFT steps starts DPO from
the base, which then is the reference. Run it again with the same DIR to resume where it stopped.
Uses a GPU where there is one. The base of the demo pair is fetched on first use.
"""
Act = Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    def add(name: str, act: Act, what: str, about: str | None = None) -> argparse.ArgumentParser:
        action = actions.add_parser(
            name, help=what, description=about, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        action.set_defaults(act=act)
        return action

    _add_job(add("start", start, "start a run"))
    of_a_run = [
        add("stop", stop, "ask a run to save a checkpoint and end"),
        add("resume", resume, "continue a run that was stopped or died"),
        add("status", status, "say where a run is"),
    ]
    for action in of_a_run:
        action.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    of_a_run[-1].add_argument("--json", action="store_true", help="print one JSON object")
    what = "measure every checkpoint on held-out pairs"
    evaluate.add_arguments(add("evaluate", evaluate.run, what, evaluate.__doc__))
    recipe = add("demo", demo, "train the demo's pair from a recipe", DEMO)
    for option, metavar, required, what in (
        ("--recipe", "FILE", True, "a recipe, TOML"),
        ("--out", "DIR", True, "where adapters and checkpoints go"),
        ("--ship", "DIR2", False, "then copy the DPO run's log and its checkpoints' adapters, "
         "small, to this folder"),
    ):  # fmt: skip
        recipe.add_argument(option, type=Path, required=required, metavar=metavar, help=what)


def _add_job(parser: argparse.ArgumentParser) -> None:
    """Declare an option for each field of a job."""
    from core.setting import settings_of
    from core.training.job import TrainingJob

    data = "preference pairs, as the command data reads them"
    parser.add_argument("--data", required=True, metavar="PATH", help=data)
    parser.add_argument("--out", required=True, metavar="DIR", help="the run's folder")
    base = "the model to train (default: the demo's base)"
    parser.add_argument("--base", default="", metavar="DIR", help=base)
    for option, name, what in (
        ("--no-sft", "sft", "no SFT first: the base is the reference"),
        ("--plain", "chat", "give plain text to the model as it is, not in its chat template"),
    ):
        parser.add_argument(option, action="store_false", dest=name, help=what)
    for setting in settings_of(TrainingJob):
        options.add_setting(parser, f"--{setting.name.replace('_', '-')}", setting, "N")


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says; return the exit status.

    Raises:
        UserFacingError: the run or what it needs cannot be used.
    """
    act: Act = arguments.act
    return act(arguments)


def start(arguments: argparse.Namespace) -> int:
    """Check the job and its data, start it and say where it can be followed."""
    from core.preferences import inspect_preferences
    from core.training import process
    from core.training.job import TrainingJob

    names = [field.name for field in fields(TrainingJob)]
    job = TrainingJob(**{name: vars(arguments)[name] for name in names})
    info = inspect_preferences(Path(job.data))
    out = process.start(job)
    kind = "conversations" if info.conversational else "plain text"
    for problem in info.problems:
        print(problem)
    print(f"Training on {info.rows} pairs ({kind}) in {out}; what it prints is in its output.txt.")
    return 0


def stop(arguments: argparse.Namespace) -> int:
    """Ask a run to end."""
    from core.training import process

    process.stop(arguments.run)
    print(f"{arguments.run} stops after this step.")
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """Continue a run."""
    from core.training import process
    from core.training.job import OUTPUT

    process.resume(arguments.run)
    print(f"{arguments.run} is resumed; what it prints is in {arguments.run / OUTPUT}.")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print where a run is."""
    from core.training import process

    state = process.state_of(arguments.run)
    table = {**asdict(state), "run": str(state.run), "sentence": state.sentence()}
    print(json.dumps(table) if arguments.json else state.sentence())
    return 0


def demo(arguments: argparse.Namespace) -> int:
    """Train what the recipe says.

    Raises:
        UserFacingError: the recipe cannot be used, DIR cannot be written, or there is no base.
    """
    from core.demo.recipe import load_recipe

    recipe = load_recipe(arguments.recipe)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserFacingError(
            f"The folder {arguments.out} cannot be made ({error.strerror}): choose another --out."
        ) from error

    from core.demo.base import demo_base
    from core.demo.training import ship, train

    with warnings.catch_warnings(), Reporter(sys.stderr) as reporter:
        warnings.simplefilter("ignore", FutureWarning)  # between the libraries, not for the user
        base = demo_base(reporter.progress)
        train(recipe, base, arguments.out, reporter.progress)
        made = [arguments.out / name for name in ("sft", "dpo") if (arguments.out / name).exists()]
        reporter.say(f"Trained: {' and '.join(map(str, made))}.")
        if arguments.ship is not None:
            ship(recipe, arguments.out, arguments.ship)
            reporter.say(f"The run is {arguments.ship}.")
    return 0
