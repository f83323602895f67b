"""What two responses both begin with is folded: the lines go out of sight, nothing else changes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QTextCursor
from PySide6.QtTest import QTest

from app.widgets.folding import Folding
from app.widgets.spans import TokenSpans
from app.widgets.token_editor import TokenEditor
from app.widgets.token_view import Note
from core.text import Prompt
from tests.app.conftest import do, settled

SHARED = "The first of many words that both of them have in common. " * 12
A, B = SHARED + "It ends well.", SHARED + "It ends badly, and it takes longer. " * 3


@pytest.fixture
def editor(qtbot):
    made = TokenEditor()
    qtbot.addWidget(made)
    made.folding = Folding(made)
    made.resize(320, 140)
    made.show()
    qtbot.waitExposed(made)
    return made


def line_of(editor, place):
    """On which line of the viewport a place of the text stands, from 0."""
    cursor = QTextCursor(editor.document())
    cursor.setPosition(len(editor.text()[:place].encode("utf-16-le")) // 2)
    first = editor.cursorRect(editor.cursorForPosition(QPoint(1, 2))).top()
    return round((editor.cursorRect(cursor).top() - first) / editor.fontMetrics().lineSpacing())


def show(editor, text, shared):
    editor.set_text(text)
    editor.folding.fold(text[:shared])


@pytest.mark.parametrize("width", [200, 320, 600])
@pytest.mark.parametrize("rest", [" so.", " It goes on and on." * 40])
def test_the_line_where_they_part_is_the_second_at_any_width(editor, qtbot, width, rest):
    show(editor, SHARED + rest, len(SHARED))
    editor.resize(width, 140)
    qtbot.waitUntil(lambda: line_of(editor, len(SHARED)) == 1, timeout=2000)
    assert editor.folding.folded
    editor.verticalScrollBar().setValue(0)
    assert line_of(editor, len(SHARED)) == 1
    editor.folding.unfold()
    assert not editor.folding.folded and line_of(editor, 0) == 0


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(
        st.sampled_from(["", "a", "word " * 30, "עברית " * 9, "👩‍🚀 " * 40]), max_size=30
    ),
    rest=st.sampled_from(["x", "x\n" * 30]),
)
def test_any_beginning_is_folded_but_for_a_line_or_is_short(editor, lines, rest):
    shared = "\n".join([*lines, "here: "])
    show(editor, shared + rest, len(shared))
    QTest.qWait(1)
    at = line_of(editor, len(shared))
    wanted = (1,) if editor.folding.folded else (0, 1, 2)
    assert at in wanted
    editor.folding.unfold()
    assert editor.verticalScrollBar().minimum() == 0


def test_what_is_little_stays_in_sight(editor):
    show(editor, "Both begin so. One goes on.", 14)
    assert not editor.folding.folded and line_of(editor, 0) == 0


@pytest.mark.parametrize(
    "key, how",
    [
        (Qt.Key.Key_Home, Qt.KeyboardModifier.ControlModifier),
        (Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier),
        (Qt.Key.Key_PageUp, Qt.KeyboardModifier.NoModifier),
    ],
)
def test_a_caret_that_goes_there_unfolds(editor, qtbot, key, how):
    show(editor, A, len(SHARED))
    editor.moveCursor(QTextCursor.MoveOperation.End)
    assert editor.folding.folded
    with qtbot.waitSignal(editor.folding.unfolded):
        qtbot.keyClick(editor, key, how)
    caret = editor.cursorRect().center()
    assert not editor.folding.folded and editor.viewport().rect().contains(caret)


def test_typing_there_unfolds_and_elsewhere_does_not(editor, qtbot):
    show(editor, A, len(SHARED))
    editor.moveCursor(QTextCursor.MoveOperation.End)
    qtbot.keyClicks(editor, " Really, it does; and that is all that there is to be said of it.")
    assert editor.folding.folded and editor.verticalScrollBar().minimum() > 0
    editor.set_text_keeping_undo("Not " + editor.text())
    assert not editor.folding.folded
    show(editor, A, len(SHARED))  # the caret is at the beginning, as in a text just put there
    assert editor.folding.folded
    qtbot.keyClicks(editor, "So t")
    assert not editor.folding.folded and editor.text() == "So t" + A


def test_a_note_above_what_is_folded_goes_with_it(editor):
    show(editor, A, len(SHARED))
    words = np.array([[0, 3], [len(SHARED), len(A)]])
    editor.set_tokens(TokenSpans(A, words[:, 0], words[:, 1], np.array([0, 1], np.int16)))
    before = editor.grab().toImage()
    editor.set_notes((Note(range(1), "−3.4", ring=True),))
    assert editor.grab().toImage() == before
    editor.set_notes((Note(range(1, 2), "−3.4"),))
    assert editor.grab().toImage() != before


# --- in the window --------------------------------------------------------------------------------


@pytest.fixture
def opened(open_window, qtbot):
    window = open_window()
    window.resize(1100, 700)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    window.texts.put_pair(Prompt.of("Which ending?"), A, B)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    return window


def test_a_pair_from_elsewhere_is_folded_and_a_click_shows_all(opened, qtbot):
    panels = opened.view.panels
    scored = {side: it.scoring.logp_policy.tolist() for side, it in panels.items()}
    ids = [it.scoring.tokens.ids for it in panels.values()]
    shared = next(n for n, (a, b) in enumerate(zip(*ids, strict=False)) if a != b)
    for side, text in (("A", A), ("B", B)):
        panel = panels[side]
        assert panel.text() == text and panel.more.isVisible()
        assert panel.more.text() == f"… {shared} tokens that both share"
        assert line_of(panel.editor, len(SHARED)) == 1
    qtbot.mouseClick(panels["B"].more, Qt.MouseButton.LeftButton, pos=QPoint(5, 5))
    for side, panel in panels.items():
        assert not panel.folding.folded and not panel.more.isVisible()
        assert line_of(panel.editor, 0) == 0
        assert panel.scoring.logp_policy.tolist() == scored[side]


def test_both_scroll_along_from_where_they_are_folded(opened):
    a, b = (panel.editor.verticalScrollBar() for panel in opened.view.panels.values())
    assert a.value() == a.minimum() > 0 and b.value() == b.minimum() > 0
    b.setValue(b.maximum())
    assert a.value() == a.maximum()
    b.setValue(b.minimum())
    assert a.value() == a.minimum()


def test_a_token_that_is_pinned_there_is_shown(opened, qtbot):
    view = opened.view
    view.focus_on.pin("A", 1)
    qtbot.waitUntil(lambda: not view.panels["A"].folding.folded, timeout=2000)
    rects = view.panels["A"].editor.token_rects(1)
    assert view.panels["A"].editor.viewport().rect().contains(rects[0].center())


def test_other_texts_and_undo_bring_all_lines_back(opened, qtbot):
    view = opened.view
    do(opened, "undo")
    assert not any(panel.folding.folded for panel in view.panels.values())
    opened.texts.put_pair(Prompt.of("Same?"), A, A)
    assert not any(panel.folding.folded for panel in view.panels.values())
    qtbot.waitUntil(lambda: settled(opened), timeout=10_000)
