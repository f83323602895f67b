"""The engine measures the noise of each pair by itself, and lets all else go first."""

import threading
import time

import numpy as np
import pytest

from core.engine import loop as engine
from core.engine.protocol import (
    Load,
    Loaded,
    MeasureNoise,
    NoiseMeasured,
    PairSpec,
    Replay,
    ReplayDone,
    Replayed,
    Score,
    Scored,
    Scrub,
    Stopped,
    Unload,
    Unloaded,
)
from core.errors import Cancelled
from core.models.noise import Measurement
from core.runs.records import START
from core.text import Prompt
from tests.core.test_engine import WAIT, Desk
from tests.tiny import save_pair, save_run

PROMPT = Prompt.of("Summarise this post in one sentence.")
TEXT = "They offered $53K a year."


@pytest.fixture
def spec(tmp_path):
    policy, reference = save_pair(tmp_path)
    return PairSpec(policy=str(policy), reference=str(reference), dtype="bfloat16")


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(engine, "QUIET", 0.01)
    desk = Desk()
    yield desk
    assert desk.engine.close(WAIT)


def measured(desk, id):
    """The noise of the pair that was loaded by a request."""
    event = desk.answer(id)
    while isinstance(event, Loaded):
        event = desk.answer(id)
    assert isinstance(event, NoiseMeasured)
    return event.floor


def held_up(monkeypatch):
    """The first measurement goes on until it is stopped; the event says that it has begun."""
    begun, whole = threading.Event(), Measurement.finish

    def finish(self, cancelled):
        if begun.is_set():
            return whole(self, cancelled)
        begun.set()
        while not cancelled():
            time.sleep(0.002)
        raise Cancelled

    monkeypatch.setattr(Measurement, "finish", finish)
    return begun


def test_a_pair_is_measured_after_what_was_asked(desk, spec):
    desk.engine.submit(Load(1, spec))
    desk.engine.submit(Score(2, "A", PROMPT, text=TEXT))
    desk.engine.start()
    kinds = []
    while NoiseMeasured not in kinds:
        kinds.append(type(event := desk.events.get(timeout=WAIT)))
    assert kinds[-3:] == [Loaded, Scored, NoiseMeasured] and event.id == 1
    assert event.floor.dtype == "bfloat16" and event.floor.matters


def test_nothing_is_measured_while_things_are_asked(monkeypatch, desk, spec):
    monkeypatch.setattr(engine, "QUIET", 1000.0)
    desk.engine.start()
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    for id in range(2, 6):
        assert isinstance(desk.ask(Score(id, "A", PROMPT, text=TEXT * id)), Scored)
    assert desk.engine.close(WAIT) and desk.events.empty()


def test_what_is_asked_meanwhile_goes_first(monkeypatch, desk, spec):
    begun = held_up(monkeypatch)
    desk.engine.start()
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    assert begun.wait(WAIT)
    assert isinstance(desk.ask(Score(2, "A", PROMPT, text=TEXT)), Scored)
    assert measured(desk, 1).matters
    more = desk.ask(Score(3, "A", PROMPT, text=TEXT + " Yes."))
    assert 0 < more.scoring.computed < 8


@pytest.mark.parametrize("after", [Unload(2), Load(2, PairSpec(policy="/nowhere"))])
def test_another_pair_ends_the_measurement(monkeypatch, desk, spec, after):
    begun = held_up(monkeypatch)
    desk.engine.start()
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    assert begun.wait(WAIT)
    desk.engine.submit(after)
    assert isinstance(desk.answer(1), Stopped)  # the measurement: the load was answered
    assert isinstance(desk.answer(2), Unloaded | Loaded)


def test_it_can_be_cancelled(monkeypatch, desk, spec):
    begun = held_up(monkeypatch)
    desk.engine.start()
    assert isinstance(desk.ask(Load(1, spec)), Loaded)
    assert begun.wait(WAIT)
    desk.engine.cancel(MeasureNoise)
    assert isinstance(desk.answer(1), Stopped)
    assert isinstance(desk.ask(Score(2, "A", PROMPT, text=TEXT)), Scored)


def test_a_replay_goes_first(monkeypatch, desk, tmp_path):
    _, run = save_run(tmp_path)
    begun = held_up(monkeypatch)
    desk.engine.start()
    loaded = desk.ask(Load(1, PairSpec(run=str(run), dtype="bfloat16")))
    assert begun.wait(WAIT)
    assert isinstance(desk.ask(Score(2, "A", PROMPT, text=TEXT)), Scored)
    desk.engine.submit(Replay(3, tuple(c.path for c in loaded.info.checkpoints)))
    answers = [desk.answer(3) for _ in range(5)]
    assert [type(event) for event in answers] == [Replayed] * 4 + [ReplayDone]
    assert measured(desk, 1).matters


def test_at_the_start_of_a_run_the_last_checkpoint_is_measured(desk, tmp_path):
    """There the policy is the reference, whose difference has no noise; and it stays shown."""
    _, run = save_run(tmp_path)
    desk.engine.submit(Load(1, PairSpec(run=str(run), dtype="bfloat16")))
    desk.engine.submit(Score(2, "A", PROMPT, text=TEXT))
    desk.engine.submit(Scrub(3, START))
    desk.engine.start()
    assert measured(desk, 1).matters
    shown = desk.ask(Score(4, "A", PROMPT, text=TEXT + " Yes.")).scoring
    assert np.array_equal(shown.logp_policy, shown.logp_reference)
