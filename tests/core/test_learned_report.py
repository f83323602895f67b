"""The report: as text, as JSON and as a page that nothing in it can break."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from core.learned.record import (
    Context,
    Finding,
    Learned,
    Member,
    Method,
    MinimalPair,
    Recurring,
    Sampled,
    Swap,
    Unseen,
)
from core.learned.report import as_json, as_page, as_text
from core.text import Prompt

EVIL = "<script>alert('x')</script>&\"\x1b[2J"


def learned():
    finding = Finding(
        kind="mark", name=f"“{EVIL}”", other="", effect=-1.46, error=0.2, count=10,
        over="contexts", responses=10, agreeing=9, listed=False,
        members=(Member(EVIL, -1.4, 3), Member("b", -1.1, 2)), exceptions=(Member(EVIL, 0.4, 1),),
        family=(EVIL,), contexts=(Context(0, 5, 5 + len(EVIL), -1.4),),
        pairs=(MinimalPair(0, EVIL, "", EVIL, -3.2),), status="confirmed",
    )  # fmt: skip
    method = Method(
        responses=1, states=9, corpus=EVIL, floor=0.7, noise=None, scale=0.2, kl=0.01,
        coefficients={"constant": 0.1}, base=False, candidates=7, discovered=3, skipped=(EVIL,),
    )  # fmt: skip
    return Learned(
        policy=EVIL, reference=EVIL, findings=(finding,), swaps=(Swap(EVIL, " b", 0.6, 3.0, 12),),
        unseen=(Unseen(EVIL, 1.4, 0.1, 0.4, True, 9),),
        samples=(Sampled(EVIL, 4.0, EVIL, False),), recurring=(Recurring(EVIL, 9, 0, 12),),
        method=method, prompts=(Prompt.of(EVIL),), texts=(f"Well {EVIL} then",), notes=(EVIL,),
    )  # fmt: skip


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "rect", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_loads_nothing():
    reader = Reader()
    page = as_page(learned())
    reader.feed(page)
    assert not reader.open
    names = {tag for tag, _ in reader.tags}
    assert not names & {"script", "link", "img", "iframe"} and "svg" in names
    for _, attributes in reader.tags:
        assert not {"src", "href", "onclick", "onload"} & attributes.keys()
    said = "".join(reader.text)
    assert EVIL in said and "What cannot be concluded" in said
    assert "prefers-color-scheme: dark" in page and "<mark>&lt;script&gt;" in page


def test_a_pair_that_learned_nothing_says_so():
    nothing = replace(learned(), findings=(), swaps=(), unseen=(), samples=(), recurring=())
    assert "No finding passes 0.7 nats" in as_text(nothing)
    assert "No finding passes 0.7 nats" in as_page(nothing)


def test_the_text_says_it_in_sentences():
    text = as_text(learned())
    assert "(-1.46 nats a time, 9 of 10 responses)" in text
    assert "confirmed (1 of 1 minimal pairs, Σ moves by -3.20 nats)" in text


def test_json_has_sentences_and_figures():
    table = json.loads(as_json(learned()))
    found = table["findings"][0]
    assert found["effect"] == -1.46 and found["sentence"].startswith("avoids")
    assert found["interval"] == pytest.approx([-1.852, -1.068])
    assert found["moved"] == -3.2 and table["swaps"][0]["rate"] == 0.6
