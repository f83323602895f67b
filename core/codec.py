"""The tokenizer's side of text: prompts to ids, responses to tokens with spans, and back.

Wraps a loaded Hugging Face tokenizer. The spans come from the bytes that each token stands for,
so they hold for any sequence of ids, also one that the tokenizer itself would never produce: a
token that was put in place by hand, half of an emoji. Knows nothing of models or editors, nor how
texts are read anew after an edit (core.reading).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import UserFacingError
from core.reading import SPACE_MARK, Reader
from core.text import Message, Prompt, Tokens, shared_prefix

Made = TypeVar("Made")
Ints = NDArray[np.int64]

MARKS = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}
REACH = 6
"""How many tokens back a decoder of unknown kind may look to spell a token."""
REMEMBERED = 2**16
"""Tokens whose spelling by such a decoder is remembered."""
LAID = 4
"""Texts whose tokens are remembered, so that few are laid out anew after an edit."""
CONTINUING = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that do not begin a character."""
PROMPTS = 8
"""Prompts without a template whose ids are remembered."""


def _byte_of_letter() -> dict[str, int]:
    """Return the alphabet of byte-level vocabularies: printable bytes stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + i): byte for i, byte in enumerate(others)}


class _ById(dict[int, Made], Generic[Made]):
    """What is made of each token id, once, when it is first asked for."""

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make = make

    def __missing__(self, id: int) -> Made:
        made = self[id] = self._make(id)
        return made


class Codec:
    """Prompts and responses as one loaded tokenizer reads them.

    A special token's text typed into a prompt or response ("<|im_end|>") is read as that token,
    as chat templates do. A character broken into bytes that are no UTF-8 shows as U+FFFD and,
    as in sentencepiece itself, takes none of its neighbours with it.

    Raises:
        UserFacingError: the tokenizer cannot tell where its tokens lie, or names no closing token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special: dict[int, str] = {
            int(id): token.content for id, token in tokenizer.added_tokens_decoder.items()
        }
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise UserFacingError(
                "This tokenizer cannot tell where its tokens lie in the text: "
                "put a tokenizer.json (a fast tokenizer) into the checkpoint's folder."
            )
        spelling = repr(backend.decoder)
        self._letters = _byte_of_letter() if "ByteLevel" in spelling else None
        self._spelled = self._letters is not None or any(
            sign in spelling for sign in ("Metaspace", "ByteFallback", SPACE_MARK)
        )
        self._reader = Reader(tokenizer)
        self._pieces = _ById(self._piece)
        self._shown = _ById(self._label)
        self._added = lru_cache(REMEMBERED)(self._added_by)
        self._opened = lru_cache(PROMPTS)(self._opened_by)
        self._labels: tuple[str, ...] = ()
        self._laid: list[Tokens] = []
        """What was laid out last."""
        self.has_chat_template: bool = bool(getattr(tokenizer, "chat_template", None))
        self.vocab_size: int = len(tokenizer)
        self.end_of_turn: int = self._closing_token()
        self.end_of_turn_text: str = self.label(self.end_of_turn)

    def prompt_text(self, prompt: Prompt) -> str:
        """Return the prompt as the models read it: templated, the response to come next.

        Without a chat template: the turns, a blank line between them.

        Raises:
            UserFacingError: the template refuses these turns.
        """
        if not self.has_chat_template:
            return "\n\n".join(message.content for message in prompt.messages)
        settings = json.loads(prompt.settings or "{}")
        return self._render(prompt.messages, add_generation_prompt=True, **settings)

    def prompt_ids(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the token ids of ``prompt_text``; a template brings its own first token."""
        text = self.prompt_text(prompt)
        return self._reader.read(text).ids if self.has_chat_template else self._opened(text)

    def reply(self, prompt: Prompt, turns: Sequence[Message]) -> str:
        """Return the turns after a prompt as the text of one response.

        That is the content of the last one; before it, where there are more, what the template
        writes for them. So TRL's DPO scores sides that part before their last turn.

        Raises:
            UserFacingError: the last turn is not the assistant's, or the template writes turns that
                are past otherwise than a response.
        """
        if turns[-1].role != "assistant":
            raise UserFacingError(
                f"A response ends with a turn of {turns[-1].role!r}: leave such pairs out, or end "
                f"both sides with what the assistant says."
            )
        if len(turns) == 1:
            return turns[0].content
        before = self.prompt_text(prompt)
        past = (*prompt.messages, *turns[:-1])
        whole = self.prompt_text(replace(prompt, messages=past))
        if not (self.has_chat_template and whole.startswith(before)):
            raise UserFacingError(
                "The two sides part before their last turn, and this tokenizer's chat template "
                "does not write earlier turns as it opens a response: leave such pairs out, or "
                "cut both sides after the turn in which they part."
            )
        return whole[len(before) :] + turns[-1].content

    def encode(self, prompt: Prompt, text: str) -> Tokens:
        """Return the tokenizer's own tokens of a response, in its place after the prompt."""
        clean = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates
        before = self.prompt_text(prompt)
        read = self._reader.read(before + clean)
        first = int(np.searchsorted(read.spans[:, 0], len(before)))
        whole = first == 0 or read.spans[first - 1, 1] <= len(before)
        if whole and (placed := self._placed(text, clean, read.ids[first:])):
            return placed
        alone = self._reader.read(clean)  # a token lies across the border: it is not ours
        if placed := self._placed(text, clean, alone.ids):
            return placed
        # A tokenizer that rewrites text (lower case, Unicode forms): its offsets, the user's text.
        ids, spans = alone.ids, alone.spans
        if whole:
            ids, spans = read.ids[first:], read.spans[first:] - len(before)
        laid = self._lay_out(ids)
        starts, ends = (tuple(column.tolist()) for column in spans.T)
        return replace(laid, text=text, starts=starts, ends=ends)

    def decode(self, prompt: Prompt, ids: tuple[int, ...]) -> Tokens:
        """Return any ids as a response; those that the tokenizer would not choose are ``forced``.

        Bytes that are no UTF-8 show as U+FFFD.
        """
        laid = self._lay_out(ids)
        own = self.encode(prompt, laid.text)
        if laid.text.startswith(" ") and own.ids[:1] != laid.ids[:1]:
            opened = self.encode(prompt, laid.text[1:])
            if opened.ids[:1] == laid.ids[:1]:
                own, laid = opened, self._lay_out(ids, opened=True)
        return replace(laid, forced=_missing(laid, own))

    def edit(self, prompt: Prompt, old: Tokens, text: str) -> Tokens:
        """Return the tokens of an edited text: the tokenizer's own, but stretches with forced
        tokens that the edit did not touch keep their ids.

        A stretch lies between two places where both the old and the new tokens have a border. If
        what is kept would no longer read as ``text``, because halves of a character have met,
        nothing is.
        """
        new = self.encode(prompt, text)
        if not any(old.forced):
            return new
        ids: list[int] = []
        done = 0
        for ours, theirs in _forced_stretches(old, new):
            ids += new.ids[done : theirs.start]
            ids += old.ids[ours]
            done = theirs.stop
        ids += new.ids[done:]
        if tuple(ids) == new.ids:
            return new
        kept = self.decode(prompt, tuple(ids))
        return kept if kept.text == text else new

    def replace(self, prompt: Prompt, old: Tokens, index: int, id: int) -> Tokens:
        """Put one token in place of another and keep all others as they are."""
        return self.decode(prompt, (*old.ids[:index], id, *old.ids[index + 1 :]))

    def piece(self, id: int) -> bytes:
        """Return the bytes that a token stands for; a special token's are those of its name."""
        return self._pieces[id]

    def _piece(self, id: int) -> bytes:
        return self._bytes(id, self._tokenizer.convert_ids_to_tokens(id))

    def label(self, id: int) -> str:
        """Return a token as it is shown: marks for white space, hexadecimal for odd bytes."""
        return self._shown[id]

    def labels_of(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return the labels of tokens, in their order."""
        return tuple(map(self._shown.__getitem__, ids))

    def _label(self, id: int) -> str:
        piece = self.piece(id)
        if not piece:
            return "∅"
        try:
            text = piece.decode("utf-8")
        except UnicodeDecodeError:
            return "⟨" + piece.hex(" ").upper() + "⟩"
        return "".join(
            MARKS.get(sign) or (sign if sign.isprintable() else f"⟨U+{ord(sign):04X}⟩")
            for sign in text
        )

    def labels(self, count: int) -> tuple[str, ...]:
        """Return the labels of the first ``count`` ids: the same tuple for the same count."""
        if len(self._labels) != count:
            self._labels = self.labels_of(range(count))
        return self._labels

    def find(self, query: str, limit: int) -> list[int]:
        """Return tokens whose text matches: the same first, then beginning so, then containing it.

        Upper and lower case count only to break ties, and so does a leading space.
        """
        wanted = query.strip().casefold() or query
        best: list[tuple[int, bool, bool, int, int]] = []
        for id, text in enumerate(self._texts):
            at = text.casefold().find(wanted)
            if at < 0:
                continue
            rest = text.strip() or text
            place = (
                0 if rest.casefold() == wanted else 1 if rest.casefold().startswith(wanted) else 2
            )
            best.append((place, query not in text, text[:1] != query[:1], len(text), id))
        return [entry[-1] for entry in sorted(best)[:limit]]

    @cached_property
    def _texts(self) -> list[str]:
        """The text of every token of the vocabulary."""
        ids = list(range(self.vocab_size))
        tokens = self._tokenizer.convert_ids_to_tokens(ids)
        return [
            self._bytes(id, token).decode("utf-8", "replace")
            for id, token in zip(ids, tokens, strict=True)
        ]

    def _opened_by(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text with the special tokens that the tokenizer adds."""
        return tuple(self._tokenizer(text)["input_ids"])

    def _bytes(self, id: int, token: str | None) -> bytes:
        if token is None:  # padding of the embedding: no token has this number
            return b""
        if self._letters is not None:
            if id in self._special or not all(letter in self._letters for letter in token):
                return self._special.get(id, token).encode()
            return bytes(self._letters[letter] for letter in token)
        if id not in self._special and not self._spelled:
            return self._decoded([id]).encode()
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes.fromhex(token[3:5])
        return token.replace(SPACE_MARK, " ").encode()

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _placed(self, text: str, clean: str, ids: tuple[int, ...]) -> Tokens | None:
        """Return tokens of ``text``, with the spans of their bytes, if ``ids`` spell it."""
        laid = self._lay_out(ids)
        if laid.text == " " + clean:  # the space that sentencepiece puts before a first word
            alone = laid.pieces[0] == b" "  # shown as nothing, so it is left out
            laid = self._lay_out(ids[1:]) if alone else self._lay_out(ids, opened=True)
        return replace(laid, text=text) if laid.text == clean else None

    def _added_by(self, window: tuple[int, ...]) -> bytes:
        """Return what the last of some tokens adds to those before it, as the tokenizer decodes."""
        before, after = self._decoded(window[:-1]), self._decoded(window)
        return after[shared_prefix(before, after) :].encode()

    def _spelling(self, ids: Sequence[int]) -> list[bytes]:
        """Return the bytes that each token stands for, where it stands."""
        if self._spelled:
            return list(map(self._pieces.__getitem__, ids))
        windows = (tuple(ids[max(0, i - REACH) : i + 1]) for i in range(len(ids)))
        return list(map(self._added, windows))

    def _lay_out(self, ids: tuple[int, ...], opened: bool = False) -> Tokens:
        """Return tokens of these ids with the text and the spans that their bytes give.

        ``opened``: the first token's space belongs to the tokenizer, not to the text.
        """
        if opened:
            pieces = self._spelling(ids)
            return _spelt(ids, [pieces[0].removeprefix(b" "), *pieces[1:]])
        laid = self._relaid(ids) or _spelt(ids, self._spelling(ids))
        self._laid = [*self._laid[1 - LAID :], laid]
        return laid

    def _relaid(self, ids: tuple[int, ...]) -> Tokens | None:
        """Return what was laid out before with only another middle, if there is such.

        It begins and ends where a character does, so that the parts are decoded as the whole is.
        """
        for old in reversed(self._laid if self._spelled else []):
            head = shared_prefix(old.ids, ids)
            tail = shared_prefix(old.ids[head:][::-1], ids[head:][::-1])
            if 2 * (head + tail) > len(ids):
                break
        else:
            return None
        while head and not all(self._begins(side, head) for side in (old.ids, ids)):
            head -= 1
        while not self._begins(ids, len(ids) - tail):
            tail -= 1
        stop = len(old.ids) - tail
        places = (*old.starts, len(old.text))
        first, last = places[head], places[stop]
        middle = ids[head : len(ids) - tail]
        new = _spelt(middle, self._spelling(middle))
        shift = first + len(new.text) - last

        def moved(places: tuple[int, ...], by: int) -> tuple[int, ...]:
            return tuple([place + by for place in places]) if by else places

        return Tokens(
            old.text[:first] + new.text + old.text[last:],
            ids,
            old.starts[:head] + moved(new.starts, first) + moved(old.starts[stop:], shift),
            old.ends[:head] + moved(new.ends, first) + moved(old.ends[stop:], shift),
            old.pieces[:head] + new.pieces + old.pieces[stop:],
            (False,) * len(ids),
        )

    def _begins(self, ids: tuple[int, ...], index: int) -> bool:
        """Return whether a character begins with a token, or the tokens end there."""
        return index == len(ids) or (self._pieces[ids[index]][:1] or b"\x80") not in CONTINUING

    def _render(self, messages: tuple[Message, ...], **settings: Any) -> str:
        turns = [message.row() for message in messages]
        try:
            return str(self._tokenizer.apply_chat_template(turns, tokenize=False, **settings))
        except Exception as error:  # templates raise what they like
            raise UserFacingError(
                f"The chat template refuses these turns ({error}): leave the system turn empty, "
                f"or let user and assistant take turns."
            ) from error

    def _closing_token(self) -> int:
        """Return the special token that the template puts after a response; else end of text."""
        if self.has_chat_template:
            turns = (Message("user", "Q"), Message("assistant", "qscope"))
            after = self._render(turns, add_generation_prompt=False).rpartition("qscope")[2]
            closing = [id for id in self._reader.read(after).ids if id in self._special]
            if closing:
                return closing[0]
        if self._tokenizer.eos_token_id is None:
            raise UserFacingError(
                "The tokenizer names no end-of-turn token: set eos_token in its "
                "tokenizer_config.json."
            )
        return int(self._tokenizer.eos_token_id)


def _spelt(ids: tuple[int, ...], pieces: Sequence[bytes]) -> Tokens:
    """Return tokens with the text and the spans that their bytes give."""
    text, owner = _characters(b"".join(pieces))
    borders = np.fromiter(accumulate(map(len, pieces), initial=0), np.int64, len(pieces) + 1)
    starts, ends = owner[borders[:-1]], owner[borders[1:] - 1] + 1
    ends = np.where(borders[:-1] < borders[1:], ends, starts)
    return Tokens(
        text,
        ids,
        tuple(starts.tolist()),
        tuple(ends.tolist()),
        tuple(pieces),
        (False,) * len(pieces),
    )


def _missing(tokens: Tokens, own: Tokens) -> tuple[bool, ...]:
    """Return for each of ``tokens`` whether ``own``, of the same text, lacks it in its place."""
    ours = (tokens.ids, tokens.starts, tokens.ends)
    theirs = (own.ids, own.starts, own.ends)
    head = min(map(shared_prefix, ours, theirs))
    rest = [(a[head:][::-1], b[head:][::-1]) for a, b in zip(ours, theirs, strict=True)]
    stop = len(tokens) - min(shared_prefix(a, b) for a, b in rest)
    if head == stop:
        return (False,) * len(tokens)
    first, last = tokens.starts[head], tokens.starts[stop - 1]
    chosen = {token for token in zip(*theirs, strict=True) if first <= token[1] <= last}
    between = zip(*(column[head:stop] for column in ours), strict=True)
    forced = (token not in chosen for token in between)
    return (*(False,) * head, *forced, *(False,) * (len(tokens) - stop))


def _borders(tokens: Tokens) -> tuple[Ints, Ints]:
    """Return places that no token reaches across, each with the first token from there on."""
    length, count = len(tokens.text), len(tokens)
    starts = np.fromiter(tokens.starts, np.int64, count)
    reached = np.maximum.accumulate(np.fromiter((0, *tokens.ends[:-1]), np.int64, count))
    inner = np.flatnonzero((starts >= reached) & (starts < length))
    places, first = np.unique(starts[inner], return_index=True)
    return np.append(places, length), np.append(inner[first], count)


def _forced_stretches(old: Tokens, new: Tokens) -> Iterator[tuple[slice, slice]]:
    """Yield stretches of old tokens with forced ones among them, and the new tokens in their place.

    Both have borders at the stretch's two ends, which the edit did not touch.
    """
    head = shared_prefix(old.text, new.text)
    tail = shared_prefix(old.text[head:][::-1], new.text[head:][::-1])
    (places, first), (new_places, new_first) = _borders(old), _borders(new)
    forced = [index for index, is_forced in enumerate(old.forced) if is_forced]
    for untouched, shift in (
        (places <= head, 0),
        (places >= len(old.text) - tail, len(new.text) - len(old.text)),
    ):
        _, i, j = np.intersect1d(
            places[untouched] + shift, new_places, assume_unique=True, return_indices=True
        )
        ours, theirs = first[untouched][i], new_first[j]
        for at in np.unique(np.searchsorted(ours, forced, side="right")).tolist():
            if 0 < at < len(ours):
                yield (
                    slice(*ours[at - 1 : at + 1].tolist()),
                    slice(*theirs[at - 1 : at + 1].tolist()),
                )


def _characters(data: bytes) -> tuple[str, Ints]:
    """Return bytes as text, and for each byte (and the end) the index of its character.

    What is no UTF-8 becomes U+FFFD, one for each stretch that a decoder gives up on.
    """
    text = data.decode("utf-8", "replace")
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    at = 0
    for before in text.split("\N{REPLACEMENT CHARACTER}")[:-1]:
        at += len(before.encode())
        stop = at + _length(data[at : at + 4])
        begins[at:stop] = np.arange(stop - at) == 0
        at = stop
    return text, np.append(np.cumsum(begins) - 1, len(text))


def _length(data: bytes) -> int:
    """Return how many bytes of ``data`` the U+FFFD at its beginning stands for."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start == 0:
            return error.end
    return len("\N{REPLACEMENT CHARACTER}".encode())
