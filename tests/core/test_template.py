"""Chat templates: what they make of a response, and what is said of those that cannot be used."""

import copy
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserFacingError
from core.template import Template, find
from core.text import Message, Prompt
from tests.tiny import TEMPLATE, byte_level_tokenizer

PROMPT = Prompt.of("Hi")


def template(source, **options):
    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.chat_template = source
    return Template(tokenizer, **options)


@given(
    text=st.text(" ab\n", max_size=12),
    change=st.sampled_from([str, str.strip, str.rstrip, str.lstrip, str.upper]),
    tail=st.sampled_from(["", "</s>", "\n</s>\n"]),
)
def test_a_response_is_found_in_what_is_rendered(text, change, tail):
    place = find("Q: " + change(text) + tail, text, "Q: ", tail)
    assert 0 <= place.start <= place.stop == len(place.text) - len(tail)
    there = place.text[place.start : place.stop]
    assert there[: place.head] == text[place.first : place.first + place.head]
    assert there[len(there) - place.tail :] == text[place.last - place.tail : place.last]
    if change is not str.upper:
        assert place.verbatim and there.strip() == text.strip()


def test_thoughts_that_are_left_out_are_no_part_of_it():
    source = TEMPLATE.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
    place = template(source).place(PROMPT, "so and so</think>Yes.")
    assert place.text[place.start : place.stop] == "Yes."
    assert (place.first, place.last) == (17, 21)


def test_content_as_parts():
    source = (
        "{% for m in messages %}{% for part in m.content %}{% if part.type == 'text' %}"
        "{{ part.text }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    )
    assert template(source).place(PROMPT, "Yes.").text == "Hi<|im_end|>Yes.<|im_end|>"


def test_content_as_parts_but_for_the_assistants():
    source = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}{% else %}"
        "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    )
    assert template(source).place(PROMPT, "Yes.").text == "Hi<|im_end|>Yes.<|im_end|>"


def test_a_date_stays_that_of_the_beginning():
    source = "{{ strftime_now('%d %b %Y') }}, {{ strftime_now(\"%Y\") }}: " + TEMPLATE
    made = template(source, now=datetime(2024, 2, 3))
    assert made.date == "03 Feb 2024"
    assert made.prompt(PROMPT).startswith("03 Feb 2024, 2024: <|im_start|>user")
    assert template(TEMPLATE).date == ""


def test_plain_text_has_no_template():
    made = template(TEMPLATE, plain=True)
    place = made.place(PROMPT, " there", "</s>")
    assert place.text == "Hi there</s>" and place.text[place.start : place.stop] == " there"
    assert made.place(PROMPT, " there</s>", "</s>").text == "Hi there</s>"


REFUSING = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
PICKY = (
    "{% for m in messages %}{% if loop.index0 % 2 != (m.role == 'assistant') %}"
    "{{ raise_exception('take turns') }}{% endif %}{% endfor %}" + TEMPLATE
)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{% for m in messages %}{{ m.content }", r"has a slip in line 1 .*correct it"),
        (TEMPLATE + "\n{{ nothing.at.all }}", r"fails in line 5 on these turns .*correct it"),
        (
            TEMPLATE + "{{ messages[0].at.all }}",
            r"fails in line 4 .*\('at' is undefined\): correct",
        ),
        (
            TEMPLATE + "{{ 1 + 'a' }}",
            r"fails in line 4 .*\(a value is of another kind .*correct it",
        ),
        (TEMPLATE + "{% if 1 is wug %}{% endif %}", r"fails in line 4 .*wug.*correct it"),
        ("Hello!", r"writes nothing of what user or assistant say"),
        ({"rag": TEMPLATE, "tools": TEMPLATE}, r"comes as 'rag', 'tools' and none is .*'default'"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path, source, sentence):
    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.chat_template = source
    tokenizer.name_or_path = str(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("")
    with pytest.raises(UserFacingError, match=sentence) as caught:
        Template(tokenizer)
    assert str(tmp_path / "chat_template.jinja") in str(caught.value)
    assert "plain text" in str(caught.value)


def test_turns_that_are_refused():
    with pytest.raises(UserFacingError, match=r"\(no system\): leave the system turn empty"):
        template(REFUSING + TEMPLATE).prompt(Prompt.of("Hi", "Be brief."))
    twice = Prompt((Message("user", "Hi"), Message("user", "Ho")))
    with pytest.raises(UserFacingError, match=r"let user and assistant take turns"):
        template(PICKY).prompt(twice)


def test_of_several_templates_the_default_is_used():
    made = template({"default": TEMPLATE, "rag": "No."})
    assert made.prompt(PROMPT).startswith("<|im_start|>user\nHi")


def test_halves_of_characters_are_question_marks():
    """As in a response: no tokenizer reads them."""
    made = template("\ud800" + TEMPLATE)
    assert made.prompt(Prompt.of("a\udc00b")).startswith("?<|im_start|>user\na?b<|im_end|>")
    assert template(TEMPLATE, plain=True).prompt(Prompt.of("a\udc00b")) == "a?b"


def test_a_tokenizer_with_code_of_its_own_renders_by_itself():
    class Own(type(byte_level_tokenizer())):
        def apply_chat_template(self, conversation, **told):
            if conversation[-1]["content"] == "no":
                raise ValueError("not this")
            return "~".join(turn["content"] for turn in conversation)

    tokenizer = copy.deepcopy(byte_level_tokenizer())
    tokenizer.__class__ = Own
    made = Template(tokenizer)
    assert made.place(PROMPT, "Yes.").text == "Hi~Yes."
    with pytest.raises(UserFacingError, match=r"fails on these turns \(not this\)"):
        made.prompt(Prompt.of("no"))


def test_what_stands_last_is_found_in_a_time_that_grows_with_the_text():
    text = "a" * 1_000_000
    assert find(f"Q: ab{text}", text + text, "Q: ", "").tail == len(text)
