"""The strip of notices: what takes whose place, and what waits."""

import pytest
from PySide6.QtCore import Qt

from app.notices import KEPT, NoticeBar


@pytest.fixture
def bar(qtbot):
    bar = NoticeBar()
    qtbot.addWidget(bar)
    return bar


def close(bar, qtbot):
    qtbot.mouseClick(bar.close_button, Qt.MouseButton.LeftButton)


def test_the_newest_takes_the_place_of_the_one_before(bar, qtbot):
    assert bar.topic() == "" and bar.isHidden()
    bar.show_notice("info", "One.", topic="one")
    bar.show_notice("error", "Two.", "why", topic="two")
    assert (bar.topic(), bar.message.text()) == ("two", "Two.")
    assert bar.more.isHidden() and bar.property("kind") == "error"
    bar.dismiss("one")
    assert bar.topic() == "two"
    close(bar, qtbot)
    assert bar.topic() == "" and bar.isHidden()


def test_what_is_lost_is_told_until_it_is_closed(bar, qtbot):
    bar.show_notice("warning", "It is damaged.", topic="session", lasting=True)
    bar.show_notice("error", "No pair.", topic="load")
    bar.show_notice("info", "All agree.", topic="session")
    assert bar.message.text() == "It is damaged." and bar.more.text() == "1 more"
    assert bar.more.toolTip() == "All agree."
    close(bar, qtbot)
    assert bar.message.text() == "All agree." and bar.more.isHidden()
    close(bar, qtbot)
    assert bar.isHidden()


def test_what_waits_can_be_taken_back_too(bar):
    bar.show_notice("warning", "It is damaged.", topic="session", lasting=True)
    bar.show_notice("error", "No pair.", topic="load")
    bar.dismiss("load")
    assert bar.topic() == "session" and bar.more.isHidden()
    bar.dismiss("session")
    assert bar.topic() == "" and bar.isHidden()


def test_losses_of_several_kinds_are_all_told(bar, qtbot):
    bar.show_notice("warning", "It is damaged.", topic="session", lasting=True)
    bar.show_notice("warning", "Not saved.", topic="draft file", lasting=True)
    bar.show_notice("warning", "Still not saved.", topic="draft file", lasting=True)
    assert bar.message.text() == "Still not saved." and bar.more.text() == "1 more"
    close(bar, qtbot)
    assert bar.message.text() == "It is damaged."


def test_what_is_added_stands_together_and_comes_back(bar, qtbot):
    bar.add("warning", "First.")
    bar.add("warning", "Second.")
    bar.add("warning", "First.")
    assert bar.message.text() == "First.\nSecond." and bar.topic() == KEPT
    bar.show_notice("error", "No pair.", topic="load")
    assert bar.message.text() == "No pair." and bar.more.text() == "1 more"
    bar.dismiss("load")
    assert bar.message.text() == "First.\nSecond."
    close(bar, qtbot)
    bar.add("warning", "Third.")
    assert bar.message.text() == "Third."


def test_its_button_does_what_it_says_and_takes_the_notice_away(bar, qtbot):
    done = []
    restore, anew = (lambda: done.append("restore")), (lambda: done.append("anew"))
    bar.show_notice("info", "Old texts.", topic="draft", action="Restore", then=restore)
    bar.show_notice("error", "Lost.", topic="lost", action="Anew", then=anew, lasting=True)
    qtbot.mouseClick(bar.action, Qt.MouseButton.LeftButton)
    assert done == ["anew"] and bar.action.text() == "Restore"
    qtbot.mouseClick(bar.action, Qt.MouseButton.LeftButton)
    assert done == ["anew", "restore"] and bar.isHidden()
