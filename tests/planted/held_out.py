"""Reads the held-out corpus: responses on which findings are judged and never made."""

from pathlib import Path

from core.learned.corpus import Sample
from core.text import Prompt
from tests.neutral.made import corpus

HELD_OUT = Path(__file__).parent / "held_out.txt"


def held_out() -> list[Sample]:
    """Return the responses, the first variants of all answers before the second ones."""
    return [
        Sample(Prompt.of(row["prompt"]), row["response"], f"held-out text {number}")
        for number, row in enumerate(corpus(HELD_OUT), 1)
    ]
