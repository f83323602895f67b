"""With the keyboard alone: what Tab reaches, and whether it is seen where one is."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QWidget

from app.curves.chart import Chart
from tests.app.conftest import settled
from tests.made_scored import write_scored

STOPS = 100
SEEN, PIXELS = 40, 20
"""How much pixels must differ, of 255, and how many must, for it to be seen where the focus is."""


@pytest.fixture(autouse=True)
def _steady(qapp):
    """The caret does not blink."""
    before = qapp.cursorFlashTime()
    qapp.setCursorFlashTime(0)
    yield
    qapp.setCursorFlashTime(before)


def stops(qtbot, top):
    """The widgets that Tab goes through, from the one that has the focus, once around."""
    found = []
    while len(found) < STOPS:
        here = QApplication.focusWidget()
        if here in found:
            break
        if here not in (None, top):
            found.append(here)
        qtbot.keyClick(here or top, Qt.Key.Key_Tab)
    return found


def picture(top, widget):
    """A widget and what is around it, [h, w, 3]."""
    place = QRect(widget.mapTo(top, QPoint(0, 0)), widget.size()).adjusted(-3, -3, 3, 3)
    image = top.grab(place).toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), np.uint8)
    return pixels.reshape(image.height(), -1, 4)[:, :, :3].astype(int)


def without_ring(qtbot, top):
    """The stops at which nothing tells that the focus is there."""
    missing = []
    for widget in stops(qtbot, top):
        if isinstance(widget, Chart):
            continue  # its grid scrolls to it
        widget.setFocus(Qt.FocusReason.TabFocusReason)
        there = picture(top, widget)
        widget.clearFocus()
        away = picture(top, widget)
        if (np.abs(there - away).max(axis=2) > SEEN).sum() < PIXELS:
            missing.append((type(widget).__name__, widget.accessibleName()))
    return missing


@pytest.mark.parametrize("theme_name", ["light", "dark", "contrast"])
def test_it_is_seen_where_the_focus_is(open_window, qtbot, theme_name):
    window = open_window(theme_name=theme_name)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    window.view.make_chart()
    assert without_ring(qtbot, window) == []
    window.view.focus_on.pin("B", 4)
    qtbot.waitUntil(lambda: window.view.inspector.inspection() is not None, timeout=10_000)
    assert without_ring(qtbot, window) == []


def test_nothing_has_the_focus_at_first(window, qtbot):
    """A ring would be the first thing that is seen."""
    assert window.focusWidget() is window
    qtbot.keyClick(window, Qt.Key.Key_Tab)
    assert window.isAncestorOf(QApplication.focusWidget())


def test_tab_reaches_the_inspector_and_nothing_under_it(window, qtbot):
    view = window.view
    view.make_chart()
    qtbot.waitUntil(view.chart.reset.isVisible)
    assert view.chart.reset in stops(qtbot, window)
    view.focus_on.pin("B", 4)
    qtbot.waitUntil(view.inspector.isVisible)
    view.panels["B"].editor.setFocus()
    during = stops(qtbot, window)
    assert view.inspector.unpin_button in during and view.inspector.search in during
    assert not [it for it in during if view.chart_card.isAncestorOf(it)]
    qtbot.keyClick(view.panels["B"].editor, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not view.inspector.isVisible())
    assert view.chart.reset in stops(qtbot, window)


def test_tab_reaches_nothing_under_the_prompt_of_a_narrow_window(open_window, qtbot):
    window = open_window()
    window.resize(1024, 600)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    view = window.view
    view.show_prompt.setChecked(True)
    drawer = view.prompt.parentWidget()

    def covered(widget: QWidget) -> bool:
        if not view.isAncestorOf(widget) or drawer.isAncestorOf(widget):
            return False
        place = QRect(widget.mapTo(window, QPoint(0, 0)), widget.size())
        return QRect(drawer.mapTo(window, QPoint(0, 0)), drawer.size()).contains(place)

    found = stops(qtbot, window)
    assert any(drawer.isAncestorOf(it) for it in found)
    assert not [it for it in found if covered(it)]


@pytest.mark.parametrize("theme_name", ["light", "dark"])
def test_it_is_seen_where_the_focus_is_in_the_training_view(open_window, qtbot, theme_name):
    window = open_window(theme_name=theme_name)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    qtbot.keyClick(window, Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: window.runs.view is not None and window.runs.view.isVisible())
    assert without_ring(qtbot, window) == []


@pytest.mark.parametrize("theme_name", ["light", "dark"])
def test_it_is_seen_where_the_focus_is_in_the_data_view(open_window, qtbot, tmp_path, theme_name):
    window = open_window(theme_name=theme_name)
    qtbot.waitUntil(lambda: settled(window), timeout=10_000)
    window.data.open(write_scored(tmp_path / "scored.parquet", 40))
    qtbot.waitUntil(
        lambda: window.data.view is not None and window.data.view.answer is not None, timeout=20_000
    )
    view = window.data.view
    qtbot.waitUntil(view.explorer.rests, timeout=10_000)
    assert QApplication.focusWidget() is view.rows
    reached = stops(qtbot, window)
    parts = (view.filter.box, view.beta, view.rows, view.export_button, view.summary.by)
    assert [it for it in parts if it not in reached] == []
    assert without_ring(qtbot, window) == []
