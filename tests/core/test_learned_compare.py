"""Two reports beside each other: what is of one alone, and what can be said of the difference."""

import json
import math
from dataclasses import replace

import pytest

import main
from core.errors import UserFacingError
from core.learned.compare import compared
from core.learned.record import Member, Weighed
from core.learned.report import as_json, as_page, as_text
from core.learned.saved import read
from tests.core.made_learned import MARK, PROPERTY, SPELLING, TEXTS, learned


def weighed(finding, effect, error):
    return Weighed(*finding.key, effect, error)


def rows(here, there):
    return [(it.finding.name, it.where) for it in compared(here, there).rows]


def test_a_report_shares_all_with_itself():
    found = compared(learned(), learned())
    assert [it.where for it in found.rows] == ["both"] * 3 and not found.notes
    assert all(it.here == it.there and it.apart is False for it in found.rows)


def test_what_is_of_one_alone_is_judged_by_the_interval_of_the_difference():
    here = learned([MARK, SPELLING])
    near = weighed(MARK, -1.2, 0.2)  # −1.46 ± 0.15 is not to be told from it
    far = weighed(SPELLING, 0.1, 0.2)  # 2.31 ± 0.3 is
    there = learned([PROPERTY], weighed=(near, far), policy="other")
    found = compared(here, there)
    assert rows(here, there) == [
        ("“!”", "only here"),
        ("British spellings", "only here"),
        ("responses with many commas", "only there"),
    ]
    assert [it.apart for it in found.rows] == [False, True, None]
    for row, (effect, error) in zip(found.rows, ((-1.2, 0.2), (0.1, 0.2)), strict=False):
        assert (row.there.effect, row.there.error) == (effect, error)
        difference = abs(row.here.effect - effect)
        assert row.apart == (difference > 1.96 * math.hypot(row.here.error, error))
    assert found.rows[2].there.effect == PROPERTY.effect and found.rows[2].here is None
    assert found.rows[0].figures == ("here -1.46 ± 0.29, there -1.20 ± 0.39: not to be told apart")
    assert "not weighed here" in found.rows[2].figures


def test_families_with_most_members_alike_are_the_same():
    members = (Member("harbor", -2.0, 2), Member("labor", -1.5, 1), Member("odor", -1.0, 1))
    family = replace(
        MARK, kind="ending", name="words that end in -bor", members=members, exceptions=()
    )
    other = replace(family, kind="family", name="words like “harbor”", members=members[:2])
    assert rows(learned([family]), learned([other])) == [(family.name, "both")]
    few = replace(other, members=members[:1])
    assert rows(learned([family]), learned([few])) == [
        (family.name, "only here"),
        (few.name, "only there"),
    ]


def test_what_is_called_by_its_other_side_is_turned():
    """“prefers British spellings” and “avoids words in -or” say the same, with opposite signs."""
    members = (Member("harbor", -3.0, 2), Member("labor", -2.0, 2))
    one = replace(SPELLING, members=members, exceptions=())
    two = replace(
        MARK, kind="ending", name="words in -or", effect=-2.5, members=members, exceptions=()
    )
    (row,) = compared(learned([one]), learned([two])).rows
    assert row.where == "both" and row.here.effect == 2.31 and row.there.effect == 2.5
    gone = replace(two, effect=2.5, members=tuple(replace(it, effect=3.0) for it in members))
    (row,) = compared(learned([one]), learned([gone])).rows
    assert row.there.effect == -2.5 and "opposite ways" in row.figures


def test_other_responses_and_an_unknown_base_are_said():
    there = learned(texts=TEXTS[:5], findings=(), over=())
    there = replace(there, method=replace(there.method, base=False, corpus="mine.jsonl"))
    notes = compared(learned(), there).notes
    assert "other responses (the neutral corpus; mine.jsonl)" in notes[0]
    assert "base is not known" in notes[1]


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    here.write_bytes(as_json(learned()))
    there.write_bytes(as_json(learned([SPELLING], policy="runs/<other>")))
    return here, there


def test_what_is_saved_is_read_again(files):
    assert read(files[0]) == learned()


def test_saved_reports_are_compared_without_models(files, capsys, tmp_path):
    here, there = files
    argv = ["learned", "--saved", str(here), "--against", str(there)]
    assert main.main(argv) == 0
    said = capsys.readouterr().out
    assert "Compared with runs/<other>" in said
    only, both = said.index("Only here"), said.index("Both")
    assert only < said.index("avoids “!”  here -1.46") < both
    assert both < said.index("prefers British spellings to American spellings  here")
    assert main.main([*argv, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)["against"]
    assert [it["where"] for it in table["rows"]] == ["only here", "only here", "both"]
    page = tmp_path / "page.html"
    assert main.main([*argv, "--html", str(page)]) == 0
    text = page.read_text("utf-8")
    assert "Compared with runs/&lt;other&gt;" in text and "It appeared by step 20 of 30." in text


def test_the_page_and_the_text_say_when_a_finding_appeared():
    text, page = as_text(learned()), as_page(learned())
    assert (
        "It appeared by step 20 of 30." in text
        and "step 0 +0.00, step 10 -0.29, step 20 -1.31" in text
    )
    assert page.count('<svg class="over"') == 3 and "step 30</text>" in page
    assert '<svg class="over"' not in as_page(learned(over=()))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-9],
        lambda data: b"[]",
        lambda data: data.replace(b'"error":0.15', b'"error":NaN'),
        lambda data: data.replace(b'"error":0.15', b'"error":"x"'),
        lambda data: data.replace(b'"response":4', b'"response":99', 1),
        lambda data: b"\xff\xfe",
    ],
)
def test_what_is_no_report_is_said_in_a_sentence(files, change):
    files[0].write_bytes(change(files[0].read_bytes()))
    with pytest.raises(UserFacingError, match="is no report of what a pair has learned"):
        read(files[0])


def test_wrong_usage(files, capsys, tmp_path):
    saved = ["--saved", str(files[0])]
    for more in (["--demo", *saved], ["--data", "x", *saved], ["--demo", "--over-checkpoints"]):
        with pytest.raises(SystemExit):
            main.main(["learned", *more])
        capsys.readouterr()
    assert main.main(["learned", "--saved", str(tmp_path / "no.json")]) == 1
    assert "no.json cannot be read" in capsys.readouterr().err
