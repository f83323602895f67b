"""What kinds of value stand in the entries of an adapter's adapter_config.json.

PEFT takes what it is given and fails somewhere behind, or multiplies by it. Knows nothing of what
the entries mean together.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import UserFacingError

Check = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, float) or _whole(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _table_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _either(*checks: Check) -> Check:
    return lambda value: any(check(value) for check in checks)


NAMES = _either(_text, _list_of(_text)), "a name of modules or a list of them"
SWITCH = (lambda value: isinstance(value, bool)), "true or false"
ENTRIES: dict[str, tuple[Check, str]] = {
    "lora_alpha": (_number, "a number"),
    "target_modules": NAMES,
    "exclude_modules": NAMES,
    "layers_pattern": NAMES,
    "modules_to_save": (_list_of(_text), "a list of names"),
    "target_parameters": (_list_of(_text), "a list of names"),
    "layers_to_transform": (_either(_whole, _list_of(_whole)), "a layer's number or a list"),
    "alpha_pattern": (_table_of(_number), "a table of numbers"),
    "base_model_name_or_path": (_text, "a name or a path"),
    "peft_type": (_text, "a name"),
    "fan_in_fan_out": SWITCH,
    "use_rslora": SWITCH,
    "use_dora": SWITCH,
    "lora_bias": SWITCH,
}
"""What stands in an entry where something does."""
OF_LORA: dict[str, tuple[Check, str]] = {
    "r": ((lambda value: _whole(value) and value > 0), "a whole number above 0"),
    "rank_pattern": (
        _table_of(lambda value: _whole(value) and value > 0),
        "a table of whole numbers above 0",
    ),
}


def check_entries(path: Path, config: dict[str, Any]) -> None:
    """Check that each entry of an adapter's config has a value of its kind, and no NaN.

    Raises:
        UserFacingError: one has not.
    """
    lora = str(config.get("peft_type")).upper() == "LORA"
    for name, (check, what) in {**ENTRIES, **(OF_LORA if lora else {})}.items():
        value = config.get(name)
        if value is not None and not check(value):
            raise UserFacingError(
                f"{path} has {value!r:.60} as its {name}, where {what} stands: copy the file from "
                f"where the adapter was saved."
            )
    for name, value in config.items():
        if not _is_finite(value):
            raise UserFacingError(
                f"{path} has a number in {name} that is infinite or none: copy the file from where "
                f"the adapter was saved."
            )


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, int):
        return abs(value) < 2**1000
    return not isinstance(value, float) or math.isfinite(value)
