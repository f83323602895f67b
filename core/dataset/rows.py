"""Rows of a data set, read one after the other: pairs, or single responses.

The layouts are those of core.preferences. Which column is taken for what is found out from the
first rows alone (``look``), can be shown and corrected, and then holds for all rows, so that a row
reads the same wherever reading begins. A row that does not fit becomes a ``Skipped``. Memory does
not grow with the file, but for the kinds that core.tables holds whole.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from core.errors import Cancelled, UserFacingError
from core.files import entries, open_file
from core.preferences import (
    CHOSEN,
    KNOWN,
    PROMPT,
    REJECTED,
    RESPONSE,
    SYSTEM,
    TURNS,
    Preference,
    fold,
    listed,
    read_row,
    shown_name,
)
from core.progress import Report, Stop, never, silent
from core.tables import RowFault, open_table

LOOKED = 200
"""Rows that say which column is taken for what."""
PIECE = 1 << 20
"""Bytes that are hashed at once."""
ID = ("id", "_id", "uid", "uuid", "example_id", "pair_id", "sample_id")
WRONG = ("wrong", "spans")
"""Columns with the ranges of code points that are known to be wrong in the rejected response."""
REFERENCE_LOGPS = {
    False: ("ref_chosen_logps", "ref_rejected_logps"), True: ("ref_logps",),
}  # fmt: skip
"""What TRL calls the reference's summed log-probs that it has computed beforehand: of a pair, and
of a single response."""
ROLES = {
    "prompt": PROMPT, "chosen": CHOSEN, "rejected": REJECTED, "response": RESPONSE,
    "system": SYSTEM, "id": ID,
}  # fmt: skip
"""What a column can be named for, and the names that are looked for otherwise."""
LONGEST_ID = 200
Scalar = str | int | float | bool | None
Item = tuple[int, str, Any]
"""A row's number from 0, its place in words, and what lies there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column is taken for what."""

    format: str
    columns: tuple[str, ...]
    """All columns of the first rows."""
    roles: Mapping[str, tuple[str, ...]]
    """The columns by what they are taken for: "prompt", "chosen", "rejected", …"""
    single: bool
    """Whether a row holds one response and no pair."""
    prompted: bool
    """Whether there is a column for the prompt."""
    named: Mapping[str, str]
    """What the user has said: a column by its role."""
    note: str = ""
    """Which part of the file is read; "" for all of it."""

    @property
    def sentence(self) -> str:
        """Return what is taken for what, for a user: "prompt: question, chosen: response_j"."""
        found = ", ".join(f"{role}: {' + '.join(names)}" for role, names in self.roles.items())
        return found or "no column is taken for anything"


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be scored."""

    number: int
    """In the source, from 0."""
    place: str
    """In words: "line 12"."""
    id: str
    """The source's own; "" if it has none."""
    pair: Preference
    """Of a single response both sides are that."""
    single: bool
    wrong: tuple[tuple[int, int], ...]
    reference: tuple[float, ...] | None
    """The reference's summed log-prob of each side, in nats, where the source brings them along."""
    rest: Mapping[str, Scalar]
    """The other columns that hold one value."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that cannot be used, and why, in words that follow its place."""

    number: int
    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder that was looked at, as it was then."""

    path: Path
    layout: Layout
    rows: int
    """All of them, those that cannot be used among them."""
    bytes: int
    digest: str
    """A hash of all that it holds."""

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield what lies in each row, unread, the first ``limit`` of them.

        Raises:
            UserFacingError: the file cannot be read any more.
        """
        return islice(_items(self.path), limit)

    def read(self, item: Item) -> Row | Skipped:
        """Return the row that lies in an item."""
        return _row(item, self.layout)


def parse_columns(text: str) -> dict[str, str]:
    """Return a mapping that is written "prompt=question,chosen=a,rejected=b".

    Raises:
        ValueError: it is not written so, or names a role that there is not.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        role, sign, name = (piece.strip() for piece in part.partition("="))
        if not (sign and name):
            raise ValueError(f"{part!r} is not written as prompt=question")
        if role not in ROLES:
            raise ValueError(f"{role!r} is none of {', '.join(ROLES)}")
        if role in found:
            raise ValueError(f"{role} is named twice")
        found[role] = name
    check_columns(found)
    return found


def check_columns(named: Mapping[str, str]) -> None:
    """Find out whether columns can be named so, by their role.

    Raises:
        ValueError: one is named for two roles, or those of a pair beside those of no pair.
    """
    for role, name in named.items():
        if any(name == other for one, other in named.items() if one != role):
            raise ValueError(f"{name!r} is named for two roles")
    if "response" in named and {"chosen", "rejected"} & named.keys():
        raise ValueError("response is of single responses, chosen and rejected are of pairs")


class NotGuessed(UserFacingError):
    """No column could be taken for what is needed; ``columns``: those that there are."""

    def __init__(self, sentence: str, columns: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.columns = columns


def look(path: Path, named: Mapping[str, str] | None = None) -> Layout:
    """Return which columns of a file are taken for what, by its first rows.

    Args:
        named: columns by their role, in place of a guess.

    Raises:
        UserFacingError: it cannot be read, is empty, lacks a named column, or none of the first
            rows can be used (NotGuessed); the sentence says why.
    """
    named = dict(named or {})
    table = open_table(path, KNOWN | {*RESPONSE} | {fold(name) for name in named.values()})
    values: list[dict[Any, Any]] = []
    faults: list[str] = []
    for place, item in islice(table.items, LOOKED):
        try:
            value = table.parse(item)
        except RowFault as fault:
            faults.append(f"{place} {fault}")
            continue
        if isinstance(value, dict):
            values.append(value)
        else:
            faults.append(f"{place} is not a table with columns")
    if not values and not faults:
        raise UserFacingError(f"{path} is empty: choose a file that holds pairs or responses.")
    columns = dict.fromkeys(shown_name(name) for value in values for name in value)
    there = {fold(name) for value in values for name in value}
    for role, name in named.items():
        if fold(name) not in there:
            raise UserFacingError(
                f"{path} has no column {name!r} for {role}: its columns are "
                f"{listed(columns) or 'none'}."
            )
    single = _is_single(there, named)
    layout = Layout(
        table.format,
        tuple(columns),
        {},
        single,
        "prompt" in named or not there.isdisjoint(PROMPT),
        named,
        table.note,
    )
    roles: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for value in values:
        try:
            found = read_row(_renamed(value, named), layout.prompted, single)
        except RowFault as fault:
            faults.append(str(fault))
            continue
        roles.update((role, _own(role, names, named)) for role, names in found.roles.items())
    if not roles:
        want = "a prompt and a response" if single else "a prompt, a chosen and a rejected response"
        raise NotGuessed(
            f"None of the first {len(values) or len(faults):,} rows of {path} holds {want} "
            f"({faults[0]}); its columns are {listed(columns) or 'none'}: say which is which with "
            f"--columns prompt=…,chosen=…,rejected=… or prompt=…,response=….",
            tuple(columns),
        )
    shown: dict[str, tuple[str, ...]] = {}
    for (role, names), _ in roles.most_common():
        shown.setdefault(role, names)
    return replace(layout, roles={role: shown[role] for role in sorted(shown, key=_order)})


def read_rows(path: Path, layout: Layout) -> Iterator[Row | Skipped]:
    """Yield the rows of a file whose columns are known.

    Raises:
        UserFacingError: the file cannot be read to its end.
    """
    return (_row(item, layout) for item in _items(path))


def open_source(
    path: Path,
    named: Mapping[str, str] | None = None,
    report: Report = silent,
    cancelled: Stop = never,
) -> Source:
    """Look at a file or folder, count its rows and hash what it holds.

    Raises:
        UserFacingError: as ``look``, or it cannot be read to its end.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    layout = look(path, named)
    size, digest = _digest(path, report, cancelled)
    rows = 0
    for rows, _ in enumerate(open_table(path, KNOWN | {*RESPONSE}).items, 1):
        if rows % LOOKED == 0 and cancelled():
            raise Cancelled
    return Source(path, layout, rows, size, digest)


def has_changed(source: Source) -> bool:
    """Return whether a source holds something else than when it was opened."""
    try:
        return _digest(source.path, silent, never) != (source.bytes, source.digest)
    except UserFacingError:
        return True


def _items(path: Path) -> Iterator[Item]:
    """Yield what lies in each row of a file, unread."""
    table = open_table(path, KNOWN | {*RESPONSE})
    for number, (place, item) in enumerate(table.items):
        yield number, place, (table.parse, item)


def _row(item: Item, layout: Layout) -> Row | Skipped:
    """Return the row that lies in an item."""
    number, place, (parse, lies) = item
    try:
        return _read(number, place, parse(lies), layout)
    except RowFault as fault:
        return Skipped(number, place, str(fault))


def _digest(path: Path, report: Report, cancelled: Stop) -> tuple[int, str]:
    """Return how many bytes a file or the files of a folder have, and a hash of them."""
    digest = hashlib.blake2b(digest_size=16)
    files = [path] if not path.is_dir() else sorted(_files(path))
    try:
        size = sum(file.stat().st_size for file in files)
        done = 0
        for file in files:
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            with open_file(file) as opened:
                while piece := opened.read(PIECE):
                    if cancelled():
                        raise Cancelled
                    digest.update(piece)
                    done += len(piece)
                    report("Reading the data", done / max(size, 1))
    except OSError as error:
        raise UserFacingError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    return size, digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of those in it: a data set's splits."""
    for entry in entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from (Path(it.path) for it in entries(Path(entry.path)) if it.is_file())
        elif entry.is_file():
            yield Path(entry.path)


def _order(role: str) -> int:
    known = list(ROLES)
    return known.index(role) if role in known else len(known)


def _own(role: str, names: tuple[str, ...], named: Mapping[str, str]) -> tuple[str, ...]:
    """Return columns by the names that the file has for them."""
    return (named[role],) if role in named else names


def _is_single(there: set[str], named: Mapping[str, str]) -> bool:
    """Return whether a file holds single responses, by the names of its columns."""
    if named.keys() & {"chosen", "rejected", "response"}:
        return "response" in named
    pairs = not there.isdisjoint(REJECTED)
    return not pairs and not there.isdisjoint({*RESPONSE, *TURNS})


def _renamed(value: dict[Any, Any], named: Mapping[str, str]) -> dict[Any, Any]:
    """Return a row whose columns that were named for a role are called as it is looked for.

    What would be taken for such a role otherwise is left out, unless it was named too.
    """
    if not named:
        return value
    by_name = {fold(name): cell for name, cell in value.items()}
    given = {fold(name): role for role, name in named.items()}
    dropped = {name for role in named for name in ROLES[role]}
    kept = {name: cell for name, cell in value.items() if fold(name) not in dropped | given.keys()}
    return kept | {ROLES[role][0]: by_name.get(name) for name, role in given.items()}


def _read(number: int, place: str, value: Any, layout: Layout) -> Row:
    """Return what a row of a file holds. Raises RowFault."""
    if isinstance(value, dict):
        value = _renamed(value, layout.named)
    found = read_row(value, layout.prompted, layout.single)
    cells = {fold(name): cell for name, cell in value.items()}
    names = REFERENCE_LOGPS[layout.single]
    sums = tuple(_number(cells.get(name)) for name in names)
    left = {fold(name) for name in found.left}
    id_name = next((name for name in ID if isinstance(cells.get(name), str | int)), "")
    wrong = next((it for name in WRONG if (it := _ranges(cells.get(name)))), ())
    aside = {id_name, *names, *WRONG}
    rest = {
        shown_name(name): _encodable(cell) if isinstance(cell, str) else cell
        for name, cell in value.items()
        if fold(name) in left - aside and isinstance(cell, str | int | float | bool)
    }
    return Row(
        number,
        place,
        _encodable(str(cells.get(id_name, ""))[:LONGEST_ID]),
        found.pair,
        layout.single,
        wrong,
        tuple(it for it in sums if it is not None) if None not in sums else None,
        rest,
    )


def _encodable(text: str) -> str:
    """Return a text with U+FFFD in place of halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _number(cell: Any) -> float | None:
    """Return a finite number that a cell holds, also as text, as CSV has it."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    try:
        found = float(cell)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


def _ranges(cell: Any) -> tuple[tuple[int, int], ...]:
    """Return a list of pairs of whole numbers, () for anything else."""
    if not isinstance(cell, list):
        return ()
    for span in cell:
        if not (isinstance(span, list) and len(span) == 2 and all(type(n) is int for n in span)):
            return ()
    return tuple((start, end) for start, end in cell if 0 <= start <= end < 1 << 31)
