"""The search command, driven by its command line."""

import json

import pytest

import main
from tests.tiny import save_model, save_pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    save_pair(folder)
    save_model(folder / "large", "gpt2", seed=7)
    (folder / "prompt.txt").write_text("Summarise this post.\n", "utf-8")
    return folder


def command(folder, *more):
    return [
        "search", "--policy", str(folder / "policy"), "--reference", str(folder / "reference"),
        "--prompt-file", str(folder / "prompt.txt"), "--max-new-tokens", "6", *more,
    ]  # fmt: skip


def test_hypotheses_and_nodes_as_json(folder, capsys):
    assert main.main(command(folder, "--beams", "3", "--json", "--tree")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["objective"] == {"policy": 1.0, "reference": 0.0, "base": 0.0}
    assert len(found["hypotheses"]) == 3
    assert (found["beta"], found["unit"]) == (None, "nat"), "no file says a beta"
    longest = max(h["length"] for h in found["hypotheses"])
    assert found["noise"]["dtype"] == "float32" and 0 < found["noise"]["token"] < 1e-4
    for h in found["hypotheses"]:
        assert (h["noise"] == found["noise"]["total"]) == (h["length"] == longest)
    nodes = found["nodes"]
    assert nodes[0]["parent"] == -1
    for h in found["hypotheses"]:
        assert h["score"] == pytest.approx(h["sum_logp_policy"])
        assert h["eq12_reward_less_kl"] == pytest.approx(h["eq13_policy_likelihood"], abs=1e-3)
        ratio = h["sum_logp_policy"] - h["sum_logp_reference"]
        assert h["total_reward"] == pytest.approx(ratio)
    for i, node in enumerate(nodes[1:], 1):
        assert node["parent"] < i
        before = nodes[node["parent"]]["sum_policy"]
        assert node["sum_policy"] == pytest.approx(before + node["logp_policy"])
        assert node["status"] in ("kept", "pruned", "finished")
        assert node["status"] != "pruned" or node["reason"]


@pytest.mark.parametrize(
    "more",
    [
        ("--strategy", "sample", "--set", "count=3", "--set", "temperature=0.8"),
        ("--strategy", "mcts", "--set", "simulations=8", "--set", "value=rollout"),
        ("--objective", "reward"),
        ("--objective", "2", "--length-penalty", "1"),
        ("--policy-only",),
    ],
)
def test_every_choice_prints_a_table(folder, capsys, more):
    assert main.main(command(folder, *more)) == 0
    out = capsys.readouterr().out
    assert "Σ log π_ref" in out and len(out.splitlines()) > 4


def test_a_third_model_is_steered(folder, capsys):
    more = ("--search-base", str(folder / "large"), "--emulate", "0.5", "--json")
    assert main.main(command(folder, *more)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["search_base"] == "large"
    assert found["objective"] == {"policy": 0.5, "reference": -0.5, "base": 1.0}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--beams", "0"), "Width must be from 1 to 4096, not 0."),
        (("--max-new-tokens", "-1"), "Most tokens must be from 1 to 1000000, not -1."),
        (("--strategy", "sample", "--set", "temperature=0"), "Temperature must be above 0, not 0."),
        (("--search-base", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(folder, capsys, more, sentence):
    assert main.main(command(folder, *more)) == 1
    out, err = capsys.readouterr()
    assert out == "" and sentence in err and "Traceback" not in err


@pytest.mark.parametrize(
    "more",
    [
        ("--tree",),
        ("--emulate", "1"),
        ("--objective", "nan"),
        ("--set", "luck=1"),
        ("--set", "width=2.5"),
        ("--set", "width=wide"),
        ("--strategy", "hope"),
    ],
)
def test_wrong_usage_exits_with_2(folder, capsys, more):
    with pytest.raises(SystemExit) as caught:
        main.main(command(folder, *more))
    assert caught.value.code == 2
    assert "usage: main.py search" in capsys.readouterr().err


def test_an_empty_prompt_file_is_a_sentence(folder, tmp_path, capsys):
    path = tmp_path / "prompt.txt"
    path.write_text(" \n", "utf-8")
    argv = command(folder)
    argv[argv.index("--prompt-file") + 1] = str(path)
    assert main.main(argv) == 1
    assert "the prompt is empty" in capsys.readouterr().err


def test_another_vocabulary_is_refused(folder, capsys):
    other = folder / "other"
    if not other.exists():
        save_model(other)
        path = other / "tokenizer.json"
        tokenizer = json.loads(path.read_text("utf-8"))
        known = tokenizer["model"]["vocab"]
        known["a"], known["b"] = known["b"], known["a"]
        path.write_text(json.dumps(tokenizer), "utf-8")
    assert main.main(command(folder, "--search-base", str(other))) == 1
    assert "choose a base of the same family" in capsys.readouterr().err
