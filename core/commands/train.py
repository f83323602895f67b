"""Train a pair from a recipe: SFT, then DPO, with LoRA through TRL's trainers.

Writes the adapters to DIR/sft (the reference) and DIR/dpo (the policy), and DPO's checkpoints to
DIR/dpo-checkpoints, which the window can scrub through. A recipe without SFT steps starts DPO from
the base, which then is the reference. Run it again with the
same DIR to go on where it stopped. Uses a GPU where there is one. The base of the demo pair is
fetched on first use.
"""

import argparse
import sys
import warnings
from pathlib import Path

from core.commands.console import Reporter
from core.errors import UserFacingError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", type=Path, required=True, metavar="FILE", help="a recipe, TOML")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where adapters and checkpoints go"
    )
    parser.add_argument(
        "--ship",
        type=Path,
        metavar="DIR2",
        help="then copy the DPO run's log and its checkpoints' adapters, small, to this folder",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train what the recipe says; returns the exit status.

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

    from core.demo.pair import demo_base
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
