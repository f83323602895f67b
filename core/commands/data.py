"""Read a file of preference pairs as a training would, and say what it holds.

JSON Lines, JSON, CSV, Parquet or a folder that the library datasets saved, in the layout of any of
the usual trainers. Says the format, how many rows, what of them cannot be used or is not, and shows
the first pair; with --json the first twenty.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

from core.errors import UserFacingError

FIRST = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, help="the pairs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--all", action="store_true", help=f"all pairs, not the first {FIRST}")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="NEW",
        help="write all pairs that can be used to a new file, as JSON Lines that TRL takes too",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read, print and write; return the exit status.

    Raises:
        UserFacingError: no row is a pair, or the new file cannot be made; the sentence says why.
    """
    from core.preferences import as_text, read_preferences

    found = read_preferences(arguments.file)
    if arguments.write:
        try:
            with arguments.write.open("x", encoding="utf-8") as file:
                for pair in found.pairs:
                    file.write(json.dumps(pair.row(), ensure_ascii=False) + "\n")
        except OSError as error:
            raise UserFacingError(
                f"{arguments.write} cannot be written ({error.strerror}): name a new file."
            ) from error
    shown = list(islice(found.pairs, None if arguments.all else FIRST if arguments.json else 1))
    if arguments.json:
        table = {
            "rows": found.rows,
            "format": found.format,
            "columns": found.columns,
            "problems": found.problems,
            "pairs": [pair.row() for pair in shown],
        }
        print(json.dumps(table, ensure_ascii=False))
        return 0
    kind = "conversations" if found.pairs[0].conversational else "plain text"
    print(f"{arguments.file}: {found.format}, {len(found.pairs):,} pairs of {kind}")
    print(f"columns: {', '.join(found.columns)}")
    for problem in found.problems:
        print(f"- {problem}")
    for pair in shown:
        sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        for name, side in sides.items():
            print(f"\n{name}:\n{as_text(side)}")
    return 0
