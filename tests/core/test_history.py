"""The history of texts: against a plain list of what was done, and words written out by hand."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from core import history
from core.history import History, Reached, State, changed_text, what_changed
from core.scoring import Scoring
from core.text import Message, Prompt, Tokens

PROMPT = Prompt.of("Why?")


def scoring(text, ids=None, logps=0.0):
    """Return a scoring with a token for each character, and a closing one."""
    ids = tuple(map(ord, text)) if ids is None else ids
    n = len(ids)
    places = tuple(range(n))
    ends, pieces = tuple(i + 1 for i in places), tuple(t.encode() for t in text)
    tokens = Tokens(text, ids, places, ends, pieces, (False,) * n)
    zeros = np.zeros(n + 1)
    return Scoring(
        tokens, np.array([*ids, 0]), (*text, "<end>"), zeros + logps, zeros, zeros, zeros, zeros,
        zeros, zeros, zeros, zeros, zeros, 0, zeros, 0, 0, 0.0,
    )  # fmt: skip


def take(one, a, b="b", prompt=PROMPT, **more):
    return one.take(prompt, scoring(a), scoring(b), **more)


def texts(one):
    return [(it.state.a.text, it.state.b.text) for it in one]


def test_going_back_and_editing_loses_nothing():
    one = History()
    for a in ("x", "xy", "xyz"):
        take(one, a)
    take(one, "xy")  # back, as undo or a click would
    assert one.now == 2 and len(one) == 3
    point = take(one, "xq")
    assert texts(one) == [("x", "b"), ("xy", "b"), ("xyz", "b"), ("xq", "b")]
    assert (point.changed, point.side) == ("xy → xq", "A")
    assert one.neighbour(-1).number == 3 and one.neighbour(1) is None


def test_another_beta_needs_no_model():
    one = History()
    point = one.take(PROMPT, scoring("ab", logps=1.0), scoring("b", logps=-0.5))
    assert point.numbers(0.5).sum_a == pytest.approx(1.5)
    assert point.numbers(2.0).sum_a == pytest.approx(6.0)
    assert point.numbers(2.0).margin == pytest.approx(6.0 + 2.0)


def test_typing_within_a_burst_is_one_point():
    one = History()
    take(one, "They ", typed=True, at=0.0)
    for a, at in (("They s", 10.0), ("They sa", 10.5), ("They say", 11.2)):
        point = take(one, a, typed=True, at=at)
    assert (len(one), point.changed) == (2, "+ say")
    take(one, "They say n", typed=True, at=20.0)
    assert len(one) == 3, "a rest ends it"
    take(one, "They say n", "bc", typed=True, at=20.1)
    assert len(one) == 4, "another response"
    one.rename(4, "here")
    take(one, "They say n", "bcd", typed=True, at=20.2)
    assert [it.name for it in one] == ["", "", "", "here", ""]


def test_what_is_chosen_is_a_point_however_quick():
    one = History()
    for a in ("a", "c", "d"):
        take(one, a, at=1.0)
    assert len(one) == 3


def test_the_oldest_without_a_name_goes(monkeypatch):
    monkeypatch.setattr(history, "MOST", 3)
    one = History()
    take(one, "a")
    one.rename(1, "  kept\n for ever ")
    for a in "bcde":
        take(one, a)
    assert [it.name for it in one] == ["kept for ever", "", ""]
    assert texts(one) == [("a", "b"), ("d", "b"), ("e", "b")]


def test_scorings_of_long_ago_go_and_stay_away(monkeypatch):
    monkeypatch.setattr(history, "MOST_TOKENS", 12)
    one = History()
    for a in ("aaaa", "cccc", "dddd"):
        take(one, a, "b")
    assert [it.scorings is not None for it in one] == [False, False, True]
    assert one.unknown() == []
    one.forget_numbers()
    assert [it.number for it in one.unknown()] == [3, 2, 1]


def test_another_vocabulary_keeps_the_points():
    one = History()
    take(one, "ab")
    take(one, "cd")
    one.forget_numbers(tokens_too=True)
    assert all(it.state.a.ids is None and it.scorings is None for it in one)
    again = one.take(PROMPT, scoring("ab", (7, 8)), scoring("b"), "/checkpoint")
    assert (again.number, again.state.a.ids, again.checkpoint) == (1, (7, 8), "/checkpoint")
    one.put_scorings(2, scoring("cd", (9, 9)), scoring("b"))
    assert [it.number for it in one.unknown("/checkpoint")] == [2]
    assert take(one, "cd").number == 3, "other tokens are another state"


def test_points_of_another_time():
    one, two = History(), History()
    take(one, "a")
    take(one, "b")
    two.restore([*one], 1)
    assert two.current().state.a.text == "a"
    assert take(two, "c").number == 3
    assert take(two, "b").number == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("for $53K a year", "for $250K a year", "$53K → $250K"),
        ("a job", "a new job", "+ new"),
        ("a new job", "a job", "− new"),
        ("a  job", "a job", "white space"),
        ("", "word", "+ word"),
        ("one two three", "one 2 three", "two → 2"),
        ("x " + "y" * 50 + " z", "x w z", "yyyyyyyyyyyyy…yyyyyyyyyyyyy → w"),
    ],
)
def test_words_of_a_change(old, new, said):
    assert changed_text(old, new) == said


def test_which_text_has_changed():
    a, b = Reached("one", (1,)), Reached("two", (2,))
    before = State(PROMPT, a, b)
    assert what_changed(before, State(PROMPT, b, a)) == ("", "A ⇄ B")
    assert what_changed(before, State(PROMPT, a, a)) == ("B", "copied from A")
    assert what_changed(before, State(PROMPT, Reached("one", (3,)), b)) == (
        "A",
        "other tokens, the same text",
    )
    assert what_changed(before, State(Prompt.of("How?"), a, b)) == ("", "prompt: Why? → How?")
    more = Prompt((*PROMPT.messages, Message("assistant", "x")))
    assert what_changed(before, State(more, a, b)) == ("", "prompt: other turns")
    assert what_changed(before, State(more, a, a)) == ("", "other texts")


class AnyOrder(RuleBasedStateMachine):
    """Edits, steps back and names in any order, beside a list of all states in their order."""

    def __init__(self):
        super().__init__()
        self.one, self.seen, self.now = History(), [], None

    @rule(a=st.sampled_from(["", "a", "ab", "abc", "b c"]), b=st.sampled_from(["", "x", "x y"]))
    def edit(self, a, b):
        take(self.one, a, b)
        self.now = (a, b)
        if self.now not in self.seen:
            self.seen.append(self.now)

    @rule(by=st.sampled_from([-2, -1, 1, 2]))
    def step(self, by):
        there = self.one.neighbour(by)
        if self.now is None:
            assert there is None
            return
        place = self.seen.index(self.now) + by
        if not 0 <= place < len(self.seen):
            assert there is None
            return
        self.now = self.seen[place]
        assert (there.state.a.text, there.state.b.text) == self.now
        self.one.take(there.state.prompt, *there.scorings)

    @rule(name=st.text(max_size=5))
    def name(self, name):
        self.one.rename(self.one.now, name)

    @rule()
    def another_load(self):
        self.one.forget_numbers()
        for point in self.one.unknown():
            self.one.put_scorings(
                point.number, scoring(point.state.a.text), scoring(point.state.b.text)
            )

    @invariant()
    def all_are_there(self):
        assert texts(self.one) == self.seen
        current = self.one.current()
        assert (self.now is None) == (current is None)
        if current is not None:
            assert (current.state.a.text, current.state.b.text) == self.now


TestAnyOrder = AnyOrder.TestCase
