"""Ctrl-C in a command: it ends the work at once, and is not forgotten where Python drops it."""

import io
import signal
import threading

import pytest

from core.commands.console import Reporter


@pytest.fixture(autouse=True)
def not_in_the_background():
    """Listen to Ctrl-C, which a shell has ignored by what it runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_raised_and_remembered():
    with Reporter(io.StringIO()) as reporter:
        assert not reporter.interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert reporter.interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_comes_while_an_object_ends_is_remembered():
    class Ends:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with Reporter(io.StringIO()) as reporter:
        ends = Ends()
        del ends  # Python prints the exception, and goes on
        assert reporter.interrupted()


def test_whose_handler_is_another_and_who_is_no_main_thread_keep_theirs():
    def other(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGINT, other)
    try:
        with Reporter(None):
            assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)
    found = []

    def report():
        with Reporter(None) as reporter:
            found.append(reporter.interrupted())

    thread = threading.Thread(target=report)
    thread.start()
    thread.join()
    assert found == [False]
