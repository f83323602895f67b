"""Requests and events as bytes and back, so that an engine can run in another process.

A record travels as a map of its fields and its name, an array as its type, shape and bytes; all
else is what MessagePack knows. Only records that requests and events hold can be decoded.

msgspec would encode the records by itself, but it cannot tell apart several dataclasses that may
stand in one place, as the strategies of a search do; so each carries its name.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np

from core.engine.protocol import EVENTS, REQUESTS, Event, Request
from core.errors import UserFacingError
from core.search import strategies

ARRAY = 1
"""MessagePack's number of the extension type that holds an array."""
NAME = ""
"""In place of a field's name: the name of the record, its module's before it."""


def encode(message: Request[Event] | Event) -> bytes:
    """Return a request or an event as bytes.

    Raises:
        TypeError: it holds something that is no value: an object that lives here.
    """
    return msgspec.msgpack.encode(_plain(message))


def decode(data: bytes) -> Request[Event] | Event:
    """Return the request or the event that ``encode`` made these bytes of.

    Raises:
        UserFacingError: the bytes are of no message that this version knows.
    """
    try:
        found = _value(msgspec.msgpack.decode(data, ext_hook=_array))
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        raise UserFacingError(
            f"A message of the engine cannot be read ({error}): use the same version of Qscope on "
            "both sides."
        ) from error
    if not isinstance(found, Request | Event):
        raise UserFacingError("A message of the engine cannot be read: it is no message.")
    return found


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | str() | bytes():
            return value
        case float():
            return float(value)  # NumPy's is one too
        case int():
            return int(value)
        case np.generic():
            return value.item()
        case np.ndarray():
            said = [value.dtype.str, value.shape, value.tobytes()]
            return msgspec.msgpack.Ext(ARRAY, msgspec.msgpack.encode(said))
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
    kind = type(value)
    if not dataclasses.is_dataclass(value) or _record(_name(kind)) is not kind:
        raise TypeError(f"{kind.__qualname__} cannot leave this process")
    fields = (field.name for field in dataclasses.fields(value))
    return {NAME: _name(kind), **{name: _plain(getattr(value, name)) for name in fields}}


def _value(plain: Any) -> Any:
    match plain:
        case list():
            return tuple(_value(item) for item in plain)
        case dict():
            fields = {key: _value(item) for key, item in plain.items() if key != NAME}
            if NAME not in plain:
                return fields
            if (record := _record(plain[NAME])) is None:
                raise ValueError(f"{plain[NAME]} is no record of it")
            return record(**fields)
    return plain


def _array(code: int, data: memoryview) -> Any:
    if code != ARRAY:
        raise ValueError(f"extension {code} is not known")
    dtype, shape, content = msgspec.msgpack.decode(data, type=tuple[str, tuple[int, ...], bytes])
    return np.frombuffer(content, np.dtype(dtype)).reshape(shape)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _record(name: str) -> type | None:
    """Return a record by its name; None where no request or event holds one of that name."""
    if name not in _records():
        _records.cache_clear()  # a strategy may have been registered since
    return _records().get(name)


@cache
def _records() -> dict[str, type]:
    """Return all records that requests and events are or hold, and their kinds, by name."""
    found: dict[str, type] = {}
    seen: set[Any] = set()
    left: list[Any] = [*REQUESTS, *EVENTS, *strategies.records()]
    while left:
        kind = left.pop()
        left += get_args(kind)
        if kind in seen or not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
            continue
        seen.add(kind)
        # A class with slots is made of one without, which is among the subclasses until it goes.
        left += [it for it in kind.__subclasses__() if "__slots__" in vars(it)]
        left += get_type_hints(kind).values()
        if found.setdefault(_name(kind), kind) is not kind:
            raise TypeError(f"two records are called {_name(kind)}")
    return found
