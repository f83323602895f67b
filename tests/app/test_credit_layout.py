"""Where the parts of the credit view are, at the sizes that windows have."""

from itertools import pairwise

import pytest
from PySide6.QtCore import QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QFontInfo

from core.engine.protocol import Inspect
from tests.app.conftest import do, settled
from tests.app.fake_engine import FakeEngine

CTRL = Qt.KeyboardModifier.ControlModifier
ROOMY = [(1440, 900), (1280, 720)]


def place(window, widget):
    """Return a widget's rectangle in the window."""
    return QRect(widget.mapTo(window, QPoint(0, 0)), widget.size())


@pytest.fixture
def sized(open_window, qtbot):
    def make(width, height):
        window = open_window()
        window.resize(width, height)
        window.view.make_chart()
        qtbot.waitUntil(lambda: settled(window), timeout=10_000)
        qtbot.waitUntil(lambda: (window.width(), window.height()) == (width, height))
        return window

    return make


def pin(qtbot, window, side="B", index=6):
    editor = window.view.panels[side].editor
    where = editor.token_rects(index)[0].center()
    qtbot.mouseClick(editor.viewport(), Qt.MouseButton.LeftButton, pos=where)


@pytest.mark.parametrize("size", [*ROOMY, (1024, 600)])
def test_all_parts_are_seen_without_scrolling(sized, size):
    window = sized(*size)
    view = window.view
    parts = [view.verdict, view.controls, *view.panels.values(), view.summary, view.chart]
    places = [place(window, part) for part in parts]
    for above, below in pairwise(places):
        assert above.bottom() <= below.top()
    assert all(window.rect().contains(it) for it in places)
    for panel in view.panels.values():
        assert not panel.editor.verticalScrollBar().maximum()
    assert view.chart.height() >= 80


def bars_on_screen(window):
    """From where to where each column's bars of B are drawn, in pixels of the window."""
    chart = window.view.chart
    plot = chart.plot.viewport().mapTo(window, QPoint(0, 0)).x()
    options = chart.bars["B"].opts
    ends = []
    for left, width in zip(options["x0"], options["width"], strict=True):
        scene = (
            chart.view.mapViewToScene(QPointF(x, 0.0)).x() for x in (left - width, left + width)
        )
        ends.append(tuple(x + plot for x in scene))
    return ends


@pytest.mark.parametrize("size", [(1440, 900), (1024, 600)])
def test_each_bar_stands_under_its_word_of_b(sized, qtbot, size):
    """And still does when the texts are larger, or the window is of another size."""
    window = sized(*size)
    view = window.view
    editor = view.panels["B"].editor

    def lined_up():
        away = editor.viewport().mapTo(window, QPoint(0, 0)).x()
        drawn = bars_on_screen(window)
        for token, (left, right) in enumerate(drawn):
            rect = editor.token_rects(token)[0]
            begin, end = rect.left() + away, rect.right() + 1 + away
            middle = (left + right) / 2
            if abs(middle - (begin + end) / 2) > 1.5 or right - left > end - begin + 1:
                return False
        return len(drawn) == len(view.panels["B"].scoring)

    qtbot.waitUntil(lined_up, timeout=5000)
    do(window, "zoom_in")
    qtbot.waitUntil(lined_up, timeout=5000)
    window.resize(size[0] + 100, size[1])
    qtbot.waitUntil(lined_up, timeout=5000)


@pytest.mark.parametrize("size", [*ROOMY, (1024, 600)])
def test_a_token_that_is_pinned_in_the_chart_is_scrolled_to(sized, qtbot, size):
    """Also where the inspector would cover it."""
    window = sized(*size)
    view = window.view
    text = "\n".join(" ".join(f"word{i}" for i in range(150)) for _ in range(6))
    view.put_texts(view.prompt.prompt(), text, text)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    for side, index in (("B", 420), ("A", 880), ("B", 3)):
        view.chart.clicked.emit(side, index)
        editor = view.panels[side].editor

        def seen(editor=editor, index=index):
            """All of it is in the editor, and nothing lies over it."""
            rect = editor.token_rects(index)[0]
            over = QRect(view.inspector.mapTo(window, QPoint(0, 0)), view.inspector.size())
            there = rect.translated(editor.viewport().mapTo(window, QPoint(0, 0)))
            return editor.viewport().rect().contains(rect) and not over.intersects(there)

        qtbot.waitUntil(lambda: view.inspector.isVisible() and seen(), timeout=5000)


def test_bars_stand_side_by_side_where_b_has_several_lines(sized, qtbot):
    window = sized(1024, 600)
    view = window.view
    text = view.panels["B"].editor.toPlainText()
    view.put_texts(view.prompt.prompt(), text, " ".join([text] * 6))
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.waitUntil(lambda: list(view.chart.bars["B"].opts["x0"][:3]) == [0.0, 1.0, 2.0])


@pytest.mark.parametrize("size", ROOMY)
def test_responses_of_two_lines_need_no_scrolling(sized, fonts, qtbot, size):
    window = sized(*size)
    view = window.view
    text = "They were offered a job as a manager of analysts for $250K a year and answer by Friday."
    view.put_texts(view.prompt.prompt(), text, text)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    for panel in view.panels.values():
        assert panel.editor.document().documentLayout().documentSize().height() == 2
        assert not panel.editor.verticalScrollBar().maximum()
    window.resize(1024, 600)  # it can still be made as small as before
    qtbot.waitUntil(lambda: (window.width(), window.height()) == (1024, 600))


@pytest.mark.parametrize("size", ROOMY)
def test_the_prompt_stands_at_the_left(sized, size):
    window = sized(*size)
    view = window.view
    assert view.prompt.isVisible() and not view.show_prompt.isVisible()
    assert place(window, view.prompt).right() < place(window, view.panels["A"]).left()
    assert place(window, view.prompt).height() > 0.7 * size[1]


def test_the_prompt_gives_way_in_a_narrow_window_until_asked_for(sized, qtbot):
    window = sized(1024, 600)
    view = window.view
    assert not view.prompt.isVisible() and view.show_prompt.isVisible()
    before = place(window, view.panels["A"])
    qtbot.mouseClick(view.show_prompt, Qt.MouseButton.LeftButton)
    assert view.prompt.isVisible() and place(window, view.prompt).intersects(before)
    assert place(window, view.panels["A"]) == before
    qtbot.mouseClick(view.show_prompt, Qt.MouseButton.LeftButton)
    assert not view.prompt.isVisible()
    window.resize(1440, 900)
    qtbot.waitUntil(lambda: view.prompt.isVisible() and not view.show_prompt.isVisible())


@pytest.mark.parametrize("size", [*ROOMY, (1024, 600)])
def test_a_pin_opens_the_inspector_and_escape_closes_it(sized, qtbot, size):
    window = sized(*size)
    view = window.view
    assert not view.inspector.isVisible()
    pin(qtbot, window)
    assert view.inspector.isVisible() and view.inspector.tabs.isVisible()
    assert window.rect().contains(place(window, view.inspector))
    do(window, "unpin")
    assert not view.inspector.isVisible()


@pytest.mark.parametrize("size", [*ROOMY, (1024, 600)])
def test_an_open_inspector_moves_nothing_and_covers_no_token_that_is_pinned(sized, qtbot, size):
    window = sized(*size)
    view = window.view
    parts = [view.verdict, view.controls, *view.panels.values(), view.summary]
    before = [place(window, part) for part in parts]
    pin(qtbot, window)
    assert [place(window, part) for part in parts] == before
    editor = view.panels["B"].editor
    for rect in editor.token_rects(6):
        corner = editor.viewport().mapTo(window, rect.topLeft())
        assert not QRect(corner, rect.size()).intersects(place(window, view.inspector))


@pytest.mark.parametrize("size", [*ROOMY, (1024, 600)])
def test_all_that_is_known_of_a_token_is_seen_without_scrolling(sized, qtbot, size):
    window = sized(*size)
    pin(qtbot, window)
    inspector = window.view.inspector
    qtbot.waitUntil(lambda: inspector.inspection() is not None, timeout=5000)
    seen = place(window, inspector)
    shown = [row for row in inspector.facts.rows if row[0].isVisible()]
    assert len(shown) >= 8 and "coloured by" not in shown[0][0].text()
    for label in (label for row in shown for label in row):
        qtbot.waitUntil(lambda label=label: seen.contains(place(window, label)), timeout=3000)
    above = [place(window, name).bottom() for name, _ in shown]
    assert above == sorted(above)
    area = inspector.facts.rows[0][0].parentWidget().parentWidget()
    assert area.rect().contains(area.mapFromGlobal(shown[-1][0].mapToGlobal(QPoint(0, 0))))


@pytest.mark.parametrize("size, lines", [((1440, 900), 1.5), ((1024, 600), 1.25)])
def test_lines_are_high_where_there_is_room(sized, fonts, size, lines):
    window = sized(*size)
    view = window.view
    window.look.zoom_reset()  # the fonts have just been loaded
    for editor in (view.prompt.first_turn(), view.panels["A"].editor):
        editor.grab()
        pixels = QFontInfo(editor.font()).pixelSize()
        high = editor.document().firstBlock().layout().lineAt(0).height()
        assert high <= lines * pixels + 0.5 and (lines != 1.5 or high >= lines * pixels - 0.5)
    if lines == 1.5:
        assert QFontInfo(view.prompt.first_turn().font()).pixelSize() == 20
        assert QFontInfo(view.panels["B"].editor.font()).pixelSize() == 24


def test_a_post_that_moves_into_its_drawer_keeps_its_text_undo_and_size(sized, qtbot):
    window = sized(1440, 900)
    turn = window.view.prompt.first_turn()
    before, points = turn.whole_text(), turn.font().pointSizeF()
    qtbot.keyClicks(turn, "Well ")
    window.resize(1024, 600)
    qtbot.waitUntil(window.view.show_prompt.isVisible)
    window.view.show_prompt.click()
    assert turn.isVisible() and turn.whole_text() == f"Well {before}"
    turn.undo()
    assert turn.whole_text() == before
    window.resize(1440, 900)
    qtbot.waitUntil(lambda: not window.view.show_prompt.isVisible())
    assert turn.font().pointSizeF() == points
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_long_responses_scroll_together(sized, qtbot):
    window = sized(1440, 900)
    a, b = (panel.editor for panel in window.view.panels.values())
    a.set_text("They work in Leeds. " * 200)
    b.set_text("They work in Leeds. " * 100)
    bars = a.verticalScrollBar(), b.verticalScrollBar()
    qtbot.waitUntil(lambda: all(bar.maximum() > 2 for bar in bars))
    a.setFocus()
    qtbot.keyClick(a, Qt.Key.Key_End, CTRL)
    assert bars[0].value() > 0.8 * bars[0].maximum() and bars[1].value() > 0.8 * bars[1].maximum()
    bars[1].setValue(0)
    assert bars[0].value() == 0


def test_pointing_opens_nothing_and_asks_nothing(sized, qtbot):
    window = sized(1440, 900)
    editor = window.view.panels["A"].editor
    qtbot.mouseMove(editor.viewport(), editor.token_rects(2)[0].center())
    qtbot.waitUntil(window.view.focus_on.popup.isVisible)
    assert not window.view.inspector.isVisible()
    qtbot.wait(120)
    assert not FakeEngine.last.asked(Inspect)


def test_the_inspector_is_kept_by_its_key(sized, qtbot):
    window = sized(1440, 900)
    view = window.view
    qtbot.keyClick(window, Qt.Key.Key_I, CTRL)
    assert view.inspector.isVisible()
    pin(qtbot, window)
    do(window, "unpin")
    assert view.inspector.isVisible()
    qtbot.keyClick(window, Qt.Key.Key_I, CTRL)
    assert not view.inspector.isVisible()


def test_a_pinned_inspector_stays_when_it_is_kept_no_more(sized, qtbot):
    window = sized(1440, 900)
    do(window, "keep_inspector")
    pin(qtbot, window)
    do(window, "keep_inspector")
    assert window.view.inspector.isVisible()
    do(window, "unpin")
    assert not window.view.inspector.isVisible()


def test_other_texts_close_it(sized, qtbot):
    window = sized(1440, 900)
    pin(qtbot, window)
    window.texts.show_example(0)
    assert not window.view.inspector.isVisible()
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)


def test_a_stands_beside_b_where_that_is_chosen_and_there_is_room(sized, qtbot):
    window = sized(1440, 900)
    view = window.view
    do(window, "set_side_by_side")
    a, b = (place(window, panel) for panel in view.panels.values())
    qtbot.waitUntil(lambda: view.panels["A"].height() == view.panels["B"].height())
    a, b = (place(window, panel) for panel in view.panels.values())
    assert a.right() < b.left() and a.top() == b.top()
