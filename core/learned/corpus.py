"""The responses that findings are made from: the neutral corpus that ships, or a user's file.

The neutral corpus is made by ``python -m tests.neutral``. Knows nothing of tokens or models.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.dataset.rows import Row, Skipped, look, read_rows
from core.errors import UserFacingError
from core.text import Message, Prompt

NEUTRAL = Path(__file__).resolve().parents[2] / "resources" / "learned" / "neutral.jsonl"
FEWEST = 30
"""Responses, below which nothing can be found."""
NAMED = 3
"""Rows that cannot be used are named so far; the others are only counted."""


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


def read(
    path: Path, most: int, columns: Mapping[str, str] | None = None, fewest: int = FEWEST
) -> tuple[list[Sample], tuple[str, ...]]:
    """Return the responses of a file, and what there is to say of how they were read, in sentences.

    Single responses (prompt, response) are taken as they are; of pairs both sides are, so that
    neither side's words are missing. Of more than ``most`` responses the first are taken.

    Args:
        columns: columns by what they are, in place of a guess.
        fewest: different responses, below which it is refused.

    Raises:
        UserFacingError: it cannot be read, or has too few responses.
    """
    layout = look(path, columns)
    samples: list[Sample] = []
    skipped: list[str] = []
    for row in read_rows(path, layout):
        if isinstance(row, Skipped):
            skipped.append(f"{row.place} {row.why}")
        elif any(turns[-1].more for turns in row.pair.replies):
            skipped.append(f"{row.place} calls tools or shows its reasoning")
        else:
            samples += _sides(row)
        if len(samples) >= most:
            break
    about = [f"The columns of {path.name} were taken so: {layout.sentence}."]
    if layout.note:
        about.append(f"{layout.note[0].upper()}{layout.note[1:]}.")
    if len(samples) >= most:
        about.append(f"No more than the first {most:,} responses were read.")
    left = ""
    if skipped:
        more = "; …" if len(skipped) > NAMED else ""
        left = f"rows that cannot be used: {len(skipped):,} ({'; '.join(skipped[:NAMED])}{more})"
        about.append(f"{left[0].upper()}{left[1:]}.")
    return enough(samples[:most], str(path), left, fewest), tuple(about)


def _sides(row: Row) -> list[Sample]:
    """Return the response of a row, or both of a pair; turns before a response are of its
    prompt."""
    prompt, sides = row.pair.turns, ("chosen", "rejected")
    if row.single:
        return [_sample(prompt, row.pair.replies[0], row.place)]
    each = zip(row.pair.replies, sides, strict=True)
    return [_sample(prompt, turns, f"{row.place}, {side}") for turns, side in each]


def _sample(prompt: Prompt, turns: tuple[Message, ...], place: str) -> Sample:
    asked = replace(prompt, messages=(*prompt.messages, *turns[:-1]))
    return Sample(asked, turns[-1].content, place)


def enough(
    samples: Sequence[Sample], what: str, besides: str = "", fewest: int = FEWEST
) -> list[Sample]:
    """Return each response once.

    Args:
        what: names where they come from.
        besides: what else there is.

    Raises:
        UserFacingError: they are fewer than it takes to tell anything from.
    """
    found = list(_distinct(samples))
    if len(found) < fewest:
        also = f" ({besides})" if besides else ""
        raise UserFacingError(
            f"{what} has {len(found)} different responses{also}, and nothing can be told from "
            f"fewer than {fewest}: name a file with more, or leave --data out for the neutral "
            f"corpus."
        )
    return found


def _distinct(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield samples, each response to a prompt once: one that is repeated is no more evidence."""
    seen: set[tuple[Prompt, str]] = set()
    for sample in samples:
        key = sample.prompt, sample.text
        if key not in seen and sample.text.strip():
            seen.add(key)
            yield sample
