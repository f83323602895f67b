"""The process that renders chat templates, as transformers does, for the one that started it.

    python -I -S core/rendering_process.py FOLDER ...     (the folders that jinja2 needs)

It is asked on stdin and answers on stdout. It imports jinja2 and nothing else that is not Python's
own, can take little memory, and ends with the one that asks: where stdin ends, and in the middle of
a rendering by a clock that stops for nothing. Knows no tokenizer, and not what a response is; who
waits how long is decided in core.rendering.
"""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from traceback import walk_tb
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

MEMORY = 2**29
"""Bytes that the process may take, where the system can see to it."""
OUT_OF_MEMORY = 75
"""The exit status after more were wanted."""
TEMPLATES = 8
"""Compiled templates that are kept."""
SAID = 300
"""Characters of a template's own message that are told."""
REASONING = ("reasoning_content", "thinking", "reasoning")
"""The names of what was thought before a turn; templates read the first two."""


class TooLong(Exception):
    """A rendering is longer than the one who asks has room for."""


def send(pipe: IO[bytes], message: bytes) -> None:
    """Write a message, its length before it.

    Raises:
        OSError: nobody reads.
    """
    left = memoryview(len(message).to_bytes(4, "big") + message)
    while left:
        left = left[pipe.write(left) :]


def receive(pipe: IO[bytes]) -> bytes | None:
    """Return the next message; None where there is no more."""
    head = _read(pipe, 4)
    return None if head is None else _read(pipe, int.from_bytes(head, "big"))


def _read(pipe: IO[bytes], count: int) -> bytes | None:
    """Return so many bytes; None where the pipe ends before."""
    parts = []
    while count:
        part = pipe.read(min(count, 2**20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def main() -> None:
    """Answer until there is no more to read.

    A request is three messages: how to render, as JSON; the variables, as JSON; the source of the
    template. An answer is what ``answer`` returns, as JSON and text. The first is empty: ready.
    """
    sys.path[:0] = sys.argv[1:]
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the one that asks
    _limit()
    _compiled("")  # imports what the first template would have to wait for
    with open(0, "rb", buffering=0) as asked, open(1, "wb", buffering=0) as told:
        send(told, b"")
        while (how := receive(asked)) is not None:
            variables, source = receive(asked), receive(asked)
            if variables is None or source is None:
                return
            about = json.loads(how)
            with _ending_after(about["seconds"]):
                found, text = answer(source, variables, about["now"], about["room"])
            send(told, json.dumps(found).encode())
            send(told, text.encode("utf-8", "surrogatepass"))


def _limit() -> None:
    """Let the process take little memory, and leave nothing behind on disk when it dies."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(what, (most, hard))


@contextmanager
def _ending_after(seconds: float) -> Iterator[None]:
    """End the process if what is inside takes longer, whoever holds Python's lock.

    The one that asks kills it before; this is for when that one is gone.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)  # nothing handles the signal: the end
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
        return
    import faulthandler

    faulthandler.dump_traceback_later(seconds, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def answer(source: bytes, variables: bytes, now: str, room: int) -> tuple[dict[str, Any], str]:
    """Return what a template writes, and about it: "date", the first that it asked for.

    Where it cannot be rendered the text is empty, and told are the "kind" of fault ("syntax",
    "refused" by itself, "too long" or "failed"), what was "said", and in which "line".

    Args:
        variables: all that it is told, as a JSON object.
        now: the time that it is to the template, in ISO's form.
        room: the most characters that it may write.

    Raises:
        MemoryError: it takes more than there is.
    """
    import jinja2

    try:
        template, dates = _compiled(source.decode("utf-8", "surrogatepass"))
        dates[:] = [now]
        text = _written(template, _variables(json.loads(variables)), room)
        return {"date": next(iter(dates[1:]), "")[:SAID]}, text
    except MemoryError:
        raise
    except TooLong:
        return {"kind": "too long"}, ""
    except jinja2.TemplateSyntaxError as error:
        return {"kind": "syntax", "said": _said(error), "line": error.lineno}, ""
    except RecursionError:
        return {"kind": "failed", "said": "it is nested too deeply"}, ""
    except Exception as error:  # templates raise what they like
        kind = "refused" if type(error) is jinja2.TemplateError else "failed"
        return {"kind": kind, "said": _said(error), "line": _line(error)}, ""


def _said(error: Exception) -> str:
    return " ".join(str(error)[: 2 * SAID].split())[:SAID]


def _line(error: Exception) -> int:
    """Return the line of the template that an error came of; 0 if none is known."""
    frames = walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == "<template>"]
    return lines[-1] if lines else 0


def _written(template: "jinja2.Template", variables: Mapping[str, Any], room: int) -> str:
    parts = []
    for part in template.generate(variables):
        room -= len(part)
        if room < 0:
            raise TooLong
        parts.append(part)
    return "".join(parts)


def _variables(given: dict[str, Any]) -> dict[str, Any]:
    """Return variables as transformers hands them to a template.

    Raises:
        ValueError, TypeError: they are none; the words are those of transformers.
    """
    if not given["messages"]:
        raise ValueError("there is no turn")
    turns = []
    for message in given["messages"]:
        turn = {name: value for name, value in message.items() if value is not None}
        thought = next((turn[name] for name in REASONING if name in turn), None)
        if thought is not None:
            turn = {"thinking": thought, **turn, "reasoning_content": thought}
        turns.append(turn)
    if not all(isinstance(tool, dict) for tool in given.get("tools") or ()):
        raise ValueError("Tools should be JSON schemas")
    if not all(isinstance(document, dict) for document in given.get("documents") or ()):
        raise TypeError("Documents should be a list of dicts with 'title' and 'text' keys!")
    return {"tools": None, "documents": None, **given, "messages": turns}


@lru_cache(TEMPLATES)
def _compiled(source: str) -> tuple["jinja2.Template", list[str]]:
    """Return a template as transformers compiles it, and the dates that it has asked for.

    The first of these is the time that it is, and to be put there before each rendering.
    """
    import jinja2
    from jinja2 import ext, nodes, sandbox
    from jinja2.parser import Parser
    from jinja2.runtime import Macro
    from jinja2.utils import Namespace

    dates = [""]

    class Generation(ext.Extension):
        """What the assistant says, which transformers can tell apart: here it is plain text."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_as_it_is"), [], [], body).set_lineno(line)

        @staticmethod
        def _as_it_is(caller: Macro) -> str:
            return caller()

    class Names(Namespace):
        """A namespace that keeps nothing whose name begins with an underscore."""

        def __init__(*args: Any, **kwargs: Any) -> None:
            self, args = args[0], args[1:]
            given = dict(*args, **kwargs)
            for name in given:
                Names._check(name)
            Namespace.__init__(self, given)

        def __setitem__(self, name: str, value: Any) -> None:
            Names._check(name)
            Namespace.__setitem__(self, name, value)

        @staticmethod
        def _check(name: Any) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(f"the name {name!r} begins with _")

    class Dict:
        """What ``dict`` is to a template."""

        def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict(*args, **kwargs)

        def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict.fromkeys(*args, **kwargs)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def strftime_now(format: str) -> str:
        dates.append(datetime.fromisoformat(dates[0]).strftime(format))
        return dates[-1]

    def tojson(
        x: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "dict": Dict(),
        "namespace": Names,
    }
    return environment.from_string(source), dates


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
