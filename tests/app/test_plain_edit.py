"""Editors against a QPlainTextEdit that is given the same events, and what input methods see."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, QRect, Qt
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QInputMethodEvent,
    QKeyEvent,
    QTextCharFormat,
)
from PySide6.QtGui import QTextCursor as Cursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit

from app.credit.prompt_panel import TurnEdit
from app.widgets.spans import utf16
from app.widgets.token_editor import TokenEditor
from tests.app.test_token_editor import caret, expected, show, shown, spans_for

Attribute = QInputMethodEvent.Attribute
Kind = QInputMethodEvent.AttributeType
Query = Qt.InputMethodQuery
NONE = Qt.KeyboardModifier.NoModifier
TEXTS = (
    "They offered me a job with a salary that was far too low.\nSecond paragraph here.",
    "abc שלום def العربية end\nनमस्ते दुनिया",
    "cafe\u0301 👨‍👩‍👧 a🎉b 🇯🇵🇰🇷 e\u0301\u0323\n\n漢字かな",
    "",
)
PIECES = ("x", "に", "한", "ㅎ", "日本", "´", "é", "🎉", "👩🏽‍💻", "ש", "a\nb", "word ", "\u0301")
KEYS = {
    "left": (Qt.Key.Key_Left, NONE, ""),
    "right": (Qt.Key.Key_Right, NONE, ""),
    "up": (Qt.Key.Key_Up, NONE, ""),
    "down": (Qt.Key.Key_Down, NONE, ""),
    "home": (Qt.Key.Key_Home, NONE, ""),
    "end": (Qt.Key.Key_End, NONE, ""),
    "word left": (Qt.Key.Key_Left, Qt.KeyboardModifier.ControlModifier, ""),
    "select left": (Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier, ""),
    "select right": (Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier, ""),
    "select up": (Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier, ""),
    "select all": (Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier, ""),
    "backspace": (Qt.Key.Key_Backspace, NONE, ""),
    "delete": (Qt.Key.Key_Delete, NONE, ""),
    "delete word": (Qt.Key.Key_Backspace, Qt.KeyboardModifier.ControlModifier, ""),
    "enter": (Qt.Key.Key_Return, NONE, "\n"),
    "undo": (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier, ""),
    "redo": (
        Qt.Key.Key_Z,
        Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
        "",
    ),
}


def compose(edit, text, attributes=()):
    QApplication.sendEvent(edit, QInputMethodEvent(text, list(attributes)))


def commit(edit, text, start=0, length=0, then=""):
    event = QInputMethodEvent(then, [])
    event.setCommitString(text, start, length)
    QApplication.sendEvent(edit, event)


def key(edit, name):
    code, modifiers, text = KEYS[name]
    QApplication.sendEvent(edit, QKeyEvent(QEvent.Type.KeyPress, code, modifiers, text))


def type_in(edit, text):
    QApplication.sendEvent(edit, QKeyEvent(QEvent.Type.KeyPress, 0, NONE, text))


def mime(text):
    data = QMimeData()
    data.setText(text)
    return data


def drop(edit, text, x):
    how = Qt.DropAction.CopyAction, mime(text), Qt.MouseButton.LeftButton, NONE
    QApplication.sendEvent(edit.viewport(), QDragEnterEvent(QPoint(x, 12), *how))
    QApplication.sendEvent(edit.viewport(), QDropEvent(QPointF(x, 12), *how))


def replace(edit, back, forth, text):
    """As some input methods do: letters around the caret become others."""
    position = edit.textCursor().selectionStart()
    start = max(-back, -position)
    left = edit.document().characterCount() - 1 - edit.textCursor().selectionEnd()
    commit(edit, text, start, min(forth - start, left - start))


piece = st.sampled_from(PIECES)
steps = st.one_of(
    st.tuples(st.just("compose"), piece, st.integers(0, 3)),
    st.tuples(st.just("commit"), piece),
    st.tuples(st.just("commit and compose"), piece, piece),
    st.tuples(st.just("replace"), st.integers(0, 4), st.integers(0, 4), piece),
    st.tuples(st.just("key"), st.sampled_from(sorted(KEYS))),
    st.tuples(st.just("type"), piece),
    st.tuples(st.just("paste"), piece),
    st.tuples(st.just("drop"), piece, st.integers(0, 380)),
    st.tuples(st.just("click"), st.integers(0, 380), st.integers(0, 180)),
    st.tuples(st.just("resize"), st.integers(60, 500)),
)


def do(edit, step, number):
    what, *how = step
    if what == "compose":  # never the same letters again, which Qt leaves as they are
        text = how[0].replace("\n", "") + "abcdefghij"[number % 10] * (number // 10 + 1)
        look = QTextCharFormat()
        look.setFontUnderline(True)
        ranges = [Attribute(Kind.TextFormat, 0, len(text), look)] if how[1] % 2 else []
        compose(edit, text, [*ranges, Attribute(Kind.Cursor, how[1], how[1] % 3, None)])
    elif what == "commit":
        commit(edit, how[0])
    elif what == "commit and compose":
        commit(edit, how[0], then=how[1].replace("\n", "") + str(number))
    elif what == "replace":
        replace(edit, *how)
    elif what == "key":
        key(edit, how[0])
    elif what == "type":
        type_in(edit, how[0])
    elif what == "paste":
        edit.insertFromMimeData(mime(how[0]))
    elif what == "drop":
        drop(edit, *how)
    elif what == "click":
        QTest.mouseClick(edit.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(*how))
    elif what == "resize":
        edit.resize(how[0], 200)
    edit.viewport().repaint()


def like(editor):
    """A plain editor with the editor's font and layout."""
    plain = QPlainTextEdit()
    plain.setWordWrapMode(editor.wordWrapMode())
    plain.document().setDefaultTextOption(editor.document().defaultTextOption())
    plain.document().setDocumentMargin(editor.document().documentMargin())
    plain.setTabChangesFocus(True)
    plain.resize(editor.size())
    return plain


def state(edit):
    cursor, document = edit.textCursor(), edit.document()
    units = "".join(document.characterAt(at) for at in range(document.characterCount()))
    undo = document.availableUndoSteps(), document.availableRedoSteps()
    return ascii(units), cursor.position(), cursor.anchor(), undo


def well_composed(edit):
    """What is composed stands at the caret, and nothing is composed anywhere else."""
    block, caret_block = edit.document().begin(), edit.textCursor().block()
    while block.isValid():
        if block.layout().preeditAreaText():
            assert block == caret_block
            assert block.layout().preeditAreaPosition() == edit.textCursor().positionInBlock()
        block = block.next()


def haunted(plain):
    """Qt leaves letters being composed where they were, and measures lines with them."""
    try:
        well_composed(plain)
    except AssertionError:
        return True
    return False


GEOMETRIC = ("click", "drop", "up", "down", "home", "end", "select up")


def whole(edit):
    """The caret and the anchor are outside of surrogate pairs."""
    cursor, document = edit.textCursor(), edit.document()
    for at in (cursor.position(), cursor.anchor()):
        pair = document.characterAt(max(at - 1, 0)) + document.characterAt(at)
        assert not (at and "\ud800" <= pair[0] < "\udc00" <= pair[-1] < "\ue000")


@pytest.mark.parametrize("make", [TokenEditor, lambda: TurnEdit("user", "")])
@given(st.sampled_from(TEXTS), st.integers(0, 60), st.lists(steps, max_size=24))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_events_do_what_they_do_in_a_plain_editor(qtbot, make, text, at, events):
    editor = make()
    editor.resize(400, 200)
    plain = like(editor)
    try:
        for edit in (editor, plain):
            edit.setPlainText(text)
            edit.show()
            caret(edit, 0)
            for _ in range(at):
                edit.moveCursor(Cursor.MoveOperation.NextCharacter)
        if isinstance(editor, TokenEditor):
            editor.set_tokens(spans_for(text))
            editor.set_closing("end", 3)
            editor.set_show_marks(True)
        for number, step in enumerate(events):
            if step[0] == "replace" and max(editor.toPlainText(), default="") > "\uffff":
                continue  # a plain editor would cut it
            if step[0] == "resize" and isinstance(editor, TurnEdit):
                continue  # it has a least height
            if haunted(plain) and {step[0], str(step[1])} & set(GEOMETRIC):
                continue
            if step[0] == "drop":  # a plain editor counts what is composed in its place
                compose(editor, "")
                compose(plain, "")
            do(editor, step, number)
            do(plain, step, number)
            assert state(editor) == state(plain), step
            well_composed(editor)
            whole(editor)
            if isinstance(editor, TokenEditor):
                assert editor.text() == editor.whole_text()
                editor.token_at(QPoint(100, 20))
                if number % 3 == 0:
                    editor.set_tokens(spans_for(editor.text()))
    finally:
        editor.close()
        plain.close()


def test_what_is_composed_takes_room_and_has_no_colour(qtbot):
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.resize(500, 200)
    editor.show()
    spans = show(editor, "one twothree four", [1.0, 1.0, 1.0])
    caret(editor, 7)
    before = [editor.token_rects(i) for i in range(3)]
    compose(editor, "にほん", [Attribute(Kind.Cursor, 1, 1, None)])
    after = [editor.token_rects(i) for i in range(3)]
    left, right = after[1]  # the token that the caret stands in is divided, not stretched
    room = right.left() - (left.left() + left.width())
    # The line may get higher: another font has the letters that are composed.
    assert [(it.left(), it.right()) for it in after[0]] == [
        (it.left(), it.right()) for it in before[0]
    ]
    assert left.left() == before[1][0].left()
    moved = after[2][0].left() - before[2][0].left()
    assert room > 10 and abs(moved - room) <= 2  # kerning, and whole pixels
    assert [shown(editor, 1, part) for part in (0, 1)] == [expected(spans, 1)] * 2
    inside = QRect(left.left() + left.width(), left.top(), room, left.height())
    image = editor.viewport().grab(inside).toImage()
    filled = QColor(*expected(spans, 1))
    assert all(
        image.pixelColor(x, y) != filled
        for x in range(image.width())
        for y in range(image.height())
    )
    hovers = []
    editor.hovered.connect(hovers.append)
    QTest.mouseMove(editor.viewport(), left.center())
    QTest.mouseMove(editor.viewport(), inside.center())
    assert hovers == [1, -1] and editor.token_at(inside.center()) == -1
    assert inside.contains(editor.cursorRect().center())  # after its first letter
    commit(editor, "日本")
    assert editor.text() == "one two日本three four" and not editor.is_composing()
    editor.undo()
    assert editor.text() == "one twothree four"


def test_what_is_composed_wraps(qtbot):
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.resize(200, 200)
    editor.show()
    show(editor, "one two three", [1.0, 1.0, 1.0])
    caret(editor, 4)
    (before,) = editor.token_rects(2)
    compose(editor, "かな" * 20)
    (after,) = editor.token_rects(2)
    assert after.top() >= before.top() + 2 * before.height()
    for y in range(before.top() + 2, after.top(), 4):
        for x in range(before.left(), 180, 9):
            assert editor.token_at(QPoint(x, y)) in (-1, 0, 1)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("composed", ["", "に", "한국어를", "ש"])
def test_input_methods_are_told_what_a_plain_editor_tells(qtbot, text, composed):
    editor = TokenEditor()
    editor.resize(300, 200)
    plain = like(editor)
    for edit in (editor, plain):
        qtbot.addWidget(edit)
        edit.setPlainText(text)
        edit.show()
        edit.moveCursor(Cursor.MoveOperation.End)
        for _ in range(3):
            edit.moveCursor(Cursor.MoveOperation.PreviousWord)
        edit.moveCursor(Cursor.MoveOperation.NextWord, Cursor.MoveMode.KeepAnchor)
        if composed:
            compose(edit, composed, [Attribute(Kind.Cursor, 1, 1, None)])
    editor.set_tokens(spans_for(editor.text()))
    for query in (
        Query.ImCursorRectangle,
        Query.ImAnchorRectangle,
        Query.ImCursorPosition,
        Query.ImAnchorPosition,
        Query.ImAbsolutePosition,
        Query.ImSurroundingText,
        Query.ImTextBeforeCursor,
        Query.ImTextAfterCursor,
        Query.ImHints,
        Query.ImEnabled,
    ):
        assert editor.inputMethodQuery(query) == plain.inputMethodQuery(query), query


@pytest.mark.parametrize(
    "exchange",
    [
        lambda editor: editor.set_text("Short."),
        lambda editor: editor.setPlainText("Short."),
        lambda editor: editor.set_text_keeping_undo("Short."),
        lambda editor: (editor.selectAll(), editor.insertPlainText("Short.")),
        lambda editor: (editor.selectAll(), key(editor, "delete"), type_in(editor, "Short.")),
    ],
)
def test_exchanging_the_text_ends_or_moves_what_is_composed(qtbot, exchange):
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.resize(300, 200)
    editor.show()
    show(editor, "One paragraph that is longer.\nAnother one.")
    caret(editor, 25)
    compose(editor, "にほ")
    exchange(editor)
    editor.viewport().repaint()
    assert editor.text() == "Short."
    well_composed(editor)
    compose(editor, "にほん")  # the input method goes on, or begins anew
    editor.viewport().repaint()
    well_composed(editor)
    commit(editor, "日本")
    assert editor.text().replace("日本", "") == "Short." and "日本" in editor.text()
    assert not editor.is_composing()


def test_leaving_the_editor_ends_what_is_composed(qtbot):
    editor, other = TurnEdit("user", ""), TurnEdit("user", "")
    for edit in (editor, other):
        qtbot.addWidget(edit)
        edit.setPlainText("text")
        edit.show()
    editor.activateWindow()
    editor.setFocus()
    qtbot.waitUntil(editor.hasFocus)
    compose(editor, "にほ")
    assert editor.is_composing()
    editor.clearFocus()
    assert not editor.is_composing() and editor.toPlainText() == "text"
    assert not editor.document().begin().layout().preeditAreaText()


def test_no_half_of_a_surrogate_pair_is_taken_or_stood_in(qtbot):
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.set_text("a🎉b🎊c")
    caret(editor, 2)
    assert editor.textCursor().position() == 1
    caret(editor, 5, anchor=2)
    assert editor.textCursor().selectedText() == "🎉b"
    caret(editor, 7)
    commit(editor, "x", -2, 2)  # counted in letters: it would cut the second pair
    assert editor.text() == "a🎉bx"


def test_half_a_pair_that_came_in_is_shown_as_lost(qtbot):
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.set_text("a🎉b\nc")
    cursor = editor.textCursor()
    cursor.setPosition(2)  # another cursor than the user's
    cursor.insertText("x")
    assert editor.text() == "a\ufffdx\ufffdb\nc"
    assert len(utf16(editor.text())) == editor.document().characterCount() - 1
    editor.set_tokens(spans_for(editor.text()))
    editor.grab()
    editor.undo()
    assert editor.text() == "a🎉b\nc"


def test_a_drop_into_what_is_composed_comes_where_the_text_is(qtbot):
    """Qt would count the composed letters too, and warn of a place behind the end."""
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.resize(400, 200)
    editor.show()
    show(editor, "abc")
    caret(editor, 3)
    compose(editor, "にほん")
    drop(editor, "!", 380)
    assert editor.text() == "abc!" and not editor.is_composing()


def test_composing_may_begin_while_something_is_dragged_over_it(qtbot):
    """Qt shows a caret at the place that it is over, and warns of a place behind the end."""
    editor = TokenEditor()
    qtbot.addWidget(editor)
    editor.resize(400, 200)
    editor.show()
    show(editor, "abc")
    caret(editor, 3)
    how = Qt.DropAction.CopyAction, mime("!"), Qt.MouseButton.LeftButton, NONE
    QApplication.sendEvent(editor.viewport(), QDragEnterEvent(QPoint(5, 12), *how))
    compose(editor, "にほん")
    QApplication.sendEvent(editor.viewport(), QDragMoveEvent(QPoint(380, 12), *how))
    QApplication.sendEvent(editor.viewport(), QDropEvent(QPointF(380, 12), *how))
    assert editor.text() == "abc!"
