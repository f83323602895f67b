"""A recording in the engine's place: the client's tickets hear it, and a real pair takes over."""

import pytest

from app.engine_client import EngineClient
from core.engine.protocol import (
    Examine,
    Examined,
    Failed,
    Load,
    Loaded,
    NoiseMeasured,
    PairSpec,
    Score,
    Scored,
    Stopped,
    Unload,
    Unloaded,
)
from core.recording import Recording
from tests.app.test_engine_client import Silent
from tests.core.made_recordings import FLOOR, INFO, LAST, PROMPT, made, scoring_of


class Spoken(Silent):
    """An engine whose answers the test gives; ``last`` is the one that was made last."""

    def __init__(self, emit):
        super().__init__(emit)
        Spoken.last = self


@pytest.fixture
def client(qtbot):
    client = EngineClient(Spoken)
    client.start()
    yield client
    client.close()


@pytest.fixture
def engine(client):
    return Spoken.last


@pytest.fixture
def hear(client, engine, qtbot):
    """Ask for something and return its answer; ``emit`` is done by the engine meanwhile."""

    def ask(kind, *args, emit=None, **more):
        heard = []
        ticket = client.ask(kind, *args, **more)
        for signal in (ticket.answered, ticket.failed, ticket.stopped):
            signal.connect(heard.append)
        if emit is not None:
            engine.emit(emit(ticket.request.id))
        qtbot.waitUntil(lambda: bool(heard))
        return heard[0]

    return ask


def load(hear):
    return hear(Load, PairSpec(policy="/p"), emit=lambda id: Loaded(id, INFO))


def test_what_is_answered_is_recorded(client, engine, hear):
    load(hear)
    scored = lambda id: Scored(id, "A", scoring_of("ab"), "<p>", LAST)  # noqa: E731
    event = hear(Score, "A", PROMPT, text="ab", emit=scored)
    assert next(client.recording.find(PROMPT, "ab")).scorings[LAST] is event.scoring
    before = client.recording
    kept = hear(Load, PairSpec(policy="/q"), emit=lambda id: Loaded(id, INFO, kept=True, why="No."))
    assert kept.kept and client.recording is before and before
    load(hear)
    assert client.recording is not before and not client.recording and before


def test_a_recording_answers_in_the_engines_place(client, engine, hear, qtbot):
    recording, floors = made(), []
    client.noise_measured.connect(floors.append)
    client.replay(recording)
    loaded = hear(Load, PairSpec(policy="/p"), recorded=True)
    assert isinstance(loaded, Loaded) and loaded.info.recorded and client.recording is recording
    qtbot.waitUntil(lambda: floors != [])
    assert isinstance(floors[0], NoiseMeasured) and floors[0].floor == FLOOR
    assert [type(it) for it in engine.requests] == [Unload]  # its own pair is let go
    count = len(recording.responses)
    event = hear(Score, "A", PROMPT, text="ab")
    assert event.scoring is next(recording.find(PROMPT, "ab")).scorings[LAST]
    missing = hear(Score, "A", PROMPT, text="never")
    assert isinstance(missing, Failed) and missing.needs_pair
    assert len(recording.responses) == count and len(engine.requests) == 1


def test_files_are_examined_by_the_engine_all_the_same(client, engine, hear):
    client.replay(made())
    hear(Load, PairSpec(), recorded=True)
    assert isinstance(hear(Examine, PairSpec(), emit=lambda id: Examined(id, ())), Examined)
    assert hear(Examine, PairSpec(), loaded=True).needs_pair


def test_files_that_are_examined_outlast_the_switch_to_the_pair(client, engine, hear, qtbot):
    client.replay(made())
    hear(Load, PairSpec(), recorded=True)
    behind, heard = client.load_behind(PairSpec(policy="/p")), []
    client.ask(Examine, PairSpec(policy="/q")).answered.connect(heard.append)
    engine.emit(Loaded(behind.request.id, INFO))
    engine.emit(Examined(engine.requests[-1].id, ()))
    qtbot.waitUntil(lambda: bool(heard))


def test_the_next_pair_that_is_loaded_is_a_real_one(client, engine, hear):
    recording = made()
    client.replay(recording)
    hear(Load, PairSpec(), recorded=True)
    hear(Score, "A", PROMPT, text="ab")
    loaded = load(hear)
    assert not loaded.info.recorded and Spoken.last is engine
    assert client.recording is not recording and recording
    event = hear(Score, "A", PROMPT, text="ab", emit=Stopped)
    assert isinstance(event, Stopped) and isinstance(engine.requests[-1], Score)


def test_what_was_recorded_goes_when_it_is_let_go(client, engine, hear):
    client.replay(made())
    hear(Load, PairSpec(), recorded=True)
    hear(Unload, emit=Unloaded)
    client.ask(Score, "A", PROMPT, text="ab")
    assert isinstance(engine.requests[-1], Score)


def test_an_empty_recording_answers_no_load(client, engine, hear):
    client.replay(Recording())
    assert hear(Load, PairSpec(), recorded=True).needs_pair
