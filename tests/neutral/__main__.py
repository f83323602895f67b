"""Writes the neutral corpus: python -m tests.neutral --write."""

import argparse
from pathlib import Path

from core.learned.corpus import NEUTRAL
from tests.neutral.made import as_lines, corpus

parser = argparse.ArgumentParser(prog="python -m tests.neutral", description=__doc__)
parser.add_argument("--write", action="store_true", help="write the file that ships, not stdout")
arguments = parser.parse_args()
text = as_lines(corpus())
if arguments.write:
    Path(NEUTRAL).parent.mkdir(parents=True, exist_ok=True)
    Path(NEUTRAL).write_text(text, encoding="utf-8")
else:
    print(text, end="")
