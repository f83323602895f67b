"""What is asked of the engine is answered on the GUI thread, in order, by its own ticket."""

import threading
import weakref
from dataclasses import replace

import pytest
from PySide6.QtCore import QCoreApplication, QEvent

from app.engine_client import EngineClient, JobTicket, Ticket
from core.engine.protocol import (
    Failed,
    FilesChanged,
    Inspect,
    Load,
    Loaded,
    Memory,
    NoiseMeasured,
    PairSpec,
    Progress,
    Replay,
    ReplayDone,
    Replayed,
    Resume,
    Score,
    Scored,
    Scrub,
    Scrubbed,
    Search,
    StateRef,
    Stopped,
    Survey,
    Surveyed,
    Sweep,
    Unload,
)
from core.search.spec import SearchSpec
from core.search.strategies.beam import Beam
from core.text import Prompt
from tests.app.fake_engine import INFO, actions_at, scoring_of, tokens_of

PROMPT = Prompt.of("x")
STATE = StateRef(7, PROMPT, (1, 2))


class Silent:
    """An engine whose answers the test gives."""

    def __init__(self, emit):
        self.emit = emit
        self.requests = []
        self.cancelled = []
        self.closed = 0

    def start(self):
        pass

    def submit(self, request):
        self.requests.append(request)

    def cancel(self, kind=None, topic=""):
        self.cancelled.append(kind)

    def close(self, timeout=5.0):
        self.closed += 1
        return True


@pytest.fixture
def client(qtbot):
    client = EngineClient(Silent)
    client.start()
    yield client
    client.close()


@pytest.fixture
def engine(client):
    return client._engine


def scored(id, side="A"):
    return Scored(id, side, scoring_of(tokens_of([" a"])), "")


def noted(text):
    return replace(scoring_of(tokens_of([" a"])), note=text)


def tell(engine, *events):
    """The engine's thread says something, which the window then hears."""
    thread = threading.Thread(target=lambda: [engine.emit(e) for e in events])
    thread.start()
    thread.join()
    QCoreApplication.processEvents()


def listen(ticket, heard, name=""):
    """Note all that a ticket says, with its name."""
    signals = ["answered", "failed", "stopped", "progress"]
    for signal in [*signals, "stepped"] if isinstance(ticket, JobTicket) else signals:

        def note(event, signal=signal):
            heard.append((name, signal, event))

        getattr(ticket, signal).connect(note)
    return ticket.request.id


def test_events_arrive_on_the_gui_thread_in_order(client, engine):
    heard = []
    ticket = client.ask(Load, PairSpec())
    ticket.progress.connect(lambda e: heard.append((e.what, threading.current_thread())))
    ticket.answered.connect(lambda e: heard.append((e.info, threading.current_thread())))
    id = ticket.request.id
    events = [Progress(id, str(i), None) for i in range(100)]
    thread = threading.Thread(target=lambda: [engine.emit(e) for e in [*events, Loaded(id, INFO)]])
    thread.start()
    thread.join()
    assert not heard
    QCoreApplication.processEvents()
    assert [what for what, _ in heard] == [*map(str, range(100)), INFO]
    assert {thread for _, thread in heard} == {threading.current_thread()}
    assert not client.busy()


def test_a_ticket_carries_what_was_asked(client, engine):
    ticket = client.ask(Score, "A", PROMPT, ids=(1, 2), fresh=True)
    assert engine.requests == [Score(1, "A", PROMPT, ids=(1, 2), fresh=True)] == [ticket.request]
    assert type(ticket) is Ticket and ticket.parent() is client
    job = client.ask(Search, "left", PROMPT, (), SearchSpec(Beam(2)))
    assert type(job) is JobTicket and job.request.id == 2


def test_each_ticket_hears_its_own_end(client, engine):
    heard = []
    one, two, three = (
        listen(client.ask(Score, "A", PROMPT, "a"), heard, "A"),
        listen(client.ask(Score, "B", PROMPT, "b"), heard, "B"),
        listen(client.ask(Scrub, "/c"), heard, "C"),
    )
    ends = scored(one), Failed(two, "No."), Stopped(three)
    tell(engine, *ends[::-1])
    assert heard == [
        ("C", "stopped", ends[2]),
        ("B", "failed", ends[1]),
        ("A", "answered", ends[0]),
    ]
    tell(engine, scored(one), Failed(two, "Again."))
    assert len(heard) == 3  # after its end a ticket says nothing


def test_an_overtaken_ticket_stays_silent(client, engine):
    heard = []
    old = listen(client.ask(Score, "A", PROMPT, "a"), heard, "old")
    other = listen(client.ask(Score, "B", PROMPT, "b"), heard, "other")
    new = listen(client.ask(Score, "A", PROMPT, "ab"), heard, "new")
    tell(engine, Stopped(old), scored(old), scored(other, "B"), scored(new))
    assert [(name, signal) for name, signal, _ in heard] == [
        ("other", "answered"),
        ("new", "answered"),
    ]


def test_surveys_have_a_place_of_their_own(client, engine):
    heard = []
    old = listen(client.ask(Survey, STATE), heard, "old")
    new = listen(client.ask(Survey, STATE), heard, "new")
    looked = client.ask(Inspect, STATE).request.id
    actions = actions_at(-1, 7)
    tell(engine, Surveyed(old, actions), Surveyed(new, actions))
    assert [name for name, _, _ in heard] == ["new"]
    assert engine.requests == [Survey(old, STATE), Survey(new, STATE), Inspect(looked, STATE)]
    assert client.busy(Inspect) and not client.busy(Survey)


def test_a_new_pair_silences_all_that_was_asked_of_the_old(client, engine):
    heard = []
    old = listen(client.ask(Score, "A", PROMPT, "a"), heard)
    client.pair_let_go.connect(lambda: heard.append("let go"))
    client.ask(Load, PairSpec())
    tell(engine, scored(old))
    assert heard == ["let go"] and client.busy(Load) and not client.busy(Score)
    client.ask(Unload)
    assert heard == ["let go"] * 2 and not client.busy(Load)


def test_what_is_told_unasked_is_of_the_pair_that_is_loaded(client, engine):
    heard = []
    for signal in (client.memory, client.noise_measured, client.files_changed):
        signal.connect(heard.append)
    first = client.ask(Load, PairSpec()).request.id
    tell(engine, Loaded(first, INFO), *told(first))
    assert heard == told(first)
    second = client.ask(Load, PairSpec()).request.id
    tell(engine, *told(first), Stopped(first), *told(second))
    assert heard == [*told(first), *told(second)]


def told(id):
    return [Memory(id, 1, 2, 3, 4), NoiseMeasured(id, None), FilesChanged(id, "Changed.")]


def test_a_lost_device_is_told_to_all(client, engine):
    heard = []
    client.failed.connect(lambda e: heard.append(("failed", e.message)))
    client.lost.connect(lambda e: heard.append(("lost", e.message)))
    one, two = (client.ask(Score, side, PROMPT, "a").request.id for side in "AB")
    tell(engine, Failed(one, "Too long."), Failed(two, "Gone.", lost=True))
    assert heard == [("failed", "Too long."), ("failed", "Gone."), ("lost", "Gone.")]


def test_nothing_is_heard_after_close(client, engine):
    heard = []
    id = listen(client.ask(Score, "A", PROMPT, "a"), heard)
    thread = threading.Thread(target=lambda: engine.emit(scored(id)))
    thread.start()
    thread.join()
    assert client.close() and client.close()
    QCoreApplication.processEvents()
    assert not heard and engine.closed == 1
    client.ask(Score, "A", PROMPT, "a")
    assert len(engine.requests) == 1


def test_scrubs_and_replays(client, engine):
    """The newest scrub is answered, and each step of a replay."""
    heard = []
    old = listen(client.ask(Scrub, "/c-10"), heard, "old")
    new = listen(client.ask(Scrub, "/c-20"), heard, "scrub")
    replay = listen(client.ask(Replay, ("/c-10", "/c-20")), heard, "replay")
    assert engine.requests == [
        Scrub(old, "/c-10"),
        Scrub(new, "/c-20"),
        Replay(replay, ("/c-10", "/c-20")),
    ]
    events = [
        Scrubbed(old, "/c-10", {"A": noted("/c-10")}, 0.1),
        Progress(new, "Loading the weights", 0.5),
        Scrubbed(new, "/c-20", {"A": noted("/c-20")}, 0.1),
        Replayed(replay, "/c-10", {}, 0.5),
        Replayed(replay, "/c-20", {}, 1.0),
        ReplayDone(replay),
        Replayed(replay, "/c-20", {}, 1.0),
    ]
    tell(engine, *events)
    assert heard == [
        ("scrub", "progress", events[1]),
        ("scrub", "answered", events[2]),
        ("replay", "stepped", events[3]),
        ("replay", "stepped", events[4]),
        ("replay", "answered", events[5]),
    ]
    assert not client.busy()


def test_kinds_are_cancelled(client, engine):
    client.cancel(Search, Resume)
    client.cancel(Sweep)
    assert engine.cancelled == [Search, Resume, Sweep]


def test_tickets_go_by_themselves(client, engine, qtbot):
    kept = [weakref.ref(client.ask(Score, "A", PROMPT, "a")) for _ in range(50)]
    assert len(client.findChildren(Ticket)) == 50
    tell(engine, scored(engine.requests[-1].id))
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert client.findChildren(Ticket) == []
    assert not any(ticket() is not None for ticket in kept)
