"""What is known of how a policy was trained, as a record; core.checkpoints.provenance reads it.

Knows no files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a training. None, "" and () stand for what no file says.

    Paths and names are as they were written; ``sources`` says for people where each field is
    from, by the field's name; ``notes`` are sentences on what the files contradict or what of
    them cannot be used.
    """

    beta: float | None = None
    losses: tuple[tuple[str, float], ...] = ()
    """The trainer's names of its losses, with their weights."""
    trainer: str = ""
    """"dpo", "cpo", "orpo", "kto", "grpo", "sft", …"""
    reference: str = ""
    """The reference, where it is named; else it may be what the training began with, ``base``."""
    base: str = ""
    """The model that the training began with."""
    plain: bool | None = None
    """True where the texts were given to the trainer without a chat template."""
    ld_alpha: float | None = None
    gamma: float | None = None
    """The target margin of SimPO."""
    label_smoothing: float | None = None
    f_divergence: str = ""
    f_alpha: float | None = None
    """Of the alpha divergence."""
    alpha: float | None = None
    """Of CPO's trainer: AlphaPO's; of others something else."""
    discopop_tau: float | None = None
    weighting: bool | None = None
    """Whether pairs were weighted by their likelihood (WPO)."""
    reference_free: bool | None = None
    sync_ref_model: bool | None = None
    max_length: int | None = None
    max_prompt_length: int | None = None
    max_completion_length: int | None = None
    truncation: str = ""
    """What was cut off of texts that are too long: "keep_start" or "keep_end"."""
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


UNKNOWN = Provenance()
"""Of a training of which no file says anything."""


def chosen_beta(given: float | None, known: Provenance) -> tuple[float | None, tuple[str, ...]]:
    """Return the beta to go by, None for none, and what there is to say of it.

    ``given``: the user's, which outweighs what is known.
    """
    if given is None or known.beta is None or agree(given, known.beta):
        return given or known.beta, known.notes
    said = f"β of {given:g} was given and is used, but it is {known.beta:g}"
    return given, (*known.notes, f"{said} by {known.sources['beta']}.")


def agree(a: Any, b: Any) -> bool:
    """Return whether two files say the same."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=0.02)  # a measured one is of rounded numbers
    return bool(a == b)
