"""Responses drawn from the reference itself, as a corpus: what it would have said is what counts.

At temperature 1 and with nothing filtered out, to prompts that are given; response number i draws
from the random numbers of seed i, so the same pair says the same again. Some responses grow in one
forward, some tokens at a step; nothing of it holds nodes of the tree between two steps.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.errors import UserFacingError
from core.learned.corpus import FEWEST, Sample
from core.learned.growing import Growing, lengthen
from core.learned.states import require_reference
from core.progress import Stop
from core.search.randomness import forked, uniform
from core.text import Prompt

if TYPE_CHECKING:
    from core.models.pair import Pair

TOKENS = 64
"""Of a response at most."""
SHORTEST = 4
"""Tokens, below which a response is left out."""
AT_ONCE = 16
"""Responses that grow in one forward."""
A_STEP = 8
"""Tokens of each that one step draws."""
LINE = "sampled"
"""The pair's line that holds their KV."""


class Drawn(NamedTuple):
    """A response that was drawn, and how many tokens it has."""

    prompt: Prompt
    text: str
    tokens: int

    @property
    def is_long(self) -> bool:
        """Return whether there is enough of it."""
        return self.tokens >= SHORTEST and bool(self.text.strip())


class Sampling:
    """Responses of the reference, drawn a step at a time."""

    def __init__(self, pair: "Pair", prompts: Sequence[Prompt], count: int) -> None:
        """Begin with none of ``count``; prompts that come twice are asked no oftener.

        Raises:
            UserFacingError: there is no reference, or no prompt that leaves room for a response.
        """
        require_reference(pair)
        room = pair.context_length - TOKENS
        self._pair, self._count = pair, count
        self._prompts = [
            it for it in dict.fromkeys(prompts) if 0 < len(pair.codec.prompt_ids(it)) <= room
        ]
        if not self._prompts:
            raise UserFacingError(
                f"None of the {len(prompts):,} prompts leaves room for {TOKENS} tokens in the "
                f"models' context: name a file with shorter ones with --data FILE."
            )
        self.drawn: list[Drawn] = []
        """All so far, those that are left out among them."""
        self._open: list[Growing] = []
        self._length = 0
        """Tokens that the open ones have, but those that are closed."""

    @property
    def ended(self) -> bool:
        """Return whether all are drawn."""
        return len(self.drawn) == self._count

    def step(self, cancelled: Stop) -> float:
        """Draw some more tokens; return which share of all is drawn.

        Raises:
            Cancelled: soon after ``cancelled()`` turns true; none of these is drawn.
        """
        prompts = [self._prompt(len(self.drawn) + i) for i in range(self._together)]
        lines, length, pair = self._taken_up(prompts), self._length, self._pair
        while length < min(self._length + A_STEP, TOKENS) and not all(it.closed for it in lines):
            lengthen(pair, lines, cancelled, LINE)
            length += 1
            for it in lines:
                _end_at_special(pair, it)
        if length < TOKENS and not all(it.closed for it in lines):
            self._open, self._length = lines, length
            return (len(self.drawn) + len(lines) * length / TOKENS) / self._count
        for prompt, line in zip(prompts, lines, strict=True):
            text = pair.codec.decode(prompt, tuple(line.ids)).text.rstrip("\ufffd")
            self.drawn.append(Drawn(prompt, text, len(line.ids)))
        self._open, self._length = [], 0
        pair.release(LINE)
        pair.trim()
        return len(self.drawn) / self._count

    def samples(self) -> list[Sample]:
        """Return the responses that are long enough, each once.

        Raises:
            UserFacingError: they are too few to tell anything from.
        """
        found = [
            Sample(prompt, text, f"sample {number}")
            for number, (prompt, text) in enumerate(self._kept(), 1)
        ]
        if len(found) < FEWEST:
            raise UserFacingError(
                f"The reference said {len(found)} different things of at least {SHORTEST} tokens, "
                f"and nothing can be told from fewer than {FEWEST}: sample more with --sampled N, "
                f"or leave it out for the neutral corpus."
            )
        return found

    def sentence(self, corpus: str) -> str:
        """Return how the responses came about; ``corpus``: what the prompts are of."""
        kept = len(self._kept())
        short = sum(not it.is_long for it in self.drawn)
        repeated = self._count - short - kept
        return (
            f"{self._count:,} responses were sampled from the reference at temperature 1, of up to "
            f"{TOKENS} tokens, to {min(self._count, len(self._prompts)):,} prompts of {corpus}, "
            f"from a fixed seed. Left out: {short:,} shorter than {SHORTEST} tokens, {repeated:,} "
            f"that had come before."
        )

    @property
    def _together(self) -> int:
        return min(AT_ONCE, self._count - len(self.drawn))

    def _prompt(self, number: int) -> Prompt:
        """Return what a response answers: prompts are spread over all, responses to one stand
        together."""
        return self._prompts[number * len(self._prompts) // self._count]

    def _taken_up(self, prompts: Sequence[Prompt]) -> list[Growing]:
        """Return copies of the open responses at the states that they have come to."""
        first, pair = len(self.drawn), self._pair
        lines = self._open or [Growing(0.0, 0, uniform(first + i)) for i in range(len(prompts))]
        context = [pair.codec.prompt_ids(prompt) for prompt in prompts]
        root = pair.root(max(map(len, context)) + TOKENS)
        return [
            replace(
                it,
                node=int(pair.tree.extend(root, np.array([*ids, *it.ids], np.int64))[-1]),
                ids=[*it.ids],
                random=forked(it.random),
            )
            for it, ids in zip(lines, context, strict=True)
        ]

    def _kept(self) -> list[tuple[Prompt, str]]:
        return list(dict.fromkeys((it.prompt, it.text) for it in self.drawn if it.is_long))


def _end_at_special(pair: "Pair", line: Growing) -> None:
    """End a response at a special token, which is no text: what would follow is another turn."""
    if line.ids and pair.codec.is_special(line.ids[-1]):
        line.ids.pop()
        line.closed = True
