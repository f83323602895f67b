"""Work on a thread of its own: in order, the latest of a key, and ended in bounded time."""

import threading

import pytest

from app.later import Later


@pytest.fixture
def later():
    made = Later("test")
    yield made
    made.close(10)


def test_the_latest_of_a_key_is_done(later):
    begun, go, done = threading.Event(), threading.Event(), []

    def first():
        begun.set()
        go.wait(60)

    later.put("first", first)
    assert begun.wait(60)
    for number in range(3):
        later.put("a", lambda it=number: done.append(("a", it)))
        later.put("b", lambda it=number: done.append(("b", it)))
    assert not later.rest(0.01)
    go.set()
    assert later.rest(60) and done == [("a", 2), ("b", 2)]


def test_closing_does_what_waits(later):
    done = []
    for number in range(5):
        later.put(number, lambda it=number: done.append(it))
    assert later.close(60) and done == [0, 1, 2, 3, 4]
    assert later.close(60)
    later.put("again", lambda: done.append("again"))
    assert later.rest(60) and done[-1] == "again"


@pytest.mark.log_errors_expected
def test_a_job_that_fails_ends_no_other(later):
    done = []
    later.put("a", lambda: 1 / 0)
    later.put("b", lambda: done.append("b"))
    assert later.rest(60) and done == ["b"]


def test_a_disk_that_does_not_answer_keeps_nobody(later):
    go = threading.Event()
    later.put("a", lambda: go.wait(60))
    assert not later.rest(0.01) and not later.close(0.01)
    go.set()
