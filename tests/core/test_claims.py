"""The free fact checker: values found and judged, and that no faithful summary is called wrong."""

import random

import pytest

from core.demo.claims import check_claims, values
from core.demo.kinds import kinds_for
from core.demo.posts import corrupt, write_post, write_summary
from tests.posts import job_post

pytest.importorskip("faker")


def wrong(text):
    post = job_post()
    found = check_claims(post, text)
    return {text[c.start : c.end] for c in found.claims if c.state == "contradicted"}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("$53K", ("money", "$", 53000)),
        ("53,000 dollars", ("money", "$", 53000)),
        ("£2.1 million", ("money", "£", 2_100_000)),
        ("53 grand", ("money", "", 53000)),
        ("7 per cent", ("percent", 7)),
        ("7.5%", ("percent", 7.5)),
        ("7:30 pm", ("time", 19 * 60 + 30)),
        ("19:30", ("time", 19 * 60 + 30)),
        ("12 am", ("time", 0)),
        ("the 4th of May", ("date", 4, "may")),
        ("Dec 15", ("date", 15, "dec")),
        ("in June", ("month", "jun")),
        ("on Mondays", ("weekday", "monday")),
        ("twenty-week", ("measure", 20, "week")),
        ("3 kilometres", ("measure", 3, "km")),
        ("1,532 users", ("number", 1532)),
        ("six users", ("number", 6)),
    ],
)
def test_a_value_is_known_in_each_writing(text, key):
    assert [found for _, _, found in values(text)] == [key]


@pytest.mark.parametrize("text", ["it may rain", "they march on", "one of them", "the jun plan"])
def test_words_are_no_values(text):
    assert list(values(text)) == []


def test_right_values_are_counted_once_each():
    found = check_claims(
        job_post(),
        "Kestrel Foods in Leeds offers $90,000, so $90K, from May; they accepted the offer.",
    )
    assert found.supported == {"firm", "city", "salary", "start", "answer"}
    assert not found.contradicted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The salary is $95K.", {"$95K"}),
        ("They start in June.", {"June"}),
        ("They declined the offer from Kestrel Foods.", {"declined the offer"}),
        ("The job is in Oslo.", {"Oslo"}),
        ("The job in Leeds pays $95K, yes $95K.", {"$95K"}),
        ("Work begins on Tuesday.", set()),  # the post names no day of the week
        ("Oslo is where they go.", set()),  # a capital at the start tells nothing
        ("Two of them were asked.", set()),  # counted, perhaps
    ],
)
def test_wrong_values_are_named(text, said):
    assert wrong(text) == said


def test_an_error_that_is_repeated_counts_once():
    text = "It pays $95K, then $95,000."
    assert len(check_claims(job_post(), text).contradicted) == 1


def test_a_right_value_in_the_wrong_place_is_seen_where_a_template_fits():
    end = " if the poster moved to Kestrel Foods."
    assert wrong("Pay would go from $40,000 to $90,000" + end) == set()
    assert wrong("Pay would go from $90,000 to $40,000" + end) == {"$90,000", "$40,000"}
    assert wrong("From $90,000 down to $40,000.") == set()  # no template: it cannot be seen


def test_faithful_summaries_are_never_called_wrong_and_most_errors_are_seen():
    rng = random.Random("claims")
    seen = []
    for kind in kinds_for(held_out=True):
        for _ in range(2):
            post = write_post(kind, rng)
            summary = write_summary(post, rng.choice(kind.summaries), rng)
            found = check_claims(post, summary.text)
            assert not found.contradicted, summary.text
            assert found.supported, summary.text
            assert found.supported <= set(post.facts)
            seen.append(bool(check_claims(post, corrupt(post, summary, rng).rejected).contradicted))
    assert sum(seen) > 0.9 * len(seen)
