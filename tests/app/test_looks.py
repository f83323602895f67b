"""What every window must look like: nothing is clipped or jumps, and icons are of one set."""

import re
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt
from PySide6.QtGui import QAction, QColor
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLabel, QToolButton, QWidget

import app
from app import theme
from app.widgets.clipped import Clipped
from app.widgets.icons import IconButton, drawn
from tests.app.conftest import do, settled

SIZES = [(1024, 600), (1280, 720), (1440, 900), (1920, 1080)]
ICONS = sorted(path.stem for path in (theme.RESOURCES / "icons").glob("*.svg"))


def clipped(window):
    """Return what is shown of labels and buttons that have less room than their words need."""
    found = []
    for widget in (*window.findChildren(QLabel), *window.findChildren(QAbstractButton)):
        if not widget.isVisible() or isinstance(widget, Clipped) or not widget.text():
            continue
        if isinstance(widget, QToolButton) and widget.objectName() == "qt_toolbar_ext_button":
            continue
        hint, wraps = widget.sizeHint(), isinstance(widget, QLabel) and widget.wordWrap()
        high = widget.heightForWidth(widget.width()) if wraps else hint.height()
        if widget.height() < high - 1 or (not wraps and widget.width() < hint.width() - 1):
            found.append((widget.text(), widget.size().toTuple(), hint.toTuple()))
    return found


@pytest.mark.parametrize("size", SIZES)
def test_no_words_are_clipped(window, qtbot, size):
    window.view.make_chart()
    window.resize(*size)
    qtbot.waitUntil(lambda: window.size().toTuple() == size)
    qtbot.waitUntil(lambda: not clipped(window))
    window.view.focus_on.pin("B", 6)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.waitUntil(lambda: not clipped(window))
    window.view.show_prompt.setChecked(True)
    qtbot.waitUntil(lambda: not clipped(window))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", ["show_search", "show_training"])
def test_no_words_of_other_views_are_clipped(window, qtbot, size, page):
    window.resize(*size)
    do(window, page)
    qtbot.waitUntil(lambda: window.pages.currentWidget() is not window.view, timeout=10_000)
    qtbot.waitUntil(lambda: not clipped(window))


def test_tool_tips_have_short_lines(window, qtbot):
    """Qt would show them on one, as wide as the screen."""
    for page in ("show_search", "show_training", "show_credit"):
        do(window, page)
    window.view.make_chart()
    window.view.focus_on.pin("B", 6)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    texts = {it.toolTip() for it in window.findChildren(QWidget)}
    texts |= {it.toolTip() for it in window.findChildren(QAction)}
    boxes = window.findChildren(QComboBox)
    texts |= {box.itemData(i, Qt.ItemDataRole.ToolTipRole) or "" for box in boxes
              for i in range(box.count())}  # fmt: skip
    assert len(texts) > 40
    assert [line for text in texts for line in text.split("\n") if len(line) > 110] == []


class FirstFrame(QObject):
    """Notes where parts are when the window is painted first."""

    def __init__(self, window, parts):
        super().__init__(window)
        self._window, self._parts = window, parts
        self.places = []
        window.installEventFilter(self)

    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint and not self.places:
            self.places = places(self._window, self._parts)
        return False


def places(window, parts):
    return [QRect(part.mapTo(window, QPoint(0, 0)), part.size()) for part in parts]


@pytest.mark.parametrize("size", [(1024, 600), (1440, 900)])
def test_nothing_moves_after_the_first_frame(open_window, qtbot, size):
    window = open_window()  # a first one, for the fonts
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    window.close()
    window = open_window()
    view = window.view
    window.hide()
    window.resize(*size)
    parts = [view.verdict, view.controls, *view.panels.values(), view.summary, view.chart_card]
    first = FirstFrame(window, parts)
    window.show()
    qtbot.waitUntil(lambda: bool(first.places))
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.waitUntil(lambda: view.chart is not None, timeout=10_000)
    qtbot.wait(50)
    assert places(window, parts) == first.places


# --- icons ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ICONS)
def test_an_icon_is_drawn_in_the_colour_that_is_asked_for(qapp, name):
    picture = drawn(name, "#2040c0", 32)
    inked = [
        picture.pixelColor(x, y)
        for x in range(32)
        for y in range(32)
        if picture.pixelColor(x, y).alpha() == 255
    ]
    wanted = QColor("#2040c0").getRgb()
    assert inked and all(
        abs(one - other) <= 2
        for colour in inked
        for one, other in zip(colour.getRgb(), wanted, strict=True)
    )
    edge = [picture.pixelColor(x, y).alpha() for x in range(32) for y in (0, 31)]
    assert not any(edge)  # nothing is cut off


def test_every_icon_is_there_and_wanted():
    sources = (path.read_text() for path in Path(app.__file__).parent.rglob("*.py"))
    words = {word for source in sources for word in re.findall(r'"([a-z-]+)"', source)}
    assert set(ICONS) <= words


def test_an_icon_is_drawn_anew_in_another_theme(qtbot, qapp):
    theme.apply(qapp, False)
    button = IconButton("close", "Close")
    qtbot.addWidget(button)
    button.show()
    light = button.icon().pixmap(16).toImage()
    theme.apply(qapp, True)
    assert button.icon().pixmap(16).toImage() != light
    later = IconButton("close", "Close")
    qtbot.addWidget(later)
    theme.apply(qapp, False)
    later.show()
    assert later.icon().pixmap(16).toImage() == light
    assert button.accessibleName() == "Close" == button.toolTip()
