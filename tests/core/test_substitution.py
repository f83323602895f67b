"""What else could stand in a place, against scoring each response by itself."""

import numpy as np
import pytest

from core.engine.answering import Answering
from core.engine.protocol import (
    Inspect,
    Load,
    PairSpec,
    Score,
    ScoreVariants,
    StateRef,
    Variant,
    VariantsDone,
)
from core.present.effects import COLUMNS, COPIED, cells, copied, effect, flips, sort_key
from core.scoring import Alternative
from core.substitution import (
    LEFT_OUT,
    Idea,
    by_size,
    of_models,
    of_other,
    of_typed,
    promising,
    put,
    rows_apart,
    site_of_rows,
    site_of_text,
    site_of_word,
    whole_tokens,
)
from core.text import Prompt, align
from tests.tiny import save_pair

PROMPT = Prompt.of("Summarise this post in one sentence.")
TEXT, OTHER = "They offered $53K a year, too low.", "They offered $250K a year, too low."


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    room = tmp_path_factory.mktemp("pair")
    save_pair(room)
    made = Answering(lambda event: None, lambda: False)
    made.answer(Load(1, PairSpec(policy=f"{room}/policy", reference=f"{room}/reference")))
    return made


def score(engine, text=None, ids=None):
    return engine.answer(Score(2, "A", PROMPT, text, ids, fresh=True)).scoring


def spelt(tokens, site):
    return tokens.text[site.start : site.stop]


def test_places_are_tokens_words_and_what_is_selected(engine):
    tokens = score(engine, TEXT).tokens
    at = TEXT.index("53")
    index = next(i for i, start in enumerate(tokens.starts) if start <= at < tokens.ends[i])
    word = site_of_word(tokens, index)
    assert spelt(tokens, word) == "$53K" and index in word.rows and whole_tokens(tokens, word)
    token = site_of_rows(tokens, index, index + 1)
    assert list(token.rows) == [index]
    begin = TEXT.index("$53K a")
    several = site_of_text(tokens, begin - 1, begin + 7)  # with the white space around it
    assert spelt(tokens, several) == "$53K a" and set(word.rows) < set(several.rows)
    part = site_of_text(tokens, TEXT.index("ffer"), TEXT.index("ffer") + 2)
    assert spelt(tokens, part) == "ff"
    assert site_of_rows(tokens, len(tokens), len(tokens) + 1) is None  # the closing token
    assert site_of_text(tokens, begin - 1, begin) is None


def test_a_typed_list_is_divided_by_commas():
    found = of_typed('$53K, "1,050 a month",, a lot ,$53K')
    assert [it.text for it in found] == ["$53K", "1,050 a month", "a lot"]
    assert all(it.ids is None for it in found) and of_typed(" , ") == ()


def test_what_the_other_response_has_there(engine):
    a, b = score(engine, TEXT).tokens, score(engine, OTHER).tokens
    pairs, at = align(a, b), OTHER.index("$250K")
    index = next(i for i, end in enumerate(b.ends) if end > at)
    (found,) = of_other(b, site_of_word(b, index), a, pairs, "B")
    assert found.text == "$53K"
    wide = site_of_text(b, at, at + len("$250K a year"))
    (found,) = of_other(b, wide, a, pairs, "B")
    assert found.text == "$53K a year"
    assert of_other(b, site_of_word(b, 0), a, pairs, "B") == ()


def test_effects_are_those_of_scoring_one_by_one(engine):
    """All at once, in the engine's job, and each by itself from a text and ids of its own."""
    old, other = score(engine, TEXT), score(engine, OTHER)
    tokens, beta = old.tokens, 0.1
    at = TEXT.index("53")
    index = next(i for i, start in enumerate(tokens.starts) if start <= at < tokens.ends[i])
    site = site_of_word(tokens, index)
    state = StateRef.before(old, site.first, PROMPT)
    inspection = engine.answer(Inspect(3, state, most=50, purpose="a strip")).inspection
    assert len(inspection.by_policy) == len(inspection.by_reference) == 50
    ideas = of_models(inspection, tokens.ids[site.first : site.last])
    assert 50 <= len(ideas) <= 100 and len({it.ids for it in ideas}) == len(ideas)
    ideas = (*ideas, *of_typed("$250K, nothing, 5"), LEFT_OUT)
    changed = [put(tokens, site, it) for it in ideas]
    asked = ScoreVariants(4, tuple(Variant(PROMPT, it.text, it.ids) for it in changed))
    scorings = []
    while not isinstance(event := engine.answer(asked, bool(scorings)), VariantsDone):
        scorings += event.scorings
    assert len(scorings) == len(ideas)
    for idea, change, new in zip(ideas, changed, scorings, strict=True):
        alone = score(engine, None if change.ids else change.text, change.ids)
        found = effect(old, new, site, idea, beta, other=("B", other))
        was, now = (beta * (it.logp_policy - it.logp_reference) for it in (old, alone))
        against = beta * (other.logp_policy - other.logp_reference).sum()
        assert found.total == pytest.approx(now.sum() - was.sum(), abs=1e-5)
        assert found.margin == pytest.approx(now.sum() - against, abs=1e-5)
        here, there = rows_apart(old.tokens, new.tokens, site, idea)
        assert found.own == pytest.approx(now[there.start : there.stop].sum(), abs=1e-5)
        parts = found.own - was[here.start : here.stop].sum() + found.downstream
        assert parts == pytest.approx(found.total, abs=1e-5)
        assert old.tokens.ids[: here.start] == new.tokens.ids[: there.start]
        after = len(TEXT) - site.stop
        assert new.tokens.text[-after:] == TEXT[-after:]
    typed = scorings[-4]
    assert np.array_equal(typed.ids, other.ids) and typed.tokens.text == OTHER


def test_left_out_adds_nothing_of_its_own(engine):
    old = score(engine, TEXT)
    site = site_of_word(old.tokens, 1)
    change = put(old.tokens, site, LEFT_OUT)
    found = effect(old, score(engine, None, change.ids), site, LEFT_OUT, 0.1)
    assert found.own == 0 and found.logp_policy is None and found.margin is None
    assert cells("x", found)[1] == "–" and cells("x", None) == ("x", *"––––––")


def test_rows_are_sorted_by_any_column_and_copied(engine):
    old = score(engine, TEXT)
    site = site_of_word(old.tokens, 1)
    rows = [("unknown", None)]
    for text in ("bid", "gave", "asked"):
        change = put(old.tokens, site, Idea(text))
        rows.append((text, effect(old, score(engine, change.text), site, Idea(text), 0.1)))
    assert [it[0] for it in sorted(rows, key=sort_key(0))] == ["asked", "bid", "gave", "unknown"]
    totals = [it[1].total for it in sorted(rows, key=sort_key(COLUMNS.index("total Δ")))[:-1]]
    assert totals == sorted(totals) and sorted(rows, key=sort_key(3))[-1][1] is None
    whole = dict(zip(COPIED, copied(*rows[1]), strict=True))
    assert whole["text"] == "bid" and whole["change"] == rows[1][1].total
    assert whole["logp_policy"] == rows[1][1].logp_policy and whole["margin"] == ""
    assert copied(*rows[0]) == ("unknown", *[""] * (len(COPIED) - 1))


def test_places_with_the_largest_rewards_come_first(engine):
    tokens = score(engine, "They offered it").tokens
    rewards = np.zeros(len(tokens) + 1)
    rewards[0], rewards[-2], rewards[-1] = -1.0, 2.0, 9.0  # the last is the closing token's
    order = by_size(tokens, rewards)
    assert order[:2] == (len(tokens) - 1, 0) and sorted(order) == list(range(len(tokens)))


def test_what_raises_most_by_itself_is_proposed_first():
    def choice(id, policy, reference):
        return Alternative(id, "", "", policy, reference, 1, 1)

    choices = [choice(1, -1, -2), choice(2, -1, -5), choice(3, -5, -1), choice(2, -1, -5)]
    assert [it.id for it in promising(choices, 1, 1.0)] == [2, 3]
    assert [it.id for it in promising(choices, 9, -1.0)] == [3, 1, 2]


def test_a_margin_flips_where_its_sign_changes():
    assert flips(1.0, -0.1) and flips(-1.0, 0.1)
    assert not flips(1.0, 0.1) and not flips(None, -1.0) and not flips(1.0, None)
