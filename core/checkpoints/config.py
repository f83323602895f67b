"""Reading config.json: what it says of a model, without what a library should not take from it.

The numbers must be such as models have: a class of transformers makes lists and layers of whatever
number stands there, before any weight is looked at. Names of functions that transformers would
fetch from a hub, and of other files, are left out. Knows nothing of weights.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.checkpoints.limited import read_json
from core.errors import UserFacingError

MOST_LAYERS = 2**12
LAYERS = re.compile(r"(?:^|_)(?:layers?|depth|blocks|block_count)(?:_count)?$")
MOST = 2**16
COUNTS = re.compile(r"heads?(?:$|_)|head_count|experts?(?:$|_)|n_?groups?$|chunk_size|kernel|"
                    r"^(?:init_|target_)?r$|"
                    r"(?:^|_)num_(?!\w*(?:token|step|param|sample|example|epoch))")  # fmt: skip
LARGEST = 2**24
SIZES = re.compile(r"vocab|hidden|embd|embed|inner|intermediate|width|channels|ffn|feed_forward|"
                   r"d_(?:model|ff|state|conv)|state_size|_dim$|^dim$|rank$")  # fmt: skip
"""Names of entries that make layers, other lists and weights, and how much each may be at most."""
ELSEWHERE = ("transformers_weights", "configuration_files")
"""Entries by which a config.json names other files than those that are checked and loaded."""
IMPLEMENTATION = re.compile(r"_*(?:attn|attention|experts)_implementation\w*|use_kernels|"
                            r"kernel_config")  # fmt: skip
OWN = (None, "eager", "sdpa", "flex_attention")
"""Attention that comes with transformers and torch. Others may be code that is fetched from a hub,
flash attention among them where its package is not installed."""


def read_config(folder: Path) -> dict[str, Any]:
    """Return what config.json says, without entries that name files or functions from elsewhere.

    Raises:
        UserFacingError: it cannot be read, or says what no model has.
    """
    path = folder / "config.json"
    config = read_json(path)
    check_numbers(path, config)
    for name in ("quantization_config", "text_config"):
        if not isinstance(config.get(name) or {}, dict):
            raise UserFacingError(
                f"{path} has no table as its {name}: copy it from where the model was saved."
            )
    if not isinstance(config.get("architectures") or [], list):
        raise UserFacingError(
            f"{path} has no list as its architectures: copy it from where the model was saved."
        )
    clean: dict[str, Any] = without_foreign(config)
    return clean


def check_numbers(path: Path, config: Any) -> None:
    """Check that the counts and sizes that a file names are such as a model can have.

    Raises:
        UserFacingError: one is not.
    """
    for name, value in _numbers(config):
        most = (
            MOST_LAYERS if LAYERS.search(name)
            else MOST if COUNTS.search(name)
            else LARGEST if SIZES.search(name)
            else None
        )  # fmt: skip
        if most is not None and abs(value) > most:
            raise UserFacingError(
                f"{path} says {name} = {value:.3g}, which no model has: copy it from where the "
                f"model was saved, or choose another checkpoint."
            )


def without_foreign(value: Any) -> Any:
    """Return a value of a config without attention of others, and without names of other files."""
    if isinstance(value, list):
        return [without_foreign(it) for it in value]
    if not isinstance(value, dict):
        return value
    return {
        name: without_foreign(it)
        for name, it in value.items()
        if name not in ELSEWHERE
        and not (IMPLEMENTATION.fullmatch(name) and not (isinstance(it, str) and it in OWN))
    }


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield the numbers in a value with the names of the entries that they stand in."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, str(key)[:200])
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) < 2**1000:  # comparing infinity is no use, and NaN is told by no comparison
            yield name, value
        elif isinstance(value, int):
            yield name, 10**300 if value > 0 else -(10**300)
