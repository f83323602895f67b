"""The tokenizer's side of text: prompts to ids, responses to tokens with spans, and back.

Wraps a loaded Hugging Face tokenizer. The spans come from the bytes that each token stands for,
so they hold for any sequence of ids, also one that the tokenizer itself would never produce: a
token that was put in place by hand, half of an emoji. Knows nothing of models or editors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import UserFacingError
from core.text import Message, Prompt, Tokens, shared_prefix

SPACE_MARK = "▁"
"""How sentencepiece vocabularies write a space."""

MARKS = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}
REACH = 6
"""How many tokens back a decoder of unknown kind may look to spell a token."""


def _byte_of_letter() -> dict[str, int]:
    """The alphabet of byte-level vocabularies: printable bytes stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + i): byte for i, byte in enumerate(others)}


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
        self._known: dict[int, bytes] = {}
        self._labels: tuple[str, ...] = ()
        self.has_chat_template: bool = bool(getattr(tokenizer, "chat_template", None))
        self.vocab_size: int = len(tokenizer)
        self.end_of_turn: int = self._closing_token()
        self.end_of_turn_text: str = self.label(self.end_of_turn)

    def prompt_text(self, prompt: Prompt) -> str:
        """The prompt as the models read it: chat template applied, the response to come next.

        Without a chat template: the turns, a blank line between them.

        Raises:
            UserFacingError: the template refuses these turns.
        """
        if not self.has_chat_template:
            return "\n\n".join(message.content for message in prompt.messages)
        return self._render(prompt.messages, add_generation_prompt=True)

    def prompt_ids(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of ``prompt_text``; a template brings its own first token."""
        return self._ids(self.prompt_text(prompt), special=not self.has_chat_template)

    def encode(self, prompt: Prompt, text: str) -> Tokens:
        """The tokenizer's own tokens of a response, in its place after the prompt."""
        clean = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates
        before = self.prompt_text(prompt)
        ids, spans = self._read(before + clean)
        first = int(np.searchsorted(spans[:, 0], len(before)))
        whole = first == 0 or spans[first - 1, 1] <= len(before)
        ours = (ids[first:], spans[first:] - len(before))
        if whole and (placed := self._placed(text, clean, ours[0])):
            return placed
        alone = self._read(clean)  # a token lies across the border: it is not ours
        if placed := self._placed(text, clean, alone[0]):
            return placed
        # A tokenizer that rewrites text (lower case, Unicode forms): its offsets, the user's text.
        ids, spans = ours if whole else alone
        laid = self._lay_out(ids)
        starts, ends = (tuple(column.tolist()) for column in spans.T)
        return replace(laid, text=text, starts=starts, ends=ends)

    def decode(self, prompt: Prompt, ids: tuple[int, ...]) -> Tokens:
        """Any ids as a response; those that the tokenizer would not choose are ``forced``.

        Bytes that are no UTF-8 show as U+FFFD.
        """
        laid = self._lay_out(ids)
        own = self.encode(prompt, laid.text)
        if laid.text.startswith(" ") and own.ids[:1] != laid.ids[:1]:
            opened = self.encode(prompt, laid.text[1:])
            if opened.ids[:1] == laid.ids[:1]:
                own, laid = opened, self._lay_out(ids, opened=True)
        chosen = set(zip(own.ids, own.starts, own.ends, strict=True))
        forced = tuple(
            token not in chosen for token in zip(laid.ids, laid.starts, laid.ends, strict=True)
        )
        return replace(laid, forced=forced)

    def edit(self, prompt: Prompt, old: Tokens, text: str) -> Tokens:
        """The tokens of an edited text: the tokenizer's own, but stretches with forced tokens
        that the edit did not touch keep their ids.

        A stretch lies between two places where both the old and the new tokens have a border. If
        what is kept would no longer read as ``text``, because halves of a character have met,
        nothing is.
        """
        new = self.encode(prompt, text)
        if not any(old.forced):
            return new
        head = shared_prefix(old.text, text)
        tail = shared_prefix(old.text[head:][::-1], text[head:][::-1])
        after = len(old.text) - tail
        ids: list[int] = []
        done = 0
        for ours, theirs in (
            *_forced_stretches(old, new, range(head + 1), 0),
            *_forced_stretches(
                old, new, range(after, len(old.text) + 1), len(text) - len(old.text)
            ),
        ):
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
        """The bytes that a token stands for; a special token's are those of its name."""
        if id not in self._known:
            self._known[id] = self._bytes(id, self._tokenizer.convert_ids_to_tokens(id))
        return self._known[id]

    def label(self, id: int) -> str:
        """A token as it is shown: marks for white space, hexadecimal for parts of characters."""
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
        """The labels of the first ``count`` ids, made once: the same tuple for the same count."""
        if len(self._labels) != count:
            self._labels = tuple(map(self.label, range(count)))
        return self._labels

    def find(self, query: str, limit: int) -> list[int]:
        """Tokens whose text matches: the same first, then beginning so, then containing it.

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

    def _ids(self, text: str, special: bool = False) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=special)["input_ids"])

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

    def _read(self, text: str) -> tuple[list[int], NDArray[np.int64]]:
        """Ids of a text, and [n, 2] where each starts and ends."""
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return found["input_ids"], np.array(found["offset_mapping"], np.int64).reshape(-1, 2)

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def _placed(self, text: str, clean: str, ids: Sequence[int]) -> Tokens | None:
        """Tokens of ``text`` if the bytes of ``ids`` spell it, with the spans that they give."""
        laid = self._lay_out(ids)
        if laid.text == " " + clean:  # the space that sentencepiece puts before a first word
            alone = laid.pieces[0] == b" "  # shown as nothing, so it is left out
            laid = self._lay_out(ids[1:]) if alone else self._lay_out(ids, opened=True)
        return replace(laid, text=text) if laid.text == clean else None

    def _grown(self, ids: Sequence[int]) -> list[bytes]:
        """What each token adds to those before it, for a vocabulary whose spelling is unknown."""
        pieces = []
        for i in range(len(ids)):
            window = list(ids[max(0, i - REACH) : i + 1])
            before, after = self._decoded(window[:-1]), self._decoded(window)
            pieces.append(after[shared_prefix(before, after) :].encode())
        return pieces

    def _lay_out(self, ids: Sequence[int], opened: bool = False) -> Tokens:
        """Tokens of these ids with the text and the spans that their bytes give.

        ``opened``: the first token's space belongs to the tokenizer, not to the text.
        """
        pieces = [self.piece(id) for id in ids] if self._spelled else self._grown(ids)
        if opened:
            pieces[0] = pieces[0].removeprefix(b" ")
        text, owner = _characters(b"".join(pieces))
        starts, ends, at = [], [], 0
        for piece in pieces:
            starts.append(owner[at])
            at += len(piece)
            ends.append(owner[at - 1] + 1 if piece else owner[at])
        return Tokens(
            text,
            tuple(ids),
            tuple(starts),
            tuple(ends),
            tuple(pieces),
            (False,) * len(pieces),
        )

    def _render(self, messages: tuple[Message, ...], add_generation_prompt: bool) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=add_generation_prompt
                )
            )
        except Exception as error:  # templates raise what they like
            raise UserFacingError(
                f"The chat template refuses these turns ({error}): leave the system turn empty, "
                f"or let user and assistant take turns."
            ) from error

    def _closing_token(self) -> int:
        """The first special token that the template puts after a response; else end of text."""
        if self.has_chat_template:
            turns = (Message("user", "Q"), Message("assistant", "qscope"))
            after = self._render(turns, add_generation_prompt=False).rpartition("qscope")[2]
            closing = [id for id in self._ids(after) if id in self._special]
            if closing:
                return closing[0]
        if self._tokenizer.eos_token_id is None:
            raise UserFacingError(
                "The tokenizer names no end-of-turn token: set eos_token in its "
                "tokenizer_config.json."
            )
        return int(self._tokenizer.eos_token_id)


def _borders(tokens: Tokens) -> dict[int, int]:
    """Places in the text that no token reaches across, each with the first token from there on."""
    found: dict[int, int] = {}
    reached = 0
    for i, (start, end) in enumerate(zip(tokens.starts, tokens.ends, strict=True)):
        if start >= reached:
            found.setdefault(start, i)
        reached = max(reached, end)
    return found | {len(tokens.text): len(tokens)}


def _forced_stretches(
    old: Tokens, new: Tokens, places: range, shift: int
) -> Iterator[tuple[slice, slice]]:
    """Stretches of old tokens with forced ones among them, and the new tokens in their place.

    Both have borders at the stretch's two ends, which lie in ``places`` of the old text and
    ``shift`` further on in the new.
    """
    found = _borders(new)
    shared = [
        (i, found[place + shift])
        for place, i in _borders(old).items()
        if place in places and place + shift in found
    ]
    for (i, j), (i_stop, j_stop) in pairwise(shared):
        if any(old.forced[i:i_stop]):
            yield slice(i, i_stop), slice(j, j_stop)


def _characters(data: bytes) -> tuple[str, list[int]]:
    """Bytes as text, and for each byte (and the end) the index of the character it is part of.

    What is no UTF-8 becomes U+FFFD, one for each stretch that a decoder gives up on.
    """
    text = data.decode("utf-8", "replace")
    owner: list[int] = []
    for i, sign in enumerate(text):
        if sign == "\N{REPLACEMENT CHARACTER}":
            owner += [i] * _length(data[len(owner) : len(owner) + 4])
        else:
            owner += [i] * len(sign.encode())
    return text, [*owner, len(text)]


def _length(data: bytes) -> int:
    """How many bytes of ``data`` the U+FFFD at its beginning stands for."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start == 0:
            return error.end
    return len("\N{REPLACEMENT CHARACTER}".encode())
