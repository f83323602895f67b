"""Texts for the benchmarks: random words, each of them one token, after one prompt."""

import random
from collections.abc import Sequence
from typing import Any

from core.text import Prompt

PROMPT = Prompt.of("Continue this list of words.")


class Texts:
    """Responses to PROMPT of any number of tokens, from words that are one token after a space."""

    def __init__(self, codec: Any, known: Sequence[str]) -> None:
        self.codec = codec
        self.known = list(known)
        self.start = list(codec.prompt_ids(PROMPT))
        """The prompt's ids."""

    def words(self, length: int, number: int) -> list[str]:
        """The words of a text that has ``length`` tokens with its prompt; ``number``: which."""
        return random.Random(number).choices(self.known, k=length - len(self.start))

    def tokens(self, words: list[str]) -> Any:
        """The response's tokens as Qscope scores them."""
        return self.codec.encode(PROMPT, joined(words))

    def ids(self, length: int, number: int) -> list[int]:
        """The whole text as ids, prompt and response."""
        return [*self.start, *self.tokens(self.words(length, number)).ids]


def joined(words: list[str]) -> str:
    """Words as a text in which each follows a space."""
    return "".join(f" {word}" for word in words)
