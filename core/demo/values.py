"""Facts: how a value of each type is drawn, how it may be written, and how it may be wrong.

A value is written in several forms ("$53K", "53,000 dollars"); form i of one value looks like
form i of any other value of its type, so a wrong value can stand in the place of a right one.
Knows nothing of posts.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.demo.names import MONTHS, NUMBERS, pools

Spec = Mapping[str, Any]
CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: its type, its value, and the ways to write it in the post and in a summary."""

    type: str
    value: object
    in_post: tuple[str, ...]
    in_summary: tuple[str, ...]


def draw(spec: Spec, rng: random.Random, currency: str = "$") -> Fact:
    """Draw a fact of a kind's specification (a table of its ``[facts]``)."""
    if "choices" in spec:
        return _choice(spec, rng.randrange(len(spec["choices"])))
    return _fact(spec["type"], _value(spec, rng, currency))


def wrong(spec: Spec, fact: Fact, rng: random.Random) -> Fact:
    """Return another value of the same type: a near miss, a blunder, or simply another one."""
    for _ in range(50):
        other = _wrong(spec, fact, rng)
        if not set(other.in_summary) & set(fact.in_summary + fact.in_post):
            return other
    raise ValueError(f"no other value for {spec}")


def _wrong(spec: Spec, fact: Fact, rng: random.Random) -> Fact:
    value: Any = fact.value
    if "choices" in spec:
        return _choice(spec, rng.randrange(len(spec["choices"])))
    match fact.type:
        case "money":
            currency, amount = value
            return _fact("money", (currency, _miss(amount, rng, spec)))
        case "duration":
            count, unit = value
            units = [u for u in ("hour", "day", "week", "month", "year") if u != unit]
            if rng.random() < 0.2:
                return _fact("duration", (count, rng.choice(units)))
            return _fact("duration", (max(2, _miss(count, rng, spec)), unit))
        case "distance":
            count, unit = value
            return _fact("distance", (max(2, _miss(count, rng, spec)), unit))
        case "count" | "word_count" | "percent" | "age" | "weight" | "year":
            return _fact(fact.type, _miss(value, rng, spec))
    return _fact(fact.type, _value(spec, rng, "$"))


def _miss(amount: int, rng: random.Random, spec: Spec) -> int:
    """Return a wrong number: one digit off, a multiple, a neighbour, or any other in range."""
    step = int(spec.get("step", 1))
    low, high = int(spec["low"]), int(spec["high"])
    way = rng.random()
    if spec.get("type") == "word_count":
        return rng.randint(low, min(high, 20))
    if way < 0.35:
        digits = list(str(amount // step))
        place = rng.randrange(len(digits))
        digits[place] = rng.choice("123456789" if place == 0 else "0123456789")
        return int("".join(digits)) * step
    if way < 0.55 and spec.get("type") in {"money", "count", "distance"}:
        return max(step, int(amount * rng.choice((0.5, 2, 3, 5, 10))) // step * step)
    if way < 0.7:
        return max(step, amount + rng.choice((-3, -2, -1, 1, 2, 3)) * step)
    return rng.randrange(low, high + step, step)


def _choice(spec: Spec, index: int) -> Fact:
    entry = spec["choices"][index]
    post, summary = (entry, entry) if isinstance(entry, str) else entry
    return Fact("choice", index, (post,), (summary,))


def _value(spec: Spec, rng: random.Random, currency: str) -> object:
    kind = spec["type"]
    pool = pools()
    if kind in pool:
        return rng.choice(pool[kind])
    low, high = int(spec.get("low", 2)), int(spec.get("high", 12))
    number = rng.randrange(low, high + 1, int(spec.get("step", 1)))
    match kind:
        case "full_name":
            return f"{rng.choice(pool['first_name'])} {rng.choice(pool['surname'])}"
        case "money":
            return currency, number
        case "duration":
            return number, spec.get("unit", "day")
        case "distance":
            return number, spec.get("unit", rng.choice(("km", "miles")))
        case "date":
            return rng.randint(1, 28), rng.choice(MONTHS)
        case "time":
            return (
                rng.randint(1, 11),
                rng.choice((0, 5, 10, 15, 20, 30, 40, 45, 50)),
                rng.choice(("am", "pm")),
            )
        case "count" | "word_count" | "percent" | "age" | "weight" | "year":
            return number
    raise ValueError(f"unknown fact type {kind!r}")


def _fact(kind: str, value: Any) -> Fact:
    forms = _forms(kind, value)
    extra = _post_only(kind, value)
    return Fact(kind, value, forms + extra, forms)


def _forms(kind: str, value: Any) -> tuple[str, ...]:
    match kind:
        case "money":
            return _money(*value)
        case "duration":
            count, unit = value
            plural = f"{unit}s"
            return f"{count} {plural}", f"{spelled(count)} {plural}"
        case "distance":
            count, unit = value
            return f"{count:,} {unit}", f"{count:,} {'kilometres' if unit == 'km' else 'miles'}"
        case "weight":
            return f"{value} kg", f"{value} kilos"
        case "percent":
            return f"{value}%", f"{value} percent", f"{value} per cent"
        case "word_count":
            return (spelled(value),)
        case "count":
            return (f"{value:,}", str(value)) if value > 999 else (str(value),)
        case "date":
            day, month = value
            return f"{day} {month}", f"{month} {day}", f"{month} {day}{_ordinal(day)}"
        case "time":
            return _time(*value)
    return (str(value),)


def _post_only(kind: str, value: Any) -> tuple[str, ...]:
    if kind == "money" and value[1] % 1000 == 0 and value[1] < 1_000_000:
        return (f"{value[1] // 1000}k", f"{value[1] // 1000} grand")
    if kind == "date":
        return (f"{value[1][:3]} {value[0]}", f"the {value[0]}{_ordinal(value[0])} of {value[1]}")
    if kind == "word_count":
        return (str(value),)
    return ()


def _money(currency: str, amount: int) -> tuple[str, ...]:
    plain = f"{currency}{amount:,}"
    worded = f"{amount:,} {CURRENCIES[currency]}"
    if amount >= 1_000_000 and amount % 10_000 == 0:
        millions = f"{amount / 1_000_000:g}"
        return f"{currency}{millions} million", f"{currency}{millions}M", plain, worded
    if amount % 1000 == 0:
        return plain, f"{currency}{amount // 1000}K", f"{currency}{amount // 1000}k", worded
    return plain, f"{currency}{amount}", plain, worded


def _time(hour: int, minute: int, half: str) -> tuple[str, ...]:
    late = hour + (12 if half == "pm" else 0)
    short = f"{hour}:{minute:02d} {half}" if minute else f"{hour} {half}"
    return short, short.replace(" ", ""), f"{late:02d}:{minute:02d}"


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def spelled(number: int) -> str:
    """Return the number in words up to twenty, in digits beyond."""
    return NUMBERS[number] if 0 <= number < len(NUMBERS) else str(number)


SWAPPABLE = frozenset(
    "first_name full_name surname firm city country street money count word_count percent age year "
    "month weekday date time duration distance weight product job relative animal food colour "
    "language sport instrument crop illness".split()
)
"""Types of which two facts of one post can stand for each other."""
_PEOPLE = frozenset({"first_name", "full_name"})
_NUMBERED = {"count": 10**9, "word_count": 20, "percent": 100, "age": 99, "weight": 200}
"""Types whose value is one number, and the largest that reads well."""


def stand_in(fact: Fact, other: Fact) -> Fact | None:
    """Return ``other`` written as a fact of ``fact``'s type; None if it cannot stand for it."""
    if fact.type in SWAPPABLE and other.type == fact.type:
        return other
    if fact.type in _PEOPLE and other.type in _PEOPLE:
        return other
    number = _number(other)
    if number is None or _number(fact) is None or number == _number(fact):
        return None
    if fact.type in _NUMBERED:
        return _fact(fact.type, number) if 2 <= number <= _NUMBERED[fact.type] else None
    unit = fact.value[1]  # type: ignore[index]  # durations and distances are a number and a unit
    return _fact(fact.type, (number, unit)) if 2 <= number <= 60 else None


def _number(fact: Fact) -> int | None:
    value: Any = fact.value
    if fact.type in _NUMBERED:
        return int(value)
    return int(value[0]) if fact.type in {"duration", "distance"} else None
