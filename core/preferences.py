"""Preference data: a prompt with a chosen and a rejected response, and the files that hold them.

Reads JSON Lines, JSON, Parquet, CSV and folders that ``datasets`` saved; the kind is told by what
the file holds, not by its name. Sides are plain text or turns ({"role", "content"}); turns that
chosen and rejected begin with stand for a prompt that is not given. ``datasets`` itself would copy
each file into a cache and name no line that is at fault. Knows nothing of tokens.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from core.errors import UserFacingError
from core.text import Message, Prompt

COLUMNS = ("prompt", "chosen", "rejected")
CHECKED = 2000
"""As many pairs are looked at beforehand; the rest is only counted."""
KINDS = "JSON Lines, JSON, Parquet, CSV or a folder that the library datasets saved"
Side = str | tuple[Message, ...]
Items = Iterator[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt, the response that was preferred and the one that was not.

    All three are plain text, or all three are turns.
    """

    prompt: Side
    chosen: Side
    rejected: Side
    wrong: tuple[tuple[int, int], ...] = ()
    """What is known to be wrong in the rejected answer, as ranges of code points of its text."""
    source: str = ""
    """Where those errors come from, in a word; figures are given for each source too."""

    @property
    def conversational(self) -> bool:
        return not isinstance(self.chosen, str)

    @property
    def turns(self) -> Prompt:
        """The turns that both sides follow; a plain prompt is one user turn."""
        if isinstance(self.prompt, str):
            return Prompt.of(self.prompt)
        return Prompt(self.prompt)

    @property
    def replies(self) -> tuple[tuple[Message, ...], ...]:
        """The turns of each side after those, chosen first; plain text is one assistant turn."""
        return tuple(
            (Message("assistant", side),) if isinstance(side, str) else side
            for side in (self.chosen, self.rejected)
        )

    @property
    def answers(self) -> tuple[str, str]:
        """The texts of the chosen and the rejected response, each in its last turn."""
        chosen, rejected = (
            side if isinstance(side, str) else side[-1].content
            for side in (self.chosen, self.rejected)
        )
        return chosen, rejected

    def row(self) -> dict[str, Any]:
        """Return the three sides as trainers take them: text, or lists of {"role", "content"}."""
        sides = {"prompt": self.prompt, "chosen": self.chosen, "rejected": self.rejected}
        return {
            name: side if isinstance(side, str) else [asdict(turn) for turn in side]
            for name, side in sides.items()
        }


@dataclass(frozen=True, slots=True)
class PreferencesInfo:
    """What a file of preferences holds, as far as a look at its first ``checked`` pairs tells."""

    path: Path
    format: str
    pairs: int
    conversational: bool
    columns: tuple[str, ...]
    sample: Preference
    checked: int
    equal: int
    """Checked pairs whose sides are the same: they teach nothing."""


@dataclass(frozen=True, slots=True)
class _Source:
    """``items``: (place, what lies there), made into a table by ``parse`` where it is needed."""

    format: str
    items: Items
    parse: Callable[[Any], Any]


def inspect_preferences(path: Path) -> PreferencesInfo:
    """Look at a file: what it holds and whether it can be trained on.

    Raises:
        UserFacingError: it cannot be read or is no preference file; the sentence says why.
    """
    source = _open(path)
    sample: Preference | None = None
    columns: tuple[str, ...] = ()
    equal = checked = 0
    for pair, names in _pairs(path, source, CHECKED):
        if sample is None:
            sample, columns = pair, names
        checked += 1
        equal += pair.chosen == pair.rejected
    if sample is None:
        raise UserFacingError(f"{path} is empty: choose a file that holds preference pairs.")
    if equal == checked:
        raise _nothing_to_learn(path)
    rest = sum(1 for _ in source.items)
    return PreferencesInfo(
        path, source.format, checked + rest, sample.conversational, columns, sample, checked, equal
    )


def load_preferences(path: Path) -> list[Preference]:
    """Return all pairs, each of them checked.

    Raises:
        UserFacingError: as ``inspect_preferences``, for any line of the file.
    """
    pairs = [pair for pair, _ in _pairs(path, _open(path), None)]
    if not pairs:
        raise UserFacingError(f"{path} is empty: choose a file that holds preference pairs.")
    if all(pair.chosen == pair.rejected for pair in pairs):
        raise _nothing_to_learn(path)
    return pairs


def as_text(side: Side) -> str:
    """Return a side for a reader: the text, or its turns one below the other."""
    if isinstance(side, str):
        return side
    return "\n".join(f"{turn.role}: {turn.content}" for turn in side)


def _nothing_to_learn(path: Path) -> UserFacingError:
    return UserFacingError(
        f"In every pair of {path} chosen and rejected are the same, so there is nothing to learn: "
        f"choose a file in which they differ."
    )


# --- files ----------------------------------------------------------------------------------


def _open(path: Path) -> _Source:
    """Tell what kind of file it is, by its first bytes."""
    try:
        if path.is_dir():
            return _saved_dataset(path)
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror or error}): choose a preference file that "
            f"you may read."
        ) from error
    head = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start[:4] == b"PAR1":
        return _Source("Parquet", _parquet(path), _arrow_row)
    if head == b"[":
        return _Source("JSON", _json(path), lambda row: row)
    if head == b"{":
        return _Source("JSON Lines", _lines(path), lambda line: _parsed(path, *line))
    if path.suffix.lower() in (".csv", ".tsv"):
        return _Source("CSV", _csv(path), lambda row: row)
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        return _Source("JSON Lines", _lines(path), lambda line: _parsed(path, *line))
    if not start:
        raise UserFacingError(f"{path} is empty: choose a file that holds preference pairs.")
    raise UserFacingError(f"{path} is not a preference file: choose {KINDS}.")


def _lines(path: Path) -> Items:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield f"line {number}", (number, line)


def _parsed(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it is not UTF-8 text"
        raise UserFacingError(
            f"Line {number} of {path} is not JSON ({why}): mend or delete that line."
        ) from error


def _json(path: Path) -> Items:
    try:
        rows = json.loads(path.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserFacingError(
            f"Line {error.lineno} of {path} is not JSON ({error.msg}): mend it there."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserFacingError(f"{path} is not JSON in UTF-8: save it anew.") from error
    for number, row in enumerate(rows, 1):
        yield f"pair {number}", row


def _csv(path: Path) -> Items:
    csv.field_size_limit(10_000_000)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            for row in reader:
                row.pop(None, None)
                yield f"line {reader.line_num}", row
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserFacingError(f"{path} is not a CSV table in UTF-8 ({error}): save it anew.") from (
            error
        )


def _parquet(path: Path) -> Items:
    parquet = _arrow(path, "pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            yield from _rows_of(file.iter_batches(batch_size=1000))
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these kinds
        raise UserFacingError(f"{path} is damaged: write or download it again.") from error


def _saved_dataset(path: Path) -> _Source:
    """Open a folder of ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    splits = path / "dataset_dict.json"
    try:
        if splits.is_file():
            names = json.loads(splits.read_text("utf-8"))["splits"]
            if "train" not in names and len(names) != 1:
                raise UserFacingError(
                    f"{path} has the splits {', '.join(names)}, none of them called train: choose "
                    f"the folder of one of them."
                )
            name = "train" if "train" in names else names[0]
            found = _saved_dataset(path / name)
            return _Source(f"datasets folder, split {name}", found.items, found.parse)
        state = path / "state.json"
        if not state.is_file():
            raise UserFacingError(
                f"{path} is not a folder that datasets saved (it has no state.json): choose "
                f"{KINDS}."
            )
        files = [
            path / entry["filename"]
            for entry in json.loads(state.read_text("utf-8"))["_data_files"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserFacingError(f"The datasets folder {path} is damaged: save it again.") from error
    return _Source("datasets folder", _streams(path, files), _arrow_row)


def _streams(path: Path, files: list[Path]) -> Items:
    arrow = _arrow(path, "pyarrow")
    ipc = _arrow(path, "pyarrow.ipc")
    try:
        streams = [ipc.open_stream(arrow.memory_map(str(file))) for file in files]
        yield from _rows_of(chain.from_iterable(streams))
    except (OSError, ValueError) as error:
        raise UserFacingError(f"The datasets folder {path} is damaged: save it again.") from error


def _arrow(path: Path, module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserFacingError(
            f"Reading {path} needs the package pyarrow: run pip install -e '.[train]' in the "
            f"folder of main.py."
        ) from error


def _rows_of(batches: Iterable[Any]) -> Items:
    """Yield where each row of some batches lies; it is made into a table where it is needed."""
    number = 0
    for batch in batches:
        for index in range(batch.num_rows):
            number += 1
            yield f"row {number}", (batch, index)


def _arrow_row(item: tuple[Any, int]) -> dict[str, Any]:
    batch, index = item
    return {name: batch.column(name)[index].as_py() for name in batch.schema.names}


# --- pairs ----------------------------------------------------------------------------------


def _pairs(
    path: Path, source: _Source, limit: int | None
) -> Iterator[tuple[Preference, tuple[str, ...]]]:
    """Yield the first pairs with the names of their columns; they must all be of one kind."""
    first: tuple[str, bool] | None = None
    for count, (place, item) in enumerate(source.items, 1):
        row = source.parse(item)
        pair = _pair(path, place, row, first is None)
        if first is None:
            first = place, pair.conversational
        elif first[1] != pair.conversational:
            words = {True: "turns", False: "plain text"}
            raise UserFacingError(
                f"{path} mixes two kinds of pairs ({first[0]} holds {words[first[1]]}, {place} "
                f"{words[pair.conversational]}): split it into two files."
            )
        yield pair, tuple(row)
        if count == limit:
            return


def _pair(path: Path, place: str, row: Any, first: bool) -> Preference:
    if not isinstance(row, dict):
        raise UserFacingError(
            f"{place.capitalize()} of {path} is not a table with prompt, chosen and rejected: "
            f"choose another file, or mend it."
        )
    found = {name: row.get(name) for name in COLUMNS}
    missing = [name for name in COLUMNS[1:] if found[name] is None]
    if found["prompt"] is None and not isinstance(found["chosen"], list):
        missing.insert(0, "prompt")
    if missing:
        raise _missing(path, place, row, missing, first)
    chosen, rejected = (_side(path, place, name, found[name]) for name in COLUMNS[1:])
    prompt = None if found["prompt"] is None else _side(path, place, "prompt", found["prompt"])
    if isinstance(chosen, str) and isinstance(rejected, str) and isinstance(prompt, str):
        return Preference(prompt, chosen, rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise UserFacingError(
            f"{place.capitalize()} of {path} mixes plain text and turns: prompt, chosen and "
            f"rejected must be of one kind."
        )
    return _conversation(path, place, prompt, chosen, rejected)


def _missing(
    path: Path, place: str, row: dict[str, Any], missing: list[str], first: bool
) -> UserFacingError:
    absent = [name for name in missing if name not in row]
    if not first or not absent:
        return UserFacingError(
            f"{place.capitalize()} of {path} has no {' and no '.join(missing)}: mend or delete it."
        )
    there = ", ".join(str(name) for name in row) or "none"
    return UserFacingError(
        f"{path} has no column {' and no column '.join(absent)}; its columns are: {there}. Rename "
        f"them to prompt, chosen and rejected."
    )


def _side(path: Path, place: str, name: str, value: Any) -> Side:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        turns = [_turn(turn) for turn in value]
        if None not in turns:
            return tuple(turn for turn in turns if turn is not None)
    raise UserFacingError(
        f"In {place} of {path} {name} is neither text nor a list of turns with role and content: "
        f"mend or delete it."
    )


def _turn(turn: Any) -> Message | None:
    """Return a turn, None where it is none."""
    role, content = (
        turn.get(key) if isinstance(turn, dict) else None for key in ("role", "content")
    )
    return Message(role, content) if isinstance(role, str) and isinstance(content, str) else None


def _conversation(
    path: Path,
    place: str,
    prompt: Side | None,
    chosen: tuple[Message, ...],
    rejected: tuple[Message, ...],
) -> Preference:
    """Find where the prompt ends: many files repeat it in front of both responses."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    if isinstance(prompt, tuple):
        length = len(prompt)
        if length <= shared and chosen[:length] == prompt:
            chosen, rejected = chosen[length:], rejected[length:]
        return Preference(prompt, chosen, rejected)
    if shared:
        return Preference(chosen[:shared], chosen[shared:], rejected[shared:])
    if prompt is None:
        raise UserFacingError(
            f"{place.capitalize()} of {path} has no prompt, and chosen and rejected do not begin "
            f"with the same turns: add a column prompt."
        )
    return Preference((Message("user", prompt),), chosen, rejected)
