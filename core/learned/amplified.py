"""What the policy says when what it learned is amplified: responses sampled at λ above 1.

From vague openings, through the search's own sampling and dial (core.search), beside λ = 1 and the
reference. A word that recurs when amplified and not in the reference is worth a look.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.learned.features import UNIT
from core.learned.record import Recurring, Sampled
from core.progress import Report, Stop, never
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


def amplified(
    pair: "Pair",
    report: Report,
    cancelled: Stop = never,
    openings: Sequence[str] = OPENINGS,
    count: int = COUNT,
    tokens: int = TOKENS,
    weights: Sequence[float] = WEIGHTS,
    first: int = 0,
) -> tuple[Sampled, ...]:
    """Return responses sampled from each opening at each λ; ``first`` is the number of the first
    opening, by which each is sampled alike whenever it is.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true.
    """
    from core.search.grown import GrownTree
    from core.search.run import Run
    from core.search.spec import Objective, SearchSpec
    from core.search.strategies.sampling import Sampling

    found: list[Sampled] = []
    for number, opening in enumerate(openings, first):
        for place, weight in enumerate(weights):
            report(
                "Sampling what it says when amplified",
                (number - first + place / len(weights)) / len(openings),
            )
            many = count if weight else count * sum(it > 1 for it in WEIGHTS)
            spec = SearchSpec(
                Sampling(count=many, min_p=LIKELY, seed=number),
                objective=Objective.dial(weight),
                max_tokens=tokens,
            )
            search, tree = Run(pair, Prompt.of(opening), (), spec), GrownTree()
            while (growth := search.step(cancelled)) is not None:
                tree.add(growth)
            found += [
                Sampled(opening, weight, it.text.strip(), tree.is_closed(it.index))
                for it in tree.hypotheses(spec)
            ]
    return tuple(found)


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
