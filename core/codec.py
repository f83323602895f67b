"""The tokenizer's side of text: prompts to ids, responses to tokens with spans, and back.

Wraps a loaded Hugging Face tokenizer. The spans come from the bytes that each token stands for,
so they hold for any sequence of ids, also one that the tokenizer itself would never produce: a
token that was put in place by hand, half of an emoji.

Here, and nowhere else, is decided where a response begins and ends in what the models read, which
is prompt and response rendered together (core.template) and read as one text (core.reading).

**Where it begins.** TRL's DPO and KTO: after the longest prefix that the tokens share with those
of the prompt rendered alone, the shorter of two such for a pair. What the template writes from
there to the response's first letter is scored. TRL's CPO and ORPO: where the prompt's tokens end,
or one before, if that is merged; BOS is put before the prompt and EOS after the response unless
they are there.

**Where it ends.** "turn": with the closing token. "rest": with all that is rendered, as in TRL.

Knows nothing of models or editors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import UserFacingError
from core.progress import Stop, never
from core.reading import SPACE_MARK, Reader, Reading
from core.template import NEUTRAL, PROBE, Place, Template
from core.text import Message, Prompt, Tokens, shared_prefix

Made = TypeVar("Made")
Ints = NDArray[np.int64]
Rule = Literal["turn", "rest", "apart"]
"""How the tokens of a response are found: as the module says; "apart" is that of CPO and ORPO."""
RULES: dict[str, Rule] = {"dpo": "rest", "kto": "rest", "cpo": "apart", "orpo": "apart"}
"""The rules of TRL's trainers; where the trainer is not known, it is "turn"."""

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
"""Prompts whose ids are remembered."""


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


class Rendering(NamedTuple):
    """All that is read of a prompt and a response: ids, of which the first ``begins`` are context.

    ``ids`` are those of ``reading`` between what the tokenizer or the trainer adds, ``added``
    before and ``after`` behind.
    """

    place: Place
    reading: Reading
    ids: tuple[int, ...]
    added: int
    begins: int


class Codec:
    """Prompts and responses as one loaded tokenizer reads them.

    ``plain``: its chat template is left aside. To a template it is ``now`` for good. What waits for
    one ends in Cancelled soon after ``cancelled()`` turns true.

    A special token's text typed into a prompt or response ("<|im_end|>") is read as that token,
    as chat templates do. A character broken into bytes that are no UTF-8 shows as U+FFFD and,
    as in sentencepiece itself, takes none of its neighbours with it.

    Raises:
        UserFacingError: the tokenizer cannot tell where its tokens lie, or names no closing token,
            or its chat template cannot be used.
    """

    def __init__(
        self,
        tokenizer: Any,
        rule: Rule = "turn",
        plain: bool = False,
        now: datetime | None = None,
        cancelled: Stop = never,
    ) -> None:
        self._tokenizer = tokenizer
        self.rule = rule
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
        self._asked = lru_cache(PROMPTS)(self._asked_by)
        self._generic = lru_cache(PROMPTS)(self._neutral)
        self._labels: tuple[str, ...] = ()
        self._laid: list[Tokens] = []
        """What was laid out last."""
        self._template = Template(tokenizer, plain, now, cancelled)
        self._around = self._put_around() if self._template.plain and rule != "apart" else ((), ())
        self.has_chat_template: bool = not self._template.plain
        self.vocab_size: int = len(tokenizer)
        self.begin_of_text: int | None = tokenizer.bos_token_id
        self.end_of_turn: int = self._closing_token()
        self.end_of_turn_text: str = self.label(self.end_of_turn)

    @property
    def date(self) -> str:
        """What the template has written of the day; "" if nothing so far."""
        return self._template.date

    def prompt_text(self, prompt: Prompt) -> str:
        """Return the prompt as it is rendered alone, the response to come next.

        Without a chat template: the turns, a blank line between them.

        Raises:
            UserFacingError: the template refuses these turns.
        """
        return self._template.prompt(prompt)

    def prompt_ids(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the token ids before a response that merges with nothing of the prompt."""
        return self._generic(prompt)[0]

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
        text = whole[len(before) :] + turns[-1].content
        if not (
            self.has_chat_template
            and whole.startswith(before)
            and self._template.place(prompt, text).text == self._template.said(prompt, turns)
        ):
            raise UserFacingError(
                "The two sides part before their last turn, and this tokenizer's chat template "
                "does not write earlier turns as it opens a response: leave such pairs out, or "
                "cut both sides after the turn in which they part."
            )
        return text

    def encode(self, prompt: Prompt, text: str, beside: str | None = None) -> Tokens:
        """Return the tokenizer's own tokens of a response, in its place after the prompt.

        Args:
            beside: the response that this one is compared with: a pair begins where the first of
                the two begins.
        """
        clean = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates
        place, reading, ids, added, begins = self.rendering(prompt, clean, beside)
        starts, ends = reading.spans.T
        begun = begins - added
        first = max(begun, int(np.searchsorted(ends, place.start, side="right")))
        stop = max(first, int(np.searchsorted(starts, place.stop)))
        own = reading.ids[first:stop]
        spans = reading.spans[first:stop]
        laid = None
        if place.verbatim and place.head:
            at, end = (int(spans[0, 0]), int(spans[-1, 1])) if own else (place.start,) * 2
            lead, left_out = max(0, place.start - at), max(0, at - place.start)
            laid = _cut(self._lay_out(own), place.text[at:end], lead, min(place.stop, end) - at)
        if laid is None:
            # A tokenizer or a template that rewrites text (lower case, Unicode forms, thoughts):
            # the places that the tokenizer tells of, in the user's text.
            begin, end_at = (_in_response(place, spans[:, side], side) for side in (0, 1))
            pieces = tuple(self._spelling(own))
            laid = Tokens(text, own, begin, end_at, pieces, (False,) * len(own))
        elif laid.text != text:
            laid = _moved(laid, text, place.first + left_out)
        closing = self._closing(ids[added + stop :])
        return self._opened(laid, reading.ids[begun:first], ids[:begins], closing)

    def decode(self, prompt: Prompt, ids: tuple[int, ...], text: str | None = None) -> Tokens:
        """Return any ids as a response; those that the tokenizer would not choose are ``forced``.

        Bytes that are no UTF-8 show as U+FFFD.

        Args:
            text: what they were shown as, if that is known: its context is theirs.
        """
        context = None if text is None else self.encode(prompt, text).context
        return self._placed(prompt, ids, context or self.prompt_ids(prompt))

    def _placed(self, prompt: Prompt, ids: tuple[int, ...], context: tuple[int, ...]) -> Tokens:
        """Return ids as a response after a context."""
        usual, head = self._generic(prompt)
        if missing := usual[len(context) :]:  # merged with the response's first token
            head = self._lay_out(missing).text
        laid = self._lay_out(ids)
        if head and laid.text.startswith(head):
            laid = _cut(laid, laid.text, len(head), len(laid.text)) or laid
        own = self.encode(prompt, laid.text)
        whole = replace(laid, context=context, closing=own.closing)
        return replace(whole, forced=_missing(whole, own))

    def edit(self, prompt: Prompt, old: Tokens, text: str, beside: str | None = None) -> Tokens:
        """Return the tokens of an edited text: the tokenizer's own, but stretches with forced
        tokens that the edit did not touch keep their ids.

        A stretch lies between two places where both the old and the new tokens have a border. If
        what is kept would no longer read as ``text``, because halves of a character have met,
        nothing is.
        """
        new = self.encode(prompt, text, beside)
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
        kept = self._placed(prompt, tuple(ids), new.context)
        first = min(new.starts)
        return _moved(kept, text, first) if text[first : max(new.ends)] == kept.text else new

    def replace(self, prompt: Prompt, old: Tokens, index: int, id: int) -> Tokens:
        """Put one token in place of another and keep all others as they are."""
        return self._placed(prompt, (*old.ids[:index], id, *old.ids[index + 1 :]), old.context)

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

    def _lay_out(self, ids: tuple[int, ...]) -> Tokens:
        """Return tokens of these ids with the text and the spans that their bytes give."""
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

    # --- where a response lies ----------------------------------------------------------------

    def rendering(self, prompt: Prompt, text: str, beside: str | None = None) -> Rendering:
        """Return what is read of a prompt and a response, and where the response begins."""
        place = self._place(prompt, text)
        reading = self._reader.read(place.text)
        other = self._place(prompt, beside).text if beside is not None else place.text
        if self.rule == "apart":
            (before, after), ids = self._apart(reading.ids), reading.ids
            asked = self._template.prompt(prompt)
            if not self._template.plain:
                asked = asked[: min(shared_prefix(asked, it) for it in (place.text, other))]
            alone = self._reader.read(asked).ids
            begins = len(before) + len(alone) - (ids[: len(alone)] != alone)
        else:
            (before, after), ids, alone = self._around, reading.ids, self._asked(prompt)
            begins = shared_prefix(alone, (*before, *ids, *after))
            if beside is not None:
                others = (*before, *self._reader.read(other).ids, *after)
                begins = min(begins, shared_prefix(alone, others))
        # Nothing comes before a first token by which it could be scored: TRL leaves it out too.
        return Rendering(place, reading, (*before, *ids, *after), len(before), max(1, begins))

    def _place(self, prompt: Prompt, text: str) -> Place:
        eos = self._tokenizer.eos_token or ""
        return self._template.place(prompt, text, "" if self.rule == "apart" else eos)

    def left_out(self, prompt: Prompt, rendering: Rendering) -> tuple[int, ...]:
        """Return the ids that end a prompt which is read alone, and not before a response."""
        alone = self._asked(prompt)
        return alone[min(shared_prefix(alone, rendering.ids), rendering.begins) :]

    def _asked_by(self, prompt: Prompt) -> tuple[int, ...]:
        """Return the ids of a prompt that is read alone, with what the tokenizer adds."""
        before, after = self._around
        return (*before, *self._reader.read(self._template.prompt(prompt)).ids, *after)

    def _neutral(self, prompt: Prompt) -> tuple[tuple[int, ...], str]:
        """Return what stands before a neutral response to a prompt: the ids of its context, and the
        text that the template writes behind that."""
        if self._template.plain:
            ids = self._reader.read(self._template.prompt(prompt)).ids
            before = self._apart(ids)[0] if self.rule == "apart" else self._around[0]
            return (*before, *ids), ""
        tokens = self.encode(prompt, NEUTRAL)
        head, found, _ = self._lay_out(tokens.ids).text.partition(NEUTRAL)
        return tokens.context, head if found else ""

    def _apart(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return what CPO and ORPO put before ids that are read of a text, and behind them."""
        bos, eos = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        before = (bos,) if bos is not None and ids[:1] != (bos,) else ()
        return before, (eos,) if eos is not None and ids[-1:] != (eos,) else ()

    def _put_around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the special tokens that the tokenizer itself puts before and after a text."""
        alone, whole = self._reader.read(NEUTRAL).ids, tuple(self._tokenizer(NEUTRAL)["input_ids"])
        for first in range(len(whole) - len(alone) + 1):
            if whole[first : first + len(alone)] == alone:
                return whole[:first], whole[first + len(alone) :]
        return (), ()

    def _closing(self, rest: tuple[int, ...]) -> tuple[int, ...]:
        """Return what is scored of the ids after a response."""
        if self.rule != "turn":
            return rest
        ends = (i for i, id in enumerate(rest, 1) if self.is_special(id))
        return rest[: next(ends, len(rest))] or (self.end_of_turn,)

    def is_special(self, id: int) -> bool:
        """Return whether a token is none of text: a template or a trainer writes it."""
        return id in self._special or id == self._tokenizer.eos_token_id

    def _opened(
        self,
        laid: Tokens,
        opening: tuple[int, ...],
        context: tuple[int, ...],
        closing: tuple[int, ...],
    ) -> Tokens:
        """Return laid tokens behind those that the template writes before a response."""
        count = len(opening)
        at = (min(laid.starts, default=0),) * count
        return Tokens(
            laid.text,
            opening + laid.ids,
            at + laid.starts,
            at + laid.ends,
            tuple(self._spelling(opening)) + laid.pieces,
            (False,) * count + laid.forced,
            count + laid.opening,
            context,
            closing,
        )

    def _closing_token(self) -> int:
        """Return the special token that the template puts after a response; else end of text."""
        if self.has_chat_template:
            place = self._template.place(PROBE, NEUTRAL)
            after = self._reader.read(place.text[place.stop :]).ids
            closing = [id for id in after if id in self._special]
            if closing:
                return closing[0]
        if self._tokenizer.eos_token_id is None:
            raise UserFacingError(
                "The tokenizer names no end-of-turn token: set eos_token in its "
                "tokenizer_config.json."
            )
        return int(self._tokenizer.eos_token_id)


def _cut(laid: Tokens, written: str, first: int, stop: int) -> Tokens | None:
    """Return tokens that spell ``written`` as those of ``written[first:stop]`` alone.

    What lies beyond, in tokens that reach across, belongs to the template. None if they do not
    spell it; the space that sentencepiece puts before a first word counts for nothing.
    """
    put = len(laid.text) - len(written)
    if put not in (0, 1) or laid.text != " " * put + written:
        return None
    first, stop = first + put, stop + put
    if first == 0 and stop == len(laid.text):
        return laid
    pieces = _without(laid.pieces, len(laid.text[:first].encode()))
    behind = len(laid.text[stop:].encode())
    pieces = tuple(
        it[::-1] for it in _without(tuple(it[::-1] for it in pieces[::-1]), behind)[::-1]
    )
    kept = (i for i, piece in enumerate(pieces) if piece or not laid.pieces[i])
    opening = next(kept, len(pieces))
    return Tokens(
        laid.text[first:stop],
        laid.ids,
        tuple([min(max(0, start - first), stop - first) for start in laid.starts]),
        tuple([min(max(0, end - first), stop - first) for end in laid.ends]),
        laid.pieces[:opening] + pieces[opening:],
        laid.forced,
        opening,
    )


def _without(pieces: tuple[bytes, ...], count: int) -> tuple[bytes, ...]:
    """Return pieces without their first ``count`` bytes."""
    kept = list(pieces)
    for i, piece in enumerate(pieces):
        if not count:
            break
        kept[i] = piece[count:]
        count -= min(count, len(piece))
    return tuple(kept)


def _moved(tokens: Tokens, text: str, by: int) -> Tokens:
    """Return tokens of a part of ``text`` that begins at ``by``."""
    starts, ends = tokens.starts, tokens.ends
    if by:
        starts, ends = tuple([at + by for at in starts]), tuple([at + by for at in ends])
    return replace(tokens, text=text, starts=starts, ends=ends)


def _in_response(place: Place, at: Ints, ends: int) -> tuple[int, ...]:
    """Return where places of a rendering lie in the response; those in what the template wrote anew
    at its end, if ``ends``, else at its beginning."""
    early = place.first + np.clip(at - place.start, 0, place.head)
    late = place.last - np.clip(place.stop - at, 0, place.tail)
    behind = at - place.start > place.head if ends else at >= place.stop - place.tail
    return tuple(np.where(behind, late, early).tolist())


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
