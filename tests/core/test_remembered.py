"""Findings on disk: found again, or found anew where they do not hold or cannot be read."""

import json

import pytest

from core.models import remembered
from core.models.remembered import MOST, recall, remember


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("QSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_finding_is_of_its_subject_and_key():
    assert recall("ways", ["a", 1]) is None
    remember("ways", ["a", 1], ["TREE", True])
    remember("ways", ["a", 2], "PATH")
    assert recall("ways", ["a", 1]) == ["TREE", True] and recall("ways", ["a", 2]) == "PATH"
    assert recall("other", ["a", 1]) is None


def test_it_holds_for_the_same_code_and_libraries_only(monkeypatch):
    remember("ways", "a", 1)
    monkeypatch.setattr(remembered.transformers, "__version__", "0")
    assert recall("ways", "a") is None
    monkeypatch.undo()
    monkeypatch.setattr(remembered, "_code", lambda: "changed")
    assert recall("ways", "a") is None


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_what_cannot_be_read_is_found_anew(folder, text):
    folder.mkdir()
    (folder / "ways.json").write_text(text)
    assert recall("ways", "a") is None
    remember("ways", "a", 1)
    assert recall("ways", "a") == 1


def test_what_cannot_be_written_is_no_failure(folder):
    folder.write_text("a file where the folder should be")
    remember("ways", "a", 1)
    assert recall("ways", "a") is None


def test_the_oldest_findings_are_forgotten(folder):
    for number in range(MOST + 3):
        remember("ways", number, number)
    assert recall("ways", 2) is None and recall("ways", 3) == 3
    assert len(json.loads((folder / "ways.json").read_text())) == MOST
