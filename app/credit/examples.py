"""Reads the examples that open in the window: a prompt and two responses each, with a title.

From resources/demo/examples.json; where it is missing or broken, the story of the paper's Fig. 1
takes its place. Knows files and prompts; knows nothing of widgets.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from core.text import Prompt

EXAMPLES_FILE = Path(__file__).resolve().parents[2] / "resources" / "demo" / "examples.json"


@dataclass(frozen=True)
class Example:
    """A prompt and two responses that one click puts into the window."""

    title: str
    prompt: Prompt
    a: str
    b: str


FIG_1 = Example(
    "A job offer (the paper's Fig. 1)",
    Prompt.of(
        "Summarise this post in one sentence.\n\n"
        "I have been working as a junior analyst for two years, and last week another company "
        "in Leeds offered me a job as an analyst for $53K a year. I make $48K now and I like my "
        "team, but the new place has better training and a shorter commute. My manager says he "
        "cannot match the offer before spring. I have to answer by Friday and I keep changing my "
        "mind. Should I take it?"
    ),
    "They were offered an analyst job in Leeds for $53K a year and must decide by Friday whether "
    "to leave a team they like.",
    "They were offered a management position in Leeds for $250K a year and must decide by Friday "
    "whether to leave a team they like.",
)


def read_examples(path: Path = EXAMPLES_FILE) -> tuple[Example, ...]:
    """Return the file's examples in its order; Fig. 1 where none can be read."""
    try:
        examples = tuple(
            Example(str(one["title"]), Prompt.of(str(one["prompt"])), str(one["a"]), str(one["b"]))
            for one in json.loads(path.read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, KeyError, TypeError):
        examples = ()
    return examples or (FIG_1,)
