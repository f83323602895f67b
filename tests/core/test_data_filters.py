"""The filter language against Python's own words for it, and what it says where it cannot read."""

import operator
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dataset.filters import matching, names, parse, written
from core.dataset.look import Band, Question, look, most_wrong, ready, threshold
from core.dataset.scored import batches, table_of
from core.dataset.table import open_scored
from core.errors import Cancelled, UserFacingError
from core.preferences import Preference
from core.text import Message
from tests.core.test_scored import scored
from tests.made_scored import about, write_scored, write_table

BETA = 0.2


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "scored.parquet"
    return open_scored(write_scored(path, 300, at_once=128))


@pytest.fixture(scope="module")
def rows(table):
    found = [row for batch in batches(table.path) for row in batch.to_pylist()]
    for row in found:
        row["margin"] = BETA * (row["log_ratio_chosen"] - row["log_ratio_rejected"])
        row["length_difference"] = row["length_chosen"] - row["length_rejected"]
        row["rating"], row["category"] = row["source.rating"], row["source.category"]
        row["comment"] = row["source.comment"]
    return found


def matches(table, text):
    return np.flatnonzero(matching(table, parse(text, table), BETA)).tolist()


COMPARE = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
    "!=": operator.ne, "==": operator.eq,
}  # fmt: skip
SAID = st.text(
    st.one_of(
        st.sampled_from("aAbB .*\\()[]-\n\t\0ßẞΣσςİıſKÄäé中👩“"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=8,
)


def quoted(word):
    return '"' + word.replace('"', '""') + '"'


NUMBERS = st.tuples(
    st.sampled_from(["margin", "length_difference", "parts", "rating", "length_chosen"]),
    st.sampled_from([*COMPARE]),
    st.integers(-12, 30),
    st.sampled_from(["", " "]),
)
WORDS = st.tuples(
    st.sampled_from(["", "chosen", "rejected", "prompt", "comment"]),
    st.sampled_from(["sorry", "LEEDS", "tea tea", "is long", "1", "zzz"]),
)
KINDS = st.tuples(st.sampled_from(["=", "!=", ":"]), st.sampled_from(["code", "Chat", "s", ""]))
PARTS = st.one_of(NUMBERS, WORDS, KINDS)


def as_text(part):
    match part:
        case (name, sign, value, space):
            return f"{name}{space}{sign}{space}{value}"
        case (("=" | "!=" | ":") as sign, value):
            return f'category{sign}"{value}"'
        case (name, word):
            return f'{name}:"{word}"' if name else written(word)


def holds(part, row):
    match part:
        case (name, sign, value, _):
            return COMPARE[sign](row[name], value)
        case ("=", value):
            return row["category"].lower() == value.lower()
        case ("!=", value):
            return row["category"].lower() != value.lower()
        case (":", value):
            return value.lower() in row["category"].lower()
        case (name, word):
            texts = [row[name]] if name else [row[it] for it in ("prompt", "chosen", "rejected")]
            return any(word.lower() in text.lower() for text in texts)


@settings(max_examples=60)
@given(parts=st.lists(st.tuples(st.booleans(), PARTS), max_size=3))
def test_a_filter_is_what_it_says(table, rows, parts):
    text = "  ".join("-" * minus + as_text(part) for minus, part in parts)
    wanted = [
        place
        for place, row in enumerate(rows)
        if all(holds(part, row) != minus for minus, part in parts)
    ]
    assert matches(table, text) == wanted


@pytest.mark.parametrize(
    "text, words",
    [
        ("marge < 2", "no column “marge”: do you mean margin?"),
        ("zzz = 2", "no column “zzz”: there are"),
        ("margin <", "After margin < something is missing"),
        ("margin < x", "margin is a number: write margin < 1, not “x”"),
        ("margin < nan", "margin is a number"),
        ("margin:2", "margin is a number: compare it"),
        ("category < 3", "category holds words"),
        ("chosen < 3", "chosen holds text"),
        ('"open', "quotation mark has no second one"),
        ("<", "“<” is not understood"),
        ('""', "nothing between the quotation marks"),
        ("margin < 1 2 <", "After 2 < something is missing"),
    ],
)
def test_what_cannot_be_read_says_so_in_one_sentence(table, text, words):
    with pytest.raises(UserFacingError, match=words) as caught:
        parse(text, table)
    assert "\n" not in str(caught.value) and str(caught.value).endswith((".", ")."))


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_text_is_read_with_another_error(table, text):
    with suppress(UserFacingError):
        parse(text, table)


def test_a_preference_that_is_not_known_is_not_compared(table):
    with pytest.raises(UserFacingError, match="compare the margin instead"):
        matching(table, parse("preference > 0.5", table), None)


def test_signs_and_spaces(table, rows):
    assert matches(table, "  ") == list(range(table.count))
    assert matches(table, "margin > \u22121") == matches(table, "MARGIN>-1")
    assert matches(table, "id = PAIR\u00a012") == []
    assert matches(table, '"margin" >= 0') == matches(table, "-margin<0")
    assert matches(table, 'id = "pair 12"') == [12] and matches(table, 'id != "pair 12"')[12] == 13
    assert matches(table, "comment:99") == [i for i, it in enumerate(rows) if "99" in it["comment"]]


def test_columns_of_the_source_that_are_called_like_ours(tmp_path):
    rests = [{"margin": n, "two words": "a b", "x": "s" if n else None} for n in range(3)]
    tables = [table_of([scored(n, rest=rest) for n, rest in enumerate(rests)])]
    table = open_scored(write_table(tmp_path / "s.parquet", tables, about(3)))
    known = names(table)
    assert known["margin"] == "margin" and known["source.margin"] == "source.margin"
    assert matches(table, "source.margin > 0") == [1, 2]
    assert written("two words") == '"two words"' and matches(table, '"two words" = "A B"') == [
        0,
        1,
        2,
    ]
    assert matches(table, 'x = ""') == [0] and matches(table, "x != s") == [0]


@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_word_is_found_as_it_is_written(table, words):
    terms = parse(" ".join(map(written, words)), table)
    assert [term.text for term in terms] == words


def test_values_with_quotes_and_numbers_that_are_not_finite(tmp_path):
    rests = [{"x": 'say "hi"', "n": 1 << 80}, {"x": "b", "n": float("inf")}, {"x": "b", "n": 1}]
    tables = [table_of([scored(n, rest=rest) for n, rest in enumerate(rests)])]
    table = open_scored(write_table(tmp_path / "s.parquet", tables, about(3)))
    groups = look(table, Question(beta=0.1, group="source.x")).summary.groups
    assert {it.label: matches(table, it.filter) for it in groups} == {
        'say "hi"': [0], "b": [1, 2],
    }  # fmt: skip
    groups = look(table, Question(beta=0.1, group="source.n")).summary.groups
    assert [matches(table, it.filter) for it in groups] == [[2], [0]]


def test_turns_are_searched_by_what_they_say(tmp_path):
    def pair(user, chosen):
        return Preference(
            (Message("user", user),), (Message("assistant", chosen),), (Message("assistant", "No"),)
        )

    said = [pair("Straße?", 'He said "yes"'), pair("role", "a\nb"), pair("Why", "\\n")]
    tables = [table_of([scored(n, it) for n, it in enumerate(said)])]
    table = open_scored(write_table(tmp_path / "s.parquet", tables, about(3)))
    assert matches(table, "STRASSE") == [0] and matches(table, "role") == [1]
    assert matches(table, "assistant") == [] and matches(table, "chosen = \\n") == [2]


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.tuples(SAID, SAID, SAID), min_size=1, max_size=6),
    word=SAID.filter(bool),
    whole=st.booleans(),
    held=st.booleans(),
)
def test_words_are_found_whatever_their_case_in_memory_or_on_disk(
    tmp_path_factory, texts, word, whole, held
):
    tables = [table_of([scored(n, Preference(*it)) for n, it in enumerate(texts)])]
    path = write_table(tmp_path_factory.mktemp("said") / "s.parquet", tables, about(len(texts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.dataset.table.HELD", 10_000 if held else 0)
        table = open_scored(path)
    assert bool(table.folded) is held
    asked = word.casefold()
    for place, name in enumerate(("prompt", "chosen", "rejected")):
        said = [it[place].casefold() for it in texts]
        wanted = [asked == it if whole else asked in it for it in said]
        found = matches(table, f"{name}{'=' if whole else ':'}{quoted(word)}")
        assert found == np.flatnonzero(wanted).tolist()
    everywhere = [any(asked in side.casefold() for side in it) for it in texts]
    assert matches(table, quoted(word)) == np.flatnonzero(everywhere).tolist()


def test_words_of_a_file_that_is_another_one_now(tmp_path, monkeypatch):
    monkeypatch.setattr("core.dataset.table.HELD", 0)
    path = write_scored(tmp_path / "s.parquet", 40)
    table = open_scored(path)
    write_scored(path, 30)
    with pytest.raises(UserFacingError, match="is another file now: open it again"):
        matches(table, "sorry")


def test_looking_for_words_stops_and_is_remembered(table):
    table.found.clear()
    with pytest.raises(Cancelled):
        matching(table, parse("boat", table), BETA, lambda: True)
    assert not table.found
    first = matches(table, "-boat margin > 0")
    assert len(table.found) == 1 and matches(table, "-boat margin > 0") == first
    for n in range(20):
        matches(table, f"word{n}")
    assert len(table.found) <= 8


# --- looks --------------------------------------------------------------------------------------


def test_a_look_is_filter_band_and_order(table, rows):
    question = Question(
        "category = code", (Band("length_difference", -10, np.inf),), "margin", True, BETA,
        "source.rating",
    )  # fmt: skip
    found = look(table, question)
    matched = [i for i, row in enumerate(rows) if row["category"] == "code"]
    within = [i for i in matched if rows[i]["length_difference"] >= -10]
    assert found.matched.tolist() == matched
    assert found.shown.tolist() == sorted(within, key=lambda i: -rows[i]["margin"])
    assert not found.by_margin and found.summary.rows == len(within)
    for group in found.summary.groups:
        mine = [i for i in within if rows[i]["rating"] == int(group.label)]
        right = sum(rows[i]["margin"] > 0 for i in mine)
        assert (group.accuracy.count, group.accuracy.value) == (len(mine), right / len(mine))
        assert set(matches(table, group.filter)) & set(within) == set(mine)


@pytest.mark.parametrize("name", ["length_chosen", "alike", "source.category"])
def test_groups_of_numbers_are_found_again_by_their_filters(table, name):
    groups = look(table, Question(beta=BETA, group=name)).summary.groups
    assert sum(it.accuracy.count for it in groups) == table.count
    values = [it.accuracy.value for it in groups]
    assert values == sorted(values) and len(groups) == 5
    for group in groups:
        assert len(matches(table, group.filter)) == group.accuracy.count


def test_who_chooses_by_margins_is_told(table):
    for text, bands in (("-margin<0", ()), ("", (Band("reward_chosen", 0, 1),)),
                        ("sorry preference > 0.5", ())):  # fmt: skip
        assert look(table, Question(text, bands, beta=BETA)).by_margin
    assert not look(table, Question("alike > 0.5 sorry", beta=BETA)).by_margin


def test_questions_that_are_ready_mean_what_they_say(table, rows):
    asked = {it.title: it for it in ready(table, BETA)}
    assert [*asked] == ["Most wrong", "Likely flips", "Alike"]
    wrong = look(table, Question(asked["Most wrong"].filter, by="margin", beta=BETA))
    assert all(rows[i]["margin"] < 0 for i in wrong.shown)
    assert (
        wrong.shown.tolist() == most_wrong(table, np.arange(300), BETA)[: len(wrong.shown)].tolist()
    )
    flips = look(table, Question(asked["Likely flips"].filter, beta=BETA))
    preferences = 1 / (1 + np.exp([-row["margin"] for row in rows]))
    limit = 1 - preferences.mean()
    assert threshold(table, BETA) == round(limit, 3)
    assert len(flips.shown) == (preferences <= round(limit, 3)).sum()
    assert look(table, Question(beta=BETA)).summary.flips == len(flips.shown)
    assert [it.title for it in ready(table, None)] == ["Most wrong", "Alike"]
