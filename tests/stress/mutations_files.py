"""Random changes to files that keep their form: JSON by its values, weights by header and numbers.

A changed file still reads as what it is, so that what reads it gets past its first parser. All
draws come from one ``random.Random``, so a seed gives the same file again.
"""

import copy
import json
import random
import struct
from pathlib import Path
from typing import Any

NUMBERS = (0, 1, -1, 2, 3, 7, 64, 1000, 10**9, 2**31, 2**63, 2**70, -(2**40))
FLOATS = (0.0, 0.5, -1.5, 1e-30, 1e30, 1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "x", "None", "../x", "a" * 5000, "ü 🙂 שלום", "\x00", "{{", "(", "0", "true", "/")
OTHERS = (None, True, False, [], {}, [[]], [None], {"type": "x"}, "x", 0, -1, 1.5, 10**9)
DTYPES = ("F32", "F16", "BF16", "F64", "I64", "I32", "U8", "BOOL", "F8_E4M3", "F4", "X")
LARGEST = 10**7
"""Characters of a changed JSON file at most."""


def change_json(value: Any, rng: random.Random, known: dict[str, tuple[Any, ...]]) -> str:
    """Change one value of a JSON document in place; return what was done, in words.

    ``known``: by key, values that are likely to be taken for good.
    """
    places = list(_places(value))
    likely = [it for it in places if it[1] in known]
    if likely and rng.random() < 0.5:
        holder, key = rng.choice(likely)
        holder[key] = copy.deepcopy(rng.choice(known[key]))
        return f"{key} = {_short(holder[key])}"
    missing = [key for key in known if isinstance(value, dict) and key not in value]
    if missing and rng.random() < 0.25:
        key = rng.choice(missing)
        value[key] = copy.deepcopy(rng.choice(known[key]))
        return f"new {key} = {_short(value[key])}"
    if not places:
        return "nothing"
    holder, key = rng.choice(places)
    old, how = holder[key], rng.random()
    if how < 0.12:
        del holder[key]
        return f"without {key!r}"
    if how < 0.2 and isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
        return f"{key!r} renamed"
    if how < 0.28 and isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(old))
        return f"item {key} doubled"
    if how < 0.38:
        kin = [it for it in places if type(it[0][it[1]]) is type(old)]
        other, its = rng.choice(kin)
        holder[key], other[its] = copy.deepcopy(other[its]), copy.deepcopy(old)
        return f"{key!r} and {its!r} exchanged"
    if how < 0.86:
        holder[key] = _alike(old, rng)
    else:
        holder[key] = copy.deepcopy(rng.choice(OTHERS))
    return f"{key!r} = {_short(holder[key])}"


def _places(value: Any) -> Any:
    """Each place of a document: what holds it, and its key there."""
    keys = value if isinstance(value, dict) else range(len(value))
    if not isinstance(value, dict | list):
        return
    # Long tables are looked at here and there: a vocabulary is not more likely than the rest.
    step = max(1, len(value) // 24)
    for key in list(keys)[::step]:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _alike(old: Any, rng: random.Random) -> Any:
    """Another value of the same kind."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return rng.choice((*NUMBERS, old + 1, old - 1, old * 2, old // 2, -old))
    if isinstance(old, float):
        return rng.choice((*FLOATS, old * 2, -old))
    if isinstance(old, str):
        return rng.choice((*TEXTS, old[::-1], old + "x", old[:-1], old.upper(), old * 2))
    if isinstance(old, list):
        return rng.choice(([], old[:1], old[1:], old * 2, old[::-1], [old], [None, *old]))
    if isinstance(old, dict):
        half = dict(list(old.items())[: len(old) // 2])
        return rng.choice(({}, half, {"x": old}, [old], dict(list(old.items())[::-1])))
    return rng.choice(OTHERS)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}…"


def change_json_file(
    path: Path, rng: random.Random, known: dict[str, tuple[Any, ...]] | None = None
) -> str:
    """Change a JSON file at one place, seldom at two or in its text; return what was done."""
    value = json.loads(path.read_text("utf-8"))
    done = [change_json(value, rng, known or {})]
    if rng.random() < 0.2:
        done.append(change_json(value, rng, known or {}))
    text = json.dumps(value)
    how = rng.random()
    if how < 0.02:
        text, done = text[: rng.randrange(len(text))], ["cut"]
    elif how < 0.03:
        text, done = "[" * 100_000, ["nested deeply"]
    elif how < 0.04:
        text, done = text.replace("{", '{"x": 1, "x": 2, ', 1), ["a key twice"]
    elif how < 0.05:
        path.write_bytes(text.encode("utf-16"))
        return f"{path.name}: as UTF-16"
    path.write_text(text[:LARGEST], "utf-8")
    return f"{path.name}: {', '.join(done)}"


def read_weights(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and its numbers."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_weights(path: Path, header: dict[str, Any], numbers: bytes) -> None:
    """Write a safetensors file, whatever the header says."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)


def change_weights(path: Path, rng: random.Random) -> str:
    """Change a safetensors file: its header by the rules of the format or against them, or its
    numbers; return what was done."""
    header, numbers = read_weights(path)
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    entry, how = header[name], rng.randrange(16)
    start, stop = entry["data_offsets"]
    match how:
        case 0:
            entry["dtype"] = rng.choice(DTYPES)
            done = f"{name} as {entry['dtype']}"
        case 1:
            entry["shape"] = entry["shape"][::-1]
            done = f"{name} with its shape reversed"
        case 2:
            entry["shape"] = [*entry["shape"], 1] if rng.random() < 0.5 else entry["shape"][1:]
            done = f"{name} of shape {entry['shape']}"
        case 3:
            entry["shape"] = [rng.choice((*NUMBERS, "x", None, 1.5)), *entry["shape"][1:]]
            done = f"{name} of shape {_short(entry['shape'])}"
        case 4:
            entry["data_offsets"] = [start, rng.choice((stop + 4, stop - 4, 2**60, -4, start))]
            done = f"{name} at {entry['data_offsets']}"
        case 5:
            other = rng.choice(names)
            header[name], header[other] = header[other], header[name]
            done = f"{name} and {other} exchanged"
        case 6:
            header.pop(name)
            rest, kept = {}, b""
            for it in header:
                if it == "__metadata__":
                    rest[it] = header[it]
                    continue
                begin, end = header[it]["data_offsets"]
                rest[it] = header[it] | {"data_offsets": [len(kept), len(kept) + end - begin]}
                kept += numbers[begin:end]
            header, numbers, done = rest, kept, f"without {name}"
        case 7:
            header = {f"{it}x" if it == name else it: header[it] for it in header}
            done = f"{name} renamed"
        case 8 | 9:
            number = rng.choice((float("nan"), float("inf"), 1e38, 0.0, -1e-40))
            room = bytearray(numbers)
            for at in range(start, stop, 4 * rng.choice((1, 1, 7))):
                room[at : at + 4] = struct.pack("<f", number)
            numbers, done = bytes(room), f"{name} full of {number}"
        case 10:
            cut = rng.randrange(len(numbers))
            numbers, done = numbers[:cut], "cut"
        case 11:
            numbers, done = numbers + bytes(rng.choice((4, 1000))), "longer"
        case 12:
            header["__metadata__"] = rng.choice((None, {}, {"format": "tf"}, {"a": 1}, [], "x"))
            done = f"metadata {header['__metadata__']}"
        case 13:
            text = json.dumps(header).encode()
            size = rng.choice((0, 1, len(text) - 1, len(text) + 1, 2**40, 2**63))
            path.write_bytes(struct.pack("<Q", size) + text + numbers)
            return f"{path.name}: a header of {size} bytes"
        case 14:
            header[f"extra.{rng.randrange(9)}"] = dict(entry)
            done = "a tensor more, over another"
        case _:
            done = change_json(header, rng, {})
    write_weights(path, header, numbers)
    return f"{path.name}: {done}"
