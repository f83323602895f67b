"""The prompts of a sweep: posts of the demo that training never saw, or a file of one's own.

Knows nothing of models.
"""

import random
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.demo.kinds import kinds_for
from core.demo.posts import Post, write_post, write_summary
from core.errors import UserFacingError
from core.jsonl import read_objects
from core.sweeps.record import MOST_PROMPTS, SweepSpec
from core.text import Prompt

SEED = "sweep 1"
"""Of the demo's posts. Training, and demo evaluate, draw with other seeds."""
USUAL = 20


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, the response to compare with if there is one, and the post if it is generated."""

    prompt: str
    system: str | None = None
    chosen: str | None = None
    post: Post | None = None

    @property
    def turns(self) -> Prompt:
        return Prompt.of(self.prompt, self.system)


def questions_of(spec: SweepSpec) -> list[Question]:
    """The prompts that a sweep asks for.

    Raises:
        UserFacingError: there are none, or the file cannot be used.
    """
    if spec.prompts is not None and not 1 <= spec.prompts <= MOST_PROMPTS:
        raise UserFacingError(f"The prompts must be from 1 to {MOST_PROMPTS}, not {spec.prompts}.")
    if not spec.prompt_file:
        return demo_questions(USUAL if spec.prompts is None else spec.prompts)
    found = read_questions(Path(spec.prompt_file))[: spec.prompts]
    if spec.against == "chosen" and any(question.chosen is None for question in found):
        number = next(n for n, question in enumerate(found, 1) if question.chosen is None)
        raise UserFacingError(
            f'Prompt {number} of {spec.prompt_file} has no "chosen" to compare with: add it, or '
            f"compare with the reference model (--against reference-greedy)."
        )
    return found


def demo_questions(count: int) -> list[Question]:
    """Held-out generated posts, each with a faithful summary; always the same.

    Raises:
        UserFacingError: Faker, which draws names and places, is not installed.
    """

    def drawn() -> list[Question]:
        rng = random.Random(SEED)
        kinds = kinds_for(held_out=True)
        found: list[Question] = []
        while len(found) < count:
            for kind in islice(rng.sample(kinds, len(kinds)), count - len(found)):
                post = write_post(kind, rng)
                summary = write_summary(post, rng.choice(kind.summaries), rng)
                found.append(Question(post.prompt, chosen=summary.text, post=post))
        return found

    try:
        return drawn()
    except ModuleNotFoundError as error:
        raise UserFacingError(
            "The demo's posts need the Python package Faker: run 'pip install -e .[train]', or "
            "give a file of prompts."
        ) from error


def read_questions(path: Path) -> list[Question]:
    """The prompts of a JSON Lines file of {"prompt", "system"?, "chosen"?}.

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
