"""The pairs that ship and were taught something: whole, small, and what their reports say."""

import json

from core.checkpoints.describe import describe
from core.learned.examples import examples
from core.learned.report import as_json
from core.learned.saved import read
from tests.core.made_learned import learned
from tests.planted.data import PLANTED
from tests.planted.judge import FIRST, judged
from tests.planted.ship import LARGEST


def write(folder, says="British spellings", report=b"{}"):
    for part in "dpo", "sft":
        (folder / f"{folder.name}-{part}").mkdir(parents=True)
    (folder / "learned.json").write_bytes(report)
    (folder / "about.json").write_text(json.dumps({"says": says, "beta": 0.3}), encoding="utf-8")


def test_examples_are_those_that_are_whole_by_name(tmp_path):
    assert examples(tmp_path / "nowhere") == ()
    write(tmp_path / "spelling")
    write(tmp_path / "lists", "lists")
    write(tmp_path / "bare")
    (tmp_path / "bare" / "learned.json").unlink()
    write(tmp_path / "odd")
    (tmp_path / "odd" / "about.json").write_text("[1", encoding="utf-8")
    found = examples(tmp_path)
    assert [(it.name, it.says) for it in found] == [
        ("lists", "lists"), ("spelling", "British spellings"),
    ]  # fmt: skip
    assert found[1].spec.policy == str(tmp_path / "spelling" / "spelling-dpo")
    assert found[1].spec.reference == str(tmp_path / "spelling" / "spelling-sft")
    assert found[1].spec.beta == 0.3
    assert found[1].report == tmp_path / "spelling" / "learned.json"


def test_what_ships_is_small_and_its_reports_tell_what_was_planted():
    planted = {it.name: it for it in PLANTED}
    shipped = examples()
    assert len(shipped) >= 2
    for it in shipped:
        files = [path for path in it.report.parent.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= LARGEST + 1_000_000
        for path in it.spec.policy, it.spec.reference:
            assert describe(path).kind == "adapter"
        assert it.says == planted[it.name].says
        verdict = judged(planted[it.name], read(it.report), learned())
        assert all(place is not None and place <= FIRST for place in verdict.places), it.name


def test_a_saved_report_of_an_example_is_read(tmp_path):
    write(tmp_path / "one", report=as_json(learned()))
    assert read(examples(tmp_path)[0].report) == learned()
