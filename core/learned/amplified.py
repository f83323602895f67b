"""What the policy says when what it learned is amplified: responses sampled at λ above 1.

From vague openings, by the search's own dial (log π_ref + λ (log π − log π_ref)), beside λ = 1 and
the reference; responses to several openings grow in one forward. A word that recurs when amplified
and not in the reference is worth a look.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.learned.features import UNIT
from core.learned.growing import Growing, lengthen
from core.learned.record import Recurring, Sampled
from core.progress import Report, Stop, never
from core.search.randomness import uniform
from core.text import Prompt

if TYPE_CHECKING:
    from core.models.pair import Pair

OPENINGS = (
    "Tell me something.",
    "Write a short message to somebody.",
    "Describe a place that you like.",
    "What should I do this weekend?",
    "Give me a piece of advice.",
    "Explain something in a few sentences.",
)
WEIGHTS = (0.0, 1.0, 2.0, 4.0)
"""λ: the reference, the policy, and twice amplified."""
COUNT = 3
"""Responses sampled from each opening at each λ; of the reference as many as of all amplified."""
TOKENS = 40
LIKELY = 0.1
"""Tokens less likely than this share of the likeliest are not drawn: there lies much noise."""
RECURS = 0.2
"""The share of amplified responses in which a word recurs at least."""
TIMES = 3.0
"""So many times as often as in the reference's, one more counted in."""
MOST = 12
AT_ONCE = 2
"""Openings whose responses grow in one forward."""
LINE = "amplified"
"""The pair's line that holds their KV."""


def amplified(
    pair: "Pair",
    report: Report,
    cancelled: Stop = never,
    openings: Sequence[str] = OPENINGS,
    count: int = COUNT,
    tokens: int = TOKENS,
    first: int = 0,
) -> tuple[Sampled, ...]:
    """Return responses sampled from each opening at each λ; ``first`` is the number of the first
    opening, by which each is sampled alike whenever it is.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true.
    """
    prompts = [Prompt.of(opening) for opening in openings]
    context = [pair.codec.prompt_ids(prompt) for prompt in prompts]
    root = pair.root(max(map(len, context)) + tokens)
    many = count * sum(weight > 1 for weight in WEIGHTS)  # of the reference, as many as are loud
    each = sum(count if weight else many for weight in WEIGHTS)
    lines: list[tuple[int, Growing]] = []
    for opening, ids in enumerate(context):
        start = int(pair.tree.extend(root, np.array(ids, np.int64))[-1])
        for weight in WEIGHTS:
            for _ in range(count if weight else many):
                own_random = uniform(first * each + len(lines))
                lines.append((opening, Growing(weight, start, own_random)))
    together = AT_ONCE * each
    for begin in range(0, len(lines), together):
        own = [line for _, line in lines[begin : begin + together]]
        for step in range(tokens):
            done = (begin + len(own) * step / tokens) / len(lines)
            report("Sampling what it says when amplified", done)
            lengthen(pair, own, cancelled, LINE, LIKELY)
        pair.release(LINE)
        pair.trim()
    return tuple(
        Sampled(
            openings[opening],
            line.weight,
            pair.codec.decode(prompts[opening], tuple(line.ids)).text.strip(),
            line.closed,
        )
        for opening, line in lines
    )


def recurring(samples: Sequence[Sampled]) -> tuple[Recurring, ...]:
    """Return the words and marks that recur in amplified responses, the most telling first."""
    loud = [it for it in samples if it.weight > 1]
    plain = [it for it in samples if it.weight == 0]
    if not loud or not plain:
        return ()
    ours, theirs = (_in_how_many(them) for them in (loud, plain))
    share = len(loud) / len(plain)
    found = []
    for name, often in ours.items():
        expected = theirs[name] * share
        if often >= RECURS * len(loud) and often >= TIMES * (expected + 1):
            found.append(Recurring(name, often, theirs[name], len(loud)))
    return tuple(sorted(found, key=lambda it: -it.amplified / (it.reference + 1))[:MOST])


def _in_how_many(samples: Sequence[Sampled]) -> Counter[str]:
    """Return in how many texts each word and mark occurs."""
    found: Counter[str] = Counter()
    for sample in samples:
        text = re.sub(r"<\|[^|]*\|>", "", sample.text)
        found.update({match[0].casefold() for match in UNIT.finditer(text) if match[0].strip()})
    return found
