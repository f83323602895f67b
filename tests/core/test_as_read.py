"""How texts are read, token by token: roles, what is scored, and what is said of it."""

import copy

import pytest

from core.as_read import as_read
from core.codec import Codec
from core.text import Message, Prompt
from tests.tiny import TEMPLATE, byte_level_tokenizer

PROMPT = Prompt.of("They offered me $53K.", "Be brief.")
THINKING = TEMPLATE.replace(
    "{{ m.content }}",
    "{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
)
DATED = "It is {{ strftime_now('%d %b %Y') }}. " + TEMPLATE
ENDLESS = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}"
TWICE = "{{ bos_token }}{{ bos_token }}" + TEMPLATE


def read(template, text="They said no.", rule="turn", tokenizer=None, prompt=PROMPT, beside=None):
    codec = Codec(tokenizer or byte_level_tokenizer(template), rule)
    return as_read(codec, prompt, codec.encode(prompt, text), beside)


def of_role(found, role):
    pairs = zip(found.labels, found.roles, strict=True)
    return "".join(label for label, own in pairs if own == role)


def said(found):
    return {it.topic: (it.level, it.sentence) for it in found.findings}


def test_every_token_has_a_role():
    found = read(TEMPLATE)
    assert of_role(found, "prompt") == "Be·brief.They·offered·me·$53K."
    assert of_role(found, "response") == "They·said·no."
    assert "".join(found.labels[found.first : found.stop]) == "They·said·no.<|im_end|>"
    assert found.labels[found.stop :] == ("↵",)
    assert {level for level, _ in said(found).values()} == {"ok"}
    assert said(found)["not scored"] == ("ok", "↵ follows that, not scored.")


def test_by_trl_s_rule_what_follows_the_closing_token_is_scored():
    found = read(TEMPLATE, rule="rest")
    assert found.stop == len(found.ids) and found.labels[-1] == "↵"
    assert "not scored" not in said(found)


def test_what_the_template_writes_before_a_response_is_scored():
    found = read(THINKING)
    assert of_role(found, "response") == "They·said·no."
    scored = "".join(found.labels[found.first : found.stop])
    assert scored == "<think>↵↵</think>↵↵They·said·no.<|im_end|>"
    assert said(found)["opening"][0] == "note"


@pytest.mark.parametrize(
    ("template", "text", "topic", "sentence"),
    [
        (DATED, "No.", "date", "writes the date: "),
        (TWICE, "No.", "BOS", "begins with <|endoftext|> twice"),
        (ENDLESS, "No.", "end", "ends a response with nothing; <|endoftext|> is scored"),
        (TEMPLATE.replace("{{ m.content }}", "{{ m.content.split('@')[-1] }}"), "Or@No.",
         "response", "3 characters of the response are not scored"),
    ],
)  # fmt: skip
def test_what_may_differ_from_the_training_is_a_warning(template, text, topic, sentence):
    tokenizer = copy.deepcopy(byte_level_tokenizer(template))
    if template is TWICE:
        tokenizer.bos_token = "<|endoftext|>"
    level, found = said(read(template, text, tokenizer=tokenizer))[topic]
    assert level == "warning" and sentence in found


def test_what_the_generation_prompt_alone_ends_in_is_said():
    opened = TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    level, sentence = said(read(opened))["border"]
    assert level == "note" and sentence.startswith("The prompt alone ends in <think>")


def test_a_pair_begins_where_the_first_of_the_two_begins():
    prompt = Prompt((Message("user", "They offered me"),))
    alone, paired = (
        read(None, " a job.", prompt=prompt, beside=beside) for beside in (None, "dow")
    )
    assert "pair" not in said(alone)
    assert said(paired)["pair"][0] == "warning"
