"""What the user wants scored, as a record."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """What is to be scored, and into which file; paths as they were typed."""

    data: str = ""
    out: str = ""
    columns: Mapping[str, str] | None = None
    """Columns that the user has named, by role."""
    limit: int | None = None
    """Only so many rows."""
    anew: bool = False
    """Replace what another run has left."""
