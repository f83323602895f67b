"""Minimal pairs: a finding tested by changing nothing but what it is about.

Of responses in which it was found, spread from the strongest to the weakest, one thing is changed:
a spelling for the other, "!" for ".", a clause moved, the active voice for the passive, a word for
the one that the reference finds likeliest there, or left out where nothing can stand in its place.
Making them needs texts and the recorded states alone; scoring them is the pair's business.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.learned import words
from core.learned.features import opposites
from core.learned.record import Context, Finding, MinimalPair
from core.learned.rewriting.edit import Edit
from core.learned.rewriting.person import to_third
from core.learned.rewriting.voice import to_active, to_passive
from core.learned.rewriting.whole import PROPERTIES
from core.learned.states import States
from core.progress import Report, Stop, never

if TYPE_CHECKING:
    from core.models.pair import Pair

TESTED = 10
"""Minimal pairs of a finding, at most."""
FEWEST = 5
"""Minimal pairs, below which nothing is confirmed."""
ENOUGH = 0.8
"""Share of them whose sign must be the finding's."""
LEFT_OUT = frozenset(("emoji", "phrase", "opening", "close", "hedge", "politeness", "layout"))
"""Kinds of which what was found is left out, where it has no opposite."""
APART = re.compile(r"(?:(?<=[.!?] )|(?<=\n)|^)(\w+(?:['’]\w+)?(?: \w+){0,2})(?=[,:!] )")
"""What opens a sentence and is set apart: "Good question:", "Well,"."""
OF_WORDS = "No minimal pair can be made of {}: another word says something else."
NONE = {
    "language": "No minimal pair can be made of a language: it would change every word.",
    "short words": OF_WORDS.format("how long words are"),
    "long words": OF_WORDS.format("how long words are"),
    "different words": OF_WORDS.format("how many different words there are"),
}
"""Why none can be made of a kind of findings, or of a property of responses."""
NOWHERE = "No minimal pair could be made: nowhere could this be changed, and nothing else."
OTHER_UNIT = {
    "km": "miles",
    "kilometres": "miles",
    "metres": "yards",
    "m": "yards",
    "cm": "inches",
    "kg": "pounds",
    "g": "ounces",
    "litres": "pints",
    "litre": "pint",
    "ml": "ounces",
    "metre": "yard",
    "centimetre": "inch",
}
MARKS = {"?": ".", ":": ",", ",": "", "(": "", ")": "", "“": '"', "”": '"', "**": "", "`": ""}


@dataclass(frozen=True, slots=True)
class Change:
    """A response that differs from another in one thing."""

    context: Context
    before: str
    after: str
    text: str


def changes(finding: Finding, states: States) -> list[Change]:
    """Return the minimal pairs of a finding, none where its kind has none."""
    made, seen = [], set()
    for change in _every(finding, states):
        key = change.before, change.text
        own = states.texts[change.context.response]
        if change.text != own and change.text.strip() and key not in seen:
            seen.add(key)
            made.append(change)
        if len(made) == TESTED:
            break
    return made


def _every(finding: Finding, states: States) -> Iterator[Change]:
    """Yield the changes that can be made, those first whose places are spread over all."""
    if _aspect(finding) in NONE:
        return
    if finding.kind == "properties":
        for side, rewrite in PROPERTIES.get(_aspect(finding), {}).items():
            for number in _spread(len(states.texts)):
                if edit := rewrite(states.texts[number]):
                    yield _edited(number, states.texts[number], edit, side)
        return
    for place in _spread(len(finding.contexts)):
        if (change := _changed(finding, finding.contexts[place], states)) is not None:
            yield change
    if finding.kind == "passive":
        own = {it.response for it in finding.contexts}
        for number in _spread(len(states.texts)):
            if number not in own and (edit := to_passive(states.texts[number])):
                yield _edited(number, states.texts[number], edit, -1)


def _aspect(finding: Finding) -> str:
    """Return which property of whole responses a finding is of; of another one its kind."""
    of_whole = finding.kind == "properties"
    return finding.name.removeprefix("responses with many ") if of_whole else finding.kind


def _spread(count: int) -> list[int]:
    """Return the numbers up to ``count``, TESTED of them first that are spread over all."""
    step = max(1, count // TESTED)
    first = range(0, count, step)
    return [*first, *(it for it in range(count) if it % step)]


def _edited(response: int, text: str, edit: Edit, side: int) -> Change:
    """Return a response with one place rewritten; ``side``: −1 where it then has what is named."""
    context = Context(response, edit.start, edit.stop, 0.0, side)
    return Change(context, text[edit.start : edit.stop], edit.after, edit.of(text))


def _changed(finding: Finding, context: Context, states: States) -> Change | None:
    """Return a response with one thing changed at a context; None where nothing can be."""
    text = states.texts[context.response]
    start, stop = context.start, context.stop
    before = text[start:stop]
    if finding.kind in ("passive", "person"):
        edit = (to_active if finding.kind == "passive" else to_third)(text, start)
        return _edited(context.response, text, edit, context.side) if edit else None
    if finding.kind == "length":
        short = _first_sentence(text)
        return Change(replace(context, side=-1), text, short, short) if short else None
    if finding.kind == "clause order" or (
        finding.kind == "opening" and before.casefold() in words.JOINING
    ):
        moved = _moved_clause(text, start, stop)
        return Change(context, text, moved, moved) if moved else None
    if finding.kind == "commas":
        return _comma(context, text)
    known = opposites()
    key = before.casefold()
    if finding.kind == "contraction":
        start, stop, after = _contracted(text, start, stop)
        before = text[start:stop]
    elif key in OTHER_UNIT and finding.kind == "units":
        after = OTHER_UNIT[key]
    elif key in known:
        after = _cased(known[key], before)
    elif key in MARKS:
        after = MARKS[key]
    elif finding.kind == "casing":
        after = before.capitalize() if before.islower() else before.lower()
    elif finding.kind in LEFT_OUT:
        after = ""
        if apart := APART.match(text, start):  # "Good question: draw": what is left out goes whole
            stop = max(stop, apart.end(1))
            before = text[start:stop]
    else:
        after = _likely_instead(finding, context, states) or ""
    return _put(context, text, start, stop, before, after)


def _put(
    context: Context, text: str, start: int, stop: int, before: str, after: str
) -> Change | None:
    """Return a text with something else in a place; what is left out takes its white space along,
    and the sentence that it opened begins with a capital."""
    if after:
        return Change(context, before, after, text[:start] + after + text[stop:])
    head, tail = text[:start], text[stop:]
    opens = head.rstrip()[-1:] in (".", "!", "?") and tail[:1] in (",", ":", ";", "!")
    if not head or head.endswith("\n") or opens:
        tail = re.sub(r"^[,;:.!]?[ \t]*", "", tail)
    elif head.endswith(" ") and (tail[:1] in " .,;:!?\n" or not tail):
        head = head[:-1].removesuffix(",")
    opened = not head.strip() or head.rstrip()[-1:] in ".!?"
    if opened and before[:1].isupper():
        at = len(tail) - len(tail.lstrip())
        tail = tail[:at] + tail[at : at + 1].upper() + tail[at + 1 :]
    changed = head + tail
    return Change(context, before, "", changed) if changed.strip() else None


def _cased(word: str, like: str) -> str:
    """Return a word with a capital where another has one."""
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def _first_sentence(text: str) -> str:
    """Return the first sentence of a text of several, else ""."""
    found = re.search(r"[.!?](?=\s+\S)", text)
    return text[: found.end()] if found else ""


def _moved_clause(text: str, start: int, stop: int) -> str:
    """Return a text in which a clause that came first comes last, or the other way; else ""."""
    begin = max((m.end() for m in re.finditer(r"[.!?]\s+|\n", text[:start])), default=0)
    end = re.search(r"[.!?]", text[stop:])
    if end is None:
        return ""
    close = stop + end.start()
    sentence = text[begin:close]
    word = text[start:stop]
    if start == begin:
        clause, comma, rest = sentence.partition(", ")
        if not comma:
            return ""
        moved = f"{rest[:1].upper()}{rest[1:]} {clause[:1].lower()}{clause[1:]}"
    else:
        head = sentence[: start - begin].rstrip(" ,")
        clause = sentence[start - begin :]
        if not head or len(head.split()) < 2 or "," in clause:
            return ""
        moved = f"{word[:1].upper()}{clause[1:]}, {head[:1].lower()}{head[1:]}"
    return text[:begin] + moved + text[close:]


def _comma(context: Context, text: str) -> Change | None:
    """Return a text without the comma before "and" at the end of a list, or with one."""
    start, stop = context.start, context.stop
    if text[start:stop] == ",":
        return Change(context, ",", "", text[:start] + text[stop:])
    at = len(text[:start].rstrip())
    if text[at - 1 : at] == ",":
        return Change(context, ",", "", text[: at - 1] + text[at:])
    return Change(context, "", ",", text[:at] + "," + text[at:])


def _contracted(text: str, start: int, stop: int) -> tuple[int, int, str]:
    """Return a place and what to put there: the full form of a contraction, or the other way."""
    word = text[start:stop].replace("’", "'")
    full = words.uncontracted(word)
    if full != word:
        return start, stop, full
    before = re.search(r"(\w+) $", text[:start])
    short = {long.strip(): end for end, long in words.FULL.items()}.get(word.casefold(), "")
    if before is None or not short:
        return start, stop, word
    return before.start(), stop, before[1] + short


def _likely_instead(finding: Finding, context: Context, states: States) -> str:
    """Return the word that the reference finds likeliest in a place, but those of the finding."""
    bounds = states.first_rows()
    rows = np.arange(bounds[context.response], bounds[context.response + 1])
    here = rows[(states.stop[rows] > context.start) & (states.start[rows] < context.stop)]
    if not len(here):
        return ""
    row = int(here[0])
    text = states.texts[context.response]
    own = {it.name for it in (*finding.members, *finding.exceptions)}
    own |= {text[context.start : context.stop].casefold()}
    spaced = states.start[row] < context.start or context.start == 0
    order = np.argsort(-states.likely_reference[row], kind="stable")
    for token in states.likely[row][order].tolist():
        piece = states.pieces[token]
        word = piece.strip()
        if word.isalpha() and word.casefold() not in own and (piece[:1] == " " or not spaced):
            if any(word.casefold() in name or name in word.casefold() for name in own):
                continue
            return str(word)
    return ""


def confirmed_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings in their order, those last that their own minimal pairs do not confirm."""
    return tuple(
        sorted(findings, key=lambda it: len(it.pairs) >= FEWEST and it.status != "confirmed")
    )


def confirmed(
    pair: "Pair",
    findings: Sequence[Finding],
    states: States,
    report: Report,
    cancelled: Stop = never,
) -> list[Finding]:
    """Return the findings with their minimal pairs scored, and whether these confirm them.

    Raises:
        Cancelled: soon after ``cancelled()`` turns true.
    """
    from core.models.score import score_all

    totals = np.bincount(states.response, states.ratio, len(states.texts))
    found = []
    for number, finding in enumerate(findings):
        report("Testing the findings on minimal pairs", number / max(1, len(findings)))
        made = []
        for change in changes(finding, states):
            prompt = states.prompts[change.context.response]
            tokens = pair.codec.encode(prompt, change.text)
            if len(tokens.context) + len(tokens) + len(tokens.closing) <= pair.context_length:
                made.append((change, (prompt, tokens)))
        scorings = score_all(pair, [it for _, it in made], cancelled, "minimal pairs")
        pairs, places = [], []
        for (change, _), scoring in zip(made, scorings, strict=True):
            assert scoring.logp_reference is not None
            own = change.context.response
            total = float((scoring.logp_policy - scoring.logp_reference).sum())
            lost = float(totals[own]) - total
            moved = change.context.side * lost
            pairs.append(MinimalPair(own, change.before, change.after, change.text, moved))
            places.append(replace(change.context, effect=lost))
        pair.trim()
        agreeing = sum(it.change * finding.effect > 0 for it in pairs)
        sure = len(pairs) >= FEWEST and agreeing >= ENOUGH * len(pairs)
        found.append(
            replace(
                finding,
                # What is of whole responses has no places but those at which it was changed.
                contexts=finding.contexts or tuple(places),
                pairs=tuple(pairs),
                unpaired="" if pairs else NONE.get(_aspect(finding), NOWHERE),
                status="confirmed" if sure else "seen, not confirmed",
            )
        )
    pair.release("minimal pairs")
    return found
