"""Sweep beam widths (the paper's Fig. 2): win rate and length of what each width finds.

For every prompt and every width a beam search finds a response; a judge compares it with the
reference response (or the reference model's greedy one). Prints, for each width, the win rate with
its 95% interval (Wilson; a tie is half a win) and the mean length in tokens, the closing one
included (bootstrap over prompts). The prompts are the demo's own held-out posts, or a file of
{"prompt", "system"?, "chosen"?} a line.

Judges, the one used is printed and drawn:
  facts          the demo's fact checker: right facts less 2 x wrong values (the demo's posts only)
  reward         the pair's own implicit reward: it judges itself, so expect over-optimisation
  model DIR      a Hugging Face reward model (sequence classification, one label)
  verdicts FILE  {"prompt", "a", "b", "winner": "a" | "b" | "tie"} a line, written by people or by
                 another model; --write-pairs FILE writes the pairs to be judged

With --resume FILE every finished answer is kept there, and a second run with the same FILE goes on
where the first one stopped; another judge needs no new search.
"""

import argparse
import contextlib
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import options
from core.commands.console import Reporter
from core.errors import UserFacingError

if TYPE_CHECKING:
    from core.engine.protocol import PairSpec
    from core.sweeps.questions import Question
    from core.sweeps.record import JudgeSpec, SweepSpec
    from core.sweeps.run import Sweep

KINDS = ("facts", "reward", "model", "verdicts")


def widths(text: str) -> tuple[int, ...]:
    """Beam widths as 1,2,5 for argparse."""
    from core.sweeps.record import parse_widths

    try:
        return parse_widths(text)
    except UserFacingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def finite(text: str) -> float:
    """A finite number, for argparse."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "--prompts",
        type=int,
        metavar="N",
        help="how many prompts (default: 20 posts, a whole file)",
    )
    parser.add_argument(
        "--prompt-file", type=Path, metavar="F", help="prompts of your own, JSON Lines"
    )
    parser.add_argument(
        "--widths", type=widths, metavar="W,W", help="beam widths (default: 1,2,3,5,8,16)"
    )
    parser.add_argument(
        "--judge",
        nargs="+",
        metavar=("JUDGE", "PATH"),
        help="facts, reward, model DIR or verdicts FILE (default, for the demo's posts: facts)",
    )
    parser.add_argument(
        "--against",
        choices=("chosen", "reference-greedy"),
        default="chosen",
        help="what to beat: the prompt's reference response (\"chosen\"), or the reference model's "
        "greedy one (default: chosen)",
    )
    parser.add_argument(
        "--objective",
        type=finite,
        default=1.0,
        metavar="λ",
        help="what the search adds up: log π_ref + λ log(π/π_ref) (default: 1, the policy's "
        "likelihood)",
    )
    parser.add_argument("--max-new-tokens", type=int, default=64, metavar="N", help="(default: 64)")
    parser.add_argument(
        "--length-penalty",
        type=finite,
        default=0.0,
        metavar="X",
        help="hypotheses are ranked by score / length^X (default: 0, the sum)",
    )
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep finished answers here")
    parser.add_argument("--write-pairs", type=Path, metavar="FILE", help="write pairs to be judged")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, every row in it"
    )
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the figure into a file")
    parser.add_argument("--theme", choices=("light", "dark"), default="light", help="of the figure")
    parser.add_argument(
        "--size", type=options.size, default=(1100, 520), metavar="WxH", help="of the figure"
    )
    options.add_pair_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Sweep and print; returns the exit status.

    Raises:
        UserFacingError: a file cannot be used, the pair cannot be loaded or not go on.
    """
    parser: argparse.ArgumentParser = arguments.parser
    options.require_pair(parser, arguments)
    pair_spec = options.pair_spec(parser, arguments)
    judge = judge_of(parser, arguments)

    from core.sweeps.questions import questions_of
    from core.sweeps.record import WIDTHS, SweepSpec, as_json
    from core.sweeps.run import check

    spec = SweepSpec(
        judge=judge,
        widths=arguments.widths or WIDTHS,
        prompts=arguments.prompts,
        prompt_file=str(arguments.prompt_file or ""),
        against=arguments.against,
        objective=arguments.objective,
        max_tokens=arguments.max_new_tokens,
        length_penalty=arguments.length_penalty,
    )
    # All that can be wrong is found out before the models are loaded.
    check(spec)
    questions = questions_of(spec)
    for path in (arguments.resume, arguments.write_pairs, arguments.png):
        writable(path)
    with Reporter(sys.stderr) as reporter:
        sweep = swept(pair_spec, spec, questions, arguments.resume, reporter)
    result = as_json(sweep.info, sweep.rows)
    if arguments.write_pairs:
        write_pairs(arguments.write_pairs, sweep)
    if arguments.json:
        print(json.dumps(result, allow_nan=False), flush=True)
    else:
        print_table(result)
    if arguments.png:
        arguments.draw(sweep.info, sweep.rows, arguments.png, arguments.theme, arguments.size)
    return 0


def judge_of(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> "JudgeSpec | None":
    """The judge that the options name; a wrong name ends the program with status 2."""
    from core.sweeps.record import JudgeSpec

    words = arguments.judge or []
    if not words:
        if not arguments.prompt_file:
            words = ["facts"]
        elif arguments.write_pairs:
            return None
        else:
            parser.error("a file of prompts needs --judge (or --write-pairs, to have it judged)")
    kind, *rest = words
    if kind not in KINDS:
        parser.error(f"there is no judge {kind!r}: choose facts, reward, model DIR, verdicts FILE")
    if len(rest) != (kind in ("model", "verdicts")):
        parser.error(
            {"model": "--judge model DIR", "verdicts": "--judge verdicts FILE"}.get(
                kind, f"--judge {kind} takes nothing more"
            )
        )
    if kind == "facts" and arguments.prompt_file:
        parser.error("the fact judge knows only the demo's own posts, not --prompt-file")
    return JudgeSpec(
        kind, rest[0] if rest else "", arguments.allow_pickle, arguments.trust_remote_code
    )


def swept(
    pair_spec: "PairSpec",
    spec: "SweepSpec",
    questions: "list[Question]",
    resume: Path | None,
    reporter: Reporter,
) -> "Sweep":
    """Load the pair and the judge, and sweep to the end."""
    from core.models.load import load_pair
    from core.sweeps.judges import make_judge
    from core.sweeps.run import Answers, Sweep

    reporter.progress("Preparing the judge", None)
    judge = make_judge(spec.judge, pair_spec.device) if spec.judge else None
    pair, info = load_pair(pair_spec, reporter.progress, lambda: False)
    with contextlib.closing(Answers(pair, info, resume)) as answers:
        known = len(answers)
        sweep = Sweep(pair, info, spec, questions, judge, answers)
        reporter.say(f"{sweep.info.title}; {sweep.info.subtitle()}")
        if known:
            reporter.say(f"{known} answers are known from {resume}.")
        while not sweep.ended:
            pair.trim([sweep.nodes()])
            sweep.step()
            if (change := pair.changed()) is not None:
                reporter.say(change.sentence)
            reporter.count(f"{sweep.what} ({sweep.fraction:.0%})")
    return sweep


def writable(path: Path | None) -> None:
    """Raise UserFacingError where a file could not be written; makes its folder."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise UserFacingError(f"{path} is a folder: name a file.")
    except OSError as error:
        raise UserFacingError(f"{path.parent} cannot be made: {error.strerror}.") from error


def write_pairs(path: Path, sweep: "Sweep") -> None:
    """Write the pairs of texts to be judged."""
    from core.sweeps.judges import pairs_to_judge

    lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs_to_judge(sweep.rows)]
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserFacingError(f"{path} cannot be written: {error.strerror}.") from error


def print_table(result: dict[str, Any]) -> None:
    """Print the figures for a reader."""
    print(f"policy     {result['policy']}\nreference  {result['reference']}")
    print(f"judge      {result['judge']}\nagainst    {result['against']}")
    _print_row(
        "width", "win rate", "95%", "win/tie/loss", "gain", "tokens", "95%", "closed", "Σ log π",
        "Σ r/β",
    )  # fmt: skip
    for row in result["figures"]:
        _print_row(
            str(row["width"]),
            _shown(row["win_rate"], 3),
            _interval(row, "win_rate", 3),
            f"{row['wins']}/{row['ties']}/{row['losses']}",
            _shown(row["gain"], 3),
            _shown(row["tokens"], 1),
            _interval(row, "tokens", 1),
            _shown(row["finished"], 2),
            _shown(row["sum_policy"], 2),
            _shown(row["log_ratio"], 2),
        )
    unjudged = sum(row["prompts"] - row["judged"] for row in result["figures"])
    if unjudged:
        print(f"{unjudged} answers have no verdict and count in no win rate.")
    print(f"{result['prompts']} prompts; {result['intervals']}")


def _print_row(*cells: str) -> None:
    sizes = (5, 8, 11, 12, 6, 6, 11, 6, 8, 6)
    print("  ".join(f"{cell:>{size}}" for cell, size in zip(cells, sizes, strict=True)))


def _interval(row: dict[str, Any], name: str, digits: int) -> str:
    return f"{_shown(row[f'{name}_low'], digits)}–{_shown(row[f'{name}_high'], digits)}"


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
