"""Pages of a test's own: a view is declared once, and made when it is first wanted."""

import pytest
from PySide6.QtWidgets import QMainWindow, QWidget

from app.actions.menus import Menus
from app.pages import Page, Pages

FIRST, TOY = "show_first", "show_toy"


@pytest.fixture
def toy(qtbot):
    """A window of two pages; what was made and what was given the keys."""
    window, pages = QMainWindow(), Pages()
    qtbot.addWidget(window)
    happened = []

    def page(name, title, keys, library=""):
        def make():
            happened.append(f"{name} made")
            return QWidget()

        return Page(
            name, title, keys, "A tip", make, lambda: happened.append(f"{name} focus"), library
        )

    pages.add(page(FIRST, "&First", "Ctrl+1"))
    pages.add(page(TOY, "&Toy", "Ctrl+9", library="toys"))
    window.setCentralWidget(pages)
    yield pages, Menus(window.menuBar(), pages.actions_to_show()), happened


def test_a_view_that_is_declared_has_tab_action_and_key(toy):
    pages, menus, happened = toy
    assert [pages.tabs.tabText(i) for i in range(2)] == ["First", "Toy"]
    assert pages.tabs.tabToolTip(1) == "The toy view (Ctrl+9)"
    action = menus.actions[TOY]
    assert (action.text(), action.shortcut().toString()) == ("&Toy", "Ctrl+9")
    assert action.statusTip() == "A tip"
    assert happened == [f"{FIRST} made"] and pages.count() == 1


def test_a_view_is_made_once_its_library_is_there_and_shown_if_still_wanted(toy, monkeypatch):
    pages, menus, happened = toy
    waiting = []
    monkeypatch.setattr("app.pages.import_then", lambda library, owner, then: waiting.append(then))
    menus.actions[TOY].trigger()
    menus.actions[FIRST].trigger()
    menus.actions[TOY].trigger()
    menus.actions[FIRST].trigger()
    assert len(waiting) == 2 and pages.currentIndex() == 0
    waiting[0]()
    assert happened.count(f"{TOY} made") == 1 and pages.currentIndex() == 0
    assert f"{TOY} focus" not in happened
    waiting[1]()
    menus.actions[TOY].trigger()
    assert happened.count(f"{TOY} made") == 1 and pages.count() == 2
    assert pages.currentIndex() == 1 and happened[-1] == f"{TOY} focus"
