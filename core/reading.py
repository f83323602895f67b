"""Reads texts into a tokenizer's ids again and again, each time only what an edit has touched.

A text is cut at places where the tokenizer's own rules put a border whatever stands further off,
so a reading of an edited text is the last one's beginning and end around a new middle. Which
places these are is derived from the parts of the tokenizer (normalizer, pre-tokenizer, model,
added tokens); one with a part that nothing is proved of here is always run over the whole text.
Knows nothing of prompts, of the bytes of tokens, or of models.

**Cuts.** Before a space that follows something else than white space. A pattern of PATTERN's form
reads a space only as the first character of a match or in a match of white space alone, so no
match reaches across, none is chosen by what lies across, and the search for matches begins anew
there: the pieces of ``ab``, cut so, are those of ``a`` and those of ``b``. NFC composes nothing
with a space. What a tokenizer puts before the beginning of a text, it puts only where there is no
space. Where nothing is put there, texts are also cut between a letter and CJK punctuation, which no
match of that form has after a letter. All kinds of model turn each piece into tokens by itself.

**Seams.** A BPE model without such pieces (Llama 2, Gemma) merges over the whole text. A sequence
of tokens is the one that BPE gives if each two neighbours are what it gives for their joint text:
up to the first merge across any border, the merges in the two tokens beside it are, in the same
order, those of their joint text alone, where that merge is not made. The converse holds likewise.
So two readings that share a token may be joined at it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.failures import in_words
from core.text import shared_prefix

OTHER_FILES = "copy its files again from the model that it is of"
SPACE_MARK = "▁"
"""How sentencepiece vocabularies write a space."""

READINGS = 8
"""Readings that are remembered: of two responses, in their places and alone."""
MARGIN = 24
"""Characters between an edit and the next cut, so that a token lies between them."""
REACH = 256
"""Characters before an edit in which a cut is looked for at first."""

_CLASS = r"(\\p\{L\}|\[(\\p\{(L[ultmo]?|M)\})+\])"
_ENDINGS = r"\(\?i:'[a-z]+(\|'[a-z]+)*\)"
_ALTERNATIVES = (
    # Words, and what hangs on them by an apostrophe.
    r"( \?|\[\^\\r\\n\\p\{L\}\\p\{N\}\]\?)?"
    rf"({_CLASS}\*)?{_CLASS}\+({_CLASS}\*)?({_ENDINGS}\?)?",
    rf"{_ENDINGS}|'[a-z]+|'\(\?i?:\[[a-z]+\](\|[a-z]+)*\)",
    # Numbers, signs, white space.
    r"( \?)?\\p\{N\}(\+|\{1,\d\})?",
    r" \?\[\^\\s\\p\{L\}(\\p\{M\})?\\p\{N\}\]\+(\[\\r\\n/?\]\*)?",
    r"\\s\+\(\?!\\S\)|\\s\+|\\s\*\[\\r\\n\]\+",
)
_ALTERNATIVE = f"({'|'.join(_ALTERNATIVES)})"
PATTERN = re.compile(rf"{_ALTERNATIVE}(\|{_ALTERNATIVE})*")
"""The form of the patterns of GPT-2, Llama 3, Qwen, GPT-4o, and of others that are like them."""

SPACES = r"(?<=\S)(?= )"
SIGNS = r"(?<=[A-Za-zぁ-ゖァ-ヺ一-龥가-힣])(?=[，。、！？；：])"


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """A text's n token ids, and [n, 2] where each starts and ends, as the tokenizer says."""

    text: str
    ids: tuple[int, ...]
    spans: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the texts of a tokenizer may be cut."""

    places: re.Pattern[str]
    opens: bool
    """Whether any text is read as if a space came before it."""
    greedy: tuple[str, ...]
    """Added tokens that take the white space after them: no cut there."""

    def find(self, text: str, first: int, stop: int) -> Iterator[int]:
        """Yield the places of ``text[first:stop]``, which depend on nothing beyond ``stop``."""
        for match in self.places.finditer(text, first, stop):
            if match.start() and not text.endswith(self.greedy, 0, match.start()):
                yield match.start()

    def before(self, text: str, place: int) -> int:
        """Return the last cut with a margin before a place; 0 if there is none."""
        stop, reach = max(0, place - MARGIN), REACH
        while True:
            found = list(self.find(text, max(0, stop - reach), stop))
            if found or reach >= stop:
                return found[-1] if found else 0
            reach *= 4

    def after(self, text: str, place: int) -> int:
        """Return the first cut with a margin after a place; the text's end if there is none."""
        return next(self.find(text, place + MARGIN, len(text)), len(text))


class Reader:
    """Reads texts with one loaded tokenizer, without adding its special tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._cuts = cuts_of(tokenizer)
        self._recent: list[Reading] = []
        """The one used last at the end."""

    def read(self, text: str) -> Reading:
        """Return the tokens of a text, the same as a reading of nothing but the whole of it."""
        reading = self._known(text) or self._whole(text)
        self._recent = [it for it in self._recent if it is not reading][1 - READINGS :]
        self._recent.append(reading)
        return reading

    def _known(self, text: str) -> Reading | None:
        """Return the reading of a text from those that are remembered, if one is like it."""
        for old in reversed(self._recent):
            if old.text == text:
                return old
        if self._cuts is not None:
            for old in reversed(self._recent):
                head = shared_prefix(old.text, text)
                tail = shared_prefix(old.text[head:][::-1], text[head:][::-1])
                if 2 * (head + tail) > len(text):
                    return self._spliced(self._cuts, old, text, head, len(old.text) - tail)
        return None

    def _spliced(
        self, cuts: Cuts, old: Reading, text: str, head: int, after: int
    ) -> Reading | None:
        """Return the reading of a text that differs from an old one in ``old.text[head:after]``.

        None if what is read anew, which takes in a token on either side, does not join it.
        """
        shift = len(text) - len(old.text)
        first, stop = cuts.before(text, head), cuts.after(old.text, after)
        starts, ends = old.spans.T
        if (starts[1:] < starts[:-1]).any():  # a space was put before a piece and trimmed off
            return None
        i = int(np.searchsorted(starts, first)) if first else 0
        j = int(np.searchsorted(starts, stop)) if stop < len(old.text) else len(starts)
        skipped = first + (cuts.opens and first > 0)
        new = self._whole(text[skipped : stop + shift])
        spans = new.spans + skipped
        if first:
            if not new.ids or i >= j or ends[i - 1] > first or ends[i] > head:
                return None
            if new.ids[0] != old.ids[i] or spans[0, 1] != ends[i]:
                return None
            spans[0] = old.spans[i]
        if stop < len(old.text):
            if not new.ids or i >= j or ends[j - 1] > stop or starts[j - 1] < after:
                return None
            if new.ids[-1] != old.ids[j - 1] or spans[-1, 0] != starts[j - 1] + shift:
                return None
        return Reading(
            text,
            old.ids[:i] + new.ids + old.ids[j:],
            np.concatenate([old.spans[:i], spans, old.spans[j:] + shift]),
        )

    def _whole(self, text: str) -> Reading:
        name = getattr(self._tokenizer, "name_or_path", "") or "of the pair"
        with in_words("The tokenizer", name, OTHER_FILES, "read this text"):
            found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = np.array(found["offset_mapping"], np.int64).reshape(-1, 2)
        return Reading(text, tuple(found["input_ids"]), spans)


def cuts_of(tokenizer: Any) -> Cuts | None:
    """Return where the texts of a loaded tokenizer may be cut; None if that is not known."""
    from transformers import PreTrainedTokenizerFast

    backend, plain = tokenizer.backend_tokenizer, PreTrainedTokenizerFast
    for name in ("__call__", "_encode_plus"):
        if getattr(type(tokenizer), name) is not getattr(plain, name):
            return None
    try:
        normalizers, splitters, processors = map(
            _steps, (backend.normalizer, backend.pre_tokenizer, backend.post_processor)
        )
    except Exception:  # a part that is written in Python cannot be told
        return None
    marks = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
    opens = normalizers == [{"type": "Prepend", "prepend": SPACE_MARK}, marks]
    marked = opens or normalizers == [marks]
    if not marked and any(step != {"type": "NFC"} for step in normalizers):
        return None
    if any(step["type"] not in ("ByteLevel", "TemplateProcessing") for step in processors):
        return None
    splits = _splits(splitters, marked)
    if splits is None or not _is_local(backend.model, alone=splits == ""):
        return None
    fills = opens or any(
        step.get("add_prefix_space") or step.get("prepend_scheme", "never") != "never"
        for step in splitters
    )
    places = re.compile(SPACES if fills or splits == "spaces" else f"{SPACES}|{SIGNS}")
    added = tokenizer.added_tokens_decoder.values()
    greedy = tuple(token.content for token in added if token.rstrip)
    if any(
        token.single_word
        or places.search(token.content.replace(SPACE_MARK, " "))
        or (token.rstrip and token.normalized and normalizers)
        for token in added
    ):
        return None
    return Cuts(places, opens, greedy)


def _steps(part: Any) -> list[dict[str, Any]]:
    """Return the settings of the steps of a tokenizer's part, which may be a sequence or None."""
    if part is None:
        return []
    return list(_flat(json.loads(part.__getstate__())))


def _flat(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of a sequence in order, or a step itself."""
    if step["type"] != "Sequence":
        yield step
        return
    for inner in next(steps for name, steps in step.items() if name != "type"):
        yield from _flat(inner)


def _splits(steps: list[dict[str, Any]], marked: bool) -> str | None:
    """Return how a pre-tokenizer makes pieces: at "spaces", by a "pattern", or "" for not at all.

    None if that is not known. ``marked``: spaces are written as marks by now.
    """
    splits = ""
    for step in steps:
        match step:
            case {"type": "Digits" | "Punctuation"}:
                pass  # where these make borders depends on the two characters there
            case {"type": "ByteLevel" | "Split"} if splits:
                pass  # whatever is done to each piece
            case {"type": "Split", "pattern": {"String": " "}} if marked:
                pass  # there are none
            case {"type": "Metaspace", "replacement": "▁", "split": split}:
                splits, marked = "spaces" if split else splits, True
            case {"type": "ByteLevel", "use_regex": False}:
                marked = True
            case {"type": "WhitespaceSplit" | "Whitespace" | "BertPreTokenizer"} if not marked:
                splits = "spaces"
            case {"type": "ByteLevel"} if not marked:
                splits = "pattern"
            case {"type": "Split", "pattern": {"Regex": pattern}} if (
                not marked
                and (step["behavior"], step["invert"]) in (("Isolated", False), ("Removed", True))
                and PATTERN.fullmatch(pattern)
            ):
                splits = "pattern"
            case _:
                return None
    return splits


def _is_local(model: Any, alone: bool) -> bool:
    """Return whether a model's tokens may be joined: of pieces, or, ``alone``, at seams."""
    kind = type(model).__name__
    if kind == "BPE":
        surrounded = model.continuing_subword_prefix or model.end_of_word_suffix
        return not model.dropout and not (alone and (surrounded or model.ignore_merges))
    if kind == "Unigram":
        return not alone and model.alpha is None and model.nbest_size is None
    return not alone and kind in ("WordPiece", "WordLevel")
