"""The responses that findings are made from: the neutral corpus that ships, or a user's file.

The neutral corpus is made by ``python -m tests.neutral``. Knows nothing of tokens or models.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserFacingError
from core.tables import RowFault, open_table
from core.text import Prompt

NEUTRAL = Path(__file__).resolve().parents[2] / "resources" / "learned" / "neutral.jsonl"
RESPONSES = "response", "completion", "output", "answer"
"""What a column with single responses may be called."""
PROMPTS = "prompt", "question", "instruction", "query", "input"
FEWEST = 30
"""Responses, below which nothing can be found."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One response to a prompt; ``place`` says where it comes from."""

    prompt: Prompt
    text: str
    place: str


def neutral() -> list[Sample]:
    """Return the corpus that ships.

    Raises:
        UserFacingError: it is not there.
    """
    try:
        lines = NEUTRAL.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserFacingError(
            f"The neutral corpus {NEUTRAL} is missing: get Qscope again whole (git checkout "
            f"resources), or name texts of your own with --data FILE."
        ) from error
    rows = [json.loads(line) for line in lines]
    return [
        Sample(Prompt.of(row["prompt"]), row["response"], f"text {number}")
        for number, row in enumerate(rows, 1)
    ]


def read(path: Path, most: int) -> tuple[list[Sample], tuple[str, ...]]:
    """Return the responses of a file, and what there is to say of it.

    Single responses (prompt, response) are taken as they are; of pairs both sides are, so that
    neither side's words are missing. Of more than ``most`` responses the first are taken.

    Raises:
        UserFacingError: it cannot be read, or has too few responses.
    """
    singles = _singles(path, most)
    notes: tuple[str, ...] = ()
    if singles:
        samples = singles
    else:
        from core.preferences import read_preferences

        read_pairs = read_preferences(path, limit=-(-most // 2))
        notes = read_pairs.problems
        samples = [
            Sample(pair.turns, text, f"row {number}, {side}")
            for number, pair in enumerate(read_pairs.pairs, 1)
            for side, text in zip(("chosen", "rejected"), pair.answers, strict=True)
        ][:most]
    return enough(samples, str(path)), notes


def enough(samples: Sequence[Sample], what: str) -> list[Sample]:
    """Return each response once; ``what`` names where they come from.

    Raises:
        UserFacingError: they are too few to tell anything from.
    """
    found = list(_distinct(samples))
    if len(found) < FEWEST:
        raise UserFacingError(
            f"{what} has {len(found)} different responses, and nothing can be told from fewer than "
            f"{FEWEST}: name a file with more, or leave --data out for the neutral corpus."
        )
    return found


def _singles(path: Path, most: int) -> list[Sample]:
    """Return the single responses of a file, none if its rows are no such."""
    samples: list[Sample] = []
    table = open_table(path, frozenset((*RESPONSES, *PROMPTS)))
    for number, (_, item) in enumerate(table.items, 1):
        if len(samples) >= most:
            break
        try:
            row = table.parse(item)
        except (RowFault, RecursionError):
            return []
        texts = [
            next((row[name] for name in names if isinstance(row.get(name), str)), None)
            for names in (PROMPTS, RESPONSES)
            if isinstance(row, dict)
        ]
        if len(texts) < 2 or None in texts:
            return []
        samples.append(Sample(Prompt.of(str(texts[0])), str(texts[1]), f"row {number}"))
    return samples


def _distinct(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield samples, each response to a prompt once: one that is repeated is no more evidence."""
    seen: set[tuple[Prompt, str]] = set()
    for sample in samples:
        key = sample.prompt, sample.text
        if key not in seen and sample.text.strip():
            seen.add(key)
            yield sample
