"""``runs``: what the logs of a run hold, and what they mean."""

import json
from pathlib import Path

import main

SHIPPED = Path(__file__).parents[2] / "resources/demo/training/with-sft"
LOG = [
    {"step": 5, "loss": 0.69, "rewards/chosen": 0.0, "rewards/rejected": 0.0},
    {"step": 10, "loss": 0.5, "rewards/chosen": float("nan"), "rewards/rejected": -0.3},
    {"step": 15, "loss": 0.4, "rewards/chosen": -0.2, "rewards/rejected": -0.8},
]


def write(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in LOG))
    return str(path)


def test_curves_are_printed_without_what_is_no_number(tmp_path, capsys):
    assert main.main(["runs", write(tmp_path), "--json"]) == main.DONE
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["series"]["loss"] == [[5, 10, 15], [0.69, 0.5, 0.4]]
    assert run["series"]["rewards/chosen"] == [[5, 15], [0.0, -0.2]]
    assert run["beta"] is None
    assert run["problems"] == [
        "NaN or infinite, so left out: rewards/chosen at 1 of 3 steps, the first 10."
    ]


def test_words_for_people(capsys):
    assert main.main(["runs", str(SHIPPED)]) == main.DONE
    said = capsys.readouterr().out
    assert said.startswith("with-sft: TRL trainer state, DPO, beta 0.1, up to step 120\n")
    assert "rewards/chosen" in said and "while the margin grows" in said


def test_a_beta_that_no_file_says_can_be_given(tmp_path, capsys):
    assert main.main(["runs", write(tmp_path), "--beta", "0.3"]) == main.DONE
    assert "beta 0.3, up to step 15" in capsys.readouterr().out


def test_a_folder_without_logs_is_a_sentence(tmp_path, capsys):
    assert main.main(["runs", str(tmp_path)]) == main.FAILED
    assert str(tmp_path) in capsys.readouterr().err
