"""What a response's credit depends on: the parts of the prompt, left out one at a time.

A measured dependence, not an explanation: without the part the models read another prompt. Knows
texts and numbers; has nothing scored itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.scoring import Scoring
from core.text import Prompt, Unit, spans, words

By = Literal["word", "sentence", "turn"]
SPEAKS = 0.5
"""Share of a reward's size by which it must change for a part to be said to bear on it."""
Bearing = Literal["against", "for", ""]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a prompt: ``text[start:stop]`` of the message at ``turn``, in code points."""

    turn: int
    start: int
    stop: int
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """A word, number or mark of a response: the rows of its tokens, and what it says."""

    rows: range
    text: str


def groups(scoring: Scoring) -> tuple[Group, ...]:
    """Return the words, numbers and marks of a response in order, each closing token by itself."""
    tokens, found = scoring.tokens, []
    for rows in words(tokens):
        text = tokens.text[tokens.starts[rows.start] : tokens.ends[rows.stop - 1]].strip()
        found.append(Group(rows, text or "".join(scoring.labels[rows.start : rows.stop])))
    closing = range(len(tokens), len(scoring))
    return (*found, *(Group(range(row, row + 1), scoring.labels[row]) for row in closing))


def parts(prompt: Prompt, by: By = "sentence") -> tuple[Part, ...]:
    """Return the parts of a prompt in order, without the white space around them."""
    found = []
    unit: Unit = "sentence" if by == "turn" else by
    for turn, message in enumerate(prompt.messages):
        text = message.content
        cuts = [(0, len(text))] if by == "turn" else spans(text, unit)
        for start, stop in cuts:
            bare = text[start:stop].strip()
            if bare:
                first = start + text[start:stop].index(bare)
                found.append(Part(turn, first, first + len(bare), bare))
    return tuple(found)


def without(prompt: Prompt, part: Part) -> Prompt:
    """Return the prompt less one of its parts, and less the white space that stood before it.

    At a turn's start the white space behind it goes; a turn of which nothing is left stays, empty.
    """
    message = prompt.messages[part.turn]
    before, after = message.content[: part.start], message.content[part.stop :]
    kept = before.rstrip() + after if before.strip() else before + after.lstrip()
    left = (*prompt.messages[: part.turn], replace(message, content=kept))
    return replace(prompt, messages=(*left, *prompt.messages[part.turn + 1 :]))


def bearing(whole: float, less: float, floor: float = 0.0) -> Bearing:
    """Return how a part bears on a reward: what it is with all of the prompt, and without the part.

    "against": without it the reward is higher by more than half of its size, and by more than
    ``floor``, its noise; "for": lower by as much; "": neither.
    """
    change, enough = less - whole, max(SPEAKS * abs(whole), floor)
    if abs(change) <= enough:
        return ""
    return "against" if change > 0 else "for"


def strongest(
    prompt_parts: Sequence[Part], whole: float, less: Sequence[float], floor: float = 0.0
) -> tuple[tuple[Part, Bearing, float], ...]:
    """Return the parts that bear on a reward, the strongest first: part, how, reward without it."""
    found = [
        (part, bearing(whole, value, floor), value)
        for part, value in zip(prompt_parts, less, strict=True)
    ]
    return tuple(
        sorted((it for it in found if it[1]), key=lambda it: abs(it[2] - whole), reverse=True)
    )


def matrix(
    whole: ArrayLike, less: Sequence[ArrayLike | None], group: Sequence[range]
) -> NDArray[np.float64]:
    """Return how each group of tokens changes without each part, [parts, groups].

    Args:
        whole: what each token adds to the sum with all of the prompt, [n].
        less: the same without each part; None where that could not be scored.
        group: the rows of each group, as of a word.

    A row of NaN where it is not known. Above 0: without the part the group has more.
    """
    found = np.full((len(less), len(group)), np.nan)
    with_all = np.asarray(whole, dtype=np.float64)
    for row, values in enumerate(less):
        own = None if values is None else np.asarray(values, dtype=np.float64)
        if own is not None and own.shape == with_all.shape:
            found[row] = [(own - with_all)[it.start : it.stop].sum() for it in group]
    return found
