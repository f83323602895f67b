"""train evaluate, driven by its command line."""

import json
import shutil

import pytest

import main
from core.runs.records import EVALUATION
from tests.tiny import save_adapters, save_model

PAIRS = [
    {"prompt": f"Post {n}.", "chosen": "They got $53K.", "rejected": "They got $250K."}
    for n in range(3)
]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def run(tmp_path):
    """A run of two checkpoints over a base, with what it says of itself."""
    base, first, second = save_adapters(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copytree(first, folder / "checkpoint-10")
    shutil.copytree(second, folder / "checkpoint-20")
    (folder / "qscope-run.json").write_text(json.dumps({"beta": 0.25, "base": str(base)}), "utf-8")
    return folder


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS), "utf-8")
    return path


def evaluate(capsys, *argv):
    status = main.main(["train", "evaluate", *map(str, argv)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def test_every_step_is_measured_saved_and_printed(run, pairs, capsys):
    status, out, err = evaluate(capsys, run, "--data", pairs, "--json")
    assert status == 0
    table = json.loads(out)
    assert table == json.loads((run / EVALUATION).read_text("utf-8"))
    assert [row["step"] for row in table["steps"]] == [0, 10, 20]
    assert table["beta"] == 0.25 and table["pairs"] == 3
    for row in table["steps"][1:]:
        assert row["rewards/margins"] == pytest.approx(
            row["rewards/chosen"] - row["rewards/rejected"]
        )
        assert 0 <= row["words/auroc/-reward"] <= 1
    assert "2 checkpoints on 3 pairs" in err and "Saved as" in err


def test_a_table_for_readers_and_some_steps_only(run, pairs, capsys):
    status, out, _ = evaluate(capsys, run, "--data", pairs, "--steps", "20", "--no-save")
    assert status == 0 and not (run / EVALUATION).exists()
    head, *rows = out.splitlines()
    assert head.split() == ["step", "0", "20"]
    assert any(row.startswith("kl/ref_policy") and "0.000" in row for row in rows)


def test_rewards_grow_with_beta_and_localisation_does_not_change(run, pairs, capsys):
    one, two = (
        json.loads(evaluate(capsys, run, "--data", pairs, "--json", "--beta", beta)[1])["steps"][2]
        for beta in (1, 2)
    )
    assert two["rewards/chosen"] == pytest.approx(2 * one["rewards/chosen"])
    assert two["kl/ref_policy"] == one["kl/ref_policy"]
    assert two["words/auroc/-reward"] == one["words/auroc/-reward"]


def test_the_words_of_pairs_of_turns_are_those_of_the_last_one(run, tmp_path, pairs, capsys):
    turns = [
        {
            "prompt": [{"role": "user", "content": pair["prompt"]}],
            "chosen": [{"role": "assistant", "content": pair["chosen"]}],
            "rejected": [{"role": "assistant", "content": pair["rejected"]}],
        }
        for pair in PAIRS
    ]
    path = tmp_path / "turns.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in turns), "utf-8")
    plain, chat = (
        json.loads(evaluate(capsys, run, "--data", file, "--json")[1])["steps"]
        for file in (pairs, path)
    )
    assert plain == chat


def test_what_cannot_be_measured_is_said_in_a_sentence(run, pairs, tmp_path, capsys):
    empty, missing = tmp_path / "empty", tmp_path / "none.jsonl"
    empty.mkdir()
    for argv, sentence in (
        ((empty,), "no whole checkpoint"),
        ((tmp_path / "nowhere",), "nowhere"),
        ((run, "--steps", "30"), "no checkpoint of step 30: it has 10, 20"),
        ((run, "--pairs", "1"), "at least 2"),
        ((run, "--data", missing), "none.jsonl"),
        ((run, "--data", pairs, "--base", tmp_path / "nobase"), "nobase"),
    ):
        status, out, err = evaluate(capsys, *argv)
        assert status == 1 and out == "" and sentence in err, (argv, err)
        assert err.endswith(".\n")


def test_a_folder_that_cannot_be_written_still_prints(run, pairs, capsys):
    (run / EVALUATION).mkdir()  # a file cannot take its place
    status, out, err = evaluate(capsys, run, "--data", pairs, "--json")
    assert status == 0 and json.loads(out)["pairs"] == 3
    assert "could not be saved" in err


def test_a_run_of_whole_models_says_its_cost_and_needs_its_reference(tmp_path, pairs, capsys):
    folder = tmp_path / "run"
    save_model(folder / "checkpoint-5", seed=1)
    status, _, err = evaluate(capsys, folder, "--data", pairs)
    assert status == 1 and "--reference" in err
    reference = save_model(tmp_path / "reference", seed=2)
    status, out, err = evaluate(capsys, folder, "--data", pairs, "--reference", reference, "--json")
    assert status == 0 and "whole model of" in err
    assert [row["step"] for row in json.loads(out)["steps"]] == [0, 5]


def test_wrong_usage_exits_with_2(capsys):
    for argv in ([], ["run", "--steps", "a"], ["run", "--beta", "0"]):
        with pytest.raises(SystemExit) as caught:
            main.main(["train", "evaluate", *argv])
        assert caught.value.code == 2
        assert "usage: main.py train" in capsys.readouterr().err
