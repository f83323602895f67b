import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.widgets.colour_scale import NO_COLOUR
from app.widgets.spans import (
    Freshness,
    LiveSpans,
    TokenSpans,
    changed_range,
    utf16,
    utf16_offsets,
)
from core.present.units import roll_up, shared_units

TEXT = st.text(alphabet="ab c\n🎉é字", max_size=24)


def spans_of(text, cuts):
    edges = sorted({0, len(text), *(c % (len(text) + 1) for c in cuts)})
    starts, ends = edges[:-1], edges[1:]
    return TokenSpans(text, starts, ends, np.arange(len(starts)))


def piece(units, start, end):
    return units[start:end].tobytes().decode("utf-16-le")


@given(TEXT)
def test_offsets_count_utf16_units(text):
    expected = [len(text[:i].encode("utf-16-le")) // 2 for i in range(len(text) + 1)]
    assert utf16_offsets(text).tolist() == expected


@given(TEXT, TEXT)
def test_a_changed_range_makes_one_text_into_the_other(old, new):
    a, b = utf16(old), utf16(new)
    at, removed, added = changed_range(a, b)
    assert (np.concatenate([a[:at], b[at : at + added], a[at + removed :]]) == b).all()
    piece(b, at, at + added)  # no surrogate pair is cut


def test_the_window_decides_which_of_equal_letters_was_typed():
    assert changed_range(utf16("aaaa"), utf16("aaaaa"), (1, 0, 1)) == (1, 0, 1)
    # A window that does not fit (Qt counts a last separator) falls back to the whole text.
    assert changed_range(utf16("ab"), utf16("axb"), (0, 4, 4)) == (1, 0, 1)


@settings(max_examples=300)
@given(
    TEXT,
    st.lists(st.integers(0, 99), max_size=8),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9), TEXT), min_size=1, max_size=5),
)
def test_colours_never_lie(text, cuts, edits):
    """After any edits a coloured token covers its own letters, and a fresh one its own prefix."""
    spans = spans_of(text, cuts)
    live = LiveSpans(spans)
    before, words = text, [text[s:e] for s, e in zip(spans.starts, spans.ends, strict=True)]
    for where, length, new in edits:
        at = where % (len(before) + 1)
        stop = min(at + length, len(before))
        after = before[:at] + new + before[stop:]
        offsets = utf16_offsets(before)
        live.edit(int(offsets[at]), int(offsets[stop] - offsets[at]), len(utf16(new)))
        before = after
    units = utf16(before)
    for row in range(len(live)):
        token, state = live.token(row), live.freshness[row]
        start, end = int(live.starts[row]), int(live.ends[row])
        assert 0 <= start <= end <= len(units)
        if state == Freshness.TOUCHED:
            assert live.colours[row] == NO_COLOUR
            continue
        assert live.colours[row] == token
        assert piece(units, start, end) == words[token]
        if state == Freshness.FRESH:
            assert piece(units, 0, end) == "".join(words[: token + 1])
        assert live.row(token) == row
    assert (np.diff(live.starts) >= 0).all() and (live.starts[1:] >= live.ends[:-1]).all()


def test_an_edit_fades_what_follows_and_blanks_what_it_touches():
    live = LiveSpans(TokenSpans("one two three", [0, 3, 7], [3, 7, 13], [1, 2, 3]))
    live.edit(5, 0, 1)  # "one twXo three"
    assert live.freshness.tolist() == [Freshness.FRESH, Freshness.TOUCHED, Freshness.STALE]
    assert live.colours.tolist() == [1, NO_COLOUR, 3]
    assert live.starts.tolist() == [0, 3, 8] and live.ends.tolist() == [3, 8, 14]
    live.edit(3, 5, 0)
    assert live.first.tolist() == [0, 2] and live.row(1) == -1
    assert live.freshness.tolist() == [
        Freshness.STALE,
        Freshness.STALE,
    ]  # "one" may merge with " three"


def test_parts_of_one_character_are_one_unit():
    # "é" from two byte tokens; then a token that shares its first character with one before.
    assert shared_units([0, 1, 1, 2, 3], [1, 2, 2, 4, 5]).tolist() == [0, 1, 1, 2, 2]
    summed = roll_up(np.array([0.5, 1.0, -3.0]), shared_units([0, 1, 1], [1, 2, 2]))
    assert summed.tolist() == [0.5, -2.0, -2.0]
    live = LiveSpans(TokenSpans("aéb", [0, 1, 1, 2], [1, 2, 2, 3], [5, 6, 7, 8]))
    assert live.first.tolist() == [0, 1, 3] and live.row(2) == live.row(1) == 1
    assert live.token(live.at(1)) == 1


def test_empty_tokens_keep_their_place():
    live = LiveSpans(TokenSpans("ab", [0, 1, 1, 2], [1, 1, 2, 2], [1, 2, 3, 4]))
    assert len(live) == 4
    assert live.token(live.at(1)) == 2
    assert live.at(2) == -1
