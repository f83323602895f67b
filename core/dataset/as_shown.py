"""A scored pair as the credit view takes it: turns before, and a text for each side.

Knows pairs; knows nothing of files or windows.
"""

from dataclasses import replace

from core.errors import UserFacingError
from core.preferences import Preference, Side
from core.text import Message, Prompt


def as_texts(pair: Preference) -> tuple[Prompt, str, str]:
    """Return a pair's prompt, and what chosen and rejected say after it.

    Turns that both sides begin with alike are a part of the prompt.

    Raises:
        UserFacingError: a side is more than the text of one last turn of the assistant.
    """
    prompt = pair.turns
    one, other = map(_turns, (pair.chosen, pair.rejected))
    while len(one) > 1 and len(other) > 1 and one[0] == other[0]:
        prompt = replace(prompt, messages=(*prompt.messages, one[0]))
        one, other = one[1:], other[1:]
    if len(one) != 1 or len(other) != 1:
        raise UserFacingError(
            "The sides of this pair part before their last turn: the credit view has one prompt "
            "for both, so read the pair below the table."
        )
    for last in (*one, *other):
        if last.role != "assistant" or last.more:
            raise UserFacingError(
                "A side of this pair is more than text of the assistant (tool calls, reasoning): "
                "the credit view shows text alone, so read the pair below the table."
            )
    return prompt, one[0].content, other[0].content


def _turns(side: Side) -> tuple[Message, ...]:
    return (Message("assistant", side),) if isinstance(side, str) else side
