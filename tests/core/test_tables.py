"""Every form of a file gives the same rows, or a sentence."""

import bz2
import gzip
import json
import lzma
import sys

import pytest

from core.errors import UserFacingError
from core.preferences import read_preferences

ROWS = [{"prompt": f"Où {n}?", "chosen": f'Là, "{n}"', "rejected": "Nulle\npart"} for n in range(3)]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)


def read(path):
    return [pair.row() for pair in read_preferences(path).pairs]


def cells(separator, rows=ROWS):
    lines = [separator.join(rows[0])]
    for row in rows:
        lines.append(separator.join('"' + cell.replace('"', '""') + '"' for cell in row.values()))
    return "\r\n".join(lines)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lines.jsonl", LINES),
        ("lines.txt", LINES),
        ("windows.jsonl", LINES.replace("\n", "\r\n\r\n")),
        ("commas.jsonl", LINES.replace("\n", ",\n")),
        ("array.json", json.dumps(ROWS)),
        ("pretty.json", json.dumps(ROWS, indent=2)),
        ("objects.json", "\n".join(json.dumps(row, indent=2) for row in ROWS)),
        ("data.json", json.dumps({"version": 1, "data": ROWS})),
        ("columns.json", json.dumps(COLUMNS, indent=1)),
        ("columns.jsonl", json.dumps(COLUMNS)),
        ("split.json", json.dumps({"columns": [*ROWS[0]], "data": [[*r.values()] for r in ROWS]})),
        ("frame.json", json.dumps({k: dict(enumerate(v)) for k, v in COLUMNS.items()})),
        ("nested.json", json.dumps({"train": COLUMNS})),
        ("index.json", json.dumps(dict(enumerate(ROWS)))),
        (
            "viewer.json",
            json.dumps(
                {
                    "features": [{"feature_idx": 0, "name": "prompt"}],
                    "rows": [{"row_idx": 0, "row": row} for row in ROWS],
                }
            ),
        ),
        ("comma.csv", cells(",")),
        ("semicolon.csv", cells(";")),
        ("tab.tsv", cells("\t")),
        ("excel.txt", cells("\t")),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_text_in_any_form_and_encoding(tmp_path, name, text, encoding):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert read(path) == ROWS


def test_packed_files(tmp_path):
    for ending, pack in {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.items():
        for name, text in {"p.jsonl": LINES, "p.csv": cells(",")}.items():
            path = tmp_path / f"{name}.{ending}"
            path.write_bytes(pack(text.encode()))
            assert read(path) == ROWS
            path.write_bytes(pack(text.encode())[:-9])
            with pytest.raises(UserFacingError, match="choose a file that is whole"):
                read(path)


def test_one_object_is_one_row(tmp_path):
    path = tmp_path / "one.json"
    turns = {name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}
    row = {"prompt": [{"role": "user", "content": "Q"}], **turns, "tools": [{"name": "rain"}]}
    for text in (json.dumps(row), json.dumps(row, indent=1)):
        path.write_text(text)
        assert read(path) == [row]


def test_formats_are_named(tmp_path):
    for name, text, form in (
        ("a.jsonl", LINES, "JSON Lines"), ("a.json", json.dumps(ROWS), "JSON"),
        ("a.csv", cells(","), "CSV"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text, "utf-8")
        assert read_preferences(tmp_path / name).format == form
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(ROWS)
    made.save_to_disk(tmp_path / "d")
    assert read_preferences(tmp_path / "d").format == "datasets folder"
    assert read_preferences(next((tmp_path / "d").glob("*.arrow"))).format == "Arrow"
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(tmp_path / "dd")
    found = read_preferences(tmp_path / "dd")
    assert found.format == "datasets folder, split train"
    assert found.problems == ("Of the splits train, test only train is read.",)


def test_the_parts_of_a_data_set_are_read_together(tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    for n, row in enumerate(ROWS):
        file = tmp_path / f"data/train-{n:05}-of-00003.parquet"
        datasets.Dataset.from_list([row]).to_parquet(file)
    datasets.Dataset.from_list(ROWS).to_parquet(tmp_path / "data/test-00000-of-00001.parquet")
    assert read(tmp_path) == ROWS
    assert read_preferences(tmp_path).format == "Parquet, 3 files"


def test_nulls_that_arrow_adds_to_objects_are_left_out(tmp_path):
    pyarrow, parquet = map(pytest.importorskip, ("pyarrow", "pyarrow.parquet"))

    def row(arguments):
        call = {"type": "function", "function": {"name": "rain", "arguments": arguments}}
        return {
            "prompt": [{"role": "user", "content": "Rain?"}],
            "chosen": [{"role": "assistant", "content": None, "tool_calls": [call]}],
            "rejected": [{"role": "assistant", "content": "No."}],
        }

    rows = [row({"city": "Rome"}), row({"day": 3})]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    assert read(tmp_path / "p.parquet") == rows


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("note.txt", b"Dear diary", "is no table of rows: choose JSON Lines"),
        ("pickle.bin", b"\x80\x04K\x01.", "is no table of rows"),
        ("odd.jsonl", b"\x00\x01 something else", "is not the text it seems to be"),
        ("cut.parquet", b"PAR1 and no more", "is damaged"),
        ("table.xlsx", b"PK\x03\x04....", "a ZIP archive or an Excel file: unpack it"),
        ("array.json", b'[{"prompt": "a",\n "chosen": }]', "Line 2 of .* is not JSON"),
        ("pretty.json", b'{\n"train": [\n{"prompt" 1}]}', "Line 3 of .* is not JSON"),
        ("deep.json", b"[" * 200_000, "nested too deeply"),
        ("latin.csv", "prompt,chosen,rejected\na,\xe9,c".encode("latin-1"),
         "Line 2 of .* is not UTF-8 text: .*iconv"),
        ("latin.jsonl", b'{"prompt": "\xff"}\n', "line 1 is not JSON .it is not UTF-8 text"),
        ("open.csv", b'prompt,chosen,rejected\na,"b,c', "is not a CSV table"),
        ("twice.csv", b"prompt,chosen,chosen\na,b,c", "more than one column 'chosen'"),
        ("parts.json", json.dumps({"good": ROWS, "bad": ROWS}).encode(),
         "has the splits good, bad, none of them called train"),
        ("more.csv", b"prompt,chosen,rejected\na,b,c,d", "line 2 has more cells than"),
        (".", b"", "is not a folder that datasets saved"),
        ("none.jsonl", None, "cannot be read"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, name, data, sentence):
    if data:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserFacingError, match=sentence):
        read_preferences(tmp_path / name)


def test_parquet_without_pyarrow_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserFacingError, match=r"needs the package pyarrow: run pip install"):
        read_preferences(tmp_path / "p.parquet")


def test_a_folder_without_a_training_split_asks_for_one(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"good": made, "bad": made}).save_to_disk(tmp_path / "d")
    with pytest.raises(UserFacingError, match="has the splits good, bad, none of them called tra"):
        read_preferences(tmp_path / "d")
    assert read(tmp_path / "d" / "bad") == ROWS
