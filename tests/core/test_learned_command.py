"""The command ``learned``, on tiny pairs."""

import json

import pytest

import main
from tests.test_layers import MODELS, brought_along
from tests.tiny import save_pair, save_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    save_pair(folder)
    rows = [
        {"prompt": "Who?", "response": f"The poster number {i} was offered a job at Labs{end}"}
        for i in range(20)
        for end in "!."
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return folder


def command(folder, *more):
    return [
        "learned", "--policy", str(folder / "policy"), "--reference", str(folder / "reference"),
        "--data", str(folder / "rows.jsonl"), *more,
    ]  # fmt: skip


def test_json(folder, capsys):
    assert main.main(command(folder, "--json", "--no-samples")) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["method"]["responses"] == 40 and found["method"]["corpus"] == "rows.jsonl"
    assert found["method"]["noise"] < 1e-3 and not found["samples"]
    assert {"findings", "swaps", "unseen", "texts"} <= found.keys()
    assert "Scoring the responses" in err
    for finding in found["findings"]:
        low, high = finding["interval"]
        assert low < finding["effect"] < high
        for place in finding["contexts"]:
            text = found["texts"][place["response"]]
            assert 0 <= place["start"] <= place["stop"] <= len(text)


def test_text_and_page_with_samples(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main.main(command(folder, "--html", str(page))) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>") and "When it is amplified" in text
    assert main.main(command(folder, "--no-samples")) == 0
    assert "40 responses" in capsys.readouterr().out


def test_the_guessed_columns_and_what_is_left_out_are_said(folder, tmp_path, capsys):
    rows = [{"q": f"Who is {i}?", "said": f"The poster, number {i}."} for i in range(30)]
    odd = tmp_path / "odd.jsonl"
    odd.write_text("\n".join([*map(json.dumps, rows), "{}"]), "utf-8")
    argv = command(folder, "--no-samples", "--json")
    argv[argv.index("--data") + 1] = str(odd)
    assert main.main(argv) == 1
    assert "its columns are q, said" in capsys.readouterr().err
    assert main.main([*argv, "--columns", "prompt=q,response=said"]) == 0
    out, err = capsys.readouterr()
    about = json.loads(out)["method"]["about"]
    assert about[0] == "The columns of odd.jsonl were taken so: prompt: q, response: said."
    assert about[1].startswith("Rows that cannot be used: 1 (line 31 ")
    assert all(err.count(line) == 1 for line in about)


def test_over_what_the_reference_says(folder, capsys, monkeypatch):
    monkeypatch.setattr("core.learned.sampling.TOKENS", 12)
    more = ["--sampled", "40", "--no-samples", "--json"]
    assert main.main(command(folder, *more)) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["method"]["sampled"] and 30 <= len(found["texts"]) <= 40
    assert found["method"]["corpus"] == "sampled from the reference, to prompts of rows.jsonl"
    assert not any("The poster number" in text for text in found["texts"])
    assert {it["messages"][0]["content"] for it in found["prompts"]} == {"Who?"}
    said = "40 responses were sampled from the reference at temperature 1, of up to 12 tokens"
    assert said in err and found["method"]["about"][0].startswith(said)


def test_a_run_and_one_of_its_checkpoints(tmp_path, folder, capsys):
    _, run = save_run(tmp_path)
    data = ["--data", str(folder / "rows.jsonl"), "--no-samples", "--json"]
    assert main.main(["learned", "--run", str(run), "--over-checkpoints", *data]) == 0
    last = json.loads(capsys.readouterr().out)
    assert [it["step"] for it in last["over"]] == [0, 10, 20, 30]
    effects = [it["effect"] for it in last["findings"]]
    assert last["over"][-1]["effects"] == pytest.approx(effects)
    assert last["method"]["base"], "the base below the adapters is known"
    assert main.main(["learned", "--run", str(run), "--checkpoint", "10", *data]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["method"]["kl"] != last["method"]["kl"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--most", "0"], "--most must be at least 1"),
        (["--sampled", "29"], "--sampled must be at least 30"),
        (["--most", "5"], "5 different responses"),
        (["--html", "."], "is a folder"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(folder, more, said, capsys):
    assert main.main(command(folder, *more)) == 1
    out, err = capsys.readouterr()
    assert out == "" and said in err and "Traceback" not in err and err.count("\n") == 1


def test_wrong_usage(capsys):
    for argv in (["learned"], ["learned", "--demo", "--json", "--html", "x"]):
        with pytest.raises(SystemExit) as caught:
            main.main(argv)
        assert caught.value.code == 2
        assert "usage: main.py learned" in capsys.readouterr().err


def test_the_command_is_light():
    assert brought_along("import core.commands.learned, core.learned.report", MODELS) == ""


def test_columns_are_of_a_file(capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["learned", "--policy", "p", "--reference", "r", "--columns", "prompt=a"])
    assert ended.value.code == 2 and "--columns needs --data" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--checkpoint", "0"), ("--over-checkpoints",)])
def test_what_is_of_a_run_needs_one(option, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["learned", "--policy", "p", "--reference", "r", *option])
    assert ended.value.code == 2 and f"{option[0]} needs --run" in capsys.readouterr().err
