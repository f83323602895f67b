"""Renders turns as the models read them, and finds the response in what is rendered.

By the tokenizer's chat template, prompt and response together, or as plain text: the turns, a blank
line between them, and the end-of-text token. What the template makes of a response is looked for,
never assumed: templates trim, drop what was thought, put a block before, take parts for content.
Knows no token; where a token begins and which are scored is decided in core.codec.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.errors import UserFacingError
from core.text import Message, Prompt, shared_prefix

NEUTRAL = "qscope"
"""A response that no template treats in a way of its own."""
PROBE = Prompt((Message("user", "quiz"),))
PROMPTS = 8
"""Prompts whose renderings are remembered."""
WAYS = ((False, False), (True, True), (True, False))
"""Whether content is a list of parts: in the turns of others, and of the assistant."""
_AS_CODE = re.compile(r"""(['"])type\1: (['"])text\2""")
"""In a rendering: a list of parts that the template wrote as it is."""
_DATE = re.compile(r"strftime_now\(\s*(?P<quote>['\"])(?P<format>[^'\"]*)(?P=quote)\s*\)")


@dataclass(frozen=True, slots=True)
class Place:
    """A rendering, and where the response lies in it: ``text[start:stop]``.

    The first ``head`` characters there are ``response[first : first + head]``, the last ``tail``
    are ``response[last - tail : last]``; what lies between was written anew by the template.
    """

    text: str
    start: int
    stop: int
    first: int
    last: int
    head: int
    tail: int = 0

    @property
    def verbatim(self) -> bool:
        """Whether all that lies there is the response's own text, though some may be left out."""
        return self.head == self.stop - self.start


class Template:
    """The chat template of a loaded tokenizer; ``plain``: none is used, though there may be one.

    A date that it writes is that of ``now`` for good.

    Raises:
        UserFacingError: it cannot be used; the sentence names it.
    """

    def __init__(self, tokenizer: Any, plain: bool = False, now: datetime | None = None) -> None:
        self._tokenizer = tokenizer
        self._source = None if plain else _source(tokenizer)
        self.plain = self._source is None
        self.date = ""
        """What it writes of the day; "" if nothing."""
        self._parts = WAYS[0]
        self._generic = lru_cache(PROMPTS)(self._asking)
        self._framed = lru_cache(PROMPTS)(self._around)
        if self._source is not None:
            self._source, self.date = _pinned(self._source, now or datetime.now())
            self._parts = self._takes_parts()

    def prompt(self, prompt: Prompt) -> str:
        """Return a prompt as it is rendered alone, the response to come next.

        Raises:
            UserFacingError: the template refuses these turns.
        """
        return self._generic(prompt)

    def place(self, prompt: Prompt, response: str, closing: str = "") -> Place:
        """Return a prompt and a response rendered together, and where the response lies.

        Args:
            closing: what ends a plain text, unless the response ends so already.

        Raises:
            UserFacingError: the template refuses these turns.
        """
        if self.plain:
            before = self.prompt(prompt)
            end = "" if closing and response.endswith(closing) else closing
            whole = before + response + end
            stop = len(before) + len(response)
            return Place(whole, len(before), stop, 0, len(response), len(response))
        head, tail = self._framed(prompt)
        return find(self._answered(prompt, response), response, head, tail)

    def _asking(self, prompt: Prompt) -> str:
        if self.plain:
            return "\n\n".join(message.content for message in prompt.messages)
        return self._render(prompt, asking=True)

    def said(self, prompt: Prompt, turns: Sequence[Message]) -> str:
        """Return a prompt and the turns after it, rendered together.

        Raises:
            UserFacingError: the template refuses these turns.
        """
        return self._render(replace(prompt, messages=(*prompt.messages, *turns)))

    def _answered(self, prompt: Prompt, response: str) -> str:
        return self.said(prompt, (Message("assistant", response),))

    def _around(self, prompt: Prompt) -> tuple[str, str]:
        """Return what is rendered before and after a response that is left as it is."""
        whole = self._answered(prompt, NEUTRAL)
        start, stop = len(whole), len(whole)
        for found in re.finditer(NEUTRAL, whole, re.IGNORECASE):
            start, stop = found.span()
        return whole[:start], whole[stop:]

    def _takes_parts(self) -> tuple[bool, bool]:
        """Return the first of WAYS in which the template writes what user and assistant say."""
        failed: UserFacingError | None = None
        for self._parts in WAYS:
            try:
                written = self._answered(PROBE, NEUTRAL)
            except UserFacingError as error:
                failed = failed or error
                continue
            said = all(it in written.lower() for it in (NEUTRAL, PROBE.messages[0].content))
            if said and not _AS_CODE.search(written):
                return self._parts
        raise failed or UserFacingError(
            f"{_name(self._tokenizer)} writes nothing of what user or assistant say: correct it, "
            f"or have the texts read as plain text."
        )

    def _render(self, prompt: Prompt, asking: bool = False) -> str:
        turns = [message.row() for message in prompt.messages]
        for turn in turns:
            if self._parts[turn["role"] == "assistant"]:
                turn["content"] = [{"type": "text", "text": turn["content"]}]
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    turns,
                    chat_template=self._source,
                    tokenize=False,
                    add_generation_prompt=asking,
                    **json.loads(prompt.settings or "{}"),
                )
            )
        except Exception as error:  # templates raise what they like
            raise self._refused(error, prompt.messages) from error

    def _refused(self, error: Exception, messages: tuple[Message, ...]) -> UserFacingError:
        """Return what to say of an error: a slip in the template, or turns that it refuses."""
        from jinja2 import TemplateError, TemplateSyntaxError

        name, said = _name(self._tokenizer), " ".join(str(error).split()).rstrip(".")
        if isinstance(error, TemplateSyntaxError):
            return UserFacingError(
                f"{name} has a slip in line {error.lineno} ({said}): correct it, or have the texts "
                f"read as plain text."
            )
        if type(error) is not TemplateError:  # which a template itself raises
            return UserFacingError(
                f"{name} fails on these turns ({said}): correct it, or have the texts read as "
                f"plain text."
            )
        roles = [message.role for message in messages if message.role != "system"]
        if any(a == b for a, b in pairwise(roles)):
            what = "let user and assistant take turns"
        elif len(roles) < len(messages):
            what = "leave the system turn empty"
        else:
            what = "change them as it says"
        return UserFacingError(
            f"{name} refuses these turns ({said}): {what}, or have the texts read as plain text."
        )


def find(whole: str, response: str, head: str, tail: str) -> Place:
    """Return where a response lies in a rendering.

    ``head`` and ``tail`` stand around a neutral response to the same prompt.
    """
    stop = len(whole) - len(tail)
    if not whole.endswith(tail):
        stop = len(whole) - shared_prefix(whole[::-1][: len(tail)], tail[::-1])
    if whole.endswith(response, 0, stop):
        return Place(whole, stop - len(response), stop, 0, len(response), len(response))
    for kept in (response.rstrip(), response.lstrip(), response.strip()):
        if whole.endswith(kept, 0, stop):
            first = len(response) - len(response.lstrip()) if kept[:1] != response[:1] else 0
            return Place(whole, stop - len(kept), stop, first, first + len(kept), len(kept))
    start = shared_prefix(whole[: min(len(head), stop)], head)
    written = whole[start:stop]
    if (first := response.rfind(written)) >= 0:
        return Place(whole, start, stop, first, first + len(written), len(written))
    if (at := written.rfind(response)) >= 0:
        start += at
        return Place(whole, start, start + len(response), 0, len(response), len(response))
    same = shared_prefix(written, response)
    end = shared_prefix(written[same:][::-1], response[same:][::-1])
    return Place(whole, start, stop, 0, len(response), same, end)


def _source(tokenizer: Any) -> str | None:
    """Return the text of a tokenizer's chat template; None if it has none.

    Raises:
        UserFacingError: it has several, and none is the default.
    """
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        if "default" not in found:
            names = ", ".join(map(repr, found))
            raise UserFacingError(
                f"{_name(tokenizer)} comes as {names} and none is named 'default': rename the one "
                f"to use, or have the texts read as plain text."
            )
        found = found["default"]
    return found or None


def _name(tokenizer: Any) -> str:
    """Return how a sentence names a tokenizer's chat template."""
    folder = Path(getattr(tokenizer, "name_or_path", "") or "")
    own = folder / "chat_template.jinja"
    if own.is_file():
        return f"The chat template {own}"
    return f"The chat template of {folder}" if folder.name else "The chat template"


def _pinned(source: str, now: datetime) -> tuple[str, str]:
    """Return a template that writes one date for good, and the date as it writes it."""
    written = [now.strftime(match["format"]) for match in _DATE.finditer(source)]
    source = _DATE.sub(lambda match: repr(now.strftime(match["format"])), source)
    return source, next(iter(written), "")
