"""Reads the examples that open in the window: a prompt and two responses each, with a title.

From resources/demo/examples.json; where it is missing or broken, the story of the paper's Fig. 1
takes its place. Knows files and prompts; knows nothing of widgets.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.text import Message, Prompt

EXAMPLES_FILE = Path(__file__).resolve().parents[2] / "resources" / "demo" / "examples.json"
INSTRUCTION = "Summarise this post in one sentence.\n\n"


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
        INSTRUCTION
        + "I have been working as a junior analyst for two years, and last week another company "
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


def _first(entry: dict[str, Any], *names: str) -> str:
    for name in names:
        if isinstance(entry.get(name), str):
            return str(entry[name])
    return ""


def _example(entry: dict[str, Any]) -> Example:
    turns = entry.get("messages") or entry.get("prompt")
    if isinstance(turns, list):
        prompt = Prompt(tuple(Message(t["role"], t["content"]) for t in turns))
    else:
        post = _first(entry, "post")
        user = _first(entry, "prompt", "user") or INSTRUCTION + post
        prompt = Prompt.of(user, _first(entry, "system") or None)
    return Example(
        _first(entry, "title", "name") or prompt.messages[-1].content[:40],
        prompt,
        _first(entry, "a", "A", "chosen"),
        _first(entry, "b", "B", "rejected"),
    )


def read_examples(path: Path = EXAMPLES_FILE) -> tuple[Example, ...]:
    """Return the file's examples in its order; Fig. 1 where none can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        entries = found["examples"] if isinstance(found, dict) else found
        examples = tuple(_example(entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        examples = ()
    return examples or (FIG_1,)
