"""Search for responses, and print the hypotheses found, without a window.

The objective λ weighs the models: 0 is the reference's likelihood, 1 the policy's (which is reward
less KL cost), above 1 extrapolates; "reward" is the reward alone. With --json the hypotheses are
one JSON object; --tree adds every node that was grown, kept or pruned, and why. Numbers are in
nats.
"""

import argparse
import json
import math
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import options
from core.commands.console import Reporter
from core.commands.score import check_text, read_text
from core.search.grown import GrownTree, Reason, Status
from core.search.spec import WEIGHT, Objective, SearchSpec, Strategy, check
from core.search.strategies import strategies
from core.search.strategies.beam import Beam
from core.setting import figure, parsed, settings_of

if TYPE_CHECKING:
    from core.engine.protocol import PairInfo
    from core.noise import NoiseFloor

COLUMNS = ("logp_policy", "logp_reference", "logp_base", "logit", "logsumexp", "kl")
SUMS = ("sum_policy", "sum_reference")


def objective(text: str) -> Objective:
    """Return the objective of λ, a number, or of "reward", for argparse."""
    if text == "reward":
        return Objective.reward()
    weight = float(text)
    if not math.isfinite(weight):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a finite number nor 'reward'")
    return Objective.dial(weight)


def setting(text: str) -> tuple[str, str]:
    """Split NAME=VALUE, a strategy's own setting, for argparse."""
    name, _, value = text.partition("=")
    if not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.replace("-", "_"), value


def strategies_in_words() -> str:
    """Return what ``--help`` says of each strategy and its settings, from their records."""

    def wrapped(line: str, indent: int) -> list[str]:
        return textwrap.wrap(line, 100, subsequent_indent=" " * indent)

    lines = ["strategies, and the settings of each (--set NAME=VALUE):"]
    for name, kind in strategies().items():
        lines += wrapped(f"  {name:<12}{kind.title}. {kind.meaning}", 14)
        for found in settings_of(kind):
            default = f"{found.name}={figure(found.default)}"
            lines += wrapped(f"    {default:<18}{found.described}", 22)
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; those of strategies are made from their records."""
    parser.set_defaults(parser=parser)
    parser.epilog = strategies_in_words()
    parser.add_argument(
        "--prompt-file", type=Path, metavar="F", required=True, help="the user's turn"
    )
    parser.add_argument("--system", metavar="S", help="a system turn before the user's")
    parser.add_argument(
        "--response-file", type=Path, metavar="G", help="the beginning of the response"
    )
    parser.add_argument("--strategy", choices=strategies(), default=Beam.name, help="default: beam")
    parser.add_argument("--beams", type=int, metavar="K", help="width of a beam (default: 5)")
    parser.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the strategy; they are listed below",
    )
    known = {found.name: found for found in settings_of(SearchSpec)}
    options.add_setting(parser, "--max-new-tokens", known["max_tokens"], "N")
    parser.add_argument(
        "--objective",
        type=objective,
        default=Objective.dial(WEIGHT.default),
        metavar="λ",
        help="the weight of the reward: a number, or 'reward' (default: 1, policy likelihood)",
    )
    parser.add_argument(
        "--emulate",
        type=options.positive,
        metavar="W",
        help="emulated fine-tuning: add W times the reward to --search-base's likelihood",
    )
    options.add_setting(parser, "--length-penalty", known["length_penalty"], "A")
    parser.add_argument(
        "--policy-only", action="store_true", help="leave the reference out, which is faster"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--tree", action="store_true", help="with --json: every node as well")
    options.add_pair_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search and print; returns the exit status.

    Raises:
        UserFacingError: a file cannot be read, the pair cannot be loaded, or the search is refused.
    """
    parser: argparse.ArgumentParser = arguments.parser
    options.require_pair(parser, arguments)
    if arguments.tree and not arguments.json:
        parser.error("--tree needs --json")
    if arguments.emulate and not arguments.search_base:
        parser.error("--emulate needs --search-base")
    pair_spec = options.pair_spec(parser, arguments)
    aim = Objective.emulated(arguments.emulate) if arguments.emulate else arguments.objective
    spec = SearchSpec(
        strategy(parser, arguments),
        objective=aim,
        max_tokens=arguments.max_new_tokens,
        length_penalty=arguments.length_penalty,
        policy_only=arguments.policy_only,
    )
    text = read_text(arguments.prompt_file)
    check_text(text, "prompt", str(arguments.prompt_file))
    begun = read_text(arguments.response_file) if arguments.response_file else ""

    from core.models.load import load_pair
    from core.models.noise import Measurement
    from core.search.run import Run
    from core.text import Prompt

    check(spec)
    with Reporter(sys.stderr) as reporter:
        pair, info = load_pair(pair_spec, reporter.progress)
        for note in info.notes:
            reporter.say(note)
        prompt = Prompt.of(text, system=arguments.system)
        prefix = pair.codec.encode(prompt, begun).ids if begun else ()
        search, tree = Run(pair, prompt, prefix, spec), GrownTree()
        while (growth := search.step()) is not None:
            if (change := pair.changed()) is not None:
                reporter.say(change.sentence)
            tree.add(growth)
            reporter.progress("Searching", growth.step.fraction)
        floor = Measurement(pair).finish() if arguments.json else None
    if arguments.json:
        table = as_json(info, tree, spec, floor)
        table |= {"seconds": search.seconds, "tokens_computed": search.computed}
        if arguments.tree:
            table["nodes"] = nodes_as_json(tree)
        print(json.dumps(table, allow_nan=False))
    else:
        print_table(tree, spec, info)
    return 0


def strategy(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Strategy:
    """Return the strategy with its settings; unknown ones end the program with status 2."""
    texts = dict(arguments.set)
    if arguments.beams is not None:
        texts["width"] = str(arguments.beams)
    try:
        return parsed(strategies()[arguments.strategy], texts)
    except ValueError as error:
        parser.error(f"{arguments.strategy}: {error}")


def as_json(
    info: "PairInfo", tree: GrownTree, spec: SearchSpec, floor: "NoiseFloor | None"
) -> dict[str, Any]:
    """Return the hypotheses found, the best first, each with the noise of its log-ratio in nats."""
    from core.noise import as_json as noise_json
    from core.noise import total_of

    found = tree.hypotheses(spec)
    longest = max((h.length for h in found), default=1)
    return {
        "policy": info.policy,
        "reference": info.reference or None,
        "loss": info.objective.name or None,
        "search_base": info.search_base or None,
        "beta": info.beta,
        "unit": info.unit,
        "notes": list(info.notes),
        "strategy": type(spec.strategy).__name__,
        "objective": asdict(spec.objective),
        "attention": info.cache,
        "noise": noise_json(floor, info.dtype, longest),
        "hypotheses": [
            {
                "text": h.text,
                "ids": list(h.ids),
                "score": h.score,
                "sum_logp_policy": h.sum_policy,
                "sum_logp_reference": _number(h.sum_reference),
                "total_reward": _number(info.weight * (h.sum_policy - h.sum_reference)),
                "noise": total_of(floor, h.length),
                "length": h.length,
                "finished": tree.is_closed(h.index),
                "eq12_reward_less_kl": _number(info.weight * h.reward_side),
                "eq13_policy_likelihood": info.weight * h.likelihood_side,
            }
            for h in found
        ],
    }


def nodes_as_json(tree: GrownTree) -> list[dict[str, Any]]:
    """Return every node, parents before children; ``parent`` is an index into this list."""
    rows = []
    for i in range(len(tree)):
        row: dict[str, Any] = {
            "parent": int(tree.parent[i]),
            "token": int(tree.token[i]),
            "text": tree.pieces[i].decode("utf-8", "replace"),
            "status": Status(int(tree.status[i])).name.lower(),
            "reason": Reason(int(tree.reason[i])).words,
            "step": int(tree.step[i]),
            "visits": int(tree.visits[i]),
        }
        row |= {name: _number(float(tree.column(name)[i])) for name in (*COLUMNS, *SUMS)}
        rows.append(row)
    return rows


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def print_table(tree: GrownTree, spec: SearchSpec, info: "PairInfo") -> None:
    """Print the hypotheses for a person to read."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    reference = info.reference or "none: only the policy's likelihood can be searched for"
    print(f"policy     {info.policy}\nreference  {reference}\nattention  {info.cache}")
    total = "Σ reward" if info.beta is not None else "Σ nat"
    print(f"{'score':>9} {'Σ log π':>9} {'Σ log π_ref':>12} {total:>9} {'tokens':>7}  text")
    for h in tree.hypotheses(spec):
        reward = info.weight * (h.sum_policy - h.sum_reference)
        end = "" if tree.is_closed(h.index) else " …"
        known = math.isfinite(h.sum_reference)
        of_reference = (
            f"{h.sum_reference:>12.3f} {reward:>+9.3f}" if known else f"{'–':>12} {'–':>9}"
        )
        print(
            f"{h.score:>9.3f} {h.sum_policy:>9.3f} {of_reference} {h.length:>7}  "
            f"{h.text.strip()}{end}"
        )
