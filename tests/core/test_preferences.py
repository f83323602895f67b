"""Each kind of preference file gives the same pairs; each fault gives its own sentence."""

import csv
import json

import pytest

from core import preferences
from core.errors import UserFacingError
from core.preferences import as_text, inspect_preferences, load_preferences
from core.text import Prompt

PLAIN = [
    {"prompt": f"Summarise post {n}.", "chosen": f"It is {n}.", "rejected": f"It is {n + 1}."}
    for n in range(5)
]


def turn(role, content):
    return {"role": role, "content": content}


CHAT = [
    {
        "prompt": [turn("system", "Be brief."), turn("user", pair["prompt"])],
        "chosen": [turn("assistant", pair["chosen"])],
        "rejected": [turn("assistant", pair["rejected"])],
    }
    for pair in PLAIN
]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write(folder, kind, rows):
    """The rows as a file or folder of a kind."""
    path = folder / f"pairs.{kind}"
    if kind == "jsonl":
        return write_lines(path, rows)
    if kind == "json":
        path.write_text(json.dumps(rows, indent=1), "utf-8")
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        datasets = pytest.importorskip("datasets")
        made = datasets.Dataset.from_list(rows)
        if kind == "splits":
            made = datasets.DatasetDict({"test": made.select([0]), "train": made})
        made.save_to_disk(path)
    return path


def sides(pairs):
    return [pair.row() for pair in pairs]


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "csv", "dataset", "splits"])
def test_every_kind_of_file_gives_the_plain_pairs(tmp_path, kind):
    path = write(tmp_path, kind, PLAIN)
    info = inspect_preferences(path)
    assert (info.pairs, info.conversational, info.columns) == (
        5, False, ("prompt", "chosen", "rejected"),
    )  # fmt: skip
    assert (info.checked, info.equal, info.sample.chosen) == (5, 0, "It is 0.")
    assert sides(load_preferences(path)) == PLAIN


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "dataset", "splits"])
def test_every_kind_of_file_gives_the_conversations(tmp_path, kind):
    path = write(tmp_path, kind, CHAT)
    info = inspect_preferences(path)
    assert info.conversational and info.pairs == 5
    assert as_text(info.sample.prompt) == "system: Be brief.\nuser: Summarise post 0."
    assert sides(load_preferences(path)) == CHAT


def test_formats_are_named(tmp_path):
    named = {
        kind: inspect_preferences(write(tmp_path, kind, PLAIN)).format
        for kind in ("jsonl", "json", "parquet", "csv", "dataset", "splits")
    }
    assert named == {
        "jsonl": "JSON Lines",
        "json": "JSON",
        "parquet": "Parquet",
        "csv": "CSV",
        "dataset": "datasets folder",
        "splits": "datasets folder, split train",
    }


def test_a_prompt_that_both_sides_begin_with_is_found(tmp_path):
    whole = [
        {"chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"]}
        for row in CHAT
    ]
    implicit = write_lines(tmp_path / "implicit.jsonl", whole)
    repeated = write_lines(
        tmp_path / "repeated.jsonl",
        [{**pair, "prompt": row["prompt"]} for pair, row in zip(whole, CHAT, strict=True)],
    )
    beside = write_lines(
        tmp_path / "beside.jsonl", [{**pair, "prompt": "the same as text"} for pair in whole]
    )
    for path in (implicit, repeated, beside):
        assert sides(load_preferences(path)) == CHAT


def test_a_plain_prompt_before_turns_is_a_turn_of_the_user(tmp_path):
    path = write_lines(
        tmp_path / "p.jsonl", [{**CHAT[0], "prompt": "Summarise."}, {**CHAT[1], "prompt": "Again."}]
    )
    assert load_preferences(path)[1].row()["prompt"] == [turn("user", "Again.")]


def test_answers_are_the_last_turns_and_each_side_has_its_own_before_them(tmp_path):
    for kind, rows in (("jsonl", PLAIN), ("json", CHAT)):
        pair = load_preferences(write(tmp_path, kind, rows))[1]
        assert pair.answers == ("It is 1.", "It is 2.")
        assert pair.turns == Prompt.of("Summarise post 1.", "Be brief." if rows is CHAT else None)
    more = [turn("assistant", "Which?"), turn("user", "The last."), turn("assistant", "It is 4.")]
    path = write_lines(tmp_path / "more.jsonl", [{**CHAT[0], "chosen": more}])
    (pair,) = load_preferences(path)
    assert pair.answers == ("It is 4.", "It is 1.")
    assert pair.turns.messages == pair.prompt
    chosen, rejected = pair.replies
    assert [turn.content for turn in chosen] == ["Which?", "The last.", "It is 4."]
    assert [turn.content for turn in rejected] == ["It is 1."]


def test_a_large_file_is_counted_and_only_its_beginning_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(preferences, "CHECKED", 2)
    path = write_lines(tmp_path / "many.jsonl", PLAIN)
    path.write_text(path.read_text("utf-8") + "\n{broken\n", "utf-8")
    info = inspect_preferences(path)
    assert (info.checked, info.pairs) == (2, 6)
    with pytest.raises(UserFacingError, match=r"Line 7 of .* is not JSON"):
        load_preferences(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("[]", "is empty"),
        ('{"question": "a", "chosen": "b", "answer": "c"}\n',
         "no column prompt and no column rejected; its columns are: question, chosen, answer"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": "a", "cho',
         "Line 2 of .* is not JSON"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}\n\n{"prompt": "a", "chosen": "b"}',
         "Line 3 of .* has no rejected"),
        ('{"prompt": null, "chosen": "b", "rejected": "c"}', "Line 1 of .* has no prompt"),
        ('{"prompt": "a", "chosen": "b", "rejected": "b"}\n' * 3, "chosen and rejected are the"),
        ('{"prompt": "a", "chosen": "b", "rejected": 3}', "In line 1 .* rejected is neither"),
        ('{"prompt": "a", "chosen": [], "rejected": []}', "chosen is neither"),
        ('{"prompt": "a", "chosen": [{"role": "user"}], "rejected": "c"}', "chosen is neither"),
        ('{"chosen": [{"role": "user", "content": "x"}],'
         ' "rejected": [{"role": "user", "content": "y"}]}', "do not begin with the same turns"),
        ('{"prompt": "a", "chosen": [{"role": "assistant", "content": "x"}], "rejected": "y"}',
         "Line 1 .* mixes plain text and turns"),
        (json.dumps(PLAIN[0]) + "\n" + json.dumps(CHAT[0]),
         "line 1 holds plain text, line 2 turns"),
        ('[1, 2]', "Pair 1 of .* is not a table"),
        ('[{"prompt": "a",\n "chosen": }]', "Line 2 of .* is not JSON"),
        ("\x00\x01 something else", "is not JSON"),
    ],
)  # fmt: skip
def test_each_fault_has_its_sentence(tmp_path, text, sentence):
    path = tmp_path / "pairs.jsonl"
    path.write_text(text, "utf-8")
    for read in (inspect_preferences, load_preferences):
        with pytest.raises(UserFacingError, match=sentence):
            read(path)


def test_other_files_and_folders_are_refused(tmp_path):
    note = tmp_path / "note.txt"
    note.write_text("Dear diary", "utf-8")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "bad.jsonl").write_bytes(b'{"prompt": "\xff"}\n')
    (tmp_path / "pickle.bin").write_bytes(b"\x80\x04K\x01.")
    for name, sentence in (
        ("none.jsonl", "cannot be read"),
        ("note.txt", "is not a preference file: choose JSON Lines"),
        ("pickle.bin", "is not a preference file"),
        (".", "is not a folder that datasets saved"),
        ("cut.parquet", "is damaged"),
        ("bad.jsonl", "Line 1 of .* is not UTF-8"),
    ):
        with pytest.raises(UserFacingError, match=sentence):
            inspect_preferences(tmp_path / name)


def test_a_folder_without_a_training_split_asks_for_one(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(PLAIN)
    datasets.DatasetDict({"good": made, "bad": made}).save_to_disk(tmp_path / "d")
    with pytest.raises(UserFacingError, match="has the splits good, bad, none of them called tra"):
        inspect_preferences(tmp_path / "d")
    assert inspect_preferences(tmp_path / "d" / "bad").pairs == 5
