"""Settings: what a field of a record means and what it may be, said once, where the field is.

A record is a frozen dataclass; the fields that a user chooses are made with ``setting``. Forms and
command-line options are made from ``settings_of`` a record, and ``problems_of`` says which
of its values cannot be used. Knows no record.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What one field of a record is: a number, or one of some ``words``."""

    title: str
    meaning: str
    minimum: float = -math.inf
    maximum: float = math.inf
    above: bool = False
    """Whether the minimum itself is too little."""
    step: float = 1.0
    """By how much a control changes it at once."""
    unit: str = ""
    words: tuple[str, ...] = ()
    kind: type = float
    """int, float or str; of a tuple, of each of its values."""
    name: str = ""
    """The field's own."""
    default: Any = None

    @property
    def limits(self) -> str:
        """What it may be, in words that follow "must be"."""
        unit = f" {self.unit}" if self.unit else ""
        low, high = figure(self.minimum), figure(self.maximum) + unit
        if self.words:
            return " or ".join(map(repr, self.words))
        if math.isinf(self.minimum):
            return "a finite number"
        if math.isinf(self.maximum):
            return f"above {low}{unit}" if self.above else f"at least {low}{unit}"
        return f"above {low} and at most {high}" if self.above else f"from {low} to {high}"

    @property
    def described(self) -> str:
        """Its meaning and its limits."""
        return self.meaning if self.words else f"{self.meaning} ({self.limits})"

    def problem(self, value: object) -> str:
        """Return why a value (of a tuple: the first such one) cannot be used; "" if it can.

        A default of None can be used.
        """
        if value is None and self.default is None:
            return ""
        for one in value if isinstance(value, tuple) else (value,):
            if self.kind is int and type(one) is float and math.isfinite(one):
                return f"{self.title} must be a whole number, not {figure(one)}."
            if not self._allows(one):
                shown = repr(one) if isinstance(one, str) else figure(one)
                return f"{self.title} must be {self.limits}, not {shown}."
        return ""

    def parse(self, text: str) -> Any:
        """Return the value that a text says, whether it is within the limits or not.

        Raises:
            ValueError: it says none of this kind.
        """
        if isinstance(self.default, tuple):
            parts = text.replace(",", " ").split()
            try:
                return tuple(self._parse(part) for part in parts or [""])
            except ValueError:
                raise ValueError(
                    f"{text!r} is not a list of numbers such as {figure(self.default)}"
                ) from None
        return self._parse(text)

    def _parse(self, text: str) -> Any:
        if self.kind is str:
            return text
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{text!r} is not a finite number")
        if self.kind is int and not value.is_integer():
            raise ValueError(f"{text!r} is not a whole number")
        return self.kind(value)

    def _allows(self, value: object) -> bool:
        if self.kind is str:
            return isinstance(value, str) and (not self.words or value in self.words)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        low = value > self.minimum if self.above else value >= self.minimum
        return low and value <= self.maximum and math.isfinite(value)


def figure(value: object) -> str:
    """Return a number, or numbers, as people write them: 1000000, 0.5."""
    if isinstance(value, tuple):
        return ",".join(map(figure, value))
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if whole and not isinstance(value, bool):
        return str(int(cast(float, value)))
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting(
    default: T,
    title: str,
    meaning: str,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    *,
    above: bool = False,
    step: float = 1.0,
    unit: str = "",
    words: tuple[str, ...] = (),
    kind: type | None = None,
) -> T:
    """Declare a field of a record, to stand where its default does.

    ``kind`` is that of the default, and must be named where that does not say it (None).
    """
    first = default[0] if isinstance(default, tuple) else default
    made = Setting(title, meaning, minimum, maximum, above, step, unit, words, kind or type(first))
    declared: Any = field(default=default, metadata={Setting.__name__: made})
    return cast(T, declared)


def settings_of(record: type[Any]) -> tuple[Setting, ...]:
    """Return the settings of a record's class, in the order of its fields."""
    return tuple(
        replace(found.metadata[Setting.__name__], name=found.name, default=found.default)
        for found in fields(record)
        if Setting.__name__ in found.metadata
    )


def values_of(record: Any) -> dict[str, Any]:
    """Return the values of a record's settings by name."""
    return {found.name: getattr(record, found.name) for found in settings_of(type(record))}


def problems_of(record: Any) -> dict[str, str]:
    """Return a sentence for each setting of a record that cannot be used, by its name."""
    found: Iterator[tuple[str, str]] = (
        (each.name, each.problem(getattr(record, each.name))) for each in settings_of(type(record))
    )
    return {name: sentence for name, sentence in found if sentence}


def parsed(record: type[T], texts: Mapping[str, str]) -> T:
    """Return a record with some of its settings parsed from texts, by name.

    Raises:
        ValueError: there is no such setting, or a text does not say a value of its kind.
    """
    known = {found.name: found for found in settings_of(record)}
    values = {}
    for name, text in texts.items():
        if name not in known:
            raise ValueError(f"there is no setting {name!r} (there are: {', '.join(known)})")
        try:
            values[name] = known[name].parse(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return record(**values)
