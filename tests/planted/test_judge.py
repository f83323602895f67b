"""What counts as found, as by-catch and as false."""

import re

import pytest

from core.learned.record import Finding, Learned, Member, Method, MinimalPair, Weighed
from tests.planted.data import CONTROLS, PLANTED, pairs
from tests.planted.judge import HEAD, judged, summary

SPELLING = PLANTED[0]
SIDES = "chosen", "rejected"
METHOD = Method(9, 99, "made", 0.7, None, 0.1, 0.02, {}, False, 5, 1)


def finding(name: str, effect: float, other: str = "", agree: int = 10, of: int = 10) -> Finding:
    sign = 1 if effect > 0 else -1
    changes = [sign * 2.0] * agree + [-sign * 2.0] * (of - agree)
    return Finding(
        "mark", name, other, effect, 0.1, 9, "contexts", 9, 9, True,
        members=(Member(name, effect, 9),),
        pairs=tuple(MinimalPair(0, "a", "b", "b", it) for it in changes),
        status="confirmed" if of and agree >= 0.8 * of else "seen, not confirmed",
    )  # fmt: skip


def learned(*findings: Finding, weighed: dict[Finding, float] | None = None) -> Learned:
    known = tuple(Weighed(*it.key, effect, 0.1) for it, effect in (weighed or {}).items())
    return Learned(
        "p", "r", findings, (), (), (), (), METHOD, prompts=(), texts=(), weighed=known
    )  # fmt: skip


NO_MARK = finding("“!”", -3.0)
BRITISH = finding("British spellings", 1.5, "American spellings")
EMOJI = finding("emoji", -2.0)


def test_places_are_those_of_the_first_finding_that_tells_of_each():
    found = learned(EMOJI, NO_MARK, BRITISH)
    verdict = judged(SPELLING, found, learned())
    assert verdict.places == (3, 2) and verdict.found
    assert not judged(SPELLING, learned(NO_MARK), learned()).found
    late = learned(*[finding(f"x{n}", 1.0) for n in range(5)], NO_MARK, BRITISH)
    assert judged(SPELLING, late, learned()).places == (7, 6)
    assert not judged(SPELLING, late, learned()).found


@pytest.mark.parametrize(
    ("agree", "of", "held_out", "fate"),
    [
        (10, 10, -1.0, "holds"),
        (10, 10, None, "holds"),
        (0, 0, -1.0, "holds"),
        (0, 0, None, "untested"),
        (4, 4, None, "untested"),  # fewer than five minimal pairs say nothing
        (5, 10, -1.0, "false"),
        (10, 10, 1.0, "false"),
        (10, 10, -0.2, "false"),
    ],
)
def test_a_finding_that_fails_either_test_is_false(agree, of, held_out, fate):
    one = finding("emoji", -2.0, agree=agree, of=of)
    again = learned(weighed={} if held_out is None else {one: held_out})
    verdict = judged(SPELLING, learned(one), again)
    assert [it.fate for it in verdict.findings] == [fate]
    assert len(verdict.bycatch) == (fate == "holds")


def test_the_summary_counts_preferences_false_ones_and_controls():
    good = judged(SPELLING, learned(NO_MARK, BRITISH), learned(weighed={NO_MARK: -2.0}))
    bad = judged(PLANTED[1], learned(finding("emoji", 2.0, agree=0)), learned())
    quiet = judged(CONTROLS[0], learned(), learned())
    loud = judged(CONTROLS[1], learned(EMOJI), learned())
    assert quiet.found and not loud.found
    text = summary([good, bad, quiet, loud])
    assert "1 of 2; preferences 2 of 4" in text
    assert "Of 3 findings 1 are false (33%): 1 fail on minimal pairs" in text
    assert "0 of 1 on the held-out corpus" in text
    assert "Findings of 2 controls: 1." in text
    assert "- figures, false: prefers emoji +2.00 (held out –, minimal pairs 0/10)" in text
    columns = {line.count("|") for line in [*HEAD.splitlines(), good.line(), quiet.line()]}
    assert columns == {11}


@pytest.mark.parametrize("planted", [*PLANTED, *CONTROLS], ids=lambda it: it.name)
def test_sides_differ_and_a_control_has_each_feature_on_both(planted):
    rows = pairs(planted)
    assert len(rows) == 320 and all(row["chosen"] != row["rejected"] for row in rows)
    assert rows == pairs(planted)
    if planted.style is None:
        for feature in "colour", "color", "!", "by", "green", "because", "[😀🌿🎉🚀☕🌞]", r"\d+":
            pattern = re.compile(rf"(?<!\w){feature}(?!\w)")
            sides = [sum(bool(pattern.search(row[it])) for row in rows) for it in SIDES]
            assert sum(sides) < 10 or min(sides) / max(sides) > 0.5, (feature, sides)


def test_the_patterns_of_what_is_planted_can_be_read():
    assert all(re.compile(pattern) for it in PLANTED for pattern in it.wanted)
