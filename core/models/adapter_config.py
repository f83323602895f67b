"""PEFT's configuration of an adapter, read so that nothing of it is run or takes for ever.

PEFT is given only entries that its class of the adapter's kind has, and no regular expression but
those that are made here of the names that the adapter's own match: it matches them over and over,
holding Python's lock. Which modules are adapted stays as PEFT alone would have it. Knows nothing of
weights.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from core.checkpoints.config import MOST_LAYERS
from core.checkpoints.describe import read_adapter_entries
from core.checkpoints.patterns import PLAIN, matches
from core.errors import UserFacingError

NEVER = "(?!)"
"""An expression that matches nothing."""
MANY = 100
"""Names from which on PEFT's ways of matching take long: they are made fewer first."""
OF_HERE = {"runtime_config", "auto_mapping", "megatron_core", "megatron_config"}
"""Entries that are never taken from a file: they say how and with what to run."""
BY_ENDS = ("rank_pattern", "alpha_pattern")


def read_adapter_config(folder: Path) -> Any:
    """Return PEFT's configuration of the adapter in a folder, its expressions as they are.

    Raises:
        UserFacingError: adapter_config.json cannot be read, or is of a kind that is not known.
        Exception: whatever PEFT raises at what it says.
    """
    from peft import PeftConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    said = read_adapter_entries(folder)
    kind = said["peft_type"]
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING:
        raise UserFacingError(
            f"{folder} is an adapter of the kind {kind:.40}, which the installed PEFT does not "
            f"know: pip install -U peft, or choose another adapter."
        )
    known = PEFT_TYPE_TO_CONFIG_MAPPING[kind].__dataclass_fields__.keys() - OF_HERE
    return PeftConfig.from_peft_type(**{key: said[key] for key in said if key in known})


def resolve_names(config: Any, model: Any, folder: Path) -> None:
    """Put the names of a model's modules in place of the expressions of an adapter's config.

    Raises:
        UserFacingError: an expression is none, takes too long, or stands where PEFT takes a name.
    """
    names = [name for name, _ in model.named_modules() if name]
    where = folder / "adapter_config.json"
    for entry in ("target_modules", "exclude_modules", "feedforward_modules"):
        said = getattr(config, entry, None)
        if isinstance(said, str) and not (entry == "target_modules" and _all_linear(said)):
            (found,) = matches("whole", [said], names, where)
            setattr(config, entry, any_of(found))
        elif said is not None and not isinstance(said, str) and len(said) > MANY:
            ends = {end for name in names for end in _ends(name)}
            setattr(config, entry, type(said)(it for it in said if it in ends))
    _resolve_layers(config, names, where)
    for entry in BY_ENDS:
        if config.peft_type != "OSF":
            _resolve_ends(config, entry, names, where)
    _check_names(config, where)


def _all_linear(said: str) -> bool:
    return said.lower() == "all-linear"


def any_of(names: Iterable[str]) -> str:
    """Return an expression that matches these names and nothing else, in no time."""
    return "|".join(map(re.escape, sorted(names))) or NEVER


def _ends(name: str) -> list[str]:
    """Return a name, and what is left of it without its first parts."""
    parts = name.split(".")
    return [".".join(parts[first:]) for first in range(len(parts))]


def _resolve_layers(config: Any, names: Sequence[str], where: Path) -> None:
    """Resolve layers_pattern and layers_to_transform, which PEFT matches for a list of targets."""
    wanted, pattern = (
        getattr(config, it, None) for it in ("layers_to_transform", "layers_pattern")
    )
    if isinstance(wanted, list) and len(wanted) > MANY:
        fewer = [it for it in dict.fromkeys(wanted) if it in range(MOST_LAYERS)]
        wanted = config.layers_to_transform = fewer or wanted[:1]
    patterns = [pattern] if isinstance(pattern, str) else list(pattern or ())
    if all(map(PLAIN.fullmatch, patterns)) or wanted is None or wanted == []:
        return
    targets = config.target_modules
    layers: dict[str, str | None] = {}
    for found in matches("layer", patterns, names, where):
        layers = {**found, **layers}  # the first that matches counts
    chosen = {wanted} if isinstance(wanted, int) else set(wanted)
    config.target_modules = any_of(
        name
        for name in names
        if name in targets
        or (
            any(end in targets for end in _ends(name)[1:]) and int(layers.get(name) or -1) in chosen
        )
    )
    config.layers_to_transform = config.layers_pattern = None


def _resolve_ends(config: Any, entry: str, names: Sequence[str], where: Path) -> None:
    """Resolve a table from expressions to numbers, whose first match counts.

    Raises:
        UserFacingError: as for ``resolve_names``.
    """
    said = getattr(config, entry, None)
    if not said or (len(said) <= MANY and all(map(PLAIN.fullmatch, said))):
        return
    if not all(isinstance(it, int | float) for it in said.values()):
        return  # AdaLoRA's, which are no expressions
    wanted: dict[str, float] = {}
    for found, value in zip(matches("end", list(said), names, where), said.values(), strict=True):
        wanted = {**dict.fromkeys(found, value), **wanted}
    groups = {
        value: [name for name, it in wanted.items() if it == value]
        for value in dict.fromkeys(wanted.values())
    }
    # PEFT takes the first expression that a name ends with.
    of_ends = {name: value for value, them in reversed(groups.items()) for name in them}
    order = {value: place for place, value in enumerate(groups)}
    for name in names:
        values = [of_ends[end] for end in _ends(name) if end in of_ends]
        if values and min(values, key=order.__getitem__) != wanted.get(name):
            raise UserFacingError(
                f"{where} has expressions in {entry} that cannot be told apart for {name}: name "
                f"the modules there one by one."
            )
    setattr(config, entry, {any_of(them): value for value, them in groups.items()})


def _check_names(config: Any, where: Path) -> None:
    """Check that only names stand where PEFT would take them for expressions.

    Raises:
        UserFacingError: something else stands there, or too many.
    """
    tables = [entry for entry in vars(config) if entry.endswith("_pattern")]
    entries = ["modules_to_save", *(it for it in tables if it not in (*BY_ENDS, "layers_pattern"))]
    if config.peft_type == "OSF":
        entries += BY_ENDS
    for entry in entries:
        said = getattr(config, entry, None) or ()
        odd = [name for name in said if not isinstance(name, str) or not PLAIN.fullmatch(name)]
        if odd or len(said) > MANY:
            what = f"{odd[0]!r:.60}" if odd else f"{len(said)} names"
            raise UserFacingError(
                f"{where} has {what} in {entry}, where up to {MANY} names of modules may stand: "
                f"save the adapter again, or choose another one."
            )
