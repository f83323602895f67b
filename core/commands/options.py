"""The options that say which pair to load, shared by the window and the commands.

Imports nothing heavy: the command line must answer at once.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserFacingError
from core.setting import Setting, figure

if TYPE_CHECKING:
    from core.engine.protocol import PairInfo, PairSpec
    from core.models.pair import Pair


def positive(text: str) -> float:
    """Return a finite number above zero, for argparse."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def size(text: str) -> tuple[int, int]:
    """Return a size in pixels, as 1400x900, for argparse."""
    width, separator, height = text.lower().partition("x")
    if not (separator and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1400x900")
    pixels = int(width), int(height)
    if not all(200 <= side <= 10_000 for side in pixels):
        raise argparse.ArgumentTypeError(f"{text!r}: each side has 200 to 10000 pixels")
    return pixels


def columns(text: str) -> dict[str, str]:
    """Return columns by what they are, as prompt=question,response=a, for argparse."""
    from core.dataset.rows import parse_columns

    try:
        return parse_columns(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_setting(
    parser: argparse.ArgumentParser, option: str, setting: Setting, metavar: str | None = None
) -> None:
    """Declare an option that is made from a setting; its help says its meaning and default."""

    def parse(text: str) -> Any:
        try:
            return setting.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    default = "" if setting.default is None else f" (default: {figure(setting.default)})"
    parser.add_argument(
        option,
        type=parse,
        choices=setting.words or None,
        default=setting.default,
        metavar=metavar,
        help=f"{setting.meaning[0].lower()}{setting.meaning[1:]}{default}",
    )


def add_pair_arguments(parser: argparse.ArgumentParser, *, run: bool = True) -> None:
    """Declare the options that name a pair of checkpoints and say how to load them.

    ``run``: ``--run`` among them; the window has one of its own.
    """
    pair = parser.add_argument_group("the pair (the demo pair if none is given)")
    pair.add_argument("--demo", action="store_true", help="the demo pair, fetched on first use")
    pair.add_argument(
        "--policy",
        type=Path,
        metavar="DIR",
        help="the DPO policy: the folder of a model, an adapter or a run, a GGUF file, or org/name",
    )
    if run:
        pair.add_argument(
            "--run",
            type=Path,
            metavar="DIR",
            help="a training run's folder, in place of --policy: its last checkpoint is the "
            "policy, and the reference is found there unless it is named",
        )
    pair.add_argument(
        "--reference",
        type=Path,
        metavar="DIR",
        help="the model that the policy was trained against: a model folder or an adapter "
        "(default: what lies with the policy or is named by its files, else an adapter's base; a "
        "whole model may have none, and then only what needs no reference is shown)",
    )
    pair.add_argument(
        "--base", type=Path, metavar="DIR", help="the base model of the adapters, if they moved"
    )
    pair.add_argument(
        "--search-base",
        type=Path,
        metavar="DIR",
        help="a third, larger model that searches can steer (emulated fine-tuning)",
    )
    pair.add_argument(
        "--beta",
        type=positive,
        default=None,
        help="the beta of the training (default: what its files say; where they say nothing, "
        "rewards are log-ratios, in nats)",
    )
    pair.add_argument(
        "--loss",
        metavar="NAME",
        default="",
        help="of the training, as trainers write it: sigmoid, ipo, kto, simpo, orpo, ..., several "
        "joined by commas (default: what the checkpoint's files say)",
    )
    add_loading_arguments(pair)


def add_loading_arguments(group: "argparse._ActionsContainer") -> None:
    """Declare the options that say how models are loaded."""
    group.add_argument(
        "--plain",
        action="store_true",
        help="read prompt and response as plain text, one after the other, as a training on plain "
        "text did: no chat template",
    )
    group.add_argument(
        "--trainer",
        default="",
        choices=("dpo", "kto", "cpo", "orpo", "none"),
        help="TRL's trainer of the policy, to score what it scores around a response; with none "
        "nothing behind the closing token is (default: what the checkpoint's files say)",
    )
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="of the weights in memory; logits are always float32",
    )
    group.add_argument(
        "--allow-pickle",
        action="store_true",
        help="load .bin weights too: pickle files can run any code, so only from people you trust",
    )
    group.add_argument(
        "--download",
        action="store_true",
        help="download a model that is named as on huggingface.co (org/name, or org/name@revision) "
        "and is not in its cache; else it must be there",
    )
    group.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run model code that lies in the checkpoint's folder, only from people you trust",
    )


def require_pair(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End the program with status 2 unless the options name a pair."""
    if not (arguments.demo or arguments.policy or arguments.run):
        parser.error("give --policy, with --reference if there is one, or --run, or --demo")


def pair_spec(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> "PairSpec":
    """Return the pair that the options name; wrong combinations end the program with status 2."""
    own = [name for name in ("policy", "run", "reference", "base") if getattr(arguments, name)]
    if arguments.demo and own:
        parser.error(f"--demo and --{own[0]} exclude each other")
    if arguments.policy and arguments.run:
        parser.error("--policy and --run exclude each other")
    if own and not (arguments.policy or arguments.run):
        parser.error(f"--{own[0]} needs --policy or --run")
    from core.engine.protocol import PairSpec

    return PairSpec(
        demo=not own,
        policy=str(arguments.policy or ""),
        reference=str(arguments.reference or ""),
        base=str(arguments.base or ""),
        run=str(arguments.run or ""),
        search_base=str(arguments.search_base or ""),
        beta=arguments.beta,
        loss=arguments.loss,
        device=arguments.device,
        dtype=arguments.dtype,
        allow_pickle=arguments.allow_pickle,
        allow_remote_code=arguments.trust_remote_code,
        plain=arguments.plain,
        trainer=arguments.trainer,
        download="yes" if arguments.download else "",
    )


def show(pair: "Pair", info: "PairInfo", step: int) -> "PairInfo":
    """Let the policy be the run's checkpoint of a step.

    Raises:
        UserFacingError: there is none.
    """
    paths = {checkpoint.step: checkpoint.path for checkpoint in info.checkpoints}
    if step not in paths:
        raise UserFacingError(
            f"The run has no whole checkpoint of step {step}: choose one of "
            f"{', '.join(map(str, paths))}."
        )
    pair.use(paths[step])
    return info.at(paths[step])


def with_checkpoints(runs: Sequence[Path]) -> Path | None:
    """Return the first of the runs, if it has checkpoints that can be a pair's policy."""
    return next((run for run in runs[:1] if any(run.glob("checkpoint-*"))), None)
