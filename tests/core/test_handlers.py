"""Every kind of request has one handler, which answers with the event that the request names."""

from typing import get_args, get_origin, get_type_hints

import pytest

from core.engine.handlers import handler_of, steps
from core.engine.loop import Engine
from core.engine.protocol import (
    EVENTS,
    REQUESTS,
    Failed,
    Inspect,
    Job,
    JobStep,
    Load,
    MeasureNoise,
    Progress,
    Request,
    Scrub,
    Stopped,
    Survey,
    Unload,
    Urgency,
)
from core.engine.session import Session


def named(kind):
    """What a kind of request says that it is answered by: its steps, if any, and its end."""
    (base,) = (it for it in kind.__orig_bases__ if get_origin(it) in (Request, Job))
    return {it for it in get_args(base) if isinstance(it, type)}


def asked(kind):
    """A request of this kind, with nothing in it."""
    request = object.__new__(kind)
    object.__setattr__(request, "id", 1)
    return request


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_is_answered_by_the_events_that_it_names(kind):
    handler = handler_of(asked(kind))
    handler = getattr(handler, "__wrapped__", handler)
    hints = get_type_hints(handler)
    returned = hints["return"]
    assert set(get_args(returned) or [returned]) == named(kind)
    assert hints["request"] is kind


def test_every_event_answers_something_or_is_told_unasked():
    answers = {it for kind in REQUESTS for it in named(kind)}
    unasked = {it for it in EVENTS if it.__mro__[1].__name__ == "Notice"}
    assert set(EVENTS) == answers | unasked | {Progress, Failed, Stopped}
    assert all(issubclass(it, JobStep) for it in EVENTS if it.__mro__[1] is JobStep)


def test_jobs_and_looks_give_way_and_only_the_pair_stops_all():
    others = {kind for kind in REQUESTS if kind.gives_way and not issubclass(kind, Job)}
    assert others == {Inspect, Survey}
    assert {kind for kind in REQUESTS if kind.urgency == Urgency.PAIR} == {Load, Unload}
    assert {kind for kind in REQUESTS if kind.urgency == Urgency.UNASKED} == {MeasureNoise}


def test_a_session_forgets_with_the_pair_what_handlers_know():
    session = Session(lambda event: None, lambda: False)
    first = session.own(dict)
    first["a"] = 1
    assert session.own(dict) is first
    session.forget_pair()
    assert session.own(dict) == {}


def test_a_toy_job_is_registered_and_goes_on_in_steps():
    """As a new kind of request would be: its record, its handler, and who asks."""
    import queue
    from dataclasses import dataclass

    from core.engine.protocol import Event

    @dataclass(frozen=True, slots=True)
    class Counted(JobStep):
        number: int

    @dataclass(frozen=True, slots=True)
    class AllCounted(Event):
        pass

    @dataclass(frozen=True, slots=True)
    class Count(Job[Counted, AllCounted]):
        to: int

        urgency = Urgency.SWEEP

    counts = []

    @steps(Count)
    def count(session, request, again):
        if not again:
            counts.clear()
        if len(counts) == request.to:
            return AllCounted(request.id)
        counts.append(1)
        return Counted(request.id, len(counts))

    heard = queue.Queue()
    engine = Engine(heard.put)
    engine.submit(Count(1, 3))
    engine.start()
    events = [heard.get(timeout=60) for _ in range(4)]
    assert engine.close(60)
    assert events == [Counted(1, 1), Counted(1, 2), Counted(1, 3), AllCounted(1)]
    assert Scrub(2, "/a").slot == (Urgency.EDIT, "Scrub")
