"""What every test is held to: no hub, no display, no log errors, no leaked threads or timers."""

import gc
import logging
import os
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any
from weakref import WeakSet

import pytest
from hypothesis import settings

from core.registrations import register

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # the other workers have the other cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A checkpoint's own code is copied here before it runs: never into the user's cache.
_modules = tempfile.TemporaryDirectory(prefix="qscope-modules-")
os.environ["HF_MODULES_CACHE"] = _modules.name
register()
# How long a machine takes says nothing about what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


class _Errors(logging.Handler):
    """Gathers what is logged at ERROR or above."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def _no_log_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    handler = _Errors()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    if handler.lines and not request.node.get_closest_marker("log_errors_expected"):
        pytest.fail("errors in the log: " + "; ".join(handler.lines))


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2.0
    while leaked := [t for t in threading.enumerate() if t not in before and not t.daemon]:
        if time.monotonic() > deadline:
            pytest.fail(f"threads still run: {', '.join(t.name for t in leaked)}")
        time.sleep(0.01)


def _uses_qt(item: pytest.Item | None) -> bool:
    return "qtbot" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Collect what windows have left before a test that has no ``Collector`` starts an engine."""
    result = yield
    if _uses_qt(item) and not _uses_qt(nextitem):
        gc.collect()
    return result


@pytest.fixture(autouse=True)
def _garbage_on_this_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only for tests that use Qt: what their windows leave must not go on an engine's thread."""
    if not _uses_qt(request.node):
        yield
        return
    from app.garbage import Collector

    collector = Collector(request.getfixturevalue("qapp"))
    yield
    collector.end()
    collector.setParent(None)


_timers: WeakSet[Any] = WeakSet()
"""All QTimers that tests have made, as long as they are there."""


@pytest.fixture(autouse=True)
def _no_leaked_timers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only for tests that use Qt: timers that tick on would run in the tests that follow."""
    if not _uses_qt(request.node):
        yield
        return
    from PySide6.QtCore import QCoreApplication, QEvent, QTimer

    _timers.update(request.getfixturevalue("qapp").findChildren(QTimer))
    before = _active_timers()
    gc.freeze()  # what is there already, up to 700,000 objects, need not be looked through
    yield
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    _timers.update(thing for thing in gc.get_objects() if type(thing) is QTimer)
    gc.unfreeze()
    leaked = [timer for timer in _active_timers() if timer not in before]
    if leaked:
        pytest.fail(f"timers still tick: {leaked}, of {[timer.parent() for timer in leaked]}")


def _active_timers() -> list[Any]:
    import shiboken6

    return [timer for timer in _timers if shiboken6.isValid(timer) and timer.isActive()]
