"""The core's sentences in the window's words: no option of a pair is left in them."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from app.words import FIELDS, in_window
from core.commands import options

ROOT = Path(__file__).parents[2]


def sentences():
    """Texts in the core that name an option of any command, what is filled in left out."""
    parser = argparse.ArgumentParser(add_help=False)
    options.add_pair_arguments(parser)
    names = {name for action in parser._actions for name in action.option_strings}
    for path in (ROOT / "core" / "commands").glob("*.py"):
        names |= set(re.findall(r"\"(--[a-z][a-z-]+)\"", path.read_text("utf-8")))
    any_of = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    named = re.compile(f"(?:{any_of})(?![a-z_-])")
    for path in sorted((ROOT / "core").rglob("*.py")):
        if "commands" in path.parts:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        inside = {id(part) for it in ast.walk(tree) if isinstance(it, ast.JoinedStr)
                  for part in it.values}  # fmt: skip
        for node in ast.walk(tree):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            if id(node) in inside:
                continue
            text = "".join(
                str(it.value) if isinstance(it, ast.Constant) else "X"
                for it in parts
                if isinstance(it, ast.Constant | ast.FormattedValue)
            )
            text = re.sub(r"'[\w.-]+ [^']*--[^']*'", "", text)  # a command of another tool
            if " " in text and named.search(text):
                yield pytest.param(text, named, id=f"{path.name}:{node.lineno}")


@pytest.mark.parametrize(("text", "named"), list(sentences()))
def test_no_option_is_left(text, named):
    assert not named.search(in_window(text)), in_window(text)


def test_words_of_each_kind():
    assert in_window("It fits none: pass the whole model with --base DIR.") == (
        "It fits none: pass the whole model as “Base” in Open a pair."
    )
    assert in_window("It is risky: pass --allow-pickle if you trust it.") == (
        "It is risky: tick “Load pickled weights” in Open a pair if you trust it."
    )
    assert in_window("Too large: choose --dtype bfloat16, or choose --device cpu.") == (
        "Too large: choose the number format bfloat16, or choose the device cpu."
    )
    assert in_window("a is there: name another with --out, or begin anew with --anew.") == (
        "a is there: name another, or begin anew with “Begin anew”."
    )
    assert in_window("Say which is which with --columns prompt=…,chosen=… or prompt=….") == (
        "Say which is which at “Columns”."
    )
    assert in_window("Name a file with more, or leave --data out for the neutral corpus.") == (
        "Name a file with more, or choose the neutral corpus."
    )
    assert in_window("Run 'tool --merge it'.") == "Run 'tool --merge it'."


def test_fields_are_those_of_the_dialog(qtbot):
    from PySide6.QtWidgets import QCheckBox, QLabel

    from app.open_dialog import OpenDialog
    from core.engine.protocol import PairSpec

    dialog = OpenDialog(PairSpec(), ())
    qtbot.addWidget(dialog)
    parts = [*dialog.findChildren(QLabel), *dialog.findChildren(QCheckBox)]
    shown = " | ".join(part.text() for part in parts).replace("&", "").lower()
    assert all(name.lower() in shown for name in FIELDS.values())
