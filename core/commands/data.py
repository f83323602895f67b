"""Read a file of preference pairs as a training would, and say what it holds.

JSON Lines, JSON, Parquet, CSV or a folder that the library datasets saved. Without --json: the
format, how many pairs, and the first of them.
"""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, help="the pairs")
    parser.add_argument(
        "--json", action="store_true", help="print all pairs as one JSON object, as they are read"
    )


def run(arguments: argparse.Namespace) -> int:
    """Read and print; return the exit status.

    Raises:
        UserFacingError: it is no file of preference pairs; the sentence says where and why.
    """
    from core.preferences import as_text, inspect_preferences, load_preferences

    if arguments.json:
        pairs = [pair.row() for pair in load_preferences(arguments.file)]
        print(json.dumps({"rows": len(pairs), "pairs": pairs}, ensure_ascii=False))
        return 0
    found = inspect_preferences(arguments.file)
    kind = "conversations" if found.conversational else "plain text"
    print(f"{arguments.file}: {found.format}, {found.pairs:,} pairs of {kind}")
    print(f"columns: {', '.join(found.columns)}")
    if found.equal:
        print(f"{found.equal:,} of the first {found.checked:,} have two equal sides")
    first = found.sample
    sides = {"prompt": first.prompt, "chosen": first.chosen, "rejected": first.rejected}
    for name, side in sides.items():
        print(f"\n{name}:\n{as_text(side)}")
    return 0
