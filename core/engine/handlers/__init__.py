"""The handlers: what each kind of request does, a module per subject, found by the request's type.

``@answers(Score)`` registers a handler. All modules of this folder are imported when the table is
first asked for, so a new kind of request needs its record in the protocol and a handler here.
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from core.engine.protocol import Event, Job, Request
from core.engine.session import Session

Asked = TypeVar("Asked", bound=Request[Any])
AskedJob = TypeVar("AskedJob", bound=Job[Any, Any])
Handler = Callable[[Session, Asked], Event]
JobHandler = Callable[[Session, AskedJob, bool], Event]

_TABLE: dict[type[Request[Any]], Callable[[Session, Any, bool], Event]] = {}


def answers(kind: type[Asked]) -> Callable[[Handler[Asked]], Handler[Asked]]:
    """Register what answers a kind of request."""

    def register(handler: Handler[Asked]) -> Handler[Asked]:
        @wraps(handler)
        def answer(session: Session, request: Asked, again: bool) -> Event:
            return handler(session, request)

        _TABLE[kind] = answer
        return handler

    return register


def steps(kind: type[AskedJob]) -> Callable[[JobHandler[AskedJob]], JobHandler[AskedJob]]:
    """Register what takes one step of a kind of job; its third argument, ``again``, says that the
    job has been begun before."""

    def register(handler: JobHandler[AskedJob]) -> JobHandler[AskedJob]:
        _TABLE[kind] = handler
        return handler

    return register


def handler_of(request: Request[Any]) -> Callable[[Session, Any, bool], Event]:
    """Return what answers a request, given the session, the request and whether it was begun."""
    if type(request) not in _TABLE:
        for module in iter_modules(__path__):
            import_module(f"{__name__}.{module.name}")
    return _TABLE[type(request)]
