"""Says in words which of two responses is preferred, which word costs the other most, what to try.

It says no more than the numbers do: no preference below the noise floor or near a coin's toss, no
probability where beta is unknown or a loss's score is no sum over tokens, no blame where a token's
number only says how likely it is. Knows scorings, their alignment and losses; knows nothing of
widgets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.engine.protocol import Side
from core.noise import NOISELESS, NoiseFloor
from core.present.credit import IMPLICIT, Credit
from core.present.numerals import signed
from core.present.pair import PairNumbers, pair_noise, pair_numbers
from core.present.units import Floats, Ints, groups
from core.scoring import Scoring
from core.text import Alignment

CLEAR = 0.6
"""Probability from which a preference is called one; below 1 less this it is the other's."""
MARKS = " \t\n.,;:!?…\"“”'‘’()[]"
LONGEST = 32
"""Characters of a word that are quoted."""
TRIED = 48
"""Characters up to which an edit is offered to be tried."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a response: its rows, the sum of what they add, the least and the most of them."""

    side: Side
    rows: range
    text: str
    total: float
    worst: float
    best: float


@dataclass(frozen=True, slots=True)
class Edit:
    """What to try: put ``new`` in the place of ``text[start:stop]``, which is ``old``, in a side.

    ``start`` and ``stop`` count the code points of the response.
    """

    side: Side
    start: int
    stop: int
    old: str
    new: str

    @property
    def invitation(self) -> str:
        """Return the edit as an invitation, without a full stop."""
        return f"Try: change “{self.old}” to “{self.new}” in {self.side}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Two sentences about a pair, each "" where nothing can be said, and an edit to try."""

    headline: str = ""
    detail: str = ""
    word: Word | None = None
    """The word that ``detail`` names."""
    edit: Edit | None = None


def verdict(
    known: Mapping[Side, Scoring],
    pairs: Alignment | None,
    beta: float | None,
    credit: Credit = IMPLICIT,
    noise: NoiseFloor = NOISELESS,
) -> Verdict:
    """Return what can be said of two responses that are both scored; nothing of one alone.

    Args:
        known: the scorings of "A" and "B".
        pairs: how they are aligned; None: not yet, and no edit is offered.
        beta: None where it is not known; numbers are then in nats.
    """
    if len(known) < 2:
        return Verdict()
    a, b = known["A"], known["B"]
    if np.array_equal(a.ids, b.ids):
        return Verdict("A and B are the same.")
    scale = 1.0 if beta is None else beta
    numbers = pair_numbers(a, b, beta, credit)
    margin = numbers.sum_a - numbers.sum_b
    floor = pair_noise(a, b, scale, noise, credit)[2]
    headline, clear = _headline(numbers, margin, floor, beta, credit, noise)
    if not (clear and credit.blames):
        return Verdict(headline)
    better: Side = "A" if margin >= 0 else "B"
    worse: Side = "B" if better == "A" else "A"
    lost = _outstanding(worse, known[worse], scale, credit, noise, -1.0)
    if lost is not None:
        detail = f"{worse} loses most at “{lost.text}” ({_sum(lost, 'worst', lost.worst)})."
        return Verdict(headline, detail, lost, _edit(known, pairs, better, worse, lost))
    won = _outstanding(better, known[better], scale, credit, noise, 1.0)
    if won is None:
        return Verdict(headline)
    detail = f"{better} gains most at “{won.text}” ({_sum(won, 'best', won.best)})."
    return Verdict(headline, detail, won, _edit(known, pairs, better, worse, won))


def _sum(word: Word, which: str, extreme: float) -> str:
    """Return a word's sum, and where it is of many tokens, the one by which it is coloured."""
    total = signed(word.total, 1)
    return total if len(word.rows) == 1 else f"{total}; {which} token {signed(extreme, 1)}"


def _headline(
    numbers: PairNumbers,
    margin: float,
    floor: float,
    beta: float | None,
    credit: Credit,
    noise: NoiseFloor,
) -> tuple[str, bool]:
    """Return the first sentence, and whether one response is clearly preferred."""
    if margin == 0.0:
        return f"No preference: A and B have the same {credit.of_pairs}.", False
    if abs(margin) <= floor:
        return f"No clear preference: the margin is below the noise floor of {noise.dtype}.", False
    better = "A" if margin > 0 else "B"
    chance = numbers.preference if credit.objective.additive else None
    if chance is None:
        said = f"{better}’s {credit.of_pairs} is higher by {abs(margin):.2f} {credit.unit(beta)}"
        if not credit.blames:
            return f"{said}: likelihood, not reward.", True
        return f"{said}{'' if beta is not None else ', while β is not known'}.", True
    sure = chance if margin > 0 else 1.0 - chance
    if sure < CLEAR:
        return f"No clear preference (σ of the margin {chance:.3f}).", False
    shown = f"{sure:.3f}" if sure < 0.9995 else "above 0.999"
    return f"The policy prefers {better} (σ of the margin {shown}).", True


def words(side: Side, scoring: Scoring, beta: float, credit: Credit = IMPLICIT) -> tuple[Word, ...]:
    """Return the words of a response in order, the closing token as a word of its own."""
    values = credit.of(scoring, beta)
    bounds = _bounds(scoring)
    return tuple(_word(side, scoring, values, *span) for span in pairwise(bounds.tolist()))


def _bounds(scoring: Scoring) -> Ints:
    """Return where words begin, and the end, as rows, [words + 1]."""
    group = groups(scoring.tokens, "word", len(scoring))
    return np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [len(group)]])


def _word(side: Side, scoring: Scoring, values: Floats, start: int, stop: int) -> Word:
    """Return the word of some rows."""
    tokens = scoring.tokens
    inside = range(start, min(stop, len(tokens)))
    text = tokens.text[tokens.starts[start] : tokens.ends[inside[-1]]] if inside else ""
    text = text.strip(MARKS) or text.strip() or scoring.labels[start]
    own = values[start:stop]
    numbers = float(own.sum()), float(own.min()), float(own.max())
    return Word(side, range(start, stop), _short(text), *numbers)


def _extremes(
    side: Side, scoring: Scoring, beta: float, credit: Credit, sign: float, most: int
) -> list[Word]:
    """Return the words whose sums are furthest on one side of 0, the furthest first."""
    values, bounds = credit.of(scoring, beta), _bounds(scoring)
    totals = sign * np.add.reduceat(values, bounds[:-1])
    order = np.argsort(-totals, kind="stable")[:most]
    return [_word(side, scoring, values, int(bounds[i]), int(bounds[i + 1])) for i in order]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _outstanding(
    side: Side,
    scoring: Scoring,
    beta: float,
    credit: Credit,
    noise: NoiseFloor,
    sign: float,
) -> Word | None:
    """Return the word whose sum is furthest on one side of 0; None if none is above the noise."""
    (found,) = _extremes(side, scoring, beta, credit, sign, most=1)
    return found if sign * found.total > _floor(found, scoring, beta, credit, noise) else None


def _floor(word: Word, scoring: Scoring, beta: float, credit: Credit, noise: NoiseFloor) -> float:
    """Return the size that a word's sum must exceed to be told."""
    floor = float(noise.of_rewards(credit.scale(beta, len(scoring)), len(word.rows)))
    return max(floor, 0.05)  # what is shown as 0.0 is no loss


def worst_words(
    known: Mapping[Side, Scoring],
    beta: float,
    credit: Credit = IMPLICIT,
    noise: NoiseFloor = NOISELESS,
    most: int = 3,
) -> tuple[Word, ...]:
    """Return the words that cost most, of all responses together and above the noise; the worst
    first."""
    if not credit.blames:
        return ()
    found = [
        word
        for side, scoring in known.items()
        for word in _extremes(side, scoring, beta, credit, -1.0, most)
        if -word.total > _floor(word, scoring, beta, credit, noise)
    ]
    return tuple(sorted(found, key=lambda it: it.total)[:most])


def _edit(
    known: Mapping[Side, Scoring], pairs: Alignment | None, better: Side, worse: Side, word: Word
) -> Edit | None:
    """Return the edit that brings what the worse response has at a word into the better one."""
    if pairs is None:
        return None
    spans = {"A": pairs.edited_a, "B": pairs.edited_b}
    here, there = spans[better], spans[worse]
    of_word = spans[word.side]
    touched = [i for i, span in enumerate(of_word) if set(span) & set(word.rows)]
    for index in touched:
        old = _span(known[better], here[index])
        new = _span(known[worse], there[index])
        if old is None or new is None or max(len(old[0]), len(new[0])) > TRIED:
            continue
        return Edit(better, old[1], old[1] + len(old[0]), old[0], new[0])
    return None


def _span(scoring: Scoring, span: range) -> tuple[str, int] | None:
    """Return the text of tokens without white space around it, and its start; None if none."""
    tokens = scoring.tokens
    if not span:
        return None
    start, stop = tokens.starts[span[0]], tokens.ends[span[-1]]
    text = tokens.text[start:stop]
    bare = text.strip()
    return (bare, start + len(text) - len(text.lstrip())) if bare else None
