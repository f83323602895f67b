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
    assert json.loads(capsys.readouterr().out) == {"rows": 2, "pairs": ROWS}
    assert main.main(["data", str(path)]) == main.DONE
    said = capsys.readouterr().out
    assert "2 pairs of plain text" in said and "1 of the first 2 have two equal sides" in said
    assert said.endswith("prompt:\nWhy?\n\nchosen:\nBecause.\n\nrejected:\nNo.\n")


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
