"""The sweep command, driven by its command line on a tiny pair."""

import json

import pytest

import main
from tests.tiny import save_pair

FAST = ["--widths", "1,2", "--max-new-tokens", "5", "--device", "cpu"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    return ["--policy", str(policy), "--reference", str(reference)]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    lines = [
        {"prompt": "Summarise this post.", "chosen": "They said yes."},
        {"prompt": "A job?", "system": "Be brief.", "chosen": "No."},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def sweep(capsys, *argv, status=0):
    assert main.main(["sweep", *map(str, argv)]) == status
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out, err


def test_json_says_what_was_compared_and_every_row(pair, prompts, capsys):
    out, err = sweep(
        capsys,
        *pair,
        *FAST,
        "--prompt-file",
        prompts,
        "--judge",
        "reward",
        "--json",
        "--beta",
        "0.5",
    )
    found = json.loads(out)
    assert "judges itself" in found["judge"]
    assert "judges itself" in err
    assert (found["prompts"], found["beta"], found["widths"]) == (2, 0.5, [1, 2])
    assert [(r["question"], r["width"]) for r in found["rows"]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    for row in found["rows"]:
        margin = row["answer"]["log_ratio"] - row["against"]["log_ratio"]
        assert row["verdict"]["margin"] == pytest.approx(margin)
        assert row["answer"]["tokens"] <= 5
    assert [f["prompts"] for f in found["figures"]] == [2, 2]


def test_the_demos_facts_are_the_default_judge_and_are_named(pair, capsys):
    pytest.importorskip("faker")
    out, err = sweep(capsys, *pair, *FAST, "--prompts", 2)
    assert "judge      facts" in out
    assert "judge: facts" in err
    assert "2 prompts" in out


def test_resume_pairs_and_verdicts_belong_together(pair, prompts, tmp_path, capsys):
    common = [*pair, *FAST, "--prompt-file", prompts, "--resume", tmp_path / "answers.jsonl"]
    out, _ = sweep(capsys, *common, "--write-pairs", tmp_path / "pairs.jsonl")
    assert "judge      none" in out
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert pairs
    judged = tmp_path / "judged.jsonl"
    judged.write_text("\n".join(json.dumps(pair | {"winner": "tie"}) for pair in pairs))
    out, err = sweep(capsys, *common, "--judge", "verdicts", judged, "--json")
    assert "6 answers are known" in err
    assert [f["win_rate"] for f in json.loads(out)["figures"]] == [0.5, 0.5]
    assert "verdicts in judged.jsonl" in err


def test_the_figure_is_drawn(pair, prompts, tmp_path, capsys, qtbot):
    from PySide6.QtGui import QImage

    path = tmp_path / "new folder" / "figure.png"
    sweep(
        capsys, *pair, *FAST, "--prompt-file", prompts, "--judge", "reward", "--png", path,
        "--size", "800x400", "--theme", "dark",
    )  # fmt: skip
    image = QImage(str(path))
    assert (image.width(), image.height()) == (800, 400)
    colours = {image.pixelColor(x, y).name() for x in range(0, 800, 4) for y in range(0, 400, 4)}
    assert len(colours) > 8


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "give --policy, with --reference if there is one, or --run, or --demo"),
        (
            ["--demo", "--judge", "oracle"],
            "There is no judge 'oracle': choose facts, reward",
        ),
        (["--demo", "--judge", "model"], "A reward model is needed to judge: choose the folder"),
        (["--demo", "--judge", "facts", "x"], "The demo's fact checker takes no path"),
        (["--demo", "--prompt-file", "f"], "these prompts need --judge (or --write-pairs"),
        (
            ["--demo", "--prompt-file", "f", "--judge", "facts"],
            "knows only the demo's held-out posts",
        ),
        (["--demo", "--widths", "1,x"], "'1,x' is not a list of numbers such as 1,2,3,5,8,16"),
        (["--demo", "--objective", "inf"], "is not a finite number"),
    ],
)
def test_wrong_usage_exits_with_2(argv, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(["sweep", *argv])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--widths", "0,1"], "Beam widths must be from 1 to 4096, not 0."),
        (["--widths", "100000"], "Beam widths must be from 1 to 4096, not 100000."),
        (["--prompts", "0"], "Number of prompts must be from 1 to 100000, not 0."),
        (["--prompt-file", "nowhere", "--judge", "reward"], "nowhere cannot be read"),
        (["--judge", "verdicts", "nowhere"], "nowhere cannot be read"),
        (["--judge", "model", "nowhere"], "There is no reward model in nowhere"),
        (["--max-new-tokens", "0"], "Most tokens must be from 1 to 1000000, not 0."),
        (["--resume", "."], ". is a folder"),
    ],
)
def test_bad_input_is_one_sentence(argv, said, pair, prompts, capsys):
    if "--prompt-file" not in argv:
        argv = ["--prompt-file", prompts, *argv]
    if "--judge" not in argv:
        argv = [*argv, "--judge", "reward"]
    out, err = sweep(capsys, *pair, *argv, status=1)
    assert said in err
    assert out == ""


def test_a_prompt_without_a_response_to_beat_is_named(pair, tmp_path, capsys):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b"}\n{"prompt": "c"}\n')
    common = [*pair, *FAST, "--prompt-file", path, "--judge", "reward"]
    _, err = sweep(capsys, *common, status=1)
    assert "Prompt 2 of" in err
    assert '"chosen"' in err
    out, _ = sweep(capsys, *common, "--against", "reference-greedy")
    assert "the reference model's greedy" in out
