"""Say what a pair has learned: words, marks, spellings, forms that the policy prefers or avoids.

Over a neutral corpus that ships with Qscope, over the responses of --data FILE, or with --sampled
over what the reference says to their prompts, every token is scored under both models. What the
training moved more than it moves any token is a finding, the strongest first, each tested on
minimal pairs. With --json one object; with --html a page that can be sent around. With
--over-checkpoints, of a run: when each finding appeared. With --against what this pair has learned
that another has not; --saved takes a report that was saved as JSON in place of a pair. Progress and
remarks go to stderr; Ctrl-C ends it.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.commands import options
from core.commands.console import Reporter
from core.errors import UserFacingError
from core.learned.corpus import FEWEST
from core.learned.record import MOST_RESPONSES, SAMPLED

if TYPE_CHECKING:
    from core.learned.record import Learned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="responses of your own: pairs (prompt, chosen, rejected) or single ones (prompt, "
        "response), as the command score reads them (default: the neutral corpus)",
    )
    parser.add_argument(
        "--columns",
        type=options.columns,
        metavar="prompt=question,chosen=a,rejected=b",
        help="which column is which, where the guess that is printed is wrong",
    )
    parser.add_argument(
        "--most",
        type=int,
        default=MOST_RESPONSES,
        metavar="N",
        help=f"so many responses of the file at most (default: {MOST_RESPONSES})",
    )
    parser.add_argument(
        "--sampled",
        type=int,
        nargs="?",
        const=SAMPLED,
        default=0,
        metavar="N",
        help="in place of the responses: as many that are sampled from the reference, to their "
        f"prompts (N: {SAMPLED} where it is not given)",
    )
    parser.add_argument(
        "--no-samples", action="store_true", help="sample no responses at λ above 1, which is slow"
    )
    parser.add_argument(
        "--checkpoint",
        type=int,
        metavar="N",
        help="with --run: the checkpoint of this step is the policy",
    )
    parser.add_argument(
        "--over-checkpoints",
        action="store_true",
        help="with --run: weigh each finding at every checkpoint, to see when it appeared",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="JSON",
        help="compare with a report that was saved as JSON: what was learned here and not there",
    )
    parser.add_argument(
        "--saved",
        type=Path,
        metavar="JSON",
        help="in place of a pair: a report that was saved as JSON, to compare or to make a page of",
    )
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--json", action="store_true", help="print one JSON object")
    kinds.add_argument("--html", type=Path, metavar="OUT", help="write a page to this file")
    options.add_pair_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look for what was learned and print it; returns the exit status.

    Raises:
        UserFacingError: the pair or the texts cannot be used, or the page cannot be written.
        Cancelled: the user has ended it.
    """
    parser: argparse.ArgumentParser = arguments.parser
    if arguments.saved is None:
        options.require_pair(parser, arguments)
    elif any((arguments.demo, arguments.policy, arguments.run, arguments.data, arguments.sampled)):
        parser.error("--saved takes the place of a pair, of --data and of --sampled")
    if arguments.checkpoint is not None and not arguments.run:
        parser.error("--checkpoint needs --run")
    if arguments.over_checkpoints and not arguments.run:
        parser.error("--over-checkpoints needs --run")
    if arguments.columns and arguments.data is None:
        parser.error("--columns needs --data")
    if arguments.most < 1:
        raise UserFacingError("--most must be at least 1.")
    if arguments.sampled and arguments.sampled < FEWEST:
        raise UserFacingError(f"--sampled must be at least {FEWEST}.")
    if arguments.html is not None and arguments.html.is_dir():
        raise UserFacingError(f"{arguments.html} is a folder: name a file for the page.")

    from core.learned import report, saved
    from core.learned.compare import compared

    # Read before the models are loaded, so that a slip does not cost the wait for them.
    other = saved.read(arguments.against) if arguments.against is not None else None
    found = saved.read(arguments.saved) if arguments.saved is not None else _found(arguments)
    against = compared(found, other) if other is not None else None
    if arguments.json:
        print(report.as_json(found, against).decode("utf-8"))
        return 0
    if arguments.html is not None:
        from core.safe_files import write_whole

        try:
            write_whole(arguments.html, report.as_page(found, against).encode("utf-8"))
        except OSError as error:
            raise UserFacingError(
                f"{arguments.html} cannot be written ({error.strerror}): name another file."
            ) from error
        print(f"The page is {arguments.html}.")
        return 0
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    print(report.as_text(found, against), end="")
    return 0


def _found(arguments: argparse.Namespace) -> "Learned":
    """Load the pair and look for what it has learned."""
    from core.learned import corpus

    spec = options.pair_spec(arguments.parser, arguments)
    with Reporter(sys.stderr) as reporter:
        about: tuple[str, ...] = ()
        if arguments.data is None:
            samples, name = corpus.neutral(), "the neutral corpus"
        else:
            fewest = 1 if arguments.sampled else FEWEST  # for their prompts, any number will do
            samples, about = corpus.read(arguments.data, arguments.most, arguments.columns, fewest)
            name = arguments.data.name
        from core.learned.run import learned
        from core.models.load import load_pair
        from core.models.noise import Measurement

        pair, info = load_pair(spec, reporter.progress)
        for note in (*info.notes, *about):
            reporter.say(note)
        checkpoints = info.checkpoints
        if arguments.checkpoint is not None:
            info = options.show(pair, info, arguments.checkpoint)
        noise = None if pair.alone else Measurement(pair).finish()
        found = learned(
            pair,
            info,
            samples,
            name,
            reporter.progress,
            reporter.interrupted,
            amplify=not arguments.no_samples,
            noise=noise,
            over=checkpoints if arguments.over_checkpoints else (),
            sampled=arguments.sampled,
            about=about,
        )
        for note in found.method.about[: -len(about) or None]:  # the others are said
            reporter.say(note)
        for skipped in found.method.skipped:
            reporter.say(f"Left out: {skipped}.")
    return found
