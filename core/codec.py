"""The tokenizer's side of text: prompts to ids, responses to tokens with spans, and back.

Wraps a loaded Hugging Face tokenizer. The spans come from the bytes that each token stands for,
so they hold for any sequence of ids, also one that the tokenizer itself would never produce: a
token that was put in place by hand, half of an emoji. Knows nothing of models or editors.
"""

from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from core.errors import UserFacingError
from core.text import Message, Prompt, Tokens, shared_prefix

SPACE_MARK = "▁"
"""How sentencepiece vocabularies write a space."""


def _byte_of_letter() -> dict[str, int]:
    """The alphabet of byte-level vocabularies: printable bytes stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + i): byte for i, byte in enumerate(others)}


class Codec:
    """Prompts and responses as one loaded tokenizer reads them.

    A special token's text typed into a prompt or response ("<|im_end|>") is read as that token,
    as chat templates do.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special: dict[int, str] = {
            int(id): token.content for id, token in tokenizer.added_tokens_decoder.items()
        }
        decoder = tokenizer.backend_tokenizer.decoder
        self._letters = _byte_of_letter() if decoder and "ByteLevel" in repr(decoder) else None
        self._known: dict[int, bytes] = {}
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
        found = self._tokenizer(
            before + clean, add_special_tokens=False, return_offsets_mapping=True
        )
        offsets = np.array(found["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        first = int(np.searchsorted(offsets[:, 0], len(before)))
        ids, spans = found["input_ids"][first:], offsets[first:] - len(before)
        if first and offsets[first - 1, 1] > len(before):  # a token across the border: not ours
            found = self._tokenizer(clean, add_special_tokens=False, return_offsets_mapping=True)
            ids = found["input_ids"]
            spans = np.array(found["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        laid = self._lay_out(ids)
        if laid.text == " " + clean:  # the space that sentencepiece puts before a first word
            laid = self._lay_out(ids, opened=True)
        if laid.text == clean:
            return Tokens(text, laid.ids, laid.starts, laid.ends, laid.pieces, laid.forced)
        # A tokenizer that rewrites text (lower case, Unicode forms): its offsets, the user's text.
        starts, ends = (tuple(column.tolist()) for column in spans.T)
        return Tokens(text, laid.ids, starts, ends, laid.pieces, laid.forced)

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
        return Tokens(laid.text, laid.ids, laid.starts, laid.ends, laid.pieces, forced)

    def edit(self, prompt: Prompt, old: Tokens, text: str) -> Tokens:
        """The tokens of an edited text: the tokenizer's own, but forced runs that the edit did
        not touch keep their ids, where the new tokens have borders at both of their ends."""
        new = self.encode(prompt, text)
        head = shared_prefix(old.text, text)
        tail = shared_prefix(old.text[head:][::-1], text[head:][::-1])
        shift = len(text) - len(old.text)
        ids = list(new.ids)
        for run in reversed(_runs(old.forced)):
            start, end = old.starts[run[0]], old.ends[run[-1]]
            if start >= len(old.text) - tail:
                start, end = start + shift, end + shift
            elif end > head:
                continue
            if start in new.starts and end in new.ends:
                first = new.starts.index(start)
                last = len(new) - 1 - new.ends[::-1].index(end)
                ids[first : last + 1] = (old.ids[i] for i in run)
        return new if tuple(ids) == new.ids else self.decode(prompt, tuple(ids))

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
        for plain, mark in ((" ", "·"), ("\n", "↵"), ("\t", "⇥"), ("\r", "␍")):
            text = text.replace(plain, mark)
        return text

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
        if id in self._special:
            return self._special[id].encode()
        if token is None:  # padding of the embedding: no token has this number
            return b""
        if self._letters is not None:
            return b"".join(
                bytes([self._letters[letter]]) if letter in self._letters else letter.encode()
                for letter in token
            )
        if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            return bytes.fromhex(token[3:5])
        return token.replace(SPACE_MARK, " ").encode()

    def _lay_out(self, ids: Any, opened: bool = False) -> Tokens:
        """Tokens of these ids with the text and the spans that their bytes give.

        ``opened``: the first token's space belongs to the tokenizer, not to the text.
        """
        pieces = [self.piece(int(id)) for id in ids]
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
            tuple(map(int, ids)),
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


def _runs(flags: tuple[bool, ...]) -> list[list[int]]:
    """The stretches of indices whose flag is set."""
    return [
        [i for i, _ in group]
        for flag, group in groupby(enumerate(flags), key=lambda item: item[1])
        if flag
    ]


def _characters(data: bytes) -> tuple[str, list[int]]:
    """Bytes as text, and for each byte (and the end) the index of the character it is part of.

    What is no UTF-8 becomes U+FFFD, one for each stretch that a decoder gives up on.
    """
    text: list[str] = []
    owner: list[int] = []
    count, at = 0, 0
    while at < len(data):
        bad = b""
        try:
            good = data[at:].decode("utf-8")
        except UnicodeDecodeError as error:
            good = data[at : at + error.start].decode("utf-8")
            bad = data[at + error.start : at + error.end]
        raw = np.frombuffer(good.encode(), dtype=np.uint8)
        owner += (np.cumsum((raw & 0xC0) != 0x80) - 1 + count).tolist()
        count += len(good)
        text.append(good)
        if bad:
            owner += [count] * len(bad)
            count += 1
            text.append("\N{REPLACEMENT CHARACTER}")
        at += len(raw) + len(bad)
    return "".join(text), [*owner, count]
