"""A fact checker for summaries that a model wrote of a generated post.

It is strict: it judges only a text that reads as one of the kind's summary templates, and calls a
slot wrong only where it holds a value that certainly is not the fact. What it cannot judge it
leaves alone. Knows nothing of models.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from core.demo.kinds import SLOT
from core.demo.posts import Pair, Post, differing
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
        """The slots that certainly are wrong: name, start, end."""
        filled = zip(self.slots, self.spans, self.states, strict=True)
        return tuple((slot, *span) for slot, span, state in filled if state is False)


def readings(post: Post, text: str, templates: Sequence[str]) -> Iterator[Reading]:
    """The text as each of the templates that it fits."""
    for template in templates:
        found = _pattern(template).fullmatch(text)
        if found is not None:
            slots = tuple(SLOT.findall(template))
            spans = tuple(found.span(f"slot{number}") for number in range(len(slots)))
            states = (
                judge(post, slot, text[a:b]) for slot, (a, b) in zip(slots, spans, strict=True)
            )
            yield Reading(slots, spans, tuple(states))


def check(post: Post, text: str) -> Pair | None:
    """A pair whose rejected summary is ``text`` and whose chosen one has its facts put right.

    Returns None where no template fits, no fact or more than three are wrong, or a slot cannot be
    judged.
    """
    for reading in readings(post, text, post.kind.summaries):
        if None not in reading.states and 1 <= len(reading.wrong) <= 3:
            return _pair(post, text, reading)
    return None


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
    """Whether ``value`` is a slot's fact. True: right, False: certainly wrong, None: can't tell."""
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


def _like(value: str, forms: tuple[str, ...]) -> str:
    """The form that looks most like a value, digits being alike."""
    shape = re.sub(r"\d", "0", value)

    def likeness(form: str) -> float:
        return SequenceMatcher(None, re.sub(r"\d", "0", form), shape).ratio()

    return max(forms, key=likeness)


def _summary(entry: str | list[str]) -> str:
    return entry if isinstance(entry, str) else entry[1]


def _said(fact: Fact) -> set[str]:
    return {form.casefold() for form in fact.in_post + fact.in_summary}


def _pair(post: Post, text: str, reading: Reading) -> Pair:
    chosen, last, spans, errors = "", 0, [], []
    for slot, start, end in reading.wrong:
        right = _like(text[start:end], post.facts[slot].in_summary)
        if start == 0:
            right = right[:1].upper() + right[1:]
        chosen += text[last:start] + right
        spans.append(differing(right, text[start:end], start))
        errors.append(post.facts[slot].type)
        last = end
    chosen += text[last:]
    return Pair(post.prompt, chosen, text, tuple(spans), tuple(errors), "reference", post.kind.name)
