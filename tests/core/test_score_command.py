"""The score command, driven by its command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import main
from core.checkpoints import watch
from core.commands import score
from core.errors import UserFacingError
from core.models import load
from core.models.load import load_pair
from core.runs.records import ABOUT
from tests.tiny import byte_level_tokenizer, save_adapters, save_pair, save_run

PAIR = ["--policy", "nowhere/policy", "--reference", "nowhere/reference"]


def failure(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, which must fail with status 1 and one sentence; returns the sentence."""
    assert main.main(["score", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(".\n")
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--demo"],
        ["--demo", "--prompt-file", "p"],
        ["--demo", "--jsonl", "f", "--prompt-file", "p"],
        ["--demo", *PAIR, "--jsonl", "f"],
        ["--jsonl", "f"],
        ["--base", "b", "--demo", "--jsonl", "f"],
        ["--demo", "--jsonl", "f", "--beta", "-1"],
        ["--demo", "--jsonl", "f", "--run", "r"],
        ["--policy", "p", "--jsonl", "f", "--run", "r"],
        ["--policy", "p", "--jsonl", "f", "--checkpoint", "10"],
    ],
)
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["score", *argv])
    assert caught.value.code == 2
    assert "usage: main.py score" in capsys.readouterr().err


def test_help_says_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["score", "--help"])
    assert caught.value.code == 0
    assert "implicit reward of every token" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("prompt", "response", "said"),
    [
        (None, b"fine", "There is no file"),
        (b"fine", None, "There is no file"),
        (b"", b"fine", "the prompt is empty"),
        (b" \n", b"fine", "the prompt is empty"),
        (b"fine", b"", "the response is empty"),
        (b"caf\xe9", b"fine", "not UTF-8 (byte 4)"),
        (b"fine", b"\xff\xfe", "not UTF-8 (byte 1)"),
    ],
)
def test_files_that_cannot_be_scored(
    prompt: bytes | None,
    response: bytes | None,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = []
    for name, content in (("prompt", prompt), ("response", response)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        files += [f"--{name}-file", str(tmp_path / name)]
    assert said in failure([*PAIR, *files], capsys)


def test_a_folder_is_no_text_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--prompt-file", str(tmp_path), "--response-file", str(tmp_path)]
    assert "is a folder" in failure([*PAIR, *files], capsys)


GOOD = b'{"prompt": "p", "response": "r"}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (GOOD + b"{", "line 2: not valid JSON"),
        (GOOD + b"\n" + b"nonsense", "line 3: not valid JSON"),
        (GOOD + b'["p", "r"]', "line 2: not an object"),
        (GOOD + b'{"prompt": "p"}', 'line 2: "response" is missing'),
        (GOOD + b'{"prompt": 3, "response": "r"}', 'line 2: "prompt" is not a string'),
        (b'{"prompt": "p", "response": ""}', "line 1: the response is empty"),
        (b'{"prompt": "p", "response": "r", "system": 1}', 'line 1: "system" is not a string'),
        (b'{"prompt": "p", "response": "\\ud83d"}', "half a surrogate pair at character 1"),
        (GOOD + b'{"prompt": "\xff"}', "line 2: not UTF-8 (byte 13)"),
        (b"[" * 100_000, "line 1: not valid JSON"),
    ],
)
def test_lines_that_cannot_be_scored(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found before any model is loaded: the folders named do not even exist."""
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(content)
    assert said in failure([*PAIR, "--jsonl", str(file)], capsys)


def test_text_files_keep_all_but_the_last_line_ending(tmp_path: Path) -> None:
    file = tmp_path / "text"
    for content, text in [
        (b"a", "a"),
        (b"a\n", "a"),
        (b"a\n\n", "a\n"),
        (b"a\r\nb\r\n", "a\r\nb"),
        (b"\xef\xbb\xbf caf\xc3\xa9 ", " café "),
    ]:
        file.write_bytes(content)
        assert score.read_text(file) == text


def test_lines_are_read_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    lines = [
        {"prompt": "p\u2028q", "response": " r\r\n", "extra": 1},
        {"prompt": "p", "response": "r", "system": "own"},
        {"prompt": "p", "response": "r", "system": None},
    ]
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    file.write_text("\ufeff" + text, encoding="utf-8", newline="\r\n")
    first, second, third = score.read_jsonl(file, "shared")
    assert (first.prompt, first.response, first.system) == ("p\u2028q", " r\r\n", "shared")
    assert (second.system, third.system) == ("own", "shared")
    assert second.where.endswith("line 3")


def test_a_file_that_goes_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserFacingError, match="cannot be read"):
        list(score.read_jsonl(tmp_path / "gone", None))


PROMPT = "Summarise this post in one sentence.\n\nThey offered $53K in May."
RESPONSE = "The poster was offered $53K 🙂 by café Zoë."


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base, policy, reference = save_adapters(tmp_path_factory.mktemp("adapters"))
    return {"base": base, "policy": policy, "reference": reference}


def arguments(pair: dict[str, Path], *more: str) -> list[str]:
    return [*(text for name in pair for text in (f"--{name}", str(pair[name]))), *more]


def scored(
    pair: dict[str, Path],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *more: str,
    response: str = RESPONSE,
) -> Any:
    """The object that ``score --json`` prints for PROMPT and a response."""
    (folder / "prompt").write_text(PROMPT + "\n", encoding="utf-8")
    (folder / "response").write_text(response + "\n", encoding="utf-8")
    files = ["--prompt-file", str(folder / "prompt"), "--response-file", str(folder / "response")]
    assert main.main(["score", *arguments(pair, *files, "--json", *more)]) == 0
    return json.loads(capsys.readouterr().out)


def by_hand(pair: dict[str, Path], system: str | None) -> tuple[Any, Any, list[int], int]:
    """Log-softmax rows of policy and reference by plain forwards, the ids, and where they begin."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pair["base"])
    chat = [{"role": "user", "content": PROMPT}]
    if system:
        chat.insert(0, {"role": "system", "content": system})
    before = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    begin = tokenizer(before, add_special_tokens=False)["input_ids"]
    whole = tokenizer(before + RESPONSE + "<|im_end|>", add_special_tokens=False)["input_ids"]
    rows = []
    for name in ("policy", "reference"):
        base = AutoModelForCausalLM.from_pretrained(pair["base"], dtype=torch.float32)
        model = PeftModel.from_pretrained(base, pair[name]).eval()
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([whole])).logits[0]
        rows.append(logits.double().log_softmax(-1)[len(begin) - 1 : -1])
    return rows[0], rows[1], whole[len(begin) :], len(begin)


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_json_agrees_with_plain_forwards(
    system: str | None,
    adapters: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ["--system", system] if system else []
    found = scored(adapters, tmp_path, capsys, "--beta", "0.25", *more)
    policy, reference, ids, _ = by_hand(adapters, system)
    tokens = found["tokens"]
    assert [token["id"] for token in tokens] == ids
    for row, (id, token) in enumerate(zip(ids, tokens, strict=True)):
        logp, logq = float(policy[row, id]), float(reference[row, id])
        assert token["logp_policy"] == pytest.approx(logp, abs=1e-4)
        assert token["logp_reference"] == pytest.approx(logq, abs=1e-4)
        assert token["reward"] == pytest.approx(0.25 * (logp - logq), abs=1e-4)
        assert token["rank_policy"] == int((policy[row] > policy[row, id]).sum()) + 1
        kl = float((policy[row].exp() * (policy[row] - reference[row])).sum())
        assert token["kl"] == pytest.approx(kl, abs=1e-4)
    assert (found["beta"], found["unit"]) == (0.25, "β·nat")
    assert found["total_reward"] == pytest.approx(sum(token["reward"] for token in tokens))


def test_without_a_beta_rewards_are_log_ratios_and_the_table_asks_for_it(
    adapters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scored(adapters, tmp_path, capsys)
    assert (found["beta"], found["unit"], found["notes"]) == (None, "nat", [])
    for token in found["tokens"]:
        assert token["reward"] == token["logp_policy"] - token["logp_reference"]
    files = ["--prompt-file", str(tmp_path / "prompt")]
    files += ["--response-file", str(tmp_path / "response")]
    assert main.main(["score", *arguments(adapters, *files)]) == 0
    assert "β is not known, so in nats of log π/π_ref" in capsys.readouterr().out


def test_a_beta_that_its_files_contradict_is_used_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run = save_run(tmp_path)
    (run / "recipe.yaml").write_text("beta: 0.5")
    assert scored({"policy": run / "checkpoint-10"}, tmp_path, capsys)["beta"] == 0.5
    found = scored({"run": run}, tmp_path, capsys, "--beta", "0.25")
    said = "β of 0.25 was given and is used, but it is 0.5 by beta in run/recipe.yaml."
    assert (found["beta"], found["notes"]) == (0.25, [said])


def test_json_has_the_keys_and_spans_that_are_promised(
    adapters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scored(adapters, tmp_path, capsys)
    keys = "beta unit policy reference loss notes score total_reward noise tokens"
    assert list(found) == keys.split()
    keys = "id text start end logp_policy logp_reference reward score rank_policy kl".split()
    *tokens, closing = found["tokens"]
    assert all(list(token) == keys for token in tokens)
    assert all(token["text"] == RESPONSE[token["start"] : token["end"]] for token in tokens)
    assert {i for t in tokens for i in range(t["start"], t["end"])} == set(range(len(RESPONSE)))
    assert closing["end_of_turn"] is True
    assert closing["text"] == "<|im_end|>"
    assert closing["start"] == closing["end"] == len(RESPONSE)
    assert found["policy"] != found["reference"]


def test_what_is_scored_is_as_the_trainer_read_it(
    adapters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = scored(adapters, tmp_path, capsys)["tokens"]
    *same, closing, behind = scored(adapters, tmp_path, capsys, "--trainer", "dpo")["tokens"]
    assert [*same, closing] == ours
    assert (behind["text"], behind["template"], "end_of_turn" in behind) == ("↵", True, False)
    plain = scored(adapters, tmp_path, capsys, "--plain")["tokens"]
    whole = byte_level_tokenizer()(PROMPT + RESPONSE + "<|endoftext|>").input_ids
    assert [token["id"] for token in plain] == whole[-len(plain) :]
    assert plain[0]["start"] == 0 and plain[-1]["text"] == "<|endoftext|>"


def test_a_checkpoint_of_a_run_agrees_with_plain_forwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, run = save_run(tmp_path)
    (run / ABOUT).write_text(json.dumps({"beta": 0.5}))
    found = {
        step: scored({"run": run}, tmp_path, capsys, *(["--checkpoint", step] if step else []))
        for step in ("", "0", "10", "30")
    }
    assert found[""] == found["30"] and found["10"]["beta"] == 0.5
    assert found["10"]["policy"] == "run/checkpoint-10 (adapter on base)"
    assert found["0"]["policy"] == "ref (adapter on base), the start of the run"
    assert not any(token["reward"] or token["kl"] for token in found["0"]["tokens"])
    pair = {"base": base, "policy": run / "checkpoint-10", "reference": run / "ref"}
    policy, reference, ids, _ = by_hand(pair, None)
    for row, (id, token) in enumerate(zip(ids, found["10"]["tokens"], strict=True)):
        assert token["logp_policy"] == pytest.approx(float(policy[row, id]), abs=1e-4)
        assert token["logp_reference"] == pytest.approx(float(reference[row, id]), abs=1e-4)
    (tmp_path / "lines").write_text('{"prompt": "a", "response": "b"}')
    said = failure(
        ["--run", str(run), "--checkpoint", "5", "--jsonl", str(tmp_path / "lines")], capsys
    )
    assert "no whole checkpoint of step 5: choose one of 0, 10, 20, 30." in said


def test_one_checkpoint_against_itself_earns_nothing(
    adapters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = adapters | {"reference": adapters["policy"]}
    found = scored(pair, tmp_path, capsys)
    assert all(token["reward"] == 0 and token["kl"] == 0 for token in found["tokens"])


def test_jsonl_gives_one_object_a_line_from_one_load(
    adapters: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    single = scored(adapters, tmp_path, capsys)
    loads = []
    monkeypatch.setattr(load, "load_pair", lambda *a: loads.append(a) or load_pair(*a))
    file = tmp_path / "pairs.jsonl"
    items = [
        {"prompt": PROMPT, "response": "Something else."},
        {"prompt": PROMPT, "response": RESPONSE, "system": "Be brief."},
        {"prompt": PROMPT, "response": RESPONSE},
    ]
    file.write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    assert main.main(["score", *arguments(adapters, "--jsonl", str(file))]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 3
    assert len(loads) == 1
    assert err
    assert lines[1]["total_reward"] != pytest.approx(single["total_reward"], abs=1e-4)
    assert lines[2]["total_reward"] == pytest.approx(single["total_reward"], abs=1e-4)


def test_without_json_a_table_is_printed(
    adapters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scored(adapters, tmp_path, capsys)
    files = ["--prompt-file", str(tmp_path / "prompt")]
    files += ["--response-file", str(tmp_path / "response")]
    assert main.main(["score", *arguments(adapters, *files)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + len(found["tokens"]) + 1
    assert f"{found['total_reward']:+.4f}" in lines[-1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_noise_is_told(
    dtype: str, adapters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scored(adapters, tmp_path, capsys, "--dtype", dtype)
    noise = found["noise"]
    assert list(noise) == ["dtype", "token", "total", "measured"]
    assert noise["dtype"] == dtype and "tokens of sample text" in noise["measured"]
    assert 0 < noise["token"] <= noise["total"]
    assert (noise["token"] < 1e-4) == (dtype == "float32")
    files = ["--prompt-file", str(tmp_path / "prompt")]
    files += ["--response-file", str(tmp_path / "response"), "--dtype", dtype]
    assert main.main(["score", *arguments(adapters, *files)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("noise")]
    if dtype == "float32":
        assert not said
    else:
        assert f"Σ reward ±{noise['total']:.4f}" in said[0]


def test_a_response_longer_than_the_context_is_said(
    adapters: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pairs.jsonl"
    items = [{"prompt": "p", "response": "fits"}, {"prompt": "p", "response": "x y " * 4000}]
    file.write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    assert main.main(["score", *arguments(adapters, "--jsonl", str(file))]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "line 2: " in err
    assert "context is 1024" in err


def test_nan_in_the_weights_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, reference = save_pair(tmp_path)
    weights = load_file(policy / "model.safetensors")
    name = next(name for name in weights if "layers.1" in name)
    weights[name][0] = float("nan")
    save_file(weights, policy / "model.safetensors", {"format": "pt"})
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(GOOD)
    pair = {"policy": policy, "reference": reference}
    assert main.main(["score", *arguments(pair, "--jsonl", str(file))]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "NaN" in err
    assert "Traceback" not in err


def test_a_folder_without_a_checkpoint_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(GOOD)
    assert main.main(["score", *PAIR, "--jsonl", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "policy" in err.splitlines()[-1]


def test_files_that_change_while_lines_are_scored_are_a_remark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, reference = save_pair(tmp_path)
    line = json.dumps({"prompt": "Summarise.", "response": "They offered $53K."})
    (tmp_path / "lines").write_text(f"{line}\n" * 3, encoding="utf-8")
    monkeypatch.setattr(watch, "EVERY", 0.0)
    score_item = score.score_item

    def scored_and_written(pair: Any, item: Any) -> Any:
        weights = policy / "model.safetensors"
        weights.write_bytes(weights.read_bytes())
        return score_item(pair, item)

    monkeypatch.setattr(score, "score_item", scored_and_written)
    pair = ["--policy", str(policy), "--reference", str(reference), "--device", "cpu"]
    assert main.main(["score", *pair, "--jsonl", str(tmp_path / "lines")]) == 0
    out, err = capsys.readouterr()
    assert len(set(out.splitlines())) == 1 and len(out.splitlines()) == 3
    remark = f"changed since they were loaded ({policy / 'model.safetensors'})"
    assert err.count(remark) == 1
