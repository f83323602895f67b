"""The prompts of a sweep: drawn from a source that is registered here, or read from a file.

Knows nothing of models, nor who registers sources.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import sweeps
from core.errors import UserFacingError
from core.sweeps.record import SweepSpec
from core.tables import read_objects
from core.text import Prompt

USUAL = 20
"""How many prompts a source gives where the sweep does not say."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and the response to compare with if there is one.

    ``about``: what the prompt's source knows of it, for a judge that is made for that source.
    """

    prompt: str
    system: str | None = None
    chosen: str | None = None
    about: Any = None

    @property
    def turns(self) -> Prompt:
        return Prompt.of(self.prompt, self.system)


@dataclass(frozen=True, slots=True)
class Source:
    """Prompts that can be asked for without a file; ``draw(count)`` returns so many of them.

    ``draw`` raises UserFacingError where it cannot. The same count gives the same prompts.
    """

    name: str
    title: str
    draw: Callable[[int], list[Question]]


_SOURCES: dict[str, Source] = {}


def register(name: str, title: str, draw: Callable[[int], list[Question]]) -> None:
    """Offer a source of prompts, in place of one that has the same name."""
    _SOURCES[name] = Source(name, title, draw)


def sources() -> dict[str, Source]:
    """Return all sources by name; the first is the one that is asked if none is named."""
    sweeps.extend()
    return dict(_SOURCES)


def source_of(spec: SweepSpec) -> str:
    """Return the name of the source that a sweep draws from; "" if it reads a file."""
    return "" if spec.prompt_file else spec.source or next(iter(sources()), "")


def questions_of(spec: SweepSpec) -> list[Question]:
    """Return the prompts that a sweep asks for.

    Raises:
        UserFacingError: there are none, or the file cannot be used.
    """
    if not spec.prompt_file:
        source = sources().get(source_of(spec))
        if source is None:
            raise UserFacingError("There is no such source of prompts: give a file of prompts.")
        return source.draw(USUAL if spec.prompts is None else spec.prompts)
    found = read_questions(Path(spec.prompt_file))[: spec.prompts]
    if spec.against == "chosen" and any(question.chosen is None for question in found):
        number = next(n for n, question in enumerate(found, 1) if question.chosen is None)
        raise UserFacingError(
            f'Prompt {number} of {spec.prompt_file} has no "chosen" to compare with: add it, or '
            f"compare with the reference model (--against reference-greedy)."
        )
    return found


def read_questions(path: Path) -> list[Question]:
    """Return the prompts of a JSON Lines file of {"prompt", "system"?, "chosen"?}.

    Raises:
        UserFacingError: it cannot be used; the sentence names the line.
    """
    found = []
    for where, value in read_objects(path, ("prompt",)):
        system, chosen = value.get("system"), value.get("chosen")
        for key, text in (("system", system), ("chosen", chosen)):
            if text is not None and not isinstance(text, str):
                raise UserFacingError(f'{where}: "{key}" is not a string.')
        if not value["prompt"].strip():
            raise UserFacingError(f"{where}: the prompt is empty.")
        found.append(Question(value["prompt"], system, chosen))
    if not found:
        raise UserFacingError(f'{path} has no prompts: give one {{"prompt": "…"}} a line.')
    return found
