"""Recipe of the demo pair: what is trained, on how much data, how fast.

Reads a TOML file into a frozen dataclass. Knows nothing of torch.
"""

import reprlib
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from core.errors import UserFacingError
from core.failures import reason
from core.files import read_file

LARGEST = 1 << 20
"""Bytes; a recipe has a page."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice of the training. A *row* is one post with its summaries, see ``rows``.

    Learning rates are peaks; each stage warms up over ``warmup`` of its steps, then decays as a
    cosine. That of DPO is laid out for ``dpo_schedule`` steps; ``dpo_steps`` of them are taken.
    """

    seed: int
    rank: int
    alpha: int
    sft_steps: int
    sft_rows: int
    sft_summaries: int
    sft_rate: float
    sampled_posts: int
    sampled_summaries: int
    samples: int
    temperature: float
    dpo_steps: int
    dpo_schedule: int
    dpo_rows: int
    dpo_summaries: int
    dpo_each: int
    dpo_across: int
    dpo_rate: float
    dpo_beta: float
    warmup: float
    save_steps: int
    max_tokens: int


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        UserFacingError: it cannot be read, or a key is missing, unknown or not a number.
    """
    try:
        table = tomllib.loads(read_file(path, LARGEST).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserFacingError(
            f"The recipe {path} cannot be read ({reason(error)}): name a recipe in TOML."
        ) from error
    flat = {
        (key if section in {"pair", "lora"} else f"{section}_{key}"): value
        for section, values in table.items()
        for key, value in (values.items() if isinstance(values, dict) else ())
    }
    known = {field.name: field.type for field in fields(Recipe)}
    for key in sorted(set(known) ^ set(flat)):
        state = "missing from" if key in known else "unknown in"
        raise UserFacingError(f"The key {key[:80]} is {state} the recipe {path}.")
    for key, value in flat.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e18:
            raise UserFacingError(
                f"{key} in the recipe {path} must be a number, not {reprlib.repr(value)}."
            )
        flat[key] = float(value) if known[key] in (float, "float") else int(value)
    return Recipe(**flat)
