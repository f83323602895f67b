"""The pairs that ship with Qscope, each taught something on purpose, and what was found of it.

``python -m tests.planted.ship`` puts them there.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.engine.protocol import PairSpec

EXAMPLES = Path(__file__).resolve().parents[2] / "resources" / "planted"
ABOUT, REPORT, POLICY, REFERENCE = "about.json", "learned.json", "dpo", "sft"


@dataclass(frozen=True, slots=True)
class About:
    """What is written of an example: what it was taught, "British spellings, and no “!”"."""

    says: str


@dataclass(frozen=True, slots=True)
class Example:
    """A pair, what it was taught, and the saved report of what it has learned."""

    name: str
    says: str
    spec: PairSpec
    report: Path


def examples(folder: Path = EXAMPLES) -> tuple[Example, ...]:
    """Return the examples by name; those that are not whole are left out."""
    found = []
    for about in sorted(folder.glob(f"*/{ABOUT}")):
        own = about.parent
        try:
            says = msgspec.json.decode(about.read_bytes(), type=About).says
        except (OSError, msgspec.DecodeError):
            continue
        if all((own / it).exists() for it in (REPORT, POLICY, REFERENCE)):
            spec = PairSpec(policy=str(own / POLICY), reference=str(own / REFERENCE))
            found.append(Example(own.name, says, spec, own / REPORT))
    return tuple(found)
