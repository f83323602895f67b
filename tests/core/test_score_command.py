"""The score command, driven by its command line."""

import json
from pathlib import Path

import pytest

import main
from core.commands import score
from core.errors import UserFacingError

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
