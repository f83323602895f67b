"""Summaries of a generated post, read as the templates of its kind: is each slot's value the fact?

It is strict: a value is called wrong only where it certainly is not the fact, and what cannot be
judged is left alone. Knows nothing of models.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.demo.kinds import SLOT
from core.demo.posts import Post
from core.demo.values import Fact
from core.demo.wording import ENDINGS, OPENINGS, SUBJECTS

_OPENING = "|".join(re.escape(opening) for opening in sorted(OPENINGS, key=len, reverse=True))
_ENDING = "|".join(re.escape(ending) for ending in sorted(ENDINGS, key=len, reverse=True))
_SUBJECT = "|".join(re.escape(subject) for subject in sorted(SUBJECTS, key=len, reverse=True))
_NUMERIC = frozenset(
    "money count word_count percent age year duration distance weight date time".split()
)
_LISTED = frozenset("month weekday".split())
LONGEST = 5
"""A slot of more words than this is not a value but a sentence gone astray."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text read as a summary template: its slots, what fills each, and whether that is right."""

    slots: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    states: tuple[bool | None, ...]

    @property
    def wrong(self) -> tuple[tuple[str, int, int], ...]:
        """The slots that certainly are wrong: name, start, end (code points)."""
        filled = zip(self.slots, self.spans, self.states, strict=True)
        return tuple((slot, *span) for slot, span, state in filled if state is False)


def readings(post: Post, text: str, templates: Sequence[str]) -> Iterator[Reading]:
    """Yield the text read as each of the templates that it fits."""
    for template in templates:
        found = _pattern(template).fullmatch(text)
        if found is not None:
            slots = tuple(SLOT.findall(template))
            spans = tuple(found.span(f"slot{number}") for number in range(len(slots)))
            states = (
                judge(post, slot, text[a:b]) for slot, (a, b) in zip(slots, spans, strict=True)
            )
            yield Reading(slots, spans, tuple(states))


def _pattern(template: str) -> re.Pattern[str]:
    parts, last, number = "", 0, 0
    for slot in SLOT.finditer(template):
        parts += re.escape(template[last : slot.start()]) + f"(?P<slot{number}>\\S.{{0,40}}?)"
        last, number = slot.end(), number + 1
    parts += re.escape(template[last:])
    parts = re.sub(
        r"^(The\\ poster|The\\ writer|OP|The\\ author|Someone)\b",
        lambda _: f"(?i:{_SUBJECT})",
        parts,
    )
    if parts.endswith("\\."):
        parts = f"{parts[:-2]}(?:{_ENDING})?\\."
    return re.compile(f"(?:(?:{_OPENING}) )?{parts}")


def judge(post: Post, slot: str, value: str) -> bool | None:
    """Return True if ``value`` is a slot's fact, False if it certainly is not, else None."""
    fact = post.facts[slot]
    said, forms = value.casefold(), {form.casefold() for form in fact.in_post + fact.in_summary}
    if said in forms:
        return True
    if len(value.split()) > LONGEST or any(said in form or form in said for form in forms):
        return None
    if any(said in _said(other) for name, other in post.facts.items() if name != slot):
        return False
    if fact.type in _NUMERIC:
        return False if any(character.isdigit() for character in value) else None
    if fact.type == "choice":
        entries = post.kind.facts[slot]["choices"]
        return False if said in {_summary(entry).casefold() for entry in entries} else None
    capital = value[0].isupper() or fact.type in _LISTED
    return False if capital and said not in post.text.casefold() else None


def _summary(entry: str | list[str]) -> str:
    return entry if isinstance(entry, str) else entry[1]


def _said(fact: Fact) -> set[str]:
    return {form.casefold() for form in fact.in_post + fact.in_summary}
