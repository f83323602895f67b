"""Keeps the states of the texts that were scored, in the order in which they were made.

A state is the prompt and both responses by their very tokens; each has a point, with what changed
on the way to it, perhaps a name, and the scorings of both responses. Going back to a state and
editing there adds points at the end, so nothing is lost until there are too many. Rewards are not
kept: ``numbers`` makes them of the log-probs, with the beta that is asked for. Knows texts and
scorings; knows nothing of widgets or files.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.noise import NOISELESS, NoiseFloor
from core.present.credit import IMPLICIT, Credit
from core.present.pair import PairNumbers, pair_noise, pair_numbers
from core.scoring import Scoring
from core.text import Prompt, align, shared_prefix

MOST = 200
"""Points that are kept; of more the oldest goes that has no name."""
MOST_TOKENS = 200_000
"""Tokens of scorings that are kept; of more the oldest points lose theirs."""
BURST = 1.0
"""Seconds within which what is typed goes on: its states are one point, the last."""
QUICK_TO_ALIGN = 250_000
"""Tokens before an edit times those after it up to which the single words that differ are found."""
LONGEST = 28
"""Characters of a changed text that are told."""
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Reached:
    """A response's text and the ids by which it was scored; None where they are not known."""

    text: str
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The texts as they stood."""

    prompt: Prompt
    a: Reached
    b: Reached

    def without_ids(self) -> "State":
        """Return the same texts, whatever their tokens."""
        return State(self.prompt, Reached(self.a.text), Reached(self.b.text))


@dataclass(frozen=True, eq=False, slots=True)
class Point:
    """A state, and how it came to be."""

    number: int
    """Counts from 1; no two points ever have the same."""
    state: State
    changed: str = ""
    """What changed on the way here, in a few words: "$53K → $250K"; "" for the first."""
    side: str = ""
    """Which response that was in, "A" or "B"; "" for the prompt or for more than one text."""
    name: str = ""
    """The user's, "" for none."""
    scorings: tuple[Scoring, Scoring] | None = None
    """Of A and B; None while they are not known."""
    checkpoint: str = ""
    """The run's checkpoint that they are of, by its path; "" for a pair of no run."""

    def numbers(self, beta: float | None, credit: Credit = IMPLICIT) -> PairNumbers | None:
        """Return both sums, the margin and what else there is, with this beta; None: not known."""
        return pair_numbers(*self.scorings, beta, credit) if self.scorings is not None else None

    def noise(
        self, beta: float, floor: NoiseFloor = NOISELESS, credit: Credit = IMPLICIT
    ) -> tuple[float, ...]:
        """Return the noise of both sums and of their margin."""
        return pair_noise(*self.scorings, beta, floor, credit) if self.scorings else (0.0,) * 3


class History:
    """The points of one window."""

    def __init__(self) -> None:
        self._points: dict[int, Point] = {}
        self._numbers: dict[State, int] = {}
        self._last = 0
        self._burst: tuple[int, Point, float] | None = None
        """The point that is being typed, the one before it, and when it was last scored."""
        self._let_go: set[int] = set()
        self.now = 0
        """The number of the point that is on the screen; 0 for none."""

    def __len__(self) -> int:
        return len(self._points)

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points.values())

    def get(self, number: int) -> Point | None:
        """Return the point of this number, if it is kept."""
        return self._points.get(number)

    def current(self) -> Point | None:
        """Return the point that is on the screen, if any."""
        return self._points.get(self.now)

    def neighbour(self, by: int) -> Point | None:
        """Return the point that is ``by`` places after the one on the screen, if there is one."""
        numbers = [*self._points]
        place = numbers.index(self.now) + by if self.now in self._points else -1
        return self._points[numbers[place]] if 0 <= place < len(numbers) else None

    # --- what is scored -----------------------------------------------------------------------

    def take(
        self,
        prompt: Prompt,
        a: Scoring,
        b: Scoring,
        checkpoint: str = "",
        *,
        typed: bool = False,
        at: float = 0.0,
        words: str = "",
    ) -> Point:
        """Take a state that has been scored, which is on the screen now; return its point.

        A state that was there before is its point again. ``typed``: it came by typing alone;
        what follows it within a BURST of seconds, by ``at``, takes its place. ``words``: what
        changed, where that is known better.
        """
        state = State(prompt, _reached(a), _reached(b))
        number = self._numbers.get(state) or self._numbers.get(state.without_ids())
        before = self.current()
        if number is not None:
            known = replace(
                self._points[number], state=state, scorings=(a, b), checkpoint=checkpoint
            )
            self._put(known)
            if number != self.now:
                self._burst = None
        else:
            known = self._add(state, (a, b), checkpoint, before, typed, at, words)
        self.now = known.number
        self._let_go_of_old()
        return known

    def _add(
        self,
        state: State,
        scorings: tuple[Scoring, Scoring],
        checkpoint: str,
        before: Point | None,
        typed: bool,
        at: float,
        words: str,
    ) -> Point:
        number, burst = 0, self._burst
        if typed and burst is not None and before is not None and burst[0] == before.number:
            side = what_changed(before.state, state, None, None)[0]
            if at - burst[2] < BURST and not before.name and side == before.side:
                number, before = burst[0], burst[1]
        if not number:
            self._last += 1
            number = self._last
        side, changed = "", words
        if before is not None:
            side, found = what_changed(before.state, state, before.scorings, scorings)
            changed = words or found
        self._burst = (number, before, at) if typed and before is not None else None
        made = Point(number, state, changed, side, "", scorings, checkpoint)
        self._put(made)
        return made

    def _put(self, point: Point) -> None:
        old = self._points.get(point.number)
        if old is not None and self._numbers.get(old.state) == point.number:
            del self._numbers[old.state]
        self._points[point.number] = point
        self._numbers[point.state] = point.number
        self._let_go.discard(point.number)

    def _let_go_of_old(self) -> None:
        """Drop the oldest point without a name, and the oldest scorings, where there are many."""
        while len(self._points) > MOST:
            others = [it for it in self if it.number != self.now]
            oldest = next((it for it in others if not it.name), others[0])
            del self._points[oldest.number]
            if self._numbers.get(oldest.state) == oldest.number:
                del self._numbers[oldest.state]
        held, tokens = set[int](), 0
        for point in reversed([*self]):
            fresh = [one for one in point.scorings or () if id(one) not in held]
            tokens += sum(map(len, fresh))
            held |= set(map(id, fresh))
            if tokens > MOST_TOKENS and point.scorings is not None and point.number != self.now:
                self._points[point.number] = replace(point, scorings=None)
                self._let_go.add(point.number)

    # --- what the user does -------------------------------------------------------------------

    def rename(self, number: int, name: str) -> None:
        """Name a point; "" takes its name away."""
        if (point := self._points.get(number)) is not None:
            named = " ".join(name.split())[:LONGEST_NAME]
            self._points[number] = replace(point, name=named)

    def restore(self, points: list[Point], now: int) -> None:
        """Take the points of another time in place of all; ``now`` is one's number, or 0."""
        self._points = {point.number: point for point in points}
        self._numbers = {point.state: point.number for point in points}
        self._last = max(self._points, default=0)
        self._burst = None
        self._let_go.clear()
        self.now = now if now in self._points else 0

    # --- another pair -------------------------------------------------------------------------

    def forget_numbers(self, tokens_too: bool = False) -> None:
        """Forget all scorings; ``tokens_too``: and the ids, which are of another vocabulary."""
        self._burst = None
        self._let_go.clear()
        self._numbers.clear()
        for number, point in self._points.items():
            state = point.state.without_ids() if tokens_too else point.state
            self._points[number] = replace(point, state=state, scorings=None, checkpoint="")
            self._numbers[state] = number

    def unknown(self, checkpoint: str = "") -> list[Point]:
        """Return the points whose scorings under this checkpoint are not known, the newest first;
        those that had to be let go stay so."""
        return [
            point
            for point in reversed([*self])
            if (point.scorings is None or point.checkpoint != checkpoint)
            and point.number not in self._let_go
        ]

    def put_scorings(self, number: int, a: Scoring, b: Scoring, checkpoint: str = "") -> None:
        """Take what is said now of a point that is not on the screen."""
        if (point := self._points.get(number)) is not None:
            state = State(point.state.prompt, _reached(a), _reached(b))
            self._put(replace(point, state=state, scorings=(a, b), checkpoint=checkpoint))
            self._let_go_of_old()


def _reached(scoring: Scoring) -> Reached:
    return Reached(scoring.tokens.text, scoring.tokens.ids)


def what_changed(
    before: State,
    after: State,
    old: tuple[Scoring, Scoring] | None = None,
    new: tuple[Scoring, Scoring] | None = None,
) -> tuple[str, str]:
    """Return which response differs, "" for none or both, and what changed, in a few words.

    ``old`` and ``new``: the scorings of both states, by whose tokens the words are found.
    """
    a, b = before.a.text != after.a.text, before.b.text != after.b.text
    prompt = before.prompt != after.prompt
    if a and b and not prompt and (before.a, before.b) == (after.b, after.a):
        return "", "A ⇄ B"
    if prompt + a + b > 1:
        return "", "other texts"
    if prompt:
        return "", f"prompt: {_changed_in_prompt(before.prompt, after.prompt)}"
    if not (a or b):
        same_a = before.a == after.a
        return "A" if not same_a else "B", "other tokens, the same text"
    if b and after.b == after.a:
        return "B", "copied from A"
    side, place = ("A", 0) if a else ("B", 1)
    if old is not None and new is not None:
        here, there = old[place], new[place]
        if len(here) * len(there) <= QUICK_TO_ALIGN:
            return side, _changed_words(here, there)
    texts = (before.a, after.a) if a else (before.b, after.b)
    return side, changed_text(texts[0].text, texts[1].text)


def _changed_words(old: Scoring, new: Scoring) -> str:
    """Return the first words that differ, and how many more stretches do."""
    found = align(old.tokens, new.tokens)
    if not found.edited_a:
        return changed_text(old.tokens.text, new.tokens.text)
    parts = []
    for scoring, spans in ((old, found.edited_a), (new, found.edited_b)):
        span, tokens = spans[0], scoring.tokens
        parts.append(tokens.text[tokens.starts[span[0]] : tokens.ends[span[-1]]] if span else "")
    more = len(found.edited_a) - 1
    return _arrow(*parts) + (f" and {more} more" if more else "")


def _changed_in_prompt(old: Prompt, new: Prompt) -> str:
    if [it.role for it in old.messages] != [it.role for it in new.messages]:
        return "other turns"
    turns = zip(old.messages, new.messages, strict=True)
    changed = [(it.content, other.content) for it, other in turns if it != other]
    return changed_text(*changed[0]) if len(changed) == 1 else "other turns"


def changed_text(old: str, new: str) -> str:
    """Return the stretch in which two texts differ, in whole words, before and after."""
    first, least = shared_prefix(old, new), min(len(old), len(new))
    last = min(shared_prefix(old[::-1], new[::-1]), least - first)
    while not (_is_border(old, first) and _is_border(new, first)):
        first -= 1
    while not (_is_border(old, len(old) - last) and _is_border(new, len(new) - last)):
        last -= 1
    return _arrow(old[first : len(old) - last], new[first : len(new) - last])


def _is_border(text: str, at: int) -> bool:
    """Return whether no word goes on across a place in a text."""
    return at in (0, len(text)) or text[at].isspace() or text[at - 1].isspace()


def _arrow(old: str, new: str) -> str:
    before, after = _short(old), _short(new)
    if before == after:
        return "white space" if old.split() == new.split() else f"{before} → {after}"
    if not before:
        return f"+ {after}"
    return f"{before} → {after}" if after else f"− {before}"


def _short(text: str) -> str:
    """Return a text on one line, with its middle left out where it is long."""
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return line
    half = (LONGEST - 1) // 2
    return f"{line[:half].rstrip()}…{line[-half:].lstrip()}"
