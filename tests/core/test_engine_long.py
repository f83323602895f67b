"""Scoring that takes long: it tells how far it is, gives way to the other response, goes on."""

import threading

import numpy as np
import pytest
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from core.engine.protocol import Load, PairSpec, Progress, Score, Scored, Stopped
from core.text import Prompt
from tests.core.test_engine import WAIT, Desk
from tests.tiny import save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
LONG = "a long text that is scored " * 30


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folders = save_pair(tmp_path_factory.mktemp("pair"))
    return PairSpec(policy=str(folders[0]), reference=str(folders[1]))


@pytest.fixture
def desk(spec):
    desk = Desk()
    desk.engine.start()
    desk.ask(Load(1, spec))
    yield desk
    assert desk.engine.close(WAIT)


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


def test_short_work_tells_nothing(desk):
    desk.engine.submit(Score(2, "A", PROMPT, text="short"))
    while (event := desk.events.get(timeout=WAIT)).id != 2:
        assert not isinstance(event, Progress)
    assert isinstance(event, Scored)
