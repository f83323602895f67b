"""Minimal pairs: what is changed in a text, and nothing else."""

import pytest

from core.learned.pairs import changes
from core.learned.record import Context, Finding
from tests.core.made_states import made


def changed(kind, text, piece, at=0):
    start = text.index(piece, at)
    context = Context(0, start, start + len(piece), -1.0)
    finding = Finding(
        kind=kind, name=piece, other="", effect=-1.0, error=0.1, count=4, over="contexts",
        responses=4, agreeing=4, listed=False, contexts=(context,),
    )  # fmt: skip
    found = changes(finding, made([text]))
    return found[0].text if found else None


@pytest.mark.parametrize(
    ("kind", "text", "piece", "after"),
    [
        ("mark", "What a day! We left.", "!", "What a day. We left."),
        ("spelling", "The colour is odd.", "colour", "The color is odd."),
        ("spelling", "Gray skies.", "Gray", "Grey skies."),
        ("digits", "It took 7 days.", "7", "It took seven days."),
        ("digits", "Seven days.", "Seven", "7 days."),
        ("contraction", "We don't know.", "don't", "We do not know."),
        ("contraction", "We do not know.", "not", "We don't know."),
        ("units", "It is 5 km away.", "km", "It is 5 miles away."),
        ("hedge", "Perhaps it rains.", "Perhaps", "It rains."),
        ("politeness", "Close it, please.", "please", "Close it."),
        ("emoji", "Done 😊", "😊", "Done"),
        ("opening", "Sure, it works.", "Sure", "It works."),
        ("clause order", "Because it rained, we left.", "Because", "We left because it rained."),
        ("clause order", "We left because it rained.", "because", "Because it rained, we left."),
        ("commas", "Tea, milk, and sugar.", ",", "Tea milk, and sugar."),
        ("layout", "- one\n- two", "-", "one\n- two"),
        ("length", "One thing. Another thing.", "One", "One thing."),
        ("casing", "It was LOUD.", "LOUD", "It was loud."),
        ("language", "Guten Tag.", "Guten", None),
    ],
)
def test_one_thing_is_changed(kind, text, piece, after):
    assert changed(kind, text, piece) == after
