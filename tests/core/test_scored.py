"""The file of scored rows: what goes in comes out, whatever kinds its parts have."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset.rows import Row, Skipped
from core.dataset.scored import (
    LISTED,
    REASONS,
    About,
    Counts,
    Job,
    ScoredRow,
    batches,
    counted,
    differences,
    fitted,
    joint_schema,
    preference,
    read_about,
    schema,
    summarise,
    table_of,
    write,
)
from core.errors import UserFacingError
from core.losses import UNNAMED, TrainingLoss
from core.noise import NoiseFloor
from core.preferences import Preference
from core.text import Message

JOB = Job("p", "r", "float32", "chat template, turn", "source", 10, {}, None, (1, 1), 256)
ABOUT = About(
    JOB, Counts(), "policy", "reference", {"policy": "p"}, 0.1, TrainingLoss(("ipo",)), "d.jsonl",
    "JSON Lines", {"prompt": ("q",)}, 3, noise=NoiseFloor("bfloat16", 0.1, 0.01, 0.0, 9, "so"),
)  # fmt: skip


def scored(
    number, pair=None, ids=((1, 2, 3), (1, 4)), rest=None, reference=True, ratios=(0.5, -0.25)
):
    sides = [np.linspace(-2, -1, len(side)).astype(np.float32) for side in ids]
    row = Row(
        number, f"line {number + 1}", f"id {number}", pair or Preference("p", "c", "r"),
        len(ids) == 1, ((0, 3),), None, rest or {},
    )  # fmt: skip
    other = tuple(side - 0.1 for side in sides) if reference else None
    return ScoredRow(row, ids, tuple(sides), other, ratios, "note")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
SAID = st.builds(lambda text: (Message("assistant", text, ""),), TEXT)
PLAIN = st.builds(Preference, TEXT, TEXT, TEXT, st.just(((0, 3),)))
TALKS = st.builds(
    Preference,
    st.builds(lambda a, b: (Message("system", a), Message("user", b)), TEXT, TEXT),
    SAID, SAID, st.just(((0, 3),)), settings=st.sampled_from(["", '{"tools": []}']),
)  # fmt: skip


@settings(deadline=None)  # the first one imports pyarrow
@given(pair=st.one_of(PLAIN, TALKS))
def test_pairs_come_back_as_they_were(pair):
    (row,) = table_of([scored(0, pair)]).to_pylist()
    assert preference(row) == pair


def test_turns_that_only_call_tools_come_back():
    more = '{"content": null, "tool_calls": [{"type": "function"}]}'
    turns = (Message("assistant", "", more), Message("tool", "4"), Message("assistant", "It is 4."))
    pair = Preference((Message("user", "?"),), turns, turns[-1:], ((0, 3),))
    (row,) = table_of([scored(0, pair)]).to_pylist()
    assert preference(row) == pair


def test_where_the_sides_part():
    table = table_of(
        [
            scored(0),
            scored(1, ids=((1, 2), (1, 2, 3))),
            scored(2, ids=((5,), (6,))),
            scored(3, ids=((1,),)),
        ]
    )
    assert table.column("parts").to_pylist() == [1, 2, 0, None]
    assert table.column("length_rejected").to_pylist() == [2, 3, 1, None]


def test_the_sources_columns_keep_their_kinds_or_become_text(tmp_path):
    parts = [
        [{"n": 1, "x": 0.5, "ok": True, "mixed": 1, "huge": 1 << 80}, {"n": 2}],
        [{"n": 1.5, "x": 1, "ok": False, "mixed": "one", "new": "here"}],
    ]
    tables, number = [], 0
    for rests in parts:
        rows = [scored(number + i, rest=rest) for i, rest in enumerate(rests)]
        number += len(rests)
        tables.append(table_of(rows))
    wanted = joint_schema(table.schema for table in tables)
    about = write(tmp_path / "s.parquet", tables, wanted, ABOUT)
    rows = pq.read_table(tmp_path / "s.parquet").to_pylist()
    columns = {name: [row[f"source.{name}"] for row in rows] for name in ("n", "x", "ok", "mixed")}
    assert columns == {
        "n": [1.0, 2.0, 1.5], "x": [0.5, None, 1.0], "ok": [True, None, False],
        "mixed": ["1", None, "one"],
    }  # fmt: skip
    assert rows[0]["source.huge"] == float(1 << 80) and rows[2]["source.new"] == "here"
    assert read_about(tmp_path / "s.parquet") == about


def test_a_table_takes_the_columns_of_a_schema():
    table = table_of([scored(0, rest={"n": 1})])
    wide = joint_schema([table.schema, pa.schema({"source.other": pa.bool_()})])
    assert fitted(table, wide).to_pylist()[0]["source.other"] is None
    assert wide.names[: len(schema())] == schema().names


def test_counts_add_up_and_lists_are_bounded():
    many = [Skipped(n, f"line {n}", f"reason {n}") for n in range(3000)]
    total = counted(5, many[:1]).plus(Counts(2))
    assert (total.rows, total.skipped) == (7, 1)
    for skipped in many[1:]:
        total = total.plus(counted(0, [skipped]))
    assert total.skipped == 3000 == sum(total.reasons.values())
    assert len(total.listed) == LISTED and len(total.reasons) <= REASONS + 1
    assert [it.row for it in total.listed] == list(range(LISTED))


def test_duplicate_ids_are_counted(tmp_path):
    rows = [scored(0), scored(1), scored(0), scored(0)]
    table = table_of(rows)
    about = write(tmp_path / "s.parquet", [table, table], table.schema, ABOUT)
    assert about.duplicates == 6
    assert read_about(tmp_path / "s.parquet").duplicates == 6


def test_jobs_differ_in_words():
    import msgspec

    other = msgspec.structs.replace(JOB, policy="q", limit=3)
    assert differences(JOB, JOB) == "" and differences(JOB, other) == "the policy, --limit"


def test_figures_are_those_of_the_loss(tmp_path):
    rows = [scored(0), scored(1, ratios=(-1.0, 1.0)), scored(2, ids=((1, 2),), ratios=(0.5,))]
    table = table_of(rows)
    write(tmp_path / "s.parquet", [table], table.schema, ABOUT)
    figures = summarise(tmp_path / "s.parquet", UNNAMED, 0.5)
    # Each token's log-ratio is 0.1: three of chosen, two of rejected, times beta.
    assert (figures.rows, figures.pairs, figures.right) == (3, 2, 2.0)
    assert figures.mean_margin == pytest.approx(0.05)
    assert figures.mean_log_ratio == 0.5 and figures.median_length == 2.0
    means = summarise(tmp_path / "s.parquet", TrainingLoss(("ipo",)), 0.5)
    assert means.mean_margin == pytest.approx(0.0, abs=1e-6)
    table = table_of([scored(0, reference=False), scored(1, reference=False, ratios=(-1.0, 1.0))])
    write(tmp_path / "s.parquet", [table], table.schema, ABOUT)
    figures = summarise(tmp_path / "s.parquet", UNNAMED, 0.5)
    assert (figures.right, figures.pairs) == (1.0, 2)
    assert figures.mean_margin == pytest.approx((0.375 - 1.0) / 2)
    table = table_of([scored(0, reference=False, ratios=None)])
    write(tmp_path / "s.parquet", [table], table.schema, ABOUT)
    assert summarise(tmp_path / "s.parquet", UNNAMED, 0.5).mean_margin is None
    simpo = summarise(tmp_path / "s.parquet", TrainingLoss(("simpo",)), 2.0)
    assert simpo.mean_margin == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("content", [b"", b"text", b"PAR1" * 9])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "s.parquet").write_bytes(content)
    for look in (read_about, lambda path: list(batches(path))):
        with pytest.raises(UserFacingError, match=r"s\.parquet"):
            look(tmp_path / "s.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "s.parquet")
    with pytest.raises(UserFacingError, match="is no file of scored rows"):
        read_about(tmp_path / "s.parquet")
    with pytest.raises(UserFacingError, match="cannot be read"):
        read_about(tmp_path / "none.parquet")


def test_a_newer_file_asks_for_a_newer_qscope(tmp_path):
    import msgspec

    table = table_of([scored(0)])
    newer = msgspec.structs.replace(ABOUT, job=msgspec.structs.replace(JOB, version=99))
    write(tmp_path / "s.parquet", [table], table.schema, newer)
    with pytest.raises(UserFacingError, match="newer Qscope"):
        read_about(tmp_path / "s.parquet")


def test_what_fails_while_it_is_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "s.parquet"
    path.write_bytes(b"mine")
    table = table_of([scored(0)])

    def failing():
        yield table
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        write(path, failing(), table.schema, ABOUT)
    assert path.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [path]
