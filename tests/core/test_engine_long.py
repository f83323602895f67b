"""Scoring that takes long: it tells how far it is, makes way for the other response and for looks,
and goes on."""

import itertools
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from core.engine.protocol import (
    Inspect,
    Inspected,
    Load,
    PairSpec,
    Progress,
    Score,
    Scored,
    StateRef,
    Stopped,
    Survey,
)
from core.text import Prompt
from tests.core.test_engine import WAIT, Desk
from tests.tiny import save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
LONG = "a long text that is scored " * 30


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folders = save_pair(tmp_path_factory.mktemp("pair"))
    return PairSpec(policy=str(folders[0]), reference=str(folders[1]))


@pytest.fixture(autouse=True)
def _no_noise(monkeypatch):
    """The engine asks itself for nothing meanwhile."""
    monkeypatch.setattr("core.engine.loop.QUIET", 3600.0)


@contextmanager
def loaded(spec, **more):
    """An engine with a pair; ``clock`` tells it the seconds."""
    desk = Desk(**more)
    desk.engine.start()
    desk.ask(Load(1, spec))
    yield desk
    assert desk.engine.close(WAIT)


@pytest.fixture
def desk(spec):
    with loaded(spec) as desk:
        yield desk


@pytest.fixture
def in_no_time(spec):
    """An engine for which nothing takes long."""
    with loaded(spec, clock=lambda: 0.0) as desk:
        yield desk


@pytest.fixture
def gate(monkeypatch):
    """Lets no layer run while it is closed, on texts of more than 100 tokens."""
    opened, entered = threading.Event(), threading.Event()
    forward = LlamaDecoderLayer.forward

    def slow(self, hidden, *args, **more):
        if hidden.shape[1] > 100:
            entered.set()
            assert opened.wait(WAIT)
        return forward(self, hidden, *args, **more)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", slow)
    return opened, entered


def answers(desk, *ids):
    """The final answers to these requests, in the order in which they come."""
    found = []
    while len(found) < len(ids):
        event = desk.events.get(timeout=WAIT)
        if event.id in ids and not isinstance(event, Progress):
            found.append(event)
    return found


def test_a_newer_key_press_in_the_other_response_goes_first(desk, gate, monkeypatch):
    monkeypatch.setattr("core.engine.loop.LONG", 0.0)
    opened, entered = gate
    desk.engine.submit(Score(2, "A", PROMPT, text=LONG))
    assert entered.wait(WAIT)
    desk.engine.submit(Score(3, "B", PROMPT, text="short"))
    opened.set()
    short, long = answers(desk, 2, 3)
    assert (short.id, long.id) == (3, 2)
    assert isinstance(short, Scored) and isinstance(long, Scored)
    again = desk.ask(Score(4, "A", PROMPT, text=LONG, fresh=True))
    assert again.scoring.computed == 0
    assert np.array_equal(again.scoring.logp_policy, long.scoring.logp_policy)


def test_what_has_given_way_is_overtaken_and_cancelled_as_any_other(desk, gate, monkeypatch):
    monkeypatch.setattr("core.engine.loop.LONG", 0.0)
    opened, entered = gate
    desk.engine.submit(Score(2, "A", PROMPT, text=LONG))
    assert entered.wait(WAIT)
    desk.engine.submit(Score(3, "B", PROMPT, text="short"))
    desk.engine.submit(Score(4, "A", PROMPT, text="short too"))
    opened.set()
    kinds = {event.id: type(event) for event in answers(desk, 2, 3, 4)}
    assert kinds == {2: Stopped, 3: Scored, 4: Scored}


def scored_alone(spec, text):
    """The scoring of A, after a short B, by an engine that is asked for nothing else."""
    with loaded(spec) as desk:
        desk.ask(Score(2, "B", PROMPT, text="short"))
        return desk.ask(Score(3, "A", PROMPT, text=text)).scoring


def same(one, other):
    """Whether two scorings hold the same numbers, to the last bit."""
    columns = ("ids", "logp_policy", "logp_reference", "kl", "entropy_policy", "logit", "logsumexp")
    return all(np.array_equal(getattr(one, it), getattr(other, it)) for it in columns)


def test_a_look_goes_before_what_is_left_of_a_scoring(spec, desk, gate, monkeypatch):
    monkeypatch.setattr("core.engine.loop.LONG", 0.0)
    opened, entered = gate
    state = StateRef.before(desk.ask(Score(2, "B", PROMPT, text="short")).scoring, 1, PROMPT)
    before, surveyed = desk.ask(Inspect(3, state)), desk.ask(Survey(4, state))
    desk.engine.submit(Score(5, "A", PROMPT, text=LONG))
    assert entered.wait(WAIT)
    desk.engine.submit(Inspect(6, state))
    desk.engine.submit(Survey(7, state))
    opened.set()
    *looks, long = answers(desk, 5, 6, 7)
    assert [it.id for it in looks] == [6, 7] and isinstance(long, Scored)
    assert looks[0].inspection == before.inspection
    assert np.array_equal(looks[1].actions.logp_policy, surveyed.actions.logp_policy)
    assert same(long.scoring, scored_alone(spec, LONG))


@pytest.mark.parametrize("now, first", [(0.0, 3), (1.0, 4)])
def test_a_look_waits_for_what_is_nearly_done_but_not_for_what_becomes_long(spec, gate, now, first):
    time, (opened, entered) = 0.0, gate
    with loaded(spec, clock=lambda: time) as desk:
        state = StateRef.before(desk.ask(Score(2, "B", PROMPT, text="short")).scoring, 1, PROMPT)
        desk.engine.submit(Score(3, "A", PROMPT, text=LONG))
        assert entered.wait(WAIT)
        desk.engine.submit(Inspect(4, state))  # the scoring is not long yet
        time = now
        opened.set()
        assert answers(desk, 3, 4)[0].id == first


def test_looks_without_end_keep_no_scoring_from_its_end(spec, desk, monkeypatch):
    monkeypatch.setattr("core.engine.loop.LONG", 0.0)
    monkeypatch.setattr("core.models.pair.CPU_PATH_TOKENS", 128)
    state = StateRef.before(desk.ask(Score(2, "B", PROMPT, text="short")).scoring, 1, PROMPT)
    looks, forward = itertools.count(10), LlamaDecoderLayer.forward

    def watched(self, hidden, *args, **more):
        if hidden.shape[1] > 100:
            desk.engine.submit(Inspect(next(looks), state))
        return forward(self, hidden, *args, **more)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", watched)
    long = desk.ask(Score(3, "A", PROMPT, text=LONG))
    monkeypatch.setattr(LlamaDecoderLayer, "forward", forward)
    assert isinstance(long, Scored) and next(looks) > 20
    assert same(long.scoring, scored_alone(spec, LONG))


def test_an_edit_goes_before_what_is_left_of_a_look(in_no_time, gate):
    desk, (opened, entered) = in_no_time, gate
    opened.set()
    scoring = desk.ask(Score(2, "A", PROMPT, text=LONG)).scoring
    state = StateRef.before(scoring, len(scoring) - 2, PROMPT)
    before = desk.ask(Inspect(3, state))
    desk.engine.session.pair.evict_kv()  # what led to the state is run anew
    opened.clear()
    entered.clear()
    desk.engine.submit(Inspect(4, state))
    assert entered.wait(WAIT)
    desk.engine.submit(Score(5, "B", PROMPT, text="short"))
    opened.set()
    edit, look = answers(desk, 4, 5)
    assert isinstance(edit, Scored) and isinstance(look, Inspected)
    found, expected = look.inspection.by_policy, before.inspection.by_policy
    assert [it.id for it in found] == [it.id for it in expected]
    logp = pytest.approx([it.logp_policy for it in expected], abs=1e-5)
    assert [it.logp_policy for it in found] == logp


def test_cancelling_one_response_leaves_the_other(desk, gate):
    opened, entered = gate
    desk.engine.submit(Score(2, "A", PROMPT, text=LONG))
    assert entered.wait(WAIT)
    desk.engine.submit(Score(3, "B", PROMPT, text="short"))
    desk.engine.cancel(Score, "A")
    opened.set()
    kinds = {event.id: type(event) for event in answers(desk, 2, 3)}
    assert kinds == {2: Stopped, 3: Scored}


def test_of_two_that_wait_the_shorter_goes_first():
    desk = Desk()
    for request in (Score(2, "A", PROMPT, text=LONG), Score(3, "B", PROMPT, text="short")):
        desk.engine.submit(request)
    desk.engine.start()  # without a pair both are refused, in the order of their turns
    assert [event.id for event in answers(desk, 2, 3)] == [3, 2]
    assert desk.engine.close(WAIT)


def test_progress_rises_to_the_end(desk, monkeypatch):
    monkeypatch.setattr("core.progress.SOON", 0.0)
    monkeypatch.setattr("core.progress.BETWEEN", 0.0)
    desk.engine.submit(Score(2, "A", PROMPT, text=LONG))
    told = []
    while isinstance(event := desk.events.get(timeout=WAIT), Progress) or event.id != 2:
        if isinstance(event, Progress):
            told.append(event.fraction)
    assert isinstance(event, Scored)
    assert len(told) > 4 and told == sorted(told)
    assert 0 <= told[0] < 0.5 < told[-1] <= 1


def test_short_work_tells_nothing(desk, monkeypatch):
    monkeypatch.setattr("core.progress.SOON", 3600.0)
    desk.engine.submit(Score(2, "A", PROMPT, text="short"))
    while (event := desk.events.get(timeout=WAIT)).id != 2:
        assert not isinstance(event, Progress)
    assert isinstance(event, Scored)
