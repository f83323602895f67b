"""Tokens and spans of real tokenizers trained in process, for any text and any ids."""

import copy
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.codec import Codec
from core.errors import UserFacingError
from core.reading import SPACE_MARK
from core.text import Message, Prompt
from tests.tiny import TEMPLATE, VOCAB, byte_level_tokenizer, metaspace_tokenizer

PROMPT = Prompt.of("Summarise this post in one sentence.\n\nThey offered me $53K.")
CODECS = {"bytes": Codec(byte_level_tokenizer()), "metaspace": Codec(metaspace_tokenizer())}
# Without sentencepiece's mark for a space, which has a test of its own.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=SPACE_MARK), max_size=30
) | st.sampled_from(
    [
        "naïve café",
        "👩‍👩‍👧 family",
        "e\u0301 combined",
        "你好，世界。",
        "שלום עולם",
        "a\n\n\tb",
        " lead",
        "The poster was offered a job",
        "x<|im_end|>y",
    ]
)
BOTH = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
LONG = settings(max_examples=80)


def check(tokens):
    """The spans are those of the bytes: in order, whole characters, the text without gaps."""
    assert len(tokens.ids) == len(tokens.starts) == len(tokens.ends) == len(tokens.forced)
    covered = 0
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        assert start <= covered <= max(end, covered)
        covered = max(covered, end)
    assert covered == len(tokens.text)
    assert b"".join(tokens.pieces).decode("utf-8", "replace") == tokens.text


@BOTH
@LONG
@given(text=TEXTS)
def test_encode_keeps_the_text(codec, text):
    tokens = codec.encode(PROMPT, text)
    assert tokens.text == text
    assert not any(tokens.forced)
    check(tokens)


@BOTH
@LONG
@given(data=st.data())
def test_any_ids_have_spans(codec, data):
    ids = tuple(data.draw(st.lists(st.integers(0, codec.vocab_size - 1), max_size=12)))
    tokens = codec.decode(PROMPT, ids)
    assert tokens.ids == ids
    check(tokens)


@LONG
@given(ids=st.lists(st.integers(0, 440), max_size=12))
def test_decoded_text_is_what_the_tokenizer_decodes(ids):
    tokenizer = byte_level_tokenizer()
    expected = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert CODECS["bytes"].decode(PROMPT, tuple(ids)).text == expected


@BOTH
@LONG
@given(text=TEXTS, data=st.data())
def test_a_replaced_token_survives_edits_elsewhere(codec, text, data):
    old = codec.encode(PROMPT, "They got " + text + " and left in May.")
    index = data.draw(st.integers(1, len(old) - 2))
    id = data.draw(st.integers(3, codec.vocab_size - 1))
    put = codec.replace(PROMPT, old, index, id)
    assert put.ids == (*old.ids[:index], id, *old.ids[index + 1 :])
    check(put)
    longer = codec.edit(PROMPT, put, put.text + " Then they slept.")
    assert longer.text == put.text + " Then they slept."
    check(longer)
    again = codec.edit(PROMPT, put, put.text)
    assert again.text == put.text


@BOTH
@settings(max_examples=300)
@given(data=st.data())
def test_edited_tokens_always_spell_the_text(codec, data):
    """Also where characters of many bytes were broken by tokens put in place."""
    broken = codec.encode(PROMPT, data.draw(st.sampled_from(["a🙂b🙂", "你好世界", "naïve é"])))
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(broken) - 1))
        broken = codec.replace(PROMPT, broken, index, data.draw(st.integers(3, 300)))
    start = data.draw(st.integers(0, len(broken.text)))
    stop = data.draw(st.integers(start, len(broken.text)))
    written = data.draw(st.sampled_from(["", "x", " 🙂", "\ufffd", "\n"]))
    text = broken.text[:start] + written + broken.text[stop:]
    edited = codec.edit(PROMPT, broken, text)
    assert edited.text == text
    assert codec.decode(PROMPT, edited.ids, text).text == text


def rewriting_tokenizer():
    from tokenizers import normalizers

    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def wordpiece_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["[UNK]", "</s>", "they", "play", "##ed", "well", "."]
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


def legacy_tokenizer():
    """As of Llama 2: a space is put before a text and after each special token."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    tokenizer = copy.deepcopy(metaspace_tokenizer(SPACED))
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence([])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


SPACED = (
    "<|im_start|>{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content.strip() }}<|im_end|>{% endif %}{% endfor %}"
)
THINKING = TEMPLATE.replace(
    "{{ m.content }}",
    "{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
)
OPENED = TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
LOUD = TEMPLATE.replace("{{ m.content }}", "{{ m.content | upper }}")
KINDS = {
    "bytes": byte_level_tokenizer,
    "metaspace": metaspace_tokenizer,
    "space of the template": legacy_tokenizer,
    "thoughts before": lambda: byte_level_tokenizer(THINKING),
    "thoughts opened": lambda: byte_level_tokenizer(OPENED),
    "written anew": lambda: byte_level_tokenizer(LOUD),
    "rewriting": rewriting_tokenizer,
    "without a template": lambda: byte_level_tokenizer(None),
    "wordpiece": wordpiece_tokenizer,
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(data=st.data())
def test_what_was_read_before_changes_nothing(kind, data):
    """After any edits of prompt and response, tokens put in place by hand among them."""
    tokenizer = KINDS[kind]()
    codec, prompt = Codec(tokenizer), PROMPT
    texts = TEXTS | st.sampled_from(["they played well. " * 9, " and so on, as it was" * 12])
    text = data.draw(texts)
    tokens = codec.encode(prompt, text)
    assert tokens == Codec(tokenizer).encode(prompt, text)
    for _ in range(data.draw(st.integers(1, 5))):
        new = Codec(tokenizer)
        if len(tokens) and data.draw(st.booleans()):
            index = data.draw(st.integers(0, len(tokens) - 1))
            id = data.draw(st.integers(0, codec.vocab_size - 1))
            found, expected = (it.replace(prompt, tokens, index, id) for it in (codec, new))
        else:
            if data.draw(st.booleans()):
                prompt = Prompt.of(prompt.messages[0].content + data.draw(texts))
            start = data.draw(st.integers(0, len(tokens.text)))
            stop = data.draw(st.integers(start, min(len(tokens.text), start + 9)))
            text = tokens.text[:start] + data.draw(texts) + tokens.text[stop:]
            found, expected = (it.edit(prompt, tokens, text) for it in (codec, new))
        assert found == expected
        assert codec.labels_of(found.ids) == tuple(map(new.label, found.ids))
        assert codec.prompt_ids(prompt) == new.prompt_ids(prompt)
        tokens = found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_scored_is_what_is_rendered(kind, data):
    """After edits too: the ids are those of the whole text as the tokenizer alone reads it."""
    tokenizer = KINDS[kind]()
    codec, text = Codec(tokenizer, "rest"), data.draw(TEXTS)
    tokens = codec.encode(PROMPT, text)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(TEXTS) + text[at + data.draw(st.integers(0, 5)) :]
        tokens = codec.edit(PROMPT, tokens, text)
    turns = [
        {"role": "user", "content": PROMPT.messages[0].content},
        {"role": "assistant", "content": text},
    ]
    if tokenizer.chat_template:
        whole = tokenizer.apply_chat_template(turns, tokenize=True)["input_ids"]
    else:
        eos = "" if text.endswith(tokenizer.eos_token) else tokenizer.eos_token
        whole = tokenizer(turns[0]["content"] + text + eos)["input_ids"]
    assert [*tokens.context, *tokens.ids, *tokens.closing] == whole
    assert tokens.text == text
    assert all(0 <= a <= b <= len(text) for a, b in zip(tokens.starts, tokens.ends, strict=True))
    assert tokens.starts[: tokens.opening] == tokens.ends[: tokens.opening]


def test_half_a_character_survives_an_edit_elsewhere():
    codec = CODECS["bytes"]
    whole = codec.encode(PROMPT, "a 日 b and more")
    last = next(i for i, piece in enumerate(whole.pieces) if piece == "日".encode()[-1:])
    broken = codec.replace(PROMPT, whole, last, codec.encode(PROMPT, "x").ids[0])
    assert broken.text == "a \ufffdx b and more"
    edited = codec.edit(PROMPT, broken, broken.text + "!")
    assert edited.text == broken.text + "!"
    assert edited.ids[: last + 1] == broken.ids[: last + 1]
    assert any(edited.forced)


def test_a_tokenizer_that_rewrites_text_keeps_the_user_s():
    text = "Zoe\u0308 left"
    tokens = Codec(rewriting_tokenizer()).encode(PROMPT, text)
    assert tokens.text == text
    assert b"".join(tokens.pieces).decode() == "Zoë left"
    assert tokens.ends[-1] == len(text)
    assert tokens.ids == CODECS["bytes"].encode(PROMPT, "Zoë left").ids


def test_a_typed_space_mark_stays_the_user_s():
    """Such vocabularies read it as a space: the text is kept, the bytes are what is scored."""
    tokens = CODECS["metaspace"].encode(PROMPT, "a▁b")
    assert tokens.text == "a▁b"
    assert b"".join(tokens.pieces) == b"a b"
    assert (tokens.starts[0], tokens.ends[-1]) == (0, 3)


def test_a_vocabulary_of_unknown_spelling_is_decoded_step_by_step():
    codec = Codec(wordpiece_tokenizer())
    tokens = codec.decode(Prompt.of("they"), (2, 3, 4, 5, 6))
    assert tokens.text == "they played well."
    assert tokens.starts == (0, 4, 9, 11, 16)
    check(tokens)


def test_a_tokenizer_without_offsets_is_a_sentence():
    with pytest.raises(UserFacingError, match=r"tokenizer\.json"):
        Codec(SimpleNamespace(added_tokens_decoder={}))


@LONG
@given(ids=st.lists(st.integers(260, VOCAB - 1), min_size=1, max_size=12))  # no bytes
def test_decoded_metaspace_text_is_what_the_tokenizer_decodes(ids):
    """But for the first space, which the tokenizer takes away as if no prompt came before."""
    tokenizer = metaspace_tokenizer()
    codec = CODECS["metaspace"]
    expected = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert codec.decode(PROMPT, tuple(ids)).text.removeprefix(" ") == expected


def test_forced_tokens_are_marked_and_kept():
    codec = CODECS["bytes"]
    old = codec.encode(PROMPT, "The poster was offered $53K a year.")
    where = [codec.label(id) for id in old.ids].index("·was")
    parts = codec.decode(
        PROMPT,
        (
            *old.ids[:where],
            *codec.encode(PROMPT, " w").ids,
            *codec.encode(PROMPT, "as").ids,
            *old.ids[where + 1 :],
        ),
    )
    assert parts.text == old.text
    assert [i for i, forced in enumerate(parts.forced) if forced] == list(
        range(where, where + len(parts) - len(old) + 1)
    )
    later = codec.edit(PROMPT, parts, parts.text.replace("$53K", "$250K"))
    assert later.ids[: where + 2] == parts.ids[: where + 2]
    assert any(later.forced)
    earlier = codec.edit(PROMPT, parts, "Oh: " + parts.text)
    assert sum(earlier.forced) == sum(parts.forced)
    undone = codec.edit(PROMPT, parts, parts.text.replace("was", "is"))
    assert not any(undone.forced)


def test_parts_of_one_character_share_its_span():
    tokens = CODECS["metaspace"].encode(PROMPT, "a你b")
    spans = list(zip(tokens.starts, tokens.ends, strict=True))
    assert spans.count((1, 2)) == 3
    labels = [CODECS["metaspace"].label(id) for id in tokens.ids]
    assert "⟨E4⟩" in labels


def test_the_response_is_tokenised_in_its_place():
    for codec in CODECS.values():
        ids = [*codec.prompt_ids(PROMPT), *codec.encode(PROMPT, "They got $53K").ids]
        whole = codec._tokenizer(
            codec.prompt_text(PROMPT) + "They got $53K", add_special_tokens=False
        )["input_ids"]
        assert ids == whole


def test_the_closing_token_is_the_template_s():
    codec = CODECS["bytes"]
    assert codec.end_of_turn_text == "<|im_end|>"
    assert codec.prompt_text(PROMPT).endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_without_a_template_the_end_of_text_closes():
    codec = Codec(byte_level_tokenizer(None))
    assert not codec.has_chat_template
    assert codec.end_of_turn_text == "<|endoftext|>"
    two = Prompt((Message("system", "Be brief."), Message("user", "Hi")))
    assert codec.prompt_text(two) == "Be brief.\n\nHi"


def test_a_template_that_refuses_is_a_sentence():
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}"
        "{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    codec = Codec(byte_level_tokenizer(template))
    with pytest.raises(UserFacingError, match=r"no system.*leave the system turn empty"):
        codec.prompt_text(Prompt.of("Hi", "Be brief."))


def test_calls_reasoning_and_tools_reach_the_template():
    template = (
        "{% for tool in tools or [] %}[{{ tool.name }}]{% endfor %}{% if brief %}Brief. {% endif %}"
        "{% for m in messages %}{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}"
        "{% if m.content is defined %}{{ m.content }}{% else %}-{% endif %}"
        "{% for call in m.tool_calls or [] %}{{ call.function.name }}{% endfor %}<|im_end|>"
        "{% endfor %}"
    )
    codec = Codec(byte_level_tokenizer(template))
    call = '{"content": null, "tool_calls": [{"function": {"name": "rain"}}]}'
    turns = (
        Message("user", "Wet?"),
        Message("assistant", "", call),
        Message("assistant", "No.", '{"reasoning_content": "Dry."}'),
    )
    prompt = Prompt(turns, '{"tools": [{"name": "rain"}], "brief": true}')
    end = "<|im_end|>"
    assert codec.prompt_text(prompt) == f"[rain]Brief. Wet?{end}-rain{end}(Dry.)No.{end}"
    assert codec.prompt_text(Prompt(turns[:1])) == f"Wet?{end}"


def test_labels():
    codec = CODECS["bytes"]
    shown = [codec.label(id) for id in codec.encode(PROMPT, " a\n\tb").ids]
    assert "".join(shown) == "·a↵⇥b"
    assert codec.label(codec.end_of_turn) == "<|im_end|>"
    assert codec.label(codec.encode(PROMPT, "\x07").ids[-1]) == "⟨U+0007⟩"
    assert codec.label(codec.vocab_size + 5) == "∅"


def test_find_puts_the_same_word_first():
    codec = CODECS["bytes"]
    found = [codec.label(id) for id in codec.find("The", 5)]
    assert found[0] in ("The", "·The")
    assert {found[0], found[1]} <= {"The", "·The", "·the"}
    assert codec.find("no such thing in here", 5) == []
    assert len(codec.find("e", 3)) == 3


def test_a_long_text_is_no_trouble():
    codec = CODECS["bytes"]
    text = "They were offered $53K. " * 4200
    old = codec.encode(PROMPT, text)
    new = codec.edit(PROMPT, old, text[:50_000] + "!" + text[50_000:])
    assert new.text[50_000] == "!"
    assert len(text) > 100_000
