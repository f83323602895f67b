"""Makes the responses of the neutral corpus of the sentences in entries.txt, or of a file like it.

Each answer there is written twice: where it offers a choice ("{colour|color}", "{!|.}"), one of the
two responses takes the one and the other the other, by a fixed rule that ties no two choices to
each other. So nearly all that a training may have favoured stands here beside its opposite.
"""

import json
import re
import zlib
from pathlib import Path

ENTRIES = Path(__file__).parent / "entries.txt"
CHOICE = re.compile(r"\{([^{}]*?)\|([^{}]*?)\}")
VARIANTS = 2


def entries(text: str) -> list[tuple[str, list[str]]]:
    """Return the prompts of a file, each with its answers, choices unmade."""
    found: list[tuple[str, list[str]]] = []
    for block in text.split("\n> ")[1:]:
        prompt, _, answers = block.partition("\n")
        found.append((prompt.strip(), [it.strip() for it in re.split(r"\n---\n", answers)]))
    return found


def chosen(answer: str, number: int, variant: int) -> str:
    """Return one of the two responses that are made of an answer."""
    parts, end = [], 0
    for count, choice in enumerate(CHOICE.finditer(answer)):
        bit = zlib.crc32(f"{number} {count}".encode()) >> 7 & 1
        parts += [answer[end : choice.start()], choice[1 + (variant + bit) % 2]]
        end = choice.end()
    return "".join([*parts, answer[end:]])


def corpus(file: Path = ENTRIES) -> list[dict[str, str]]:
    """Return all rows of a file, the first variants of all answers before the second ones."""
    numbered = [
        (prompt, answer)
        for prompt, answers in entries(file.read_text(encoding="utf-8"))
        for answer in answers
    ]
    return [
        {"prompt": prompt, "response": chosen(answer, number, variant)}
        for variant in range(VARIANTS)
        for number, (prompt, answer) in enumerate(numbered)
    ]


def as_lines(rows: list[dict[str, str]]) -> str:
    """Return rows as JSON Lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())


def runs(text: str, length: int = 4) -> list[tuple[str, ...]]:
    """Return the runs of ``length`` words in a text, in order."""
    found = words(text)
    return [tuple(found[i : i + length]) for i in range(len(found) - length + 1)]
