"""What was found out of a pair before its numbers are believed: one line of a diagnosis.

Knows nothing of pairs (core.diagnosis makes the lines).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["ok", "note", "warning", "stop"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "stop")
"""A "note" is good to know, a "warning" says that numbers may mean something else, and with a
"stop" there are none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``subject`` in a word or two, ``sentence`` for people."""

    id: str
    """What it is, for programs: "beta.unknown"."""
    subject: str
    level: Level
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The figures of the sentence, unrounded, by name."""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of some findings; "ok" if there are none."""
    return max((it.level for it in findings), key=LEVELS.index, default="ok")
