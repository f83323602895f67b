"""Sweep beam widths (the paper's Fig. 2): win rate and length of what each width finds.

For every prompt and every width a beam search finds a response; a judge compares it with the
reference response (or the reference model's greedy one). Prints, for each width, the win rate with
its 95% interval (Wilson; a tie is half a win) and the mean length in tokens, the closing one
included (bootstrap over prompts). The prompts are posts that training never saw, or a file of
{"prompt", "system"?, "chosen"?} a line.

With --resume FILE every finished answer is written there, and a second run with the same FILE
resumes where the first one stopped; another judge needs no new search.
"""

import argparse
import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.commands import options
from core.commands.console import Reporter
from core.errors import UserFacingError
from core.safe_files import write_whole
from core.setting import settings_of
from core.sweeps.judges import judge_kinds, make_judge, pairs_to_judge
from core.sweeps.problems import check, problems
from core.sweeps.questions import questions_of, source_of
from core.sweeps.record import JudgeSpec, SweepSpec, as_json

if TYPE_CHECKING:
    from core.engine.protocol import PairSpec
    from core.sweeps.questions import Question
    from core.sweeps.run import Sweep

COLUMNS = (
    ("width", 5), ("win rate", 8), ("95%", 11), ("win/tie/loss", 12), ("gain", 6), ("tokens", 6),
    ("95%", 11), ("closed", 6), ("Σ log π", 8), ("Σ r/β", 6),
)  # fmt: skip


def judges_in_words() -> str:
    """Return what ``--help`` says of each judge."""
    lines = ["judges (the one that is used is printed and drawn):"]
    for kind in judge_kinds().values():
        lines.append(f"  {kind.kind} {kind.takes}".ljust(17) + kind.meaning)
    lines.append("Pairs for a file of verdicts are written by --write-pairs.")
    return "\n".join(lines)


def made_for(source: str) -> str:
    """Return the judge that is made for a source of prompts; "" if there is none."""
    return next(
        (name for name, kind in judge_kinds().items() if source and kind.source == source), ""
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; most are made from the sweep's record."""
    parser.set_defaults(parser=parser)
    parser.epilog = judges_in_words()
    known = {setting.name: setting for setting in settings_of(SweepSpec)}
    options.add_setting(parser, "--prompts", known["prompts"], "N")
    parser.add_argument(
        "--prompt-file", type=Path, metavar="F", help="prompts of your own, JSON Lines"
    )
    options.add_setting(parser, "--widths", known["widths"], "W,W")
    parser.add_argument(
        "--judge",
        nargs="+",
        metavar=("JUDGE", "PATH"),
        help="one of those listed below (default, where no file of prompts is given: "
        f"{made_for(source_of(SweepSpec(None))) or 'none'})",
    )
    options.add_setting(parser, "--against", known["against"])
    options.add_setting(parser, "--objective", known["objective"], "λ")
    options.add_setting(parser, "--max-new-tokens", known["max_tokens"], "N")
    options.add_setting(parser, "--length-penalty", known["length_penalty"], "X")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="write finished answers here, and resume"
    )
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
    spec = sweep_spec(parser, arguments)
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


def sweep_spec(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> SweepSpec:
    """Return the sweep that the options ask for; a wrong judge ends the program with status 2."""
    words = arguments.judge or []
    spec = SweepSpec(
        judge=None,
        widths=arguments.widths,
        prompts=arguments.prompts,
        prompt_file=str(arguments.prompt_file or ""),
        against=arguments.against,
        objective=arguments.objective,
        max_tokens=arguments.max_new_tokens,
        length_penalty=arguments.length_penalty,
    )
    if not words and (own := made_for(source_of(spec))):
        words = [own]
    if not words:
        if not arguments.write_pairs:
            parser.error("these prompts need --judge (or --write-pairs, to have them judged)")
        return spec
    if len(words) > 2:
        parser.error(f"--judge {words[0]} takes one path at most, not {' '.join(words[1:])}")
    risks = arguments.allow_pickle, arguments.trust_remote_code
    spec = replace(spec, judge=JudgeSpec(words[0], "".join(words[1:]), *risks))
    if sentence := problems(spec).get("judge"):
        parser.error(sentence)
    return spec


def swept(
    pair_spec: "PairSpec",
    spec: SweepSpec,
    questions: "list[Question]",
    resume: Path | None,
    reporter: Reporter,
) -> "Sweep":
    """Load the pair and the judge, and sweep to the end."""
    from core.models.load import load_pair
    from core.sweeps.run import Answers, Sweep

    reporter.progress("Preparing the judge", None)
    judge = make_judge(spec.judge, pair_spec.device) if spec.judge else None
    pair, info = load_pair(pair_spec, reporter.progress, lambda: False)
    for note in info.notes:
        reporter.say(note)
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
    lines = [json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs_to_judge(sweep.rows)]
    try:
        write_whole(path, "".join(lines).encode("utf-8"))
    except OSError as error:
        raise UserFacingError(f"{path} cannot be written: {error.strerror}.") from error


def print_table(result: dict[str, Any]) -> None:
    """Print the figures for a reader."""
    print(f"policy     {result['policy']}\nreference  {result['reference']}")
    print(f"judge      {result['judge']}\nagainst    {result['against']}")
    _print_row(*(title for title, _ in COLUMNS))
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
    print("  ".join(f"{cell:>{size}}" for cell, (_, size) in zip(cells, COLUMNS, strict=True)))


def _interval(row: dict[str, Any], name: str, digits: int) -> str:
    return f"{_shown(row[f'{name}_low'], digits)}–{_shown(row[f'{name}_high'], digits)}"


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
