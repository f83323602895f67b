"""Parts of prompts, and prompts without them."""

from hypothesis import given
from hypothesis import strategies as st

from core.dependence import bearing, parts, strongest, without
from core.text import Message, Prompt

POST = "Summarise this.\n\nI earn $46K. They offer $53K! Friday?"
PROMPT = Prompt((Message("system", "Be brief."), Message("user", POST)))


def test_parts_by_sentence_word_and_turn():
    assert [(it.turn, it.text) for it in parts(PROMPT)] == [
        (0, "Be brief."),
        (1, "Summarise this."),
        (1, "I earn $46K."),
        (1, "They offer $53K!"),
        (1, "Friday?"),
    ]
    assert [it.text for it in parts(PROMPT, "word")][:3] == ["Be", "brief.", "Summarise"]
    assert [it.text for it in parts(PROMPT, "turn")] == ["Be brief.", POST]


def test_without_a_part():
    found = {it.text: without(PROMPT, it).messages for it in parts(PROMPT)}
    offer = found["They offer $53K!"]
    assert offer[1].content == "Summarise this.\n\nI earn $46K. Friday?"
    assert offer[0] == PROMPT.messages[0]
    assert found["Summarise this."][1].content == "I earn $46K. They offer $53K! Friday?"
    assert found["Friday?"][1].content == POST.removesuffix(" Friday?")
    assert found["Be brief."][0].content == ""


@given(st.text(alphabet="ab .!?\n", max_size=60))
def test_parts_lie_where_they_say_and_hold_all_that_is_written(text):
    prompt = Prompt((Message("user", text),))
    for by in ("word", "sentence", "turn"):
        found = parts(prompt, by)
        assert all(text[it.start : it.stop] == it.text for it in found)
        assert "".join("".join(it.text for it in found).split()) == "".join(text.split())
        for it in found:
            left = "".join(without(prompt, it).messages[0].content.split())
            assert len(left) == len("".join(text.split())) - len("".join(it.text.split()))


def test_bearing():
    assert bearing(-6.31, -0.21) == "against"
    assert bearing(-6.31, -5.0) == ""
    assert bearing(-2.0, -3.5) == "for"
    assert bearing(0.1, 0.3, floor=0.5) == ""
    known = parts(PROMPT)
    found = strongest(known, -6.0, [-6.0, -6.0, -10.0, -0.2, -5.5])
    assert [(part.text, how) for part, how, _ in found] == [
        ("They offer $53K!", "against"),
        ("I earn $46K.", "for"),
    ]
