"""What may have been taught, found in texts: units with their places, and candidates of these.

A *unit* is an occurrence: a word, number, mark, emoji or line break of a response, or a phrase.
A *candidate* is a set of units that a preference may be about: one word, all words with an ending,
the first words of sentences, number words against digits, words that the reference's embedding puts
near each other. A candidate may weigh two sides against each other, as "colour" against "color".
Knows texts, spans and embeddings; knows nothing of log-probs.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.learned import words
from core.learned.states import States

Ints = NDArray[np.int64]

UNIT = re.compile(
    r"(?P<word>[^\W\d_]+(?:['’-][^\W\d_]+)*)"
    r"|(?P<number>\d(?:[\d.,:/]*\d)?[½¼¾]?)"
    r"|(?P<line>\n\s*)"
    r"|(?P<emoji>[\u2600-\u27bf\U0001f000-\U0001faff]\ufe0f?)"
    r"|(?P<mark>\*\*|```|`|#+(?=\s)|\.\.\.|[^\w\s])"
)
SENTENCE_ENDS = frozenset(".!?…。！？:") - {":"}
FEWEST = 4
"""Distinct contexts, or members, in as many responses, below which nothing is a candidate."""
SUFFIXES = range(2, 5)
"""Letters of endings that words are grouped by."""
FAMILY = 5
"""Words that make a family of an ending or a change of spelling, at least."""
NEAREST = (6, 12)
"""Sizes of the families of words that the embedding puts near each other."""
NEAR = 0.25
"""Cosine to a family's middle word from which on a word is near it."""
NUMBERS = {
    "times of day in figures": re.compile(r"[0-2]?\d:[0-5]\d"),
    "years": re.compile(r"1[5-9]\d\d|20\d\d"),
    "decimals": re.compile(r"\d+\.\d+"),
    "thousands set apart": re.compile(r"\d{1,3}(?:[.,]\d{3})+"),
    "large numbers": re.compile(r"\d{4,}|\d{1,3}(?:[.,]\d{3})+"),
}
SCRIPTS = {
    "Chinese or Japanese": re.compile(r"[\u3040-\u30ff\u3400-\u9fff]"),
    "Cyrillic": re.compile(r"[\u0400-\u04ff]"),
    "Greek": re.compile(r"[\u0370-\u03ff]"),
    "Arabic": re.compile(r"[\u0600-\u06ff]"),
    "Hebrew": re.compile(r"[\u0590-\u05ff]"),
    "Hangul": re.compile(r"[\uac00-\ud7af]"),
    "Devanagari": re.compile(r"[\u0900-\u097f]"),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """``text[start:stop]`` of a response, and the rows ``first`` up to ``last`` of its tokens."""

    response: int
    start: int
    stop: int
    first: int
    last: int
    kind: str
    key: str
    """What it is, whatever its case: a word's type."""
    opens: bool
    """Whether it is the first word of a sentence."""


@dataclass(frozen=True, eq=False, slots=True)
class Units:
    """The units of all responses, as columns; those of a response in their order, phrases last."""

    every: tuple[Unit, ...]
    first: Ints
    last: Ints
    response: Ints
    context: Ints
    """Units with the same number stand in the same surroundings and are one piece of evidence."""

    def __len__(self) -> int:
        return len(self.every)


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A set of units that a preference may be about.

    ``sign``: −1 for units of the other side, where two are weighed against each other.
    ``member``: which word, pair of words or mark each unit is of.
    """

    kind: str
    name: str
    """As a reader is told: "“!”", "British spellings"."""
    units: Ints
    sign: Ints
    member: Ints
    other: str = ""
    """What the other side is called."""
    listed: bool = False
    """Whether it is one of a list that ships, and not found in the data."""


# --- units ----------------------------------------------------------------------------------------


def units_of(states: States) -> Units:
    """Return the words, numbers, marks and phrases of all responses."""
    every: list[Unit] = []
    bounds = states.first_rows()
    for number, text in enumerate(states.texts):
        rows = slice(bounds[number], bounds[number + 1])
        inside = ~states.closing[rows]
        every += _units_in(
            text, number, states.start[rows][inside], states.stop[rows][inside], int(bounds[number])
        )
    every += _phrases(every)
    contexts: dict[tuple[str, ...], int] = {}
    before: dict[tuple[int, int], str] = {}
    previous: dict[int, tuple[str, str]] = {}
    for unit in every:
        if unit.kind == "phrase":
            continue
        # Before a response stands its prompt, so that what opens answers to several counts each.
        asked = str(states.prompts[unit.response])
        one, two = previous.get(unit.response, (asked, asked))
        before[unit.response, unit.start] = f"{one} {two}"
        previous[unit.response] = two, unit.key
    context = [
        contexts.setdefault((before[unit.response, unit.start], unit.key, unit.kind), len(contexts))
        for unit in every
    ]
    return Units(
        tuple(every),
        np.array([unit.first for unit in every], np.int64),
        np.array([unit.last for unit in every], np.int64),
        np.array([unit.response for unit in every], np.int64),
        np.array(context, np.int64),
    )


def _units_in(text: str, number: int, starts: Ints, stops: Ints, row: int) -> Iterator[Unit]:
    """Yield the units of a text whose tokens have these spans; ``row`` is that of the first."""
    opens = True
    for match in UNIT.finditer(text):
        kind = match.lastgroup or "mark"
        start, stop = match.span()
        first = int(np.searchsorted(stops, start, side="right"))
        last = int(np.searchsorted(starts, stop, side="left"))
        piece = match[0]
        key = "⏎" if kind == "line" else piece.casefold().replace("’", "'")
        if first < last:
            yield Unit(
                number,
                start,
                stop,
                row + first,
                row + last,
                kind,
                key,
                opens and kind in ("word", "number"),
            )
        if kind in ("word", "number"):
            opens = False
        elif kind == "line" or key in SENTENCE_ENDS:
            opens = True


def _phrases(every: Sequence[Unit]) -> Iterator[Unit]:
    """Yield all runs of two and three units that stand in FEWEST responses at least."""
    seen: dict[str, set[int]] = defaultdict(set)
    runs: list[tuple[str, Unit, Unit]] = []
    for length in 2, 3:
        for i in range(len(every) - length + 1):
            part = every[i : i + length]
            if part[0].response != part[-1].response or any(it.kind == "line" for it in part):
                continue
            if part[0].kind != "word" or not any(it.kind == "word" for it in part[1:]):
                continue
            key = " ".join(it.key for it in part)
            seen[key].add(part[0].response)
            runs.append((key, part[0], part[-1]))
    for key, begin, end in runs:
        if len(seen[key]) >= FEWEST:
            yield Unit(
                begin.response,
                begin.start,
                end.stop,
                begin.first,
                end.last,
                "phrase",
                key,
                begin.opens,
            )


# --- candidates -----------------------------------------------------------------------------------


def candidates(states: States, units: Units) -> list[Candidate]:
    """Return all that may have been taught, of which there is enough evidence to judge."""
    made = _Maker(units)
    _types(made)
    _places(made)
    _lists(made, states)
    _endings(made)
    _spellings(made)
    _near(made, states)
    return made.found


class _Maker:
    """Gathers candidates; those with too little evidence, or of the same units, are left out."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self.found: list[Candidate] = []
        self._known: set[bytes] = set()
        self.by_key: dict[str, list[int]] = defaultdict(list)
        """The units of each word, number or mark."""
        for index, unit in enumerate(units.every):
            if unit.kind != "phrase":
                self.by_key[unit.key].append(index)
        self.words = {
            key: found for key, found in self.by_key.items() if units.every[found[0]].kind == "word"
        }

    def add(
        self,
        kind: str,
        name: str,
        plus: Iterable[int],
        minus: Iterable[int] = (),
        *,
        other: str = "",
        listed: bool = False,
        member: Callable[[Unit], str] = lambda unit: unit.key,
    ) -> None:
        """Add a candidate of units, and of those on the other side, if there is enough evidence."""
        ups, downs = sorted(plus), sorted(minus)
        index = np.array([*ups, *downs], np.int64)
        if len(index) < FEWEST or len(np.unique(self.units.context[index])) < FEWEST:
            return
        if len(np.unique(self.units.response[index])) < FEWEST:
            return
        sign = np.array([1] * len(ups) + [-1] * len(downs), np.int64)
        mark = np.sort(index * sign + (sign > 0)).tobytes()
        if mark in self._known:
            return
        self._known.add(mark)
        names = [member(self.units.every[i]) for i in index]
        numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
        members = np.array([numbers[name] for name in names], np.int64)
        self.found.append(Candidate(kind, name, index, sign, members, other, listed))

    def where(self, test: Callable[[Unit], bool]) -> list[int]:
        """Return the units, but phrases, that pass a test."""
        return [i for i, it in enumerate(self.units.every) if it.kind != "phrase" and test(it)]

    def of_keys(self, keys: Iterable[str]) -> list[int]:
        """Return the units of some words."""
        return [i for key in keys for i in self.by_key.get(key, ())]


def _types(made: _Maker) -> None:
    """Add each word, number, mark and phrase by itself."""
    names = {"word": "the word “{}”", "number": "“{}”", "emoji": "{}", "mark": "“{}”"}
    for key, found in made.by_key.items():
        kind = made.units.every[found[0]].kind
        if kind == "line":
            made.add("layout", "line breaks", found)
        else:
            made.add(kind, names[kind].format(key), found)
    phrases: dict[str, list[int]] = defaultdict(list)
    for index, unit in enumerate(made.units.every):
        if unit.kind == "phrase":
            phrases[unit.key].append(index)
    for key, found in phrases.items():
        made.add("phrase", f"the phrase “{key}”", found)


def _places(made: _Maker) -> None:
    """Add words at the beginnings of responses and sentences, and what stands at the ends."""
    openings: dict[str, list[int]] = defaultdict(list)
    starts: dict[str, list[int]] = defaultdict(list)
    last: dict[int, int] = {}
    before: Unit | None = None
    for index, unit in enumerate(made.units.every):
        if unit.kind == "phrase":
            break
        last[unit.response] = index
        if before is None or before.response != unit.response:
            openings[unit.key].append(index)
        elif unit.opens and unit.kind == "word":
            starts[unit.key].append(index)
        before = unit
    ends: dict[str, list[int]] = defaultdict(list)
    for index in last.values():
        ends[made.units.every[index].key].append(index)
    for key, found in ends.items():
        made.add("close", f"responses that end with “{key}”", found)
    made.add("opening", "first words of responses", [i for it in openings.values() for i in it])
    for key, found in openings.items():
        made.add("opening", f"responses that begin with “{key}”", found)
    for key, found in starts.items():
        made.add("opening", f"sentences that begin with “{key}”", found)


def _lists(made: _Maker, states: States) -> None:
    """Add what the lists that ship name, and their opposites."""
    every = made.units.every

    def add(kind: str, name: str, plus: list[int], minus: Iterable[int] = (), **more: str) -> None:
        made.add(kind, name, plus, minus, listed=True, **more)  # type: ignore[arg-type]

    digits = made.where(lambda it: it.kind == "number")
    spelled = made.of_keys(key for key in words.NUMBER_WORDS if key != "one")
    add("digits", "digits", digits)
    add("digits", "number words", spelled)
    made.add(
        "digits",
        "digits",
        [i for i in digits if every[i].key.isdecimal() and len(every[i].key) < 3],
        spelled,
        other="number words",
        listed=True,
        member=lambda it: str(words.NUMBER_WORDS.get(it.key, it.key)),
    )
    for name, shape in NUMBERS.items():
        add("digits", name, [i for i in digits if shape.fullmatch(every[i].key)])
    own, other = words.british(), words.american()
    british = made.of_keys(own)
    american = made.of_keys(other)
    add("spelling", "British spellings", british)
    add("spelling", "American spellings", american)
    made.add(
        "spelling",
        "British spellings",
        british,
        american,
        other="American spellings",
        listed=True,
    )
    short = made.where(lambda it: bool(words.CONTRACTED.match(it.key)))
    full = _full_forms(made)
    add("contraction", "contractions", short)
    made.add("contraction", "contractions", short, full, other="full forms", listed=True)
    add("hedge", "hedges", made.of_keys(words.HEDGES))
    add("politeness", "polite words", made.of_keys(words.POLITE))
    add("refusal", "words of refusal", made.of_keys(words.REFUSALS))
    metric, imperial = made.of_keys(words.METRIC), made.of_keys(words.IMPERIAL)
    add("units", "metric units", metric)
    made.add("units", "metric units", metric, imperial, other="imperial units", listed=True)
    add("person", "the first person", made.of_keys(words.FIRST_PERSON))
    add("person", "the second person", made.of_keys(words.SECOND_PERSON))
    add("negation", "negations", made.of_keys(words.NEGATIONS))
    add("emoji", "emoji", made.where(lambda it: it.kind == "emoji"))
    add("currency", "signs of currencies", made.of_keys("$£€"))
    first = made.where(lambda it: it.opens and it.key in words.JOINING)
    later = made.where(lambda it: not it.opens and it.key in words.JOINING)
    add("clause order", "subordinate clauses that come first", first)
    made.add(
        "clause order",
        "subordinate clauses that come first",
        first,
        later,
        other="those that come last",
        listed=True,
    )
    for word in sorted(words.JOINING):
        made.add(
            "clause order",
            f"clauses with “{word}” that come first",
            [i for i in first if every[i].key == word],
            [i for i in later if every[i].key == word],
            other="those that come last",
            listed=True,
        )
    ahead = made.where(lambda it: it.opens and it.key in words.PLACING)
    behind = made.where(lambda it: not it.opens and it.key in words.PLACING)
    add("clause order", "phrases of place or time that come first", ahead)
    made.add(
        "clause order",
        "phrases of place or time that come first",
        ahead,
        behind,
        other="those that come later",
        listed=True,
    )
    passive, by = _passives(made)
    add("passive", "the passive voice", passive)
    add("passive", "the passive voice with “by”", by)
    add(
        "casing",
        "words in capitals",
        [i for i, it in _with_text(made, states) if len(it) > 2 and it.isupper() and it.isalpha()],
    )
    add(
        "casing",
        "sentences that begin in lower case",
        [i for i, it in _with_text(made, states) if every[i].opens and it[0].islower()],
    )
    add(
        "casing",
        "capitals within sentences",
        [
            i
            for i, it in _with_text(made, states)
            if it[0].isupper() and not every[i].opens and every[i].key not in ("i", "i'm", "i'd")
        ],
    )
    made.add("marks", "marks that end sentences", made.of_keys(SENTENCE_ENDS))
    add("layout", "list marks", _list_marks(made, states))
    add("layout", "bold and headings", made.of_keys(("**", "#", "##", "###")))
    _commas(made)
    written = [(i, it) for i, it in enumerate(every) if it.kind != "phrase"]
    for language, script in SCRIPTS.items():
        add("language", f"{language} script", [i for i, it in written if script.match(it.key)])
    spoken = [(i, it) for i, it in written if it.kind == "word"]
    for language, numbers in _languages(made, len(states.texts)).items():
        add("language", language, [i for i, it in spoken if it.response in numbers])
    for least, most, name in (1, 3, "short words"), (9, 99, "long words"):
        sized = [i for i, it in spoken if least <= len(it.key) <= most]
        made.add("length of words", name, sized)


def _with_text(made: _Maker, states: States) -> Iterator[tuple[int, str]]:
    """Yield each word with its text as it is written."""
    for index, unit in enumerate(made.units.every):
        if unit.kind == "word":
            yield index, states.texts[unit.response][unit.start : unit.stop]


def _full_forms(made: _Maker) -> list[int]:
    """Return the second words of what could have been contracted: "not" of "do not"."""
    stems = {"do", "does", "did", "is", "are", "was", "were", "would", "could", "should", "have"}
    heads = {"i", "you", "he", "she", "it", "we", "they", "that", "there"}
    found = []
    for index in range(1, len(made.units.every)):
        one, two = made.units.every[index - 1 : index + 1]
        if one.response != two.response or two.kind != "word":
            continue
        if (two.key == "not" and one.key in stems) or (
            one.key in heads and two.key in ("is", "are", "am", "will", "would", "have")
        ):
            found.append(index)
    return found


def _passives(made: _Maker) -> tuple[list[int], list[int]]:
    """Return the participles behind a form of "be", and the "by" behind these."""
    found, by = [], []
    every = made.units.every
    for index, unit in enumerate(every):
        if unit.kind != "word" or not words.is_participle(unit.key):
            continue
        before = [it for it in every[max(0, index - 2) : index] if it.response == unit.response]
        if any(it.key in words.BE for it in before) and all(
            it.kind == "word" for it in before[-1:]
        ):
            found.append(index)
            behind = every[index + 1 : index + 2]
            if behind and behind[0].key == "by":
                by.append(index + 1)
    return found, by


def _list_marks(made: _Maker, states: States) -> list[int]:
    """Return the dashes, stars and numbers with which lines begin."""
    found = []
    for index, unit in enumerate(made.units.every):
        text = states.texts[unit.response]
        line = text.rfind("\n", 0, unit.start) + 1
        if text[line : unit.start].strip() or unit.kind == "phrase":
            continue
        behind = text[unit.stop : unit.stop + 2]
        if (unit.key in "-*•" and behind[:1] == " ") or (
            unit.kind == "number" and behind[:1] in (".", ")") and behind[1:] == " "
        ):
            found.append(index)
    return found


def _commas(made: _Maker) -> None:
    """Add "and" and "or" of lists by whether a comma stands before them."""
    with_comma, without = [], []
    every = made.units.every
    for index, unit in enumerate(every):
        if unit.key not in ("and", "or") or unit.kind != "word":
            continue
        before = [it for it in every[max(0, index - 8) : index] if it.response == unit.response]
        commas = [it.key == "," for it in before]
        if commas[-1:] == [True]:
            with_comma.append(index - 1 if sum(commas) > 1 else index)
        elif any(commas):
            without.append(index)
    made.add("commas", "a comma before “and” at the end of a list", with_comma, listed=True)
    made.add(
        "commas",
        "a comma before “and” at the end of a list",
        with_comma,
        without,
        other="none there",
        listed=True,
    )


def _languages(made: _Maker, responses: int) -> dict[str, set[int]]:
    """Return the responses that are in other languages of Latin script, by language."""
    frequent = {name: frozenset(it.split()) for name, it in words.LANGUAGES.items()}
    keys: dict[int, list[str]] = defaultdict(list)
    for unit in made.units.every:
        if unit.kind == "word":
            keys[unit.response].append(unit.key)
    found: dict[str, set[int]] = defaultdict(set)
    for number in range(responses):
        own = keys.get(number, [])
        english = sum(key in words.ENGLISH for key in own)
        best = max(frequent, key=lambda name: sum(key in frequent[name] for key in own))
        count = sum(key in frequent[best] for key in own)
        if count >= 2 and count > 2 * english and count >= 0.2 * len(own):
            found[best].add(number)
    return found


def _endings(made: _Maker) -> None:
    """Add families of words that end alike."""
    for length in SUFFIXES:
        families: dict[str, list[str]] = defaultdict(list)
        for key in made.words:
            if len(key) >= length + 3 and key.isalpha() and key.isascii():
                families[key[-length:]].append(key)
        for end, keys in families.items():
            if len(keys) >= FAMILY:
                made.add("ending", f"words that end in -{end}", made.of_keys(keys))


def changes(keys: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Return pairs of words that one change of spelling parts, by that change.

    A change is a letter that one word has more ("ou|o" of "colour", "color"), another letter
    ("s|z"), two letters turned round, or an end of two letters; with the letter behind it, so that
    pairs of one change are of one habit.
    """
    known = {key for key in keys if len(key) >= 4 and key.isalpha() and key.isascii()}
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    wild: dict[tuple[str, str], list[str]] = defaultdict(list)
    for word in sorted(known):
        for i in range(1, len(word)):
            less = word[:i] + word[i + 1 :]
            if less in known and i < len(word) - 1:
                found[f"{word[i - 1 : i + 2]}|{word[i - 1]}{word[i + 1]}"].append((word, less))
            turned = word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :]
            if i > 1 and word < turned and turned in known:
                found[f"{word[i - 1 : i + 1]}|{turned[i - 1 : i + 1]}"].append((word, turned))
            if i > 1:
                wild[word[:i], word[i + 1 :]].append(word)
        if word[:-2] in known and len(word) >= 6:
            found[f"{word[-2:]}|"].append((word, word[:-2]))
    for (head, _), alike in wild.items():
        at = len(head)
        for i, one in enumerate(alike):
            for two in alike[i + 1 :]:
                change = f"{one[at : at + 2]}|{two[at : at + 2]}"
                found[change].append((one, two))
    return found


def _spellings(made: _Maker) -> None:
    """Add families of spellings that are neighbours, found in the texts themselves."""
    for change, pairs in changes(made.words).items():
        if len(pairs) < 3:
            continue
        one, two = change.split("|")
        ups = {first for first, _ in pairs}
        downs = {second for _, second in pairs} - ups
        name = f"“{one}”" if two else f"the end -{one}"
        made.add(
            "spelling",
            f"spellings with {name}",
            made.of_keys(ups),
            made.of_keys(downs),
            other=f"“{two}” there" if two else "none",
        )


def _near(made: _Maker, states: States) -> None:
    """Add families of words that the reference's embedding puts near each other."""
    if not states.vectors.shape[1]:
        return
    keys, rows = [], []
    place = {token: i for i, token in enumerate(states.vector_of.tolist())}
    for key, found in made.words.items():
        if len(key) >= 3 and key.isascii():
            unit = made.units.every[found[0]]
            own = [place[token] for token in states.token[unit.first : unit.last].tolist()]
            keys.append(key)
            rows.append(states.vectors[own].mean(axis=0))
    if len(keys) <= max(NEAREST):
        return
    table = np.stack(rows)
    table = table - table.mean(axis=0)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    for begin in range(0, len(keys), 512):
        alike = table[begin : begin + 512] @ table.T
        order = np.argsort(-alike, axis=1)[:, : max(NEAREST)]
        for row, nearest in enumerate(order):
            for size in NEAREST:
                near = [i for i in nearest[:size].tolist() if alike[row, i] >= NEAR]
                if len(near) >= FAMILY:
                    made.add(
                        "family",
                        f"words like “{keys[begin + row]}”",
                        made.of_keys(keys[i] for i in near),
                    )


def opposites() -> Mapping[str, str]:
    """Return words and marks with what may stand in their place, both ways."""
    marks = {"!": ".", "…": ".", ";": ",", "—": ",", "£": "$", "€": "$", "$": "£"}
    numbers = {word: str(count) for word, count in words.NUMBER_WORDS.items() if count <= 100}
    return (
        marks
        | numbers
        | {count: word for word, count in numbers.items()}
        | words.british()
        | words.american()
    )
