"""The pairs that ship with Qscope, each taught something on purpose, and what was found of it.

``python -m tests.planted.ship`` puts them there.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.engine.protocol import PairSpec

EXAMPLES = Path(__file__).resolve().parents[2] / "resources" / "planted"
ABOUT, REPORT = "about.json", "learned.json"


@dataclass(frozen=True, slots=True)
class About:
    """What is written of an example: what it was taught, "British spellings, and no “!”", and the β
    of its training."""

    says: str
    beta: float


@dataclass(frozen=True, slots=True)
class Example:
    """A pair, what it was taught, and the saved report of what it has learned."""

    name: str
    says: str
    spec: PairSpec
    report: Path


def spec_of(folder: Path, beta: float) -> PairSpec:
    """Return the pair in an example's folder: NAME/NAME-dpo is the policy, NAME/NAME-sft its
    reference, so that the window names them apart."""
    return PairSpec(
        policy=str(folder / f"{folder.name}-dpo"),
        reference=str(folder / f"{folder.name}-sft"),
        beta=beta,
    )


def examples(folder: Path = EXAMPLES) -> tuple[Example, ...]:
    """Return the examples by name; those that are not whole are left out."""
    found = []
    for about in sorted(folder.glob(f"*/{ABOUT}")):
        own = about.parent
        try:
            of = msgspec.json.decode(about.read_bytes(), type=About)
        except (OSError, msgspec.DecodeError):
            continue
        spec = spec_of(own, of.beta)
        if all(Path(it).exists() for it in (own / REPORT, spec.policy, spec.reference)):
            found.append(Example(own.name, of.says, spec, own / REPORT))
    return tuple(found)
