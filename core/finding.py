"""What was found out of a pair or of its texts before numbers are believed: one sentence each.

Knows nothing of pairs or texts (core.diagnosis and core.as_read make the sentences).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["ok", "note", "warning", "stop"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "stop")
"""A "note" is good to know, a "warning" says that numbers may mean something else (training may
well have read another text, say), and with a "stop" there are none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what it is about in a word or two, how bad it is, and a sentence for people."""

    topic: str
    level: Level
    sentence: str
    id: str = ""
    """What it is, for programs: "beta.unknown"."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The figures of the sentence, unrounded, by name."""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of some findings; "ok" if there are none."""
    return max((it.level for it in findings), key=LEVELS.index, default="ok")
