"""Rows of a data set: which column is which, what is skipped and why, and nothing uncounted."""

import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import tables
from core.dataset.rows import Row, Skipped, has_changed, look, open_source, parse_columns
from core.errors import UserFacingError
from core.preferences import load_preferences
from core.text import Message

PAIR = {"prompt": "Where?", "chosen": "Here.", "rejected": "There."}


def write(path, rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def read(path, named=None, limit=None):
    source = open_source(path, named)
    return [source.read(item) for item in source.items(limit)]


def test_pairs_are_those_of_the_one_reader(tmp_path):
    turns = [{"role": "user", "content": "Where?"}]
    answer = [{"role": "assistant", "content": "Here."}]
    other = [{"role": "assistant", "content": "There."}]
    rows = [{"prompt": turns, "chosen": answer, "rejected": other, "system": "Be brief."}] * 3
    path = write(tmp_path / "d.jsonl", rows)
    assert [row.pair for row in read(path)] == load_preferences(path)


@pytest.mark.parametrize(
    ("row", "roles", "single"),
    [
        (PAIR, "prompt: prompt, chosen: chosen, rejected: rejected", False),
        ({"question": "a", "response_j": "b", "response_k": "c"},
         "prompt: question, chosen: response_j, rejected: response_k", False),
        ({"prompt": "a", "completion": "b", "label": True},
         "prompt: prompt, response: completion", True),
        ({"instruction": "a", "input": "more", "output": "b"},
         "prompt: instruction + input, response: output", True),
        ({"System": "s", "Prompt": "a", "response": "b"},
         "prompt: Prompt, response: response, system: System", True),
    ],
)  # fmt: skip
def test_columns_are_guessed_and_shown(tmp_path, row, roles, single):
    layout = look(write(tmp_path / "d.jsonl", [row]))
    assert (layout.sentence, layout.single) == (roles, single)


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet", "d"])
def test_columns_are_corrected(tmp_path, name):
    rows = [
        {"prompt": "an id", "q": f"Where {n}?", "good": "Here.", "bad": "There.", "n": n}
        for n in range(3)
    ]
    path = tmp_path / name
    if name == "d.jsonl":
        write(path, rows)
    elif name == "d.csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines), "utf-8")
    else:
        datasets = pytest.importorskip("datasets")
        made = datasets.Dataset.from_list(rows)
        made.save_to_disk(path) if name == "d" else made.to_parquet(path)
    named = parse_columns("prompt=q,chosen=good,rejected=bad,id=n")
    found = read(path, named)
    assert [row.pair.prompt for row in found] == ["Where 0?", "Where 1?", "Where 2?"]
    assert [(row.pair.chosen, row.pair.rejected) for row in found] == [("Here.", "There.")] * 3
    assert [row.id for row in found] == ["0", "1", "2"]
    assert look(path, named).sentence == "prompt: q, chosen: good, rejected: bad"
    with pytest.raises(UserFacingError, match="has no column 'reply' for rejected: its columns"):
        look(path, named | {"rejected": "reply"})


def test_a_column_that_was_named_is_not_replaced_by_a_guess(tmp_path):
    path = write(tmp_path / "d.jsonl", [PAIR, PAIR | {"q": "Why?"}, PAIR | {"q": None}])
    first, second, third = read(path, {"prompt": "q"})
    assert second.pair.prompt == "Why?"
    assert isinstance(first, Skipped) and isinstance(third, Skipped)
    assert first.why == "has no prompt"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompt", "is not written as"),
        ("prompt=", "is not written as"),
        ("reward=a", "none of prompt, chosen"),
        ("prompt=a,prompt=b", "named twice"),
        ("prompt=a,chosen=a", "for two roles"),
        ("prompt=a,response=b,chosen=c", "single responses"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_said(text, said):
    with pytest.raises(ValueError, match=said):
        parse_columns(text)


def test_single_responses_in_their_layouts(tmp_path):
    def turn(role, text):
        return {"role": role, "content": text}

    plain = {"prompt": "a", "response": "b"}
    talk = {"messages": [turn("system", "s"), turn("user", "a"), turn("assistant", "b")]}
    given = {"prompt": [turn("user", "a")], "completion": [turn("assistant", "b")]}
    twice = {
        "prompt": [turn("user", "a")],
        "completion": [turn("user", "a"), turn("assistant", "b")],
    }
    found = [read(write(tmp_path / "d.jsonl", [row]))[0] for row in (plain, talk, given, twice)]
    assert all(row.single for row in found)
    assert (found[0].pair.prompt, found[0].pair.chosen) == ("a", "b")
    assert found[1].pair.prompt == (Message("system", "s"), Message("user", "a"))
    assert found[1].pair.chosen == (Message("assistant", "b"),)
    assert found[2].pair == found[3].pair
    assert found[2].pair.prompt == (Message("user", "a"),)


def test_what_does_not_fit_is_named_with_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LONGEST_LINE", 3000)
    rows = [
        PAIR,
        {"prompt": "a", "chosen": "b"},
        "{broken",
        "[1, 2]",
        PAIR | {"chosen": "x" * 5000},
        PAIR | {"chosen": "\ud800"},
        {"prompt": 3, "chosen": "b", "rejected": "c"},
        PAIR,
    ]
    path = write(tmp_path / "d.jsonl", rows)
    with path.open("ab") as file:
        file.write(b'{"prompt": "\xff"}\n')
    found = read(path)
    assert [type(it) for it in found].count(Row) == 2
    said = [(it.number, it.place, it.why) for it in found if isinstance(it, Skipped)]
    assert said[0] == (1, "line 2", "has no rejected")
    assert said[1][:2] == (2, "line 3") and said[1][2].startswith("is not JSON")
    assert said[2][2] == "is not a table with prompt, chosen and rejected"
    assert "is longer than" in said[3][2]
    assert "half a surrogate pair" in said[4][2]
    assert "neither text nor turns" in said[5][2]
    assert said[6] == (8, "line 9", "is not JSON (it is not UTF-8 text)")


def test_a_file_without_any_pair_asks_which_column_is_which(tmp_path):
    path = write(tmp_path / "d.jsonl", [{"a": "x", "b": "y"}] * 2)
    with pytest.raises(UserFacingError, match=r"columns are a, b: say which .* --columns prompt="):
        look(path)
    with pytest.raises(UserFacingError, match="is empty"):
        look(write(tmp_path / "e.jsonl", []))


def test_ids_spans_sums_and_other_columns_come_along(tmp_path):
    more = {
        "id": 7, "wrong": [[0, 5]], "ref_chosen_logps": -3.5, "ref_rejected_logps": -4,
        "topic": "places", "score": 0.5, "tags": ["a"], "ok": True,
    }  # fmt: skip
    (row,) = read(write(tmp_path / "d.jsonl", [PAIR | more]))
    assert (row.id, row.wrong, row.reference) == ("7", ((0, 5),), (-3.5, -4.0))
    assert row.rest == {"topic": "places", "score": 0.5, "ok": True}
    (row,) = read(write(tmp_path / "d.jsonl", [PAIR | {"ref_chosen_logps": -3.5, "wrong": "x"}]))
    assert (row.id, row.wrong, row.reference) == ("", (), None)


def test_a_row_reads_the_same_wherever_reading_begins(tmp_path):
    """That there is a column for the prompt is known from the first rows, not from those before."""
    rows = [PAIR, {"chosen": "It is.", "rejected": "It isn't."}]
    source = open_source(write(tmp_path / "d.jsonl", rows))
    items = list(source.items())
    alone = source.read(items[1])
    assert alone == [source.read(item) for item in items][1]
    assert isinstance(alone, Skipped) and alone.why == "has no prompt"


def test_a_source_is_known_by_all_that_it_holds(tmp_path):
    path = write(tmp_path / "d.jsonl", [PAIR] * 1000)
    source = open_source(path)
    assert source.rows == 1000 and not has_changed(source)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert has_changed(source)
    path.unlink()
    assert has_changed(source)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    peaks = []
    for count in (500, 10_000):
        path = tmp_path / f"{count}.{kind}"
        rows = [PAIR | {"chosen": f"{n} " + "x" * 500} for n in range(count)]
        if kind == "jsonl":
            write(path, rows)
        elif kind == "csv":
            path.write_text("\n".join([",".join(PAIR), *(",".join(it.values()) for it in rows)]))
        else:
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        del rows
        source = open_source(path)
        tracemalloc.start()
        assert sum(isinstance(source.read(item), Row) for item in source.items()) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 100_000


CELLS = st.one_of(
    st.none(), st.text(max_size=8), st.integers(), st.booleans(), st.floats(),
    st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "x"]),
                                    "content": st.text(max_size=5)}), max_size=3),
)  # fmt: skip
KEYS = st.sampled_from(
    "prompt chosen rejected response messages system id tools wrong ref_chosen_logps x".split()
)
LINES = st.one_of(
    st.dictionaries(KEYS, CELLS, max_size=6).map(json.dumps),
    st.sampled_from(["{", "[]", "7", '"text"', json.dumps(PAIR)]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(LINES, max_size=8))
def test_every_row_is_read_or_skipped_with_a_reason(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "d.jsonl"
    path.write_text("\n".join([json.dumps(PAIR), *rows]) + "\n", "utf-8")
    source = open_source(path)
    found = [source.read(item) for item in source.items()]
    assert len(found) == source.rows == len(rows) + 1
    assert [it.number for it in found] == list(range(len(found)))
    for it in found:
        if isinstance(it, Skipped):
            assert it.why and "\n" not in it.why
        else:
            assert it.pair.chosen and it.pair.prompt
