"""Lists a prompt and a response token by token as the models read them, with what there is to say.

What the border, BOS, EOS and the closing tokens are, and what is not scored, is found out by
core.codec; here it is put into words. Knows nothing of models or windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.finding import Finding, Level
from core.text import Prompt, Tokens

if TYPE_CHECKING:  # the window names the record before anything is read
    from core.codec import Codec, Rendering

Role = Literal["prompt", "template", "response"]


@dataclass(frozen=True, slots=True)
class AsRead:
    """All tokens of a prompt and a response; of these, ``[first:stop]`` are scored."""

    ids: tuple[int, ...]
    labels: tuple[str, ...]
    roles: tuple[Role, ...]
    """Whose each token is: "template" also for what the tokenizer or the trainer adds."""
    first: int
    stop: int
    findings: tuple[Finding, ...]


def as_read(codec: "Codec", prompt: Prompt, tokens: Tokens, beside: str | None = None) -> AsRead:
    """Return how a prompt and a response, with the tokens that it has, are read.

    Args:
        beside: the response that it is paired with, if there is one.
    """
    rendering = codec.rendering(prompt, tokens.text)
    own = codec.encode(prompt, tokens.text)
    rest = rendering.ids[len(own.context) + len(own.ids) + len(own.closing) :]
    ids = (*tokens.context, *tokens.ids, *tokens.closing, *rest)
    first = len(tokens.context)
    roles: list[Role] = ["template"] * len(ids)
    for i in _of_turns(prompt, rendering):
        if i < first:
            roles[i] = "prompt"
    roles[first + tokens.opening : first + len(tokens)] = ["response"] * (
        len(tokens) - tokens.opening
    )
    found = [*remarks(codec, tokens), *_findings(codec, prompt, tokens, rendering, rest)]
    if beside is not None:
        paired = codec.encode(prompt, tokens.text, beside).context
        if more := tokens.context[len(paired) :]:
            found.append(
                Finding(
                    "pair",
                    "warning",
                    f"Paired with the other response it begins {len(more)} tokens earlier: a "
                    f"training on this pair scores {_shown(codec, more)} too.",
                )
            )
    return AsRead(
        ids, codec.labels_of(ids), tuple(roles), first, len(ids) - len(rest), tuple(found)
    )


def remarks(codec: "Codec", tokens: Tokens) -> tuple[Finding, ...]:
    """Return what should be seen without being asked for: the warnings on a response alone."""
    found = []
    if codec.date:
        found.append(
            Finding(
                "date",
                "warning",
                f"The chat template writes the date: {codec.date} is read here, in training it was "
                f"the day of the training.",
            )
        )
    bos = codec.begin_of_text
    if bos is not None and tokens.context[:2] == (bos, bos):
        found.append(Finding("BOS", "warning", f"The text begins with {codec.label(bos)} twice."))
    first, last = min(tokens.starts, default=0), max(tokens.ends, default=0)
    if dropped := (tokens.text[:first] + tokens.text[last:]).strip():
        found.append(
            Finding(
                "response",
                "warning",
                f"{len(dropped)} characters of the response are not scored: the chat template "
                f"leaves them out, or writes them before it.",
            )
        )
    return tuple(found)


def _shown(codec: "Codec", ids: tuple[int, ...]) -> str:
    return "".join(codec.labels_of(ids))


def _of_turns(prompt: Prompt, rendering: "Rendering") -> list[int]:
    """Return which tokens hold what a turn of the prompt says."""
    text, at = rendering.place.text[: rendering.place.start], 0
    said = np.zeros(len(rendering.place.text) + 1, np.int64)
    for message in prompt.messages:
        content = message.content.strip()
        found = text.find(content, at)
        if content and found >= 0:
            at = found + len(content)
            said[found + 1 : at + 1] = 1
    before = np.cumsum(said)
    starts, ends = rendering.reading.spans.T
    return (np.flatnonzero(before[ends] > before[starts]) + rendering.added).tolist()


def _findings(
    codec: "Codec", prompt: Prompt, tokens: Tokens, rendering: "Rendering", rest: tuple[int, ...]
) -> Iterator[Finding]:
    """Yield what there is to say of each part, in its order."""
    place, bos = rendering.place, codec.begin_of_text
    how = "Prompt and response are rendered by the chat template."
    if not codec.has_chat_template:
        how = "The texts are read as plain text, without a chat template."
    yield Finding("template", "ok", how)
    if bos is not None and tokens.context[:1] != (bos,):
        yield Finding("BOS", "note", f"The text does not begin with {codec.label(bos)}.")
    elif bos is not None and tokens.context[1:2] != (bos,):
        yield Finding("BOS", "ok", f"The text begins with {codec.label(bos)}.")
    if lost := codec.left_out(prompt, rendering):
        yield Finding(
            "border",
            "note",
            f"The prompt alone ends in {_shown(codec, lost)}, before a response it does not: these "
            f"tokens are not read.",
        )
    else:
        yield Finding("border", "ok", "The prompt reads the same alone and before a response.")
    if opening := tokens.ids[: tokens.opening]:
        said = f"{_shown(codec, opening)} stands before the response and is scored, as in training."
        yield Finding("opening", "note", said)
    if not place.verbatim:
        said = "The chat template writes a part of the response anew."
        yield Finding("response", "warning", said)
    elif place.head < len(tokens.text) and place.head >= len(tokens.text.strip()):
        said = "White space around the response is left out by the chat template."
        yield Finding("response", "note", said)
    closing = _shown(codec, tokens.closing)
    if not tokens.closing:
        yield Finding("end", "note", "Nothing follows the response, as in training.")
    elif not _ends_so(rendering.ids, tokens.closing, rest):
        said = f"The chat template ends a response with nothing; {closing} is scored there."
        yield Finding("end", "warning", said)
    else:
        yield Finding("end", "ok", f"{closing} follows the response and is scored.")
    if rest:
        level: Level = "note" if any(map(codec.is_special, rest)) else "ok"
        yield Finding("not scored", level, f"{_shown(codec, rest)} follows that, not scored.")


def _ends_so(ids: tuple[int, ...], closing: tuple[int, ...], rest: tuple[int, ...]) -> bool:
    return ids[len(ids) - len(rest) - len(closing) : len(ids) - len(rest)] == closing
