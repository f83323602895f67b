"""A scored file as a table: its numbers in memory, its texts on disk, rows in any order.

Opening reads the file once: of each row the numbers that columns show, sort and filter by, the
beginning of its texts, and, unless all are more than ``HELD``, the texts with their case folded, in
which words are looked for. Whole texts and log-probs are read again by the row's place when they
are wanted. Scores hold no beta, so that another beta needs no file. Knows nothing of models or
windows.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.dataset import derived
from core.dataset.derived import Array
from core.dataset.scored import (
    SIDES,
    SOURCE,
    About,
    batches,
    preference,
    read_about,
    response_of,
    schema,
)
from core.errors import Cancelled, UserFacingError
from core.failures import in_words, reason
from core.losses import UNNAMED, TrainingLoss
from core.preferences import Preference
from core.present.credit import Credit
from core.progress import Report, Stop, never, silent
from core.text import shared_prefix

if TYPE_CHECKING:
    import pyarrow as pa

Rows = NDArray[np.int64]
"""Places of rows in the file, from 0."""
Kind = Literal["number", "words", "text"]
BEGINNING = 120
"""Letters of a text that are kept in memory."""
LEAD = 12
"""Letters that both sides begin with from which on these are left out of their beginnings."""
MOST_KINDS = 200
"""Different words of a column of the source up to which it is held in memory, as a category."""
HELD = 256_000_000
"""Bytes of texts that are held for words to be found in; those of a larger file stay on disk."""
PLACES = "places"
TEXTS = "prompt", "chosen", "rejected"
WHOLE = (*TEXTS, "turns", "settings", "wrong", "id", "note", "row")
"""What is read of a row for a reader."""
READING = "Reading the scored rows"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``name``, as filters write it; ``title`` of its header; ``tip``: what it is."""

    name: str
    title: str
    tip: str
    kind: Kind = "number"
    digits: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Words:
    """A column of few words: row i has ``kinds[codes[i]]``, or nothing where that is −1."""

    kinds: tuple[str, ...]
    codes: NDArray[np.int32]


class Lines:
    """Many short texts, held in few long ones: an object each would take twice the memory."""

    def __init__(self) -> None:
        self._blocks: list[tuple[str, NDArray[np.int64]]] = []
        self._starts = [0]

    def append(self, lines: Sequence[str]) -> None:
        """Put some more behind the others."""
        ends = np.cumsum([0, *map(len, lines)])
        self._blocks.append(("".join(lines), ends))
        self._starts.append(self._starts[-1] + len(lines))

    def __getitem__(self, place: int) -> str:
        block = bisect_right(self._starts, place) - 1
        text, ends = self._blocks[block]
        inside = place - self._starts[block]
        return text[ends[inside] : ends[inside + 1]]


@dataclass(eq=False)
class ScoredTable:
    """The rows of a scored file, by their places from 0."""

    path: Path
    about: About
    count: int
    credit: Credit
    """How the training's loss scores responses."""
    note: str
    """What of that is unlike the training, a sentence; "" for nothing."""
    numbers: dict[str, Array]
    """Stored and computed numbers, [count] each, without beta; NaN: not known."""
    words: dict[str, Words]
    searched: tuple[str, ...]
    """The source's columns of text, which are only on disk."""
    beginnings: Mapping[str, Lines]
    """The beginnings of texts, and the ids."""
    groups: NDArray[np.int64]
    """Before which row each of the file's row groups begins, and the count."""
    folded: Mapping[str, "pa.Array"]
    """``TEXTS`` as words are looked for in them (``folded``), where they are held; else empty."""
    columns: tuple[Column, ...] = ()
    is_single: bool = False
    """Whether no row is a pair."""
    has_errors: bool = False
    """Whether it is known of some rows which of their tokens are wrong."""
    found: dict[Any, NDArray[np.bool_]] = field(default_factory=dict)
    """Of words that were looked for: the rows that have them (core.dataset.filters)."""
    _near: dict[tuple[int, tuple[str, ...]], "pa.Table"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.is_single = bool(np.isnan(self.numbers["length_rejected"]).all())
        errors = self.numbers.get("errors")
        self.has_errors = errors is not None and bool((errors > 0).any())
        own = _own_columns(self.credit, self.is_single)
        if self.has_errors:
            own = (*own, ERRORS)
        self.columns = (*own, *self._columns_of_source())

    def column(self, name: str) -> Column | None:
        """Return a column by its name; None if there is none."""
        return next((it for it in self.columns if it.name == name), None)

    # --- numbers ------------------------------------------------------------------------------

    def scale(self, beta: float | None) -> float:
        """Return what scores are multiplied by."""
        if self.credit.alone and self.credit.objective.main.reference:
            return 1.0  # log-likelihoods, in place of what needs a reference
        return derived.scale(self.credit.objective, beta)

    def prefers(self, beta: float | None) -> bool:
        """Return whether σ of a margin is a probability."""
        return beta is not None and self.credit.prefers

    def values(self, name: str, beta: float | None) -> Array:
        """Return a column of numbers, [count]; NaN: not known.

        Raises:
            KeyError: there is no such column, or it is none of numbers.
        """
        numbers = self.numbers
        match name:
            case "margin":
                return derived.margin(
                    numbers["score_chosen"], numbers["score_rejected"], self.scale(beta)
                )
            case "reward_chosen" | "reward_rejected":
                return self.scale(beta) * numbers[name.replace("reward", "score")]
            case "preference":
                if not self.prefers(beta):
                    return np.full(self.count, np.nan)
                return derived.preference(self.values("margin", beta))
            case "length_difference":
                return derived.length_difference(
                    numbers["length_chosen"], numbers["length_rejected"]
                )
        return numbers[name]

    def noise(self, beta: float | None) -> Array:
        """Return how far rounding may have moved each margin, [count], in the margin's unit; 0
        where that is not known or changes no digit.

        √(e_c² + e_r²) of the errors e of the tokens after those in which the sides part: before
        them both sides have the same errors, which cancel (unless a loss takes means).
        """
        floor, numbers, credit = self.about.noise, self.numbers, self.credit
        if floor is None:
            return np.zeros(self.count)
        scale = credit.scale(1.0 if beta is None else beta)
        found = []
        for side in SIDES:
            length = numbers[f"length_{side}"]
            apart = length - numbers["parts"] if credit.parts_cancel else length
            error = floor.of_rewards(scale, np.nan_to_num(apart))
            found.append(error if credit.parts_cancel else error / length)
        return np.hypot(*found)

    def order(self, rows: Rows, name: str, beta: float | None, descending: bool = False) -> Rows:
        """Return these rows sorted by a column; those of which it is not known come last, and equal
        ones stay as they were.

        Raises:
            KeyError: there is no such column of numbers or few words.
        """
        if name in self.words:
            column = self.words[name]
            rank = np.full(len(column.kinds) + 1, np.nan)  # the last is of the code −1
            places = sorted(range(len(column.kinds)), key=column.kinds.__getitem__)
            rank[places] = np.arange(len(column.kinds))
            keys = rank[column.codes[rows]]
        else:
            keys = self.values(name, beta)[rows]
        return rows[np.argsort(-keys if descending else keys, kind="stable")]

    # --- texts --------------------------------------------------------------------------------

    def beginning(self, name: str, row: int) -> str:
        """Return how a text of a row begins, one of ``TEXTS`` or "id", in one line."""
        return self.beginnings[name][row]

    def read(
        self, rows: Sequence[int] | Rows, columns: Sequence[str] = WHOLE
    ) -> list[dict[str, Any]]:
        """Return whole rows of the file, in this order, as dicts of ``columns``.

        Raises:
            UserFacingError: the file cannot be read any more, or is another one now.
        """
        wanted = tuple(dict.fromkeys((*columns, "row")))
        places = np.asarray(rows, dtype=np.int64)
        of = np.searchsorted(self.groups, places, side="right") - 1
        found: list[dict[str, Any]] = [{} for _ in places]
        with in_words("The scored rows in", self.path, "open the file again"):
            for group in np.unique(of):
                table = self._group(int(group), wanted)
                at = np.flatnonzero(of == group)
                inside = places[at] - int(self.groups[group])
                for place, row in zip(at, table.take(as_arrow(inside)).to_pylist(), strict=True):
                    found[place] = row
        numbers = self.numbers["row"][places]
        if any(row["row"] != number for row, number in zip(found, numbers, strict=True)):
            raise UserFacingError(f"{self.path} is another file now: open it again.")
        return found

    def _group(self, group: int, columns: tuple[str, ...]) -> "pa.Table":
        """Return a row group; that of the last texts is kept, as neighbours are read together."""
        import pyarrow.parquet as pq

        if (group, columns) not in self._near:
            with pq.ParquetFile(self.path) as file:
                table = file.read_row_group(group, columns=[*columns])
            self._near = {(group, columns): table} if columns == WHOLE else self._near
            return table
        return self._near[group, columns]

    def pair(self, row: int) -> tuple[Preference, dict[str, Any]]:
        """Return a row as a pair, of a single response with both sides the same, and all that was
        read of it.

        Raises:
            UserFacingError: the file cannot be read any more, or is another one now.
        """
        (found,) = self.read([row])
        return self.preference_of(found), found

    def preference_of(self, row: Mapping[str, Any]) -> Preference:
        """Return the pair of a row that was read.

        Raises:
            UserFacingError: its texts are damaged.
        """
        with in_words("A row of", self.path, "it is damaged, so score the data again"):
            return preference(row)

    def _columns_of_source(self) -> tuple[Column, ...]:
        found = []
        named = (
            *((name, "number") for name in self.numbers if name.startswith(SOURCE)),
            *((name, "words") for name in self.words),
            *((name, "text") for name in self.searched),
        )
        kinds: dict[str, Kind] = {"number": "number", "words": "words", "text": "text"}
        for name, kind in named:
            title = name.removeprefix(SOURCE)
            said = " It is only searched, not sorted." if kind == "text" else ""
            tip = f"The column “{title}” of the source.{said}"
            found.append(Column(name, title, tip, kinds[kind], 4))
        return tuple(found)


def _own_columns(credit: Credit, single: bool) -> tuple[Column, ...]:
    """Return the columns that every scored file has, named as the training's loss has them."""
    symbol, main = credit.of_pairs, credit.objective.main
    meaning = credit.of_pairs_meaning
    row = Column("row", "row", "The row's number in the source, from 0")
    one = Column("reward_chosen", f"{symbol} chosen", f"Of the chosen side: {meaning}", digits=3)
    length = Column("length_chosen", "n chosen", "Tokens of the chosen side that are scored")
    if single:
        told = f"Of the response: {meaning}"
        return (
            row,
            Column("reward_chosen", symbol, told, digits=3),
            Column("length_chosen", "n", "Tokens that are scored"),
        )
    scaled = "β " if main.scaled and not (credit.alone and main.reference) else ""
    return (
        row,
        Column(
            "margin", "margin", f"m = {scaled}(s_chosen − s_rejected), above 0 where the chosen "
            f"side scores higher; s: {meaning}", digits=3,
        ),
        Column(
            "preference", "σ(m)", "The probability σ(m) that the chosen side is preferred; known "
            "where β is, and the loss makes it one", digits=3,
        ),
        one,
        Column(
            "reward_rejected", f"{symbol} rejected", f"Of the rejected side: {meaning}", digits=3
        ),
        length,
        Column("length_rejected", "n rejected", "Tokens of the rejected side that are scored"),
        Column(
            "length_difference", "Δ n", "n chosen − n rejected: above 0 where the chosen side is "
            "longer",
        ),
        Column("parts", "part at", "The first token in which the sides differ, from 0"),
        Column(
            "alike", "alike", "Share of tokens that both sides have, 2 |A ∩ B| / (|A| + |B|), in "
            "any order (a likeness of texts: CHES needs hidden states, which the file does not "
            "hold)", digits=3,
        ),
    )  # fmt: skip


ERRORS = Column(
    "errors",
    "errors",
    "Known errors of the rejected side: the source's spans, where their tokens are known",
)

# --- opening ----------------------------------------------------------------------------------


def open_scored(path: Path, report: Report = silent, cancelled: Stop = never) -> ScoredTable:
    """Return a scored file as a table.

    Args:
        report: told how far reading is.

    Raises:
        UserFacingError: it cannot be read, is no such file, is damaged, or of a newer version.
        Cancelled: soon after ``cancelled()`` turns true.
    """
    import pyarrow.parquet as pq

    about = read_about(path)
    try:
        with pq.ParquetFile(path) as file:
            there, shape = file.schema_arrow, file.metadata
            groups = [shape.row_group(i).num_rows for i in range(shape.num_row_groups)]
    except (OSError, ValueError, RuntimeError) as error:
        raise UserFacingError(
            f"The scored rows in {path} cannot be read ({reason(error)}): score the data again."
        ) from error
    for wanted in schema():
        if wanted.name == PLACES and wanted.name not in there.names:
            continue  # of a Qscope that did not write them
        if wanted.name not in there.names or there.field(wanted.name).type != wanted.type:
            raise UserFacingError(
                f"The scored rows in {path} have no column {wanted.name} as Qscope writes it: "
                f"score the data again."
            )
    credit, note = credit_of(about)
    own = [it.name for it in there if it.name.startswith(SOURCE)]
    kinds = {name: str(there.field(name).type) for name in own}
    reader = _Reader(credit, kinds, PLACES in there.names)
    for table in batches(path, reader.columns):
        if cancelled():
            raise Cancelled
        with in_words("The scored rows in", path, "they are damaged, so score the data again"):
            reader.take(table)
        report(READING, reader.count / max(1, shape.num_rows))
    return reader.table(path, about, note, np.concatenate([[0], np.cumsum(groups)]))


def credit_of(about: About) -> tuple[Credit, str]:
    """Return how a file's responses are scored, and what of that is unlike the training, in a
    sentence; "" for nothing."""
    objective, alone = about.objective, not about.job.reference
    if objective.main.compares and not objective.mixed and objective.main.kind != "none":
        return Credit(objective, alone), ""
    what = "log-likelihoods" if alone else "implicit rewards"
    return Credit(UNNAMED, alone), (
        f"The training's loss ({objective.title}) has no score of a single response that compares "
        f"pairs: margins are of {what}, as DPO has them."
    )


class _Reader:
    """Gathers a file's numbers and the beginnings of its texts, batch by batch."""

    def __init__(self, credit: Credit, source: Mapping[str, str], places: bool) -> None:
        self._credit, self._source, self._places = credit, source, places
        objective = credit.objective
        self._fast = derived.is_plain(objective)
        self._likely = credit.alone or not objective.main.reference or not self._fast
        more = [f"policy_{side}" for side in SIDES] if self._likely else []
        if not self._fast:
            more += [f"reference_{side}" for side in SIDES]
        plain = "row", "id", *TEXTS, "turns", "parts"
        of_sides = [f"{kind}_{side}" for kind in ("ids", "log_ratio", "length") for side in SIDES]
        known = ["wrong", PLACES] if places else []
        self.columns = [*plain, *of_sides, *more, *known, *source]
        self.count = 0
        self._all_begin: str | None = None
        """What the prompts of the first batch begin with, and so, it may be, do all."""
        self._numbers: dict[str, list[Array]] = {}
        self._codes: dict[str, list[NDArray[np.int32]]] = {}
        self._kinds: dict[str, dict[str, int]] = {}
        self._many: dict[str, None] = {}
        """Columns of the source that have too many different words."""
        self._texts = {name: Lines() for name in (*TEXTS, "id")}
        self._folded: dict[str, list[pa.Array]] = {name: [] for name in TEXTS}
        """Empty where they are too many to be held."""
        self._held = 0

    def take(self, table: "pa.Table") -> None:
        """Take in the next rows of the file."""
        if not len(table):
            return
        self.count += len(table)
        found = {
            name: _floats(table.column(name))
            for name in ("row", "parts", "log_ratio_chosen", *(f"length_{it}" for it in SIDES))
        }
        found |= self._scores(table, found)
        found["alike"] = _alike(table)
        if self._places:
            found["errors"] = _errors(table)
        for name, kind in self._source.items():
            if kind in ("int64", "double"):
                found[name] = _floats(table.column(name))
            elif name not in self._many:
                self._take_words(name, table.column(name))
        for name, values in found.items():
            self._numbers.setdefault(name, []).append(values)
        self._take_texts(table)
        self._hold(table)

    def table(self, path: Path, about: About, note: str, groups: NDArray[np.int64]) -> ScoredTable:
        """Return what has been gathered."""
        numbers = {name: np.concatenate(parts) for name, parts in self._numbers.items()}
        if not self.count:
            of_sides = (f"{kind}_{side}" for kind in ("length", "score") for side in SIDES)
            names = ("row", "parts", "log_ratio_chosen", "alike", *of_sides)
            numbers = dict.fromkeys(names, np.zeros(0))
        words = {
            name: Words(tuple(self._kinds[name]), np.concatenate(parts))
            for name, parts in self._codes.items()
        }
        return ScoredTable(
            path, about, self.count, self._credit, note, numbers, words, tuple(self._many),
            self._texts, groups, self._joined(),
        )  # fmt: skip

    def _joined(self) -> "dict[str, pa.Array]":
        """Return the texts that are held, an array a column; no column is there twice for long."""
        import pyarrow as pa

        joined = {}
        for name in TEXTS:
            if self._folded.get(name):
                joined[name] = pa.concat_arrays(self._folded.pop(name))
                pa.default_memory_pool().release_unused()  # Arrow would keep the parts
        return joined

    def _scores(self, table: "pa.Table", known: Mapping[str, Array]) -> dict[str, Array]:
        """Return both sides' scores without beta."""
        objective, alone = self._credit.objective, self._credit.alone
        likely = alone and objective.main.reference
        if not (self._fast or likely):
            return _one_by_one(table, objective)
        found = {}
        for side in SIDES:
            sums = _sums(table.column(f"policy_{side}")) if self._likely else np.zeros(len(table))
            ratio = _floats(table.column(f"log_ratio_{side}"))
            if likely:
                found[f"score_{side}"] = sums
            else:
                length = known[f"length_{side}"]
                found[f"score_{side}"] = derived.scores(objective, ratio, sums, length)
        return found

    def _take_words(self, name: str, column: "pa.ChunkedArray") -> None:
        import pyarrow as pa

        kinds = self._kinds.setdefault(name, {})
        found = column.cast(pa.string()).combine_chunks().dictionary_encode()
        own = found.dictionary.to_pylist()
        codes = np.array([kinds.setdefault(word, len(kinds)) for word in own], np.int32)
        if len(kinds) > MOST_KINDS:
            self._many[name] = None
            self._codes.pop(name, None)
            return
        known = ~as_numpy(found.is_null())
        places = np.full(len(found), -1, np.int32)
        places[known] = codes[as_numpy(found.indices)[known]]
        self._codes.setdefault(name, []).append(places)

    def _take_texts(self, table: "pa.Table") -> None:
        """Keep how texts begin; of the two sides what follows that which they begin with alike."""
        turns = table.column("turns").to_pylist()
        texts = {name: list(map(readable, table.column(name).to_pylist(), turns)) for name in TEXTS}
        pairs = list(zip(texts["chosen"], texts["rejected"], strict=True))
        starts = [_where_to_begin(one, other) for one, other in pairs]
        if self._all_begin is None:
            self._all_begin = _beginning_of_all(texts["prompt"])
        same = self._all_begin
        shown = {
            "prompt": [_line(text, len(same) * text.startswith(same)) for text in texts["prompt"]]
        }
        for name, side in zip(SIDES, zip(*pairs, strict=True), strict=True):
            shown[name] = list(map(_line, side, starts))
        for name, lines in shown.items():
            self._texts[name].append(lines)
        self._texts["id"].append([it or "" for it in table.column("id").to_pylist()])

    def _hold(self, table: "pa.Table") -> None:
        """Keep the texts for words to be found in, unless that is too much."""
        for name, parts in self._folded.items():
            parts.append(folded(table, name))
            self._held += parts[-1].nbytes
        if self._held > HELD:
            self._folded = {}


def folded(table: "pa.Table", name: str) -> "pa.Array":
    """Return a column of texts as words are looked for in it: as ``str.casefold`` has them, of
    turns what each says; null for none."""
    import pyarrow.compute as pc

    texts = table.column(name).combine_chunks()
    small, others = pc.ascii_lower(texts), pc.invert(pc.string_is_ascii(texts))
    if name not in TEXTS:
        rest = [it.casefold() for it in texts.filter(others).to_pylist()]
    else:
        turns = table.column("turns").combine_chunks()
        others = pc.or_(others, turns)
        both = texts.filter(others).to_pylist(), turns.filter(others).to_pylist()
        rest = [it.casefold() for it in map(readable, *both)]
    return pc.replace_with_mask(small, others, as_strings(rest)) if rest else small


def readable(text: str | None, turns: bool) -> str:
    """Return a text of a scored file for a reader; of turns what each says, line by line."""
    if text is None or not turns:
        return text or ""
    try:
        found = msgspec.json.decode(text, type=list[_Turn])
    except msgspec.MsgspecError:
        return text
    return "\n".join(turn.content for turn in found if isinstance(turn.content, str))


class _Turn(msgspec.Struct):
    content: Any = ""


def _beginning_of_all(texts: Sequence[str]) -> str:
    """Return the whole words that all texts begin with; "" for less than ``LEAD`` letters."""
    first, last = min(texts), max(texts)
    same = first[: shared_prefix(first, last)] if first != last else ""
    whole = same[: max(same.rfind(" "), same.rfind("\n")) + 1]
    return whole if len(whole) >= LEAD else ""


def _where_to_begin(one: str, other: str) -> int:
    """Return the start of the word in which two texts part; 0 if they share less than ``LEAD``."""
    same = shared_prefix(one, other)
    start = one.rfind(" ", 0, same) + 1 if same < max(len(one), len(other)) else 0
    return start if start >= LEAD else 0


def _line(text: str, start: int) -> str:
    """Return the beginning of a text in one line; what was left out before it is a dot."""
    return ("… " if start else "") + text[start : start + BEGINNING].replace("\n", "↵")


def _floats(column: "pa.ChunkedArray") -> Array:
    """Return a column of numbers, NaN for null."""
    import pyarrow as pa

    found: Array = as_numpy(column.cast(pa.float64(), safe=False)).copy()
    found[as_numpy(column.is_null())] = np.nan
    return found


def as_numpy(array: "pa.Array | pa.ChunkedArray") -> Any:
    """Return an array of numbers or truths as NumPy's, not to be written to; any value for null.

    Arrow's own ways to and from Python's values import pandas where that is installed, which may
    take seconds.
    """
    import pyarrow as pa

    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_boolean(whole.type):
        return as_numpy(whole.cast(pa.uint8())).astype(bool)
    values = whole.buffers()[1]
    if values is None or not len(whole):
        return np.zeros(0, whole.type.to_pandas_dtype())
    found = np.frombuffer(values, whole.type.to_pandas_dtype())
    return found[whole.offset : whole.offset + len(whole)]


def as_arrow(places: Rows) -> "pa.Array":
    """Return places of rows as Arrow's array."""
    import pyarrow as pa

    whole = np.ascontiguousarray(places, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])


def as_strings(texts: Sequence[str]) -> "pa.Array":
    """Return texts as Arrow's array."""
    import pyarrow as pa

    parts = [it.encode() for it in texts]
    ends = np.cumsum([0, *map(len, parts)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(parts), pa.py_buffer(ends), pa.py_buffer(b"".join(parts))
    )


def _lists(column: "pa.ChunkedArray") -> tuple[Any, Any]:
    """Return all values of a column of lists, and where each row's begin and the last ones end."""
    import pyarrow.compute as pc

    lists = column.combine_chunks()
    lengths = np.where(as_numpy(lists.is_null()), 0, as_numpy(pc.list_value_length(lists)))
    return as_numpy(lists.flatten()), np.concatenate([[0], np.cumsum(lengths)])


def _sums(column: "pa.ChunkedArray") -> Array:
    """Return the sums of a column of lists, in float64; NaN for null, 0 for an empty list."""
    values, offsets = _lists(column)
    found = np.zeros(len(column))
    filled = np.flatnonzero(np.diff(offsets))
    if len(filled):
        found[filled] = np.add.reduceat(values.astype(np.float64), offsets[filled])
    found[as_numpy(column.is_null())] = np.nan
    return found


def _alike(table: "pa.Table") -> Array:
    sides = [_lists(table.column(f"ids_{side}")) for side in SIDES]
    found = derived.alike(*sides[0], *sides[1])
    found[as_numpy(table.column("ids_rejected").is_null())] = np.nan
    return found


def _errors(table: "pa.Table") -> Array:
    """Return the number of known errors of each row; NaN where it is not known where they are."""
    import pyarrow.compute as pc

    wrong, places = (table.column(name).combine_chunks() for name in ("wrong", PLACES))
    found: Array = as_numpy(pc.list_value_length(wrong)).astype(np.float64)
    found[as_numpy(wrong.is_null()) | as_numpy(places.is_null())] = np.nan
    return found


def _one_by_one(table: "pa.Table", objective: TrainingLoss) -> dict[str, Array]:
    """Return scores that need each token, or bend the sum: by the loss's own function."""
    names = [f"{kind}_{side}" for kind in ("policy", "reference", "log_ratio") for side in SIDES]
    found: dict[str, list[float]] = {f"score_{side}": [] for side in SIDES}
    for row in table.select(names).to_pylist():
        there = [side for side in SIDES if row[f"policy_{side}"] is not None]
        sides = {side: response_of(row, side, objective) for side in there}
        for side in SIDES:
            score = None
            if side in sides:
                other = next((len(it.policy) for of, it in sides.items() if of != side), None)
                score = objective.score(sides[side], None, other)
            found[f"score_{side}"].append(np.nan if score is None else score)
    return {name: np.array(values, np.float64) for name, values in found.items()}
