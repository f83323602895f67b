"""The places of a finding: what a line shows of a text, whatever the text and the width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtGui import QColor, QFont, QFontMetrics

from app import theme
from app.learned.contexts_list import ContextRow, ContextsList, seen_part
from core.learned.record import Context

DOTS = "…"
WORDS = (
    "a harbour of colour, \n 今日はとても暖かい well-known\tneighbourhoods 👩‍🚀 naïve “quoted” שלום"
).split(" ")


def row_of(text, start, stop):
    return ContextRow(Context(0, start, stop, 1.0), "Say something.", text)


@st.composite
def places(draw):
    """A text of words, and a stretch of it."""
    text = " ".join(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=60)))
    start = draw(st.integers(0, len(text) - 1))
    return row_of(text, start, draw(st.integers(start + 1, min(start + 20, len(text)))))


@given(places(), st.integers(0, 600))
def test_what_was_found_is_seen_and_what_is_cut_has_dots(qapp, row, more):
    metrics = QFontMetrics(QFont())
    width = metrics.horizontalAdvance(f"{DOTS} {row.found}{DOTS}") + metrics.height() + more
    seen = seen_part(row, metrics, width)
    shown = row.text[seen.first : seen.last]
    assert seen.first <= row.context.start and row.context.stop <= seen.last
    assert metrics.horizontalAdvance(seen.said) <= width
    before, after = seen.first > 0, seen.last < len(row.text)
    plain = shown.replace("\n", "↵").replace("\t", " ")
    assert seen.said == f"{DOTS} " * before + plain + DOTS * after
    assert seen.lead == 2 * before


def test_a_text_that_fits_is_shown_whole_and_one_without_room_begins_with_what_was_found(qapp):
    metrics = QFontMetrics(QFont())
    text = "They left the neighbourhood at noon."
    row = row_of(text, 14, 27)
    assert seen_part(row, metrics, 2000).said == text
    narrow = seen_part(row, metrics, metrics.horizontalAdvance("… neighbour…"))
    assert narrow.said.startswith("… neigh") and narrow.said.endswith(DOTS)


@pytest.mark.parametrize("width", [230, 300, 420, 900])
@pytest.mark.parametrize("dark", [False, True])
def test_the_line_below_what_was_found_is_painted_whole(qtbot, width, dark):
    places = ContextsList()
    qtbot.addWidget(places)
    places.set_dark(dark)
    places.resize(width, 200)
    text = "One of those sentences that go on and on until a harbour is seen by all who walk there."
    start = text.index("harbour")
    places.show_rows([row_of(text, start, start + len("harbour"))])
    places.show()
    qtbot.waitExposed(places)
    picture = places.grab().toImage()
    accent = QColor(theme.colours(dark).accent).rgb()
    rows = [
        [x for x in range(picture.width()) if picture.pixel(x, y) == accent]
        for y in range(picture.height())
    ]
    longest = max(rows, key=len)
    wanted = places.fontMetrics().horizontalAdvance("harbour")
    assert longest == list(range(longest[0], longest[-1] + 1))
    assert len(longest) == pytest.approx(wanted, abs=2) and longest[-1] < width - 1
