"""The command line of Qscope: opens the window, or runs a headless command; nothing else.

Imports nothing heavy, so that ``--help`` and the window are there at once. A command's module is
imported only when that command is asked for.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from core.commands import options
from core.commands.console import Output, control_signs_shown, say
from core.errors import Cancelled, UserFacingError
from core.failures import is_out_of_memory, reason
from core.registrations import register

COMMANDS = {
    "score": ("core.commands.score", "score responses under a policy and its reference"),
    "train": ("core.commands.train", "start, stop, resume or measure a run on your pairs"),
    "search": ("core.commands.search", "search for responses by likelihood or reward"),
    "learned": ("core.commands.learned", "say what a pair has learned, over many responses"),
    "sweep": ("core.commands.sweep", "beam widths over prompts: win rate and length (Fig. 2)"),
    "doctor": ("core.commands.doctor", "say what a pair is, and whether its numbers can be right"),
    "data": ("core.commands.data", "read preference pairs as a training would"),
    "runs": ("core.commands.runs", "read the logs of a run, and say what its curves mean"),
    "demo": ("core.commands.demo", "measure the demo pair on held-out pairs (demo evaluate)"),
}
EXTRAS = {
    "trl": "train",
    "datasets": "train",
    "accelerate": "train",
    "faker": "train",
    "psutil": "train",
}
DONE, FAILED, INTERRUPTED = 0, 1, 130


def window_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python main.py`` without a command."""
    commands = "\n".join(f"  {name:<10}{what}" for name, (_, what) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="main.py",
        usage="%(prog)s [OPTIONS] [FILE.qscope]\n       %(prog)s COMMAND [OPTIONS]",
        description="Qscope shows which tokens a DPO policy was taught to like or to avoid.\n"
        "Without options it opens the demo pair.",
        epilog=f"commands (each has its own --help; none needs a display):\n{commands}\n\n"
        "examples:\n"
        "  python main.py\n"
        "  python main.py --policy runs/dpo --reference runs/sft --beta 0.1\n"
        "  python main.py --run runs/dpo\n"
        "  python main.py probing.qscope\n"
        "  python main.py --screenshot credit.png --theme dark --size 1400x900\n"
        "  python main.py score --demo --prompt-file post.txt --response-file summary.txt --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "session",
        nargs="?",
        type=Path,
        metavar="FILE.qscope",
        help="a session file to open: what was saved is shown without the pair, which is loaded "
        "behind where it is on this machine",
    )
    options.add_pair_arguments(parser, run=False)
    parser.add_argument(
        "--run",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="open a training run's folder or log in the training view (may be repeated); without "
        "another pair, the checkpoints of the first one are loaded as the pair",
    )
    parser.add_argument(
        "--scored",
        type=Path,
        metavar="FILE.parquet",
        help="open what score --data has written in the data view",
    )
    parser.add_argument(
        "--learned",
        type=Path,
        metavar="FILE.json",
        help="open a report that was saved by learned --json in the learned view",
    )
    parser.add_argument(
        "--theme", choices=("light", "dark"), help="light or dark, whatever the desktop says"
    )
    parser.add_argument(
        "--size", type=options.size, metavar="WxH", help="size of the window, as 1400x900"
    )
    parser.add_argument(
        "--restore", action="store_true", help="begin with the texts of the last session"
    )
    parser.add_argument(
        "--screenshot", metavar="FILE.png", help="draw the window into a file, then exit"
    )
    parser.add_argument(
        "--view",
        choices=("credit", "token", "search", "training", "learned", "data"),
        default="credit",
        help="which view --screenshot draws (default: credit); learned looks through the neutral "
        "corpus, which takes minutes, unless --learned brings a report",
    )
    return parser


def open_window(argv: Sequence[str]) -> int:
    from core.session_record import ENDING  # the window needs it anyway, --help does not

    parser = window_parser()
    arguments = parser.parse_args(argv)
    runs = arguments.run
    given = arguments.demo or arguments.policy
    arguments.run = None if given else options.with_checkpoints(runs)
    session = arguments.session
    if session is not None and session.suffix != ENDING:
        parser.error(f"{session} is no command, and no session file (FILE.qscope)")
    if session is not None and (given or runs or arguments.restore or arguments.screenshot):
        parser.error("a session file brings its own pair and texts: name it alone")
    spec = options.pair_spec(parser, arguments)
    if arguments.screenshot:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"

    gc.disable()  # what is imported stays; app.garbage collects once the application is there

    from app.system import require_qt

    require_qt()
    from app.start import open_window as show
    from app.start import screenshot

    if arguments.screenshot:
        return screenshot(
            spec,
            arguments.screenshot,
            theme=arguments.theme,
            size=arguments.size,
            view=arguments.view,
            runs=runs,
            scored=arguments.scored,
            learned=arguments.learned,
        )
    return show(
        spec if session is None else None,
        theme=arguments.theme,
        size=arguments.size,
        runs=runs,
        scored=arguments.scored,
        learned=arguments.learned,
        restore=arguments.restore,
        session=session,
        named=arguments.demo or spec != type(spec)(demo=True),
    )


def as_spelled_now(argv: Sequence[str]) -> Sequence[str]:
    """Return the command line with commands of the version before under their new names.

    What was renamed is said on stderr: "training start" is "train start", and "train" with a recipe
    is "train demo".
    """
    if argv[:1] == ["training"]:
        old, new = "training", "train"
    elif argv[:1] == ["train"] and argv[1:2] != ["--help"] and "".join(argv[1:2]).startswith("--"):
        old, new = "train", "train demo"
    else:
        return argv
    print(
        f"main.py {old} is now main.py {new}: the old name works in this version only.",
        file=sys.stderr,
    )
    return [*new.split(), *argv[1:]]


def run_command(name: str, argv: Sequence[str]) -> int:
    module, what = COMMANDS[name]
    command = importlib.import_module(module)
    parser = argparse.ArgumentParser(
        prog=f"main.py {name}",
        description=command.__doc__ or what,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if sys.stdout is None:
        raise UserFacingError(
            "The output is closed: have it written to a terminal, a file or a pipe."
        )
    if getattr(arguments, "png", None):
        # The commands know nothing of Qt; found out now, a missing library costs no work.
        require_offscreen_qt()
        arguments.draw = draw_sweep
    status: int = command.run(arguments)
    return status


def require_offscreen_qt() -> None:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from app.system import require_qt

    require_qt()


def draw_sweep(*figure: Any) -> None:
    """Draw a command's figure into a file: what app.search.sweep_plot.draw takes."""
    from app.search.sweep_plot import draw

    draw(*figure)


def missing_package(error: ModuleNotFoundError) -> str:
    package = (error.name or str(error)).partition(".")[0]
    extra = EXTRAS.get(package)
    target = f"'.[{extra}]'" if extra else "."
    return (
        f"The Python package {package} is missing: "
        f"run pip install -e {target} in the folder of main.py."
    )


@contextmanager
def output() -> Iterator[None]:
    """Have what is printed said to be lost where it is (core.commands.console.Output)."""
    stream = sys.stdout
    if stream is None:
        yield
        return
    told = Output(stream)
    with redirect_stdout(told):
        try:
            yield
        finally:
            told.flush()


@control_signs_shown()
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0, 1 (a sentence on stderr) or 2 (wrong usage)."""
    argv = sys.argv[1:] if argv is None else argv
    os.environ.setdefault("PYTHON_COLORS", "0")  # argparse's own, which would be written out
    register()
    try:
        argv = as_spelled_now(argv)
        with output():
            if argv and argv[0] in COMMANDS:
                return run_command(argv[0], argv[1:])
            return open_window(argv)
    except UserFacingError as error:
        say(str(error))
        return FAILED
    except (KeyboardInterrupt, Cancelled):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (as in "... | head"), which is no news to it.
        return FAILED
    except ModuleNotFoundError as error:
        if os.environ.get("QSCOPE_DEBUG"):
            raise
        say(missing_package(error))
        return FAILED
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # also the panics of libraries in Rust, which are no Exception
        if os.environ.get("QSCOPE_DEBUG"):
            raise
        if is_out_of_memory(error):
            say(
                f"Memory ran out ({reason(error)}): shorten the text, choose a smaller number "
                "format with --dtype, or another device with --device."
            )
            return FAILED
        say(
            f"Qscope has a fault ({type(error).__name__}: {error}); "
            "run again with QSCOPE_DEBUG=1 in the environment to see where."
        )
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
