"""Renders turns as the models read them, and finds the response in what is rendered.

By the tokenizer's chat template, prompt and response together, or as plain text: the turns, a blank
line between them, and the end-of-text token. What the template makes of a response is looked for,
never assumed: templates trim, drop what was thought, put a block before, take parts for content.
Knows no token; where a token begins and which are scored is decided in core.codec.
core.rendering runs the templates.
"""

import inspect
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from core import rendering
from core.errors import UserFacingError
from core.failures import INTERNALS
from core.progress import Stop, never
from core.rendering import Fault
from core.rendering_process import MEMORY
from core.text import Message, Prompt, shared_prefix

NEUTRAL = "qscope"
"""A response that no template treats in a way of its own."""
PROBE = Prompt((Message("user", "quiz"),))
PROBE_ANSWERED = Prompt((*PROBE.messages, Message("assistant", NEUTRAL)))
PROMPTS = 8
"""Prompts whose renderings are remembered."""
WAYS = ((False, False), (True, True), (True, False))
"""Whether content is a list of parts: in the turns of others, and of the assistant."""
_AS_CODE = re.compile(r"""(['"])type\1: (['"])text\2""")
"""In a rendering: a list of parts that the template wrote as it is."""
_LACKING = re.compile(r"has no (?:attribute|element) ('\w*'|\d+)$")
LONGEST = 2**20
"""Characters of a template; real ones have less than a tenth of that."""
LIMITS = "slow", "memory", "too long", "crash"
"""The faults of a template that cannot be rendered whatever it is told."""
PLAIN = "have the texts read as plain text (with --plain, or in Open a pair)"


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


class Unbounded(UserFacingError):
    """A chat template does not end, or takes or writes far too much."""


class Template:
    """The chat template of a loaded tokenizer; ``plain``: none is used, though there may be one.

    To it, it is ``now`` for good. Waiting for a rendering ends in Cancelled soon after
    ``cancelled()`` turns true.

    Raises:
        UserFacingError: it cannot be used; the sentence names it.
    """

    def __init__(
        self,
        tokenizer: Any,
        plain: bool = False,
        now: datetime | None = None,
        cancelled: Stop = never,
    ) -> None:
        self._tokenizer = tokenizer
        self._source = None if plain else _source(tokenizer)
        self.plain = self._source is None
        self.date = ""
        """What it has written of the day; "" if nothing so far."""
        self._now, self._cancelled = now or datetime.now(), cancelled
        self._parts = WAYS[0]
        self._generic = lru_cache(PROMPTS)(self._asking)
        self._framed = lru_cache(PROMPTS)(self._around)
        if self._source is not None:
            self._taken = _taken(tokenizer)
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
            return _encodable("\n\n".join(message.content for message in prompt.messages))
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
        until = time.monotonic() + rendering.SECONDS
        for self._parts in WAYS:
            try:
                written = self._rendered(PROBE_ANSWERED, until=until)
            except Fault as fault:
                if fault.kind in (*LIMITS, "start", "syntax"):
                    raise self._refusal(fault, PROBE_ANSWERED.messages) from fault
                failed = failed or self._refusal(fault, PROBE_ANSWERED.messages)
                continue
            said = all(it in written.lower() for it in (NEUTRAL, PROBE.messages[0].content))
            if said and not _AS_CODE.search(written):
                return self._parts
        raise failed or UserFacingError(
            f"{_name(self._tokenizer)} writes nothing of what user or assistant say: correct it, "
            f"or {PLAIN}."
        )

    def _render(self, prompt: Prompt, asking: bool = False) -> str:
        try:
            return self._rendered(prompt, asking)
        except Fault as fault:
            raise self._refusal(fault, prompt.messages) from fault

    def _rendered(self, prompt: Prompt, asking: bool = False, until: float | None = None) -> str:
        """Return turns as the template writes them, by the time ``until`` if that is given.

        Raises:
            Fault: it does not.
        """
        assert self._source is not None
        turns = [message.row() for message in prompt.messages]
        for turn in turns:
            if self._parts[turn["role"] == "assistant"]:
                turn["content"] = [{"type": "text", "text": turn["content"]}]
        told = json.loads(prompt.settings or "{}")
        if self._taken is None:
            return self._by_itself(turns, asking, told)
        if wrong := sorted(self._taken & set(told)):
            raise Fault("failed", f"{wrong[0]} is no switch of a template")
        variables = {
            **self._tokenizer.special_tokens_map,
            **told,
            "messages": turns,
            "add_generation_prompt": asking,
        }
        left = rendering.SECONDS if until is None else until - time.monotonic()
        written = rendering.render(self._source, variables, self._now, self._cancelled, left)
        self.date = self.date or written.date
        return _encodable(written.text)

    def _by_itself(self, turns: list[dict[str, Any]], asking: bool, told: dict[str, Any]) -> str:
        """Return what a tokenizer renders that has code of its own for it, which was allowed."""
        try:
            written = self._tokenizer.apply_chat_template(
                turns,
                chat_template=self._source,
                tokenize=False,
                add_generation_prompt=asking,
                **told,
            )
        except Exception as error:  # it may raise what it likes
            raise Fault("failed", " ".join(str(error).split())) from error
        return _encodable(str(written))

    def _refusal(self, fault: Fault, messages: tuple[Message, ...]) -> UserFacingError:
        """Return what to say of a fault: a limit, a slip in the template, turns that it refuses."""
        name, said = _name(self._tokenizer), _said(fault)
        match fault.kind:
            case "slow":
                what = f"did not finish within {rendering.SECONDS:g} seconds: correct it"
            case "memory":
                what = f"takes more than {MEMORY // 2**20} MB of memory: correct it"
            case "too long":
                what = "writes far more than it is told: correct it"
            case "crash":
                what = f"ended the process that renders it ({said}): correct it"
            case "start":
                return UserFacingError(
                    f"Chat templates are rendered by a process of their own, which could not be "
                    f"started ({said}): end other programs and try again, or {PLAIN}."
                )
            case "syntax":
                what = f"has a slip in line {fault.line} ({said}): correct it"
            case "failed":
                where = f" in line {fault.line}" if fault.line else ""
                what = f"fails{where} on these turns ({said}): correct it"
            case "refused":
                what = f"refuses these turns ({said}): {_other_turns(messages)}"
        kind = Unbounded if fault.kind in LIMITS else UserFacingError
        return kind(f"{name} {what}, or {PLAIN}.")


def _said(fault: Fault) -> str:
    """Return the words of a fault, to quote; those that tell of Python's inside are put plainly."""
    said = fault.said.rstrip(".")
    if fault.kind == "failed":
        if lacking := _LACKING.search(said):
            return f"{lacking[1]} is undefined"
        if not said or INTERNALS.search(said):
            return "a value is of another kind than it is taken for"
    return said or "it does not say why"


def _other_turns(messages: tuple[Message, ...]) -> str:
    """Return how turns can be changed that a template refuses."""
    roles = [message.role for message in messages if message.role != "system"]
    if any(a == b for a, b in pairwise(roles)):
        return "let user and assistant take turns"
    if len(roles) < len(messages):
        return "leave the system turn empty"
    return "change them as it says"


def check_limits(tokenizer: Any) -> None:
    """Let a tokenizer's chat template render once, where it can be ended.

    Raises:
        UserFacingError: it does not end, or takes too much. What else may be wrong is not said.
    """
    try:
        Template(tokenizer)
    except Unbounded:
        raise
    except UserFacingError:
        return


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
    if (first := _last(response, written)) >= 0:
        return Place(whole, start, stop, first, first + len(written), len(written))
    if (at := _last(written, response)) >= 0:
        start += at
        return Place(whole, start, start + len(response), 0, len(response), len(response))
    same = shared_prefix(written, response)
    end = shared_prefix(written[same:][::-1], response[same:][::-1])
    return Place(whole, start, stop, 0, len(response), same, end)


def _encodable(text: str) -> str:
    """Return a text with "?" for halves of characters, which no tokenizer reads."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _last(text: str, part: str) -> int:
    """Return where a part stands last, −1 if nowhere; ``rfind`` may take the product of lengths."""
    at = text[::-1].find(part[::-1])
    return len(text) - at - len(part) if at >= 0 else -1


def _source(tokenizer: Any) -> str | None:
    """Return the text of a tokenizer's chat template; None if it has none.

    Raises:
        UserFacingError: it has several and none is the default.
        Unbounded: it is far too long.
    """
    found = getattr(tokenizer, "chat_template", None)
    if isinstance(found, dict):
        if "default" not in found:
            names = ", ".join(map(repr, found))
            raise UserFacingError(
                f"{_name(tokenizer)} comes as {names} and none is named 'default': rename the one "
                f"to use, or {PLAIN}."
            )
        found = found["default"]
    if found and len(found) > LONGEST:
        raise Unbounded(
            f"{_name(tokenizer)} is longer than {LONGEST} characters, which no template is: "
            f"correct it, or {PLAIN}."
        )
    return found or None


def _name(tokenizer: Any) -> str:
    """Return how a sentence names a tokenizer's chat template."""
    folder = Path(getattr(tokenizer, "name_or_path", "") or "")
    own = folder / "chat_template.jinja"
    if own.is_file():
        return f"The chat template {own}"
    return f"The chat template of {folder}" if folder.name else "The chat template"


def _taken(tokenizer: Any) -> frozenset[str] | None:
    """Return what no switch of a template can be called; None if a tokenizer renders by itself."""
    from transformers import PreTrainedTokenizerBase

    usual = PreTrainedTokenizerBase.apply_chat_template
    if type(tokenizer).apply_chat_template is not usual:
        return None
    return frozenset(inspect.signature(usual).parameters) - {"tools", "documents"} | {"messages"}
