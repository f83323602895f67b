"""``data``: what a training would read of a file."""

import json

import main

ROWS = [
    {"prompt": "Why?", "chosen": "Because.", "rejected": "No."},
    {"prompt": "How?", "chosen": "So.", "rejected": "So."},
]


def test_pairs_are_printed_as_they_are_read(tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert main.main(["data", str(path), "--json"]) == main.DONE
    equal = "1 of 2 pairs have two equal sides: they teach nothing."
    assert json.loads(capsys.readouterr().out) == {
        "rows": 2, "format": "JSON Lines", "columns": ["prompt", "chosen", "rejected"],
        "problems": [equal], "pairs": ROWS,
    }  # fmt: skip
    assert main.main(["data", str(path)]) == main.DONE
    said = capsys.readouterr().out
    assert "2 pairs of plain text" in said and equal in said
    assert said.endswith("prompt:\nWhy?\n\nchosen:\nBecause.\n\nrejected:\nNo.\n")


def test_the_first_pairs_or_all(tmp_path, capsys):
    path = tmp_path / "pairs.jsonl"
    path.write_text((json.dumps(ROWS[0]) + "\n") * 30)
    for more, count in ([], 20), (["--all"], 30):
        assert main.main(["data", str(path), "--json", *more]) == main.DONE
        read = json.loads(capsys.readouterr().out)
        assert (read["rows"], len(read["pairs"])) == (30, count)


def test_what_can_be_used_is_written_to_a_new_file(tmp_path, capsys):
    path, new = tmp_path / "pairs.jsonl", tmp_path / "new.jsonl"
    rows = [{"question": "Why?", "chosen": "So.", "rejected": "No."}, {"question": "How?"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main.main(["data", str(path), "--write", str(new)]) == main.DONE
    assert "1 of 2 rows" in capsys.readouterr().out
    assert json.loads(new.read_text()) == {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    assert main.main(["data", str(path), "--write", str(new)]) == main.FAILED
    assert "name a new file" in capsys.readouterr().err


def test_turns_stay_turns(tmp_path, capsys):
    turns = {
        name: [{"role": role, "content": name}]
        for name, role in (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant"))
    }
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([turns]))
    assert main.main(["data", str(path), "--json"]) == main.DONE
    assert json.loads(capsys.readouterr().out)["pairs"] == [turns]
    assert main.main(["data", str(path)]) == main.DONE
    assert "1 pairs of conversations" in capsys.readouterr().out


def test_a_file_of_something_else_is_a_sentence(tmp_path, capsys):
    path = tmp_path / "numbers.jsonl"
    path.write_text('{"loss": 1}\n')
    assert main.main(["data", str(path)]) == main.FAILED
    assert str(path) in capsys.readouterr().err
