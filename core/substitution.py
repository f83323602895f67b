"""What else could stand in a response: a place in it, what may take that place, and what results.

A place is a token, a word or what a user has selected. Knows tokens and alternatives; knows nothing
of what the two models make of the texts that come of it (core.present.effects does).
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.scoring import Alternative, Inspection
from core.text import Alignment, Tokens, shared_prefix, words


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a response: the tokens ``first`` up to ``last``, at least one.

    ``text[start:stop]`` is what they say, in code points, without the white space around it.
    """

    first: int
    last: int
    start: int
    stop: int

    @property
    def rows(self) -> range:
        """Return the rows of its tokens in a scoring."""
        return range(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Idea:
    """What may stand in a place: these tokens, or, where ``ids`` is None, this text.

    ``text`` is what to call it; tokens bring their own white space, a text keeps what is there.
    """

    text: str
    ids: tuple[int, ...] | None = None
    source: str = ""
    """Where it comes from, in words."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A response with something else in a place: its text, or its tokens."""

    text: str
    ids: tuple[int, ...] | None


LEFT_OUT = Idea("(left out)", (), "left out")
TYPED = "typed"


# --- places -------------------------------------------------------------------------------------


def site_of_rows(tokens: Tokens, first: int, last: int) -> Site | None:
    """Return the place of some tokens; None where there are none that could be replaced.

    The closing token and what a template writes cannot.
    """
    first, last = max(first, tokens.opening), min(last, len(tokens))
    if first >= last:
        return None
    start, stop = tokens.starts[first], tokens.ends[last - 1]
    text = tokens.text[start:stop]
    bare = text.strip()
    if bare:
        start += text.index(bare)
        stop = start + len(bare)
    return Site(first, last, start, stop)


def site_of_word(tokens: Tokens, index: int) -> Site | None:
    """Return the place of the word, number or mark that a token belongs to; None as above."""
    found = next((it for it in words(tokens) if index in it), None)
    return site_of_rows(tokens, found.start, found.stop) if found is not None else None


def site_of_text(tokens: Tokens, start: int, stop: int) -> Site | None:
    """Return the place of ``text[start:stop]``, in code points; None where it says nothing.

    Tokens that lie in it in part belong to it, but texts replace only what was meant.
    """
    text = tokens.text[start:stop]
    bare = text.strip()
    if not bare:
        return None
    start += text.index(bare)
    stop = start + len(bare)
    rows = [
        index
        for index in range(tokens.opening, len(tokens))
        if tokens.starts[index] < stop and tokens.ends[index] > start
    ]
    return Site(rows[0], rows[-1] + 1, start, stop) if rows else None


def whole_tokens(tokens: Tokens, site: Site) -> bool:
    """Return whether a place is that of whole tokens, so that others can stand for them."""
    whole = site_of_rows(tokens, site.first, site.last)
    return whole is not None and (whole.start, whole.stop) == (site.start, site.stop)


# --- what may stand there -----------------------------------------------------------------------


def of_models(inspection: Inspection, current: Sequence[int]) -> tuple[Idea, ...]:
    """Return the likeliest tokens of both models, each as one for all that stands there.

    The policy's come first; what stands there now (``current``, ids) is left out.
    """
    found: dict[int, Idea] = {}
    for source, choices in (("π", inspection.by_policy), ("π_ref", inspection.by_reference)):
        for it in choices:
            if (it.id,) != tuple(current):
                found.setdefault(it.id, Idea(it.label, (it.id,), f"likely under {source}"))
    return tuple(found.values())


def of_typed(line: str) -> tuple[Idea, ...]:
    """Return the texts of a list that is divided by commas; one with a comma stands in quotes."""
    found = next(csv.reader([line], skipinitialspace=True), [])
    return tuple(Idea(it, None, TYPED) for it in dict.fromkeys(map(str.strip, found)) if it)


def of_other(
    tokens: Tokens, site: Site, other: Tokens, pairs: Alignment, side: str
) -> tuple[Idea, ...]:
    """Return what the other response has in the place, if the two differ just there.

    ``side``: which response ``tokens`` are, "A" or "B", as in ``pairs``.
    """
    own, there = (
        (pairs.edited_a, pairs.edited_b) if side == "A" else (pairs.edited_b, pairs.edited_a)
    )
    for here, span in zip(own, there, strict=True):
        found = site_of_rows(other, span.start, span.stop)
        edited = site_of_rows(tokens, here.start, here.stop)
        if found is None or edited is None:
            continue
        if site.start <= edited.start and edited.stop <= site.stop:
            before, after = tokens.text[site.start : edited.start], edited.stop
            text = before + other.text[found.start : found.stop] + tokens.text[after : site.stop]
            return (Idea(text, None, "the other response"),)
    return ()


def put(tokens: Tokens, site: Site, idea: Idea) -> Changed:
    """Return a response with something else in a place; all other tokens, or letters, stay."""
    if idea.ids is not None:
        return Changed("", (*tokens.ids[: site.first], *idea.ids, *tokens.ids[site.last :]))
    return Changed(tokens.text[: site.start] + idea.text + tokens.text[site.stop :], None)


def rows_apart(old: Tokens, new: Tokens, site: Site, idea: Idea) -> tuple[range, range]:
    """Return the rows of what stands in a place: in the response as it was, and with something
    else there.

    Those before are the same tokens in both; those after come downstream. A token that a text is
    merged with belongs to it.
    """
    if idea.ids is not None:
        return site.rows, range(site.first, site.first + len(idea.ids))
    first = min(shared_prefix(old.ids, new.ids), site.first)
    stop = site.start + len(idea.text)
    return range(first, _after(old, first, site.stop)), range(first, _after(new, first, stop))


def _after(tokens: Tokens, first: int, stop: int) -> int:
    """Return the first row from ``first`` on that begins at a position or behind it."""
    return next((i for i in range(first, len(tokens)) if tokens.starts[i] >= stop), len(tokens))


# --- all places of a response -------------------------------------------------------------------


def by_size(tokens: Tokens, rewards: ArrayLike) -> tuple[int, ...]:
    """Return the tokens that can be replaced, those with the largest rewards, or the smallest,
    first."""
    size = -np.abs(np.asarray(rewards, dtype=np.float64)[: len(tokens)])
    order = np.argsort(size, kind="stable")
    return tuple(int(i) for i in order if i >= tokens.opening)


def promising(
    alternatives: Iterable[Alternative], current: int, sign: float
) -> Iterator[Alternative]:
    """Yield the tokens that could stand in place of one, by what each alone would add.

    ``sign``: 1 where rewards are to rise, −1 where they are to fall; ``current``: what stands
    there, which is left out. A token that both models list comes once.
    """
    once = {it.id: it for it in alternatives if it.id != current}

    def gain(it: Alternative) -> float:
        reference = 0.0 if it.logp_reference is None else it.logp_reference
        return sign * (it.logp_policy - reference)

    yield from sorted(once.values(), key=gain, reverse=True)
