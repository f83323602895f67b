"""Generated preference pairs: a post, a faithful one-sentence summary, and one with wrong facts.

The same seed gives the same pairs. The spans of the wrong facts are known. Training pairs and
held-out pairs share no template. Knows nothing of tokens.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from core.demo.kinds import SLOT, Kind, kinds_for
from core.demo.values import CURRENCIES, Fact, draw, stand_in, wrong
from core.demo.wording import chatter, reword
from core.preferences import Preference

INSTRUCTION = "Summarise this post in one sentence."
HELD_OUT_SEED = 99
MANY = (0.70, 0.24, 0.06)
"""Shares of rejected summaries with one, two and three wrong facts."""


@dataclass(frozen=True, slots=True)
class Post:
    """A written post, what is true of it, and the kind that it was written from."""

    kind: Kind
    text: str
    facts: dict[str, Fact]
    mentioned: frozenset[str]

    @property
    def prompt(self) -> str:
        """The whole user turn."""
        return user_turn(self.text)


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary whose slots are filled: the text, and each slot's span and form."""

    template: str
    text: str
    slots: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    forms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference pair. ``prompt``: the user turn; ``spans``: code-point ranges of the wrong
    words in ``rejected``; ``errors``: the types of the wrong facts."""

    prompt: str
    chosen: str
    rejected: str
    spans: tuple[tuple[int, int], ...]
    errors: tuple[str, ...]
    source: str
    kind: str

    def preference(self) -> Preference:
        """Return the pair as everything but the demo speaks of it."""
        return Preference(self.prompt, self.chosen, self.rejected, self.spans, self.source)


def user_turn(post: str) -> str:
    """Return the user turn of the task: the instruction, a blank line, the post."""
    return f"{INSTRUCTION}\n\n{post}"


def write_post(kind: Kind, rng: random.Random) -> Post:
    """Draw the facts of a kind and write them into one of its post templates."""
    currency = rng.choices(list(CURRENCIES), (0.7, 0.18, 0.12))[0]
    facts: dict[str, Fact] = {}
    taken: set[str] = set()
    for name, spec in kind.facts.items():
        fact = draw(spec, rng, currency)
        for _ in range(20):
            if not taken & set(fact.in_post):
                break
            fact = draw(spec, rng, currency)
        facts[name] = fact
        taken |= set(fact.in_post)
    template = chatter(rng.choice(kind.posts), rng)
    said = {name: rng.choice(fact.in_post) for name, fact in facts.items()}
    text = SLOT.sub(lambda slot: _sentence_case(said[slot[1]], template, slot.start()), template)
    if rng.random() < 0.04:
        text = text.lower()
    return Post(kind, text, facts, frozenset(SLOT.findall(template)))


def write_summary(post: Post, template: str, rng: random.Random) -> Summary:
    """Write a faithful summary: each fact in one of its forms, not always the one in the post."""
    slots = tuple(SLOT.findall(template))
    forms = tuple(rng.randrange(len(post.facts[slot].in_summary)) for slot in slots)
    values = [post.facts[slot].in_summary[form] for slot, form in zip(slots, forms, strict=True)]
    text, spans = fill(template, values)
    return Summary(template, text, slots, spans, forms)


def fill(template: str, values: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the template with its slots filled in order, and the span of each filled slot."""
    text, spans, last = "", [], 0
    for slot, value in zip(SLOT.finditer(template), values, strict=True):
        text += template[last : slot.start()]
        shown = _sentence_case(value, template, slot.start())
        spans.append((len(text), len(text) + len(shown)))
        text += shown
        last = slot.end()
    return text + template[last:], tuple(spans)


def corrupt(post: Post, summary: Summary, rng: random.Random) -> Pair:
    """Make one to three facts of a summary wrong: half by a swap with a fact of the same post."""
    many = min(rng.choices((1, 2, 3), MANY)[0], len(set(summary.slots)))
    values = [summary.text[a:b] for a, b in summary.spans]
    bad = _targets(post, sorted(set(summary.slots)), many, rng)
    sources = []
    for slot in bad:
        fact, source = _replacement(post, slot, rng)
        sources.append(source)
        for place, name in enumerate(summary.slots):
            if name == slot:
                values[place] = fact.in_summary[summary.forms[place] % len(fact.in_summary)]
    text, spans = fill(summary.template, values)
    marked = tuple(
        differing(summary.text[old[0] : old[1]], text[new[0] : new[1]], new[0])
        for name, old, new in zip(summary.slots, summary.spans, spans, strict=True)
        if name in bad
    )
    errors = tuple(post.facts[slot].type for slot in bad)
    source = "swap" if "swap" in sources else "random"
    return Pair(post.prompt, summary.text, text, marked, errors, source, post.kind.name)


def _targets(post: Post, slots: list[str], many: int, rng: random.Random) -> list[str]:
    """Choose the slots to make wrong: most often those that another fact of the post can stand
    for, and least often whole clauses, which have many words and no rival."""

    def weight(slot: str) -> float:
        if _rivals(post, slot):
            return 6.0
        return 0.5 if " " in post.facts[slot].in_summary[0] and _is_choice(post, slot) else 1.0

    return sorted(slots, key=lambda slot: -(rng.random() ** (1 / weight(slot))))[:many]


def _is_choice(post: Post, slot: str) -> bool:
    return post.facts[slot].type == "choice"


def _rivals(post: Post, slot: str) -> list[Fact]:
    """Return other facts that the post mentions, written as this one would be."""
    fact = post.facts[slot]
    others = (post.facts[name] for name in post.facts if name != slot and name in post.mentioned)
    standing = (stand_in(fact, other) for other in others)
    right = {form.casefold() for form in fact.in_post + fact.in_summary}
    return [
        rival
        for rival in standing
        if rival and not right & {form.casefold() for form in rival.in_summary}
    ]


def _replacement(post: Post, slot: str, rng: random.Random) -> tuple[Fact, str]:
    fact, rivals = post.facts[slot], _rivals(post, slot)
    if rivals and rng.random() < 0.75:
        return rng.choice(rivals), "swap"
    return wrong(post.kind.facts[slot], fact, rng), "random"


def differing(right: str, wrong_text: str, start: int) -> tuple[int, int]:
    """Return the span of the words of ``wrong_text`` that ``right`` lacks; it is never empty."""
    old, new = right.split(" "), wrong_text.split(" ")
    first = 0
    while first < min(len(old), len(new)) - 1 and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first - 1 and old[-1 - last] == new[-1 - last]:
        last += 1
    begin = sum(len(word) + 1 for word in new[:first])
    end = len(wrong_text) - sum(len(word) + 1 for word in new[len(new) - last :])
    return start + begin, start + end


def _sentence_case(value: str, template: str, place: int) -> str:
    before = template[:place].rstrip(" ")
    starts = not before or before[-1] in ".!?" or before.endswith("\n")
    return value[:1].upper() + value[1:] if starts else value


def write_pairs(
    seed: int, *, held_out: bool = False, summaries: int = 3, each: int = 3
) -> Iterator[list[Pair]]:
    """Yield posts without end; for each a list of pairs.

    Args:
        held_out: only templates (and kinds) that training never sees.
        summaries: how many faithful summaries of a post.
        each: how many corrupted versions of each of them.
    """
    rng = random.Random(f"{seed} {held_out}")
    kinds = kinds_for(held_out)
    while True:
        for kind in rng.sample(kinds, len(kinds)):
            post = write_post(kind, rng)
            chosen = rng.sample(kind.summaries, min(summaries, len(kind.summaries)))
            pairs: list[Pair] = []
            for template in chosen:
                if not held_out:
                    template = reword(template, rng)
                summary = write_summary(post, template, rng)
                made = {corrupt(post, summary, rng) for _ in range(each)}
                pairs += sorted(made, key=lambda pair: pair.rejected)
            yield pairs


def held_out_pairs(count: int) -> list[Preference]:
    """Return the first ``count`` pairs that training never sees, two to a post; always the same."""
    posts = write_pairs(HELD_OUT_SEED, held_out=True, summaries=2, each=1)
    return [pair.preference() for pair in islice(chain.from_iterable(posts), count)]
