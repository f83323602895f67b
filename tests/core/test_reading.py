"""Texts read anew after edits: always what one reading of the whole text gives."""

import copy
import json
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from core.reading import MARGIN, Reader, cuts_of
from tests.tiny import CORPUS, SPECIAL, metaspace_tokenizer

ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SIGNS = r" ?[^\s\p{L}\p{N}]+"
PATTERNS = {
    "gpt2": rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+|{SIGNS}|\s+(?!\S)|\s+",
    "llama3": rf"{ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{SIGNS}[\r\n]*|{SPACE}",
    "qwen2": rf"{ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{SIGNS}[\r\n]*|{SPACE}",
    "gpt4o": rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENDINGS}?|"
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENDINGS}?|"
    rf"\p{{N}}{{1,3}}|{SIGNS}[\r\n/]*|{SPACE}",
}
BYTES = pre_tokenizers.ByteLevel.alphabet()
LETTERS = sorted({letter for line in CORPUS for letter in line} - {" "})


def split(name):
    return pre_tokenizers.Split(Regex(PATTERNS[name]), "isolated")


def plain_bytes():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def in_sequence(*steps):
    return pre_tokenizers.Sequence(list(steps))


def fast(backend, added=()):
    backend.add_special_tokens([*SPECIAL, *added])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=SPECIAL[0])


def bpe(splits, normalizer=None, post=None, added=(), **options):
    """A byte-level BPE tokenizer, trained with these splits."""
    backend = Tokenizer(models.BPE(**options))
    backend.pre_tokenizer = splits
    if normalizer:
        backend.normalizer = normalizer
    if post:
        backend.post_processor = post
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=BYTES, show_progress=False)
    backend.train_from_iterator(CORPUS * 3, trainer)
    return fast(backend, added)


def marked_bpe(*steps, splits=None, added=()):
    """A BPE tokenizer with byte fallback that merges over the whole text, as of Llama 2, Gemma."""
    alphabet = ["▁", *LETTERS]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trained.train_from_iterator(
        [*CORPUS, "so so so  and    so on aaa aaaa"] * 3,
        trainers.BpeTrainer(vocab_size=240, initial_alphabet=alphabet, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    # Merges across words, which no splitting ever undoes.
    merges = [*map(tuple, model["merges"]), ("▁", "▁"), ("e", "▁"), ("▁▁", "▁▁"), ("e▁", "t")]
    for joined in map("".join, merges):
        if joined not in words:
            words.append(joined)
    vocabulary = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    if steps:
        backend.normalizer = normalizers.Sequence(list(steps))
    if splits:
        backend.pre_tokenizer = splits
    return fast(backend, added)


def unigram():
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, show_progress=False, special_tokens=["<unk>"], unk_token="<unk>"
    )
    backend.train_from_iterator(CORPUS * 3, trainer)
    return fast(backend)


def wordpiece(splits):
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.pre_tokenizer = splits
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, show_progress=False, special_tokens=["[UNK]"]
    )
    backend.train_from_iterator(CORPUS * 3, trainer)
    return fast(backend)


MARKS = normalizers.Replace(" ", "▁")
OPENS = normalizers.Prepend("▁")
NEVER = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
RUNS = [AddedToken(" " * many, normalized=False) for many in range(2, 6)]
TAKING = [
    AddedToken("<right>", rstrip=True, normalized=False),
    AddedToken("<left>", lstrip=True, normalized=False),
]
LOCAL = {
    "gpt2": lambda: bpe(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "gpt2 trimmed": lambda: bpe(
        pre_tokenizers.ByteLevel(add_prefix_space=True), post=processors.ByteLevel()
    ),
    "runs": lambda: bpe(
        pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.NFC(), added=RUNS
    ),
    "digits": lambda: bpe(
        in_sequence(
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        )
    ),
    "llama3": lambda: bpe(in_sequence(split("llama3"), plain_bytes()), ignore_merges=True),
    "qwen2": lambda: bpe(in_sequence(split("qwen2"), plain_bytes()), normalizers.NFC()),
    "gpt4o": lambda: bpe(in_sequence(split("gpt4o"), plain_bytes()), added=TAKING),
    "bytes alone": lambda: bpe(plain_bytes()),
    "metaspace": metaspace_tokenizer,
    "llama2": lambda: marked_bpe(OPENS, MARKS, added=TAKING),
    "llama2 anew": lambda: marked_bpe(
        splits=pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    ),
    "gemma": lambda: marked_bpe(
        MARKS, splits=pre_tokenizers.Split(" ", "merged_with_previous"), added=RUNS
    ),
    "never": lambda: marked_bpe(splits=NEVER),
    "unigram": unigram,
    "wordpiece": lambda: wordpiece(pre_tokenizers.BertPreTokenizer()),
}
SEAMED = ("bytes alone", "llama2", "llama2 anew", "gemma", "never")
"""Those that merge over the whole text; "bytes alone" has learned to merge words."""
NOT_LOCAL = {
    "nfkc": lambda: bpe(pre_tokenizers.ByteLevel(), normalizers.NFKC()),
    "strip": lambda: bpe(pre_tokenizers.ByteLevel(), normalizers.Strip()),
    "prepended": lambda: bpe(pre_tokenizers.ByteLevel(), normalizers.Prepend("▁")),
    "pattern": lambda: bpe(in_sequence(pre_tokenizers.Split(Regex(r"\p{L}+ ?"), "isolated"),
                                       plain_bytes())),
    "joined": lambda: bpe(in_sequence(pre_tokenizers.Split(Regex(r"\s+"), "merged_with_next"),
                                      plain_bytes())),
    "bytes first": lambda: bpe(in_sequence(plain_bytes(), split("gpt2"))),
    "dropout": lambda: bpe(pre_tokenizers.ByteLevel(), dropout=0.5),
    "one word": lambda: bpe(plain_bytes(), added=[AddedToken("mill", single_word=True)]),
    "two words": lambda: bpe(pre_tokenizers.ByteLevel(), added=["a mill"]),
    "marked words": lambda: marked_bpe(MARKS, added=["a▁mill"]),
    "ignored merges": lambda: bpe(plain_bytes(), ignore_merges=True),
    "whole wordpiece": lambda: wordpiece(pre_tokenizers.Digits()),
    "roberta": lambda: bpe(
        pre_tokenizers.ByteLevel(),
        post=processors.RobertaProcessing(("</s>", 2), ("<s>", 1)),
    ),
}  # fmt: skip


@cache
def tokenizer(name):
    return {**LOCAL, **NOT_LOCAL}[name]()


FRAGMENTS = st.sampled_from(
    [
        *("the poster", " was", " offered", " a job", "at", " Harbour", "e t", " They're", "don't"),
        *(
            " ",
            "  ",
            "   ",
            "     ",
            "\n",
            "\n\n",
            " \n ",
            "\t",
            "\r\n",
            "\u00a0",
            "\u3000",
            "\u200b",
        ),
        *("7", "12", " 2024", "1,200", "$53K", " 3.14", "٣٤"),
        *(
            ".",
            ", ",
            "...",
            "!?",
            " (",
            ") ",
            "'",
            "'s",
            "’s",
            " -",
            "</",
            "，",
            "。",
            "！",
            "a，b",
        ),
        *("naïve", "Zoe\u0308", "\u0301", "ſ", "İ", "ǅ", "aaa", "aa aaa", "▁", "a▁b", " ▁"),
        *("你好", "世界", "。\n", "かな", "한국", "\u1112\u1161", "שלום", " עברית"),
        *("🙂", "👩‍👩‍👧", "\ufffd", "\x07", "\x1c", "\x85"),
        *(*SPECIAL, "x<|im_end|>", "<|im_end|> ", " <right> ", "<right>", " <left> ", "a <left>"),
    ]
)
STRETCHES = st.lists(FRAGMENTS, min_size=0, max_size=12).map("".join)
TEXTS = st.lists(FRAGMENTS, min_size=0, max_size=160).map("".join)


def whole(name, text):
    found = tokenizer(name)(text, add_special_tokens=False, return_offsets_mapping=True)
    return found["input_ids"], found["offset_mapping"]


def check(reader, name, text):
    reading = reader.read(text)
    ids, spans = whole(name, text)
    assert reading.text == text
    assert list(reading.ids) == ids
    assert reading.spans.tolist() == [list(span) for span in spans]


@pytest.mark.parametrize("name", [name for name in (*LOCAL, *NOT_LOCAL) if name != "dropout"])
@settings(max_examples=60)
@given(data=st.data())
def test_an_edited_text_is_read_as_a_new_one(name, data):
    reader = Reader(tokenizer(name))
    text = data.draw(TEXTS)
    check(reader, name, text)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.sampled_from([0, len(text)]) | st.integers(0, len(text)))
        stop = min(len(text), start + data.draw(st.just(0) | st.integers(0, 30)))
        text = text[:start] + data.draw(STRETCHES) + text[stop:]
        check(reader, name, text)


@pytest.mark.parametrize("name", [name for name in LOCAL if name not in SEAMED])
@settings(max_examples=60)
@given(text=TEXTS, place=st.integers(0, 400))
def test_what_lies_beyond_a_cut_changes_nothing(name, text, place):
    """Reading the two sides is reading the whole."""
    cuts = cuts_of(tokenizer(name))
    found = list(cuts.find(text, 0, len(text)))
    if not found:
        return
    cut = found[place % len(found)]
    (ids, _), (more, _) = whole(name, text[:cut]), whole(name, text[cut:])
    assert whole(name, text)[0] == ids + more


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_piece_reaches_across_a_cut(pattern):
    """All texts of a few characters, one of each kind that the patterns tell apart."""
    cuts = cuts_of(bpe(in_sequence(split(pattern), plain_bytes())))
    splits = split(pattern).pre_tokenize_str
    tried = 0
    for text in map("".join, product("aS' \n7.\u0301，世", repeat=4)):
        pieces = splits(text)
        for cut in cuts.find(text, 0, len(text)):
            tried += 1
            after = [(piece, (a + cut, b + cut)) for piece, (a, b) in splits(text[cut:])]
            assert pieces == splits(text[:cut]) + after
    assert tried > 1000


@pytest.mark.parametrize("name", NOT_LOCAL)
def test_where_nothing_is_proved_there_are_no_cuts(name):
    assert cuts_of(tokenizer(name)) is None


def test_a_tokenizer_with_its_own_way_to_encode_has_no_cuts():
    class Own(PreTrainedTokenizerFast):
        def _encode_plus(self, text, **options):
            return super()._encode_plus(text.strip(), **options)

    assert cuts_of(Own(tokenizer_object=tokenizer("gpt2").backend_tokenizer)) is None


def test_a_part_written_in_python_has_no_cuts():
    class Own:
        def pre_tokenize(self, text):
            text.split(lambda _, piece: [piece])

    changed = copy.deepcopy(tokenizer("gpt2"))
    changed.backend_tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Own())
    assert cuts_of(changed) is None


@pytest.fixture
def lengths(monkeypatch):
    """The lengths of the texts that tokenizers are given."""
    seen, encode = [], PreTrainedTokenizerFast._encode_plus

    def noting(self, text, *args, **options):
        seen.append(len(text))
        return encode(self, text, *args, **options)

    monkeypatch.setattr(PreTrainedTokenizerFast, "_encode_plus", noting)
    return seen


@pytest.mark.parametrize("name", [name for name in LOCAL if name != "bytes alone"])
def test_of_a_long_text_only_a_stretch_is_read_anew(name, lengths):
    reader = Reader(tokenizer(name))
    text = " ".join(CORPUS * 20)
    reader.read(text)
    for place in (0, len(text) // 2, len(text)):
        lengths.clear()
        text = text[:place] + " so,x" + text[place:]
        reader.read(text)
        reader.read(text)
        assert len(lengths) == 1
        assert lengths[0] < 10 * MARGIN


def test_a_text_without_spaces_is_cut_at_its_punctuation(lengths):
    text = "你好世界，你好。" * 200
    for name in ("qwen2", "llama3", "gemma"):
        reader = Reader(tokenizer(name))
        reader.read(text)
        lengths.clear()
        check(reader, name, text[:801] + "世" + text[801:])
        assert min(lengths) < 10 * MARGIN


def test_another_response_to_the_same_prompt_does_not_make_one_forgotten(lengths):
    reader = Reader(tokenizer("gpt2"))
    one, other = " ".join(CORPUS * 5), " ".join(CORPUS[::-1] * 5)
    for text in (one, other, one + "!", other + "?"):
        reader.read(text)
    lengths.clear()
    reader.read(one + "!!")
    reader.read(other + "??")
    assert max(lengths) < 10 * MARGIN
