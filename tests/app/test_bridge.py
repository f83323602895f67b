"""Engine events reach the GUI thread, in order, and stale ones do not."""

import threading
from dataclasses import replace

from PySide6.QtCore import QCoreApplication

from app.engine_client import Bridge
from core.engine.protocol import (
    Inspect,
    Loaded,
    PairSpec,
    Progress,
    Replay,
    ReplayDone,
    Replayed,
    Scored,
    Scrub,
    Scrubbed,
    Stopped,
    Survey,
    Surveyed,
)
from core.text import Prompt
from tests.app.fake_engine import INFO, actions_at, scoring_of, tokens_of

PROMPT = Prompt.of("x")


class Silent:
    """An engine whose answers the test gives."""

    def __init__(self, emit):
        self.emit = emit
        self.requests = []
        self.closed = 0

    def start(self):
        pass

    def submit(self, request):
        self.requests.append(request)

    def cancel(self, kind=None):
        self.cancelled = kind

    def close(self, timeout=5.0):
        self.closed += 1
        return True


def make():
    made = []

    def engine(emit):
        made.append(Silent(emit))
        return made[-1]

    bridge = Bridge(engine)
    bridge.start()
    return bridge, made[0]


def scored(id, side="A"):
    return Scored(id, side, scoring_of(tokens_of([" a"])), "")


def noted(text):
    return replace(scoring_of(tokens_of([" a"])), note=text)


def from_a_thread(engine, *events):
    thread = threading.Thread(target=lambda: [engine.emit(e) for e in events])
    thread.start()
    thread.join()


def test_events_arrive_on_the_gui_thread_in_order(qtbot):
    bridge, engine = make()
    heard = []
    bridge.progress.connect(lambda e: heard.append((e.what, threading.current_thread())))
    bridge.loaded.connect(lambda e: heard.append(("loaded", threading.current_thread())))
    id = bridge.load(PairSpec())
    events = [Progress(id, str(i), None) for i in range(100)]
    from_a_thread(engine, *events, Loaded(id, INFO))
    assert not heard
    QCoreApplication.processEvents()
    assert [what for what, _ in heard] == [*map(str, range(100)), "loaded"]
    assert {thread for _, thread in heard} == {threading.current_thread()}
    assert not bridge.busy()


def test_overtaken_answers_are_dropped(qtbot):
    bridge, engine = make()
    heard = []
    bridge.scored.connect(lambda e: heard.append(e.id))
    bridge.stopped.connect(lambda e: heard.append(("stopped", e.id)))
    old, other = bridge.score("A", PROMPT, "a"), bridge.score("B", PROMPT, "b")
    new = bridge.score("A", PROMPT, "ab")
    from_a_thread(engine, Stopped(old, "Score"), scored(old), scored(other, "B"), scored(new))
    QCoreApplication.processEvents()
    assert heard == [other, new]


def test_surveys_have_a_place_of_their_own(qtbot):
    bridge, engine = make()
    heard = []
    bridge.surveyed.connect(lambda e: heard.append((e.id, e.index)))
    old, new = bridge.survey("A", 1), bridge.survey("B", 2)
    looked = bridge.inspect("A", 1)
    actions = actions_at(-1, 7)
    from_a_thread(engine, Surveyed(old, "A", 1, actions), Surveyed(new, "B", 2, actions))
    QCoreApplication.processEvents()
    assert heard == [(new, 2)]
    assert engine.requests == [Survey(old, "A", 1), Survey(new, "B", 2), Inspect(looked, "A", 1)]
    assert bridge.busy("inspect") and not bridge.busy("survey")


def test_a_new_pair_drops_the_answers_of_the_old(qtbot):
    bridge, engine = make()
    heard = []
    bridge.scored.connect(lambda e: heard.append(e.id))
    old = bridge.score("A", PROMPT, "a")
    bridge.load(PairSpec())
    from_a_thread(engine, scored(old))
    QCoreApplication.processEvents()
    assert not heard and bridge.busy("pair")


def test_nothing_is_heard_after_close(qtbot):
    bridge, engine = make()
    heard = []
    bridge.scored.connect(lambda e: heard.append(e.id))
    id = bridge.score("A", PROMPT, "a")
    from_a_thread(engine, scored(id))
    assert bridge.close() and bridge.close()
    QCoreApplication.processEvents()
    assert not heard and engine.closed == 1


def test_scrubs_and_replays(qtbot):
    """The newest scrub is answered, each step of a replay, and progress apart from loading's."""
    bridge, engine = make()
    heard = []
    bridge.scrubbed.connect(lambda e: heard.append((e.checkpoint, e.scorings["A"].note)))
    bridge.replayed.connect(lambda e: heard.append((e.checkpoint, e.fraction)))
    bridge.replay_done.connect(lambda e: heard.append("done"))
    bridge.scrub_progress.connect(lambda e: heard.append(e.what))
    bridge.progress.connect(lambda e: heard.append("loading"))
    old, new = bridge.scrub("/c-10"), bridge.scrub("/c-20")
    replay = bridge.replay(("/c-10", "/c-20"))
    assert engine.requests == [
        Scrub(old, "/c-10"),
        Scrub(new, "/c-20"),
        Replay(replay, ("/c-10", "/c-20")),
    ]
    from_a_thread(
        engine,
        Scrubbed(old, "/c-10", {"A": noted("/c-10")}, 0.1),
        Progress(new, "Loading the weights", 0.5),
        Scrubbed(new, "/c-20", {"A": noted("/c-20")}, 0.1),
        Replayed(replay, "/c-10", {}, 0.5),
        Replayed(replay, "/c-20", {}, 1.0),
        ReplayDone(replay),
        Replayed(replay, "/c-20", {}, 1.0),
    )
    QCoreApplication.processEvents()
    assert heard == [
        "Loading the weights",
        ("/c-20", "/c-20"),
        ("/c-10", 0.5),
        ("/c-20", 1.0),
        "done",
    ]
    assert not bridge.busy()
    bridge.stop_replay()
    assert engine.cancelled is Replay
