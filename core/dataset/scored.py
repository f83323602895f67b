"""The file of a scored data set: one Parquet, a row for each row of the source that was scored.

======================================= =======================================================
row                                     int64, the row's number in the source, from 0; ascending
id                                      string, the source's own id; "" without one
prompt, chosen, rejected                string; of single responses chosen is the response and
                                        rejected is null
turns                                   bool: these three are lists of turns, as JSON
settings                                string, what a chat template is told besides (JSON), or null
wrong                                   list of [start, end], code points of rejected; or null
ids_chosen, ids_rejected                list<int32>, the tokens that are scored: those of the text
                                        with what the template writes there, the closing one last
policy_…, reference_… (chosen,          list<float32>, their log-probs in nats; the reference's are
rejected)                               null without a reference, or where its sums were at hand
log_ratio_chosen, log_ratio_rejected    float64, Σ log π − log π_ref in nats, never times beta
length_chosen, length_rejected          int32, tokens that are scored
parts                                   int32, the first token in which the two sides differ
places                                  of rows with ``wrong``: a [start, end] for each token of
                                        rejected, in code points of its last turn's text, [−1, −1]
                                        for tokens that are not of it; else, and before Qscope
                                        wrote this, null or no such column
note                                    string, what of the row is not scored or unlike the training
source.NAME                             the source's other columns that hold one value
======================================= =======================================================

Under the key ``qscope`` the file's metadata hold an ``About``, as JSON: which pair, source and
reading the numbers are of, and which rows were skipped, why. Knows nothing of models or windows.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from core.dataset.rows import Row, Skipped
from core.errors import UserFacingError
from core.failures import in_words, reason
from core.files import open_file
from core.losses import Response, TrainingLoss
from core.noise import NoiseFloor
from core.preferences import Preference, Side
from core.safe_files import whole_file
from core.scoring import Floats
from core.text import Message

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
KEY = b"qscope"
GROUP = 1024
"""Rows of a row group."""
AT_ONCE = 1024
"""Rows that are read at once."""
LISTED = 1000
"""So many skipped rows are listed with why; all are counted."""
REASONS = 100
"""So many different reasons are counted apart."""
SOURCE = "source."
MOST_COLUMNS = 100
"""Columns of the source that are kept."""
SIDES = "chosen", "rejected"


class Job(msgspec.Struct, frozen=True):
    """What decides the rows and numbers of a scored file: two of the same job are equal."""

    policy: str
    """The digest of the policy's files, and of what they stand on."""
    reference: str
    """That of the reference's; "" for none."""
    dtype: str
    reading: str
    """How texts are made into tokens: the rule, and whether the chat template is used."""
    source: str
    """The digest of the source."""
    bytes: int
    columns: Mapping[str, str]
    """The columns that the user has named."""
    limit: int | None
    shard: tuple[int, int]
    """Which of how many shards, from 1."""
    window: int
    """Rows of a part."""
    version: int = VERSION


DIFFERS = {
    "policy": "the policy", "reference": "the reference", "dtype": "the number format",
    "reading": "how texts are read", "source": "the data", "bytes": "the data",
    "columns": "--columns", "limit": "--limit", "shard": "--shard",
    "window": "Qscope's version", "version": "Qscope's version",
}  # fmt: skip


class NotScored(msgspec.Struct, frozen=True):
    """A row that was skipped."""

    row: int
    place: str
    why: str


class Counts(msgspec.Struct, frozen=True):
    """What became of some rows."""

    rows: int = 0
    """Those that were scored."""
    skipped: int = 0
    reasons: Mapping[str, int] = {}
    """How many were skipped for which reason."""
    listed: tuple[NotScored, ...] = ()
    """The first that were skipped."""

    def plus(self, other: "Counts") -> "Counts":
        """Return the counts of both, in the order of their rows."""
        reasons = Counter(self.reasons)
        for why, count in other.reasons.items():
            reasons[why if why in reasons or len(reasons) < REASONS else "another reason"] += count
        listed = sorted((*self.listed, *other.listed), key=lambda it: it.row)[:LISTED]
        return Counts(
            self.rows + other.rows, self.skipped + other.skipped, dict(reasons), tuple(listed)
        )


class About(msgspec.Struct, frozen=True):
    """What a scored file is of."""

    job: Job
    counts: Counts
    policy: str
    reference: str
    """Names, for people; "" for no reference."""
    weights: Mapping[str, str]
    """The digest of each checkpoint's files by its role."""
    beta: float | None
    objective: TrainingLoss
    """The loss of the training, by which a summary compares responses."""
    source: str
    """The path of the source, as it was given."""
    format: str
    columns: Mapping[str, tuple[str, ...]]
    """Which columns were taken for what."""
    source_rows: int
    findings: tuple[str, ...] = ()
    """What there is to say of the pair and of how texts were read, a sentence each."""
    noise: NoiseFloor | None = None
    precomputed: str = ""
    """What was done with the reference's log-probs that the source brings along, a sentence."""
    duplicates: int = 0
    """Rows whose id a row before has too."""
    made: str = ""
    """When, in UTC as ISO 8601 writes it."""


def counted(rows: int, skipped: Iterable[Skipped]) -> Counts:
    """Return the counts of scored rows and of skipped ones."""
    total = Counts(rows)
    for it in skipped:
        own = NotScored(it.number, it.place, it.why)
        total = total.plus(Counts(0, 1, {it.why: 1}, (own,)))
    return total


def differences(one: Job, other: Job) -> str:
    """Return in words in what two jobs differ; "" if they are the same."""
    found = {
        DIFFERS[name]: None
        for name in Job.__struct_fields__
        if getattr(one, name) != getattr(other, name)
    }
    return ", ".join(found)


@dataclass(frozen=True, eq=False, slots=True)
class ScoredRow:
    """A row and what the models say of it, each of its sides in turn; a single response has one.

    ``reference`` is None without a reference, and where only its sums are known.
    """

    row: Row
    ids: tuple[tuple[int, ...], ...]
    policy: tuple[Floats, ...]
    reference: tuple[Floats, ...] | None
    log_ratio: tuple[float, ...] | None
    note: str = ""
    places: tuple[tuple[int, int], ...] | None = None
    """Where the rejected side's tokens are in its last turn's text; None where nobody asks."""

    @property
    def parts(self) -> int | None:
        """Return the first token in which the sides differ; None of a single response."""
        if len(self.ids) < len(SIDES):
            return None
        length = min(map(len, self.ids))
        differs = (i for i in range(length) if self.ids[0][i] != self.ids[1][i])
        return next(differs, length)


# --- writing ----------------------------------------------------------------------------------


def schema() -> "pa.Schema":
    """Return the columns of a scored file, without those of its source."""
    import pyarrow as pa

    ids, logps = pa.list_(pa.int32()), pa.list_(pa.float32())
    kinds = {
        "row": pa.int64(), "id": pa.string(), "prompt": pa.string(), "chosen": pa.string(),
        "rejected": pa.string(), "turns": pa.bool_(), "settings": pa.string(),
        "wrong": pa.list_(pa.list_(pa.int32())), "ids_chosen": ids, "ids_rejected": ids,
        "policy_chosen": logps, "reference_chosen": logps, "policy_rejected": logps,
        "reference_rejected": logps, "log_ratio_chosen": pa.float64(),
        "log_ratio_rejected": pa.float64(), "length_chosen": pa.int32(),
        "length_rejected": pa.int32(), "parts": pa.int32(), "note": pa.string(),
        "places": pa.list_(pa.list_(pa.int32())),
    }  # fmt: skip
    return pa.schema(kinds)


def table_of(rows: Sequence[ScoredRow]) -> "pa.Table":
    """Return scored rows as a table."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in schema().names}
    for it in rows:
        pair, sides = it.row.pair, len(it.ids)
        turns = pair.conversational
        columns["row"].append(it.row.number)
        columns["id"].append(it.row.id)
        columns["prompt"].append(_written(pair.prompt))
        columns["turns"].append(turns)
        columns["settings"].append(pair.settings or None)
        columns["wrong"].append([list(span) for span in it.row.wrong] or None)
        columns["parts"].append(it.parts)
        columns["note"].append(it.note)
        columns["places"].append(None if it.places is None else [list(at) for at in it.places])
        for side, (name, text) in enumerate(zip(SIDES, (pair.chosen, pair.rejected), strict=True)):
            there = side < sides
            reference, ratio = it.reference, it.log_ratio
            columns[name].append(_written(text) if there else None)
            columns[f"ids_{name}"].append(it.ids[side] if there else None)
            columns[f"policy_{name}"].append(it.policy[side] if there else None)
            columns[f"reference_{name}"].append(reference[side] if there and reference else None)
            columns[f"log_ratio_{name}"].append(ratio[side] if there and ratio else None)
            columns[f"length_{name}"].append(len(it.ids[side]) if there else None)
    arrays = {
        field.name: pa.array(columns[field.name], field.type) for field in schema()
    } | _of_source(rows)
    return pa.table(arrays)


def _of_source(rows: Sequence[ScoredRow]) -> dict[str, Any]:
    """Return the source's own columns as arrays: whole numbers, numbers, truths, or else text."""
    import pyarrow as pa

    names = [*dict.fromkeys(name for it in rows for name in it.row.rest)][:MOST_COLUMNS]
    found = {}
    for name in names:
        cells = [it.row.rest.get(name) for it in rows]
        kinds = {type(cell) for cell in cells if cell is not None}
        write: Callable[[Any], Any] = _as_text
        kind = pa.string()
        if kinds == {bool}:
            write, kind = bool, pa.bool_()
        elif kinds == {int} and all(abs(cell) < 1 << 62 for cell in cells if isinstance(cell, int)):
            write, kind = int, pa.int64()
        elif kinds <= {int, float}:
            write, kind = _float, pa.float64()
        cells = [None if cell is None else write(cell) for cell in cells]
        found[SOURCE + name] = pa.array(cells, kind)
    return found


def _float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _as_text(cell: Any) -> str:
    """Return a value as text, as Arrow writes it."""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _written(side: Side) -> str:
    if isinstance(side, str):
        return side
    return json.dumps([turn.row() for turn in side], ensure_ascii=False)


def joint_schema(schemas: Iterable["pa.Schema"]) -> "pa.Schema":
    """Return the columns of several scored tables; of two kinds, the one that takes both."""
    import pyarrow as pa

    kinds: dict[str, Any] = {field.name: field.type for field in schema()}
    for other in schemas:
        for field in other:
            known = kinds.get(field.name, field.type)
            if known != field.type:
                numbers = {known, field.type} == {pa.int64(), pa.float64()}
                known = pa.float64() if numbers else pa.string()
            if field.name in kinds or len(kinds) < len(schema()) + MOST_COLUMNS:
                kinds[field.name] = known
    return pa.schema(kinds)


def fitted(table: "pa.Table", wanted: "pa.Schema") -> "pa.Table":
    """Return a table with the columns of a schema, nulls where it has none."""
    import pyarrow as pa

    columns = []
    for field in wanted:
        if field.name in table.column_names:
            columns.append(table.column(field.name).cast(field.type))
        else:
            columns.append(pa.nulls(len(table), field.type))
    return pa.Table.from_arrays(columns, schema=wanted)


def write(path: Path, tables: Iterable["pa.Table"], wanted: "pa.Schema", about: About) -> About:
    """Write tables, one behind the other, as a scored file; return what it says of itself.

    Who is killed meanwhile leaves what was there before.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    hashes: list[Any] = []
    with whole_file(path) as file, pq.ParquetWriter(file, wanted, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for table in tables:
            hashes.append(_hashes(table.column("id")))
            waiting.append(fitted(table, wanted))
            if sum(map(len, waiting)) >= GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
        every = np.concatenate([np.zeros(0, np.uint64), *hashes])
        about = msgspec.structs.replace(about, duplicates=len(every) - len(np.unique(every)))
        writer.add_key_value_metadata({KEY: msgspec.json.encode(about)})
    return about


def _hashes(ids: Any) -> Any:
    """Return a number for each id that is not "", uint64, the same for the same id."""
    from hashlib import blake2b

    texts = [text.encode() for text in ids.to_pylist() if text]
    digests = b"".join(blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, np.uint64)


# --- reading ----------------------------------------------------------------------------------


def read_about(path: Path) -> About:
    """Return what a scored file says of itself.

    Raises:
        UserFacingError: it cannot be read, or is none of this kind or of a newer version.
    """
    import pyarrow.parquet as pq

    try:
        open_file(path).close()
        found = (pq.read_metadata(path).metadata or {}).get(KEY)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserFacingError(
            f"{path} cannot be read as a file of scored rows ({reason(error)}): name one that "
            "Qscope has written."
        ) from error
    try:
        about = msgspec.json.decode(found or b"", type=About)
    except msgspec.MsgspecError as error:
        raise UserFacingError(
            f"{path} is no file of scored rows: name one that Qscope has written."
        ) from error
    if about.job.version > VERSION:
        raise UserFacingError(f"{path} was written by a newer Qscope: update this one.")
    return about


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator["pa.Table"]:
    """Yield the rows of a scored file, some at a time.

    Args:
        columns: only these; None for all.

    Raises:
        UserFacingError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with (
        in_words("The scored rows in", path, "they are damaged, so score the data again"),
        pq.ParquetFile(path, buffer_size=1 << 20) as file,
    ):
        for batch in file.iter_batches(AT_ONCE, columns=columns):
            batch.validate(full=True)
            yield pa.Table.from_batches([batch])


def preference(row: Mapping[str, Any]) -> Preference:
    """Return the pair of a scored file's row, given as a dict; of a single response both sides are
    that."""
    names = "prompt", "chosen", "chosen" if row["rejected"] is None else "rejected"
    prompt, chosen, rejected = (_turns(row[it]) if row["turns"] else row[it] for it in names)
    wrong = tuple((start, end) for start, end in row["wrong"] or ())
    return Preference(prompt, chosen, rejected, wrong, settings=row["settings"] or "")


def _turns(text: str) -> tuple[Message, ...]:
    found = []
    for turn in json.loads(text):
        role, content = turn.pop("role"), turn.pop("content")
        if content is None:  # as a turn has it that only calls tools
            turn, content = {"content": None, **turn}, ""
        found.append(Message(role, content, json.dumps(turn, ensure_ascii=False) if turn else ""))
    return tuple(found)


# --- summary ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a scored file. What is not known, or of no row, is None."""

    rows: int
    pairs: int
    """Rows with two sides and a margin."""
    right: float
    """Pairs whose chosen side scores higher; a tie is half a pair."""
    mean_margin: float | None
    """Of the training's own score, in ``unit``."""
    mean_log_ratio: float | None
    """Of single responses: mean Σ log π − log π_ref, in nats."""
    median_length: float | None
    """Of all sides, in tokens that are scored."""


def summarise(path: Path, objective: TrainingLoss, beta: float | None) -> Summary:
    """Return the figures of a scored file, as a training's loss scores responses.

    Raises:
        UserFacingError: it cannot be read.
    """
    columns = [f"{kind}_{side}" for kind in COMPARED for side in SIDES]
    rows = pairs = 0
    right = total = ratios = 0.0
    singles = 0
    lengths: Counter[int] = Counter()
    for table in batches(path, columns):
        for row in table.to_pylist():
            rows += 1
            lengths.update(row[f"length_{side}"] for side in SIDES if row[f"length_{side}"])
            if row["length_rejected"] is None:
                if row["log_ratio_chosen"] is not None:
                    singles, ratios = singles + 1, ratios + row["log_ratio_chosen"]
                continue
            chosen, rejected = (response_of(row, side, objective) for side in SIDES)
            margin = objective.margin(chosen, rejected, beta)
            if margin is not None and np.isfinite(margin):
                pairs, total = pairs + 1, total + margin
                right += 1.0 if margin > 0 else 0.5 * (margin == 0)
    return Summary(
        rows,
        pairs,
        right,
        total / pairs if pairs else None,
        ratios / singles if singles else None,
        float(median(lengths.elements())) if lengths else None,
    )


COMPARED = "policy", "reference", "log_ratio", "length"
"""Columns of which a summary is made, each of both sides."""


def response_of(row: Mapping[str, Any], side: str, objective: TrainingLoss) -> Response:
    """Return the log-probs of a row's side, as losses take them.

    Where only the reference's sum is known it is spread evenly over the tokens, unless the loss
    weights tokens.
    """
    policy = np.array(row[f"policy_{side}"], np.float64)
    reference = row[f"reference_{side}"]
    if reference is not None:
        return Response(policy, np.array(reference, np.float64))
    ratio = row[f"log_ratio_{side}"]
    if ratio is None or objective.ld_alpha is not None:
        return Response(policy, None)
    return Response(policy, policy - ratio / len(policy))
