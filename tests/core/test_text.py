"""Alignment and grouping of tokens, on tokens made by hand."""

import re
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import UNITS, Prompt, Tokens, align, shared_prefix, spans, units, words


def tokens_of(pieces):
    """Tokens whose ids are the pieces' own hashes: equal text, equal id."""
    ends, at = [], 0
    for piece in pieces:
        at += len(piece)
        ends.append(at)
    starts = [0, *ends[:-1]] if ends else []
    ids = tuple(int.from_bytes(piece.encode()[:6], "big") for piece in pieces)
    n = len(pieces)
    return Tokens(
        "".join(pieces),
        ids,
        tuple(starts),
        tuple(ends),
        tuple(p.encode() for p in pieces),
        (False,) * n,
    )


A = ["They", " got", " $", "53", "K", " in", " May", "."]
B = ["They", " got", " $", "250", "K", " in", " sunny", " May", "."]


def test_align_names_the_edits():
    found = align(tokens_of(A), tokens_of(B))
    assert found.pairs == ((0, 0), (1, 1), (5, 5), (6, 7), (7, 8))
    assert found.edited_a == (range(2, 5), range(6, 6))
    assert found.edited_b == (range(2, 5), range(6, 7))


# What was edited, as a reader would say: what went and what came, in order.
EDITS = [
    ("offered $53K now", "offered $250K now", [("$53K", "$250K")]),
    ("from 980 to 1,240.", "from 1,050 to 1,240.", [("980", "1,050")]),
    ("at 4:26 sharp", "at 14:26 sharp", [("4:26", "14:26")]),
    ("rises by 5 percent", "rises by 15 percent", [("5", "15")]),
    ("rises by 5% now", "rises by 15% now", [("5%", "15%")]),
    ("on the 9th, says", "on the 19th, says", [("9th", "19th")]),
    ("-5 degrees", "5 degrees", [("-5", "5")]),
    ("1.55 or 5.5", "5.55 or 5.5", [("1.55", "5.55")]),
    ("Noor came", "Sami came", [("Noor", "Sami")]),
    ("a cat sat", "a cart sat", [("cat", "cart")]),
    ("It isn't done", "It is done", [("isn't", "is")]),
    ("my son-in-law", "my sons-in-law", [("son-in-law", "sons-in-law")]),
    ("I like it.", "I like it!", [(".", "!")]),
    ("I like it", "I like it!", [("", "!")]),
    ("a quick test", "a very quick test", [("", "very")]),
    ("a very very old man", "a very old man", [("very", "")]),
    ("refunded the full 89", "refused to refund the 89", [
        ("refunded", "refused to refund"), ("full", "")]),
    ("skip Porto and see Lisbon", "skip Lisbon and see Porto", [
        ("Porto", "Lisbon"), ("Lisbon", "Porto")]),
    ("日本語の試験だ", "日本語の試合だ", [("験", "合")]),
    ("これは本です", "これは本でした", [("です", "でした")]),
    ("ดีมาก", "ดีที่สุด", [("มาก", "ที่สุด")]),
    ("wir trafen uns", "wir trafen euch", [("uns", "euch")]),
    ("नमस्ते दुनिया", "नमस्ते दोस्त", [("दुनिया", "दोस्त")]),
    ("all the same", "all the same", []),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "expected"), EDITS)
@pytest.mark.parametrize("cut", [r"\s?[A-Za-z]+|\s?\d|\s?.", r"\s?.", r"\S\s?"])
def test_an_edit_is_told_in_whole_words_however_they_are_cut(a, b, expected, cut):
    a, b = (tokens_of(re.findall(cut, text)) for text in (a, b))
    found = align(a, b)
    told = [
        tuple(text_of(tokens, span) for tokens, span in zip((a, b), spans, strict=True))
        for spans in zip(found.edited_a, found.edited_b, strict=True)
    ]
    assert told == expected


def text_of(tokens, span):
    return "".join(tokens.text[tokens.starts[i] : tokens.ends[i]] for i in span).strip()


def test_a_token_that_joins_words_makes_them_one():
    a, b = tokens_of(["He", " is", " in the", " car"]), tokens_of(["He", " is", " in a", " car"])
    assert align(a, b).edited_a == (range(2, 3),)
    told = align(tokens_of(["on", "e-two", " three"]), tokens_of(["on", "e-six", " three"]))
    assert told.edited_b == (range(2),)


@given(
    st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12)
)
def test_align_covers_both_sides_exactly_once(a, b):
    found = align(tokens_of(a), tokens_of(b))
    for side, (text, ranges) in enumerate(((a, found.edited_a), (b, found.edited_b))):
        indices = [pair[side] for pair in found.pairs] + [i for r in ranges for i in r]
        assert sorted(indices) == list(range(len(text)))
    assert all(a[i] == b[j] for i, j in found.pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(found.pairs))


def test_align_of_equal_and_of_unlike_responses():
    assert align(tokens_of(A), tokens_of(A)).edited_a == ()
    unlike = align(tokens_of(["x"]), tokens_of(["y", "z"]))
    assert (unlike.pairs, unlike.edited_b) == ((), (range(2),))


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_align_of_short_responses_keeps_as_much_as_can_be_kept(a, b):
    a, b = ([f" {word}" for word in words] for words in (a, b))
    kept = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]  # longest common subsequence, by table
    for i, j in product(range(len(a)), range(len(b))):
        same = a[i] == b[j]
        kept[i + 1][j + 1] = kept[i][j] + 1 if same else max(kept[i][j + 1], kept[i + 1][j])
    assert len(align(tokens_of(a), tokens_of(b)).pairs) == kept[-1][-1]


def test_align_of_long_and_unlike_responses():
    a = [f"{i % 40} " for i in range(400)]
    b = [f"{i * i % 40} " for i in range(300)]
    found = align(tokens_of(a), tokens_of(b))
    assert all(a[i] == b[j] for i, j in found.pairs)
    assert all(i < k and j < m for (i, j), (k, m) in pairwise(found.pairs))
    assert sum(map(len, found.edited_a)) + len(found.pairs) == len(a)


@given(st.text(max_size=40), st.text(max_size=40))
def test_shared_prefix(a, b):
    n = shared_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("token", tuple(range(13))),
        ("word", (0, 0, 1, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6)),
        ("sentence", (0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2)),
        ("line", (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1)),
    ],
)
def test_units(kind, expected):
    pieces = ["Th", "ey", " got", " it", "!", " So", " $", "53", "\n", "New", " line", " 5", "."]
    pieces[3] = "it"  # " got" + "it": one word
    assert units(tokens_of(pieces), kind) == expected


# The words of texts whose scripts put no space between them, or only some.
UNSPACED = [
    ("私は東京に行きます。", "私|は|東|京|に|行|きます。"),
    ("我喜欢北京，「真的」！", "我|喜|欢|北|京，|「真|的」！"),
    ("コーヒーを飲んだ", "コーヒー|を|飲|んだ"),
    ("ｺｰﾋｰとらーめん屋", "ｺｰﾋｰ|とらーめん|屋"),
    ("GPT模型在2024年发布了3.5版", "GPT|模|型|在|2024|年|发|布|了|3.5|版"),
    ("人々の", "人々|の"),
    ("价格$5万(约)", "价|格|$5|万|(约)"),
    ('He said "东京" (日本).', 'He| said| "东|京"| (日|本).'),
    ("나는 한국어를 쓴다.", "나는| 한국어를| 쓴다."),
    ("나는 東京에서", "나는| 東|京|에서"),
    ("ภาษาไทยดีมาก", "ภา|ษา|ไท|ย|ดี|มา|ก"),
    ("ที่นี่ ๒๕ บาท", "ที่|นี่| ๒๕| บา|ท"),
    ("ភាសាខ្មែរ", "ភា|សា|ខ្មែ|រ"),
    ("a「b」c isn't (one) $5.", "a「b」c| isn't| (one)| $5."),
]


@pytest.mark.parametrize(("text", "expected"), UNSPACED)
def test_words_end_where_no_space_is_too(text, expected):
    wanted = expected.split("|")
    assert [text[start:stop] for start, stop in spans(text, "word")] == wanted
    single = tokens_of([*text])
    numbers = [number for number, word in enumerate(wanted) for _ in word]
    assert units(single, "word") == tuple(numbers)
    joined = tokens_of(re.findall(r"\s?..?", text))  # a token goes with its first letter's word
    found = units(joined, "word")
    bare = [start + (joined.text[start] == " ") for start in joined.starts]
    seen = dict.fromkeys(numbers[place] for place in bare)
    assert found == tuple([*seen].index(numbers[place]) for place in bare)


@given(st.text(alphabet="aé$5.,-'\"(「」)한 \n🎉\u0301ह\u093f", max_size=30))
def test_where_spaces_divide_words_nothing_else_does(text):
    written = len(text.rstrip())
    cuts = [it.end() for it in re.finditer(r"(?<!\s)(?=\s)", text) if 0 < it.end() < written]
    assert spans(text, "word") == [*pairwise([0, *cuts, len(text)])]


@given(st.text(max_size=40), st.sampled_from(UNITS[1:]))
def test_spans_cover_a_text_without_gaps(text, kind):
    found = spans(text, kind)
    assert "".join(text[start:stop] for start, stop in found) == text


@given(st.text(alphabet="東京はコーヒーกที่ขា្ a1。「", max_size=25), st.integers(1, 3))
def test_any_text_is_made_of_whole_words_of_its_tokens(text, size):
    tokens = tokens_of([text[at : at + size] for at in range(0, len(text), size)])
    found = words(tokens)
    assert [index for word in found for index in word] == [*range(len(tokens))]
    steps = [b - a for a, b in pairwise((-1, *units(tokens, "word")))]
    assert all(step in (0, 1) for step in steps)


def test_white_space_goes_with_what_follows():
    assert units(tokens_of(["a", " ", "b", "\n\n", "c"]), "word") == (0, 1, 1, 2, 2)
    assert units(tokens_of(["a", " ", " ", "b", " "]), "word") == (0, 1, 1, 1, 1)
    assert units(tokens_of(["a", " ", "\n", "b"]), "line") == (0, 1, 1, 1)


@pytest.mark.parametrize("kind", ["word", "sentence", "line"])
def test_much_white_space_is_no_trouble(kind):
    tokens = tokens_of(["a", *([" "] * 50_000), "b"])
    assert set(units(tokens, kind)) == ({0, 1} if kind == "word" else {0})


def test_sentences_keep_their_closing_marks():
    pieces = ["“Yes", ".", "”", " $", "5", ".", "3", " 他", "来了", "。", "好"]
    assert units(tokens_of(pieces), "sentence") == (0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2)


@given(st.lists(st.sampled_from(["a", " b", ".", " ", "\n", "! C", "x y", "。"]), max_size=15))
def test_units_ascend_without_holes_and_nest(pieces):
    tokens = tokens_of(pieces)
    for kind in UNITS:
        found = units(tokens, kind)
        assert len(found) == len(tokens)
        steps = [b - a for a, b in pairwise((-1, *found))]
        assert all(step in (0, 1) for step in steps)


def test_prompt_of():
    assert [m.role for m in Prompt.of("Hi", "Be brief.").messages] == ["system", "user"]
    assert [m.role for m in Prompt.of("Hi").messages] == ["user"]
