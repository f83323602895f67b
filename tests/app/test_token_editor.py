import re
import time
from collections import Counter

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, Qt
from PySide6.QtGui import QInputMethodEvent, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPlainTextEdit

from app import theme
from app.widgets.colour_scale import ColourScale
from app.widgets.spans import TokenSpans
from app.widgets.token_editor import TokenEditor
from app.widgets.token_view import Note

SCALE = ColourScale()
WORDS = re.compile(r" ?[^\s]+|\s")


def spans_for(text, values=None):
    cuts = [(m.start(), m.end()) for m in WORDS.finditer(text)]
    if values is None:
        values = np.linspace(-1, 1, len(cuts))
    return TokenSpans(text, [a for a, _ in cuts], [b for _, b in cuts], SCALE.classes(values))


@pytest.fixture
def editor(qtbot):
    editor = TokenEditor()
    editor.resize(500, 300)
    editor.setCursorWidth(0)  # it would stand where colours are sampled
    qtbot.addWidget(editor)
    editor.show()
    qtbot.waitExposed(editor)
    return editor


def show(editor, text, values=None):
    editor.set_text(text)
    spans = spans_for(text, values)
    editor.set_tokens(spans)
    QApplication.processEvents()
    return spans


def shown(editor, index, rect=0):
    """The commonest colour of a token's box: its background, whatever the font's letters reach."""
    box = editor.token_rects(index)[rect]
    image = editor.viewport().grab().toImage()
    colours = Counter(
        image.pixelColor(x, y).getRgb()[:3]
        for x in range(box.left() + 1, box.right())
        for y in range(box.top() + 1, box.bottom())
    )
    return colours.most_common(1)[0][0]


def expected(spans, index, faded=False):
    table = SCALE.faded if faded else SCALE.palette
    return tuple(table[spans.colours[index]])


def caret(editor, position, anchor=None):
    cursor = editor.textCursor()
    cursor.setPosition(position if anchor is None else anchor)
    if anchor is not None:
        cursor.setPosition(position, QTextCursor.MoveMode.KeepAnchor)
    editor.setTextCursor(cursor)


@pytest.mark.parametrize(
    "text",
    [
        "the salary is high",
        "a 🎉 party 👨‍👩‍👧 here",
        "漢字 かな 字",
        "naïve cafe\u0301 one",
        "line one\nline two\n\nlast",
        "שלום עולם טוב",
        "abc שלום def العربية end",
        "word " * 60,
    ],
)
def test_every_token_is_painted_where_its_letters_are(editor, text):
    spans = show(editor, text)
    editor.moveCursor(QTextCursor.MoveOperation.End)  # a caret among both directions has a flag
    for index in range(len(spans)):
        rects = editor.token_rects(index)
        assert rects, f"token {index} is nowhere"
        if editor.viewport().rect().contains(rects[0]) and text[spans.starts[index]] != "\n":
            assert shown(editor, index) == expected(spans, index)
            assert editor.token_at(rects[0].center()) == index


@pytest.mark.parametrize("text", ["the salary is high", "a 🎉 party 字 e\u0301 x", "x  y\tz"])
def test_tokens_lie_between_qts_own_caret_positions(editor, text):
    spans = show(editor, text)
    for index, (start, end) in enumerate(zip(spans.starts, spans.ends, strict=True)):
        edges = []
        for code_point in (start, end):
            caret(editor, len(text[:code_point].encode("utf-16-le")) // 2)
            edges.append(editor.cursorRect().left())
        (box,) = editor.token_rects(index)
        assert abs(box.left() - edges[0]) <= 1 and abs(box.left() + box.width() - edges[1]) <= 1


def test_right_to_left_tokens_do_not_overlap_and_run_leftwards(editor):
    show(editor, "שלום עולם טוב")
    boxes = [editor.token_rects(i) for i in range(3)]
    assert all(len(b) == 1 for b in boxes)
    lefts = [b[0].left() for b in boxes]
    assert lefts == sorted(lefts, reverse=True)
    assert boxes[1][0].left() + boxes[1][0].width() <= boxes[0][0].left() + 1


def test_a_wrapped_token_has_a_rectangle_on_each_line(editor):
    text = "x" * 200
    editor.set_text(text)
    editor.set_tokens(TokenSpans(text, [0], [200], [60]))
    QApplication.processEvents()
    assert len(editor.token_rects(0)) >= 2
    assert len({box.top() for box in editor.token_rects(0)}) == len(editor.token_rects(0))


def test_on_high_lines_backgrounds_are_no_higher_and_stay_where_their_letters_are(editor, fonts):
    editor.setFont(theme.reading_font(18, roomy=True))
    text = "one two three four five six seven eight nine ten " * 3
    spans = show(editor, text.strip())
    block = editor.document().firstBlock()
    line = block.layout().lineAt(0)
    for index in range(len(spans)):
        (box,) = editor.token_rects(index)
        assert box.height() < 0.9 * line.height()
        assert editor.token_at(box.center()) == index
        assert shown(editor, index) == expected(spans, index)
    tops = sorted({editor.token_rects(index)[0].top() for index in range(len(spans))})
    assert len(tops) >= 2 and np.diff(tops).tolist() == [round(line.height())] * (len(tops) - 1)
    image = editor.viewport().grab().toImage()
    first, second = editor.token_rects(0)[0], tops[1]
    between = image.pixelColor(first.center().x(), (first.bottom() + second) // 2)
    assert between.getRgb()[:3] == SCALE.surface


def test_typing_colours_only_what_is_known(editor):
    spans = show(editor, "one two three four")
    caret(editor, 5)
    QTest.keyClicks(editor, "zz")
    assert editor.text() == "one tzzwo three four"
    assert shown(editor, 0) == expected(spans, 0) and not editor.is_stale(0)
    assert shown(editor, 1) == SCALE.surface and editor.is_stale(1)
    for later in (2, 3):
        assert shown(editor, later) == expected(spans, later, faded=True)
        assert editor.is_stale(later)
    assert editor.token_at(editor.token_rects(1)[0].center()) == -1
    fresh = spans_for(editor.text())
    editor.set_tokens(fresh)
    QApplication.processEvents()
    assert [shown(editor, i) for i in range(4)] == [expected(fresh, i) for i in range(4)]
    assert not any(editor.is_stale(i) for i in range(5))


def test_unknown_text_does_not_look_like_a_value_of_zero(editor):
    show(editor, "one two", [0.0, 0.0])
    zero = editor.viewport().grab().toImage()
    editor.set_tokens(TokenSpans("one two", [0, 3], [3, 7], [-1, -1]))
    assert editor.viewport().grab().toImage() != zero


def test_spans_of_an_older_text_follow_the_edits_since(editor):
    editor.set_text("one two three")
    old = spans_for(editor.text())
    caret(editor, 3)
    QTest.keyClicks(editor, "XX")
    editor.set_tokens(old)
    assert [editor.is_stale(i) for i in range(4)] == [True] * 4
    QApplication.processEvents()
    assert shown(editor, 2) == expected(old, 2, faded=True)


def test_edited_is_for_the_user_alone(editor, qtbot):
    seen = []
    editor.edited.connect(lambda: seen.append(editor.text()))
    editor.set_text("abc")
    editor.set_text_keeping_undo("abd")
    editor.set_tokens(spans_for("abd"))
    editor.set_scale(ColourScale(dark=True))
    assert seen == []
    caret(editor, 3)
    QTest.keyClicks(editor, "e")
    QTest.keyClick(editor, Qt.Key.Key_Backspace)
    assert seen == ["abde", "abd"]
    editor.undo()
    editor.undo()
    assert seen[-1] == editor.text()


def test_a_replacement_is_one_undo_step_apart_from_typing(editor):
    editor.set_text("The salary is $53K a year")
    caret(editor, len(editor.text()))
    QTest.keyClicks(editor, " now")
    editor.set_text_keeping_undo("The salary is $250K a year now", select=(15, 18))
    assert editor.textCursor().selectedText() == "250"
    caret(editor, 18)
    QTest.keyClicks(editor, "0")
    assert editor.text() == "The salary is $2500K a year now"
    editor.undo()
    assert editor.text() == "The salary is $250K a year now"
    QTest.keySequence(editor, "Ctrl+Z")
    assert editor.text() == "The salary is $53K a year now"
    editor.redo()
    assert editor.text() == "The salary is $250K a year now"
    editor.undo()
    editor.undo()
    assert editor.text() == "The salary is $53K a year"


def test_a_replacement_keeps_emoji_whole(editor):
    editor.set_text("a 🎉 b 🎊 c")  # the two share their first surrogate
    editor.set_text_keeping_undo("a 🎊 b 🎊 c", select=(2, 3))
    assert editor.text() == "a 🎊 b 🎊 c"
    assert editor.textCursor().selectedText() == "🎊"
    editor.undo()
    assert editor.text() == "a 🎉 b 🎊 c"


def test_undo_and_redo_keep_colours_honest(editor):
    spans = show(editor, "one two three")
    caret(editor, 7)
    QTest.keyClicks(editor, "!")
    editor.undo()
    assert editor.text() == "one two three"
    assert shown(editor, 0) == expected(spans, 0)
    assert shown(editor, 2) in (expected(spans, 2), expected(spans, 2, faded=True))
    editor.redo()
    assert editor.text() == "one two! three"
    assert shown(editor, 2) == expected(spans, 2, faded=True)


def test_special_characters_survive(editor):
    for text in ("no\u00a0break", "tab\there", "a\nb\n", "zero\u200bwidth"):
        editor.set_text(text)
        assert editor.text() == text


def test_an_input_method_composes_and_commits(editor):
    spans = show(editor, "one two three")
    caret(editor, 4)
    QApplication.sendEvent(editor, QInputMethodEvent("にほ", []))
    assert editor.text() == "one two three"
    rects = [editor.token_rects(i)[0] for i in range(3)]
    assert shown(editor, 0) == expected(spans, 0)
    assert shown(editor, 2) == expected(spans, 2)
    assert editor.token_at(rects[2].center()) == 2
    event = QInputMethodEvent("", [])
    event.setCommitString("日本")
    QApplication.sendEvent(editor, event)
    assert editor.text() == "one 日本two three"
    assert editor.is_stale(2) and shown(editor, 2) == expected(spans, 2, faded=True)
    editor.undo()
    assert editor.text() == "one two three"


def test_the_mouse_hovers_clicks_and_selects(editor, qtbot):
    spans = show(editor, "one two three")
    hovers, clicks = [], []
    editor.hovered.connect(hovers.append)
    editor.token_clicked.connect(clicks.append)
    middle = [editor.token_rects(i)[0].center() for i in range(len(spans))]
    view = editor.viewport()
    for point in middle:
        QTest.mouseMove(view, point)
    QTest.mouseMove(view, QPoint(400, 250))
    assert hovers == [0, 1, 2, -1]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=middle[1])
    assert clicks == [1]
    assert 3 <= editor.textCursor().position() <= 7
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=middle[0])
    QTest.mouseMove(view, middle[2])
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=middle[2])
    assert clicks == [1]  # a drag selects
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(400, 250))
    assert clicks == [1]


def test_the_keyboard_walks_over_tokens_to_the_closing_one(editor):
    show(editor, "one two\nthree")
    editor.set_closing("end", 40)
    caret(editor, 0)
    walked, at = [], []
    editor.walked.connect(walked.append)
    editor.caret_token.connect(at.append)
    for _ in range(5):
        QTest.keyClick(editor, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert walked == [1, 2, 3, 4]  # the closing token is the last stop
    assert editor.pinned() == 4 and at == [1, 2, 3, 4]
    QTest.keyClick(editor, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert walked[-1] == 3 and editor.textCursor().position() == 8
    caret(editor, 1)
    QTest.keyClick(editor, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert walked[-1] == 1  # the caret went elsewhere: walk from there


def test_the_closing_token_is_a_chip_that_can_be_hit(editor):
    show(editor, "one two")
    assert editor.token_rects(2) == []
    editor.set_closing("end of turn", 64)
    QApplication.processEvents()
    (box,) = editor.token_rects(2)
    assert editor.token_at(box.center()) == 2
    image = editor.viewport().grab().toImage()
    colour = image.pixelColor(box.left() + 4, box.top() + 3)
    assert (colour.red(), colour.green(), colour.blue()) == tuple(SCALE.palette[64])
    editor.set_text("w" * 100)
    text = editor.text()
    for cut in range(30, 100):  # wherever the line ends, the chip is in the view
        editor.set_text_keeping_undo(text[:cut])
        editor.set_tokens(TokenSpans(text[:cut], [0], [cut], [40]))
        editor.set_closing("end of turn", 64)
        (box,) = editor.token_rects(1)
        assert editor.viewport().rect().contains(box), cut


@pytest.mark.parametrize("word", ["word", "كلمة", "字"], ids=["latin", "arabic", "cjk"])
@pytest.mark.parametrize("height", [60, 300])
def test_the_closing_chip_is_whole_and_covers_nothing(editor, word, height):
    editor.resize(420, height)
    for words in range(1, 40):
        spans = show(editor, " ".join([word] * words))
        editor.set_closing("<|im_end|>", 64)
        editor.moveCursor(QTextCursor.MoveOperation.End)
        end = len(spans.starts)
        (box,) = editor.token_rects(end)
        assert editor.viewport().rect().contains(box), words
        assert box.width() >= 12, words  # some letters, not a mere square
        for index in range(end):
            for rect in editor.token_rects(index):
                assert not rect.intersects(box.adjusted(1, 1, -1, -1)), (words, index)


@pytest.mark.parametrize("written", ["plainly", "in the fonts that are brought"])
def test_a_chip_that_goes_below_the_text_and_back_leaves_nothing_behind(request, written):
    if written != "plainly":
        request.getfixturevalue("fonts")
    editor = request.getfixturevalue("editor")

    def on_screen():
        return editor.screen().grabWindow(editor.winId()).toImage()

    tokens = len(show(editor, "word " * 12).starts)
    editor.set_closing("a long closing label", 64)
    editor.moveCursor(QTextCursor.MoveOperation.End)
    places = set()
    for key in "a" * 24 + "\b" * 30:
        QTest.keyClick(editor, Qt.Key.Key_Backspace if key == "\b" else key)
        QApplication.processEvents()
        typed = on_screen()
        editor.viewport().update()
        QApplication.processEvents()
        assert on_screen() == typed
        places.add(editor.token_rects(tokens)[0].top())
    assert len(places) > 1


def test_outlines_come_and_go(editor):
    show(editor, "one two three")
    bare = editor.viewport().grab().toImage()
    editor.highlight(1)
    light = editor.viewport().grab().toImage()
    editor.highlight(None)
    editor.pin(1)
    strong = editor.viewport().grab().toImage()
    assert bare != light != strong
    editor.pin(None)
    assert editor.viewport().grab().toImage() == bare
    editor.pin(99)  # a token that is not there any more
    editor.viewport().grab()
    assert editor.token_rects(99) == []


def test_marks_and_boundaries_can_be_shown(editor):
    show(editor, "one  two\tthree\nfour", [0.0] * 7)
    plain = editor.viewport().grab().toImage()
    editor.set_show_marks(True)
    marked = editor.viewport().grab().toImage()
    editor.set_show_boundaries(False)
    joined = editor.viewport().grab().toImage()
    assert plain != marked != joined


def test_an_empty_token_can_be_seen_and_hit(editor):
    editor.set_text("ab")
    editor.set_tokens(TokenSpans("ab", [0, 1, 1, 2], [1, 1, 2, 2], [32, 64, 32, 0]))
    QApplication.processEvents()
    for index in (1, 3):
        (box,) = editor.token_rects(index)
        assert box.width() >= 2


def test_recolouring_needs_no_new_layout(editor):
    text = "one two three"
    show(editor, text)
    for value in (-1.0, 0.0, 0.5):
        spans = spans_for(text, [value] * 3)
        editor.set_tokens(spans)
        assert shown(editor, 1) == expected(spans, 1)
    dark = ColourScale(dark=True)
    editor.set_scale(dark)
    assert shown(editor, 1) == tuple(dark.palette[spans.colours[1]])


@pytest.mark.parametrize("paste", ["a" * 100_000, "word " * 20_000, "line\n" * 20_000])
def test_a_paste_of_100_000_characters_does_not_hang(editor, paste):
    show(editor, "before after")
    caret(editor, 6)
    data = QMimeData()
    data.setText(paste)
    plain = QPlainTextEdit()
    plain.resize(editor.size())
    plain.show()
    times = []
    for widget in (plain, editor):
        begin = time.monotonic()
        widget.insertFromMimeData(data)
        QApplication.processEvents()
        times.append(time.monotonic() - begin)
    plain.close()
    assert editor.text() == "before" + paste + " after"
    assert editor.is_stale(1)
    assert times[1] < 3 * times[0] + 3  # a hang is what is looked for, not a slow machine


def test_the_placeholder_shows_while_empty(editor):
    editor.set_text("")
    empty = editor.viewport().grab().toImage()
    editor.setPlaceholderText("Write response A here")
    assert editor.viewport().grab().toImage() != empty


def test_qt_keeps_its_accessible_text(editor):
    from PySide6.QtGui import QAccessible

    show(editor, "one two")
    interface = QAccessible.queryAccessibleInterface(editor)
    assert interface.role() == QAccessible.Role.EditableText
    assert interface.text(QAccessible.Text.Value) == "one two"


@pytest.mark.parametrize("size", [(1, 1), (30, 20), (2000, 900)])
def test_any_size_can_be_painted(editor, size):
    show(editor, "one two\nthree 🎉 שלום")
    editor.set_closing("end", 40)
    editor.set_show_marks(True)
    editor.setMinimumSize(1, 1)
    editor.resize(*size)
    editor.grab()
    assert len(editor.token_rects(0)) >= 1


def test_old_pictures_are_dropped(editor):
    show(editor, "one two three")
    for number in range(500):
        editor.set_tokens(spans_for(editor.text(), np.sin([number, number * 2, number * 3])))
        editor.viewport().repaint()
    assert len(editor.pictures) <= editor.pictures.room < 200


@pytest.mark.parametrize("gap", [" ", "\n"])
def test_colours_scroll_with_the_text(editor, gap):
    text = gap.join(f"word{n}" for n in range(600))
    spans = show(editor, text, np.sin(np.arange(len(WORDS.findall(text)))))
    seen = set()
    for step in (0, 1, 7, 40, 10_000):
        editor.verticalScrollBar().setValue(step)
        QApplication.processEvents()
        for index in range(0, len(spans), 11):
            rects = editor.token_rects(index)
            if rects and editor.viewport().rect().contains(rects[0]) and rects[0].width() > 20:
                assert shown(editor, index) == expected(spans, index)
                assert editor.token_at(rects[0].center()) == index
                seen.add(index)
    assert len(seen) >= 4


def test_a_note_stands_above_its_tokens_until_they_are_edited(editor):
    show(editor, "the salary is high", [0.0, 0.0, 0.0, 0.0])
    bare = editor.viewport().grab().toImage()
    editor.set_notes((Note(range(1, 3), "−6.3", ring=True),))
    noted = editor.viewport().grab().toImage()
    box = editor.token_rects(1)[0].united(editor.token_rects(2)[0])
    changed = [
        (x, y)
        for x in range(noted.width())
        for y in range(noted.height())
        if noted.pixel(x, y) != bare.pixel(x, y)
    ]
    assert changed and all(box.adjusted(-3, -12, 3, 3).contains(x, y) for x, y in changed)
    caret(editor, 6)
    editor.insertPlainText("x")
    here = editor.viewport().grab().toImage()
    editor.set_notes(())
    assert here == editor.viewport().grab().toImage()
