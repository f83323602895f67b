"""Files of pairs that were made, or have become, what nobody would train on: a sentence, soon."""

import bz2
import gzip
import json
import lzma
import os
import threading

import pytest

from core import tables
from core.errors import UserFacingError
from core.preferences import inspect_preferences, read_preferences

PAIR = {"prompt": "Where?", "chosen": "Here.", "rejected": "No."}
LINE = json.dumps(PAIR)


@pytest.fixture(autouse=True)
def _no_hangs():
    """Whatever a test here does, it ends: a reader that waits takes the whole process along."""
    guard = threading.Timer(60, os._exit, (1,))
    guard.start()
    yield
    guard.cancel()
    guard.join()


def refused(path, sentence=""):
    with pytest.raises(UserFacingError, match=sentence or None) as caught:
        inspect_preferences(path)
    said = str(caught.value)
    assert len(said) < 3000 and "\n" not in said and str(path).split("/")[-1] in said
    return said


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_unpacks_to_far_more_is_not_unpacked(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(tables, "SMALL", 1 << 14)
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(pack((LINE + "\n").encode() * 20_000))
    refused(path, "unpacks to more than")
    path.write_bytes(pack((LINE + "\n").encode() * 20) * 2)  # two that follow each other
    assert read_preferences(path).rows == 40


def test_xz_takes_no_more_memory_than_people_use(tmp_path):
    packed = bytearray(lzma.compress(LINE.encode(), preset=9))
    path = tmp_path / "pairs.jsonl.xz"
    path.write_bytes(packed)
    assert read_preferences(path).rows == 1
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    path.write_bytes(lzma.compress(LINE.encode(), filters=filters))
    refused(path, "(?i)memory")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipes_devices_and_loops_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pairs.jsonl")
    refused(tmp_path / "pairs.jsonl", "it is a pipe or a device")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    refused(tmp_path / "zero.jsonl", "it is a pipe or a device")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    refused(tmp_path / "loop.jsonl", "symbolic links")
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "state.json")
    refused(folder)
    os.mkfifo(folder / "a.parquet")
    refused(folder)
    (folder / "state.json").unlink()
    (folder / "state.json").write_text('{"_data_files": [{"filename": "a.parquet"}]}')
    refused(folder)


@pytest.mark.parametrize(
    "state",
    ['{"splits": ["."]}', '{"splits": [".."]}', '{"splits": ["/"]}', '{"splits": [5]}',
     '{"splits": []}', '{"splits": "train"}', "[" * 100_000, "{}", "7", '{"splits": ["a/../.."]}'],
)  # fmt: skip
def test_a_datasets_folder_names_only_what_is_in_it(tmp_path, state):
    (tmp_path / "dataset_dict.json").write_text(state)
    refused(tmp_path, "is damaged")


@pytest.mark.parametrize(
    "files",
    ["[]", '[{"filename": "../x.arrow"}]', '[{"filename": 5}]', "{}", '[{"filename": "/dev/zero"}]']
)  # fmt: skip
def test_nor_files_elsewhere(tmp_path, files):
    (tmp_path / "state.json").write_text(f'{{"_data_files": {files}}}')
    refused(tmp_path, "is damaged")


@pytest.mark.parametrize("kind", ["new_file", "new_stream"])
def test_a_damaged_arrow_file_ends_in_a_sentence_and_not_the_process(tmp_path, kind):
    """Arrow believes the places of texts in a file: one beyond its end would end the process."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({name: [text] * 50 for name, text in PAIR.items()})
    path = tmp_path / "pairs.arrow"
    with pa.OSFile(str(path), "wb") as sink, getattr(pa.ipc, kind)(sink, table.schema) as writer:
        writer.write_table(table)
    data = path.read_bytes()
    offsets = b"".join((6 * n).to_bytes(4, "little") for n in range(51))
    assert offsets in data
    at = data.index(offsets) + 4 * 20
    for wrong in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0"):
        path.write_bytes(data[:at] + wrong + data[at + 4 :])
        refused(path, "is damaged")


def test_a_time_that_no_calendar_has_is_a_fault_of_its_row(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    never = pa.array([2**62], pa.timestamp("us"))
    columns = {name: [text] for name, text in PAIR.items()}
    parquet.write_table(pa.table({**columns, "when": never}), tmp_path / "pairs.parquet")
    refused(tmp_path / "pairs.parquet", "row 1 cannot be read")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000, '{"a":' * 200_000, "[" + "9" * 10_000 + "]", LINE + "\n" + "[" * 100_000,
        '{"prompt": "a", "chosen": ' + "[" * 900 + "]" * 900 + ', "rejected": "x"}',
        '{"prompt": "a", "chosen": "' + "\\ud800" + '", "rejected": "x"}', "\ufeff", "\0" * 50,
        json.dumps({f"c{n}": "x" for n in range(100_000)}),
        json.dumps({**PAIR, "chosen": [{"role": "x" * 10_000, "content": "a"}]}),
        json.dumps({**PAIR, "tools": [["\ud800"]]}), json.dumps({**PAIR, "prompt": None}),
        '{"columns": ' + json.dumps([[1], {"a": []}]) + ', "data": [[1, 2]]}',
    ],
)  # fmt: skip
def test_any_json_is_pairs_or_a_sentence(tmp_path, text):
    path = tmp_path / "pairs.jsonl"
    path.write_text(text, "utf-8")
    refused(path)


def test_long_numbers_beside_the_pairs_do_no_harm(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(LINE[:-1] + ', "score": ' + "9" * 100_000 + "}")
    assert read_preferences(path).pairs[0].row() == PAIR


def test_very_many_objects_over_several_lines_are_read_in_one_go(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text("\n".join(json.dumps(PAIR, indent=1) for _ in range(40_000)))
    assert read_preferences(path).rows == 40_000


def test_a_csv_of_very_many_columns_is_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(",".join(f"c{n}" for n in range(1_000_000)) + "\n")
    refused(path, "1,000,000 columns")


@pytest.mark.parametrize("cell", [" " * 2_000_000 + "x", "\n" * 2_000_000 + "[", "[" * 2_000_000])
def test_no_cell_takes_long(tmp_path, cell):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({**PAIR, "chosen": cell}))
    assert read_preferences(path).pairs[0].chosen == cell


def test_names_are_shown_as_one_line(tmp_path):
    path = tmp_path / "pairs.jsonl"
    more = {"\x1b[31m\n": 1, "\ud800": 2, "x" * 5000: 3, **{f"c{n}": n for n in range(1, 500)}}
    path.write_text(json.dumps({**PAIR, **more}))
    (note,) = read_preferences(path).notes
    assert note.isprintable() and len(note) < 1500 and note.encode()
