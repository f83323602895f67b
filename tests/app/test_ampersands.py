"""No "&" of a mnemonic is shown as such: not in labels, tooltips, tables, accessible names."""

import re

import pytest
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QDialog,
    QGroupBox,
    QLabel,
    QTableWidget,
    QTabWidget,
    QWidget,
)

from tests.app.conftest import do

MNEMONIC = re.compile(r"&(?!&|nbsp;|lt;|gt;|amp;|quot;|#)(?=\w)")


def shown_raw(root):
    """What is shown or read aloud with an "&" that only a mnemonic would have."""
    found = []
    for widget in [root, *root.findChildren(QWidget)]:
        said = [widget.toolTip(), widget.accessibleName(), widget.windowTitle(), widget.whatsThis()]
        if isinstance(widget, QLabel) and widget.buddy() is None:
            said.append(widget.text())
        if isinstance(widget, QTableWidget):
            heads = map(widget.horizontalHeaderItem, range(widget.columnCount()))
            cells = [
                widget.item(row, column)
                for row in range(widget.rowCount())
                for column in range(widget.columnCount())
            ]
            said += [part for it in (*heads, *cells) if it for part in (it.text(), it.toolTip())]
        if isinstance(widget, QTabWidget):
            said += [widget.tabToolTip(place) for place in range(widget.count())]
        if isinstance(widget, QAbstractButton | QGroupBox):
            said += [action.toolTip() for action in widget.actions()]
        found += [text for text in said if MNEMONIC.search(text)]
    return found


@pytest.mark.parametrize("page", ["show_credit", "show_search", "show_training"])
def test_no_view_shows_one(window, qtbot, page):
    do(window, page)
    qtbot.waitUntil(lambda: window.pages.currentWidget() is not None)
    assert shown_raw(window) == []
    assert [a.toolTip() for a in window.menus.actions.values() if "&" in a.toolTip()] == []


DIALOGS = "open_pair check_pair start_training sweep_widths show_keys show_glossary".split()


@pytest.mark.parametrize("name", DIALOGS)
def test_no_dialog_shows_one(window, qtbot, name):
    seen, looked_at = [], []

    def look():
        for widget in QApplication.topLevelWidgets():
            if widget is not window and widget.isVisible():
                looked_at.append(widget)
                seen.extend(shown_raw(widget))
                if isinstance(widget, QDialog):
                    widget.reject()
                else:
                    widget.close()

    QTimer.singleShot(300, look)
    do(window, name)
    qtbot.waitUntil(lambda: bool(looked_at))
    assert seen == []
