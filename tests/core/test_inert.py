"""Texts that a spreadsheet or a terminal would obey, where Qscope writes tables and prints."""

import csv
import io
import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import main
from core.commands.console import Reporter
from core.inert import cell, of_cell, shown
from core.present.table import delimited
from core.runs.read import read_run

FORMULAS = [
    '=HYPERLINK("http://x")', "=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1",
    "\n=1", "＝1", "＋1", "－1", "＠x", " =1", "\u00a0=1", '"=1', "'=1", "''=1", "' \"=1",
    "\ufeff=1", "\u3000－1", "-", "\t", "\r", "\n", "\u200b=1", "\x0b=1",
]  # fmt: skip
HARMLESS = [
    "",
    "a",
    "a=1",
    "'",
    "it's",
    '"quoted"',
    "−4.2",
    "3-4",
    "…",
    " ",
    "a\nb",
    "a\tb",
    ", -b",
]
OBEYED = [
    "\x1b[2J",
    "\x9b31m",
    "\x1b]0;title\x07",
    "a\x00b",
    "\u202efdp.exe",
    "\u2066x",
    "\x7f",
    "\x08",
]


def first_sign(text):
    """The first sign that a spreadsheet looks at, once it has thrown away what it may."""
    kept = [s for s in text if unicodedata.category(s) not in ("Zs", "Cc", "Cf", "Pi", "Pf")]
    return unicodedata.normalize("NFKC", "".join(kept).lstrip("\"'`")[:1])


def is_obeyed(text):
    """Whether it has a control sign, or one that turns the order of others around."""
    turns = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return any(
        (unicodedata.category(sign) == "Cc" and sign not in "\t\n")
        or unicodedata.bidirectional(sign) in turns
        for sign in text
    )


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS, *OBEYED])
def test_a_cell_is_no_formula_and_reads_back(text, delimiter):
    ((read, number),) = csv.reader(
        io.StringIO(delimited([[text, -4.2]], delimiter), newline=""), delimiter=delimiter
    )
    assert read[:1] not in {*"=+-@＝＋－＠\t\r\n"}
    assert first_sign(text) not in "=+-@" or not text.strip() or read.startswith(("'", "\\u"))
    assert not is_obeyed(read)
    assert number == "-4.2"
    assert of_cell(read) == shown(text)
    assert (text in HARMLESS) <= (read == text)


@given(st.text())
def test_any_text_is_a_cell_that_reads_back(text):
    written = cell(text)
    assert not is_obeyed(written) and written[:1] not in {*"=+-@＝＋－＠\t\r\n"}
    if not is_obeyed(text):
        assert of_cell(written) == text


def test_numbers_stay_numbers():
    rows = [[-4.2, -1, np.float64(-0.5).item(), True, None, float("nan")]]
    assert delimited(rows) == "-4.2,-1,-0.5,True,,nan\n"


def test_a_log_that_was_exported_has_the_same_names_again(tmp_path):
    names = ["run", "step", "loss", "-beta*kl", "=x"]
    (tmp_path / "log.csv").write_text(delimited([names, ["=r", 1, 0.5, -2.0, 3.0]]))
    log = read_run(tmp_path / "log.csv")
    assert {"loss", "-beta*kl", "=x"} <= {*log.series}


def test_only_one_place_writes_tables():
    for folder in ("app", "core"):
        for path in Path(folder).rglob("*.py"):
            found = re.findall(r"csv\.(?:Dict)?[wW]riter|\"\\t\"\.join", path.read_text())
            assert not found or path.as_posix() == "core/present/table.py", path


@pytest.mark.parametrize("text", OBEYED)
def test_a_terminal_obeys_nothing_that_is_said(text, tmp_path, capsys):
    """The name of a file, in an error of a command, of the window's options and of argparse."""
    name = text.replace("\x00", "")
    for argv in (
        ["data", str(tmp_path / name)],
        ["runs", str(tmp_path / name)],
        ["doctor", "--policy", str(tmp_path / name)],
        ["--run", str(tmp_path / name), "--screenshot", "x.png", "--view", name],
        ["score", "--" + name],
    ):
        try:
            assert main.main(argv) == 1
        except SystemExit as end:
            assert end.code == 2
        printed = capsys.readouterr()
        said = printed.out + printed.err
        assert said and not is_obeyed(said), argv


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_texts_of_a_file_are_printed_as_they_are(more, tmp_path, capsys):
    text = "".join(OBEYED) + "\tbold\nnext"
    row = {"prompt": "a", "chosen": text, "rejected": "c"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row))
    assert main.main(["data", str(tmp_path / "pairs.jsonl"), *more]) == 0
    printed = capsys.readouterr().out
    assert not is_obeyed(printed) and ("\tbold\nnext" in printed or more)
    if more:
        assert json.loads(printed)["pairs"][0]["chosen"] == text


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_progress_keeps_its_own_line_and_shows_what_is_foreign(monkeypatch):
    terminal = Terminal()
    with Reporter(terminal) as reporter:
        reporter.progress("reading \x1b[2Jx", 1.0)
        reporter.say("done \x9b")
    assert terminal.getvalue().count("\x1b") == terminal.getvalue().count("\r\x1b[K")
    assert "\x9b" not in terminal.getvalue() and "\\u001b[2Jx 100%" in terminal.getvalue()
