"""What Qt owns goes on the thread that it lives on, whichever thread makes garbage."""

import gc
import threading

import pytest
from PySide6.QtCore import QObject, Qt

from app import garbage
from app.garbage import Collector


class Holder:
    """Holds itself, so that only a collection frees what it holds."""

    def __init__(self, thing):
        self.itself, self.thing = self, thing


@pytest.fixture
def collector(qapp, qtbot):
    """The one that the tests have anyway."""
    found = qapp.findChild(Collector)
    assert found is not None and not gc.isenabled()
    return found


def leave(gone):
    """Leave a QObject in garbage; ``gone`` is told on which thread it went."""
    thing = QObject()
    thing.destroyed.connect(
        lambda: gone.append(threading.current_thread()), Qt.ConnectionType.DirectConnection
    )
    Holder(thing)


def elsewhere(act):
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def much():
    for _ in range(20_000):
        Holder(None)


def test_python_would_destroy_it_on_the_other_thread(collector):
    gone = []
    leave(gone)
    gc.enable()
    try:
        thread = elsewhere(lambda: (much(), gc.collect()))
        thread.join()
    finally:
        gc.disable()
    assert gone == [thread]


def test_what_another_thread_makes_is_collected_on_this_one(collector, qtbot):
    gone = []
    leave(gone)
    elsewhere(much).join()
    assert not gone
    qtbot.waitUntil(lambda: bool(gone), timeout=5000)
    assert gone == [threading.main_thread()]


def test_another_thread_can_have_it_collected(collector, qtbot):
    gone, seen = [], []
    gc.collect()
    leave(gone)
    thread = elsewhere(lambda: (garbage.collect(), seen.extend(gone)))
    qtbot.waitUntil(lambda: not thread.is_alive(), timeout=10_000)
    assert seen == [threading.main_thread()]


def test_a_window_that_does_not_answer_is_not_waited_for(collector, monkeypatch):
    monkeypatch.setattr(garbage, "PATIENCE", 0.05)
    gone = []
    leave(gone)
    elsewhere(garbage.collect).join()  # this thread takes no events meanwhile
    assert not gone
    garbage.collect()
    assert gone == [threading.main_thread()]


def test_python_collects_again_afterwards(qapp, qtbot):
    for other in qapp.findChildren(Collector):
        other.end()
    assert gc.isenabled()
    Collector(qapp).end()
    assert gc.isenabled()
