"""Preference data: a prompt with a chosen and a rejected response, and the files that hold them.

Reads the layouts that trainers take (TRL, LLaMA-Factory, axolotl, ms-swift, OpenRLHF, ShareGPT,
UltraFeedback, Argilla, HH) into one record. Sides are plain text or turns. As in TRL, what chosen
and rejected begin with alike is the prompt where none is given. A row that cannot be used is never
passed over: trainings and evaluations refuse the file, and say which rows and why. Knows nothing of
tokens, nor how a file is laid out (core.tables).
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from core.errors import UserFacingError
from core.tables import SPEAKERS, RowFault, is_turns, open_table
from core.text import Message, Prompt, shared_prefix

CHECKED = 2000
"""As many rows are looked at beforehand; the rest is only counted."""
MOST_NAMES, LONGEST_NAME = 30, 80
"""Of columns that are named in a sentence, and their letters."""
LONGEST_PYTHON = 1 << 22
"""Letters of a value as Python prints it."""
NAMED = 5
"""As many rows that cannot be used are named; the others are only counted."""
Side = str | tuple[Message, ...]

# What columns are called, the first that has something is taken.
PROMPT = "prompt", "question", "instruction", "query", "input"
CHOSEN = "chosen", "chosen_response", "response_chosen", "chosen_messages", "response_j"
REJECTED = "rejected", "rejected_response", "response_rejected", "rejected_messages", "response_k"
RESPONSE = "response", "completion", "output", "answer", "generation", "reply"
"""Of files that hold one response to each prompt."""
TURNS = "messages", "conversations", "conversation"
SYSTEM = "system", "system_prompt", "system_message"
MEDIA = "image", "images", "video", "videos", "audio", "audios"
KNOWN = frozenset((*PROMPT, *CHOSEN, *REJECTED, *TURNS, "completion"))

ROLES = {
    "system": "system", "developer": "developer",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "model": "assistant", "ai": "assistant", "chatbot": "assistant", "function_call": "assistant",
    "tool": "tool", "observation": "tool", "function": "tool", "function_response": "tool",
    "ipython": "ipython",
}  # fmt: skip
"""What templates call a speaker, by what files call them."""
CONTENTS = "content", "value", "text"
MORE = "tool_calls", "tool_call_id", "name", "reasoning_content", "reasoning", "thinking"
"""What templates read of a turn besides its role and content."""
NOTHING = "nan", "none", "null", "<na>", "n/a", "#n/a"
"""What programs write into an empty cell, in lower case; an answer may be such a word too."""
DIALOGUE = "\n\nAssistant:"
"""What comes before an answer in a dialogue that is written out, as in Anthropic's HH."""
WRITTEN = re.compile(r"""\s*+"?(?:array\()?[\[(]*+\s*+\{\s*+\\*+["']""")
"""How turns begin that are given as text, in JSON (or that as text once more) or as Python prints
them."""
BETWEEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.?)*(?:'|\Z)|"(?:[^"\\]|\\.?)*(?:"|\Z))|\}\s+\{""", re.DOTALL
)
"""A text as Python prints it, or what numpy prints between two objects."""
SPEAKS = re.compile(
    r"""["'](role|from)\\*["']\s*:\s*\\*["'](system|user|human|assistant|gpt)\\*["']""", re.I
)


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt, the response that was preferred and the one that was not.

    All three are plain text, or all three are turns.
    """

    prompt: Side
    chosen: Side
    rejected: Side
    wrong: tuple[tuple[int, int], ...] = ()
    """What is known to be wrong in the rejected answer, as ranges of code points of its text."""
    source: str = ""
    """Where those errors come from, in a word; figures are given for each source too."""
    settings: str = ""
    """What a chat template is told besides the turns: ``Prompt.settings``."""

    @property
    def conversational(self) -> bool:
        return not isinstance(self.chosen, str)

    @property
    def turns(self) -> Prompt:
        """The turns that both sides follow; a plain prompt is one user turn."""
        if isinstance(self.prompt, str):
            return Prompt.of(self.prompt)
        return Prompt(self.prompt, self.settings)

    @property
    def replies(self) -> tuple[tuple[Message, ...], ...]:
        """The turns of each side after those, chosen first; plain text is one assistant turn."""
        return tuple(
            (Message("assistant", side),) if isinstance(side, str) else side
            for side in (self.chosen, self.rejected)
        )

    @property
    def answers(self) -> tuple[str, str]:
        """The texts of the chosen and the rejected response, each in its last turn.

        Raises:
            UserFacingError: one of them is more than text.
        """
        last = [
            side if isinstance(side, str) else side[-1] for side in (self.chosen, self.rejected)
        ]
        if any(isinstance(turn, Message) and turn.more for turn in last):
            raise UserFacingError(
                "An answer that calls tools or shows its reasoning cannot be measured as text: "
                "leave out such pairs."
            )
        chosen, rejected = (turn if isinstance(turn, str) else turn.content for turn in last)
        return chosen, rejected

    def row(self) -> dict[str, Any]:
        """Return the pair as trainers take it: three sides, each text or a list of turns, and what
        the chat template is told besides (``tools``, ``chat_template_kwargs``) if that is given."""
        sides = {"prompt": self.prompt, "chosen": self.chosen, "rejected": self.rejected}
        row: dict[str, Any] = {
            name: side if isinstance(side, str) else [turn.row() for turn in side]
            for name, side in sides.items()
        }
        told = json.loads(self.settings or "{}")
        if "tools" in told:
            row["tools"] = told.pop("tools")
        return row | ({"chat_template_kwargs": told} if told else {})


@dataclass(frozen=True, slots=True)
class ReadRow:
    """What was read of a row; in a row with a single response both sides are that."""

    pair: Preference
    roles: Mapping[str, tuple[str, ...]]
    """The columns that were taken, by what they were taken for: "prompt", "chosen", "system", …"""
    left: tuple[str, ...]
    """The columns that hold something which was not used."""
    notes: tuple[str, ...]
    """What of the row means something else than it may seem, each to follow "in this pair"."""
    made_turns: bool
    """Whether it holds plain text, which a system text, a history or tools made into turns."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What was read of a file: all of it, or its first rows."""

    path: Path
    format: str
    rows: int
    """Rows of the file, read or only counted."""
    columns: tuple[str, ...]
    pairs: tuple[Preference, ...]
    faults: tuple[str, ...]
    """The rows that cannot be used, each with its place and why: "line 2 has no rejected"."""
    notes: tuple[str, ...]
    """What of the file is not used or means something else than it may seem."""

    @property
    def conversational(self) -> bool:
        return self.pairs[0].conversational

    @property
    def checked(self) -> int:
        return len(self.pairs) + len(self.faults)

    @property
    def equal(self) -> int:
        """Pairs whose sides are the same: they teach nothing."""
        return sum(pair.chosen == pair.rejected for pair in self.pairs)

    @property
    def problems(self) -> tuple[str, ...]:
        """All that a user should know, a sentence each."""
        faults = (self._unusable() + ".",) if self.faults else ()
        equal = (
            f"{self.equal:,} of {self.checked:,} pairs have two equal sides: they teach nothing."
        )
        return (*faults, *((equal,) if self.equal else ()), *self.notes)

    def whole(self) -> "Preferences":
        """Return itself, if every row can be used and there is something to learn.

        Raises:
            UserFacingError: not so.
        """
        if self.faults:
            raise UserFacingError(
                f"{self._unusable()}: mend or delete them, or keep the others with python main.py "
                f"data {self.path} --write NEW.jsonl."
            )
        if self.equal == len(self.pairs):
            raise UserFacingError(
                f"In every pair of {self.path} chosen and rejected are the same, so there is "
                f"nothing to learn: choose a file in which they differ."
            )
        return self

    def _unusable(self) -> str:
        more = "; …" if len(self.faults) > NAMED else ""
        named = "; ".join(self.faults[:NAMED])
        return (
            f"{len(self.faults):,} of {self.checked:,} rows of {self.path} cannot be used "
            f"({named}{more})"
        )


def read_preferences(path: Path, limit: int | None = None) -> Preferences:
    """Read a file's pairs; rows that cannot be used are counted and named beside them.

    Args:
        limit: as many rows are read; the rest is only counted.

    Raises:
        UserFacingError: it cannot be read, or no row of it is a pair; the sentence says why.
    """
    table = open_table(path, KNOWN)
    pairs: list[Preference] = []
    faults: list[str] = []
    columns: dict[str, str] = {}
    left: dict[str, None] = {}
    notes: Counter[str] = Counter()
    first: dict[str, Any] = {}
    kinds: dict[tuple[bool, bool], str] = {}
    rows = 0
    for rows, (place, item) in enumerate(table.items, 1):
        if limit is not None and rows > limit:
            continue
        try:
            value = table.parse(item)
            if isinstance(value, dict):
                first = first or value
                columns |= {fold(name): shown_name(name) for name in value}
            row = read_row(value, prompted=not columns.keys().isdisjoint(PROMPT))
        except RowFault as error:
            faults.append(f"{place} {error}")
            continue
        pairs.append(row.pair)
        kinds.setdefault((row.pair.conversational, row.made_turns), place)
        left |= dict.fromkeys(row.left)
        notes.update(row.notes)
    if not rows:
        raise UserFacingError(f"{path} is empty: choose a file that holds preference pairs.")
    if not pairs:
        raise _no_pairs(path, first, faults)
    if {(False, False), (True, False)} <= kinds.keys():
        raise UserFacingError(
            f"{path} mixes two kinds of pairs ({kinds[False, False]} holds plain text, "
            f"{kinds[True, False]} turns): split it into two files."
        )
    if (True, True) in kinds:
        pairs = [as_turns(pair) for pair in pairs]
    told = [table.note] if table.note else []
    told += [f"in {count:,} of {len(pairs):,} pairs {note}" for note, count in notes.items()]
    told += [f"not used: {listed(left)} (every pair counts the same)"] if left else []
    said = tuple(f"{note[0].upper()}{note[1:]}." for note in told)
    return Preferences(
        path, table.format, rows, tuple(columns.values()), tuple(pairs), tuple(faults), said
    )


def read_row(value: Any, prompted: bool, single: bool = False) -> ReadRow:
    """Return a row of a file as a pair.

    Args:
        value: what the file holds there.
        prompted: the file has a column for the prompt, so that text in it must not lack one.
        single: it holds one response to a prompt, and no pair.

    Raises:
        RowFault: it is none; its words follow the row's place.
    """
    if not isinstance(value, dict):
        want = "prompt and response" if single else "prompt, chosen and rejected"
        raise RowFault(f"is not a table with {want}")
    row = _Row(value, prompted)
    try:
        pair = row.single() if single else row.pair()
    except RecursionError as error:
        raise RowFault("is nested too deeply") from error
    roles = {role: tuple(names) for role, names in row.roles.items()}
    return ReadRow(pair, roles, tuple(row.left()), tuple(row.notes), row.made_turns)


def inspect_preferences(path: Path) -> Preferences:
    """Look at the first rows of a file: what it holds and whether it can be trained on.

    Raises:
        UserFacingError: it cannot be read or is no preference file; the sentence says why.
    """
    return read_preferences(path, CHECKED).whole()


def load_preferences(path: Path) -> list[Preference]:
    """Return all pairs, each of them checked.

    Raises:
        UserFacingError: as ``inspect_preferences``, for any row of the file.
    """
    return list(read_preferences(path).whole().pairs)


def as_text(side: Side) -> str:
    """Return a side for a reader: the text, or its turns one below the other."""
    if isinstance(side, str):
        return side
    return "\n".join(f"{turn.role}: {turn.content}{turn.more}" for turn in side)


def as_turns(pair: Preference) -> Preference:
    """Return a pair as turns: a plain prompt is the user's, plain responses the assistant's."""
    if isinstance(pair.prompt, str):
        pair = replace(pair, prompt=(Message("user", pair.prompt),))
    sides = {
        name: (Message("assistant", side),)
        for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected))
        if isinstance(side, str)
    }
    return replace(pair, **sides)  # type: ignore[arg-type]


def _no_pairs(path: Path, row: dict[str, Any], faults: list[str]) -> UserFacingError:
    """Return why no row of a file is a pair, by the columns of one."""
    names = {*map(fold, row)}
    sides = {"chosen": names & {*CHOSEN}, "rejected": names & {*REJECTED}}
    if sides["rejected"] and not sides["chosen"]:  # so ms-swift writes it
        sides["chosen"] = names & {"response", *TURNS}
    missing = [name for name, found in sides.items() if not found]
    want = "give each row a prompt, a chosen and a rejected response to it"
    if not row or not missing:
        return UserFacingError(
            f"No row of {path} is a pair of responses ({'; '.join(faults[:NAMED])}): {want}."
        )
    if names & {"label", "kto_tag"} and len(missing) == 2:
        return UserFacingError(
            f"{path} holds single responses, each with a label, as KTO takes them: put a good and "
            f"a bad response to the same prompt into one row, as prompt, chosen and rejected."
        )
    several = names & {"completions", "responses", "candidates", "generations"}
    if several or isinstance(row.get("output"), list):
        return UserFacingError(
            f"{path} holds several responses to each prompt: choose two of them, and {want}."
        )
    if len(missing) == 2 and names & {*TURNS, "completion", "response", "output", "text"}:
        return UserFacingError(
            f"{path} holds one response to each prompt, as SFT takes it, and no pairs: {want}."
        )
    there = listed(shown_name(name) for name in row) or "none"
    return UserFacingError(
        f"{path} has no column {' and no column '.join(missing)}; its columns are: {there}. Write "
        f"the better response of each row as chosen, the other as rejected."
    )


# --- a row ----------------------------------------------------------------------------------


class _Row:
    """A row of a file, and what of it has been used; ``prompted`` as for ``read_row``."""

    def __init__(self, row: dict[str, Any], prompted: bool) -> None:
        self._prompted = prompted
        self._row = row
        self._names = {fold(name): name for name in row}
        self._cells = {key: row[name] for key, name in self._names.items()}
        self._used: set[str] = set()
        self.notes: dict[str, None] = {}
        self.made_turns = False
        self.roles: dict[str, list[str]] = {}

    def left(self) -> list[str]:
        """Return the columns that hold something which was not used."""
        used = {self._names[key] for key in self._used}
        return [
            shown_name(name) or "a column without a name"
            for name, cell in self._row.items()
            if name not in used and not _blank(cell)
        ]

    def pair(self) -> Preference:
        """Return the row as a pair.

        Raises:
            RowFault: it is none.
        """
        self._refuse_media()
        return self._whole(*self._prompt(*self._responses()))

    def single(self) -> Preference:
        """Return a row with one response as a pair whose two sides are that.

        Raises:
            RowFault: it is none.
        """
        self._refuse_media()
        name = self._find(RESPONSE)
        if not name and not (name := self._find(TURNS)):
            there = any(self._cells.get(other) is not None for other in RESPONSE)
            raise RowFault(f"has {'an empty' if there else 'no'} response")
        response = self._side("response", name)
        if not isinstance(response, str) and response[-1].role != "assistant":
            raise RowFault("has a response that does not end with a turn of the assistant")
        given = None if name in TURNS else self._given(response, 0)
        if given is None and not isinstance(response, str) and len(response) > 1:
            given, response = response[:-1], response[-1:]
        elif isinstance(given, tuple) and response[: len(given)] == given:
            response = response[len(given) :]
        if given is None:
            raise RowFault("has no prompt")
        if _blank(response):
            raise RowFault("has nothing in response behind the prompt")
        return self._whole(given, response, response)

    def _refuse_media(self) -> None:
        if self._find(MEDIA):
            raise RowFault("has images, video or sound, which are not read")

    def _whole(self, prompt: Side, chosen: Side, rejected: Side) -> Preference:
        """Return a pair with what a system text, a history and settings add to its prompt."""
        for what, side in (("chosen", chosen), ("rejected", rejected)):
            if _blank(side):
                raise RowFault(f"has nothing in {what} behind the prompt")
        before = self._history() if isinstance(prompt, str) else ()
        system, settings = self._text(SYSTEM), self._settings()
        if isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str):
            if not (system or before or "tools" in settings):
                return Preference(prompt, chosen, rejected)
            self.made_turns = True
        told = json.dumps(settings, ensure_ascii=False) if settings else ""
        _check("what the chat template is told", told)
        pair = as_turns(Preference(prompt, chosen, rejected, settings=told))
        turns = (*before, *pair.prompt)
        if system and turns[0] != Message("system", system):
            if turns[0].role == "system":
                raise RowFault("has two system texts, in a column and in a turn")
            turns = (Message("system", system), *turns)
        return replace(pair, prompt=turns)

    def _responses(self) -> tuple[Side, Side]:
        """Return chosen and rejected, both text or both turns."""
        ours, theirs = self._find(CHOSEN), self._find(REJECTED)
        if theirs and not ours:  # so ms-swift writes it
            ours = self._find(("response", *TURNS))
        for name, usual in ((ours, CHOSEN), (theirs, REJECTED)):
            if not name:
                there = any(self._cells.get(other) is not None for other in usual)
                raise RowFault(f"has {'an empty' if there else 'no'} {usual[0]}")
        chosen, rejected = self._side("chosen", ours), self._side("rejected", theirs)
        if ours in TURNS and isinstance(chosen, tuple):
            other = (Message("assistant", rejected),) if isinstance(rejected, str) else rejected
            rejected = (*chosen[:-1], *other) if other[0].role == "assistant" else other
        if isinstance(chosen, str) != isinstance(rejected, str):
            raise RowFault("mixes plain text and turns in chosen and rejected")
        for what, side in (("chosen", chosen), ("rejected", rejected)):
            if not isinstance(side, str) and side[-1].role != "assistant":
                raise RowFault(f"has a {what} that does not end with a turn of the assistant")
        return chosen, rejected

    def _prompt(self, chosen: Side, rejected: Side) -> tuple[Side, Side, Side]:
        """Return the prompt, and the responses without it: many files repeat it in front of both.

        A prompt that is text counts less than turns that chosen and rejected begin with alike.
        """
        shared = 0
        if not isinstance(chosen, str):
            most = min(len(chosen), len(rejected)) - 1
            while shared < most and chosen[shared] == rejected[shared]:
                shared += 1
        given = self._given(chosen, shared)
        if isinstance(given, tuple):
            for count in range(shared, 0, -1):
                if chosen[:count] == given[-count:]:
                    return given, chosen[count:], rejected[count:]
            if given[-1].role == "assistant":
                self._note("the prompt ends with a turn of the assistant")
        if given is not None:
            if chosen[: len(given)] == given == rejected[: len(given)]:
                self._note("chosen and rejected repeat the prompt, which then stands there twice")
            return given, chosen, rejected
        if isinstance(chosen, str) and isinstance(rejected, str):
            if self._prompted:
                raise RowFault("has no prompt")
            shared = self._shared_text(chosen, rejected)
        if not shared:
            raise RowFault(
                "has no prompt, and chosen and rejected do not begin with the same "
                + ("text" if isinstance(chosen, str) else "turns")
            )
        return chosen[:shared], chosen[shared:], rejected[shared:]

    def _given(self, chosen: Side, shared: int) -> Side | None:
        """Return the prompt that a column holds; text is passed over if turns are ``shared``."""
        name = self._find(PROMPT)
        side = self._side("prompt", name) if name else None
        if isinstance(side, str):
            if shared and not isinstance(chosen, str):
                if side not in [turn.content for turn in chosen[:shared]]:
                    self._used.discard(name)  # it says something else, which is told
                    self.roles.pop("prompt", None)
                return None
            more = self._text(("input",)) if name == "instruction" else ""
            return f"{side}\n{more}" if more else side  # as LLaMA-Factory joins them
        if side is None and not shared and (name := self._find(TURNS)) and name not in self._used:
            side = self._side("prompt", name)
            answer = chosen if isinstance(chosen, str) else chosen[-1].content
            if len(side) > 1 and side[-1] == Message("assistant", answer):
                side = side[:-1]  # the conversation with its answer
        return side

    def _shared_text(self, chosen: str, rejected: str) -> int:
        """Return where the prompt ends that two texts begin with.

        As TRL has it (trl.data_utils.extract_prompt), but in a dialogue where its answer begins.
        """
        length = shared_prefix(chosen, rejected)
        mark = chosen.rfind(DIALOGUE, 0, length)
        if mark >= 0:
            self._note(
                "the texts are dialogues with Human: and Assistant:, which stay plain text: train "
                "on them without a chat template"
            )
            return mark + len(DIALOGUE)
        self._note("the prompt is what chosen and rejected begin with alike")
        if length == min(len(chosen), len(rejected)):
            return length - 1
        return length - (chosen[length - 1 : length] == " ")

    def _history(self) -> tuple[Message, ...]:
        """Return the turns before the prompt, which LLaMA-Factory keeps as [[question, answer]]."""
        if not (name := self._find(("history",))):
            return ()
        value = self._take("history", name)
        if isinstance(value, str):
            value = _parsed(value)
        if not isinstance(value, list) or not all(
            isinstance(pair, list) and [*map(type, pair)] == [str, str] for pair in value
        ):
            raise RowFault("has a history that is no list of [question, answer]")
        roles = "user", "assistant"
        return tuple(
            Message(role, text) for pair in value for role, text in zip(roles, pair, strict=True)
        )

    def _settings(self) -> dict[str, Any]:
        """Return what the chat template is told besides the turns."""
        found: dict[str, Any] = {}
        for name, kind in (("chat_template_kwargs", dict), ("tools", list)):
            if self._find((name,)):
                value = self._take(name, name)
                value = _parsed(value) if isinstance(value, str) else value
                if not isinstance(value, kind):
                    raise RowFault(f"has {name} that are no {'list' if kind is list else 'object'}")
                found |= {name: value} if kind is list else value
        return {name: value for name, value in found.items() if value != []}

    # --- its cells ---

    def _find(self, names: Iterable[str]) -> str:
        """Return the first of some columns that holds something, "" if none does."""
        return next((name for name in names if not _blank(self._cells.get(name))), "")

    def _take(self, role: str, name: str) -> Any:
        """Return what a column holds, and note that it is used, and for what."""
        self._used.add(name)
        self.roles.setdefault(role, []).append(shown_name(self._names[name]))
        value = self._cells[name]
        if isinstance(value, str) and value.strip().casefold() in NOTHING:
            self._note(f"{name} is the word {value}, as some programs write an empty cell")
        return value

    def _text(self, names: Iterable[str]) -> str:
        """Return the text of the first of some columns that has any, "" if none has."""
        if not (name := self._find(names)):
            return ""
        value = self._take("prompt" if name in PROMPT else "system", name)
        if not isinstance(value, str):
            raise RowFault(f"has a {name} that is no text")
        return value

    def _note(self, what: str) -> None:
        self.notes[what] = None

    def _side(self, what: str, name: str) -> Side:
        """Return what a column holds as text or as turns."""
        value = self._take(what, name)
        if isinstance(value, str):
            _check(what, value)
            written = _parsed(value) if WRITTEN.match(value) else None
            if isinstance(written, str):  # put into JSON twice
                written = _parsed(written)
            written = list(written) if isinstance(written, tuple) else written
            if written is None and WRITTEN.match(value) and SPEAKS.search(value):
                raise RowFault(f"has a {what} that looks like turns but is neither JSON nor Python")
            if not is_turns(written if isinstance(written, list) else [written]):
                return value
            value = written
        if isinstance(value, dict):
            value = [value]
        if isinstance(value, list) and all(isinstance(turn, str) for turn in value):
            value = [_parsed(turn) or turn for turn in value]
            if not is_turns(value):
                raise RowFault(f"has a list of texts as {what}: each pair needs a row of its own")
        if not is_turns(value):
            raise RowFault(f"has a {what} that is neither text nor turns with role and content")
        return tuple(self._turn(what, turn) for turn in value)

    def _turn(self, what: str, turn: Any) -> Message:
        who = next((key for key in SPEAKERS if key in turn), "") if isinstance(turn, dict) else ""
        if not who or not isinstance(turn[who], str):
            raise RowFault(f"has a turn in {what} that does not say whose it is")
        role = ROLES.get(turn[who].strip().casefold())
        if role is None:
            raise RowFault(
                f"has the role {shown_name(turn[who])!r} in {what}, which is none of system, user, "
                f"assistant and tool"
            )
        key = next((key for key in CONTENTS if key in turn), "")
        content = turn.get(key)
        more = {name: turn[name] for name in MORE if name in turn and not _blank(turn[name])}
        call = turn.get("function_call")
        if turn[who] == "function_call":  # ShareGPT's
            call, content = _parsed(content) if isinstance(content, str) else content, None
            if not isinstance(call, dict | list):
                raise RowFault(f"has a function call in {what} that is no JSON")
        if isinstance(more.get("tool_calls"), str):
            more["tool_calls"] = _parsed(more["tool_calls"])
            if not isinstance(more["tool_calls"], list):
                raise RowFault(f"has tool calls in {what} that are no list in JSON")
        if call and "tool_calls" not in more:
            calls = call if isinstance(call, list) else [call]
            more["tool_calls"] = [{"type": "function", "function": each} for each in calls]
        if isinstance(content, list):
            content = _joined(what, content)
        if content is None and "tool_calls" in more:
            more, content = {"content": None, **more}, ""
        if not isinstance(content, str):
            raise RowFault(f"has a turn in {what} whose content is no text")
        if _blank(content) and not more and role not in ("system", "tool"):
            raise RowFault(f"has an empty turn in {what}")
        _check(what, content)
        used = {who, key, "function_call", *MORE}
        if left := [name for name in turn if name not in used and not _blank(turn[name])]:
            self._note(f"{listed(sorted(map(shown_name, left)))} of the turns is not used")
        besides = json.dumps(more, ensure_ascii=False) if more else ""
        _check(what, besides)
        return Message(role, content, besides)


def fold(name: Any) -> str:
    """Return a column's name as it is looked for."""
    return str(name).strip().casefold()


def shown_name(name: Any) -> str:
    """Return a name for the eye: one line, not too long, of letters that can be printed."""
    text = str(name)[:LONGEST_NAME]
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def listed(names: Iterable[str]) -> str:
    """Return names in a row; of very many the first."""
    found = list(names)
    return ", ".join(found[:MOST_NAMES]) + (", …" if len(found) > MOST_NAMES else "")


def _blank(value: Any) -> bool:
    """Return whether a cell holds nothing: no value, no text but white space, no parts.

    pandas writes NaN for no value.
    """
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value != value or value in ([], {}, ())


def _check(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowFault(f"has half a surrogate pair in {what}, which no tokenizer takes") from error


def _joined(what: str, parts: list[Any]) -> str:
    """Return the text of a content that is given in parts."""
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise RowFault(f"has a turn in {what} with images, video or sound, which are not read")
    return "".join(map(str, texts))


def _parsed(text: str) -> Any:
    """Return the value that a text writes in JSON or as Python prints it, None if it does neither.

    numpy prints lists of objects without commas.
    """
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    if len(text) > LONGEST_PYTHON:
        return None
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError), catch_warnings():
        simplefilter("ignore")  # of escapes that Python does not know
        return ast.literal_eval(BETWEEN.sub(lambda it: it["text"] or "}, {", text.strip()))
    return None
