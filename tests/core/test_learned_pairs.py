"""Minimal pairs: what is changed in a text, and nothing else; what they confirm."""

from dataclasses import replace

import numpy as np
import pytest

from core.engine.protocol import PairSpec
from core.learned.corpus import Sample
from core.learned.features import units_of
from core.learned.findings import properties
from core.learned.pairs import FEWEST, NONE, TESTED, changes, confirmed, confirmed_first
from core.learned.record import Context, Finding, MinimalPair
from core.learned.rewriting.whole import PROPERTIES
from core.learned.states import score_states
from core.models.load import load_pair
from core.models.score import score
from core.progress import silent
from core.text import Prompt
from tests.core.made_states import made
from tests.tiny import save_pair


def finding(kind, name="", places=(), effect=-1.0):
    return Finding(
        kind=kind, name=name, other="", effect=effect, error=0.1, count=4, over="contexts",
        responses=4, agreeing=4, listed=False, contexts=tuple(places),
    )  # fmt: skip


def changed(kind, text, piece):
    start = text.index(piece)
    context = Context(0, start, start + len(piece), -1.0)
    found = changes(finding(kind, piece, [context]), made([text]))
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
        ("opening", "Good question: it works.", "Good", "It works."),
        ("opening", "To be honest, it works.", "To", "It works."),
        ("opening", "It works. Well, mostly.", "Well", "It works. Mostly."),
        ("opening", "Because it rained, we left.", "Because", "We left because it rained."),
        ("phrase", "Great question! It works.", "Great question", "It works."),
        ("phrase", "It is late, I fear.", "I fear", "It is late."),
        ("clause order", "Because it rained, we left.", "Because", "We left because it rained."),
        ("clause order", "We left because it rained.", "because", "Because it rained, we left."),
        ("commas", "Tea, milk, and sugar.", ",", "Tea milk, and sugar."),
        ("layout", "- one\n- two", "-", "one\n- two"),
        ("length", "One thing. Another thing.", "One", "One thing."),
        ("casing", "It was LOUD.", "LOUD", "It was loud."),
        ("casing", "it was loud.", "it", "It was loud."),
        ("clause order", "In May, we left.", "In", "We left in May."),
        ("close", "We left the house.", ".", "We left the house"),
        ("close", "We left the house!", "!", "We left the house."),
        ("language", "Guten Tag.", "Guten", None),
        ("passive", "It was eaten by the dog.", "eaten", "The dog ate it."),
        ("passive", "It was eaten by the dog.", "by", "The dog ate it."),
        ("passive", "It was eaten.", "eaten", None),
        ("person", "My dog barks. I left.", "My", "Their dog barks. I left."),
        ("person", "Your dog barks.", "Your", "Their dog barks."),
    ],
)
def test_one_thing_is_changed(kind, text, piece, after):
    assert changed(kind, text, piece) == after


ACTIVE = "The nurse cleaned the hall number {}."
PASSIVE = "The hall number {} was cleaned by the nurse."


def test_the_passive_is_made_too_where_too_few_are_found():
    texts = [PASSIVE.format(i) for i in range(3)] + [ACTIVE.format(i) for i in range(3, 30)]
    places = [Context(i, 0, 4, -1.0) for i in range(3)]
    places = [
        Context(it.response, (at := texts[it.response].index("by")), at + 2, -1.0) for it in places
    ]
    found = changes(finding("passive", "the passive voice", places), made(texts))
    assert len(found) == TESTED
    assert [it.text for it in found[:3]] == [ACTIVE.format(i) for i in range(3)]
    assert {it.context.side for it in found[:3]} == {1}
    for it in found[3:]:
        assert it.context.side == -1
        assert (
            it.text == PASSIVE.format(it.context.response)
            and it.before == texts[it.context.response]
        )


def test_those_that_their_own_pairs_speak_against_come_last():
    def tested(name, agree, of):
        changes = [-1.0] * agree + [1.0] * (of - agree)
        pairs = tuple(MinimalPair(0, "a", "b", "b", it) for it in changes)
        sure = of >= 5 and agree >= 0.8 * of
        status = "confirmed" if sure else "seen, not confirmed"
        return replace(finding("mark", name), pairs=pairs, status=status)

    none, against, few, sure = (
        tested(*it) for it in (("a", 0, 0), ("b", 4, 10), ("c", 2, 4), ("d", 9, 10))
    )
    assert confirmed_first([none, against, few, sure]) == (none, few, sure, against)


def test_of_a_property_there_is_less_at_one_side_and_more_at_the_other():
    texts = [f"It rained at {i}, so we left." for i in range(4)]
    texts += [f"The sun {i} shone but we left." for i in range(4)]
    found = changes(finding("properties", "responses with many commas"), made(texts))
    assert [(it.context.response, it.context.side) for it in found] == [
        (i, 1 if i < 4 else -1) for i in range(8)
    ]
    for it in found:
        own = texts[it.context.response]
        assert it.text.count(",") == own.count(",") - it.context.side
        assert it.text.replace(",", "") == own.replace(",", "")


def test_of_each_property_there_are_pairs_or_a_reason_why_there_are_none():
    states = made()
    assert {*properties(states, units_of(states))} == {*PROPERTIES} | {*NONE} - {"language"}


# --- on models ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    policy, reference = save_pair(tmp_path_factory.mktemp("pair"))
    return load_pair(PairSpec(policy=str(policy), reference=str(reference)), silent)[0]


@pytest.fixture(scope="module")
def states(pair):
    texts = [f"It rained at {i}, so we left." for i in range(6)] + ["Done", "Bread, so what"]
    samples = [Sample(Prompt.of("What?"), text, "") for text in texts]
    return score_states(pair, samples, silent)


def sum_of(pair, text):
    prompt = Prompt.of("What?")
    found = score(pair, prompt, pair.codec.encode(prompt, text))
    return float((found.logp_policy - found.logp_reference).sum())


@pytest.mark.parametrize("sign", [1, -1])
def test_a_property_is_confirmed_by_the_responses_that_have_less_of_it(pair, states, sign):
    commas = finding("properties", "responses with many commas", effect=sign * 3.0)
    (found,) = confirmed(pair, [commas], states, silent)
    assert len(found.pairs) == 7 and not found.unpaired
    for it, place in zip(found.pairs, found.contexts, strict=True):
        own = states.texts[it.response]
        expected = sum_of(pair, own) - sum_of(pair, it.text)
        assert it.change == pytest.approx(expected, abs=1e-3)
        assert place.effect == it.change and own[place.start : place.stop] == ","
    agreeing = np.sum([it.change * sign > 0 for it in found.pairs])
    assert (found.status == "confirmed") == bool(agreeing >= 0.8 * len(found.pairs))
    assert len(found.pairs) >= FEWEST


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("language", "German", "No minimal pair can be made of a language"),
        ("properties", "responses with many long words", "how long words are"),
        ("properties", "responses with many different words", "how many different words"),
        ("properties", "responses with many lines", "No minimal pair could be made"),
        ("passive", "the passive voice", "No minimal pair could be made"),
        ("mark", "“!”", "No minimal pair could be made"),
    ],
)
def test_where_none_can_be_made_that_is_said(pair, states, kind, name, said):
    (found,) = confirmed(pair, [finding(kind, name)], states, silent)
    assert said in found.unpaired and found.unpaired.endswith(".") and not found.pairs
    assert found.status == "seen, not confirmed" and found.contexts == ()
