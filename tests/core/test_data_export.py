"""Rows written into other files: trainers read the pairs, and Qscope opens the Parquet again."""

import json

import numpy as np
import pytest

from core.dataset.export import export
from core.dataset.scored import batches, differences, read_about, table_of
from core.dataset.table import open_scored
from core.errors import Cancelled, UserFacingError
from core.preferences import Preference, load_preferences
from core.text import Message
from tests.core.test_scored import scored
from tests.made_scored import about, write_scored, write_table

ROWS = np.array([250, 3, 299, 4])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "scored.parquet"
    return open_scored(write_scored(path, 300, at_once=128))


def rows_of(path):
    return [row for batch in batches(path) for row in batch.to_pylist()]


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_json_lines_are_pairs_in_the_order_shown_with_their_numbers(table, tmp_path):
    path = tmp_path / "out.jsonl"
    told = []
    export(table, ROWS, path, 0.5, lambda what, fraction: told.append(fraction))
    every = rows_of(table.path)
    pairs = load_preferences(path)
    assert [it.chosen for it in pairs] == [every[i]["chosen"] for i in ROWS]
    for line, place in zip(lines_of(path), ROWS.tolist(), strict=True):
        row = every[place]
        assert line["id"] == row["id"] and line["category"] == row["source.category"]
        assert line["comment"] == row["source.comment"] and line["rating"] == row["source.rating"]
        numbers = line["qscope"]
        margin = 0.5 * (row["log_ratio_chosen"] - row["log_ratio_rejected"])
        assert numbers["margin"] == pytest.approx(margin) and numbers["beta"] == 0.5
        assert numbers["row"] == row["row"] and numbers["parts"] == row["parts"]
    assert told[-1] == 1.0


def test_a_parquet_is_a_scored_file_of_these_rows_and_another_job(table, tmp_path):
    path = tmp_path / "out.parquet"
    export(table, ROWS, path, 0.5)
    every = rows_of(table.path)
    assert rows_of(path) == [every[i] for i in sorted(ROWS)]
    said = read_about(path)
    assert said.counts.rows == 4 and differences(said.job, table.about.job) == "the data"
    again = open_scored(path)
    assert again.values("margin", 0.3) == pytest.approx(table.values("margin", 0.3)[np.sort(ROWS)])


def test_turns_single_responses_and_unknown_numbers(tmp_path):
    talk = Preference(
        (Message("user", "?"),), (Message("assistant", "a"),), (Message("assistant", "b"),)
    )
    rest = {"x": float("inf"), "prompt_id": None}
    rows = [scored(0, talk, rest=rest, ratios=None, reference=False)]
    table = open_scored(write_table(tmp_path / "s.parquet", [table_of(rows)], about(1)))
    export(table, np.array([0]), tmp_path / "out.jsonl", None)
    (line,) = lines_of(tmp_path / "out.jsonl")
    assert line["chosen"] == [{"role": "assistant", "content": "a"}]
    assert line["qscope"]["margin"] is None and line["x"] is None and line["wrong"] == [[0, 3]]
    rows = [scored(0, ids=((1, 2),), ratios=(0.5,))]
    table = open_scored(write_table(tmp_path / "s.parquet", [table_of(rows)], about(1)))
    export(table, np.array([0]), tmp_path / "out.jsonl", 0.1)
    (line,) = lines_of(tmp_path / "out.jsonl")
    assert line["response"] == "c" and "chosen" not in line and "rejected" not in line


def test_what_cannot_be_written_leaves_what_was_there(table, tmp_path):
    with pytest.raises(UserFacingError, match=r"end in \.jsonl or \.parquet"):
        export(table, ROWS, tmp_path / "out.txt", 0.1)
    with pytest.raises(UserFacingError, match="is the file that is open"):
        export(table, ROWS, table.path, 0.1)
    with pytest.raises(UserFacingError, match="cannot be written"):
        export(table, ROWS, tmp_path / "none" / "out.jsonl", 0.1)
    for name in ("out.jsonl", "out.parquet"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(Cancelled):
            export(table, ROWS, tmp_path / name, 0.1, cancelled=lambda: True)
        assert (tmp_path / name).read_text() == "mine"
    assert sorted(it.name for it in tmp_path.iterdir()) == ["out.jsonl", "out.parquet"]
